//! A frontend as a process: its arguments, its start and its end.

use std::ffi::OsString;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agora_process::{ClusterFile, Role as ProcessRole, init_logging, shutdown_signal};
use agora_proto::common::Role;
use anyhow::Context;
use axum::ServiceExt;
use axum::extract::Request;
use clap::Parser;
use tokio::net::TcpListener;

use crate::app::App;
use crate::purchase;
use crate::server::admission::Door;
use crate::server::connections::{Connections, Patience, Peer};

/// Most connections at a time.
const CONNECTIONS: usize = 8_192;
/// Idle ones are kept longer than clients usually keep theirs, so that it is they who close them; a request may take longer than
/// any that is answered.
const PATIENCE: Patience = Patience { idle: Duration::from_secs(120), request: Duration::from_secs(30) };
/// How long requests that are under way may take once the frontend is to stop.
const DRAIN: Duration = Duration::from_secs(4);

/// What a frontend is started with.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Which frontend of the cluster file this is.
    #[arg(long)]
    name: String,
    /// The cluster file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs a frontend until it is told to stop.
pub fn run(role: Role, program: &'static str, args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to do if even that can't be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    init_logging();
    match start(role, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(role: Role, arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = ClusterFile::read(&arguments.config)?;
    let runtime = agora_process::runtime()?;
    let served = runtime.block_on(serve(role, arguments, &cluster));
    // A password that is being hashed is not waited for.
    runtime.shutdown_background();
    served
}

async fn serve(role: Role, arguments: &Arguments, cluster: &ClusterFile) -> anyhow::Result<()> {
    let process = if role == Role::Buyer { ProcessRole::Buyer } else { ProcessRole::Seller };
    let (_, address) = cluster.find(process, &arguments.name)?;
    let stop = shutdown_signal().context("can't listen for signals")?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let connections = Connections::new(listener, CONNECTIONS, PATIENCE);
    let app = App::new(role, cluster)?;
    let router = super::router(app.clone())?;
    tokio::spawn(purchase::finish::run(app.clone(), stop.clone()));
    tracing::info!(name = arguments.name, %address, "serving");
    let service = Door::new(Arc::clone(&app), router);
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<Peer>(service);
    let server = axum::serve(connections, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server.into_future() => served?,
        () = drained => tracing::warn!("some requests were still under way"),
    }
    app.purchases.close();
    if tokio::time::timeout(DRAIN, app.purchases.wait()).await.is_err() {
        tracing::warn!(left = app.purchases.len(), "some purchases were left for others to finish");
    }
    tracing::info!("stopped");
    Ok(())
}
