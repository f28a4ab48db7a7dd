//! A sum of which some parts are in doubt: at least so much, at most so much.

use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub min: i128,
    pub max: i128,
}

impl Range {
    /// A part that is certain.
    pub fn add(&mut self, amount: impl Into<i128>) {
        let amount = amount.into();
        self.min += amount;
        self.max += amount;
    }

    /// A part that may be missing.
    pub fn perhaps(&mut self, amount: impl Into<i128>) {
        let amount = amount.into();
        self.min += amount.min(0);
        self.max += amount.max(0);
    }

    pub fn holds(&self, value: impl Into<i128>) -> bool {
        (self.min..=self.max).contains(&value.into())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_doubt_widens_it_and_what_is_certain_moves_it() {
        let mut range = Range::default();
        range.add(10);
        range.perhaps(3);
        range.perhaps(-2);
        assert_eq!((range.min, range.max), (8, 13));
        assert!(range.holds(8) && range.holds(13) && !range.holds(14));
    }
}
