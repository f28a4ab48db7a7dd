//! The limits of single fields. Each refusal names the field and says what it must be.

use agora_proto::common::{Code, Refusal};
use agora_proto::limits::{
    AUTHORIZATION_ID_CHARS, CATEGORY_MAX, ITEM_NAME_CHARS, KEYWORD_CHARS, KEYWORDS, PAGE_ITEMS_MAX,
    PRICE_MAX_CENTS, UNITS_MAX,
};
use agora_proto::product as proto;
use agora_proto::text::is_blank;

use crate::item::Condition;
use crate::keywords::Keywords;

pub fn name(name: &str) -> Result<(), Refusal> {
    text("name", name, ITEM_NAME_CHARS)
}

/// What names an approved payment.
pub fn authorization_id(id: &str) -> Result<(), Refusal> {
    text("authorization_id", id, AUTHORIZATION_ID_CHARS)
}

/// An item's keywords.
pub fn keywords(words: &[String]) -> Result<Keywords, Refusal> {
    each_keyword("keywords", words)?;
    Ok(Keywords::distinct(words))
}

/// The keywords of a search; equal ones count once.
pub fn searched(words: &[String]) -> Result<Keywords, Refusal> {
    each_keyword("keyword", words)?;
    Ok(Keywords::distinct(words))
}

fn each_keyword(field: &str, words: &[String]) -> Result<(), Refusal> {
    if words.len() > KEYWORDS {
        return Err(Refusal::field(field, format!("at most {KEYWORDS} keywords, not {}", words.len())));
    }
    words.iter().try_for_each(|word| text(field, word, KEYWORD_CHARS))
}

/// Not blank, at most `most` characters, none of them a control character.
fn text(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if is_blank(text) {
        return Err(Refusal::field(field, "must not be blank"));
    }
    let chars = text.chars().count();
    if chars > most {
        return Err(Refusal::field(field, format!("at most {most} characters, not {chars}")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::field(field, "must not contain control characters"));
    }
    Ok(())
}

pub fn category(category: u32) -> Result<(), Refusal> {
    if category <= CATEGORY_MAX {
        Ok(())
    } else {
        Err(Refusal::field("category", format!("at most {CATEGORY_MAX}, not {category}")))
    }
}

pub fn condition(condition: i32) -> Result<Condition, Refusal> {
    match proto::Condition::try_from(condition) {
        Ok(proto::Condition::New) => Ok(Condition::New),
        Ok(proto::Condition::Used) => Ok(Condition::Used),
        Ok(proto::Condition::Unspecified) | Err(_) => Err(Refusal::field("condition", "must be new or used")),
    }
}

pub fn price(cents: u64) -> Result<(), Refusal> {
    if (1..=PRICE_MAX_CENTS).contains(&cents) {
        Ok(())
    } else {
        Err(Refusal::field("price", format!("from 1 to {PRICE_MAX_CENTS} cents, not {cents}")))
    }
}

/// The units that an item would have, on sale and reserved together.
pub fn units(field: &str, units: u64) -> Result<(), Refusal> {
    if units <= UNITS_MAX {
        Ok(())
    } else {
        Err(Refusal::field(field, format!("an item has at most {UNITS_MAX} units, and would have {units}")))
    }
}

/// The length of a page.
pub fn limit(limit: u32) -> Result<usize, Refusal> {
    if (1..=PAGE_ITEMS_MAX).contains(&limit) {
        Ok(limit as usize)
    } else {
        Err(Refusal::field("limit", format!("from 1 to {PAGE_ITEMS_MAX}, not {limit}")))
    }
}

/// A table is at its bound.
pub fn full(what: &str) -> Refusal {
    Refusal::new(Code::RateLimited, format!("no more {what} can be kept now; try again later"))
}
