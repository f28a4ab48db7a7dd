//! The command line: what can be asked for, and who does it.

mod bench;
mod demo;
mod init;
pub(crate) mod out;
mod status;
mod steer;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use agora_process::{Role, Shutdown};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::control::Request;

/// As shells have it for a program that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Launches, watches, steers and measures an Agora cluster: five customer-database nodes, five product-database nodes, four
/// buyer frontends, four seller frontends and a financial service.
///
/// Ctrl-C, SIGTERM or the end of the terminal ends a command that has started processes in good order: nothing is left. If that
/// takes too long, a second Ctrl-C kills the processes; a third one gives up, and may leave a temporary directory.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster and stay; Ctrl-C or SIGTERM stops all of it, a second one by force.
    Up(up::UpArgs),
    /// Show each process of the running cluster: role, state, leader or turn, term or epoch, position, disk use.
    Status(status::StatusArgs),
    /// End a process at once, as a crash would (SIGKILL).
    Kill(NameArgs),
    /// Make a process stand still (SIGSTOP): alive, holding its connections, and silent.
    Pause(NameArgs),
    /// Let a paused process go on.
    Resume(NameArgs),
    /// Start a process again, whether it runs or not, and wait until it is ready.
    Restart(NameArgs),
    /// Start a database node with an empty data directory, and wait until its group has taken it in as a new member. What it
    /// had is set aside beside it.
    ReplaceNode(NameArgs),
    /// Add a node to the product database while it runs: it learns what there is, and gets a vote when it has caught up. Waits for
    /// that. There may be 9. The customer database's nodes are fixed.
    AddNode(AddNodeArgs),
    /// Remove a node from the product database while it runs, dead or alive, and stop it. 3 must be left. Its data is set aside.
    RemoveNode(NameArgs),
    /// Stop the running cluster and its launcher.
    Stop(DataArgs),
    /// Start a cluster of its own, go shopping while processes are killed, and check every promise.
    Demo(demo::DemoArgs),
    /// Measure a cluster: one of its own, or the one that runs.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Print a cluster file to start from, for one machine or for several.
    Init(init::InitArgs),
}

#[derive(Debug, Args)]
struct DataArgs {
    /// The data directory of the cluster.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// A process, like `product-2` or `buyer-1`, or the part that it plays at the moment: `product-leader`,
    /// `product-follower`, `customer-sequencer`.
    name: String,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct AddNodeArgs {
    /// Which database.
    database: Database,
    /// What the node is to be called [default: the next number, as in `product-6`]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

/// The databases.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Database {
    /// Accounts, carts, purchases.
    Customer,
    /// Items, stock, feedback.
    Product,
}

impl From<Database> for Role {
    fn from(database: Database) -> Role {
        match database {
            Database::Customer => Role::Customer,
            Database::Product => Role::Product,
        }
    }
}

/// What a command that starts processes is told while it runs.
fn listen() -> anyhow::Result<Shutdown> {
    Shutdown::listen().context("can't listen for signals")
}

/// How a command ends that was told to stop before it was done.
fn interrupted() -> ExitCode {
    out::note("interrupted; everything is stopped again");
    ExitCode::from(INTERRUPTED)
}

/// Runs the command line of this program.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::error(&format!("can't start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(execute(cli.command));
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            out::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Warnings only, unless `AGORA_LOG` says otherwise: standard error is for people here.
fn init_logging() {
    let filter = std::env::var("AGORA_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("warn"));
    // That nobody reads the lines any more, because a terminal is gone, is no reason to panic.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    // Somebody else's logging, started earlier, is as good.
    drop(lines.try_init());
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::up(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Kill(NameArgs { name, data }) => {
            steer::steer(&data.data, Request::Kill { name }, "killed").await
        }
        Command::Pause(NameArgs { name, data }) => {
            steer::steer(&data.data, Request::Pause { name }, "paused").await
        }
        Command::Resume(NameArgs { name, data }) => {
            steer::steer(&data.data, Request::Resume { name }, "resumed").await
        }
        Command::Restart(NameArgs { name, data }) => {
            steer::steer(&data.data, Request::Restart { name }, "restarted").await
        }
        Command::ReplaceNode(NameArgs { name, data }) => {
            steer::steer(&data.data, Request::ReplaceNode { name }, "replaced, and taken in").await
        }
        Command::AddNode(AddNodeArgs { database, name, data }) => {
            let request = Request::AddNode { database: database.into(), name };
            steer::steer_and_tell(&data.data, request, "added, and votes").await
        }
        Command::RemoveNode(NameArgs { name, data }) => {
            let removed = "removed, and stopped; its data is set aside";
            steer::steer_and_tell(&data.data, Request::RemoveNode { name }, removed).await
        }
        Command::Stop(data) => steer::steer(&data.data, Request::Stop, "stopping").await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Bench(command) => bench::bench(command).await,
        Command::Init(args) => init::init(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
