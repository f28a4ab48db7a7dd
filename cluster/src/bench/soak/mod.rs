//! Whether memory and disk stay bounded at full load while a customer node is down, and whether it catches up when it is back.

mod report;
mod sample;
mod verdict;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agora_process::{Role, Shutdown};
use anyhow::bail;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::{self, Next, Op, Pace, Successes, Target, Timing, Wares, Ways};
use super::site::Site;
use crate::cluster::Cluster;
use crate::prober::Checksums;
use crate::verify::{self, compare};

pub(crate) use report::Report;
pub(crate) use sample::{Phase, Sample};
pub(crate) use verdict::Verdict;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The customer node that is down.
    pub down: String,
    /// For so long.
    pub time: Duration,
    /// Clients that write as fast as they are answered.
    pub clients: usize,
    /// But no more writes a second than these.
    pub rate: u32,
    /// Between two looks at memory and disk.
    pub every: Duration,
    /// Started again, it is up to date, takes turns and answers calls within this time.
    pub back_within: Duration,
    /// So much log is kept for the node that is down, in slots. If that is little, a whole state is sent.
    pub keep_log_slots: u64,
    /// The same in bytes, which the plan does not change.
    pub keep_log_bytes: u64,
}

/// What was found out.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub samples: Vec<Sample>,
    /// Until the node that was down was back; none if it did not come back in time.
    pub back_after: Option<Duration>,
    /// It was sent a whole state.
    pub took_state: bool,
    /// So many customer nodes there are.
    pub nodes: usize,
    /// So many replicas hold the same; or why that can't be said.
    pub replicas: Result<usize, String>,
    /// Nodes that ended by themselves, and how.
    pub died: Vec<String>,
}

/// Load goes on for so long after that: long enough to see that logs are cut again.
const AFTERWARDS: Duration = Duration::from_secs(6);
/// Replicas come to the same slot within this time once the load has ended.
const COMPARE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 4;

/// To catch up takes no longer than this, on any machine on which it is worth while to measure.
const CATCH_UP: Duration = Duration::from_secs(60);
const RATE_MAX: u64 = 1_000_000;

/// So many writes a second, for so long and until the node is back, are remembered without a new one being refused.
pub(crate) fn rate_that_fits(time: Duration) -> u32 {
    let writes = verdict::WRITES_MAX / 20 * 19;
    let rate = writes / (time + CATCH_UP + AFTERWARDS).as_secs();
    u32::try_from(rate.clamp(1, RATE_MAX)).unwrap_or(u32::MAX)
}

/// Runs it. `told` hears of each sample as it is taken.
pub(crate) async fn run(
    plan: &Plan,
    shutdown: &Shutdown,
    mut told: impl FnMut(&Sample),
) -> anyhow::Result<Report> {
    let site = Site::start_changed(shutdown, |options| {
        options.file.keep_only(Role::Customer);
        options.file.log.keep_slots = plan.keep_log_slots;
    });
    let site = site.await?;
    let outcome = match site.cluster() {
        Some(cluster) => tokio::select! {
            outcome = soak(plan, &site, cluster, &mut told) => outcome,
            () = shutdown.stop.cancelled() => Err(anyhow::anyhow!("interrupted")),
        },
        None => Err(anyhow::anyhow!("the cluster is not this program's own")),
    };
    site.stop().await;
    outcome
}

async fn soak(
    plan: &Plan,
    site: &Site,
    cluster: &Cluster,
    told: &mut impl FnMut(&Sample),
) -> anyhow::Result<Report> {
    let customers: Vec<&str> = site.file.customer.iter().map(|node| node.name.as_str()).collect();
    let Some(down) = customers.iter().position(|name| *name == plan.down) else {
        bail!("no customer node is called \"{}\"; there are {}", plan.down, customers.join(", "));
    };
    let ways = Ways { connections: CONNECTIONS, only_node: None };
    let clients =
        load::prepare(site, (Target::Customer, Op::Write), plan.clients, Wares::default(), &ways).await?;
    cluster.kill(&plan.down).await?;
    let (successes, end) = (Arc::new(Successes::default()), CancellationToken::new());
    let timing = Timing { warmup: Duration::ZERO, measured: plan.time + plan.back_within + AFTERWARDS };
    let pace = Pace::Open { per_second: plan.rate.into() };
    let load = load::run(clients, Op::Write, pace, timing, Arc::clone(&successes), &end);
    let began = Instant::now();
    let watch = async {
        let _end = end.clone().drop_guard();
        let mut samples = Vec::new();
        let mut look = async |phase| {
            let writes = successes.count.load(Ordering::Relaxed);
            let sample = Sample::take(cluster, phase, began.elapsed(), writes).await;
            told(&sample);
            samples.push(sample);
        };
        while began.elapsed() < plan.time {
            tokio::time::sleep(plan.every.min(plan.time.saturating_sub(began.elapsed()))).await;
            look(Phase::Down).await;
        }
        let restarted = Instant::now();
        cluster.restart(&plan.down).await?;
        let back = async {
            until_it_takes_turns(cluster, &plan.down).await;
            until_it_serves(site, down).await;
            restarted.elapsed()
        };
        let mut back = pin!(tokio::time::timeout(plan.back_within, back));
        let back_after = loop {
            tokio::select! {
                back_after = &mut back => break back_after.ok(),
                () = tokio::time::sleep(plan.every) => look(Phase::CatchingUp).await,
            }
        };
        let phase = if back_after.is_some() { Phase::Back } else { Phase::CatchingUp };
        look(phase).await;
        tokio::time::sleep(AFTERWARDS).await;
        look(phase).await;
        anyhow::Ok((samples, back_after))
    };
    let (outcome, watched) = tokio::join!(load, watch);
    let (samples, back_after) = watched?;
    let found = Found {
        samples,
        back_after,
        took_state: cluster.log_of(&plan.down)?.contains("installed a snapshot"),
        nodes: customers.len(),
        replicas: compared(cluster).await,
        died: died(cluster).await,
    };
    Ok(Report::new(plan, found, &outcome?))
}

/// Until a write and a read through this node alone have been answered.
async fn until_it_serves(site: &Site, node: usize) {
    let ways = Ways { connections: 1, only_node: Some(node) };
    loop {
        let client = load::prepare(site, (Target::Customer, Op::Write), 1, Wares::default(), &ways).await;
        if let Some(mut client) = client.ok().and_then(|mut clients| clients.pop())
            && client.call(Next::Write).await.is_ok()
            && client.call(Next::Read).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Nodes that ended although nobody had told them to, and how.
async fn died(cluster: &Cluster) -> Vec<String> {
    let processes = cluster.status(Checksums::Skip).await.processes;
    processes.into_iter().filter_map(|node| Some(format!("{}: {}", node.name, node.died?))).collect()
}

async fn until_it_takes_turns(cluster: &Cluster, name: &str) {
    loop {
        let status = cluster.status(Checksums::Skip).await;
        let node = status.processes.iter().find(|process| process.name == name);
        let takes_turns = |node: &crate::status::ProcessStatus| {
            node.ready
                && node.outside_because.is_none()
                && node.roster.as_ref().is_some_and(|roster| roster.iter().any(|other| other == name))
        };
        if node.is_some_and(takes_turns) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many replicas hold the same, once the load has ended; or why that can't be said.
async fn compared(cluster: &Cluster) -> Result<usize, String> {
    let until = Instant::now() + COMPARE;
    loop {
        match compare(&cluster.status(Checksums::Compute).await, Role::Customer) {
            verify::Verdict::Agree { nodes, silent, .. } if silent.is_empty() => return Ok(nodes),
            verify::Verdict::Differ { detail } => return Err(format!("replicas differ: {detail}")),
            verify::Verdict::Agree { nodes, silent, .. } if Instant::now() >= until => {
                return Err(format!("{nodes} do, and {} do not answer", silent.join(", ")));
            }
            verify::Verdict::Moving | verify::Verdict::Silent if Instant::now() >= until => {
                return Err(format!("within {COMPARE:?} they did not come to the same slot"));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
