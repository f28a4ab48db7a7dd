//! `bench scenarios`: every call of sellers and buyers, while processes die.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_process::Shutdown;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bench::scenarios::written::write;
use crate::bench::scenarios::{About, Counter, Report, RunReport, Scenario, Setting, run, tables};
use crate::cli::{INTERRUPTED, listen, out};

const SCENARIOS: [u8; 7] = [1, 2, 3, 4, 5, 6, 7];
const QUICK_SCENARIOS: [u8; 4] = [1, 2, 3, 4];
const RUNS: u32 = 10;
const CLIENTS: [u32; 3] = [1, 10, 100];
const QUICK_CLIENTS: [u32; 2] = [1, 10];
const CALLS: u32 = 1_000;
const QUICK_CALLS: u32 = 60;

#[derive(Debug, Args)]
pub struct ScenariosArgs {
    /// A short form, of less than two minutes: 1 and 10 clients, 60 calls each, one run.
    #[arg(long)]
    quick: bool,
    /// 1: no failure. 2: a frontend of each kind dies. 3: a product node that does not lead dies. 4: the product leader
    /// dies. 5: a customer node dies at its turn. 6: two nodes of each database die, leaders among them. 7: messages between
    /// customer nodes are lost, 1 % and 5 %. [default: all; --quick: 1 2 3 4]
    #[arg(long, value_name = "NUMBER", num_args = 1.., value_parser = clap::value_parser!(u8).range(1..=7))]
    scenarios: Vec<u8>,
    /// So many sellers, and as many buyers, at a time [default: 1 10 100]
    #[arg(long, value_name = "N", num_args = 1.., value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: Vec<u32>,
    /// Runs of each scenario with each number of clients, each on a fresh cluster [default: 10; --quick: 1]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: Option<u32>,
    /// Calls of each client in each run [default: 1000]
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: Option<u32>,
    /// What the clients' choices are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The folder into which the report is written: Markdown, HTML, charts, JSON.
    #[arg(long, value_name = "DIR", default_value = "report")]
    report: PathBuf,
    /// Also write the results as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run everything a second time with the `cluster` program of another build, each run right after its twin, and write
    /// that one's report into the folder's subfolder `against`; `bench compare` tells the differences.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
}

impl ScenariosArgs {
    /// All runs, scenario after scenario within a number of clients.
    fn settings(&self) -> Vec<Setting> {
        let numbers: &[u32] = match (self.clients.is_empty(), self.quick) {
            (false, _) => &self.clients,
            (true, true) => &QUICK_CLIENTS,
            (true, false) => &CLIENTS,
        };
        let calls = self.calls.unwrap_or(if self.quick { QUICK_CALLS } else { CALLS }) as usize;
        let chosen: &[u8] = match (self.scenarios.is_empty(), self.quick) {
            (false, _) => &self.scenarios,
            (true, true) => &QUICK_SCENARIOS,
            (true, false) => &SCENARIOS,
        };
        let scenarios: Vec<Scenario> = chosen.iter().flat_map(|n| Scenario::by_number(*n)).collect();
        let runs = self.runs.unwrap_or(if self.quick { 1 } else { RUNS });
        let mut settings = Vec::new();
        for clients in numbers {
            for run in 1..=runs as usize {
                for scenario in &scenarios {
                    let seed = self.seed.wrapping_add(settings.len() as u64 * 1_000_000);
                    settings.push(Setting {
                        scenario: *scenario,
                        clients: *clients as usize,
                        run,
                        calls,
                        seed,
                    });
                }
            }
        }
        settings
    }
}

/// Fails, after it has told all, when a client saw an error.
pub async fn scenarios(args: ScenariosArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    let stop = &shutdown.stop;
    let settings = args.settings();
    if let Some(program) = &args.against {
        anyhow::ensure!(program.is_file(), "{} is no program", program.display());
    }
    let progress = Progress::new(&settings, 1 + usize::from(args.against.is_some()));
    let mut report = Report { about: About::here(), ..Report::default() };
    let mut other = Report { about: About::here(), ..Report::default() };
    let mut failed = None;
    'settings: for setting in settings {
        // Which one comes first changes from run to run, so that neither always finds the warmer machine.
        let mut builds = vec![(None, &mut report)];
        if let Some(program) = &args.against {
            builds.push((Some(program.as_path()), &mut other));
            if setting.run % 2 == 0 {
                builds.reverse();
            }
        }
        for (program, report) in builds {
            match measure(setting, program, &progress, &shutdown).await {
                Ok(run) => report.add(run),
                Err(_) if stop.is_cancelled() => {}
                Err(error) => {
                    failed = Some(error.context(format!("{}, {} clients", setting.scenario, setting.clients)))
                }
            }
            if stop.is_cancelled() || failed.is_some() {
                break 'settings;
            }
        }
    }
    progress.bar.finish_and_clear();
    if stop.is_cancelled() {
        out::note("interrupted; everything is stopped again");
    }
    if !report.runs.is_empty() {
        tell(&args, &report)?;
    }
    if !other.runs.is_empty() {
        write(&other, &args.report.join("against"))?;
    }
    match failed {
        Some(error) => Err(error),
        None if stop.is_cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        None if report.runs.iter().any(|run| run.errors > 0) => Ok(ExitCode::FAILURE),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Tells what there is, be it all or not.
fn tell(args: &ScenariosArgs, report: &Report) -> anyhow::Result<()> {
    let mut text = tables(report);
    let errors = report.errors();
    if !errors.is_empty() {
        text.push_str("\n\nerrors:");
        text.push_str(&errors);
    }
    match &args.json {
        // With the JSON on standard output, what people read goes elsewhere.
        Some(path) if path.as_os_str() == "-" => out::note(&text),
        _ => out::line(&text),
    }
    args.json.as_ref().map_or(Ok(()), |path| super::write_json(path, report))?;
    write(report, &args.report)?;
    out::note(&format!("the report is in {}", args.report.join("report.html").display()));
    Ok(())
}

async fn measure(
    setting: Setting,
    program: Option<&Path>,
    progress: &Progress,
    shutdown: &Shutdown,
) -> anyhow::Result<RunReport> {
    let counter = Arc::new(Counter::default());
    progress.bar.set_message(format!(
        "{} · {} + {} · run {}",
        setting.scenario, setting.clients, setting.clients, setting.run
    ));
    let before = progress.bar.position();
    let calls = 2 * (setting.clients * setting.calls) as u64;
    let show = async || -> std::convert::Infallible {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            progress.bar.set_position(before + (counter.done() as u64).min(calls));
        }
    };
    let began = Instant::now();
    let ran = tokio::select! {
        ran = run(setting, program, &counter, shutdown) => ran,
        never = show() => match never {},
    };
    progress.bar.set_position(before + calls);
    if let Ok(run) = &ran {
        progress.line(&format!(
            "{:<26} {:>3} + {:<3} run {:<2}  {:>6.0} calls/s  longest gap {:>5.0} ms  {} errors  ({:.0} s)",
            setting.scenario.to_string(),
            setting.clients,
            setting.clients,
            setting.run,
            run.throughput,
            run.max_gap_ms,
            run.errors,
            began.elapsed().as_secs_f64(),
        ));
    }
    ran
}

/// How far all the runs are.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(settings: &[Setting], builds: usize) -> Self {
        let calls: usize = settings.iter().map(|setting| 2 * setting.clients * setting.calls * builds).sum();
        let bar = ProgressBar::with_draw_target(Some(calls as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}  {wide_bar} {pos}/{len} calls, {eta} left") {
            bar.set_style(style);
        }
        Progress { bar }
    }

    /// A line that stays, above the bar if there is one.
    fn line(&self, text: &str) {
        if self.bar.is_hidden() { out::note(text) } else { self.bar.println(text) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ScenariosArgs,
    }

    fn settings(line: &str) -> Vec<(u8, usize, usize, usize)> {
        let line = Line::parse_from(std::iter::once("x").chain(line.split_whitespace()));
        let tuple = |s: Setting| (s.scenario.into(), s.clients, s.run, s.calls);
        line.args.settings().into_iter().map(tuple).collect()
    }

    #[test]
    fn all_scenarios_run_with_1_10_and_100_clients_unless_told_otherwise() {
        let all = settings("");
        assert_eq!(all.len(), 8 * 3 * 10, "lost messages come in two degrees");
        assert_eq!((all[0], all[239]), ((1, 1, 1, 1000), (7, 100, 10, 1000)));
    }

    #[test]
    fn the_quick_form_has_two_sizes_and_few_calls() {
        let quick = settings("--quick");
        assert_eq!(quick.len(), 8);
        assert!(quick.iter().all(|(_, clients, _, calls)| *clients <= 10 && *calls == 60));
    }

    #[test]
    fn scenarios_sizes_runs_and_calls_can_be_chosen() {
        let chosen = settings("--scenarios 1 4 --clients 5 --runs 2 --calls 9");
        assert_eq!(chosen, [(1, 5, 1, 9), (4, 5, 1, 9), (1, 5, 2, 9), (4, 5, 2, 9)]);
    }
}
