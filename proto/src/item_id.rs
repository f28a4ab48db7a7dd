//! Item ids in their text form `CATEGORY-NUMBER`, their order, and their shape.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::common::ItemId;
use crate::limits::CATEGORY_MAX;

/// A text that is not an item id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an item id like \"3-17\"")]
pub struct ParseItemIdError;

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.category, self.number)
    }
}

impl FromStr for ItemId {
    type Err = ParseItemIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (category, number) = text.split_once('-').ok_or(ParseItemIdError)?;
        let canonical = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'))
        };
        if !canonical(category) || !canonical(number) {
            return Err(ParseItemIdError);
        }
        let category: u32 = category.parse().map_err(|_| ParseItemIdError)?;
        let number: u64 = number.parse().map_err(|_| ParseItemIdError)?;
        if category > CATEGORY_MAX || number == 0 {
            return Err(ParseItemIdError);
        }
        Ok(ItemId { category, number })
    }
}

impl Ord for ItemId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.category, self.number).cmp(&(other.category, other.number))
    }
}

impl PartialOrd for ItemId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_id() {
        let id = ItemId { category: 3, number: 17 };
        assert_eq!(id.to_string(), "3-17");
        assert_eq!("3-17".parse(), Ok(id));
        assert_eq!("0-1".parse(), Ok(ItemId { category: 0, number: 1 }));
        for text in [
            "",
            "-",
            "3",
            "3-",
            "-3",
            "3-0",
            "03-1",
            "3-01",
            "+3-1",
            "3--1",
            "3-1-1",
            "4294967296-1",
            "2147483648-1",
        ] {
            assert_eq!(text.parse::<ItemId>(), Err(ParseItemIdError), "{text:?}");
        }
    }
}
