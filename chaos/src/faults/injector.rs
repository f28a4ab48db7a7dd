//! Carries out a plan on a cluster. Never takes more than a minority of a database's nodes out at a time, or the last frontend
//! of a kind, unless the plan says so; and watches for processes that die by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agora_cluster::{Checksums, Condition};
use agora_process::Role;
use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::{Count, Fault, Target};
use super::network::{Cut, Direction, Flow, Network};
use super::plan::{Plan, Step};
use super::timeline::{Happening, Timeline};
use crate::subject::{Subject, SubjectError};

/// How long the search for something to hit may take: a cluster without a leader has none to kill.
const SEARCH_WITHIN: Duration = Duration::from_secs(2);
/// The same for a fault that must not be left out: until what was done before is over.
const PATIENCE: Duration = Duration::from_secs(12);
const SEARCH_PAUSE: Duration = Duration::from_millis(200);
const INSPECT_EVERY: Duration = Duration::from_millis(250);
/// A port may be in use for a moment after its process was killed.
const RESTART_TRIES: u32 = 20;
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// How late a slow process hears and is heard.
const SLOWNESS: Duration = Duration::from_millis(25);

/// Why chaos can't go on.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// A process can't be steered, or does not get ready again.
    #[error(transparent)]
    Cluster(#[from] SubjectError),
    /// Its machine can't be sabotaged.
    #[error("can't sabotage the machine of {process}: {error}")]
    Sabotage {
        /// Whose.
        process: String,
        /// Why.
        error: std::io::Error,
    },
    /// Its data can't be deleted.
    #[error("can't delete the data of {process}: {error}")]
    Wipe {
        /// Whose.
        process: String,
        /// Why.
        error: std::io::Error,
    },
}

impl InjectError {
    /// Whether a process did not do what it should; otherwise chaos itself failed.
    #[must_use]
    pub fn is_of_process(&self) -> bool {
        matches!(self, InjectError::Cluster(error) if error.is_of_process())
    }
}

/// Breaks a cluster.
#[derive(Clone, Debug)]
pub struct Injector {
    cluster: Subject,
    /// How long a process may take to be ready when what was done to it is undone.
    ready_within: Duration,
    network: Option<Network>,
    timeline: Arc<Timeline>,
    /// Hit, and not ready again yet.
    hit: Arc<Mutex<BTreeSet<String>>>,
    /// Hit so that it may end by itself, as it should.
    doomed: Arc<Mutex<BTreeSet<String>>>,
}

/// What came of watching the processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Processes that ended although nobody had told them to, and how.
    pub died: Vec<String>,
    /// What chaos itself could not do about it.
    pub failure: Option<String>,
}

impl Injector {
    /// One for this cluster, and for its links if they can be cut.
    #[must_use]
    pub fn new(
        cluster: Subject,
        network: Option<Network>,
        timeline: Arc<Timeline>,
        ready_within: Duration,
    ) -> Self {
        let (hit, doomed) = Default::default();
        Injector { cluster, ready_within, network, timeline, hit, doomed }
    }

    /// Carries out the plan until its end, or until it is enough, and waits until all that it hit is ready again; or until told to stop,
    /// and undoes what it did.
    ///
    /// # Errors
    /// A process can't be steered, or does not get ready.
    pub async fn carry_out(
        &self,
        plan: &Plan,
        enough: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), InjectError> {
        let begin = Instant::now();
        let mut under_way = JoinSet::new();
        for step in &plan.steps {
            tokio::select! {
                () = stop.cancelled() => break,
                () = enough.cancelled() => break,
                () = sleep_until(begin + step.at) => {}
            }
            let (fault, target) = (step.fault, step.target.to_string());
            if begin.elapsed() > plan.length {
                // Those before had to wait for somebody to hit.
                let why = "the time is over".to_owned();
                self.timeline.add(Happening::LeftOut { fault, target, why });
                continue;
            }
            let patience = Instant::now() + if step.patient { PATIENCE } else { Duration::ZERO };
            let mut names = self.choose(step).await;
            let go_on = || !stop.is_cancelled() && !enough.is_cancelled();
            while names.is_empty() && Instant::now() < patience && go_on() {
                sleep(SEARCH_PAUSE).await;
                names = self.choose(step).await;
            }
            if names.is_empty() {
                let why = "enough is out already, or nobody plays that part".to_owned();
                self.timeline.add(Happening::LeftOut { fault, target, why });
                continue;
            }
            let (injector, step, stop) = (self.clone(), *step, stop.clone());
            under_way.spawn(async move { injector.inflict(&step, &names, &stop).await });
        }
        let mut all = Ok(());
        while let Some(done) = under_way.join_next().await {
            // A task of ours neither panics nor is it aborted while we wait for it. If one fails, the others still undo what they did.
            all = all.and(done.unwrap_or(Ok(())));
        }
        all
    }

    /// Whom the step hits. They count as hit from here on.
    async fn choose(&self, step: &Step) -> Vec<String> {
        let mut candidates = timeout(SEARCH_WITHIN, self.candidates(step.target)).await.unwrap_or_default();
        let count = match (step.target.count(), step.target.role()) {
            (Count::All, _) | (_, None) => candidates.len(),
            (Count::Minority, Some(role)) => most_out(role, candidates.len()),
            (Count::Two, _) => 2,
            (Count::One, _) => 1,
        };
        let pick = step.pick as usize;
        let first = pick.checked_rem(candidates.len()).unwrap_or(0);
        candidates.rotate_left(first);
        if let (Count::Two, [_, others @ ..]) = (step.target.count(), candidates.as_mut_slice()) {
            // Who is at the other end must not depend on who is at this one.
            let second = (pick / 16).checked_rem(others.len()).unwrap_or(0);
            others.rotate_left(second);
        }
        let chosen: Vec<String> = candidates.into_iter().take(count).collect();
        let mut hit = self.hit.lock();
        // In the meantime one that had died by itself may have been noticed.
        if chosen.iter().any(|name| hit.contains(name)) {
            return Vec::new();
        }
        hit.extend(chosen.iter().cloned());
        chosen
    }

    /// The processes that may be hit now.
    async fn candidates(&self, target: Target) -> Vec<String> {
        let Ok(status) = self.cluster.status(Checksums::Skip).await else { return Vec::new() };
        let hit = self.hit.lock().clone();
        let is_member = |role| target.role().is_none_or(|wanted| wanted == role);
        let members: Vec<_> = status.processes.iter().filter(|process| is_member(process.role)).collect();
        let up: Vec<_> = members
            .iter()
            .filter(|process| process.condition == Condition::Up && !hit.contains(&process.name))
            .collect();
        let names = up.iter().map(|process| process.name.clone());
        // What is hit as a whole, and as much as may be, only with all of them: a node that was being brought up to date has no
        // part in what the others promised. Both ends of a link count as out: either may be left behind by the others.
        let hits = match (target.count(), target.role()) {
            (Count::All | Count::Minority, _) | (_, None) => {
                return if up.len() == members.len() { names.collect() } else { Vec::new() };
            }
            (Count::Two, Some(role)) => (2, role),
            (Count::One, Some(role)) => (1, role),
        };
        if members.len() - up.len() + hits.0 > most_out(hits.1, members.len()) {
            return Vec::new();
        }
        // Their word counts who are furthest ahead: others may not have heard yet.
        let latest = up.iter().max_by_key(|process| (process.term, process.epoch, process.applied));
        let leader = latest.and_then(|process| process.leader.clone());
        let sequencer = latest.and_then(|process| process.next_owner.clone());
        match target {
            Target::ProductLeader => names.filter(|name| Some(name) == leader.as_ref()).collect(),
            Target::ProductFollower => names.filter(|name| Some(name) != leader.as_ref()).collect(),
            Target::CustomerSequencer => names.filter(|name| Some(name) == sequencer.as_ref()).collect(),
            _ => names.collect(),
        }
    }

    /// Does it, waits, undoes it, and waits until all is ready, or until told to stop.
    async fn inflict(
        &self,
        step: &Step,
        names: &[String],
        stop: &CancellationToken,
    ) -> Result<(), InjectError> {
        if step.fault == Fault::Roll {
            for name in names {
                if !stop.is_cancelled() {
                    let calm = Step { lasts: Duration::ZERO, ..*step };
                    self.inflict_on(&calm, std::slice::from_ref(name), stop).await?;
                }
                self.hit.lock().remove(name);
            }
            return Ok(());
        }
        self.inflict_on(step, names, stop).await
    }

    async fn inflict_on(
        &self,
        step: &Step,
        names: &[String],
        stop: &CancellationToken,
    ) -> Result<(), InjectError> {
        let Step { fault, target, .. } = *step;
        for name in names {
            let part = match names {
                [one, other] if step.target.count() == Count::Two => format!("link {one} to {other}"),
                _ => target.to_string(),
            };
            self.timeline.add(Happening::Began { fault, process: name.clone(), part });
        }
        let cuts = cuts(fault, names);
        if let Some(network) = &self.network {
            cuts.iter().for_each(|cut| network.inflict(cut.clone()));
        }
        try_join_all(names.iter().map(|name| self.begin(fault, name))).await?;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(step.lasts) => {}
        }
        if let Some(network) = &self.network {
            cuts.iter().for_each(|cut| network.heal(cut));
        }
        for name in names {
            self.undo(fault, name).await?;
            self.timeline.add(Happening::Undone { fault, process: name.clone() });
        }
        for name in names {
            let ready = async { self.cluster.wait_ready_of(&[name], self.ready_within).await };
            // Who wants it to end does not want to wait for that.
            let Some(ready) = stop.run_until_cancelled(ready).await else { return Ok(()) };
            ready?;
            self.timeline.add(Happening::Ready { fault, process: name.clone() });
            self.hit.lock().remove(name);
        }
        Ok(())
    }

    async fn begin(&self, fault: Fault, name: &str) -> Result<(), InjectError> {
        match fault {
            Fault::Kill | Fault::KillAll | Fault::KillEverything => self.cluster.kill(name).await?,
            Fault::Terminate | Fault::Roll => self.cluster.terminate(name).await?,
            Fault::Pause => self.cluster.pause(name).await?,
            Fault::Wipe => {
                self.cluster.kill(name).await?;
                let data = self.cluster.file().data_of(name);
                let deleted = tokio::fs::remove_dir_all(data).await;
                deleted.map_err(|error| InjectError::Wipe { process: name.to_owned(), error })?;
            }
            // Done to their links.
            Fault::Isolate
            | Fault::Disconnect
            | Fault::Deafen
            | Fault::Mute
            | Fault::Slow
            | Fault::CutLink
            | Fault::CutOneWay => {}
            Fault::ClockAhead
            | Fault::ClockBehind
            | Fault::SlowDisk
            | Fault::StuckDisk
            | Fault::FullDisk
            | Fault::BadLinks => {
                if fault == Fault::FullDisk {
                    self.doomed.lock().insert(name.to_owned());
                }
                let written = self.sabotage(name, fault.sabotage()).await;
                written.map_err(|error| InjectError::Sabotage { process: name.to_owned(), error })?;
            }
        }
        Ok(())
    }

    async fn undo(&self, fault: Fault, name: &str) -> Result<(), InjectError> {
        match fault {
            Fault::Kill
            | Fault::Terminate
            | Fault::Wipe
            | Fault::KillAll
            | Fault::KillEverything
            | Fault::Roll => {
                self.restart(name).await?;
            }
            Fault::Pause => {
                self.cluster.resume(name).await?;
            }
            Fault::Isolate
            | Fault::Disconnect
            | Fault::Deafen
            | Fault::Mute
            | Fault::Slow
            | Fault::CutLink
            | Fault::CutOneWay => {}
            Fault::ClockAhead
            | Fault::ClockBehind
            | Fault::SlowDisk
            | Fault::StuckDisk
            | Fault::FullDisk
            | Fault::BadLinks => {
                let written = self.sabotage(name, None).await;
                written.map_err(|error| InjectError::Sabotage { process: name.to_owned(), error })?;
                if fault == Fault::FullDisk {
                    // Whether it ended or had nothing to write meanwhile: it begins anew.
                    self.restart(name).await?;
                    self.doomed.lock().remove(name);
                }
            }
        }
        Ok(())
    }

    /// Lets something be wrong with the machine of a process, or nothing.
    async fn sabotage(&self, name: &str, wrong: Option<&str>) -> std::io::Result<()> {
        let directory = self.cluster.file().data.join("sabotage");
        tokio::fs::create_dir_all(&directory).await?;
        tokio::fs::write(directory.join(name), wrong.unwrap_or_default()).await
    }

    async fn restart(&self, name: &str) -> Result<(), SubjectError> {
        let mut tries = 0;
        while let Err(error) = self.cluster.restart(name).await {
            tries += 1;
            if tries == RESTART_TRIES {
                return Err(error);
            }
            sleep(RESTART_PAUSE).await;
        }
        Ok(())
    }

    /// Kills all processes at once, as when the power fails, and starts them again: what was acknowledged before must be there
    /// after it.
    ///
    /// # Errors
    /// As [`Injector::carry_out`].
    pub async fn cut_power(&self, stop: &CancellationToken) -> Result<(), InjectError> {
        let names = self.cluster.names();
        self.hit.lock().extend(names.iter().cloned());
        let step = Step {
            at: Duration::ZERO,
            fault: Fault::KillEverything,
            target: Target::Everything,
            pick: 0,
            lasts: Duration::ZERO,
            patient: false,
        };
        self.inflict_on(&step, &names, stop).await
    }

    /// Watches for processes that end although nobody had told them to, and starts them again; until told to stop.
    pub async fn inspect(&self, stop: &CancellationToken) -> Inspection {
        let mut inspection = Inspection::default();
        while stop.run_until_cancelled(sleep(INSPECT_EVERY)).await.is_some() {
            // A launcher that does not answer is noticed by those who want something of it.
            for (name, how) in self.cluster.died().await.unwrap_or_default() {
                if self.doomed.lock().contains(&name) {
                    continue;
                }
                self.timeline.add(Happening::Died { process: name.clone(), how: how.clone() });
                inspection.died.push(format!("{name}: {how}"));
                self.hit.lock().insert(name.clone());
                if let Err(error) = self.bring_back(&name).await {
                    let told = format!("{name} can't be brought back: {error}");
                    match error.is_of_process() {
                        true => inspection.died.push(told),
                        false => inspection.failure = Some(told),
                    }
                    return inspection;
                }
            }
        }
        inspection
    }

    async fn bring_back(&self, name: &str) -> Result<(), SubjectError> {
        self.restart(name).await?;
        self.cluster.wait_ready_of(&[name], self.ready_within).await?;
        self.hit.lock().remove(name);
        Ok(())
    }
}

/// What a fault does to the links of those that it hits.
fn cuts(fault: Fault, names: &[String]) -> Vec<Cut> {
    let (direction, flow) = match fault {
        Fault::Isolate | Fault::CutLink => (Direction::Both, Flow::Stalled),
        Fault::Disconnect => (Direction::Both, Flow::Broken),
        Fault::Deafen => (Direction::Deaf, Flow::Stalled),
        Fault::Mute | Fault::CutOneWay => (Direction::Mute, Flow::Stalled),
        Fault::Slow => (Direction::Both, Flow::Delayed(SLOWNESS)),
        _ => return Vec::new(),
    };
    match (fault, names) {
        (Fault::CutLink | Fault::CutOneWay, [one, other]) => {
            vec![Cut { peer: Some(other.clone()), ..Cut::of(one, direction, flow) }]
        }
        _ => names.iter().map(|name| Cut::of(name, direction, flow)).collect(),
    }
}

/// How many of so many processes may be out at a time, by what the marketplace promises. Without the financial service
/// purchases wait; only plans that say so stop it.
fn most_out(role: Role, all: usize) -> usize {
    match role {
        Role::Customer | Role::Product => all.saturating_sub(1) / 2,
        Role::Buyer | Role::Seller => all.saturating_sub(1),
        Role::Financial => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_and_one_frontend_of_each_kind_always_stay() {
        assert_eq!([1, 2, 3, 4, 5].map(|all| most_out(Role::Product, all)), [0, 0, 1, 1, 2]);
        assert_eq!([1, 4].map(|all| most_out(Role::Buyer, all)), [0, 3]);
    }

    #[test]
    fn a_link_is_cut_once_and_between_its_ends_only() {
        let names = ["product-1".to_owned(), "product-3".to_owned()];
        let cut = |direction| Cut {
            peer: Some("product-3".into()),
            ..Cut::of("product-1", direction, Flow::Stalled)
        };
        assert_eq!(cuts(Fault::CutLink, &names), [cut(Direction::Both)]);
        assert_eq!(cuts(Fault::CutOneWay, &names), [cut(Direction::Mute)]);
        assert_eq!(cuts(Fault::Isolate, &names).len(), 2);
        assert_eq!(cuts(Fault::Kill, &names), []);
    }
}
