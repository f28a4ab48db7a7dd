//! A plan of faults: what is done when, to whom, and for how long. Drawn from a seed alone, so the same seed gives the same
//! plan. Which process it hits is decided when it happens, because leaders change.

use std::collections::BTreeSet;
use std::time::Duration;

use agora_process::{Links, Role};
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::fault::{Fault, Target};

/// What a plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Frontends and product nodes, leaders and followers, are killed and restarted
    ReplicaKill,
    /// Only frontends are killed, stopped, paused, and restarted in turn
    Frontends,
    /// Only product leaders are killed, stopped and paused
    Leaders,
    /// Only customer nodes whose turn is next are
    Sequencers,
    /// Database nodes are cut off, in one direction or both, from all or from one other, and slowed down; messages between
    /// customer nodes are lost, doubled and delayed
    Partitions,
    /// Data directories are deleted, all nodes of a database and all processes are killed at once, and restarted in turn; with
    /// the feature `sabotage` disks are slow, hardly answer and are full, too
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
    /// Whether it waits until there is somebody to hit, rather than be left out.
    pub patient: bool,
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
    /// What belongs to the plan, and can't be done by this build or to this cluster.
    pub impossible: BTreeSet<Fault>,
    /// The faults.
    pub steps: Vec<Step>,
}

const PAUSE_MS: std::ops::Range<u64> = 400..2_500;
const LASTS_MS: std::ops::Range<u64> = 300..6_000;
/// Whole groups are brought back at once: for as long as all are down, nobody is served.
const ALL_LAST_MS: std::ops::Range<u64> = 0..1_000;
/// A plan begins with one of each of its faults, which take at most this share of it, and last at most so long.
const OPENING_SHARE: f64 = 0.6;
const OPENING_LASTS_MS: std::ops::Range<u64> = 300..1_500;
/// So much time there must be for each of them; in shorter plans there is no opening.
const OPENING_STEP_MIN: Duration = Duration::from_millis(400);
/// The last fault comes this long before the end, so that its consequences are seen.
const QUIET_END: Duration = Duration::from_secs(2);

impl Plan {
    /// Draws a plan of this length. It has no steps if none of its faults is in reach.
    #[must_use]
    pub fn draw(kind: Kind, seed: u64, length: Duration, customer: CustomerNodes, reach: Reach) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (choices, impossible): (Vec<_>, Vec<_>) =
            choices(kind, customer).into_iter().partition(|(fault, _)| is_possible(*fault, reach));
        let impossible = impossible.into_iter().map(|(fault, _)| fault).collect();
        let mut steps = Vec::new();
        // However short it is, something happens.
        let mut at = Duration::from_millis(rng.random_range(PAUSE_MS)).min(length / 3);
        for (step, next) in opening(&choices, at, length, &mut rng) {
            steps.push(step);
            at = next;
        }
        while at + QUIET_END.min(length / 3) < length {
            let Some((fault, target)) = choices.choose(&mut rng).copied() else { break };
            let lasts = lasts(fault, LASTS_MS, &mut rng);
            steps.push(Step { at, fault, target, pick: rng.random(), patient: false, lasts });
            at += Duration::from_millis(rng.random_range(PAUSE_MS));
        }
        let links = if reach == Reach::Everything { links(kind, seed) } else { Links::default() };
        Plan { kind, seed, length, reach, links, impossible, steps }
    }

    /// What the links between customer nodes do to messages all the time, in words; `None`: nothing.
    #[must_use]
    pub fn background(&self) -> Option<String> {
        let Links { loss, duplication, delay_ms_max, .. } = self.links;
        (self.links != Links::default()).then(|| {
            format!(
                "of the messages between customer nodes {:.0} % are lost, {:.0} % doubled, all up to {delay_ms_max} ms late",
                loss * 100.0,
                duplication * 100.0
            )
        })
    }

    /// What belongs to the plan and is not done, and why, in words; `None`: nothing.
    #[must_use]
    pub fn limits(&self) -> Option<String> {
        let faults: Vec<String> = self.impossible.iter().map(Fault::to_string).collect();
        let why = match self.reach {
            Reach::Everything => {
                "only a build for tests can do that (--features sabotage, without --release)"
            }
            Reach::Processes => "links and machines of a cluster that runs already are out of reach",
        };
        (!faults.is_empty()).then(|| format!("not in this run: {} ({why})", faults.join(", ")))
    }

    /// Whether it takes customer nodes down.
    #[must_use]
    pub fn customer_nodes(&self) -> CustomerNodes {
        let takes_down = |step: &Step| {
            step.fault.is_of_process() && step.target.role().is_none_or(|role| role == Role::Customer)
        };
        if self.steps.iter().any(takes_down) { CustomerNodes::Killed } else { CustomerNodes::Spared }
    }

    /// Whether it needs links that can be cut.
    #[must_use]
    pub fn cuts_links(&self) -> bool {
        self.reach == Reach::Everything && matches!(self.kind, Kind::Partitions | Kind::Everything)
    }
}

/// One of each fault, in any order, each with when the next one may come: so that a short run has seen them all, too.
fn opening(
    choices: &[(Fault, Target)],
    from: Duration,
    length: Duration,
    rng: &mut StdRng,
) -> Vec<(Step, Duration)> {
    let mut faults: Vec<Fault> = choices.iter().map(|(fault, _)| *fault).collect();
    faults.sort_unstable();
    faults.dedup();
    faults.shuffle(rng);
    let each =
        length.saturating_sub(from).mul_f64(OPENING_SHARE) / u32::try_from(faults.len().max(1)).unwrap_or(1);
    if each < OPENING_STEP_MIN {
        return Vec::new();
    }
    let mut at = from;
    let mut step = |fault| {
        let targets: Vec<Target> =
            choices.iter().filter(|(it, _)| *it == fault).map(|(_, target)| *target).collect();
        let target = *targets.choose(rng)?;
        let lasts = lasts(fault, OPENING_LASTS_MS, rng);
        let step = Step { at, fault, target, pick: rng.random(), patient: true, lasts };
        let pause = Duration::from_millis(rng.random_range(PAUSE_MS)).min(each);
        at += pause;
        Some((step, at))
    };
    faults.into_iter().filter_map(&mut step).collect()
}

fn lasts(fault: Fault, usually: std::ops::Range<u64>, rng: &mut StdRng) -> Duration {
    let range = if matches!(fault, Fault::KillAll | Fault::KillEverything) { ALL_LAST_MS } else { usually };
    Duration::from_millis(rng.random_range(range))
}

fn links(kind: Kind, seed: u64) -> Links {
    match kind {
        Kind::Partitions | Kind::Everything => Links { loss: 0.01, duplication: 0.02, delay_ms_max: 2, seed },
        _ => Links::default(),
    }
}

/// What may be done to whom; what stands there twice is done twice as often.
fn choices(kind: Kind, customer: CustomerNodes) -> Vec<(Fault, Target)> {
    use Fault::{BadLinks, ClockAhead, ClockBehind, FullDisk, SlowDisk, StuckDisk};
    use Fault::{CutLink, CutOneWay, Deafen, Disconnect, Isolate, Mute, Slow};
    use Fault::{Kill, KillAll, KillEverything, Pause, Roll, Terminate, Wipe};
    use Target::{
        BuyerFrontend, BuyerFrontends, CustomerGroup, CustomerLink, CustomerMinority, CustomerNode,
        CustomerSequencer, Financial, ProductFollower, ProductGroup, ProductLeader, ProductLink,
        ProductMinority, SellerFrontend, SellerFrontends,
    };
    const ALL_FRONTENDS: [Target; 2] = [BuyerFrontends, SellerFrontends];
    const LINKS: [Target; 2] = [ProductLink, CustomerLink];
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
        Kind::Frontends => {
            [each(&[Kill, Kill, Terminate, Pause], &FRONTENDS), each(&[Roll], &ALL_FRONTENDS)].concat()
        }
        Kind::Leaders if with_customer => {
            each(&[Kill, Terminate, Pause], &[ProductLeader, CustomerSequencer])
        }
        Kind::Leaders => each(&[Kill, Terminate, Pause], &[ProductLeader]),
        Kind::Sequencers => each(&[Kill, Terminate, Pause], &[CustomerSequencer]),
        Kind::Partitions => {
            let nodes = each(&[Isolate, Disconnect, Deafen, Mute, Slow], &NODES);
            let minorities = each(&[Isolate, Disconnect], &MINORITIES);
            let links = each(&[CutLink, CutLink, CutOneWay, CutOneWay], &LINKS);
            let bad = each(&[BadLinks], &[CustomerNode, CustomerGroup]);
            [nodes, minorities, links, bad, each(&[Disconnect, Slow], &FRONTENDS)].concat()
        }
        Kind::Disks => {
            let groups = each(&[KillAll, Roll], &[ProductGroup, CustomerGroup]);
            let directories = each(&[Wipe, Kill], &[ProductFollower, CustomerNode]);
            let power = each(&[KillEverything], &[Target::Everything]);
            let disks = each(&[SlowDisk, StuckDisk, FullDisk], &NODES);
            [directories, groups, power, disks].concat()
        }
        Kind::Clocks => each(&[ClockAhead, ClockBehind], &NODES),
        Kind::Everything => [
            each(&[Kill, Terminate, Pause, Isolate, Disconnect, Deafen, Mute, Slow], &NODES),
            each(&[Kill, Pause, Isolate, Disconnect], &MINORITIES),
            each(&[Kill, Terminate, Pause, Disconnect, Slow], &FRONTENDS),
            each(&[Wipe], &[ProductFollower, CustomerNode, ProductLeader, CustomerSequencer]),
            each(&[CutLink, CutOneWay], &LINKS),
            each(&[KillAll, Roll], &[ProductGroup, CustomerGroup]),
            each(&[Roll], &ALL_FRONTENDS),
            each(&[KillEverything], &[Target::Everything]),
            each(&[Kill, Terminate, Pause], &[Financial]),
            each(&[ClockAhead, ClockBehind, SlowDisk, StuckDisk, FullDisk], &NODES),
            each(&[BadLinks], &[CustomerNode, CustomerGroup]),
        ]
        .concat(),
    }
}

/// Whether this build can do it to a cluster of which so much can be reached.
fn is_possible(fault: Fault, reach: Reach) -> bool {
    let by_this_build = agora_sabotage::ARMED || fault.sabotage().is_none();
    by_this_build && (reach == Reach::Everything || fault.is_of_process())
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
            (
                Kind::Frontends,
                &[
                    Target::BuyerFrontend,
                    Target::SellerFrontend,
                    Target::BuyerFrontends,
                    Target::SellerFrontends,
                ][..],
            ),
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
    fn a_plan_tells_whether_it_takes_customer_nodes_down_whatever_was_asked_for() {
        for (kind, taken_down) in [
            (Kind::ReplicaKill, CustomerNodes::Spared),
            (Kind::Partitions, CustomerNodes::Spared),
            (Kind::Sequencers, CustomerNodes::Killed),
            (Kind::Disks, CustomerNodes::Killed),
            (Kind::Everything, CustomerNodes::Killed),
        ] {
            let plan = Plan::draw(kind, 1, MINUTE, CustomerNodes::Spared, Reach::Everything);
            assert_eq!(plan.customer_nodes(), taken_down, "{kind:?}");
        }
    }

    #[test]
    fn what_belongs_to_a_plan_is_done_or_told_to_be_impossible() {
        for kind in Kind::value_variants() {
            for reach in [Reach::Everything, Reach::Processes] {
                let plan = Plan::draw(*kind, 1, 60 * MINUTE, CustomerNodes::Killed, reach);
                let mut told = plan.impossible.clone();
                told.extend(plan.steps.iter().map(|step| step.fault));
                let all: BTreeSet<Fault> =
                    choices(*kind, CustomerNodes::Killed).into_iter().map(|(fault, _)| fault).collect();
                assert_eq!(told, all, "{kind:?} {reach:?}");
                let limits = plan.limits().unwrap_or_default();
                assert!(plan.impossible.iter().all(|fault| limits.contains(&fault.to_string())), "{limits}");
                assert_eq!(limits.is_empty(), plan.impossible.is_empty());
            }
        }
        let disks = Plan::draw(Kind::Disks, 1, MINUTE, CustomerNodes::Killed, Reach::Everything);
        assert_eq!(disks.limits().is_none(), agora_sabotage::ARMED);
    }

    #[test]
    fn everything_does_all_that_any_other_plan_does() {
        let all = choices(Kind::Everything, CustomerNodes::Killed);
        for kind in Kind::value_variants() {
            for choice in choices(*kind, CustomerNodes::Killed) {
                assert!(all.contains(&choice), "{choice:?} of {kind:?}");
            }
        }
    }

    #[test]
    fn an_hour_of_everything_has_every_fault() {
        let plan = Plan::draw(Kind::Everything, 1, 60 * MINUTE, CustomerNodes::Killed, Reach::Everything);
        let faults: BTreeSet<Fault> = plan.steps.iter().map(|step| step.fault).collect();
        assert_eq!(faults.len(), if agora_sabotage::ARMED { 20 } else { 14 }, "{faults:?}");
        assert!(plan.cuts_links());
    }

    #[test]
    fn a_plan_begins_with_one_of_each_of_its_faults_if_it_is_long_enough() {
        for (seed, kind) in (0..40).zip(Kind::value_variants().iter().cycle()) {
            let draw = |seconds| {
                let length = Duration::from_secs(seconds);
                Plan::draw(*kind, seed, length, CustomerNodes::Killed, Reach::Everything)
            };
            let faults = choices(*kind, CustomerNodes::Killed).into_iter().map(|(fault, _)| fault);
            let faults: BTreeSet<Fault> =
                faults.filter(|fault| is_possible(*fault, Reach::Everything)).collect();
            let plan = draw(30);
            let opening: Vec<&Step> = plan.steps.iter().take_while(|step| step.patient).collect();
            assert_eq!(opening.len(), faults.len(), "{seed} {kind:?}");
            assert!(opening.iter().all(|step| step.at < Duration::from_secs(21)));
            assert_eq!(opening.iter().map(|step| step.fault).collect::<BTreeSet<_>>(), faults);
            assert!(draw(600).steps.len() > 5 * faults.len() || faults.is_empty());
        }
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
