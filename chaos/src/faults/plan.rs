//! A plan of faults: which kind of process is killed when, and when it comes back. Drawn from a seed alone, so the same seed
//! gives the same plan. Which process it hits is decided when it happens, because leaders change.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// What a plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Frontends and product nodes, leaders and followers, are killed and restarted.
    ReplicaKill,
    /// Only frontends are.
    Frontends,
    /// Only leaders are.
    Leaders,
}

/// Whether customer nodes are killed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CustomerNodes {
    /// They are left alone.
    Spared,
    /// They are killed like product nodes.
    Killed,
}

/// What a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Some buyer frontend.
    BuyerFrontend,
    /// Some seller frontend.
    SellerFrontend,
    /// The leader of the product group.
    ProductLeader,
    /// Some product node that does not lead.
    ProductFollower,
    /// Some customer node.
    CustomerNode,
    /// The customer node whose turn it is.
    CustomerSequencer,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::BuyerFrontend => "a buyer frontend",
            Target::SellerFrontend => "a seller frontend",
            Target::ProductLeader => "the product leader",
            Target::ProductFollower => "a product follower",
            Target::CustomerNode => "a customer node",
            Target::CustomerSequencer => "the customer sequencer",
        })
    }
}

/// One fault: kill -9, and a restart later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, from the beginning of the faults.
    #[serde(serialize_with = "milliseconds", rename = "at_ms")]
    pub at: Duration,
    /// What it hits.
    pub target: Target,
    /// Decides among several that could be hit.
    pub pick: u32,
    /// How long it stays down.
    #[serde(serialize_with = "milliseconds", rename = "down_ms")]
    pub down: Duration,
}

/// All faults of a run, in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What it is about.
    pub kind: Kind,
    /// What it was drawn from.
    pub seed: u64,
    /// The faults.
    pub steps: Vec<Step>,
}

const PAUSE_MS: std::ops::Range<u64> = 400..2_500;
const DOWN_MS: std::ops::Range<u64> = 300..6_000;
/// The last fault comes this long before the end, so that its consequences are seen.
const QUIET_END: Duration = Duration::from_secs(2);

impl Plan {
    /// Draws a plan of this length.
    #[must_use]
    pub fn draw(kind: Kind, seed: u64, length: Duration, customer: CustomerNodes) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let targets = targets(kind, customer);
        let mut steps = Vec::new();
        let mut at = Duration::from_millis(rng.random_range(PAUSE_MS));
        while at + QUIET_END < length {
            let target = targets[rng.random_range(0..targets.len())];
            let down = Duration::from_millis(rng.random_range(DOWN_MS));
            steps.push(Step { at, target, pick: rng.random(), down });
            at += Duration::from_millis(rng.random_range(PAUSE_MS));
        }
        Plan { kind, seed, steps }
    }
}

/// What may be hit; what stands there twice is hit twice as often.
fn targets(kind: Kind, customer: CustomerNodes) -> Vec<Target> {
    use Target::{
        BuyerFrontend, CustomerNode, CustomerSequencer, ProductFollower, ProductLeader, SellerFrontend,
    };
    let mut targets = match kind {
        Kind::ReplicaKill => vec![BuyerFrontend, SellerFrontend, ProductLeader, ProductFollower],
        Kind::Frontends => vec![BuyerFrontend, SellerFrontend],
        Kind::Leaders => vec![ProductLeader],
    };
    if customer == CustomerNodes::Killed {
        match kind {
            Kind::ReplicaKill => targets.extend([CustomerNode, CustomerSequencer]),
            Kind::Leaders => targets.push(CustomerSequencer),
            Kind::Frontends => {}
        }
    }
    targets
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_one_another() {
        let draw = |seed| Plan::draw(Kind::ReplicaKill, seed, MINUTE, CustomerNodes::Spared);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).steps, draw(8).steps);
    }

    #[test]
    fn faults_come_in_order_within_the_time_and_of_the_kinds_that_the_plan_is_about() {
        for (kind, allowed) in [
            (Kind::Frontends, &[Target::BuyerFrontend, Target::SellerFrontend][..]),
            (Kind::Leaders, &[Target::ProductLeader][..]),
        ] {
            let plan = Plan::draw(kind, 1, MINUTE, CustomerNodes::Spared);
            assert!(plan.steps.len() > 20);
            assert!(plan.steps.is_sorted_by_key(|step| step.at));
            assert!(
                plan.steps.iter().all(|step| allowed.contains(&step.target) && step.at + QUIET_END < MINUTE)
            );
        }
    }

    #[test]
    fn customer_nodes_are_hit_only_when_they_are_not_spared() {
        let customer = |nodes| {
            let plan = Plan::draw(Kind::ReplicaKill, 1, MINUTE, nodes);
            plan.steps
                .iter()
                .any(|step| matches!(step.target, Target::CustomerNode | Target::CustomerSequencer))
        };
        assert!(!customer(CustomerNodes::Spared) && customer(CustomerNodes::Killed));
    }
}
