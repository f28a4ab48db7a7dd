//! One run, phase by phase.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_process::Shutdown;
use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::check::{Check, check_history, check_readings};
use crate::cli::RunArguments;
use crate::faults::{Bar, Happening, Injector, Kind, Plan, Reach, Timeline, bars, observe};
use crate::history::Recorder;
use crate::readings::{Collector, Readings};
use crate::report::{Availability, Course, Ending, Program, Report, doubts};
use crate::say::say;
use crate::subject::Subject;
use crate::workload::{People, Place, Workload};
use progress::Progress;
use stage::{Data, Stage};

mod progress;
mod stage;

/// How long the clients may take to finish what they were doing if a process did not come back.
const FINISH_BROKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long replicas may take to come to rest at one position; and if a process did not come back.
const REST_WITHIN: Duration = Duration::from_secs(60);
const REST_BROKEN_WITHIN: Duration = Duration::from_secs(15);

/// Runs chaos. A cluster that it started is stopped at the end, whatever the end is.
pub(crate) async fn run(arguments: &RunArguments, history: Option<File>) -> anyhow::Result<Report> {
    let shutdown = Shutdown::listen().context("can't listen for signals")?;
    let (seed, reach) = (arguments.seed(), arguments.reach());
    let plan = Plan::draw(arguments.plan, seed, arguments.length(), arguments.customer_nodes(), reach);
    let limits = plan.limits();
    anyhow::ensure!(
        !plan.steps.is_empty(),
        "nothing of this plan can be done; {}",
        limits.as_deref().unwrap_or_default()
    );
    say!("Seed {seed}: {} faults in {}", plan.steps.len(), humantime::format_duration(arguments.length()));
    say!("{}", Program::THIS);
    if let Some(limits) = &limits {
        say!("Note: {limits}");
    }
    match &arguments.cluster {
        Some(data) => {
            let stage = Stage::running(data).await?;
            let played = play(arguments, &plan, &stage, history, &shutdown).await?;
            Ok(played.judge(arguments, plan))
        }
        None => on_own(arguments, plan, history, &shutdown).await,
    }
}

async fn on_own(
    arguments: &RunArguments,
    plan: Plan,
    history: Option<File>,
    shutdown: &Shutdown,
) -> anyhow::Result<Report> {
    let data = Data::new(arguments.data.as_deref())?;
    let (cluster, stage) = Stage::own(data.path(), &plan, shutdown).await?;
    let played = play(arguments, &plan, &stage, history, shutdown).await;
    // Nothing needs it any more: to judge takes its time.
    cluster.stop().await;
    let outcome = played.map(|played| played.judge(arguments, plan));
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
    history: Option<File>,
    shutdown: &Shutdown,
) -> anyhow::Result<Played> {
    let played = play_to_the_end(arguments, plan, stage, history, &shutdown.stop);
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
    history: Option<File>,
    interrupt: &CancellationToken,
) -> anyhow::Result<Played> {
    let cluster = &stage.cluster;
    say!("{} processes are ready; logs in {}", cluster.names().len(), cluster.logs().display());
    let origin = Instant::now();
    let recorder = Arc::new(Recorder::new(origin, arguments.operations, history));
    let endpoints = cluster.endpoints();
    let place = Place {
        buyer_servers: endpoints.buyer,
        seller_servers: endpoints.seller,
        seed: plan.seed,
        run: stage.run.clone(),
    };
    let size = arguments.size();
    let set_up = Workload::set_up(&place, &size, &recorder);
    let set_up =
        interrupt.run_until_cancelled(set_up).await.context("interrupted before the faults began")?;
    let workload = match set_up {
        Ok(workload) => workload,
        Err(error) => return Ok(Played::without_faults(origin, recorder, &error)),
    };
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

    let Broken { workload, processes, failure, until_ns } = broken;
    let mut played = Played {
        recorder,
        timeline,
        people,
        checks: vec![processes],
        readings: None,
        failure,
        from_ns,
        until_ns,
    };
    if interrupt.is_cancelled() {
        say!("Interrupted: stopping the cluster");
    } else if played.failure.is_none() {
        say!("Waiting until all is well, then checking");
        interrupt.run_until_cancelled(played.look(stage, &place, workload, arguments)).await;
    }
    Ok(played)
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
    /// Nothing but what clients saw who could not even begin: maybe because a promise is broken already.
    fn without_faults(origin: Instant, recorder: Arc<Recorder>, why: &anyhow::Error) -> Self {
        let now_ns = recorder.now_ns();
        Played {
            recorder,
            timeline: Arc::new(Timeline::new(origin, |_| {})),
            people: People::default(),
            checks: Vec::new(),
            readings: None,
            failure: Some(format!("{why:#}")),
            from_ns: now_ns,
            until_ns: now_ns,
        }
    }

    /// Waits until all is well, lets the clients look back, and reads the final state. If something does not get well, what can be read
    /// tells what it has cost.
    async fn look(&mut self, stage: &Stage, place: &Place, workload: AfterFaults, arguments: &RunArguments) {
        let is_broken = self.checks.iter().any(Check::broken);
        let within = if is_broken { FINISH_BROKEN_WITHIN } else { arguments.finish_within() };
        let unwell = match stage.cluster.wait_ready(within).await {
            Ok(()) => None,
            Err(error) if error.is_of_process() => Some(error.to_string()),
            Err(error) => {
                self.failure = Some(error.to_string());
                return;
            }
        };
        if let (AfterFaults::AtRest(mut workload), None) = (workload, &unwell) {
            workload.look_back().await;
        }
        let rest_within = if is_broken || unwell.is_some() { REST_BROKEN_WITHIN } else { REST_WITHIN };
        let collector = Collector::new(stage.cluster.clone(), rest_within);
        let readings = collector.read(place, &self.people).await;
        let unread =
            readings.unread.iter().map(|unread| format!("{} can't be read: {}", unread.part, unread.why));
        let wrong: Vec<String> = unwell.into_iter().chain(unread).collect();
        if !wrong.is_empty() {
            // The faults are over, and yet the marketplace does not serve.
            let promise = "the marketplace serves again when the faults are over";
            self.checks.push(Check::told("recovery", promise, 1, &wrong));
        }
        let readings = readings.since(&stage.before);
        if wrong.is_empty() {
            self.failure = readings.unread.first().map(|unread| unread.why.clone());
        }
        self.readings = Some(readings);
    }

    /// Checks it against what was promised.
    fn judge(self, arguments: &RunArguments, plan: Plan) -> Report {
        let Played { recorder, timeline, people, mut checks, readings, mut failure, from_ns, until_ns } =
            self;
        let call_errors = recorder.errors();
        let (history, written) = recorder.finish();
        if let Err(error) = written {
            failure.get_or_insert(format!("the history could not be written: {error}"));
        }
        if plan.kind == Kind::Frontends {
            checks.push(answers(history.len(), &call_errors));
        }
        checks.extend(check_history(&history));
        if let Some(readings) = &readings {
            checks.extend(check_readings(&history, readings, &people));
        }
        let timeline = timeline.entries();
        let ends = history.iter().filter_map(|event| event.end_ns);
        let end_ns = ends.chain(timeline.last().map(|entry| entry.at_ns)).max().unwrap_or_default();
        let bars = bars(&timeline, end_ns);
        let availability = Availability::of(&history, &bars, from_ns, until_ns);
        // The power cut at the end hits nobody at work.
        let is_fault = |bar: &&Bar| bar.from_ns < until_ns;
        let doubts = doubts(&checks, bars.iter().filter(is_fault).count(), availability.ok);
        let seconds = until_ns.saturating_sub(from_ns) as f64 / 1e9;
        let cut_short = recorder.full().is_cancelled().then(|| {
            format!(
                "after {seconds:.0} s there were {} operations, which is enough: no more calls and faults began",
                arguments.operations
            )
        });
        Report {
            ending: Ending::of(&checks, failure.as_ref(), readings.is_some(), &doubts),
            failure,
            doubts,
            program: Program::THIS,
            again: arguments.again(plan.seed),
            limits: plan.limits(),
            cut_short,
            customer_nodes: plan.customer_nodes(),
            plan,
            seconds,
            clients: people.sellers.len() + people.buyers.len(),
            availability,
            course: Course::of(&history, end_ns),
            bars,
            timeline,
            call_errors,
            checks,
            readings,
        }
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
    workload: AfterFaults,
    processes: Check,
    /// What chaos itself could not do.
    failure: Option<String>,
    until_ns: u64,
}

/// The clients when the faults are over.
enum AfterFaults {
    /// They have all their answers.
    AtRest(Workload),
    /// They were told to wait no longer: what was under way then may have happened, or may yet.
    GivenUp,
}

/// Lets the clients work while the plan is carried out, until the time is over, there are operations enough, or somebody interrupts.
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
    let (stop, give_up) = (stop_work.clone(), workload.give_up());
    let work = tokio::spawn(async move { workload.run(&stop).await });
    let watcher = injector.clone();
    let watched = stop_watch.clone();
    let watch = tokio::spawn(async move { watcher.inspect(&watched).await });

    let end_of_time = tokio::time::sleep(arguments.length());
    let (faults, ()) = tokio::join!(injector.carry_out(plan, recorder.full(), interrupt), async {
        tokio::select! {
            () = end_of_time => {}
            () = recorder.full().cancelled() => {}
            () = interrupt.cancelled() => {}
        }
    });
    let until_ns = recorder.now_ns();
    stop_work.cancel();
    // If a process did not come back, the verdict is clear, and clients may wait for it in vain.
    let within = if faults.is_ok() { arguments.finish_within() } else { FINISH_BROKEN_WITHIN };
    let workload = finish(work, within, &give_up, interrupt).await;
    let is_at_rest = matches!(workload, AfterFaults::AtRest(_));
    // Nothing is under way any more, so whatever the final readings miss was acknowledged and not durable.
    let faults = match faults {
        Ok(()) if arguments.power_cut() && is_at_rest => injector.cut_power(interrupt).await,
        faults => faults,
    };
    stop_watch.cancel();
    let inspection = watch.await.unwrap_or_default();
    let (mut wrong, mut failure) = (inspection.died, inspection.failure);
    if !is_at_rest && faults.is_ok() && !interrupt.is_cancelled() {
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

/// Waits until the clients have their answers, for so long, or until interrupted. Then they are told to wait no longer, so that the history
/// has all that is under way.
async fn finish(
    mut work: JoinHandle<Workload>,
    within: Duration,
    give_up: &CancellationToken,
    interrupt: &CancellationToken,
) -> AfterFaults {
    let finishing = tokio::time::timeout(within, &mut work);
    match interrupt.run_until_cancelled(finishing).await {
        Some(Ok(finished)) => finished.map_or(AfterFaults::GivenUp, AfterFaults::AtRest),
        Some(Err(_)) | None => {
            give_up.cancel();
            // A task of ours neither panics nor is it aborted.
            work.await.ok();
            AfterFaults::GivenUp
        }
    }
}
