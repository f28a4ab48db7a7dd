//! Names and cards of those who take part.

use agora_clients::model::Card;

/// Everybody's password: there is nothing to protect here.
pub const PASSWORD: &str = "chaos-password";

/// A card that passes the marketplace's checks.
pub(super) fn card() -> Card {
    Card {
        name: "Chaos Example".into(),
        number: "4111111111111111".into(),
        expiry: "12/2099".into(),
        security_code: "737".into(),
    }
}
