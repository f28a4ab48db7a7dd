//! The cluster that is measured: one of its own that is gone afterwards, or one that runs already.

use std::path::{Path, PathBuf};

use agora_process::{ClusterFile, Shutdown};
use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::control::{Request, Response, call};
use crate::endpoints::Endpoints;
use crate::options::StartOptions;
use crate::plan::Ports;
use crate::prober::Checksums;
use crate::status::ClusterStatus;

/// Where to measure.
#[derive(Debug)]
pub(crate) struct Site {
    pub file: ClusterFile,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    /// This program's own.
    Own(Own),
    /// Its launcher runs on this data directory.
    Launched(PathBuf),
    /// Nothing but its file is known.
    Distant,
}

#[derive(Debug)]
struct Own {
    cluster: Cluster,
    directory: TempDir,
}

impl Site {
    /// A cluster that runs, here or elsewhere, by its file.
    pub fn of_file(config: &Path) -> anyhow::Result<Self> {
        Ok(Site { file: ClusterFile::read(config)?, hold: Hold::Distant })
    }

    /// The cluster that runs on this data directory.
    pub async fn running_on(data: &Path) -> anyhow::Result<Self> {
        call(data, &Request::Status { checksums: false }).await?;
        let site = Self::of_file(&data.join("cluster.toml"))?;
        Ok(Site { hold: Hold::Launched(data.to_owned()), ..site })
    }

    /// A standard cluster on free ports, with nothing in it. If it does not get ready, its logs are kept.
    pub async fn start(shutdown: &Shutdown) -> anyhow::Result<Self> {
        Self::start_changed(shutdown, |_| ()).await
    }

    /// The same, with its options changed first: its cluster file, or the build that it is started from.
    pub async fn start_changed(
        shutdown: &Shutdown,
        change: impl FnOnce(&mut StartOptions),
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("agora-bench-").tempdir();
        let directory = directory.context("can't make a temporary directory")?;
        let mut options = StartOptions::standard(directory.path(), Ports::Free)?;
        options.shutdown = shutdown.clone();
        // No purchase fails of a declined card: how often cards are declined is not what is measured.
        options.file.financial.approval_rate = 1.0;
        change(&mut options);
        match Cluster::start(options).await {
            Ok(cluster) => {
                Ok(Site { file: (*cluster.file()).clone(), hold: Hold::Own(Own { cluster, directory }) })
            }
            Err(error) if shutdown.stop.is_cancelled() => Err(error.into()),
            Err(error) => {
                let logs = directory.keep().join("logs");
                Err(error)
                    .with_context(|| format!("the cluster did not start; its logs are in {}", logs.display()))
            }
        }
    }

    /// The cluster itself, if it is this program's own.
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.hold {
            Hold::Own(own) => Some(&own.cluster),
            Hold::Launched(_) | Hold::Distant => None,
        }
    }

    /// What is known of each process now; nothing, if there is only a cluster file.
    pub async fn status(&self) -> anyhow::Result<Option<ClusterStatus>> {
        match &self.hold {
            Hold::Own(own) => Ok(Some(own.cluster.status(Checksums::Skip).await)),
            Hold::Launched(data) => match call(data, &Request::Status { checksums: false }).await? {
                Response::Status(status) => Ok(Some(status)),
                Response::Done(_) | Response::Error(_) => Ok(None),
            },
            Hold::Distant => Ok(None),
        }
    }

    /// Ends a process at once, as a crash would, by its name or an alias. Tells its name.
    pub async fn kill(&self, name: &str) -> anyhow::Result<String> {
        match &self.hold {
            Hold::Own(own) => Ok(own.cluster.kill(name).await?),
            Hold::Launched(data) => match call(data, &Request::Kill { name: name.to_owned() }).await? {
                Response::Done(name) => Ok(name),
                Response::Status(_) | Response::Error(_) => bail!("the launcher answered something else"),
            },
            Hold::Distant => bail!("processes can be killed through their launcher only: see --data"),
        }
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(&self.file)
    }

    /// Stops it and clears it away, if it is this program's own.
    pub async fn stop(self) {
        if let Hold::Own(Own { cluster, directory }) = self.hold {
            cluster.stop().await;
            drop(directory);
        }
    }
}
