//! One operation of one client, from its beginning to its end.

use serde::ser::{Error, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Action, Answer, ItemSeen};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It certainly was not done, and never will be.
    Fail,
    /// It may have been done, or may yet be.
    Info,
}

/// An operation. Times are nanoseconds of one monotonic clock, from the beginning of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who did it. A client does one thing after the other.
    pub client: u32,
    /// In which session, by a number of this run; `None` without one.
    pub session: Option<u32>,
    /// What.
    pub action: Action,
    /// What it is about: an item id, `cart:…`, `seller:…`.
    pub key: String,
    /// What the client was told.
    pub answer: Answer,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub start_ns: u64,
    /// When it ended; `None` if it may take effect at any later time.
    pub end_ns: Option<u64>,
}

impl Event {
    /// Whether it was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Whether it may have been done: it was, or nobody knows.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.outcome != Outcome::Fail
    }

    /// The items that it was shown, as they were at one moment.
    #[must_use]
    pub fn items_seen(&self) -> &[ItemSeen] {
        match (&self.action, &self.answer) {
            (Action::GetItem, Answer::Item(item)) => std::slice::from_ref(item),
            (Action::ListItems | Action::SearchItems { .. }, Answer::Items(items)) => items,
            _ => &[],
        }
    }

    /// The name of the operation, and its argument.
    ///
    /// # Errors
    /// It can't be written as JSON.
    pub fn operation(&self) -> Result<(String, Value), serde_json::Error> {
        let mut action = serde_json::to_value(&self.action)?;
        let argument = action.get_mut("arg").map(Value::take).unwrap_or_default();
        let name = action.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((name, argument))
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, argument) = self.operation().map_err(S::Error::custom)?;
        let mut line = serializer.serialize_struct("Event", 9)?;
        line.serialize_field("client", &self.client)?;
        line.serialize_field("op", &name)?;
        line.serialize_field("key", &self.key)?;
        line.serialize_field("arg", &argument)?;
        line.serialize_field("result", &self.answer)?;
        line.serialize_field("outcome", &self.outcome)?;
        line.serialize_field("start_ns", &self.start_ns)?;
        line.serialize_field("end_ns", &self.end_ns)?;
        line.serialize_field("session", &self.session)?;
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use agora_clients::{Cents, ItemId};

    use super::*;

    #[test]
    fn a_line_has_the_fields_that_readers_expect() {
        let event = Event {
            client: 7,
            session: Some(3),
            action: Action::SetPrice(Cents(1234)),
            key: ItemId { category: 3, number: 17 }.to_string(),
            answer: Answer::Refused { code: "not_owner".into() },
            outcome: Outcome::Fail,
            start_ns: 5,
            end_ns: Some(9),
        };
        let line = serde_json::to_string(&event).unwrap();
        let expected = r#"{"client":7,"op":"set_price","key":"3-17","arg":"12.34","result":{"code":"not_owner"},"outcome":"fail","start_ns":5,"end_ns":9,"session":3}"#;
        assert_eq!(line, expected);
        let event = Event {
            action: Action::GetItem,
            answer: Answer::Nothing,
            outcome: Outcome::Info,
            end_ns: None,
            ..event
        };
        let line: Value = serde_json::to_value(&event).unwrap();
        assert_eq!(
            (&line["op"], &line["arg"], &line["result"], &line["end_ns"]),
            (&"get_item".into(), &Value::Null, &Value::Null, &Value::Null)
        );
    }
}
