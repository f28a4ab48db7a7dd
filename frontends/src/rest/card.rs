//! Payment cards: checked here, handed to the financial service, and kept nowhere.

use agora_proto::text::is_blank;

use crate::month::Month;
use crate::payment::Card;
use crate::problem::Problem;
use crate::rest::body::Fields;

/// Longest name on a card.
pub const NAME_CHARS: usize = 64;

/// A card as a request shows it.
#[derive(Debug)]
pub struct Shown {
    /// The card.
    pub card: Card,
    /// It must not begin a purchase: a card is good until the end of its month, in UTC. That is no reason to refuse a request
    /// at sight, as all else is, since time brings it about: a repeat still gets the first answer.
    pub expired: Option<Problem>,
}

/// Takes the card out of a purchase's body.
///
/// # Errors
/// `invalid_field`, which never shows what was given.
pub fn read(mut fields: Fields, now: Month) -> Result<Shown, Problem> {
    let mut card = fields.object("card", "card.")?;
    fields.finish()?;
    let name = card.text("name", 1..=NAME_CHARS)?;
    let number = card.text("number", 1..=64)?;
    let expiry = card.text("expiry", 1..=64)?;
    let security_code = card.text("security_code", 1..=64)?;
    card.finish()?;
    let wrong = |field: &str, must: &str| {
        Problem::field(format!("card.{field}"), format!("card.{field} must be {must}"))
    };
    // The last two are characters in Unicode, but not in XML, in which the card travels.
    if is_blank(&name) || name.contains(['\u{fffe}', '\u{ffff}']) {
        return Err(wrong("name", "the name on the card"));
    }
    if !digits(&number, 13, 19) {
        return Err(wrong("number", "13 to 19 digits"));
    }
    let month = Month::read(&expiry).ok_or_else(|| wrong("expiry", "like \"12/2040\""))?;
    if !digits(&security_code, 3, 4) {
        return Err(wrong("security_code", "3 or 4 digits"));
    }
    let expired = (month < now).then(|| wrong("expiry", "this month or a later one"));
    Ok(Shown { card: Card { name, number, expiry, security_code }, expired })
}

fn digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Month = Month { year: 2031, month: 7 };

    fn read_card(card: &Value) -> Result<Shown, Problem> {
        read(Fields::parse(json!({ "card": card }).to_string().as_bytes()).unwrap(), NOW)
    }

    fn good() -> Value {
        json!({"name": "Ada", "number": "4111111111111111", "expiry": "07/2031", "security_code": "737"})
    }

    #[test]
    fn a_card_is_good_to_the_end_of_its_month() {
        let shown = read_card(&good()).unwrap();
        assert_eq!((shown.card.expiry.as_str(), shown.expired), ("07/2031", None));
        let mut past = good();
        past["expiry"] = json!("06/2031");
        assert_eq!(read_card(&past).unwrap().expired.unwrap().at_fault(), Some("card.expiry"));
    }

    #[test]
    fn each_field_at_fault_is_named_and_not_shown() {
        let wrong = [
            ("name", json!("")),
            ("name", json!("  ")),
            ("name", json!("n".repeat(65))),
            ("number", json!("411111111111")),
            ("number", json!("41111111111111111111")),
            ("number", json!("4111 1111 1111 1111")),
            ("number", json!(4_111_111_111_111_111_u64)),
            ("expiry", json!("13/2031")),
            ("expiry", json!("00/2031")),
            ("expiry", json!("7/2031")),
            ("expiry", json!("07/31")),
            ("expiry", json!("07-2031")),
            ("security_code", json!("12")),
            ("security_code", json!("12345")),
            ("security_code", json!("12x")),
            ("security_code", Value::Null),
        ];
        for (field, value) in wrong {
            let mut card = good();
            card[field] = value.clone();
            let problem = read_card(&card).unwrap_err();
            assert_eq!(problem.at_fault(), Some(format!("card.{field}").as_str()), "{value}");
            let shown = format!("{problem:?}");
            assert!(value.as_str().is_none_or(|text| text.len() < 5 || !shown.contains(text)), "{shown}");
        }
        assert_eq!(read_card(&json!("4111")).unwrap_err().at_fault(), Some("card"));
    }
}
