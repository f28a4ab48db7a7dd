//! A cluster that another program launched, steered through that launcher.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agora_process::ClusterFile;
use tokio::time::{Instant, sleep};

use super::{ControlError, Request, Response, call};
use crate::prober::Checksums;
use crate::status::{ClusterStatus, Condition, ProcessStatus};

const ASK_EVERY: Duration = Duration::from_millis(100);

/// A cluster whose launcher runs elsewhere on this machine. It can be asked and steered, not stopped. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RunningCluster {
    file: Arc<ClusterFile>,
}

impl RunningCluster {
    /// The cluster that runs on this data directory.
    ///
    /// # Errors
    /// None runs there, or its launcher does not answer.
    pub async fn find(data: &Path) -> Result<Self, ControlError> {
        ask(data, Checksums::Skip).await?;
        let mut file = ClusterFile::read(&data.join("cluster.toml"))
            .map_err(|error| ControlError::Refused(error.to_string()))?;
        // As the caller reaches it, wherever the launcher was started.
        file.data = std::path::absolute(data).map_err(ControlError::Broken)?;
        Ok(RunningCluster { file: Arc::new(file) })
    }

    /// The cluster file, as its processes read it.
    #[must_use]
    pub fn file(&self) -> Arc<ClusterFile> {
        Arc::clone(&self.file)
    }

    /// What is known of each process now.
    ///
    /// # Errors
    /// The launcher does not answer.
    pub async fn status(&self, checksums: Checksums) -> Result<ClusterStatus, ControlError> {
        ask(&self.file.data, checksums).await
    }

    /// Ends a process at once (SIGKILL).
    ///
    /// # Errors
    /// There is no such process, it does not run, or the launcher does not answer.
    pub async fn kill(&self, name: &str) -> Result<(), ControlError> {
        self.steer(&Request::Kill { name: name.to_owned() }).await
    }

    /// Tells a process to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// As [`RunningCluster::kill`].
    pub async fn terminate(&self, name: &str) -> Result<(), ControlError> {
        self.steer(&Request::Terminate { name: name.to_owned() }).await
    }

    /// Makes a process stand still (SIGSTOP).
    ///
    /// # Errors
    /// As [`RunningCluster::kill`].
    pub async fn pause(&self, name: &str) -> Result<(), ControlError> {
        self.steer(&Request::Pause { name: name.to_owned() }).await
    }

    /// Lets a process that stands still go on (SIGCONT).
    ///
    /// # Errors
    /// As [`RunningCluster::kill`].
    pub async fn resume(&self, name: &str) -> Result<(), ControlError> {
        self.steer(&Request::Resume { name: name.to_owned() }).await
    }

    /// Starts a process again, after telling it to stop if it runs. Does not wait until it is ready.
    ///
    /// # Errors
    /// There is no such process, it can't be started, or the launcher does not answer.
    pub async fn restart(&self, name: &str) -> Result<(), ControlError> {
        self.steer(&Request::Start { name: name.to_owned() }).await
    }

    /// Waits until these processes are ready.
    ///
    /// # Errors
    /// One of them ends, the time runs out, or the launcher does not answer.
    pub async fn wait_ready_of(&self, names: &[&str], within: Duration) -> Result<(), ControlError> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.status(Checksums::Skip).await?;
            let asked = status.processes.iter().filter(|process| names.contains(&process.name.as_str()));
            let late: Vec<&ProcessStatus> = asked.filter(|process| !process.ready).collect();
            if late.is_empty() {
                return Ok(());
            }
            let ended = late.iter().any(|process| process.condition == Condition::Dead);
            if ended || Instant::now() >= deadline {
                let told = late.iter().map(|process| {
                    let why = process.not_ready_because.as_deref().unwrap_or("it does not say why");
                    format!("{}: {why}", process.name)
                });
                let told = told.collect::<Vec<_>>().join("; ");
                let waited = if ended { String::new() } else { format!(" after {} s", within.as_secs()) };
                return Err(ControlError::Refused(format!("not ready{waited}: {told}")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn steer(&self, request: &Request) -> Result<(), ControlError> {
        call(&self.file.data, request).await.map(drop)
    }
}

async fn ask(data: &Path, checksums: Checksums) -> Result<ClusterStatus, ControlError> {
    let checksums = matches!(checksums, Checksums::Compute);
    match call(data, &Request::Status { checksums }).await? {
        Response::Status(status) => Ok(status),
        other => Err(ControlError::Refused(format!("the launcher answers something else: {other:?}"))),
    }
}
