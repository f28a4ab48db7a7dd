//! Paying, what was bought, and what the buyer thinks of it.

use clap::Args;
use serde_json::json;

use crate::cli::failure::CliError;
use crate::cli::items::thumbs;
use crate::cli::paging::{Paging, more};
use crate::cli::password::{ask_line, secret};
use crate::cli::shown::Shown;
use crate::cli::table::{Column, table};
use crate::model::{Card, Feedback, Purchase, PurchaseLine};
use crate::{BuyerClient, ItemId};

/// The card. What is missing is asked for, so that no secret need stand in the shell's history.
#[derive(Args)]
pub(in crate::cli) struct CardArguments {
    /// The name on the card [default: asked for]
    #[arg(long, value_name = "NAME", env = "AGORA_CARD_NAME", hide_env_values = true)]
    card_name: Option<String>,
    /// 13 to 19 digits [default: asked for]
    #[arg(long, value_name = "DIGITS", env = "AGORA_CARD_NUMBER", hide_env_values = true)]
    card_number: Option<String>,
    /// The month in which it expires [default: asked for]
    #[arg(long, value_name = "MM/YYYY", env = "AGORA_CARD_EXPIRY", hide_env_values = true)]
    expiry: Option<String>,
    /// 3 or 4 digits [default: asked for]
    #[arg(long, value_name = "DIGITS", env = "AGORA_CARD_SECURITY_CODE", hide_env_values = true)]
    security_code: Option<String>,
}

impl CardArguments {
    pub(super) fn asked(self) -> Result<Self, CliError> {
        Ok(CardArguments {
            card_name: Some(ask_line(self.card_name, "name on the card")?),
            card_number: Some(secret(self.card_number, "card number")?),
            expiry: Some(ask_line(self.expiry, "expiry (MM/YYYY)")?),
            security_code: Some(secret(self.security_code, "security code")?),
        })
    }

    pub(super) fn card(self) -> Result<Card, CliError> {
        let missing = || CliError::Local("the card is not complete; see `buyer buy --help`".into());
        Ok(Card {
            name: self.card_name.ok_or_else(missing)?,
            number: self.card_number.ok_or_else(missing)?.replace([' ', '-'], ""),
            expiry: self.expiry.ok_or_else(missing)?,
            security_code: self.security_code.ok_or_else(missing)?,
        })
    }
}

pub(super) fn bought(purchase: &Purchase) -> Result<Shown, CliError> {
    let human =
        format!("{}\nBought for {}: purchase {}", lines(purchase), purchase.total, purchase.purchase_id);
    Shown::new(human, purchase)
}

pub(super) async fn list(client: &BuyerClient, paging: &Paging) -> Result<Shown, CliError> {
    let fetch = async |page| {
        let page = client.purchases(&page).await?;
        Ok((page.purchases, page.next_cursor))
    };
    let (purchases, next) = paging.fetch(fetch).await?;
    let human = match purchases.is_empty() {
        true => "Nothing was bought yet.".to_owned(),
        false => history(&purchases),
    };
    Shown::new(human + &more(next.as_deref()), &json!({ "purchases": purchases, "next_cursor": next }))
}

pub(super) fn feedback(item_id: ItemId, feedback: Feedback) -> Result<Shown, CliError> {
    let human = format!("{item_id} has {} now.", thumbs(feedback.thumbs_up, feedback.thumbs_down));
    Shown::new(human, &feedback)
}

/// What was just bought.
fn lines(purchase: &Purchase) -> String {
    use Column::{Left, Right};
    let columns = [Left("item"), Left("name"), Right("seller"), Right("price"), Right("quantity")];
    table(&columns, purchase.lines.iter().map(line))
}

/// What was bought over time; each purchase's id, time and total stand on its first line.
fn history(purchases: &[Purchase]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("purchase"),
        Left("at"),
        Left("item"),
        Left("name"),
        Right("seller"),
        Right("price"),
        Right("quantity"),
        Right("total"),
    ];
    let rows = purchases.iter().flat_map(|purchase| {
        purchase.lines.iter().enumerate().map(|(index, bought)| {
            let once = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
            let mut row = vec![once(&purchase.purchase_id), once(purchase.at.as_deref().unwrap_or_default())];
            row.extend(line(bought));
            row.push(once(&purchase.total.to_string()));
            row
        })
    });
    table(&columns, rows)
}

fn line(line: &PurchaseLine) -> Vec<String> {
    vec![
        line.item_id.to_string(),
        line.name.clone(),
        line.seller_id.to_string(),
        line.price.to_string(),
        line.quantity.to_string(),
    ]
}
