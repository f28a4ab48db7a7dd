//! JSON bodies: read within bounds, and taken apart field by field so that each mistake is told by its field.
//!
//! A body must be one JSON object. A field that the operation does not know is refused and not overlooked: a caller that
//! writes `expectedVersion` should learn it before it loses an update.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use agora_proto::Cents;
use agora_proto::common::ItemId;
use agora_proto::text::is_blank;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use crate::problem::Problem;

/// Largest body of a request.
pub const BODY_BYTES: usize = 64 * 1024;
/// How much of a larger body is read and thrown away, so that its sender gets to see the answer instead of a reset.
const DISCARDED_BYTES: usize = 1024 * 1024;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);

/// The object that a request's body is. Whoever takes it apart calls [`Fields::finish`] at the end.
#[derive(Debug)]
pub struct Fields {
    /// Leads to this object from the body: `card.`, or nothing.
    path: &'static str,
    values: BTreeMap<String, Value>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = receive(body).await?;
        check_media_type(&parts.headers)?;
        Fields::parse(&bytes)
    }
}

/// A body that may be left out altogether, which is the same as an object without fields.
#[derive(Debug)]
pub struct OptionalFields(pub Fields);

impl<S: Send + Sync> FromRequest<S> for OptionalFields {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = receive(body).await?;
        if bytes.is_empty() {
            return Ok(OptionalFields(Fields { path: "", values: BTreeMap::new() }));
        }
        check_media_type(&parts.headers)?;
        Fields::parse(&bytes).map(OptionalFields)
    }
}

async fn receive(body: Body) -> Result<Bytes, Problem> {
    tokio::time::timeout(ARRIVAL, collect(body)).await.map_err(|_| Problem::request_timeout())?
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut collected = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body broke off"))?;
        length += chunk.len();
        if length <= BODY_BYTES {
            collected.extend_from_slice(&chunk);
        } else if length > BODY_BYTES + DISCARDED_BYTES {
            break;
        }
    }
    if length > BODY_BYTES { Err(Problem::payload_too_large(BODY_BYTES)) } else { Ok(collected.freeze()) }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json { Ok(()) } else { Err(Problem::unsupported_media_type()) }
}

impl Fields {
    /// The object in these bytes.
    ///
    /// # Errors
    /// `malformed_request`: they are no JSON object in UTF-8, it is nested too deeply, or names a field twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::malformed("the body is not UTF-8"))?;
        if text.trim().is_empty() {
            return Err(Problem::malformed("the body is empty; it must be a JSON object"));
        }
        if !text.trim_start().starts_with('{') {
            return Err(Problem::malformed("the body must be a JSON object"));
        }
        // Where it is wrong, but not what stands there: that may be a password.
        let unreadable = |error: serde_json::Error| {
            // There is no kind for it, only this text.
            let what = match error.to_string().starts_with("recursion limit") {
                true => "the body is nested too deeply",
                false if error.is_data() => TWICE,
                false => "the body is not JSON",
            };
            Problem::malformed(format!("{what} (line {} column {})", error.line(), error.column()))
        };
        let Object(values) = serde_json::from_str(text).map_err(unreadable)?;
        Ok(Fields { path: "", values })
    }

    /// The problem with one of this object's fields.
    fn wrong(&self, name: &str, must: impl fmt::Display) -> Problem {
        Problem::field(format!("{}{name}", self.path), format!("{}{name} {must}", self.path))
    }

    fn take(&mut self, name: &str) -> Result<Value, Problem> {
        self.values.remove(name).ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A text of so many Unicode characters.
    ///
    /// # Errors
    /// `invalid_field`: missing, no text, too short or too long, or with control characters.
    pub fn text(&mut self, name: &str, chars: std::ops::RangeInclusive<usize>) -> Result<String, Problem> {
        let Value::String(text) = self.take(name)? else { return Err(self.wrong(name, "must be a text")) };
        let count = text.chars().count();
        if !chars.contains(&count) {
            let must = format!("must have {} to {} characters, not {count}", chars.start(), chars.end());
            return Err(self.wrong(name, must));
        }
        if text.chars().any(char::is_control) {
            return Err(self.wrong(name, "must not contain control characters"));
        }
        Ok(text)
    }

    /// A text of at most so many characters, of which something can be seen.
    ///
    /// # Errors
    /// As [`Fields::text`]; or it is blank.
    pub fn name(&mut self, name: &str, most: usize) -> Result<String, Problem> {
        let text = self.text(name, 1..=most)?;
        if is_blank(&text) { Err(self.wrong(name, "must not be blank")) } else { Ok(text) }
    }

    /// A whole number in this range.
    ///
    /// # Errors
    /// `invalid_field`: missing, no whole number, or out of range.
    pub fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, Problem> {
        let value = self.take(name)?;
        let must = || format!("must be a whole number from {} to {}", range.start(), range.end());
        let number = value.as_i64().filter(|number| range.contains(number));
        number.ok_or_else(|| self.wrong(name, must()))
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// As [`Fields::integer`].
    pub fn count(&mut self, name: &str, least: u32, most: u32) -> Result<u32, Problem> {
        let number = self.integer(name, least.into()..=most.into())?;
        u32::try_from(number).map_err(|_| self.wrong(name, "is out of range"))
    }

    /// A whole number that may be left out, or be null.
    ///
    /// # Errors
    /// `invalid_field`: it is there and no whole number from 0.
    pub fn optional_number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        match self.values.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number from 0"))
            }
        }
    }

    /// One of these words.
    ///
    /// # Errors
    /// `invalid_field`: missing, or none of them.
    pub fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, Problem> {
        let value = self.take(name)?;
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        let must = || {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            format!("must be {}", words.join(" or "))
        };
        found.map(|(_, meaning)| *meaning).ok_or_else(|| self.wrong(name, must()))
    }

    /// A price: dollars as a text, more than nothing.
    ///
    /// # Errors
    /// `invalid_field`: missing, no such text, nothing, or too much.
    pub fn price(&mut self, name: &str, most: Cents) -> Result<Cents, Problem> {
        let must = || format!("must be a text like \"12.34\", more than \"0\" and at most \"{most}\"");
        let value = self.take(name)?;
        let price = value.as_str().and_then(|text| text.parse().ok());
        price.filter(|price| (Cents(1)..=most).contains(price)).ok_or_else(|| self.wrong(name, must()))
    }

    /// An item's id.
    ///
    /// # Errors
    /// `invalid_field`: missing, or no such text.
    pub fn item_id(&mut self, name: &str) -> Result<ItemId, Problem> {
        let value = self.take(name)?;
        let id = value.as_str().and_then(|text| text.parse().ok());
        id.ok_or_else(|| self.wrong(name, "must be a text like \"3-17\""))
    }

    /// A list of texts of so many Unicode characters each.
    ///
    /// # Errors
    /// `invalid_field`: missing, no list, too many, or one of them is no such text.
    pub fn texts(
        &mut self,
        name: &str,
        most: usize,
        chars: std::ops::RangeInclusive<usize>,
    ) -> Result<Vec<String>, Problem> {
        let must = format!(
            "must be a list of at most {most} texts of {} to {} characters each",
            chars.start(),
            chars.end()
        );
        let Value::Array(values) = self.take(name)? else { return Err(self.wrong(name, must)) };
        let text = |value: Value| match value {
            Value::String(text)
                if chars.contains(&text.chars().count()) && !text.chars().any(char::is_control) =>
            {
                Some(text)
            }
            _ => None,
        };
        if values.len() > most {
            return Err(self.wrong(name, must));
        }
        values.into_iter().map(text).collect::<Option<_>>().ok_or_else(|| self.wrong(name, must))
    }

    /// An object within this one; `path` is what its fields are called by, as in `card.`.
    ///
    /// # Errors
    /// `invalid_field`: missing, or no object.
    pub fn object(&mut self, name: &str, path: &'static str) -> Result<Fields, Problem> {
        match self.take(name)? {
            Value::Object(values) => Ok(Fields { path, values: values.into_iter().collect() }),
            _ => Err(self.wrong(name, "must be an object")),
        }
    }

    /// Says that all fields were taken.
    ///
    /// # Errors
    /// `invalid_field`: one is left that the operation does not know.
    pub fn finish(self) -> Result<(), Problem> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => {
                let shown: String = name.chars().take(64).collect();
                Err(self.wrong(&shown, "is not a field of this request"))
            }
        }
    }
}

const TWICE: &str = "the body names a field twice";

/// A JSON object without doubled names. serde_json alone would let the last one win, and others along the way the first.
struct Object(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if values.insert(name, value).is_some() {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(Object(values))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).unwrap()
    }

    fn at_fault<T: fmt::Debug>(result: Result<T, Problem>) -> String {
        let problem = result.unwrap_err();
        assert_eq!(problem.code(), "invalid_field");
        problem.at_fault().unwrap().to_owned()
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let bodies: [&[u8]; 12] = [
            b"",
            b"  ",
            b"{",
            b"nonsense",
            b"[]",
            b"\"text\"",
            b"17",
            b"null",
            b"{} {}",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":\"\xff\"}",
            deep.as_bytes(),
        ];
        for body in bodies {
            let problem = Fields::parse(body).unwrap_err();
            assert_eq!(problem.code(), "malformed_request", "{:?}", &body[..body.len().min(40)]);
        }
    }

    #[test]
    fn a_body_that_is_nested_too_deeply_is_told_so() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let problem = Fields::parse(deep.as_bytes()).unwrap_err();
        assert!(format!("{problem:?}").contains("nested too deeply"), "{problem:?}");
    }

    #[test]
    fn a_malformed_body_is_not_repeated_in_the_answer() {
        for body in ["\"secret\"", "{\"password\":\"secret\" x", "{\"password\":secret}"] {
            let problem = Fields::parse(body.as_bytes()).unwrap_err();
            assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
        }
    }

    #[test]
    fn lengths_count_characters() {
        assert_eq!(fields(r#"{"n":"žluťoučký"}"#).text("n", 1..=9).unwrap(), "žluťoučký");
        for body in [
            r#"{"n":"0123456789"}"#,
            r#"{"n":""}"#,
            r#"{"n":7}"#,
            r#"{"n":null}"#,
            r#"{"n":"a\u0000"}"#,
            "{}",
        ] {
            assert_eq!(at_fault(fields(body).text("n", 1..=9)), "n", "{body}");
        }
    }

    #[test]
    fn a_name_can_be_seen() {
        assert_eq!(fields(r#"{"n":" Ada "}"#).name("n", 9).unwrap(), " Ada ");
        for body in [r#"{"n":" "}"#, r#"{"n":"\u200b\u00a0"}"#, r#"{"n":"0123456789"}"#, "{}"] {
            assert_eq!(at_fault(fields(body).name("n", 9)), "n", "{body}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        assert_eq!(fields(r#"{"n":-3}"#).integer("n", -3..=3).unwrap(), -3);
        for number in
            ["4", "-4", "1.0", "1e300", "99999999999999999999999", "\"1\"", "true", "null", "[1]", "-0.5"]
        {
            assert_eq!(
                at_fault(fields(&format!("{{\"n\":{number}}}")).integer("n", -3..=3)),
                "n",
                "{number}"
            );
        }
    }

    #[test]
    fn a_price_is_a_text_of_at_most_two_decimals_and_more_than_nothing() {
        let price = |text: &str| fields(&format!("{{\"price\":{text}}}")).price("price", Cents(100_000));
        assert_eq!(price("\"12.3\"").unwrap(), Cents(1230));
        for text in [
            "12.34",
            "12",
            "\"0\"",
            "\"0.00\"",
            "\"-1\"",
            "\"1.234\"",
            "\"1000.01\"",
            "\"1e2\"",
            "\"\"",
            "null",
            "\"NaN\"",
        ] {
            assert_eq!(at_fault(price(text)), "price", "{text}");
        }
    }

    #[test]
    fn lists_are_bounded_in_number_and_length() {
        let texts = |text: &str| fields(&format!("{{\"k\":{text}}}")).texts("k", 2, 1..=3);
        assert_eq!(texts(r#"["a","bcd"]"#).unwrap(), ["a", "bcd"]);
        for text in [r#"["a","b","c"]"#, r#"["abcd"]"#, r#"[""]"#, r#"[1]"#, "null", "\"a\"", "{}"] {
            assert_eq!(at_fault(texts(text)), "k", "{text}");
        }
    }

    #[test]
    fn fields_within_an_object_are_told_with_their_path() {
        let mut body = fields(r#"{"card":{"number":17,"odd":1},"x":2}"#);
        let mut card = body.object("card", "card.").unwrap();
        assert_eq!(at_fault(card.text("number", 1..=3)), "card.number");
        assert_eq!(at_fault(card.text("name", 1..=3)), "card.name");
        assert_eq!(at_fault(card.finish()), "card.odd");
        assert_eq!(at_fault(body.finish()), "x");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Fields::parse(&bytes);
        }
    }
}
