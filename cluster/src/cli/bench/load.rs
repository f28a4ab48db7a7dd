//! `bench load`: one kind of call, as many as will go.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agora_process::{ClusterFile, Endpoint, Shutdown};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::bench::load::{
    Conditions, Kill, Killed, Measured, Op, Pace, Report, Snapshot, Successes, Target, Timing, Wares, Ways,
    prepare, run,
};
use crate::bench::site::Site;
use crate::cli::{INTERRUPTED, interrupted, listen, out};

/// Instead of a name.
const EACH_NODE: &str = "each";
/// The messages of a slow node come up to so many milliseconds late.
const SLOW_MS_MAX: u64 = 25;

#[derive(Debug, Args)]
pub struct LoadArgs {
    /// What is called.
    #[arg(long)]
    target: Target,
    /// Which calls are made.
    #[arg(long, default_value = "write")]
    op: Op,
    /// Clients at a time: each waits for its answer before it makes its next call.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Bytes of the name of each item that `--op listing` puts on sale.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=32))]
    value_bytes: u32,
    /// Kill a process so long after the measurement has begun, as in `leader@5s` or `buyer-2@1500ms`; the leader is the
    /// product leader, or the customer node whose turn it is. On a cluster of its own, or with --data.
    #[arg(long, value_name = "WHO@TIME", conflicts_with = "config")]
    kill: Option<Kill>,
    /// So many calls a second, whether or not earlier ones are answered; response times count from when a call was due
    /// [default: each client makes its next call when the last one was answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Measure so often, one after the other on the same cluster, and tell the medians.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100), conflicts_with = "kill")]
    runs: u16,
    /// How many seconds are measured.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How many seconds of calls before that do not count.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    warmup: u64,
    /// Connections to each database node, which the clients share.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Only this database node is called, like `customer-2`; `each`: one after the other, on the same cluster [default: they
    /// are called in turn, and the leader for product writes]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// This node is dead all the time; on a cluster of --data it stays so.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    down: Option<String>,
    /// The messages of this customer node to the others come late, by up to 25 ms each. On a cluster of its own.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["data", "config"])]
    slow: Option<String>,
    /// Measure the cluster that runs on this data directory [default: one of its own, on free ports]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure the running cluster of this cluster file.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Also write the result as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub async fn load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    if !args.target.offers(args.op) {
        let offering = [Target::Product, Target::Rest].into_iter().filter(|target| target.offers(args.op));
        let names: Vec<_> = offering.map(Target::as_str).collect();
        bail!(
            "--op {} is not for --target {}; it is for --target {}",
            args.op.as_str(),
            args.target.as_str(),
            names.join(" or ")
        );
    }
    if args.kill.as_ref().is_some_and(|kill| !kill.is_within(Duration::from_secs(args.seconds))) {
        bail!("--kill comes after the measurement, which takes {} s: see --seconds", args.seconds);
    }
    let shutdown = listen()?;
    let stop = &shutdown.stop;
    let reports = match on_site(&args, &shutdown).await {
        Ok(reports) => reports,
        Err(_) if stop.is_cancelled() => return Ok(interrupted()),
        Err(error) => return Err(error),
    };
    // With the JSON on standard output, what people read goes elsewhere.
    let text = match &reports[..] {
        [report] => report.text(),
        reports => lines(reports, usize::from(args.runs)).join("\n"),
    };
    match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(&text),
        _ => out::line(&text),
    }
    match (&args.json, &reports[..]) {
        (None, _) => {}
        (Some(path), [report]) => super::write_json(path, report)?,
        (Some(path), reports) => super::write_json(path, &reports)?,
    }
    Ok(if stop.is_cancelled() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// A line for each report; and one for each node's medians, if it was measured more than once.
fn lines(reports: &[Report], runs: usize) -> Vec<String> {
    let of_node = |reports: &[Report]| {
        let medians = (reports.len() > 1).then(|| Report::medians(reports));
        reports.iter().map(Report::line).chain(medians).collect::<Vec<_>>()
    };
    reports.chunks(runs.max(1)).flat_map(of_node).collect()
}

/// One report, or one for each node and run.
async fn on_site(args: &LoadArgs, shutdown: &Shutdown) -> anyhow::Result<Vec<Report>> {
    let site = match (&args.data, &args.config) {
        (None, None) => start(args, shutdown).await?,
        (Some(data), _) => Site::running_on(data).await?,
        (None, Some(config)) => Site::of_file(config)?,
    };
    let measured = tokio::select! {
        measured = measure_all(args, &site, &shutdown.stop) => measured,
        () = shutdown.hurry.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    site.stop().await;
    measured
}

/// A cluster of its own, with a slow node if there is to be one.
async fn start(args: &LoadArgs, shutdown: &Shutdown) -> anyhow::Result<Site> {
    let site = Site::start_changed(shutdown, |options| {
        let Some(slow) = &args.slow else { return };
        let mut view = options.file.clone();
        view.links.delay_ms_max = SLOW_MS_MAX;
        options.views.insert(slow.clone(), view);
    });
    site.await
}

async fn measure_all(args: &LoadArgs, site: &Site, stop: &CancellationToken) -> anyhow::Result<Vec<Report>> {
    let nodes = nodes(args, &site.file)?;
    if let Some(slow) = &args.slow {
        position(slow, &site.file.customer)?;
    }
    if let Some(down) = &args.down {
        site.kill(down).await?;
    }
    let mut reports = Vec::new();
    for node in nodes.iter().flat_map(|node| std::iter::repeat_n(node, args.runs.into())) {
        reports.push(measure(args, site, node.clone(), stop).await?);
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(reports)
}

/// With all nodes, or only this one.
async fn measure(
    args: &LoadArgs,
    site: &Site,
    node: Option<(usize, String)>,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    let clients = args.clients as usize;
    let (only_node, node) = node.unzip();
    let ways = Ways { connections: args.connections as usize, only_node };
    let wares = Wares { name_bytes: args.value_bytes as usize };
    let prepared = tokio::select! {
        prepared = prepare(site, (args.target, args.op), clients, wares, &ways) => prepared.context("the clients can't be prepared")?,
        () = stop.cancelled() => bail!("interrupted"),
    };
    let timing =
        Timing { warmup: Duration::from_secs(args.warmup), measured: Duration::from_secs(args.seconds) };
    let pace = args.rate.map_or(Pace::Closed, |rate| Pace::Open { per_second: rate.into() });
    let successes = Arc::new(Successes::default());
    let progress = tokio::spawn(show_progress(timing, Arc::clone(&successes)));
    let watched = watch(args, site, timing, Arc::clone(&successes), stop);
    let (outcome, watched) = tokio::join!(run(prepared, args.op, pace, timing, successes, stop), watched);
    progress.abort();
    let (outcome, (killed, before, after)) = (outcome?, watched?);
    let ops = outcome.latencies.count();
    let (uses, disk_bytes_per_op) = (after.since(&before, ops), after.disk_bytes_since(&before, ops));
    let (target, op) = (args.target, args.op);
    let conditions = Conditions { node, down: args.down.clone(), slow: args.slow.clone() };
    Ok(Report::new(Measured {
        target,
        op,
        clients,
        conditions,
        pace,
        outcome,
        killed,
        uses,
        disk_bytes_per_op,
    }))
}

/// What happens besides the calls: a kill, if one is wished for, and a look at what is used at the start and at the end.
async fn watch(
    args: &LoadArgs,
    site: &Site,
    timing: Timing,
    successes: Arc<Successes>,
    stop: &CancellationToken,
) -> anyhow::Result<(Option<Killed>, Snapshot, Snapshot)> {
    let begin = tokio::time::Instant::now();
    let start = begin + timing.warmup;
    let until = async |moment: tokio::time::Instant| {
        tokio::select! {
            () = tokio::time::sleep_until(moment) => {}
            () = stop.cancelled() => {}
        }
    };
    until(start).await;
    let before = Snapshot::take(site).await?;
    let killed = match &args.kill {
        Some(kill) => kill.carry_out(site, args.target, (start, &successes), stop).await?,
        None => None,
    };
    until(start + timing.measured).await;
    let after = Snapshot::take(site).await?;
    let killed = killed.map(|killed| Killed { recovered_us: successes.recovery_us(), ..killed });
    Ok((killed, before, after))
}

/// The nodes that are called one after the other; or none, since all are called in turn.
fn nodes(args: &LoadArgs, file: &ClusterFile) -> anyhow::Result<Vec<Option<(usize, String)>>> {
    let Some(name) = &args.node else { return Ok(vec![None]) };
    let nodes = match args.target {
        Target::Customer => &file.customer,
        Target::Product => &file.product,
        Target::Rest => bail!("--node is for database nodes; the frontends are called in turn"),
    };
    let is_up = |node: &Endpoint| Some(&node.name) != args.down.as_ref();
    if name == EACH_NODE {
        let each = nodes.iter().enumerate().filter(|(_, node)| is_up(node));
        return Ok(each.map(|(index, node)| Some((index, node.name.clone()))).collect());
    }
    let index = position(name, nodes)?;
    if !nodes.get(index).is_some_and(is_up) {
        bail!("{name} can't be called while it is down");
    }
    Ok(vec![Some((index, name.clone()))])
}

fn position(name: &str, nodes: &[Endpoint]) -> anyhow::Result<usize> {
    nodes.iter().position(|node| node.name == name).with_context(|| {
        let known: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        format!("no node is called \"{name}\"; there are {}", known.join(", "))
    })
}

async fn show_progress(timing: Timing, successes: Arc<Successes>) {
    let whole = timing.warmup + timing.measured;
    let bar = ProgressBar::new(whole.as_millis() as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(style);
    }
    let begun = Instant::now();
    // Whoever draws it drops it: the bar is cleared when this task is aborted.
    let bar = Cleared(bar);
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let count = successes.count.load(Ordering::Relaxed);
        bar.0.set_position(begun.elapsed().min(whole).as_millis() as u64);
        let message = if begun.elapsed() < timing.warmup {
            "warming up".into()
        } else {
            format!("{} /s", (count - before) * 2)
        };
        bar.0.set_message(message);
        before = count;
    }
}

struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
