//! What a field must be. Each check turns what came over the wire into a type of this crate, or says which field is at
//! fault and what it must be. Lengths count Unicode characters.

use agora_proto::common::{self, Refusal};
use agora_proto::limits::{CATEGORY_MAX, PASSWORD_HASH_BYTES};
use agora_proto::text::is_blank;
use bytes::Bytes;

use crate::keys::{ClaimKey, ItemKey, PurchaseKey, Role, TokenHash};

/// A text of 1 to `most` characters, none of them a control character.
pub(crate) fn text(field: &'static str, value: &str, most: usize) -> Result<(), Refusal> {
    // A character has at most 4 bytes: what is longer need not be counted.
    if value.is_empty() || value.len() > most.saturating_mul(4) || value.chars().count() > most {
        return Err(Refusal::field(field, format!("must have 1 to {most} characters")));
    }
    if value.chars().any(char::is_control) {
        return Err(Refusal::field(field, "must not have control characters"));
    }
    Ok(())
}

/// A text by which people tell who it is: something of it can be seen.
pub(crate) fn name(field: &'static str, value: &str, most: usize) -> Result<(), Refusal> {
    text(field, value, most)?;
    if is_blank(value) { Err(Refusal::field(field, "must not be blank")) } else { Ok(()) }
}

/// A password hash in the PHC form. What is checked keeps plain passwords out that a broken frontend might send.
pub(crate) fn password_hash(value: &str) -> Result<(), Refusal> {
    let phc = value.starts_with('$') && value.bytes().all(|byte| byte.is_ascii_graphic());
    if phc && value.len() <= PASSWORD_HASH_BYTES {
        Ok(())
    } else {
        Err(Refusal::field(
            "password_hash",
            format!("must be a PHC string of at most {PASSWORD_HASH_BYTES} bytes"),
        ))
    }
}

pub(crate) fn role(value: i32) -> Result<Role, Refusal> {
    match common::Role::try_from(value) {
        Ok(common::Role::Buyer) => Ok(Role::Buyer),
        Ok(common::Role::Seller) => Ok(Role::Seller),
        Ok(common::Role::Unspecified) | Err(_) => Err(Refusal::field("role", "must be buyer or seller")),
    }
}

pub(crate) fn token_hash(value: &Bytes) -> Result<TokenHash, Refusal> {
    <[u8; 32]>::try_from(&value[..])
        .map(TokenHash)
        .map_err(|_| Refusal::field("token_hash", "must have 32 bytes"))
}

pub(crate) fn purchase_id(value: &Bytes) -> Result<PurchaseKey, Refusal> {
    <[u8; 16]>::try_from(&value[..])
        .map(PurchaseKey)
        .map_err(|_| Refusal::field("purchase_id", "must have 16 bytes"))
}

pub(crate) fn claim_id(value: &Bytes) -> Result<ClaimKey, Refusal> {
    <[u8; 16]>::try_from(&value[..])
        .map(ClaimKey)
        .map_err(|_| Refusal::field("claim_id", "must have 16 bytes"))
}

pub(crate) fn item(value: Option<common::ItemId>) -> Result<ItemKey, Refusal> {
    let item = value.ok_or_else(|| Refusal::field("item", "is missing"))?;
    if item.category > CATEGORY_MAX || item.number == 0 {
        return Err(Refusal::field(
            "item",
            format!("must be a category up to {CATEGORY_MAX} and a number from 1"),
        ));
    }
    Ok(ItemKey { category: item.category, number: item.number })
}

/// Units to put into a cart, or to take out of one. Whether so many are in stock, or in the cart, is told before whether a
/// cart takes so many.
pub(crate) fn quantity(value: u32) -> Result<u32, Refusal> {
    if value == 0 { Err(Refusal::field("quantity", "must be 1 or more")) } else { Ok(value) }
}

/// The first `most` characters.
pub(crate) fn cut(mut value: String, most: usize) -> String {
    if let Some((end, _)) = value.char_indices().nth(most) {
        value.truncate(end);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_characters_and_not_bytes() {
        assert!(text("username", &"ß".repeat(32), 32).is_ok());
        assert!(text("username", &"🦀".repeat(32), 32).is_ok());
        assert!(text("username", &"🦀".repeat(33), 32).is_err());
        assert!(text("username", &"x".repeat(33), 32).is_err());
        assert!(text("username", "", 32).is_err());
        assert!(text("username", "line\nbreak", 32).is_err());
    }

    #[test]
    fn a_plain_password_is_no_password_hash() {
        assert!(password_hash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA").is_ok());
        for wrong in ["", "hunter2", "$argon2id$ x", "$π", &format!("${}", "x".repeat(PASSWORD_HASH_BYTES))]
        {
            assert!(password_hash(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("añb".into(), 2), "añ");
        assert_eq!(cut("ab".into(), 2), "ab");
    }
}
