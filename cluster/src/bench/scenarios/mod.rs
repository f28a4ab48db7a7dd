//! What the failure of a process costs those who use the marketplace: sellers and buyers make every call there is, through
//! the client library, and in the middle of the run something dies.
//!
//! - `function`: the calls that are timed.
//! - `script`: which calls a client makes, in which order.
//! - `seller`, `buyer`: the clients.
//! - `run`: one run on a fresh cluster.
//! - `report`, `table`: what it tells, for machines and for people.

mod buyer;
mod function;
mod report;
mod run;
mod script;
mod seller;
mod table;

use std::fmt;

use serde::Serialize;

pub(crate) use report::{Report, RunReport};
pub(crate) use run::{Counter, run};
pub(crate) use table::tables;

use crate::cluster::Cluster;

/// What happens in the middle of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub(crate) enum Scenario {
    /// Nothing.
    NoFailure,
    /// One seller frontend and one buyer frontend die, and clients are connected to them.
    Frontends,
    /// A product node that does not lead dies.
    ProductFollower,
    /// The leader of the product database dies.
    ProductLeader,
}

impl Scenario {
    pub const ALL: [Scenario; 4] =
        [Scenario::NoFailure, Scenario::Frontends, Scenario::ProductFollower, Scenario::ProductLeader];

    pub fn by_number(number: u8) -> Option<Self> {
        Scenario::ALL.into_iter().find(|scenario| u8::from(*scenario) == number)
    }

    /// Lets happen what is to happen, and tells who died.
    pub async fn strike(self, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
        let file = cluster.file();
        let first =
            |frontends: &[agora_process::Endpoint]| frontends.first().map(|frontend| frontend.name.clone());
        let victims: Vec<String> = match self {
            Scenario::NoFailure => Vec::new(),
            // Clients begin with the first frontends, so these are in use.
            Scenario::Frontends => first(&file.seller).into_iter().chain(first(&file.buyer)).collect(),
            Scenario::ProductFollower => vec!["product-follower".into()],
            Scenario::ProductLeader => vec!["product-leader".into()],
        };
        let mut died = Vec::new();
        for victim in victims {
            died.push(cluster.kill(&victim).await?);
        }
        Ok(died)
    }
}

impl From<Scenario> for u8 {
    fn from(scenario: Scenario) -> u8 {
        match scenario {
            Scenario::NoFailure => 1,
            Scenario::Frontends => 2,
            Scenario::ProductFollower => 3,
            Scenario::ProductLeader => 4,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scenario::NoFailure => "1: no failure",
            Scenario::Frontends => "2: frontends die",
            Scenario::ProductFollower => "3: product follower dies",
            Scenario::ProductLeader => "4: product leader dies",
        })
    }
}

/// One run: what happens, and with how many sellers and as many buyers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub scenario: Scenario,
    pub clients: usize,
    pub run: usize,
    pub calls: usize,
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_known_by_their_numbers() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::by_number(scenario.into()), Some(scenario));
            assert_eq!(serde_json::to_value(scenario).unwrap(), u8::from(scenario));
        }
        assert_eq!(Scenario::by_number(9), None);
    }
}
