//! Months, by which payment cards expire.

/// A year and a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// All four digits.
    pub year: u16,
    /// From 1.
    pub month: u8,
}

impl Month {
    /// This month, in UTC.
    pub fn now() -> Self {
        let now = time::OffsetDateTime::now_utc();
        Month { year: u16::try_from(now.year()).unwrap_or(0), month: now.month().into() }
    }

    /// What a card says: `07/2031`.
    pub fn read(text: &str) -> Option<Self> {
        let (month, year) = text.split_once('/')?;
        if !digits(month, 2) || !digits(year, 4) {
            return None;
        }
        let month: u8 = month.parse().ok()?;
        (1..=12).contains(&month).then_some(Month { year: year.parse().ok()?, month })
    }
}

fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}
