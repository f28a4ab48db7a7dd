//! What to do about an error.

use super::failure::CliError;
use super::program::Texts;
use crate::Error;

/// The next step for someone who sees this error.
pub(super) fn hint(error: &CliError, texts: &Texts) -> Option<String> {
    let name = texts.name;
    match error {
        CliError::NotLoggedIn => Some(format!("Log in first: {name} login USERNAME")),
        CliError::Call(Error::Refused { code, field, .. }) => refusal(code, field.as_deref(), name),
        CliError::Call(Error::Unavailable(_)) => Some(format!(
            "Nothing was done. Is the cluster up (`cluster up`)? Name its {name} frontends with --server or {}.",
            texts.servers_variable
        )),
        CliError::Call(Error::OutcomeUnknown(_)) | CliError::Interrupted { key: Some(_) } => error.key().map(|key| {
            format!("It may or may not have been done. The same command with --idempotency-key {key} makes sure of it, once.")
        }),
        CliError::Call(Error::BadAnswer(_)) => {
            Some(format!("Is this a {name} frontend of the marketplace, of this version? See --server."))
        }
        CliError::Call(Error::Configuration(_)) | CliError::Local(_) | CliError::Interrupted { key: None } => None,
    }
}

/// What people type for this field.
fn as_typed(field: &str) -> String {
    match field {
        "card.name" => "--card-name".to_owned(),
        "card.number" => "--card-number".to_owned(),
        "card.expiry" => "--expiry".to_owned(),
        "card.security_code" => "--security-code".to_owned(),
        field => format!("`{field}`"),
    }
}

fn refusal(code: &str, field: Option<&str>, name: &str) -> Option<String> {
    let text = match code {
        "invalid_session" => format!("The session has ended (it does after five minutes without a call). Log in again: {name} login USERNAME"),
        "bad_credentials" => format!("Check the username and the password. No account yet? {name} create-account USERNAME"),
        "username_taken" => "Choose another username.".to_owned(),
        "not_found" | "method_not_allowed" => format!(
            "The server has no such call. Is it one of the marketplace's {name} frontends, and of this version? See --server."
        ),
        "item_not_found" => match name {
            "buyer" => "Look for what is on sale: buyer search".to_owned(),
            _ => "See what you have on sale: seller items".to_owned(),
        },
        "not_in_cart" => "See what is in the cart: buyer cart".to_owned(),
        "cart_empty" => "Put something into it first: buyer add ITEM_ID".to_owned(),
        "insufficient_stock" if name == "buyer" => "See how many units are on sale: buyer item ITEM_ID".to_owned(),
        "insufficient_stock" => "See how many units are on sale: seller items".to_owned(),
        "saved_cart_conflict" => {
            "Another session saved its cart. `buyer cart` shows the version that is saved now; `buyer save --expected-version N` \
             replaces it."
                .to_owned()
        }
        "payment_declined" => "Nothing was bought, and the cart is as it was. Try another card, or again.".to_owned(),
        "wrong_role" => format!(
            "Is the server one of the marketplace's {name} frontends? See --server. If it is, log in as a {name}: {name} login USERNAME"
        ),
        "idempotency_key_reused" => "This key was used for another call. Leave --idempotency-key out to get a fresh one.".to_owned(),
        "invalid_field" => format!("Mend {} and try again.", as_typed(field?)),
        _ => return None,
    };
    Some(text)
}
