//! Carries out a plan on a cluster: kills, waits, restarts. Never takes more than a minority of a database's nodes down, or the
//! last frontend of a kind; and watches for processes that die by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agora_cluster::{Checksums, Cluster, ClusterError, Condition, Life, Wanted};
use agora_process::Role;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::plan::{Plan, Step, Target};
use super::timeline::{Happening, Timeline};

/// How long a process may take to be ready after its restart.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the search for something to hit may take: a cluster without a leader has none to kill.
const SEARCH_WITHIN: Duration = Duration::from_secs(2);
const INSPECT_EVERY: Duration = Duration::from_millis(250);
/// A port may be in use for a moment after its process was killed.
const RESTART_TRIES: u32 = 20;
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// Breaks a cluster.
#[derive(Clone, Debug)]
pub struct Injector {
    cluster: Cluster,
    timeline: Arc<Timeline>,
    /// Killed, and not ready again yet.
    down: Arc<Mutex<BTreeSet<String>>>,
}

/// What came of watching the processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Processes that ended although nobody had told them to, and how.
    pub died: Vec<String>,
}

impl Injector {
    /// One for this cluster.
    #[must_use]
    pub fn new(cluster: Cluster, timeline: Arc<Timeline>) -> Self {
        Injector { cluster, timeline, down: Arc::default() }
    }

    /// Carries out the plan until its end or until told to stop, and waits until all that it killed is ready again.
    ///
    /// # Errors
    /// A process can't be started again, or does not get ready.
    pub async fn carry_out(&self, plan: &Plan, stop: &CancellationToken) -> Result<(), ClusterError> {
        let begin = Instant::now();
        let mut restarts = JoinSet::new();
        for step in &plan.steps {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(begin + step.at) => {}
            }
            if let Some(name) = self.hit(step).await? {
                let injector = self.clone();
                let back_at = Instant::now() + step.down;
                let stop = stop.clone();
                restarts.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = sleep_until(back_at) => {}
                    }
                    injector.bring_back(&name).await
                });
            }
        }
        while let Some(restarted) = restarts.join_next().await {
            // A task of ours neither panics nor is it aborted while we wait for it.
            if let Ok(outcome) = restarted {
                outcome?;
            }
        }
        Ok(())
    }

    /// Kills what the step is about; tells its name, or `None` if there was nothing that may be killed.
    async fn hit(&self, step: &Step) -> Result<Option<String>, ClusterError> {
        let candidates = timeout(SEARCH_WITHIN, self.candidates(step.target)).await.unwrap_or_default();
        if candidates.is_empty() {
            let why = "enough is down already, or nobody plays that part".to_owned();
            self.timeline.add(Happening::LeftOut { target: step.target.to_string(), why });
            return Ok(None);
        }
        let name = candidates[step.pick as usize % candidates.len()].clone();
        self.down.lock().insert(name.clone());
        match self.cluster.kill(&name).await {
            Ok(_) => {
                self.timeline.add(Happening::Killed { process: name.clone(), part: step.target.to_string() });
                Ok(Some(name))
            }
            // It died by itself at this very moment; the inspection will tell, and bring it back.
            Err(ClusterError::NotRunning { .. }) => {
                self.down.lock().remove(&name);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The processes that may be hit now.
    async fn candidates(&self, target: Target) -> Vec<String> {
        let status = self.cluster.status(Checksums::Skip).await;
        let role = role_of(target);
        let members = status.processes.iter().filter(|process| process.role == role);
        let (mut all, mut up) = (0, Vec::new());
        for process in members {
            all += 1;
            if process.condition == Condition::Up && !self.down.lock().contains(&process.name) {
                up.push(process);
            }
        }
        if all - up.len() >= most_down(role, all) {
            return Vec::new();
        }
        // Their word counts who are furthest ahead: others may not have heard yet.
        let latest = up.iter().max_by_key(|process| (process.term, process.epoch, process.applied));
        let leader = latest.and_then(|process| process.leader.clone());
        let sequencer = latest.and_then(|process| process.next_owner.clone());
        let names = up.iter().map(|process| process.name.clone());
        match target {
            Target::BuyerFrontend | Target::SellerFrontend | Target::CustomerNode => names.collect(),
            Target::ProductLeader => names.filter(|name| Some(name) == leader.as_ref()).collect(),
            Target::ProductFollower => names.filter(|name| Some(name) != leader.as_ref()).collect(),
            Target::CustomerSequencer => names.filter(|name| Some(name) == sequencer.as_ref()).collect(),
        }
    }

    /// Starts a process again, and waits until it is ready.
    async fn bring_back(&self, name: &str) -> Result<(), ClusterError> {
        let mut tries = 0;
        while let Err(error) = self.cluster.restart(name).await {
            tries += 1;
            if tries == RESTART_TRIES {
                return Err(error);
            }
            sleep(RESTART_PAUSE).await;
        }
        self.timeline.add(Happening::Restarted { process: name.to_owned() });
        self.cluster.wait_ready_of(&[name], READY_WITHIN).await?;
        self.timeline.add(Happening::Ready { process: name.to_owned() });
        self.down.lock().remove(name);
        Ok(())
    }

    /// Watches for processes that end although nobody had told them to, and starts them again; until told to stop.
    pub async fn inspect(&self, stop: &CancellationToken) -> Inspection {
        let mut inspection = Inspection::default();
        while stop.run_until_cancelled(sleep(INSPECT_EVERY)).await.is_some() {
            for name in self.cluster.names() {
                let Some(how) = self.died_by_itself(&name) else { continue };
                self.timeline.add(Happening::Died { process: name.clone(), how: how.clone() });
                inspection.died.push(format!("{name}: {how}"));
                self.down.lock().insert(name.clone());
                if let Err(error) = self.bring_back(&name).await {
                    inspection.died.push(format!("{name} can't be brought back: {error}"));
                    return inspection;
                }
            }
        }
        inspection
    }

    fn died_by_itself(&self, name: &str) -> Option<String> {
        let life = self.cluster.watch(name).ok()?.borrow().clone();
        match life {
            Life::Down { how, wanted: Wanted::No } => Some(how.to_string()),
            _ => None,
        }
    }
}

fn role_of(target: Target) -> Role {
    match target {
        Target::BuyerFrontend => Role::Buyer,
        Target::SellerFrontend => Role::Seller,
        Target::ProductLeader | Target::ProductFollower => Role::Product,
        Target::CustomerNode | Target::CustomerSequencer => Role::Customer,
    }
}

/// How many of so many processes may be down at a time, by what the marketplace promises.
fn most_down(role: Role, all: usize) -> usize {
    match role {
        Role::Customer | Role::Product => all.saturating_sub(1) / 2,
        Role::Buyer | Role::Seller => all.saturating_sub(1),
        Role::Financial => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_and_one_frontend_of_each_kind_always_stay() {
        assert_eq!([1, 2, 3, 4, 5].map(|all| most_down(Role::Product, all)), [0, 0, 1, 1, 2]);
        assert_eq!([1, 4].map(|all| most_down(Role::Buyer, all)), [0, 3]);
    }
}
