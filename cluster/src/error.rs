//! What can go wrong with a cluster, said so that the reader knows what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agora_process::{ClusterFileError, Role};

/// Why something could not be done with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The cluster file is of no use.
    #[error(transparent)]
    File(#[from] ClusterFileError),
    /// The operating system refused something.
    #[error("can't {what} {path}: {error}")]
    Io {
        /// What was tried, as in "create".
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Addresses that the cluster needs can't be listened on.
    #[error("{}; nothing was started", list(taken))]
    AddressTaken {
        /// All of them.
        taken: Vec<Taken>,
    },
    /// There are no free ports left.
    #[error("found no free ports on 127.0.0.1: {0}")]
    NoFreePorts(io::Error),
    /// The base port leaves no room.
    #[error("base port {0} is too high: ports up to {1} are needed, and 65535 is the last one")]
    BasePort(u16, u32),
    /// Another launcher runs a cluster on this data.
    #[error(
        "a cluster runs on {path} already; stop it first, or choose another --data directory (and --base-port)"
    )]
    DataInUse {
        /// The data directory.
        path: PathBuf,
    },
    /// None of the cluster file's processes has an address of this machine.
    #[error(
        "none of the addresses in the cluster file belongs to this machine, so there is nothing to start"
    )]
    NothingLocal,
    /// A process could not be started at all.
    #[error("can't start {name}: {error}")]
    Spawn {
        /// The process.
        name: String,
        /// Why not.
        error: io::Error,
    },
    /// A process ended before it was ready.
    #[error("{name} ended at start ({how}); the end of its log {log}:\n{tail}")]
    DiedAtStart {
        /// The process.
        name: String,
        /// How it ended.
        how: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// Processes live but were not ready in time.
    #[error("not ready after {}: {}", humantime::format_duration(*waited), missing.join("; "))]
    NotReady {
        /// How long they were given.
        waited: Duration,
        /// Which, and what each says.
        missing: Vec<String>,
    },
    /// The caller wanted no more of it.
    #[error("interrupted: the cluster is being stopped")]
    Interrupted,
    /// No process has that name.
    #[error("no process is called \"{name}\"; there are {known}")]
    NoSuchProcess {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// An alias such as `product-leader` means no process at the moment.
    #[error("nobody is \"{alias}\" at the moment: {why}")]
    Unresolved {
        /// The alias.
        alias: &'static str,
        /// Why nobody is.
        why: String,
    },
    /// It keeps no data that a group could bring back.
    #[error("{name} is no database node: only these have data that their group can bring back")]
    NotADatabase {
        /// The process.
        name: String,
    },
    /// Without this node its group has no majority.
    #[error(
        "{name} can't be replaced now: of its group's {members} nodes only {ready} others are ready, and no majority would be \
         left that remembers everything"
    )]
    GroupNeedsIt {
        /// The node.
        name: String,
        /// How many others are ready.
        ready: usize,
        /// How many there are.
        members: usize,
    },
    /// Only the product group's members can be changed.
    #[error(
        "the {role} group's members are fixed: its atomic broadcast is made for a roster of fixed seats. Nodes can be added to the \
         product database and removed from it; a node of either can be replaced (replace-node)"
    )]
    FixedMembers {
        /// Which group.
        role: Role,
    },
    /// There is room for no more.
    #[error(
        "the {role} database has {count} nodes, and more are not allowed: each one more makes each write wait for more disks"
    )]
    GroupFull {
        /// Which group.
        role: Role,
        /// How many it has.
        count: usize,
    },
    /// One change of the members at a time.
    #[error("a node is just being added or removed; one after the other")]
    ChangeUnderWay,
    /// Two files tell different stories of a cluster.
    #[error(
        "the given cluster file and {path} have both seen product nodes added or removed, and not the same {changes} changes; \
         find out which of them the group has followed (`status` shows its members), and give only that one"
    )]
    ChangedApart {
        /// The data directory's own file.
        path: PathBuf,
        /// How many there were.
        changes: u64,
    },
    /// The group said no.
    #[error("{name} can't be {what} its group: {why}")]
    GroupRefuses {
        /// The node.
        name: String,
        /// What was to be done, as in "added to".
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// The group did not say.
    #[error(
        "{name} was not {what} its group within {}: {why}. It may still come about; the same again finds out",
        humantime::format_duration(*waited)
    )]
    Undecided {
        /// The node.
        name: String,
        /// What was to be done, as in "added to".
        what: &'static str,
        /// For how long.
        waited: Duration,
        /// What was said last.
        why: String,
    },
    /// A new node is a member, and has no vote yet.
    #[error(
        "{name} was added, and has no vote yet after {}: {says}. It goes on learning; `status` shows when it has caught up, and \
         `remove-node {name}` takes it away",
        humantime::format_duration(*waited)
    )]
    StillLearning {
        /// The node.
        name: String,
        /// For how long it was waited.
        waited: Duration,
        /// What it says.
        says: String,
    },
    /// There is no port for a new node.
    #[error("none of the {tried} ports above {address} is free")]
    NoPortAbove {
        /// The address of the last node.
        address: SocketAddr,
        /// How many were tried.
        tried: u16,
    },
    /// The process must run for this, and doesn't.
    #[error("{name} is not running")]
    NotRunning {
        /// The process.
        name: String,
    },
    /// The process runs on another machine.
    #[error("{name} is not a process of this launcher: its address {address} is elsewhere")]
    Elsewhere {
        /// The process.
        name: String,
        /// Where it is.
        address: SocketAddr,
    },
    /// A signal could not be sent.
    #[error("can't signal {name}: {error}")]
    Signal {
        /// The process.
        name: String,
        /// Why not.
        error: io::Error,
    },
}

/// An address that can't be listened on, and who needs it.
#[derive(Debug)]
pub struct Taken {
    /// The process that needs it.
    pub name: String,
    /// The address.
    pub address: SocketAddr,
    /// What the operating system says.
    pub error: io::Error,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Taken { name, address, error } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "port {} is taken, and {name} needs it ({address})", address.port())
            }
            _ => write!(f, "{name} can't listen on {address}: {error}"),
        }
    }
}

/// The first few, and how many more there are: when another cluster runs, it is all of them.
fn list(taken: &[Taken]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<String> = taken.iter().take(SHOWN).map(Taken::to_string).collect();
    if taken.len() > SHOWN {
        shown.push(format!("and {} more (another --base-port shifts them all)", taken.len() - SHOWN));
    }
    shown.join("; ")
}

impl ClusterError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| ClusterError::Io { what, path, error }
    }
}
