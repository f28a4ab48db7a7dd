//! Showing the cart.

use serde_json::json;

use crate::cli::failure::CliError;
use crate::cli::shown::Shown;
use crate::cli::table::{Column, table};
use crate::model::{Cart, SavedCart};

pub(super) fn show(cart: &Cart) -> Result<Shown, CliError> {
    use Column::{Left, Right};
    if cart.lines.is_empty() {
        return Shown::new(format!("The cart is empty. {}", version(cart.saved_version)), cart);
    }
    let columns = [Left("item"), Left("name"), Right("price"), Right("quantity"), Right("on sale")];
    let rows = cart.lines.iter().map(|line| {
        vec![
            line.item_id.to_string(),
            line.name.clone(),
            line.price.to_string(),
            line.quantity.to_string(),
            line.available.to_string(),
        ]
    });
    let human = format!("{}\nTotal {}. {}", table(&columns, rows), cart.total, version(cart.saved_version));
    Shown::new(human, cart)
}

pub(super) fn saved(saved: SavedCart) -> Result<Shown, CliError> {
    Shown::new(format!("Saved as version {}.", saved.saved_version), &saved)
}

pub(super) fn cleared((): ()) -> Result<Shown, CliError> {
    Shown::new("The cart and the saved cart are empty.", &json!({}))
}

fn version(saved: u64) -> String {
    if saved == 0 { "It was never saved.".to_owned() } else { format!("The saved cart has version {saved}.") }
}
