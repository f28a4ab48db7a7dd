//! Ids in paths, `/items/3-17` and `/sellers/4/rating`. Reading is put off until an operation asks, as with query strings.

use std::convert::Infallible;
use std::fmt::Display;

use agora_proto::common::ItemId;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::problem::Problem;

/// The one variable part of a path, decoded; none if it is not UTF-8.
#[derive(Debug)]
pub struct PathId(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        Ok(PathId(found.ok().and_then(|found| found.iter().next().map(|(_, value)| value.to_owned()))))
    }
}

impl PathId {
    /// An item's id.
    ///
    /// # Errors
    /// `malformed_request`: not UTF-8. `invalid_field`: no item id.
    pub fn item(&self) -> Result<ItemId, Problem> {
        let text = self.text()?;
        text.parse().map_err(|error: agora_proto::ParseItemIdError| wrong("item_id", error))
    }

    /// A seller's id.
    ///
    /// # Errors
    /// `malformed_request`: not UTF-8. `invalid_field`: no number.
    pub fn seller(&self) -> Result<u64, Problem> {
        let text = self.text()?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let id = digits.then(|| text.parse().ok()).flatten();
        id.ok_or_else(|| wrong("seller_id", "not a whole number"))
    }

    fn text(&self) -> Result<&str, Problem> {
        self.0.as_deref().ok_or_else(|| Problem::malformed("the path is not UTF-8"))
    }
}

fn wrong(field: &str, why: impl Display) -> Problem {
    Problem::field(field, format!("{field} in the path: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_none_is_told_by_its_field() {
        let at_fault = |problem: Problem| problem.at_fault().map(str::to_owned);
        for text in ["", "x", "-1", "3-", "99999999999999999999", "+1"] {
            let id = PathId(Some(text.to_owned()));
            assert_eq!(at_fault(id.item().unwrap_err()).as_deref(), Some("item_id"), "{text}");
            assert_eq!(at_fault(id.seller().unwrap_err()).as_deref(), Some("seller_id"), "{text}");
        }
        assert_eq!(PathId(None).item().unwrap_err().code(), "malformed_request");
        assert_eq!(PathId(Some("17".into())).seller(), Ok(17));
    }
}
