//! One child process: started, watched, signalled, and never forgotten.
//!
//! A task of its own holds the child, so a signal never reaches a process id that was reaped already and now belongs to
//! somebody else. When nobody holds the [`Process`] any more, the task kills the child.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agora_process::{LIFELINE_VARIABLE, Role};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::dispatch::program_of;
use crate::error::ClusterError;
use crate::logs;

/// How long a process may take to stand still, on a machine that has no time for it.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// Where a process is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was never started by this launcher.
    NotStarted,
    /// It runs.
    Up {
        /// Its process id.
        pid: u32,
    },
    /// It was told to stand still (SIGSTOP).
    Paused {
        /// Its process id.
        pid: u32,
    },
    /// It ended.
    Down {
        /// How.
        how: Exit,
        /// Whether the launcher had told it to.
        wanted: Wanted,
    },
}

/// Whether the end of a process was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By the launcher.
    Yes,
    /// By nobody that the launcher knows of.
    No,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(-1),
        }
    }
}

impl Life {
    /// The process id, while there is a process.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Life::Up { pid } | Life::Paused { pid } => Some(*pid),
            Life::NotStarted | Life::Down { .. } => None,
        }
    }

    /// Whether it has ended.
    pub fn is_down(&self) -> bool {
        matches!(self, Life::Down { .. })
    }
}

/// All that is needed to start a process, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub name: String,
    pub role: Role,
    pub address: SocketAddr,
    pub program: PathBuf,
    pub config: PathBuf,
    /// The cluster file that it reads instead, for as long as there is one.
    pub first_config: Option<PathBuf>,
    pub log: PathBuf,
    pub place: Place,
}

/// Whether a process belongs on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    Elsewhere,
}

/// A process of the cluster, running or not.
#[derive(Debug)]
pub(crate) struct Process {
    pub spec: Spec,
    life: watch::Sender<Life>,
    /// Held while the process is started or ended, so that two callers do one after the other.
    orders: tokio::sync::Mutex<Option<mpsc::Sender<Order>>>,
    /// How long the log was at the last start: what follows is this run's.
    log_start: AtomicU64,
    /// Cancelled when the cluster is stopped: nothing is started any more.
    closed: CancellationToken,
}

#[derive(Debug)]
struct Order {
    signal: Signal,
    done: oneshot::Sender<io::Result<()>>,
}

impl Process {
    pub fn new(spec: Spec, closed: CancellationToken) -> Self {
        let life = watch::Sender::new(Life::NotStarted);
        Process { spec, life, orders: tokio::sync::Mutex::new(None), log_start: AtomicU64::new(0), closed }
    }

    /// The end of what the current run has logged.
    pub fn log_tail(&self) -> String {
        logs::tail(&self.spec.log, self.log_start.load(Ordering::Relaxed))
    }

    pub fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Starts it, unless it runs already.
    pub async fn start(&self) -> Result<(), ClusterError> {
        let mut orders = self.orders.lock().await;
        if self.life().pid().is_some() {
            return Ok(());
        }
        // Whoever closes ends all processes afterwards, one order at a time: what was started before is among them.
        if self.closed.is_cancelled() {
            return Err(ClusterError::Interrupted);
        }
        self.log_start.store(logs::length(&self.spec.log), Ordering::Relaxed);
        let failed = |error| ClusterError::Spawn { name: self.spec.name.clone(), error };
        let child = spawn(&self.spec).map_err(failed)?;
        let pid = child.id().ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        let (sender, receiver) = mpsc::channel(16);
        self.life.send_replace(Life::Up { pid });
        tokio::spawn(supervise(child, pid, receiver, self.life.clone()));
        *orders = Some(sender);
        Ok(())
    }

    /// Sends a signal to the running process.
    pub async fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let not_running = || ClusterError::NotRunning { name: self.spec.name.clone() };
        let sender = self.orders.lock().await.clone().ok_or_else(not_running)?;
        let (done, answer) = oneshot::channel();
        sender.send(Order { signal, done }).await.map_err(|_| not_running())?;
        let answer = answer.await.map_err(|_| not_running())?;
        answer.map_err(|error| ClusterError::Signal { name: self.spec.name.clone(), error })
    }

    /// Waits until it has ended; true if that was within the time.
    pub async fn ended_within(&self, patience: Duration) -> bool {
        let mut life = self.watch();
        let ended = life.wait_for(|life| life.pid().is_none());
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    /// Ends it and waits for the end: politely at first, by SIGKILL if it is not gone after the grace.
    pub async fn end(&self, grace: Duration) -> Result<(), ClusterError> {
        let signals = if grace.is_zero() {
            vec![Signal::SIGKILL]
        } else {
            // A process that stands still can't follow SIGTERM before it is told to go on.
            vec![Signal::SIGTERM, Signal::SIGCONT]
        };
        for signal in signals {
            match self.signal(signal).await {
                Err(ClusterError::NotRunning { .. }) if self.life().pid().is_none() => return Ok(()),
                other => other?,
            }
        }
        if self.ended_within(grace).await {
            return Ok(());
        }
        match self.signal(Signal::SIGKILL).await {
            Err(ClusterError::NotRunning { .. }) => {}
            other => other?,
        }
        self.watch().wait_for(|life| life.pid().is_none()).await.ok();
        Ok(())
    }
}

fn spawn(spec: &Spec) -> io::Result<Child> {
    let log = open_log(&spec.log)?;
    let (called, arguments) = program_of(spec.role);
    let config = spec.first_config.as_ref().filter(|first| first.exists()).unwrap_or(&spec.config);
    Command::new(&spec.program)
        .arg0(called)
        .args(arguments)
        .arg("--name")
        .arg(&spec.name)
        .arg("--config")
        .arg(config)
        .env(LIFELINE_VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A group of its own: Ctrl-C at the terminal reaches the launcher alone, which then stops the others in good order.
        // And if the launcher is killed while the process stands still, the orphaned group gets SIGHUP and ends.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Holds the child until it ends, and passes signals on to it.
async fn supervise(mut child: Child, pid: u32, mut orders: mpsc::Receiver<Order>, life: watch::Sender<Life>) {
    // Waiting would close it, and with it the lifeline.
    let lifeline = child.stdin.take();
    let mut wanted = Wanted::No;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            order = orders.recv() => match order {
                Some(order) => {
                    let sent = send(pid, order.signal);
                    if sent.is_ok() {
                        if order.signal == Signal::SIGSTOP {
                            stands_still(pid).await;
                        }
                        note(order.signal, pid, &life, &mut wanted);
                    }
                    order.done.send(sent).ok();
                }
                None => {
                    child.start_kill().ok();
                    break child.wait().await;
                }
            },
        }
    };
    drop(lifeline);
    let how = status.map_or(Exit::Code(-1), Exit::from);
    life.send_replace(Life::Down { how, wanted });
}

fn send(pid: u32, signal: Signal) -> io::Result<()> {
    kill(raw(pid)?, signal).map_err(io::Error::from)
}

fn raw(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).map(Pid::from_raw).map_err(io::Error::other)
}

/// Waits until a process that was told to stand still does so, with all of its threads; or for a while. Before that, an
/// orphaned group is not taken for one that stands still, and would do so for ever.
async fn stands_still(pid: u32) {
    let Ok(pid) = raw(pid) else { return };
    let look = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let until = Instant::now() + STOPS_WITHIN;
    while Instant::now() < until && matches!(waitid(Id::Pid(pid), look), Ok(WaitStatus::StillAlive)) {
        sleep(Duration::from_millis(1)).await;
    }
}

fn note(signal: Signal, pid: u32, life: &watch::Sender<Life>, wanted: &mut Wanted) {
    match signal {
        Signal::SIGSTOP => drop(life.send_replace(Life::Paused { pid })),
        Signal::SIGCONT => drop(life.send_replace(Life::Up { pid })),
        Signal::SIGKILL | Signal::SIGTERM => *wanted = Wanted::Yes,
        _ => {}
    }
}

impl Exit {
    /// Whether it was SIGKILL that ended it.
    pub fn is_kill(self) -> bool {
        self == Exit::Signal(Signal::SIGKILL as i32)
    }
}
