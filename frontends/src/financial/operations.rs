//! The operations, with their parameters checked.

use std::collections::BTreeMap;
use std::fmt;

use super::soap::{FINANCIAL_NAMESPACE, Fault, read_parameters};
use super::xml::Element;
use crate::month::Month;

/// Longest transaction id, in characters.
const TRANSACTION_ID_CHARS: usize = 128;
/// Longest name on a card, in characters.
const CARD_NAME_CHARS: usize = 128;

/// What the service can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Authorize(AuthorizePayment),
    Void { transaction_id: String },
}

/// A payment to decide on.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AuthorizePayment {
    pub transaction_id: String,
    pub card_name: String,
    pub card_number: String,
    pub expiry: String,
    /// Whether the card's last month is over.
    pub expired: bool,
    pub amount_cents: u64,
}

/// Without what is on the card, so that it gets into no log.
impl fmt::Debug for AuthorizePayment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizePayment")
            .field("transaction_id", &self.transaction_id)
            .field("amount_cents", &self.amount_cents)
            .finish_non_exhaustive()
    }
}

impl Operation {
    /// The operation that the body of an envelope asks for, in this month.
    ///
    /// # Errors
    /// A fault says which parameter is wrong, and what it must be. It never repeats what was given.
    pub(crate) fn read(element: &Element, now: Month) -> Result<Self, Fault> {
        if element.namespace != FINANCIAL_NAMESPACE {
            return Err(Fault::client(format!("operations are in the namespace {FINANCIAL_NAMESPACE}")));
        }
        match element.name.as_str() {
            "AuthorizePayment" => authorize(element, now).map(Operation::Authorize),
            "VoidPayment" => {
                let mut parameters = read_parameters(element, &["transaction_id"])?;
                Ok(Operation::Void { transaction_id: transaction_id(&mut parameters)? })
            }
            _ => Err(Fault::client("there is no such operation: there are AuthorizePayment and VoidPayment")),
        }
    }
}

fn authorize(element: &Element, now: Month) -> Result<AuthorizePayment, Fault> {
    let names = ["transaction_id", "card_name", "card_number", "expiry", "security_code", "amount_cents"];
    let mut parameters = read_parameters(element, &names)?;
    let transaction_id = transaction_id(&mut parameters)?;
    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
    let (card_name, card_number, expiry) = (take("card_name"), take("card_number"), take("expiry"));
    let (security_code, amount) = (take("security_code"), take("amount_cents"));
    text("card_name", &card_name, CARD_NAME_CHARS)?;
    if !digits(&card_number, 13, 19) {
        return Err(Fault::client("card_number must have 13 to 19 digits"));
    }
    let last =
        Month::read(&expiry).ok_or_else(|| Fault::client("expiry must be a month and a year, MM/YYYY"))?;
    // Checked, and then forgotten: a security code may not be kept in any form.
    if !digits(&security_code, 3, 4) {
        return Err(Fault::client("security_code must have 3 or 4 digits"));
    }
    let amount_cents = Some(amount)
        .filter(|amount| digits(amount, 1, 20))
        .and_then(|amount| amount.parse().ok())
        .filter(|cents| *cents > 0)
        .ok_or_else(|| Fault::client("amount_cents must be a whole number above 0"))?;
    let expired = last < now;
    Ok(AuthorizePayment { transaction_id, card_name, card_number, expiry, expired, amount_cents })
}

fn transaction_id(parameters: &mut BTreeMap<String, String>) -> Result<String, Fault> {
    let id = parameters.remove("transaction_id").unwrap_or_default();
    text("transaction_id", &id, TRANSACTION_ID_CHARS)?;
    Ok(id)
}

fn text(name: &str, value: &str, most: usize) -> Result<(), Fault> {
    if value.is_empty() || value.chars().count() > most || value.chars().any(char::is_control) {
        return Err(Fault::client(format!(
            "{name} must have 1 to {most} characters, none of them a control character"
        )));
    }
    Ok(())
}

fn digits(value: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::soap::{FaultCode, read_body, write_message};
    use super::*;

    const NOW: Month = Month { year: 2031, month: 7 };
    const GOOD: [(&str, &str); 6] = [
        ("transaction_id", "t-1"),
        ("card_name", "Ada Lovelace"),
        ("card_number", "4111111111111111"),
        ("expiry", "07/2031"),
        ("security_code", "123"),
        ("amount_cents", "1234"),
    ];

    fn read(name: &str, parameters: &[(&str, &str)]) -> Result<Operation, Fault> {
        Operation::read(&read_body(write_message(name, parameters).as_bytes()).unwrap(), NOW)
    }

    fn with(name: &str, value: &str) -> Result<Operation, Fault> {
        read("AuthorizePayment", &GOOD.map(|(n, v)| if n == name { (n, value) } else { (n, v) }))
    }

    #[test]
    fn a_right_payment_is_read_and_shows_no_card() {
        let operation = read("AuthorizePayment", &GOOD).unwrap();
        let shown = format!("{operation:?}");
        assert!(shown.contains("t-1") && shown.contains("1234"), "{shown}");
        assert!(!shown.contains("4111") && !shown.contains("Ada") && !shown.contains("2031"), "{shown}");
    }

    #[test]
    fn each_wrong_parameter_is_named_and_not_repeated() {
        let long = "9".repeat(200);
        for (name, wrong) in [
            ("transaction_id", vec!["", "   ", &long, "a\u{85}b"]),
            ("card_name", vec!["", &long, "A\nB"]),
            (
                "card_number",
                vec![
                    "",
                    "411111111111",
                    "41111111111111111111",
                    "4111-1111-1111-1111",
                    "４１１１１１１１１１１１１１１１",
                ],
            ),
            (
                "expiry",
                vec![
                    "",
                    "7/2031",
                    "13/2031",
                    "00/2031",
                    "07/31",
                    "07-2031",
                    "07/20311",
                    "+7/2031",
                    "0７/2031",
                ],
            ),
            ("security_code", vec!["", "12", "12345", "12a", "-12"]),
            ("amount_cents", vec!["", "0", "-1", "1.5", "1e3", "18446744073709551616", "+1", "0x10", &long]),
        ] {
            for value in wrong {
                let fault = with(name, value).unwrap_err();
                assert_eq!(fault.code, FaultCode::Client);
                assert!(fault.text.starts_with(name), "{name}={value}: {}", fault.text);
                assert!(value.len() < 5 || !fault.text.contains(value), "{}", fault.text);
            }
        }
        assert!(with("amount_cents", "18446744073709551615").is_ok());
    }

    #[test]
    fn a_card_is_good_to_the_end_of_its_month() {
        let expired = |expiry| match with("expiry", expiry).unwrap() {
            Operation::Authorize(payment) => payment.expired,
            Operation::Void { .. } => panic!("no authorization"),
        };
        assert!(!expired("07/2031") && !expired("01/2032"));
        assert!(expired("06/2031") && expired("12/2030"));
    }

    #[test]
    fn unknown_operations_and_missing_parameters_are_faults() {
        assert!(read("RefundPayment", &GOOD).unwrap_err().text.contains("no such operation"));
        for missing in 0..GOOD.len() {
            let mut parameters = GOOD.to_vec();
            let (name, _) = parameters.remove(missing);
            assert_eq!(read("AuthorizePayment", &parameters).unwrap_err().text, format!("{name} is missing"));
        }
        let foreign =
            Element { namespace: "urn:other".into(), name: "VoidPayment".into(), ..Element::default() };
        assert!(Operation::read(&foreign, NOW).unwrap_err().text.contains("namespace"));
    }
}
