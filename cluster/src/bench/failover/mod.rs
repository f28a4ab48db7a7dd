//! What the death of the member that matters costs: the time from its kill -9 to the next success.
//!
//! The member that matters is the customer node whose turn the next slot is, or the leader of the product group. Clients that write
//! without a pause hold still while it is found out, so that it is its turn still when it dies, and begin again the moment the
//! signal is sent; only calls that begin after that count. Then it is started again, and is to be taken in again before
//! the next one dies.

mod gate;
mod report;

use std::sync::Arc;
use std::time::Duration;

use agora_process::{Role, Shutdown};
use anyhow::{Context, bail};
use clap::ValueEnum;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::load::{self, Client, Next, Op, Wares, Ways};
use super::site::Site;
use crate::cluster::Cluster;
use crate::names::Alias;
use crate::prober::Checksums;

use gate::Gate;
pub(crate) use report::{Kill, Report};

/// Within this time writes succeed again, and a node is taken in again, or the measurement fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For so long all is well before the next one dies.
const CALM: Duration = Duration::from_millis(300);

/// Whose members die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// The customer node whose turn the next slot is.
    Customer,
    /// The leader of the product group.
    Product,
}

impl Group {
    pub fn as_str(self) -> &'static str {
        self.target().as_str()
    }

    fn target(self) -> load::Target {
        match self {
            Group::Customer => load::Target::Customer,
            Group::Product => load::Target::Product,
        }
    }

    fn who_matters(self) -> Alias {
        match self {
            Group::Customer => Alias::CustomerSequencer,
            Group::Product => Alias::ProductLeader,
        }
    }

    fn role(self) -> Role {
        self.who_matters().role()
    }
}

/// What a client's success was: when the call began and when it was answered.
type Success = (Instant, Instant);

/// Kills so many members, one after the other. Told to stop, it ends early; what there is then, is told.
pub(crate) async fn run(
    group: Group,
    kills: usize,
    clients: usize,
    shutdown: &Shutdown,
    mut told: impl FnMut(&Kill),
) -> anyhow::Result<Report> {
    let site = Site::start_changed(shutdown, |options| options.file.keep_only(group.role())).await?;
    let mut report = Report::new(group, clients);
    let measured = async {
        let cluster = site.cluster().context("the cluster is not this program's own")?;
        let ways = Ways { connections: clients, only_node: None };
        let clients =
            load::prepare(&site, (group.target(), Op::Write), clients, Wares::default(), &ways).await?;
        let mut writers = Writers::start(clients);
        for _ in 0..kills {
            let kill = kill(cluster, group, &mut writers).await?;
            told(&kill);
            report.kills.push(kill);
        }
        anyhow::Ok(())
    };
    let outcome = tokio::select! {
        outcome = measured => outcome,
        () = shutdown.stop.cancelled() => Ok(()),
    };
    site.stop().await;
    outcome.map(|()| report)
}

async fn kill(cluster: &Cluster, group: Group, writers: &mut Writers) -> anyhow::Result<Kill> {
    writers.hold_still().await;
    let victim = cluster.resolve(group.who_matters().as_str()).await?;
    let struck = cluster.strike(&victim).await?;
    writers.go_on();
    let successes = tokio::time::timeout(PATIENCE, writers.successes_since(struck)).await;
    let successes = successes.with_context(|| format!("no write succeeds after the death of {victim}"))?;
    let after = |index: usize| successes.get(index).map_or(PATIENCE, |(_, answered)| *answered - struck);
    let (next, all) = (after(0), after(successes.len().saturating_sub(1)));
    cluster.restart(&victim).await?;
    let back = tokio::time::timeout(PATIENCE, until_in(cluster, group, &victim)).await;
    back.with_context(|| format!("{victim} was not taken in again"))??;
    let taken_in = struck.elapsed();
    tokio::time::sleep(CALM).await;
    Ok(Kill { victim, next, all, taken_in })
}

/// Waits until the whole group is in step, with this node.
async fn until_in(cluster: &Cluster, group: Group, name: &str) -> anyhow::Result<()> {
    loop {
        let status = cluster.status(Checksums::Skip).await;
        let nodes: Vec<_> = status.processes.iter().filter(|node| node.role == group.role()).collect();
        if nodes.is_empty() {
            bail!("the group has no nodes");
        }
        let is_in = nodes.iter().all(|node| {
            let sees_it = match group {
                Group::Customer => {
                    node.roster.as_ref().is_some_and(|roster| roster.iter().any(|other| other == name))
                }
                Group::Product => node.leader.is_some(),
            };
            node.ready && sees_it
        });
        if is_in {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Clients that write without a pause while the gate is open.
struct Writers {
    gate: Gate,
    successes: Arc<Mutex<Vec<Vec<Success>>>>,
    _tasks: JoinSet<()>,
}

impl Writers {
    fn start(clients: Vec<Client>) -> Self {
        let gate = Gate::closed();
        let successes = Arc::new(Mutex::new(vec![Vec::new(); clients.len()]));
        let mut tasks = JoinSet::new();
        for (index, mut client) in clients.into_iter().enumerate() {
            let (gate, successes) = (gate.clone(), Arc::clone(&successes));
            tasks.spawn(async move {
                loop {
                    let _inside = gate.pass().await;
                    let called = Instant::now();
                    match client.call(Next::Write).await {
                        Ok(()) => {
                            if let Some(own) = successes.lock().get_mut(index) {
                                own.push((called, Instant::now()));
                            }
                        }
                        Err(miss) => tokio::time::sleep(miss.pause).await,
                    }
                }
            });
        }
        Writers { gate, successes, _tasks: tasks }
    }

    /// Waits until no call is under way.
    async fn hold_still(&mut self) {
        self.gate.close().await;
        self.successes.lock().iter_mut().for_each(Vec::clear);
    }

    fn go_on(&mut self) {
        self.gate.open();
    }

    /// The first success of each client in a call that began after this moment, in the order in which they came.
    async fn successes_since(&self, moment: Instant) -> Vec<Success> {
        loop {
            let first = |own: &Vec<Success>| own.iter().find(|(called, _)| *called >= moment).copied();
            let firsts: Option<Vec<Success>> = self.successes.lock().iter().map(first).collect();
            if let Some(mut firsts) = firsts {
                firsts.sort_unstable_by_key(|(_, answered)| *answered);
                return firsts;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
