//! The cluster that is broken: one that chaos started, or one that runs already and goes on afterwards.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agora_cluster::{
    Checksums, Cluster, ClusterError, ClusterStatus, Condition, ControlError, Endpoints, Life,
    RunningCluster, Wanted,
};
use agora_process::ClusterFile;

/// A cluster under test.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Chaos started it, and stops it.
    Own(Cluster),
    /// Somebody else's launcher runs it.
    Running(RunningCluster),
}

/// Why a cluster can't be asked or steered.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// Our own.
    #[error(transparent)]
    Own(#[from] ClusterError),
    /// Somebody else's.
    #[error(transparent)]
    Running(#[from] ControlError),
}

impl SubjectError {
    /// Whether a process did not do what it should. Otherwise chaos itself could not do what it wanted, which says nothing of
    /// the marketplace.
    #[must_use]
    pub fn is_of_process(&self) -> bool {
        use ClusterError::{DiedAtStart, NotReady, NotRunning};
        match self {
            SubjectError::Own(error) => {
                matches!(error, DiedAtStart { .. } | NotReady { .. } | NotRunning { .. })
            }
            SubjectError::Running(error) => matches!(error, ControlError::Refused(_)),
        }
    }
}

impl Subject {
    /// The cluster file, as all processes read it.
    #[must_use]
    pub fn file(&self) -> Arc<ClusterFile> {
        match self {
            Subject::Own(cluster) => cluster.file(),
            Subject::Running(cluster) => cluster.file(),
        }
    }

    /// Where clients find it.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(&self.file())
    }

    /// Where its processes' logs are.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.file().data.join("logs")
    }

    /// The names of all processes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.file().processes().map(|(_, name, _)| name.to_owned()).collect()
    }

    /// What is known of each process now.
    ///
    /// # Errors
    /// The launcher does not answer.
    pub async fn status(&self, checksums: Checksums) -> Result<ClusterStatus, SubjectError> {
        match self {
            Subject::Own(cluster) => Ok(cluster.status(checksums).await),
            Subject::Running(cluster) => Ok(cluster.status(checksums).await?),
        }
    }

    /// Ends a process at once (SIGKILL). One that has ended by itself at this very moment is as dead as it should be.
    ///
    /// # Errors
    /// There is no such process, or the launcher does not answer.
    pub async fn kill(&self, name: &str) -> Result<(), SubjectError> {
        let done = match self {
            Subject::Own(cluster) => cluster.kill(name).await.map(drop).map_err(SubjectError::from),
            Subject::Running(cluster) => cluster.kill(name).await.map_err(SubjectError::from),
        };
        self.unless_ended(name, done).await
    }

    /// Tells a process to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// As [`Subject::kill`].
    pub async fn terminate(&self, name: &str) -> Result<(), SubjectError> {
        let done = match self {
            Subject::Own(cluster) => cluster.terminate(name).await.map(drop).map_err(SubjectError::from),
            Subject::Running(cluster) => cluster.terminate(name).await.map_err(SubjectError::from),
        };
        self.unless_ended(name, done).await
    }

    /// Makes a process stand still (SIGSTOP).
    ///
    /// # Errors
    /// As [`Subject::kill`].
    pub async fn pause(&self, name: &str) -> Result<(), SubjectError> {
        let done = match self {
            Subject::Own(cluster) => cluster.pause(name).await.map(drop).map_err(SubjectError::from),
            Subject::Running(cluster) => cluster.pause(name).await.map_err(SubjectError::from),
        };
        self.unless_ended(name, done).await
    }

    /// Lets a process that stands still go on (SIGCONT).
    ///
    /// # Errors
    /// As [`Subject::kill`].
    pub async fn resume(&self, name: &str) -> Result<(), SubjectError> {
        let done = match self {
            Subject::Own(cluster) => cluster.resume(name).await.map(drop).map_err(SubjectError::from),
            Subject::Running(cluster) => cluster.resume(name).await.map_err(SubjectError::from),
        };
        self.unless_ended(name, done).await
    }

    /// Starts a process again, after telling it to stop if it runs. Does not wait until it is ready.
    ///
    /// # Errors
    /// There is no such process, it can't be started, or the launcher does not answer.
    pub async fn restart(&self, name: &str) -> Result<(), SubjectError> {
        match self {
            Subject::Own(cluster) => cluster.restart(name).await.map(drop).map_err(SubjectError::from),
            Subject::Running(cluster) => cluster.restart(name).await.map_err(SubjectError::from),
        }
    }

    /// Waits until these processes are ready.
    ///
    /// # Errors
    /// One of them ends, the time runs out, or the launcher does not answer.
    pub async fn wait_ready_of(&self, names: &[&str], within: Duration) -> Result<(), SubjectError> {
        match self {
            Subject::Own(cluster) => Ok(cluster.wait_ready_of(names, within).await?),
            Subject::Running(cluster) => Ok(cluster.wait_ready_of(names, within).await?),
        }
    }

    /// Waits until all processes are ready.
    ///
    /// # Errors
    /// As [`Subject::wait_ready_of`].
    pub async fn wait_ready(&self, within: Duration) -> Result<(), SubjectError> {
        let names = self.names();
        self.wait_ready_of(&names.iter().map(String::as_str).collect::<Vec<_>>(), within).await
    }

    /// Who has ended although nobody had told them to, and how.
    ///
    /// # Errors
    /// The launcher does not answer.
    pub async fn died(&self) -> Result<Vec<(String, String)>, SubjectError> {
        match self {
            Subject::Own(cluster) => Ok(died_of_own(cluster)),
            Subject::Running(cluster) => {
                let status = cluster.status(Checksums::Skip).await?;
                Ok(status.processes.into_iter().filter_map(|it| Some((it.name, it.died?))).collect())
            }
        }
    }

    async fn unless_ended(&self, name: &str, done: Result<(), SubjectError>) -> Result<(), SubjectError> {
        match done {
            Err(SubjectError::Own(ClusterError::NotRunning { .. })) => Ok(()),
            Err(SubjectError::Running(ControlError::Refused(_))) if self.has_ended(name).await => Ok(()),
            done => done,
        }
    }

    async fn has_ended(&self, name: &str) -> bool {
        let status = self.status(Checksums::Skip).await;
        status.is_ok_and(|status| {
            status.processes.iter().any(|it| it.name == name && it.condition == Condition::Dead)
        })
    }
}

fn died_of_own(cluster: &Cluster) -> Vec<(String, String)> {
    let died = |name: String| {
        let life = cluster.watch(&name).ok()?.borrow().clone();
        match life {
            Life::Down { how, wanted: Wanted::No } => Some((name, how.to_string())),
            _ => None,
        }
    };
    cluster.names().into_iter().filter_map(died).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_does_not_answer_is_no_process_that_does_not_come_back() {
        let no_launcher = [
            SubjectError::from(ControlError::NotRunning("data".into())),
            ControlError::Broken(std::io::ErrorKind::BrokenPipe.into()).into(),
            ClusterError::Interrupted.into(),
        ];
        assert!(no_launcher.iter().all(|error| !error.is_of_process()));
        let no_process = [
            SubjectError::from(ControlError::Refused("not ready after 60 s".into())),
            ClusterError::NotReady { waited: Duration::ZERO, missing: Vec::new() }.into(),
        ];
        assert!(no_process.iter().all(SubjectError::is_of_process));
    }
}
