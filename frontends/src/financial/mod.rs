//! The financial service: it approves payments, and voids them, over SOAP 1.1.
//!
//! It stands for a bank, outside of the marketplace: it knows transactions and cards, and neither buyers nor carts.

mod clerk;
mod decision;
mod ledger;
mod operations;
mod service;
pub(crate) mod soap;
mod wsdl;
pub(crate) mod xml;

use std::ffi::OsString;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::{ClusterFile, Role, init_logging, shutdown_signal};
use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use decision::Decisions;

use clerk::Clerk;

use crate::server::connections::{Connections, Patience};

/// Connections at a time; more wait until one is closed.
const CONNECTIONS: usize = 1024;
const PATIENCE: Patience = Patience { idle: Duration::from_secs(120), request: Duration::from_secs(30) };
/// How long requests under way may take when the service stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// The financial service of an Agora cluster: authorizes and voids payments over SOAP 1.1.
///
/// The description for SOAP clients is at /?wsdl, the books (counts and sums, as JSON) at /ledger, and /healthz says
/// whether it works. What was decided on a transaction id is kept in its data directory: the same id gets the same answer,
/// also after a restart.
#[derive(Debug, Parser)]
#[command(name = "financial-service", version)]
struct Arguments {
    /// The name of this process in the cluster file
    #[arg(long, default_value = "financial")]
    name: String,
    /// The cluster file
    #[arg(long)]
    config: PathBuf,
    /// The share of payments to approve, 0 to 1 [default: as the cluster file says]
    #[arg(long, value_parser = approval_rate)]
    approval_rate: Option<f64>,
    /// What decisions are drawn from, with the transaction id [default: as the cluster file says]
    #[arg(long)]
    seed: Option<u64>,
}

fn approval_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&rate) { Ok(rate) } else { Err("must be 0 to 1".into()) }
}

/// Runs the financial service until it is told to stop. The first argument is the name of the program.
pub fn financial_main(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output and is no error.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    init_logging();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = ClusterFile::read(&arguments.config)?;
    let (_, address) = file.find(Role::Financial, &arguments.name)?;
    let decisions = Decisions {
        approval_rate: arguments.approval_rate.unwrap_or(file.financial.approval_rate),
        seed: arguments.seed.unwrap_or(file.financial.seed),
    };
    let runtime = agora_process::runtime().context("can't start a runtime")?;
    runtime.block_on(async {
        let stop = shutdown_signal().context("can't listen for signals")?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
        tracing::info!(name = arguments.name, %address, approval_rate = decisions.approval_rate, "financial service");
        serve(listener, file.data_of(&arguments.name), decisions, stop).await
    })
}

/// Serves on a listener, with a ledger in this directory, until told to stop; then finishes what is under way.
///
/// # Errors
/// The ledger can't be opened.
pub async fn serve(
    listener: TcpListener,
    data: PathBuf,
    decisions: Decisions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (clerk, thread) = tokio::task::spawn_blocking(move || Clerk::start(&data, decisions)).await??;
    let stopping = stop.clone().cancelled_owned();
    let connections = Connections::new(listener, CONNECTIONS, PATIENCE);
    let server = axum::serve(connections, service::router(clerk.clone()))
        .with_graceful_shutdown(stopping)
        .into_future();
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIME_MAX).await;
    };
    tokio::select! {
        served = server => served?,
        () = patience => tracing::warn!("requests took too long to finish: stopping without them"),
    }
    clerk.stop().await;
    let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
    ended.map_err(|_| anyhow::anyhow!("the ledger's thread panicked"))
}
