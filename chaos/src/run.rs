//! One run, phase by phase.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_process::Shutdown;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::check::{Check, check_all, check_history};
use crate::cli::RunArguments;
use crate::faults::{Happening, Injector, Kind, Plan, Reach, Timeline, bars, observe};
use crate::history::Recorder;
use crate::readings::{Collector, Readings};
use crate::report::{Availability, Course, Ending, Report};
use crate::say::say;
use crate::subject::{Subject, SubjectError};
use crate::workload::{People, Place, Workload};
use progress::Progress;
use stage::{Data, Stage};

mod progress;
mod stage;

/// How long the clients may take to finish what they were doing if a process did not come back.
const FINISH_BROKEN_WITHIN: Duration = Duration::from_secs(5);

/// Runs chaos. A cluster that it started is stopped at the end, whatever the end is.
pub(crate) async fn run(arguments: &RunArguments) -> anyhow::Result<Report> {
    let shutdown = Shutdown::listen().context("can't listen for signals")?;
    anyhow::ensure!(
        arguments.plan != Kind::Clocks || agora_sabotage::ARMED,
        "the clocks of this build can't be set wrong: run it without --release and with --features sabotage"
    );
    let (seed, reach) = (arguments.seed(), arguments.reach());
    let plan = Plan::draw(arguments.plan, seed, arguments.length(), arguments.customer_nodes(), reach);
    anyhow::ensure!(
        reach == Reach::Everything || !plan.steps.is_empty(),
        "this plan is about links or clocks, which of a cluster that runs already are out of reach"
    );
    say!("Seed {seed}: {} faults in {}", plan.steps.len(), humantime::format_duration(arguments.length()));
    match &arguments.cluster {
        Some(data) => {
            let stage = Stage::running(data).await?;
            play(arguments, &plan, &stage, &shutdown).await?.judge(arguments, plan)
        }
        None => on_own(arguments, plan, &shutdown).await,
    }
}

async fn on_own(arguments: &RunArguments, plan: Plan, shutdown: &Shutdown) -> anyhow::Result<Report> {
    let data = Data::new(arguments.data.as_deref())?;
    let (cluster, stage) = Stage::own(data.path(), &plan, shutdown).await?;
    let played = play(arguments, &plan, &stage, shutdown).await;
    // Nothing needs it any more: to judge takes its time.
    cluster.stop().await;
    let outcome = played.and_then(|played| played.judge(arguments, plan));
    let spoiled = outcome.as_ref().map_or(true, |report| report.ending != Ending::Held);
    if spoiled && !shutdown.stop.is_cancelled() {
        say!("The cluster's data and logs are kept in {}", data.keep().display());
    }
    outcome
}

/// Lets clients work while the plan is carried out, and reads what there is then. Gives up when it has to hurry.
async fn play(
    arguments: &RunArguments,
    plan: &Plan,
    stage: &Stage,
    shutdown: &Shutdown,
) -> anyhow::Result<Played> {
    let played = play_to_the_end(arguments, plan, stage, &shutdown.stop);
    let gave_up = match arguments.reach() {
        Reach::Everything => "interrupted",
        Reach::Processes => "interrupted: what was done to the cluster may not be undone",
    };
    shutdown.hurry.run_until_cancelled(played).await.context(gave_up)?
}

async fn play_to_the_end(
    arguments: &RunArguments,
    plan: &Plan,
    stage: &Stage,
    interrupt: &CancellationToken,
) -> anyhow::Result<Played> {
    let cluster = &stage.cluster;
    say!("{} processes are ready; logs in {}", cluster.names().len(), cluster.logs().display());
    let origin = Instant::now();
    let recorder = Recorder::new(origin, arguments.history.as_deref());
    let recorder = Arc::new(recorder.context("can't write the history")?);
    let endpoints = cluster.endpoints();
    let place = Place {
        buyer_servers: endpoints.buyer,
        seller_servers: endpoints.seller,
        seed: plan.seed,
        run: stage.run.clone(),
    };
    let size = arguments.size();
    let set_up = Workload::set_up(&place, &size, &recorder);
    let workload =
        interrupt.run_until_cancelled(set_up).await.context("interrupted before the faults began")??;
    let people = workload.people();

    let progress = Progress::start(arguments.length(), Arc::clone(&recorder));
    let timeline = Arc::new(Timeline::new(origin, progress.teller()));
    let from_ns = recorder.now_ns();
    let injector = Injector::new(
        cluster.clone(),
        stage.network.clone(),
        Arc::clone(&timeline),
        arguments.ready_within(),
    );
    if let Some(ails) = plan.background() {
        timeline.add(Happening::Background { ails });
    }
    let watching = CancellationToken::new();
    let observing = tokio::spawn(observe(cluster.clone(), Arc::clone(&timeline), watching.clone()));
    let broken = break_it(cluster, &injector, plan, workload, arguments, interrupt, &recorder).await;
    watching.cancel();
    // It only looks; if it failed, there is less to look at.
    observing.await.ok();
    progress.finish();

    let mut checks = vec![broken.processes];
    let (mut readings, mut failure) = (None, broken.failure);
    if interrupt.is_cancelled() {
        say!("Interrupted: stopping the cluster");
    } else if failure.is_none() && checks.iter().all(Check::held) {
        say!("Waiting until all is well, then checking");
        let read = look(stage, &place, &people, broken.workload, arguments.finish_within());
        match interrupt.run_until_cancelled(read).await {
            Some(Ok(read)) => {
                let since = read.since(&stage.before);
                readings =
                    Some(since.context("others used the marketplace meanwhile: its books tell nothing")?);
            }
            Some(Err(error)) => match error.downcast_ref::<SubjectError>() {
                Some(own) if !own.is_of_process() => failure = Some(format!("{error:#}")),
                _ => checks.push(unwell(&error)),
            },
            None => {}
        }
    }
    Ok(Played { recorder, timeline, people, checks, readings, failure, from_ns, until_ns: broken.until_ns })
}

/// What happened, and what there was in the end.
struct Played {
    recorder: Arc<Recorder>,
    timeline: Arc<Timeline>,
    people: People,
    /// What was checked meanwhile.
    checks: Vec<Check>,
    readings: Option<Readings>,
    /// What chaos itself could not do.
    failure: Option<String>,
    /// The faults were between these moments.
    from_ns: u64,
    until_ns: u64,
}

impl Played {
    /// Checks it against what was promised.
    fn judge(self, arguments: &RunArguments, plan: Plan) -> anyhow::Result<Report> {
        let Played { recorder, timeline, people, mut checks, readings, failure, from_ns, until_ns } = self;
        let call_errors = recorder.errors();
        let history = recorder.finish().context("can't write the history")?;
        if plan.kind == Kind::Frontends {
            checks.push(answers(history.len(), &call_errors));
        }
        checks.extend(match &readings {
            Some(readings) => check_all(&history, readings, &people),
            None => check_history(&history),
        });
        let ending = Ending::of(&checks, failure.as_ref(), readings.is_some());
        let timeline = timeline.entries();
        let ends = history.iter().filter_map(|event| event.end_ns);
        let end_ns = ends.chain(timeline.last().map(|entry| entry.at_ns)).max().unwrap_or_default();
        let bars = bars(&timeline, end_ns);
        Ok(Report {
            ending,
            failure,
            plan,
            customer_nodes: arguments.customer_nodes(),
            conditions: arguments.conditions(),
            seconds: (until_ns - from_ns) as f64 / 1e9,
            clients: people.sellers.len() + people.buyers.len(),
            availability: Availability::of(&history, &bars, from_ns, until_ns),
            course: Course::of(&history, end_ns),
            bars,
            timeline,
            call_errors,
            checks,
            readings,
        })
    }
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
    /// What chaos itself could not do.
    failure: Option<String>,
    until_ns: u64,
}

/// Lets the clients work while the plan is carried out, until the time is over or somebody interrupts.
async fn break_it(
    cluster: &Subject,
    injector: &Injector,
    plan: &Plan,
    workload: Workload,
    arguments: &RunArguments,
    interrupt: &CancellationToken,
    recorder: &Recorder,
) -> Broken {
    let (stop_work, stop_watch) = (CancellationToken::new(), CancellationToken::new());
    let stop = stop_work.clone();
    let work = tokio::spawn(async move { workload.run(&stop).await });
    let watcher = injector.clone();
    let watched = stop_watch.clone();
    let watch = tokio::spawn(async move { watcher.inspect(&watched).await });

    let end_of_time = tokio::time::sleep(arguments.length());
    let (faults, ()) = tokio::join!(injector.carry_out(plan, interrupt), async {
        tokio::select! {
            () = end_of_time => {}
            () = interrupt.cancelled() => {}
        }
    });
    let until_ns = recorder.now_ns();
    stop_work.cancel();
    let finishing = async {
        // If a process did not come back, the verdict is clear, and clients may wait for it in vain.
        let within = if faults.is_ok() { arguments.finish_within() } else { FINISH_BROKEN_WITHIN };
        let finished = tokio::time::timeout(within, work).await;
        finished.ok().and_then(Result::ok)
    };
    // Clients may wait long for answers; who interrupts does not.
    let workload = interrupt.run_until_cancelled(finishing).await.flatten();
    // Nothing is under way any more, so whatever the final readings miss was acknowledged and not durable.
    let faults = match faults {
        Ok(()) if arguments.power_cut() && workload.is_some() => injector.cut_power(interrupt).await,
        faults => faults,
    };
    stop_watch.cancel();
    let inspection = watch.await.unwrap_or_default();
    let (mut wrong, mut failure) = (inspection.died, inspection.failure);
    if workload.is_none() && faults.is_ok() && !interrupt.is_cancelled() {
        let waited = humantime::format_duration(arguments.finish_within());
        wrong.push(format!("clients still had no answer {waited} after the faults"));
    }
    match faults {
        Err(error) if error.is_of_process() => wrong.push(format!("a process did not come back: {error}")),
        Err(error) => failure = Some(format!("a fault could not be inflicted or undone: {error}")),
        Ok(()) => {}
    }
    let promise = "no process dies by itself; killed ones come back; clients get their answers";
    let processes = Check::told("processes", promise, cluster.names().len() as u64, &wrong);
    Broken { workload, processes, failure, until_ns }
}

/// Waits until all is well, lets the clients look back, and reads the final state.
async fn look(
    stage: &Stage,
    place: &Place,
    people: &People,
    workload: Option<Workload>,
    well_within: Duration,
) -> anyhow::Result<Readings> {
    stage.cluster.wait_ready(well_within).await?;
    if let Some(mut workload) = workload {
        workload.look_back().await;
    }
    let collector = Collector::new(stage.cluster.clone());
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
