//! The command line.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::check::check_history;
use crate::faults::{CustomerNodes, Kind, Reach};
use crate::history::{self, EVENTS_MAX, Event};
use crate::report::{Ending, Program, Report, print, print_checks};
use crate::say::say;
use crate::workload::{Idlers, Size};

/// It could not be run.
const COULD_NOT_RUN: u8 = 2;
const LENGTH_DEFAULT: Duration = Duration::from_secs(60);
const READY_WITHIN_DEFAULT: u64 = 60;
const SELLERS_DEFAULT: u32 = 3;
const SHOPPERS_DEFAULT: u32 = 6;
const SAVERS_DEFAULT: u32 = 3;
const RIVALS_DEFAULT: u32 = 4;
const PAUSE_MS_DEFAULT: u64 = 20;
/// From this length on some sessions are left idle until they must have ended: that takes six minutes.
const IDLERS_FROM: Duration = Duration::from_secs(8 * 60);

/// Breaks a cluster on purpose and checks what it promised.
#[derive(Parser)]
#[command(name = "chaos", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, let clients work on it, kill and restart its processes, and check that every promise was kept
    #[command(
        after_help = "Examples:\n  chaos run --plan replica-kill --minutes 2\n  chaos run --plan frontends --clients 100\n  chaos run --plan leaders --seconds 30 \
                            --seed 7 --history history.jsonl --report out\n  chaos run --plan everything --cluster data\n\nExit codes:\n  0  every promise was kept\n  1  a \
                            promise was broken\n  2  it could not be run to its end, or not everything could be checked\n\nCtrl-C ends a run: what was done to the cluster is undone, and a \
                            cluster of its own is stopped. A second Ctrl-C does not wait for any of that, but leaves nothing behind \
                            either."
    )]
    Run(Box<RunArguments>),
    /// Judge histories again that were kept with --history: whatever needs no more than the history
    #[command(
        after_help = "Examples:\n  chaos check history.jsonl\n  chaos check runs/*.jsonl\n\nExit codes:\n  0  all that they show was promised\n  1  a promise was broken\n  2  one \
                            can't be read to its end, has nothing to check, or not everything could be decided\n\nA history whose end is missing can't be judged. What the final state \
                            of a marketplace showed is not in its history."
    )]
    Check(CheckArguments),
}

#[derive(Args)]
struct CheckArguments {
    /// The histories, one JSON object a line
    #[arg(required = true, value_name = "HISTORY")]
    histories: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// What to break
    #[arg(long, value_enum, default_value_t = Kind::ReplicaKill)]
    pub plan: Kind,
    /// How long the faults go on [default: one minute]
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: Option<u64>,
    /// The same in seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=24 * 3600))]
    seconds: Option<u64>,
    /// What faults and clients' choices are drawn from [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// End before that when there were so many operations
    #[arg(long, value_name = "N", default_value_t = EVENTS_MAX, value_parser = operations)]
    pub operations: usize,
    /// Let replica-kill and leaders hit customer nodes, too; other plans always do
    #[arg(long)]
    customer_nodes: bool,
    /// Do not kill all processes at once when the clients have finished, before the final state is read
    #[arg(long, conflicts_with = "cluster")]
    no_power_cut: bool,
    /// Write every operation to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Write report.html and report.json into this directory
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Break the cluster that runs on this data directory, and let it run on: only its processes, not its links. Nobody else
    /// may use it meanwhile
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub cluster: Option<PathBuf>,
    /// How long a process may take to be ready when what was done to it is over; clients may take two and a half times that
    #[arg(long, value_name = "SECONDS", default_value_t = READY_WITHIN_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    ready_within: u64,
    /// Where the cluster keeps its data and logs; must be new [default: a temporary directory, kept if a promise was broken]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// So many clients in all: a fifth sell, half buy, the others fill and save carts
    #[arg(long, value_name = "N", conflicts_with_all = ["sellers", "shoppers", "savers"], value_parser = clap::value_parser!(u32).range(3..=3000))]
    clients: Option<u32>,
    /// Sellers
    #[arg(long, value_name = "N", default_value_t = SELLERS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sellers: u32,
    /// Buyers who buy
    #[arg(long, value_name = "N", default_value_t = SHOPPERS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1000))]
    shoppers: u32,
    /// Buyers who fill and save their carts
    #[arg(long, value_name = "N", default_value_t = SAVERS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=1000))]
    savers: u32,
    /// Clients who share accounts and change the same things at the same time
    #[arg(long, value_name = "N", default_value_t = RIVALS_DEFAULT, value_parser = clap::value_parser!(u32).range(0..=1000))]
    rivals: u32,
    /// The longest pause between two calls of a client
    #[arg(long, value_name = "MS", default_value_t = PAUSE_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pause_ms: u64,
}

impl RunArguments {
    pub fn length(&self) -> Duration {
        let seconds = self.seconds.or(self.minutes.map(|minutes| minutes * 60));
        seconds.map_or(LENGTH_DEFAULT, Duration::from_secs)
    }

    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| rand::random::<u32>().into())
    }

    pub fn ready_within(&self) -> Duration {
        Duration::from_secs(self.ready_within)
    }

    /// How long the clients may take to finish what they were doing when the faults are over.
    pub fn finish_within(&self) -> Duration {
        self.ready_within().mul_f64(2.5)
    }

    pub fn reach(&self) -> Reach {
        if self.cluster.is_some() { Reach::Processes } else { Reach::Everything }
    }

    /// Whether everything is killed at the end. Somebody else's cluster is spared that.
    pub fn power_cut(&self) -> bool {
        self.cluster.is_none() && !self.no_power_cut
    }

    pub fn customer_nodes(&self) -> CustomerNodes {
        if self.customer_nodes { CustomerNodes::Killed } else { CustomerNodes::Spared }
    }

    pub fn size(&self) -> Size {
        let (sellers, shoppers, savers) = match self.clients {
            None => (self.sellers, self.shoppers, self.savers),
            Some(clients) => {
                let (sellers, shoppers) = ((clients / 5).max(1), clients / 2);
                (sellers, shoppers, clients - sellers - shoppers)
            }
        };
        Size {
            sellers,
            shoppers,
            savers,
            rivals: self.rivals,
            idlers: if self.length() < IDLERS_FROM { Idlers::None } else { Idlers::Some },
            pause_max: Duration::from_millis(self.pause_ms),
        }
    }

    /// The command that carries out the plan of this seed again, with this program and on such a cluster.
    pub fn again(&self, seed: u64) -> String {
        let kind = self.plan.to_possible_value();
        let kind = kind.as_ref().map_or("", |kind| kind.get_name());
        let (command, seconds) = (Program::THIS.command(), self.length().as_secs());
        format!("{command} run --plan {kind} --seed {seed} --seconds {seconds}{}", self.conditions())
    }

    /// The arguments that, with the plan, its seed and its length, let the same happen again: those that are not as they are
    /// anyway.
    fn conditions(&self) -> String {
        let mut given = String::new();
        let mut add = |is_given: bool, argument: String| {
            if is_given {
                given += &format!(" {argument}");
            }
        };
        add(self.customer_nodes, "--customer-nodes".into());
        add(self.operations != EVENTS_MAX, format!("--operations {}", self.operations));
        match self.clients {
            Some(clients) => add(true, format!("--clients {clients}")),
            None => {
                add(self.sellers != SELLERS_DEFAULT, format!("--sellers {}", self.sellers));
                add(self.shoppers != SHOPPERS_DEFAULT, format!("--shoppers {}", self.shoppers));
                add(self.savers != SAVERS_DEFAULT, format!("--savers {}", self.savers));
            }
        }
        add(self.rivals != RIVALS_DEFAULT, format!("--rivals {}", self.rivals));
        add(self.pause_ms != PAUSE_MS_DEFAULT, format!("--pause-ms {}", self.pause_ms));
        add(self.ready_within != READY_WITHIN_DEFAULT, format!("--ready-within {}", self.ready_within));
        add(self.no_power_cut, "--no-power-cut".into());
        add(self.cluster.is_some(), "--cluster DIR".into());
        given
    }
}

/// A number of operations that fit into memory.
fn operations(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=EVENTS_MAX).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {EVENTS_MAX}"))
}

/// The files that a run writes: opened before it, because what it finds must not be lost for want of them.
struct Outputs {
    history: Option<File>,
    json: Vec<(PathBuf, File)>,
    page: Option<(PathBuf, File)>,
}

impl Outputs {
    fn open(arguments: &RunArguments) -> anyhow::Result<Self> {
        let RunArguments { history, report, json, .. } = arguments;
        if let Some(directory) = report {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("can't create {}", directory.display()))?;
        }
        let in_report = |name: &str| report.as_ref().map(|directory| directory.join(name));
        let named = |path: PathBuf| create(&path).map(|file| (path, file));
        Ok(Outputs {
            history: history.as_deref().map(create).transpose()?,
            json: json
                .clone()
                .into_iter()
                .chain(in_report("report.json"))
                .map(named)
                .collect::<Result<_, _>>()?,
            page: in_report("report.html").map(named).transpose()?,
        })
    }

    /// Writes all of them, whatever becomes of one.
    fn write(&self, report: &Report) -> anyhow::Result<()> {
        let json = self.json.iter().map(|(path, file)| (path, report.write(file)));
        let page = self.page.iter().map(|(path, file)| (path, report.write_page(file)));
        let all: Vec<_> = json.chain(page).collect();
        all.into_iter().try_for_each(|(path, written)| {
            written.with_context(|| format!("can't write {}", path.display()))
        })
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("can't create {}", path.display()))
}

/// Runs the command line of this program.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command;
    // The timeline is what people look at; who wants the log as well asks for it.
    if std::env::var_os("AGORA_LOG").is_some() {
        agora_process::init_logging();
    }
    let done = match &command {
        Command::Run(arguments) => execute(arguments),
        Command::Check(arguments) => Ok(check_again(arguments)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            tell(&error);
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn execute(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let mut outputs = Outputs::open(arguments)?;
    let history = outputs.history.take();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can't start a runtime")?;
    let report = runtime.block_on(crate::run::run(arguments, history));
    runtime.shutdown_background();
    let report = report?;
    print(&report);
    match outputs.write(&report) {
        // That it can't be written does not mend a promise.
        Err(error) if report.ending == Ending::Violation => tell(&error),
        written => written?,
    }
    Ok(ExitCode::from(report.ending.exit_code()))
}

/// Judges each history, whatever became of the others.
fn check_again(arguments: &CheckArguments) -> ExitCode {
    let mut endings = Vec::new();
    for path in &arguments.histories {
        match history::read(path) {
            Ok(events) => endings.push(judged(path, &events)),
            Err(error) => {
                tell(&anyhow::Error::new(error).context(format!("can't read {}", path.display())));
                endings.push(Ending::Failed);
            }
        }
    }
    // A broken promise is told whatever else there is.
    let codes = || endings.iter().map(|ending| ending.exit_code());
    let code = codes().find(|code| *code == Ending::Violation.exit_code()).or(codes().max());
    ExitCode::from(code.unwrap_or_default())
}

fn judged(path: &Path, history: &[Event]) -> Ending {
    let checks = check_history(history);
    let empty = checks.iter().all(|check| check.examined == 0);
    let doubts: Vec<String> = empty.then(|| "there is nothing to check".to_owned()).into_iter().collect();
    let ending = Ending::of(&checks, None, true, &doubts);
    say!("{}: {} operations", path.display(), history.len());
    print_checks(&checks);
    say!("{}, as far as the history alone shows it", ending.tell());
    ending
}

fn tell(error: &anyhow::Error) {
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run_arguments<'a>(line: impl IntoIterator<Item = &'a str>) -> RunArguments {
        match Arguments::parse_from(line).command {
            Command::Run(arguments) => *arguments,
            Command::Check(_) => panic!("no run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_was_given_is_told_and_nothing_else() {
        let conditions = |given: &str| {
            let line = ["chaos", "run", "--seed", "7"].into_iter().chain(given.split_whitespace());
            run_arguments(line).conditions()
        };
        assert_eq!(conditions(""), "");
        for given in [
            " --customer-nodes --operations 900 --clients 50 --rivals 6 --pause-ms 0 --ready-within 15 --no-power-cut",
            " --sellers 1 --shoppers 2 --savers 5 --rivals 0",
            " --cluster DIR",
        ] {
            assert_eq!(conditions(given), given);
        }
        assert_eq!(conditions("--sellers 1 --report out --minutes 3"), " --sellers 1");
    }

    #[test]
    fn the_command_to_run_a_plan_again_is_whole() {
        let line = ["chaos", "run", "--plan", "replica-kill", "--minutes", "2", "--rivals", "0"];
        let again = run_arguments(line).again(7);
        let features = if agora_sabotage::ARMED { " --features sabotage" } else { "" };
        assert!(
            again.starts_with("cargo run") && again.contains(&format!("-p chaos{features} -- run ")),
            "{again}"
        );
        assert!(again.ends_with("--plan replica-kill --seed 7 --seconds 120 --rivals 0"), "{again}");
    }

    #[test]
    fn only_long_runs_leave_sessions_idle() {
        let idlers = |minutes| run_arguments(["chaos", "run", "--minutes", minutes]).size().idlers;
        assert_eq!((idlers("7"), idlers("8")), (Idlers::None, Idlers::Some));
    }

    #[test]
    fn clients_are_shared_out_so_that_there_are_some_of_each() {
        for clients in [3, 4, 7, 100, 3000] {
            let line = ["chaos", "run", "--clients", &clients.to_string()];
            let size = run_arguments(line).size();
            assert!(size.sellers > 0 && size.shoppers > 0 && size.savers > 0, "{size:?}");
            assert_eq!(size.sellers + size.shoppers + size.savers, clients);
        }
    }
}
