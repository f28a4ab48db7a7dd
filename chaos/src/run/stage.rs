//! Where a run takes place: a cluster of its own in a directory of its own, or one that runs already.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agora_cluster::{Cluster, Ports, RunningCluster, StartOptions};
use agora_process::Shutdown;
use anyhow::Context;

use crate::faults::{Network, Plan};
use crate::readings::{Books, Collector};
use crate::subject::Subject;

/// How long a running cluster may take to be well before it is broken.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// Where the data of an own cluster is, and what becomes of it.
pub(super) enum Data {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Data {
    /// A new directory: data of an earlier run would be taken for the state of this one.
    pub fn new(given: Option<&Path>) -> anyhow::Result<Data> {
        let Some(path) = given else {
            let temporary = tempfile::Builder::new().prefix("agora-chaos-").tempdir();
            return Ok(Data::Temporary(temporary.context("can't make a directory")?));
        };
        std::fs::create_dir_all(path).with_context(|| format!("can't create {}", path.display()))?;
        let mut entries =
            std::fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
        anyhow::ensure!(
            entries.next().is_none(),
            "{} is not empty: name a new directory, or remove it",
            path.display()
        );
        Ok(Data::Given(path.to_owned()))
    }

    pub fn path(&self) -> PathBuf {
        match self {
            Data::Given(path) => path.clone(),
            Data::Temporary(directory) => directory.path().to_owned(),
        }
    }

    /// Keeps it, for whoever wants to find out what went wrong.
    pub fn keep(self) -> PathBuf {
        match self {
            Data::Given(path) => path,
            Data::Temporary(directory) => directory.keep(),
        }
    }
}

/// A cluster, ready to be broken.
pub(super) struct Stage {
    pub cluster: Subject,
    /// The proxies between its processes, if the plan needs them.
    pub network: Option<Network>,
    /// Tells the names of this run from those of earlier ones.
    pub run: String,
    /// The books before the run.
    pub before: Books,
}

impl Stage {
    /// Starts a cluster. Whoever calls stops it.
    pub async fn own(data: PathBuf, plan: &Plan, shutdown: &Shutdown) -> anyhow::Result<(Cluster, Stage)> {
        let mut options = StartOptions::standard(data, Ports::Free)?;
        options.shutdown = shutdown.clone();
        options.file.links = plan.links.clone();
        let mut network = None;
        if plan.cuts_links() {
            let (proxies, views) =
                Network::start(&options.file).await.context("can't put proxies in between")?;
            (network, options.views) = (Some(proxies), views);
        }
        let cluster = Cluster::start(options).await.context("can't start the cluster")?;
        let (subject, run) = (Subject::Own(cluster.clone()), plan.seed.to_string());
        Ok((cluster, Stage { cluster: subject, network, run, before: Books::default() }))
    }

    /// Takes the cluster whose launcher runs on this data directory, if all of it is well.
    pub async fn running(data: &Path) -> anyhow::Result<Stage> {
        let cluster = Subject::Running(RunningCluster::find(data).await?);
        cluster.wait_ready(READY_WITHIN).await.context("the cluster is not well")?;
        let collector = Collector::new(cluster.clone(), READY_WITHIN);
        collector.settle().await?;
        let before = collector.books().await?;
        // Names must not have been taken by an earlier run, with whatever seed.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Stage { cluster, network: None, run: format!("{:x}", now.as_millis()), before })
    }
}
