//! One operation of one client, from its beginning to its end.

use serde::de::Error as _;
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Action, Answer, ItemSeen};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

/// An event as its line has it.
#[derive(Deserialize)]
struct Line {
    client: u32,
    op: String,
    key: String,
    #[serde(default)]
    arg: Value,
    #[serde(default)]
    result: Value,
    outcome: Outcome,
    start_ns: u64,
    end_ns: Option<u64>,
    session: Option<u32>,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Line { client, op, key, arg, result, outcome, start_ns, end_ns, session } =
            Line::deserialize(deserializer)?;
        let action = serde_json::from_value(json!({ "op": op, "arg": arg })).map_err(D::Error::custom)?;
        let answer = Answer::read(&action, result).map_err(D::Error::custom)?;
        Ok(Event { client, session, action, key, answer, outcome, start_ns, end_ns })
    }
}

#[cfg(test)]
mod tests {
    use agora_clients::{Cents, ItemId};

    use super::*;

    fn each_action_with_an_answer() -> Vec<(Action, Answer)> {
        use std::collections::BTreeMap;

        use agora_clients::model::{
            Feedback, PurchaseLine, Rating, RegisteredItem, SavedCart, UnitsOnSale, Vote,
        };

        use crate::history::{CartSeen, Offer, PurchaseSeen, Units};

        let item_id = ItemId { category: 3, number: 17 };
        let (units, user) = (Units { item_id, quantity: 2 }, Answer::User { user_id: 5 });
        let offer = Offer { name: "lamp".into(), category: 3, price: Cents(1234), quantity: 9 };
        let item = ItemSeen {
            item_id,
            name: "lamp".into(),
            price: Cents(1234),
            quantity: 9,
            thumbs_up: 1,
            thumbs_down: 2,
        };
        let rating = Rating { seller_id: 5, thumbs_up: 1, thumbs_down: 2, items_sold: 3 };
        let cart = Answer::Cart(CartSeen { lines: BTreeMap::from([(item_id, 2)]), saved_version: 4 });
        let line =
            PurchaseLine { item_id, name: "lamp".into(), seller_id: 5, price: Cents(1234), quantity: 2 };
        let purchase = PurchaseSeen { purchase_id: "p".into(), total: Cents(2468), lines: vec![line] };
        let search = Action::SearchItems { category: Some(3), keywords: vec!["lamp".into()] };
        vec![
            (Action::CreateSeller, user.clone()),
            (Action::CreateBuyer, user.clone()),
            (Action::LoginSeller, user.clone()),
            (Action::LoginBuyer, user),
            (Action::LogoutSeller, Answer::Nothing),
            (Action::LogoutBuyer, Answer::Nothing),
            (
                Action::AddItem(offer),
                Answer::Registered(RegisteredItem { item_id, quantity: 9, merged: true }),
            ),
            (Action::SetPrice(Cents(1234)), Answer::Item(item.clone())),
            (Action::AddUnits(-3), Answer::Units(UnitsOnSale { item_id, quantity: 6 })),
            (Action::RemoveItem, Answer::Nothing),
            (Action::ListItems, Answer::Items(vec![item.clone()])),
            (Action::ListItems, Answer::Items(Vec::new())),
            (Action::GetSellerRating, Answer::Rating(rating)),
            (search, Answer::Items(vec![item.clone()])),
            (Action::SearchItems { category: None, keywords: Vec::new() }, Answer::Items(Vec::new())),
            (Action::GetItem, Answer::Item(item)),
            (Action::AddToCart(units), cart.clone()),
            (Action::RemoveFromCart(units), cart.clone()),
            (Action::DisplayCart, cart),
            (Action::SaveCart(None), Answer::Saved(SavedCart { saved_version: 4 })),
            (Action::SaveCart(Some(3)), Answer::Saved(SavedCart { saved_version: 4 })),
            (Action::ClearCart, Answer::Nothing),
            (Action::MakePurchase(vec![units]), Answer::Purchase(purchase)),
            (Action::GiveFeedback(Vote::Up), Answer::Feedback(Feedback { thumbs_up: 1, thumbs_down: 2 })),
            (Action::ListPurchases, Answer::Purchases(vec!["p".into()])),
            (Action::ListPurchases, Answer::Purchases(Vec::new())),
        ]
    }

    #[test]
    fn what_is_written_reads_back() {
        for (action, answer) in each_action_with_an_answer() {
            let refused = Answer::Refused { code: "invalid_session".into() };
            let none = Answer::None { error: "no one there".into() };
            for (answer, outcome, end_ns, session) in [
                (answer, Outcome::Ok, Some(9), Some(3)),
                (refused, Outcome::Fail, Some(9), None),
                (none, Outcome::Info, None, Some(3)),
            ] {
                let (action, key) = (action.clone(), "key".to_owned());
                let event = Event { client: 7, session, action, key, answer, outcome, start_ns: 5, end_ns };
                let line = serde_json::to_string(&event).unwrap();
                assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
            }
        }
    }

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
