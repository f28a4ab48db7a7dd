//! Whether memory and disk stay bounded at full load while a customer node is down, and whether it catches up when it is back.

mod report;
mod sample;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agora_process::{Role, Shutdown};
use anyhow::{Context, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::{self, Op, Pace, Successes, Target, Timing, Wares, Ways};
use super::site::Site;
use crate::cluster::Cluster;
use crate::prober::Checksums;
use crate::verify::{Verdict, compare};

pub(crate) use report::Report;
pub(crate) use sample::Sample;

/// What to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The customer node that is down.
    pub down: String,
    /// For so long.
    pub time: Duration,
    /// Clients that write as fast as they are answered.
    pub clients: usize,
    /// Between two looks at memory and disk.
    pub every: Duration,
    /// So much log is kept for the node that is down, in slots, if it is not the standard: then a whole state is sent.
    pub keep_log_slots: Option<u64>,
}

/// The node that was down has caught up within this time, or it has failed to.
const CATCH_UP: Duration = Duration::from_secs(600);
/// Load goes on for so long after that.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// Replicas come to the same slot within this time once the load has ended.
const COMPARE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const CONNECTIONS: usize = 4;

/// Runs it. `told` hears of each sample as it is taken.
pub(crate) async fn run(
    plan: &Plan,
    shutdown: &Shutdown,
    mut told: impl FnMut(&Sample),
) -> anyhow::Result<Report> {
    let keep = plan.keep_log_slots;
    let site = Site::start_changed(shutdown, None, |file| {
        file.keep_only(Role::Customer);
        file.log.keep_slots = keep.unwrap_or(file.log.keep_slots);
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
    if !customers.contains(&plan.down.as_str()) {
        bail!("no customer node is called \"{}\"; there are {}", plan.down, customers.join(", "));
    }
    let ways = Ways { connections: CONNECTIONS, only_node: None };
    let clients =
        load::prepare(site, (Target::Customer, Op::Write), plan.clients, Wares::default(), &ways).await?;
    cluster.kill(&plan.down).await?;
    let (successes, end) = (Arc::new(Successes::default()), CancellationToken::new());
    let timing = Timing { warmup: Duration::ZERO, measured: plan.time + CATCH_UP + AFTERWARDS };
    let load = load::run(clients, Op::Write, Pace::Closed, timing, Arc::clone(&successes), &end);
    let began = Instant::now();
    let watch = async {
        let _end = end.clone().drop_guard();
        let mut samples = Vec::new();
        let mut look = async || {
            let writes = successes.count.load(Ordering::Relaxed);
            let sample = Sample::take(cluster, began.elapsed(), writes).await;
            told(&sample);
            samples.push(sample);
        };
        while began.elapsed() < plan.time {
            tokio::time::sleep(plan.every.min(plan.time.saturating_sub(began.elapsed()))).await;
            look().await;
        }
        let restarted = Instant::now();
        cluster.restart(&plan.down).await?;
        let caught_up = tokio::time::timeout(CATCH_UP, until_it_takes_turns(cluster, &plan.down)).await;
        caught_up.with_context(|| format!("{} has not caught up in {CATCH_UP:?}", plan.down))?;
        let caught_up = restarted.elapsed();
        tokio::time::sleep(AFTERWARDS).await;
        look().await;
        anyhow::Ok((samples, caught_up))
    };
    let (outcome, watched) = tokio::join!(load, watch);
    let (samples, caught_up) = watched?;
    let took_state = cluster.log_of(&plan.down)?.contains("installed a snapshot");
    let replicas = compared(cluster).await?;
    Ok(Report::new(plan, samples, caught_up, took_state, replicas, &outcome?))
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

/// How many replicas hold the same, once the load has ended.
async fn compared(cluster: &Cluster) -> anyhow::Result<usize> {
    let until = Instant::now() + COMPARE;
    loop {
        match compare(&cluster.status(Checksums::Compute).await, Role::Customer) {
            Verdict::Agree { nodes, silent, .. } if silent.is_empty() => return Ok(nodes),
            Verdict::Differ { detail } => bail!("replicas differ: {detail}"),
            verdict if Instant::now() >= until => bail!("the replicas can't be compared: {verdict:?}"),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
