//! The cluster that is measured: one of its own that is gone afterwards, or one that runs already.

use std::path::Path;

use agora_process::ClusterFile;
use anyhow::Context;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::control::{Request, call};
use crate::endpoints::Endpoints;
use crate::options::StartOptions;
use crate::plan::Ports;

/// Where to measure.
#[derive(Debug)]
pub(crate) struct Site {
    pub file: ClusterFile,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    cluster: Cluster,
    directory: TempDir,
}

impl Site {
    /// A cluster that runs, here or elsewhere, by its file.
    pub fn of_file(config: &Path) -> anyhow::Result<Self> {
        Ok(Site { file: ClusterFile::read(config)?, own: None })
    }

    /// The cluster that runs on this data directory.
    pub async fn running_on(data: &Path) -> anyhow::Result<Self> {
        call(data, &Request::Status { checksums: false }).await?;
        Self::of_file(&data.join("cluster.toml"))
    }

    /// A standard cluster on free ports, with nothing in it. If it does not get ready, its logs are kept.
    pub async fn start(interrupt: &CancellationToken) -> anyhow::Result<Self> {
        Self::start_changed(interrupt, None, |_| ()).await
    }

    /// The same, from the build of another `cluster` program if there is one, and with its cluster file changed first.
    pub async fn start_changed(
        interrupt: &CancellationToken,
        program: Option<&Path>,
        change: impl FnOnce(&mut ClusterFile),
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("agora-bench-").tempdir();
        let directory = directory.context("can't make a temporary directory")?;
        let mut options = StartOptions::standard(directory.path(), Ports::Free)?;
        options.interrupt = interrupt.clone();
        // No purchase fails of a declined card: how often cards are declined is not what is measured.
        options.file.financial.approval_rate = 1.0;
        options.program = program.map(Path::to_owned);
        change(&mut options.file);
        match Cluster::start(options).await {
            Ok(cluster) => Ok(Site { file: cluster.file().clone(), own: Some(Own { cluster, directory }) }),
            Err(error) if interrupt.is_cancelled() => Err(error.into()),
            Err(error) => {
                let logs = directory.keep().join("logs");
                Err(error)
                    .with_context(|| format!("the cluster did not start; its logs are in {}", logs.display()))
            }
        }
    }

    /// The cluster itself, if it is this program's own.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.own.as_ref().map(|own| &own.cluster)
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(&self.file)
    }

    /// Stops it and clears it away, if it is this program's own.
    pub async fn stop(self) {
        if let Some(Own { cluster, directory }) = self.own {
            cluster.stop().await;
            drop(directory);
        }
    }
}
