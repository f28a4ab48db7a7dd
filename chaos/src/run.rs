//! One run, phase by phase.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_cluster::{Cluster, Ports, StartOptions};
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::check::{Check, check_all, check_history};
use crate::cli::RunArguments;
use crate::faults::{InjectError, Injector, Inspection, Kind, Network, Plan, Timeline, bars, observe};
use crate::history::Recorder;
use crate::readings::{Collector, Readings};
use crate::report::{Availability, Course, Ending, Report};
use crate::workload::{People, Place, Workload};
use progress::Progress;

mod progress;

/// How long the clients may take to finish what they were doing when the faults are over.
const FINISH_WITHIN: Duration = Duration::from_secs(150);

/// Where the cluster's data is, and what becomes of it.
enum Data {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Data {
    fn path(&self) -> PathBuf {
        match self {
            Data::Given(path) => path.clone(),
            Data::Temporary(directory) => directory.path().to_owned(),
        }
    }

    /// Keeps it, for whoever wants to find out what went wrong.
    fn keep(self) -> PathBuf {
        match self {
            Data::Given(path) => path,
            Data::Temporary(directory) => directory.keep(),
        }
    }
}

/// Runs chaos; the cluster is stopped at the end, whatever the end is.
pub(crate) async fn run(arguments: &RunArguments) -> anyhow::Result<Report> {
    let interrupt = agora_process::shutdown_signal().context("can't listen for signals")?;
    let data = match &arguments.data {
        Some(path) => Data::Given(new_directory(path)?),
        None => Data::Temporary(
            tempfile::Builder::new().prefix("agora-chaos-").tempdir().context("can't make a directory")?,
        ),
    };
    anyhow::ensure!(
        arguments.plan != Kind::Clocks || agora_sabotage::ARMED,
        "the clocks of this build can't be set wrong: run it without --release and with --features sabotage"
    );
    let seed = arguments.seed();
    let plan = Plan::draw(arguments.plan, seed, arguments.length(), arguments.customer_nodes());
    println!(
        "Seed {seed}: {} faults in {}",
        plan.steps.len(),
        humantime::format_duration(arguments.length())
    );

    let mut options = StartOptions::standard(data.path(), Ports::Free)?;
    options.interrupt = interrupt.clone();
    options.file.links = plan.links.clone();
    let mut network = None;
    if plan.cuts_links() {
        let (proxies, views) = Network::start(&options.file).await.context("can't put proxies in between")?;
        (network, options.views) = (Some(proxies), views);
    }
    let cluster = Cluster::start(options).await.context("can't start the cluster")?;
    println!("{} processes are ready; logs in {}", cluster.names().len(), cluster.logs().display());
    let outcome = on_cluster(arguments, plan, &cluster, network, &interrupt).await;
    cluster.stop().await;
    let spoiled = outcome.as_ref().map_or(true, |report| report.ending == Ending::Violation);
    if spoiled && !interrupt.is_cancelled() {
        println!("The cluster's data and logs are kept in {}", data.keep().display());
    }
    outcome
}

/// Data of an earlier run would be taken for the state of this one.
fn new_directory(path: &PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("can't create {}", path.display()))?;
    let mut entries = std::fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
    anyhow::ensure!(
        entries.next().is_none(),
        "{} is not empty: name a new directory, or remove it",
        path.display()
    );
    Ok(path.clone())
}

async fn on_cluster(
    arguments: &RunArguments,
    plan: Plan,
    cluster: &Cluster,
    network: Option<Network>,
    interrupt: &CancellationToken,
) -> anyhow::Result<Report> {
    let origin = Instant::now();
    let recorder = Recorder::new(origin, arguments.history.as_deref());
    let recorder = Arc::new(recorder.context("can't write the history")?);
    let endpoints = cluster.endpoints();
    let place = Place { buyer_servers: endpoints.buyer, seller_servers: endpoints.seller, seed: plan.seed };
    let size = arguments.size();
    let set_up = Workload::set_up(&place, &size, &recorder);
    let workload =
        interrupt.run_until_cancelled(set_up).await.context("interrupted before the faults began")??;
    let people = workload.people();

    let progress = Progress::start(arguments.length(), Arc::clone(&recorder));
    let timeline = Arc::new(Timeline::new(origin, progress.teller()));
    let from_ns = recorder.now_ns();
    let injector = Injector::new(cluster.clone(), network, Arc::clone(&timeline));
    let watching = CancellationToken::new();
    let observing = tokio::spawn(observe(cluster.clone(), Arc::clone(&timeline), watching.clone()));
    let broken =
        break_it(cluster, &injector, &plan, workload, arguments.length(), interrupt, &recorder).await;
    watching.cancel();
    // It only looks; if it failed, there is less to look at.
    observing.await.ok();
    progress.finish();

    let mut checks = vec![broken.processes];
    let mut readings = None;
    if interrupt.is_cancelled() {
        println!("Interrupted: stopping the cluster");
    } else if checks.iter().all(Check::held) {
        println!("Waiting until all is well, then checking");
        let read = look(cluster, &place, &people, broken.workload);
        match interrupt.run_until_cancelled(read).await {
            Some(Ok(read)) => readings = Some(read),
            Some(Err(error)) => checks.push(unwell(&error)),
            None => {}
        }
    }
    let call_errors = recorder.errors();
    let history = recorder.finish().context("can't write the history")?;
    if plan.kind == Kind::Frontends {
        checks.push(answers(history.len(), &call_errors));
    }
    checks.extend(match &readings {
        Some(readings) => check_all(&history, readings, &people),
        None => check_history(&history),
    });
    let ending = match (checks.iter().all(Check::held), &readings) {
        (false, _) => Ending::Violation,
        (true, Some(_)) => Ending::Held,
        (true, None) => Ending::Interrupted,
    };
    let timeline = timeline.entries();
    let end_ns = history.iter().filter_map(|event| event.end_ns).max().unwrap_or_default();
    let bars = bars(&timeline, end_ns);
    Ok(Report {
        ending,
        plan,
        customer_nodes: arguments.customer_nodes(),
        seconds: (broken.until_ns - from_ns) as f64 / 1e9,
        clients: people.sellers.len() + people.buyers.len(),
        availability: Availability::of(&history, &bars, from_ns, broken.until_ns),
        course: Course::of(&history, end_ns),
        bars,
        timeline,
        call_errors,
        checks,
        readings,
    })
}

/// Whether clients saw nothing of it but delay. The client library has other frontends to go to, so that it can hide the death
/// of one altogether; a database that elects a leader may take longer than a call is willing to wait.
fn answers(operations: usize, call_errors: &BTreeMap<String, u64>) -> Check {
    let wrong: Vec<String> = call_errors.iter().map(|(error, count)| format!("{count} × {error}")).collect();
    let promise = "while frontends die, every call of a client is answered";
    Check::told("answers", promise, operations as u64, &wrong)
}

/// What is left when the faults are over.
struct Broken {
    /// The clients, if they came to rest.
    workload: Option<Workload>,
    processes: Check,
    until_ns: u64,
}

/// Lets the clients work while the plan is carried out, until the time is over or somebody interrupts.
async fn break_it(
    cluster: &Cluster,
    injector: &Injector,
    plan: &Plan,
    workload: Workload,
    length: Duration,
    interrupt: &CancellationToken,
    recorder: &Recorder,
) -> Broken {
    let (stop_work, stop_watch) = (CancellationToken::new(), CancellationToken::new());
    let stop = stop_work.clone();
    let work = tokio::spawn(async move { workload.run(&stop).await });
    let watcher = injector.clone();
    let watched = stop_watch.clone();
    let watch = tokio::spawn(async move { watcher.inspect(&watched).await });

    let end_of_time = tokio::time::sleep(length);
    let (faults, ()) = tokio::join!(injector.carry_out(plan, interrupt), async {
        tokio::select! {
            () = end_of_time => {}
            () = interrupt.cancelled() => {}
        }
    });
    let until_ns = recorder.now_ns();
    stop_work.cancel();
    let finishing = async {
        let finished = tokio::time::timeout(FINISH_WITHIN, work).await;
        finished.ok().and_then(Result::ok)
    };
    // Clients may wait long for answers; who interrupts does not.
    let workload = interrupt.run_until_cancelled(finishing).await.flatten();
    stop_watch.cancel();
    let inspection = watch.await.unwrap_or_default();
    let clients_done = workload.is_some() || interrupt.is_cancelled();
    Broken { workload, processes: processes(inspection, faults.err(), clients_done, cluster), until_ns }
}

/// Whether processes died only when they were killed, and came back.
fn processes(
    inspection: Inspection,
    failed: Option<InjectError>,
    clients_done: bool,
    cluster: &Cluster,
) -> Check {
    let mut wrong = inspection.died;
    wrong.extend(failed.map(|error| format!("a process could not be hit, or did not come back: {error}")));
    if !clients_done {
        wrong.push(format!(
            "clients still had no answer {} after the faults",
            humantime::format_duration(FINISH_WITHIN)
        ));
    }
    let promise = "no process dies by itself; killed ones come back; clients get their answers";
    Check::told("processes", promise, cluster.names().len() as u64, &wrong)
}

/// Waits until all is well, lets the clients look back, and reads the final state.
async fn look(
    cluster: &Cluster,
    place: &Place,
    people: &People,
    workload: Option<Workload>,
) -> anyhow::Result<Readings> {
    cluster.wait_ready(FINISH_WITHIN).await?;
    if let Some(mut workload) = workload {
        workload.look_back().await;
    }
    let collector = Collector::new(cluster.clone());
    collector.settle().await?;
    collector.read(place, people).await
}

/// The faults are over, everything runs, and yet the marketplace does not serve.
fn unwell(error: &anyhow::Error) -> Check {
    Check::told(
        "recovery",
        "the marketplace serves again when the faults are over",
        1,
        &[format!("{error:#}")],
    )
}
