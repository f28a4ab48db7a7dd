//! A running cluster: all of its processes that belong on this machine, started, steered, asked and stopped together.

mod members;
mod replace;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agora_process::{ClusterFile, FreePorts, Role};
use futures::future::{join_all, try_join_all};
use nix::sys::signal::Signal;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::endpoints::Endpoints;
use crate::error::ClusterError;
use crate::logs;
use crate::names::{Alias, resolve};
use crate::options::StartOptions;
use crate::plan;
use crate::prober::{Checksums, Prober};
use crate::process::{Life, Place, Process, Spec, Wanted};
use crate::status::{ClusterStatus, Condition, ProcessStatus};

/// How long processes that were told to stop may take, before they are killed.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often a process that is not ready yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A cluster that this program started. Cheap to clone. When the last clone is dropped, its processes are killed; better
/// call [`Cluster::stop`], which lets them end in good order. If this program dies, they notice and end by themselves.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Another one when nodes are added or removed; so are the processes.
    file: RwLock<Arc<ClusterFile>>,
    logs: PathBuf,
    processes: RwLock<Vec<Arc<Process>>>,
    /// Tells when there are other processes.
    changes: watch::Sender<()>,
    /// Held while nodes are added or removed.
    changing: tokio::sync::Mutex<()>,
    prober: Prober,
    /// Cancelled when it is stopped: no process is started any more, whoever wants to.
    closed: CancellationToken,
    /// Cancelled when stopping has to hurry.
    hurry: CancellationToken,
    _lock: File,
    _ports: Option<Arc<FreePorts>>,
}

impl Cluster {
    /// Starts the cluster and waits until all of it is ready. If that fails, whatever was started is stopped again.
    ///
    /// # Errors
    /// An address is taken, a process ends at start, something is not ready in time, or the data directory is in use.
    pub async fn start(options: StartOptions) -> Result<Cluster, ClusterError> {
        let cluster = Self::launch(&options).await?;
        let ready = async {
            let own = cluster.own();
            try_join_all(own.iter().map(|process| process.start())).await?;
            cluster.wait_for(&own, options.ready_within).await
        };
        let started = tokio::select! {
            started = ready => started,
            () = options.shutdown.stop.cancelled() => Err(ClusterError::Interrupted),
        };
        match started {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.stop().await;
                Err(error)
            }
        }
    }

    /// Takes the data directory and writes what the processes will read; starts none of them.
    async fn launch(options: &StartOptions) -> Result<Cluster, ClusterError> {
        let mut file = options.file.clone();
        file.data = std::path::absolute(&file.data).map_err(ClusterError::io("find", &file.data))?;
        file = members::with_remembered_changes(file)?;
        file.validate()?;
        let data = file.data.clone();
        let here = || file.processes().filter(|(_, _, address)| plan::is_local(*address));
        if !data.exists() {
            // Nobody runs on this data, so whoever has the ports is a stranger: leave nothing behind for that.
            plan::check_free(here().map(|(_, name, address)| (name, address))).await?;
        }
        let logs = data.join("logs");
        for directory in [&data, &logs, &run_directory(&data)] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(ClusterError::io("create", directory))?;
        }
        let lock = lock(&data)?;
        let config = data.join("cluster.toml");
        let program = match &options.program {
            Some(program) => program.clone(),
            None => this_program()?,
        };
        let log = |name: &str| logs.join(format!("{name}.log"));
        let view = |name: &str| run_directory(&data).join(format!("{name}.toml"));
        let spec = |(role, name, address): (Role, &str, _)| Spec {
            name: name.to_owned(),
            role,
            address,
            program: program.clone(),
            config: if options.views.contains_key(name) { view(name) } else { config.clone() },
            first_config: None,
            log: log(name),
            place: if plan::is_local(address) { Place::Here } else { Place::Elsewhere },
        };
        let closed = CancellationToken::new();
        let process = |spec| Arc::new(Process::new(spec, closed.clone()));
        let processes: Vec<_> = file.processes().map(spec).map(process).collect();
        let own = || processes.iter().map(|process| &process.spec).filter(|spec| spec.place == Place::Here);
        if own().next().is_none() {
            return Err(ClusterError::NothingLocal);
        }
        plan::check_free(own().map(|spec| (spec.name.as_str(), spec.address))).await?;
        members::write_file(&file, &config)?;
        for (name, seen) in &options.views {
            let (seen, path) = (ClusterFile { data: data.clone(), ..seen.clone() }, view(name));
            seen.validate()?;
            std::fs::write(&path, seen.to_toml()?).map_err(ClusterError::io("write", &path))?;
        }
        let inner = Inner {
            file: RwLock::new(Arc::new(file)),
            logs,
            processes: RwLock::new(processes),
            changes: watch::Sender::new(()),
            changing: tokio::sync::Mutex::default(),
            prober: Prober::default(),
            closed,
            hurry: options.shutdown.hurry.clone(),
            _lock: lock,
            _ports: options.ports.clone(),
        };
        let cluster = Cluster { inner: Arc::new(inner) };
        for process in cluster.own() {
            logs::keep_bounded(process.spec.log.clone(), Arc::downgrade(&process));
        }
        Ok(cluster)
    }

    /// The cluster file, as the processes read it.
    pub fn file(&self) -> Arc<ClusterFile> {
        Arc::clone(&self.inner.file.read())
    }

    /// Tells when there are other processes than before.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changes.subscribe()
    }

    /// Where the processes' logs are, one file each.
    pub fn logs(&self) -> &Path {
        &self.inner.logs
    }

    /// Where clients and tools find the cluster.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::of(&self.file())
    }

    /// Ends a process at once, as a crash would (SIGKILL), and waits until it is gone. Tells its name, which differs from
    /// the argument if that is an alias such as `product-leader`.
    ///
    /// # Errors
    /// There is no such process, or it does not run.
    pub async fn kill(&self, name: &str) -> Result<String, ClusterError> {
        self.end(name, Duration::ZERO).await
    }

    /// Ends a process at once, and does not wait until it is gone. Tells a moment just before the signal was sent.
    pub(crate) async fn strike(&self, name: &str) -> Result<Instant, ClusterError> {
        let process = self.running(name).await?;
        let struck = Instant::now();
        process.signal(Signal::SIGKILL).await?;
        Ok(struck)
    }

    /// What a process has logged.
    pub(crate) fn log_of(&self, name: &str) -> Result<String, ClusterError> {
        let log = self.named(name)?.spec.log.clone();
        std::fs::read_to_string(&log).map_err(ClusterError::io("read", &log))
    }

    /// Tells a process to stop (SIGTERM) and waits until it has; kills it if it takes too long.
    ///
    /// # Errors
    /// There is no such process, or it does not run.
    pub async fn terminate(&self, name: &str) -> Result<String, ClusterError> {
        self.end(name, GRACE).await
    }

    async fn end(&self, name: &str, grace: Duration) -> Result<String, ClusterError> {
        let process = self.running(name).await?;
        process.end(grace).await?;
        Ok(process.spec.name.clone())
    }

    /// Makes a process stand still (SIGSTOP).
    ///
    /// # Errors
    /// There is no such process, or it does not run.
    pub async fn pause(&self, name: &str) -> Result<String, ClusterError> {
        self.signal(name, Signal::SIGSTOP).await
    }

    /// Lets a process that stands still go on (SIGCONT).
    ///
    /// # Errors
    /// There is no such process, or it does not run.
    pub async fn resume(&self, name: &str) -> Result<String, ClusterError> {
        self.signal(name, Signal::SIGCONT).await
    }

    async fn signal(&self, name: &str, signal: Signal) -> Result<String, ClusterError> {
        let process = self.running(name).await?;
        process.signal(signal).await?;
        Ok(process.spec.name.clone())
    }

    /// Starts a process again, after telling it to stop if it runs. Does not wait until it is ready: for a database node
    /// that needs a majority of its group, too. [`Cluster::wait_ready_of`] waits.
    ///
    /// # Errors
    /// There is no such process, or it can't be started.
    pub async fn restart(&self, name: &str) -> Result<String, ClusterError> {
        let process = self.find(name).await?;
        if process.life().pid().is_some() {
            process.end(GRACE).await?;
        }
        plan::check_free([(process.spec.name.as_str(), process.spec.address)].into_iter()).await?;
        process.start().await?;
        Ok(process.spec.name.clone())
    }

    /// Waits until every process that runs here is ready.
    ///
    /// # Errors
    /// One of them ends, or the time runs out.
    pub async fn wait_ready(&self, within: Duration) -> Result<(), ClusterError> {
        let mut running = self.own();
        running.retain(|process| process.life() != Life::NotStarted && !process.life().is_down());
        self.wait_for(&running, within).await
    }

    /// Waits until these processes are ready.
    ///
    /// # Errors
    /// One of them is unknown or ends, or the time runs out.
    pub async fn wait_ready_of(&self, names: &[&str], within: Duration) -> Result<(), ClusterError> {
        let processes = names.iter().map(|name| self.named(name)).collect::<Result<Vec<_>, _>>()?;
        self.wait_for(&processes, within).await
    }

    async fn wait_for(&self, processes: &[Arc<Process>], within: Duration) -> Result<(), ClusterError> {
        let deadline = Instant::now() + within;
        let outcomes = processes.iter().map(|process| self.wait_for_one(process, deadline));
        // The first process that ends is the news; those that are late because of it are not.
        let missing = try_join_all(outcomes).await?;
        let missing: Vec<String> = missing.into_iter().flatten().collect();
        if missing.is_empty() { Ok(()) } else { Err(ClusterError::NotReady { waited: within, missing }) }
    }

    /// `None` when it is ready, or what it says at the deadline.
    async fn wait_for_one(
        &self,
        process: &Process,
        deadline: Instant,
    ) -> Result<Option<String>, ClusterError> {
        let mut life = process.watch();
        let died = life.wait_for(Life::is_down);
        tokio::pin!(died);
        loop {
            let asked = tokio::select! {
                _ = &mut died => return Err(died_at_start(process)),
                asked = self.inner.prober.ready(process.spec.role, process.spec.address) => asked,
            };
            let Err(why) = asked else { return Ok(None) };
            if Instant::now() >= deadline {
                return Ok(Some(format!("{}: {why}", process.spec.name)));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// What is known of each process now.
    pub async fn status(&self, checksums: Checksums) -> ClusterStatus {
        let (file, processes) = (self.file(), self.processes());
        let processes = join_all(processes.iter().map(|process| self.status_of(process, checksums))).await;
        ClusterStatus { cluster: file.cluster.clone(), data: file.data.clone(), processes }
    }

    async fn status_of(&self, process: &Process, checksums: Checksums) -> ProcessStatus {
        let Spec { name, role, address, .. } = &process.spec;
        let mut status = ProcessStatus::new(name, *role, *address);
        let life = process.life();
        status.pid = life.pid();
        status.set_condition(match life {
            Life::Up { .. } => Condition::Up,
            Life::Paused { .. } => Condition::Paused,
            Life::NotStarted if process.spec.place == Place::Elsewhere => Condition::Elsewhere,
            Life::NotStarted | Life::Down { .. } => Condition::Dead,
        });
        match life {
            Life::Down { how, wanted } => {
                status.not_ready_because = Some(format!("ended: {how}"));
                status.died = (wanted == Wanted::No).then(|| how.to_string());
            }
            Life::Paused { .. } => status.not_ready_because = Some("paused".into()),
            Life::Up { .. } | Life::NotStarted if status.condition != Condition::Dead => {
                self.ask(&mut status, checksums).await;
            }
            Life::Up { .. } | Life::NotStarted => {}
        }
        status
    }

    async fn ask(&self, status: &mut ProcessStatus, checksums: Checksums) {
        let prober = &self.inner.prober;
        let answer = match status.role {
            Role::Customer | Role::Product => {
                prober.node_status(status.address, checksums).await.map(|reply| status.set_reply(reply))
            }
            role => prober.ready(role, status.address).await.map(|()| status.ready = true),
        };
        if let Err(why) = answer {
            status.not_ready_because = Some(why);
        }
    }

    /// The name of the process that is called so, or that plays the part of that name at the moment.
    ///
    /// # Errors
    /// There is no such process, or nobody plays that part.
    pub async fn resolve(&self, name: &str) -> Result<String, ClusterError> {
        match Alias::parse(name) {
            Some(alias) => resolve(alias, &self.status(Checksums::Skip).await),
            None => self.named(name).map(|process| process.spec.name.clone()),
        }
    }

    /// The life of a process, to be watched.
    ///
    /// # Errors
    /// No process has that name.
    pub fn watch(&self, name: &str) -> Result<watch::Receiver<Life>, ClusterError> {
        self.named(name).map(|process| process.watch())
    }

    /// The names of the processes that belong on this machine.
    pub fn names(&self) -> Vec<String> {
        self.own().iter().map(|process| process.spec.name.clone()).collect()
    }

    /// Stops all processes, for good: tells them, and kills those that take too long, or all at once when it has to hurry
    /// ([`StartOptions::shutdown`]). Tells the names of those that it killed.
    pub async fn stop(&self) -> Vec<String> {
        self.inner.closed.cancel();
        let own = self.own();
        let stopped = own.iter().map(async |process| {
            let was_dead = process.life().is_down();
            let ended = tokio::select! {
                ended = process.end(GRACE) => ended,
                () = self.inner.hurry.cancelled() => process.end(Duration::ZERO).await,
            };
            if let Err(error) = ended {
                tracing::error!(%error, process = process.spec.name, "could not stop it");
            }
            let killed = matches!(process.life(), Life::Down { how, .. } if how.is_kill());
            (killed && !was_dead).then(|| process.spec.name.clone())
        });
        join_all(stopped).await.into_iter().flatten().collect()
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        self.inner.processes.read().clone()
    }

    fn own(&self) -> Vec<Arc<Process>> {
        let mut own = self.processes();
        own.retain(|process| process.spec.place == Place::Here);
        own
    }

    /// Takes a process in, behind the others of its role.
    fn include(&self, process: &Arc<Process>) {
        logs::keep_bounded(process.spec.log.clone(), Arc::downgrade(process));
        let mut processes = self.inner.processes.write();
        let last = processes.iter().rposition(|other| other.spec.role == process.spec.role);
        let at = last.map_or(processes.len(), |last| last + 1);
        processes.insert(at, Arc::clone(process));
        drop(processes);
        self.inner.changes.send_replace(());
    }

    /// Forgets a process: to the cluster it is none any more.
    fn exclude(&self, name: &str) {
        self.inner.processes.write().retain(|process| process.spec.name != name);
        self.inner.changes.send_replace(());
    }

    fn named(&self, name: &str) -> Result<Arc<Process>, ClusterError> {
        let processes = self.processes();
        let found = processes.iter().find(|process| process.spec.name == name);
        let process = found.ok_or_else(|| {
            let own = processes.iter().map(|process| process.spec.name.as_str());
            let aliases = Alias::ALL.iter().map(|alias| alias.as_str());
            ClusterError::NoSuchProcess {
                name: name.into(),
                known: own.chain(aliases).collect::<Vec<_>>().join(", "),
            }
        })?;
        if process.spec.place == Place::Here {
            return Ok(Arc::clone(process));
        }
        Err(ClusterError::Elsewhere { name: name.into(), address: process.spec.address })
    }

    async fn find(&self, name: &str) -> Result<Arc<Process>, ClusterError> {
        self.named(&self.resolve(name).await?)
    }

    async fn running(&self, name: &str) -> Result<Arc<Process>, ClusterError> {
        let process = self.find(name).await?;
        match process.life().pid() {
            Some(_) => Ok(process),
            None => Err(ClusterError::NotRunning { name: process.spec.name.clone() }),
        }
    }
}

fn died_at_start(process: &Process) -> ClusterError {
    let how = match process.life() {
        Life::Down { how, .. } => how.to_string(),
        _ => "unknown".to_owned(),
    };
    let log = process.spec.log.clone();
    ClusterError::DiedAtStart { name: process.spec.name.clone(), how, tail: process.log_tail(), log }
}

/// Where the launcher of a data directory keeps what belongs to its run: the lock and the control socket.
pub(crate) fn run_directory(data: &Path) -> PathBuf {
    data.join("run")
}

fn lock(data: &Path) -> Result<File, ClusterError> {
    let path = run_directory(data).join("lock");
    let file = File::create(&path).map_err(ClusterError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ClusterError::DataInUse { path: data.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(ClusterError::io("lock", path)(error)),
    }
}

/// The program that runs now. It may have been replaced on disk by a newer build; then the running one is still to be had
/// from the kernel.
fn this_program() -> Result<PathBuf, ClusterError> {
    match std::env::current_exe() {
        Ok(path) if path.exists() => Ok(path),
        Ok(_) => Ok("/proc/self/exe".into()),
        Err(error) => Err(ClusterError::io("find", "this program")(error)),
    }
}
