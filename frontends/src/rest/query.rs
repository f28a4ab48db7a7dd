//! Query strings: `category=3&keyword=desk&keyword=lamp&limit=10`, read strictly.
//!
//! Reading is put off until an operation asks: whether the caller may ask at all is told first.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::str::FromStr;

use agora_proto::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode;

use crate::problem::Problem;

/// A query string as it came.
#[derive(Debug)]
pub struct RawQuery(String);

impl<S: Send + Sync> FromRequestParts<S> for RawQuery {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(RawQuery(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

impl RawQuery {
    /// Takes it apart.
    ///
    /// # Errors
    /// `malformed_request`: it is not UTF-8.
    pub fn read(&self) -> Result<Parameters, Problem> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        decoded.collect::<Result<_, Problem>>().map(Parameters)
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8();
    decoded.map(Into::into).map_err(|_| Problem::malformed("the query string is not UTF-8"))
}

/// The parameters of a query string. Whoever takes them apart calls [`Parameters::finish`] at the end.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// All values of a parameter that may be repeated, in their order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(n, _)| n == name);
        self.0 = left;
        Vec::into_iter(taken).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may stand there once.
    ///
    /// # Errors
    /// `invalid_field`: it stands there more than once.
    pub fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(Problem::field(name, format!("{name} may be given once"))),
        }
    }

    /// A whole number in this range.
    ///
    /// # Errors
    /// `invalid_field`: it is none, or given twice.
    pub fn number<T>(&mut self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, Problem>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.one(name)? else { return Ok(None) };
        // `parse` alone would take "+3".
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number));
        let must = || format!("{name} must be a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| Problem::field(name, must()))
    }

    /// How many entries a page may have.
    ///
    /// # Errors
    /// `invalid_field`: no number that a page may have.
    pub fn limit(&mut self) -> Result<u32, Problem> {
        Ok(self.number("limit", 1..=PAGE_ITEMS_MAX)?.unwrap_or(PAGE_ITEMS_DEFAULT))
    }

    /// Says that all parameters were taken.
    ///
    /// # Errors
    /// `invalid_field`: one is left that the operation does not know.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let shown: String = name.chars().take(64).collect();
                let detail = format!("{shown} is not a parameter of this request");
                Err(Problem::field(shown, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Parameters {
        RawQuery(text.to_owned()).read().unwrap()
    }

    fn at_fault<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        result.unwrap_err().at_fault().unwrap().to_owned()
    }

    #[test]
    fn a_parameter_may_be_repeated_only_where_that_has_a_meaning() {
        let mut query = read("keyword=a+b&limit=5&keyword=%C5%BE&limit=6");
        assert_eq!(query.all("keyword"), ["a b", "ž"]);
        assert_eq!(at_fault(query.limit()), "limit");
    }

    #[test]
    fn limits_are_whole_numbers_from_1_to_100() {
        assert_eq!(read("limit=100").limit().unwrap(), 100);
        assert_eq!(read("").limit().unwrap(), PAGE_ITEMS_DEFAULT);
        for text in ["0", "101", "-1", "+1", "1.5", "", "x", "99999999999999999999", "%00", "٣"] {
            assert_eq!(at_fault(read(&format!("limit={text}")).limit()), "limit", "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_malformed() {
        assert_eq!(RawQuery("keyword=%ff".into()).read().unwrap_err().code(), "malformed_request");
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused() {
        assert_eq!(at_fault(read("odd=1").finish()), "odd");
        read("&&").finish().unwrap();
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(text in "\\PC{0,60}") {
            if let Ok(mut query) = RawQuery(text).read() {
                let _ = (query.limit(), query.number::<u64>("n", 0..=9), query.all("keyword"), query.finish());
            }
        }
    }
}
