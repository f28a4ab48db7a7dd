//! Words for people to type: `new`, `used`, `up`, `down`.

use std::str::FromStr;

use super::{Condition, Vote};

impl FromStr for Condition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "new" => Ok(Condition::New),
            "used" => Ok(Condition::Used),
            _ => Err("it is either \"new\" or \"used\""),
        }
    }
}

impl FromStr for Vote {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "up" => Ok(Vote::Up),
            "down" => Ok(Vote::Down),
            _ => Err("it is either \"up\" or \"down\""),
        }
    }
}
