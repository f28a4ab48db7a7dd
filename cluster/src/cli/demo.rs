//! `demo`: a cluster of its own, a story, a check, and nothing left behind.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;

use crate::cli::{interrupted, listen, out};
use crate::cluster::Cluster;
use crate::demo::{Narrator, play};
use crate::error::ClusterError;
use crate::options::StartOptions;
use crate::plan::Ports;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the cluster's data and logs in this new directory [default: a temporary one, kept only if something fails]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long the cluster may take to get ready.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    ready_within: Duration,
}

/// Where the cluster keeps its data: somewhere temporary, or where the user wants it.
enum Place {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Place {
    fn new(given: Option<PathBuf>) -> anyhow::Result<Self> {
        match given {
            Some(path) => Ok(Place::Given(path)),
            None => {
                let directory = tempfile::Builder::new().prefix("agora-demo-").tempdir();
                directory.map(Place::Temporary).context("can't make a temporary directory")
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Place::Temporary(directory) => directory.path(),
            Place::Given(path) => path,
        }
    }

    /// Makes sure that it stays, and tells where it is.
    fn keep(self) -> PathBuf {
        match self {
            Place::Temporary(directory) => directory.keep(),
            Place::Given(path) => path,
        }
    }
}

pub async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    let place = Place::new(args.data)?;
    let mut options = StartOptions::standard(place.path(), Ports::Free)?;
    options.ready_within = args.ready_within;
    options.shutdown = shutdown.clone();
    let began = Instant::now();
    let outcome = match Cluster::start(options).await {
        Ok(cluster) => {
            let count = cluster.names().len();
            out::line(&format!("{count} processes are ready, after {:.1} s.", began.elapsed().as_secs_f64()));
            let mut narrator = Narrator::default();
            let played = tokio::select! {
                played = play(&cluster, &mut narrator) => played,
                () = shutdown.stop.cancelled() => Err(ClusterError::Interrupted.into()),
            };
            cluster.stop().await;
            played.map(|()| narrator.steps())
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(steps) => {
            let took = began.elapsed().as_secs_f64();
            out::line(&format!(
                "\n{steps} steps, every promise kept, everything stopped again: {took:.1} s."
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(_) if shutdown.stop.is_cancelled() => Ok(interrupted()),
        Err(error) => {
            let logs = place.keep().join("logs");
            Err(error.context(format!("the demonstration failed; the logs are in {}", logs.display())))
        }
    }
}
