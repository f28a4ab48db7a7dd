//! A plan of faults: what is done when, to whom, and for how long. Drawn from a seed alone, so the same seed gives the same
//! plan. Which process it hits is decided when it happens, because leaders change.

use std::time::Duration;

use agora_process::Links;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::fault::{Fault, Target};

/// What a plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Frontends and product nodes, leaders and followers, are killed and restarted
    ReplicaKill,
    /// Only frontends are killed, stopped and paused
    Frontends,
    /// Only product leaders are killed, stopped and paused
    Leaders,
    /// Only customer nodes whose turn is next are
    Sequencers,
    /// Database nodes are cut off, in one direction or both, and slowed down; messages between customer nodes are lost,
    /// doubled and delayed
    Partitions,
    /// Data directories are deleted, all nodes of a database are killed at once, and restarted in turn; with the feature
    /// `sabotage` disks are slow and full, too
    Disks,
    /// Clocks of database nodes are set wrong while they run; needs a build with the feature `sabotage`
    Clocks,
    /// All of it, and the financial service dies, too
    Everything,
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

/// What of a cluster chaos can get at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// It starts the cluster: processes, links, and in builds for tests their machines.
    Everything,
    /// The cluster runs already, on links that go past it: processes and their data.
    Processes,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, from the beginning of the faults.
    #[serde(serialize_with = "milliseconds", rename = "at_ms")]
    pub at: Duration,
    /// What is done.
    pub fault: Fault,
    /// To whom.
    pub target: Target,
    /// Decides among several that could be hit.
    pub pick: u32,
    /// For how long.
    #[serde(serialize_with = "milliseconds", rename = "lasts_ms")]
    pub lasts: Duration,
}

/// All faults of a run, in the order of their times.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What it is about.
    pub kind: Kind,
    /// What it was drawn from.
    pub seed: u64,
    /// How long it is.
    #[serde(serialize_with = "milliseconds", rename = "length_ms")]
    pub length: Duration,
    /// What of the cluster it reaches.
    pub reach: Reach,
    /// What the links between customer nodes do to messages all the time.
    pub links: Links,
    /// The faults.
    pub steps: Vec<Step>,
}

const PAUSE_MS: std::ops::Range<u64> = 400..2_500;
const LASTS_MS: std::ops::Range<u64> = 300..6_000;
/// Whole groups are brought back at once: for as long as all are down, nobody is served.
const ALL_LAST_MS: std::ops::Range<u64> = 0..1_000;
/// The last fault comes this long before the end, so that its consequences are seen.
const QUIET_END: Duration = Duration::from_secs(2);

impl Plan {
    /// Draws a plan of this length. It has no steps if none of its faults is in reach.
    #[must_use]
    pub fn draw(kind: Kind, seed: u64, length: Duration, customer: CustomerNodes, reach: Reach) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut choices = choices(kind, customer);
        choices.retain(|(fault, _)| reach == Reach::Everything || fault.is_of_process());
        let mut steps = Vec::new();
        // However short it is, something happens.
        let mut at = Duration::from_millis(rng.random_range(PAUSE_MS)).min(length / 3);
        while at + QUIET_END.min(length / 3) < length {
            let Some((fault, target)) = choices.choose(&mut rng).copied() else { break };
            let lasts = if fault == Fault::KillAll { ALL_LAST_MS } else { LASTS_MS };
            let lasts = Duration::from_millis(rng.random_range(lasts));
            steps.push(Step { at, fault, target, pick: rng.random(), lasts });
            at += Duration::from_millis(rng.random_range(PAUSE_MS));
        }
        let links = if reach == Reach::Everything { links(kind, seed) } else { Links::default() };
        Plan { kind, seed, length, reach, links, steps }
    }

    /// Whether it needs links that can be cut.
    #[must_use]
    pub fn cuts_links(&self) -> bool {
        self.reach == Reach::Everything && matches!(self.kind, Kind::Partitions | Kind::Everything)
    }
}

fn links(kind: Kind, seed: u64) -> Links {
    match kind {
        Kind::Partitions | Kind::Everything => Links { loss: 0.01, duplication: 0.02, delay_ms_max: 2, seed },
        _ => Links::default(),
    }
}

/// What may be done to whom; what stands there twice is done twice as often.
fn choices(kind: Kind, customer: CustomerNodes) -> Vec<(Fault, Target)> {
    use Fault::{ClockAhead, ClockBehind, FullDisk, SlowDisk};
    use Fault::{Deafen, Disconnect, Isolate, Kill, KillAll, Mute, Pause, Roll, Slow, Terminate, Wipe};
    use Target::{
        BuyerFrontend, CustomerGroup, CustomerMinority, CustomerNode, CustomerSequencer, Financial,
        ProductFollower, ProductGroup, ProductLeader, ProductMinority, SellerFrontend,
    };
    const FRONTENDS: [Target; 2] = [BuyerFrontend, SellerFrontend];
    const NODES: [Target; 4] = [ProductLeader, ProductFollower, CustomerNode, CustomerSequencer];
    const MINORITIES: [Target; 2] = [ProductMinority, CustomerMinority];
    let each = |faults: &[Fault], targets: &[Target]| -> Vec<(Fault, Target)> {
        faults.iter().flat_map(|fault| targets.iter().map(|target| (*fault, *target))).collect()
    };
    let with_customer = customer == CustomerNodes::Killed;
    match kind {
        Kind::ReplicaKill if with_customer => each(&[Kill], &[&FRONTENDS[..], &NODES, &MINORITIES].concat()),
        Kind::ReplicaKill => {
            each(&[Kill], &[&FRONTENDS[..], &[ProductLeader, ProductFollower, ProductMinority]].concat())
        }
        Kind::Frontends => each(&[Kill, Kill, Terminate, Pause], &FRONTENDS),
        Kind::Leaders if with_customer => {
            each(&[Kill, Terminate, Pause], &[ProductLeader, CustomerSequencer])
        }
        Kind::Leaders => each(&[Kill, Terminate, Pause], &[ProductLeader]),
        Kind::Sequencers => each(&[Kill, Terminate, Pause], &[CustomerSequencer]),
        Kind::Partitions => {
            let nodes = each(&[Isolate, Disconnect, Deafen, Mute, Slow], &NODES);
            let minorities = each(&[Isolate, Disconnect], &MINORITIES);
            [nodes, minorities, each(&[Disconnect, Slow], &FRONTENDS)].concat()
        }
        Kind::Disks => {
            let groups = each(&[KillAll, Roll], &[ProductGroup, CustomerGroup]);
            let directories = each(&[Wipe, Kill], &[ProductFollower, CustomerNode]);
            let disks = each(&[SlowDisk, FullDisk], &NODES);
            [directories, groups, if_armed(disks)].concat()
        }
        Kind::Clocks => if_armed(each(&[ClockAhead, ClockBehind], &NODES)),
        Kind::Everything => [
            each(&[Kill, Terminate, Pause, Isolate, Disconnect, Deafen, Mute, Slow], &NODES),
            each(&[Kill, Pause, Isolate], &MINORITIES),
            each(&[Kill, Terminate, Pause, Disconnect], &FRONTENDS),
            each(&[Wipe], &[ProductFollower, CustomerNode, ProductLeader, CustomerSequencer]),
            each(&[KillAll, Roll], &[ProductGroup, CustomerGroup]),
            each(&[Kill, Pause], &[Financial]),
            if_armed(each(&[ClockAhead, ClockBehind, SlowDisk, FullDisk], &NODES)),
        ]
        .concat(),
    }
}

/// These, if the processes of this build can be sabotaged.
fn if_armed(choices: Vec<(Fault, Target)>) -> Vec<(Fault, Target)> {
    if agora_sabotage::ARMED { choices } else { Vec::new() }
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
        let draw =
            |seed| Plan::draw(Kind::ReplicaKill, seed, MINUTE, CustomerNodes::Spared, Reach::Everything);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).steps, draw(8).steps);
    }

    #[test]
    fn faults_come_in_order_within_the_time_and_of_the_kinds_that_the_plan_is_about() {
        for (kind, allowed) in [
            (Kind::Frontends, &[Target::BuyerFrontend, Target::SellerFrontend][..]),
            (Kind::Leaders, &[Target::ProductLeader][..]),
            (Kind::Sequencers, &[Target::CustomerSequencer][..]),
        ] {
            let plan = Plan::draw(kind, 1, MINUTE, CustomerNodes::Spared, Reach::Everything);
            assert!(plan.steps.len() > 20);
            assert!(plan.steps.is_sorted_by_key(|step| step.at));
            assert!(
                plan.steps.iter().all(|step| allowed.contains(&step.target) && step.at + QUIET_END < MINUTE)
            );
        }
    }

    #[test]
    fn something_happens_however_short_a_plan_is() {
        for (seed, seconds) in (0..200).zip((1..6).cycle()) {
            let length = Duration::from_secs(seconds);
            let plan = Plan::draw(Kind::ReplicaKill, seed, length, CustomerNodes::Spared, Reach::Processes);
            assert!(!plan.steps.is_empty(), "{seed}, {seconds} s");
        }
    }

    #[test]
    fn customer_nodes_are_killed_only_when_they_are_not_spared() {
        let customer = |nodes| {
            let plan = Plan::draw(Kind::ReplicaKill, 1, MINUTE, nodes, Reach::Everything);
            plan.steps
                .iter()
                .any(|step| matches!(step.target, Target::CustomerNode | Target::CustomerSequencer))
        };
        assert!(!customer(CustomerNodes::Spared) && customer(CustomerNodes::Killed));
    }

    #[test]
    fn an_hour_of_everything_has_every_fault() {
        let plan = Plan::draw(Kind::Everything, 1, 60 * MINUTE, CustomerNodes::Killed, Reach::Everything);
        let faults: std::collections::BTreeSet<Fault> = plan.steps.iter().map(|step| step.fault).collect();
        assert_eq!(faults.len(), if agora_sabotage::ARMED { 15 } else { 11 }, "{faults:?}");
        assert!(plan.cuts_links());
    }

    #[test]
    fn out_of_reach_is_what_is_done_to_links_and_machines() {
        let draw = |kind| Plan::draw(kind, 1, MINUTE, CustomerNodes::Killed, Reach::Processes);
        assert!(draw(Kind::Partitions).steps.is_empty() && draw(Kind::Clocks).steps.is_empty());
        let plan = draw(Kind::Everything);
        assert!(plan.steps.len() > 20 && !plan.cuts_links() && plan.links == Links::default());
        assert!(plan.steps.iter().all(|step| step.fault.is_of_process()));
    }
}
