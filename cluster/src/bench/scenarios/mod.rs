//! What the failure of a process costs those who use the marketplace: sellers and buyers make every call there is, through
//! the client library, and in the middle of the run something dies.
//!
//! - `function`: the calls that are timed.
//! - `script`: which calls a client makes, in which order.
//! - `seller`, `buyer`: the clients.
//! - `run`: one run on a fresh cluster.
//! - `report`, `timeline`: what was measured, for machines.
//! - `table`, `markdown`, `charts`, `html`, `written`: the same for people.
//! - `compare`: two reports side by side.

mod buyer;
mod charts;
pub(crate) mod compare;
mod function;
mod html;
mod markdown;
mod report;
mod run;
mod script;
mod seller;
mod table;
mod timeline;
pub(crate) mod written;

use std::fmt;

use agora_process::{ClusterFile, Links};
use futures::future::try_join_all;
use serde::Serialize;

pub(crate) use charts::charts;
pub(crate) use function::Function;
pub(crate) use report::{About, Report, RunReport};
pub(crate) use run::{Counter, run};
pub(crate) use table::tables;

use crate::cluster::Cluster;

/// What happens during a run, most of it in the middle.
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
    /// A customer node dies when it is its turn to order the next write.
    CustomerSequencer,
    /// Two nodes of each database die at once, the product leader and the next customer owner among them.
    TwoOfEach,
    /// All the time one message in a hundred between customer nodes is lost.
    OnePercentLost,
    /// All the time one message in twenty between customer nodes is lost.
    FivePercentLost,
}

impl Scenario {
    pub const ALL: [Scenario; 8] = [
        Scenario::NoFailure,
        Scenario::Frontends,
        Scenario::ProductFollower,
        Scenario::ProductLeader,
        Scenario::CustomerSequencer,
        Scenario::TwoOfEach,
        Scenario::OnePercentLost,
        Scenario::FivePercentLost,
    ];

    /// Those with this number: one, or two for lost messages.
    pub fn by_number(number: u8) -> impl Iterator<Item = Self> {
        Scenario::ALL.into_iter().filter(move |scenario| u8::from(*scenario) == number)
    }

    /// What tells scenarios of one number apart.
    pub fn variant(self) -> Option<&'static str> {
        match self {
            Scenario::OnePercentLost => Some("1 %"),
            Scenario::FivePercentLost => Some("5 %"),
            _ => None,
        }
    }

    /// Changes the cluster, before it starts, as the scenario wants it.
    pub fn prepare(self, file: &mut ClusterFile) {
        let loss = match self {
            Scenario::OnePercentLost => 0.01,
            Scenario::FivePercentLost => 0.05,
            _ => return,
        };
        file.links = Links { loss, ..file.links.clone() };
    }

    /// Lets happen what is to happen in the middle, and tells who died.
    pub async fn strike(self, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
        let file = cluster.file();
        let first =
            |frontends: &[agora_process::Endpoint]| frontends.first().map(|frontend| frontend.name.clone());
        let mut victims: Vec<String> = match self {
            Scenario::NoFailure | Scenario::OnePercentLost | Scenario::FivePercentLost => Vec::new(),
            // Clients begin with the first frontends, so these are in use.
            Scenario::Frontends => first(&file.seller).into_iter().chain(first(&file.buyer)).collect(),
            Scenario::ProductFollower => vec![cluster.resolve("product-follower").await?],
            Scenario::ProductLeader => vec![cluster.resolve("product-leader").await?],
            Scenario::CustomerSequencer => vec![],
            Scenario::TwoOfEach => {
                vec![cluster.resolve("product-follower").await?, cluster.resolve("product-leader").await?]
            }
        };
        // Whose turn it is changes with every write, so it is asked last.
        if matches!(self, Scenario::CustomerSequencer | Scenario::TwoOfEach) {
            victims.push(cluster.resolve("customer-sequencer").await?);
        }
        if self == Scenario::TwoOfEach {
            let another = file.customer.iter().find(|node| !victims.contains(&node.name));
            victims.extend(another.map(|node| node.name.clone()));
        }
        Ok(try_join_all(victims.iter().map(|victim| cluster.kill(victim))).await?)
    }
}

impl From<Scenario> for u8 {
    fn from(scenario: Scenario) -> u8 {
        match scenario {
            Scenario::NoFailure => 1,
            Scenario::Frontends => 2,
            Scenario::ProductFollower => 3,
            Scenario::ProductLeader => 4,
            Scenario::CustomerSequencer => 5,
            Scenario::TwoOfEach => 6,
            Scenario::OnePercentLost | Scenario::FivePercentLost => 7,
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
            Scenario::CustomerSequencer => "5: customer sequencer dies",
            Scenario::TwoOfEach => "6: two of each group die",
            Scenario::OnePercentLost => "7: 1 % of messages lost",
            Scenario::FivePercentLost => "7: 5 % of messages lost",
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
            assert!(Scenario::by_number(scenario.into()).any(|found| found == scenario));
            assert_eq!(serde_json::to_value(scenario).unwrap(), u8::from(scenario));
        }
        assert_eq!(Scenario::by_number(7).count(), 2);
        assert_eq!(Scenario::by_number(9).count(), 0);
    }
}
