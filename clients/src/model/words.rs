//! Words for people to choose from: `new`, `used`, `up`, `down`.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::{Condition, Vote};

impl ValueEnum for Condition {
    fn value_variants<'a>() -> &'a [Self] {
        &[Condition::New, Condition::Used]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Condition::New => "new",
            Condition::Used => "used",
        }))
    }
}

impl ValueEnum for Vote {
    fn value_variants<'a>() -> &'a [Self] {
        &[Vote::Up, Vote::Down]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Vote::Up => "up",
            Vote::Down => "down",
        }))
    }
}
