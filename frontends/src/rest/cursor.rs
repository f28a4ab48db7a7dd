//! Opaque cursors: where the next page of a listing begins.
//!
//! A cursor is hex of: version, kind of listing, position (two numbers), and a check over these and over what the listing was
//! asked for. The check is no secret: it tells a cursor of this listing from one of another, and from a mistyped one. A
//! forged one gains nothing, because a cursor only says where to go on in what the caller may see anyway.

use agora_proto::key_hash;

use crate::problem::Problem;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 6;
const BYTES: usize = 2 + 2 * 8 + CHECK_BYTES;

/// Which listing a cursor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A search. Its pages belong to one category and one set of keywords.
    Search = 1,
    /// A seller's own items.
    OwnItems = 2,
    /// A buyer's purchases.
    Purchases = 3,
}

/// Where a listing goes on: two numbers, whose sense each listing knows.
pub type Position = (u64, u64);

/// The text of a cursor. `asked_for` is what the listing's pages must have in common.
pub fn encode(listing: Listing, asked_for: &[u8], position: Position) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend([VERSION, listing as u8]);
    bytes.extend(position.0.to_be_bytes());
    bytes.extend(position.1.to_be_bytes());
    let check = key_hash(&[b"cursor", &bytes, asked_for]);
    bytes.extend(&check[..CHECK_BYTES]);
    let mut text = String::with_capacity(2 * BYTES);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

/// The position that a cursor stands for.
///
/// # Errors
/// It is no cursor of this listing, asked for like this.
pub fn decode(listing: Listing, asked_for: &[u8], text: &str) -> Result<Position, Problem> {
    read(text)
        .filter(|position| encode(listing, asked_for, *position) == text)
        .ok_or_else(|| Problem::field("cursor", "this is not the next_cursor of a page of this listing"))
}

fn read(text: &str) -> Option<Position> {
    let digits = text.as_bytes();
    if digits.len() != 2 * BYTES || !digits.is_ascii() {
        return None;
    }
    let number = |from: usize| u64::from_str_radix(text.get(from..from + 16)?, 16).ok();
    Some((number(4)?, number(20)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LISTINGS: [Listing; 3] = [Listing::Search, Listing::OwnItems, Listing::Purchases];

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_position(a: u64, b: u64, n in 0_usize..3, asked: Vec<u8>) {
            prop_assert_eq!(decode(LISTINGS[n], &asked, &encode(LISTINGS[n], &asked, (a, b))), Ok((a, b)));
        }

        #[test]
        fn a_cursor_with_one_other_character_is_refused(a: u64, b: u64, at in 0..2 * BYTES, other in "[0-9a-fA-F ]") {
            let cursor = encode(Listing::Search, b"", (a, b));
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &other);
            prop_assume!(changed != cursor);
            prop_assert!(decode(Listing::Search, b"", &changed).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            prop_assert!(decode(Listing::Search, b"", &text).is_err());
        }
    }

    #[test]
    fn a_cursor_of_another_listing_or_another_search_is_refused() {
        let cursor = encode(Listing::Search, b"lamps", (1, 2));
        for (listing, asked) in [(Listing::OwnItems, &b"lamps"[..]), (Listing::Search, b"chairs")] {
            let problem = decode(listing, asked, &cursor).unwrap_err();
            assert_eq!((problem.code(), problem.at_fault()), ("invalid_field", Some("cursor")));
        }
    }
}
