//! Money is whole cents. It is shown, and read, as dollars with at most two decimals; never as a float.

use std::fmt;
use std::str::FromStr;

/// An amount of money in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(pub u64);

/// Why a text is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCentsError {
    /// Not digits with an optional point and one or two digits behind it.
    #[error("not an amount like \"12\" or \"12.34\"")]
    Form,
    /// More than fits.
    #[error("the amount is too large")]
    TooLarge,
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Cents {
    type Err = ParseCentsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (dollars, cents) = match text.split_once('.') {
            None => (text, 0),
            Some((dollars, cents)) => {
                if cents.is_empty() || cents.len() > 2 || !cents.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(ParseCentsError::Form);
                }
                let value: u64 = cents.parse().map_err(|_| ParseCentsError::Form)?;
                (dollars, if cents.len() == 1 { value * 10 } else { value })
            }
        };
        if dollars.is_empty() || !dollars.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseCentsError::Form);
        }
        let dollars: u64 = dollars.parse().map_err(|_| ParseCentsError::TooLarge)?;
        let total = dollars.checked_mul(100).and_then(|whole| whole.checked_add(cents));
        total.map(Cents).ok_or(ParseCentsError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_amounts_with_none_one_or_two_decimals() {
        assert_eq!("12".parse(), Ok(Cents(1200)));
        assert_eq!("12.3".parse(), Ok(Cents(1230)));
        assert_eq!("0.05".parse(), Ok(Cents(5)));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in
            ["", ".", "1.", ".5", "1.234", "-1", "+1", "1e3", "1,5", " 1", "1 ", "٣", "0x1", "1.-1", "NaN"]
        {
            assert_eq!(text.parse::<Cents>(), Err(ParseCentsError::Form), "{text:?}");
        }
        assert_eq!("99999999999999999999".parse::<Cents>(), Err(ParseCentsError::TooLarge));
        assert_eq!("184467440737095517".parse::<Cents>(), Err(ParseCentsError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(cents: u64) {
            prop_assert_eq!(Cents(cents).to_string().parse(), Ok(Cents(cents)));
        }
    }
}
