//! An item's keywords: few, short, and all of them in one allocation, because there are millions of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What stands between two keywords. No keyword contains it, because control characters are refused.
const SEPARATOR: char = '\n';

/// Keywords as their seller wrote them, none equal to another without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keywords(Box<str>);

impl Keywords {
    /// Of these words, which were validated; of words that are equal without regard to case the first stays.
    pub fn distinct(words: &[String]) -> Self {
        let mut seen: Vec<Cow<'_, str>> = Vec::with_capacity(words.len());
        let mut joined = String::with_capacity(words.iter().map(|word| word.len() + 1).sum());
        for word in words {
            let lower = lower_case(word);
            if !seen.contains(&lower) {
                if !joined.is_empty() {
                    joined.push(SEPARATOR);
                }
                joined.push_str(word);
                seen.push(lower);
            }
        }
        Keywords(joined.into())
    }

    /// As they were written, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // An empty text has one (empty) part; no keywords have none.
        self.0.split(SEPARATOR).filter(|word| !word.is_empty())
    }

    /// In lower case: how they are compared, and searched.
    pub fn lower_case(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.iter().map(lower_case)
    }

    /// In lower case and sorted: equal for equal sets.
    pub fn as_set(&self) -> Vec<Cow<'_, str>> {
        let mut set: Vec<_> = self.lower_case().collect();
        set.sort_unstable();
        set
    }
}

/// A word in lower case, copied only if it has to be.
pub fn lower_case(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keywords(words: &[&str]) -> Keywords {
        Keywords::distinct(&words.iter().map(|word| (*word).to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn of_equal_words_the_first_stays() {
        let some = keywords(&["Red", "SHOE", "red", "shoe", "ÄRMEL", "ärmel"]);
        assert_eq!(some.iter().collect::<Vec<_>>(), ["Red", "SHOE", "ÄRMEL"]);
        assert_eq!(some.as_set(), ["red", "shoe", "ärmel"]);
    }

    #[test]
    fn none_are_none() {
        assert_eq!(keywords(&[]).iter().count(), 0);
        assert!(keywords(&[]).as_set().is_empty());
    }
}
