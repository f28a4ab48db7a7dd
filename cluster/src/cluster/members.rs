//! Adding nodes to the product database and taking them away, while the cluster runs.
//!
//! Whether a node belongs to the database is decided by the database's group alone (`db-node/group/src/raft/roster.rs`); it is
//! asked over any of its nodes. What the launcher does is to start and stop the process, and to write down in the cluster file
//! what the group has said. A new node is started with a file that names it, while the cluster's own file does so only once the
//! group has taken it in as a learner; a node that goes is left out of the file as soon as the group has let it go. So whenever
//! the launcher dies, the file says of nobody that he is a member who never was.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agora_process::{ClusterFile, ClusterFileError, DATABASE_NODES_MAX, Endpoint, Role};
use agora_proto::database::change_seat_reply::Outcome;
use agora_proto::database::status_reply::Group;
use agora_proto::database::{ChangeSeatRequest, RaftMember, StatusReply};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::replace::set_aside;
use super::{Cluster, GRACE, run_directory};
use crate::error::ClusterError;
use crate::plan;
use crate::prober::Checksums;
use crate::process::{Life, Place, Process, Spec};

/// A pause before the group is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long a new process may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// How long the group may take to decide.
const DECIDES_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to take back what was asked for, when something goes wrong.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(10);
/// So many ports above the last node's are tried.
const PORTS_TRIED: u16 = 200;

impl Cluster {
    /// Adds a node to the product database: starts it with an empty data directory, has the group take it in, and waits until it
    /// has caught up and has a vote. Tells its name.
    ///
    /// # Errors
    /// It is the other database, whose members are fixed; there are as many nodes as there may be; the name is taken; the process
    /// can't be started; the group refuses, and then nothing is left of it; or it takes too long, and the group goes on with it.
    pub async fn add_node(
        &self,
        role: Role,
        name: Option<String>,
        within: Duration,
    ) -> Result<String, ClusterError> {
        check_changeable(role)?;
        let _one_at_a_time = self.inner.changing.try_lock().map_err(|_| ClusterError::ChangeUnderWay)?;
        let until = Instant::now() + within;
        let file = self.file();
        let count = file.product.len();
        if count >= DATABASE_NODES_MAX {
            return Err(ClusterError::GroupFull { role, count });
        }
        let address = next_address(&file)?;
        let New { name, seat, file: with_it } = new_node(&file, &self.known_members().await, name, address);
        with_it.validate()?;
        plan::check_free([(name.as_str(), address)].into_iter()).await?;
        let first_config = run_directory(&file.data).join(format!("{name}.joining.toml"));
        write_file(&with_it, &first_config)?;
        set_aside(&file.data_of(&name), "replaced")?;
        let process = Arc::new(Process::new(
            self.spec_of_new(&file, &name, address, &first_config)?,
            self.inner.closed.clone(),
        ));
        self.include(&process);
        let taken_in = async {
            process.start().await?;
            self.wait_listening(&process).await?;
            self.ask_to_add(&process, seat).await
        };
        if let Err(error) = taken_in.await {
            self.discard(&process).await;
            std::fs::remove_file(&first_config).ok();
            return Err(error);
        }
        self.write(with_it)?;
        std::fs::remove_file(&first_config).ok();
        let waited = until.saturating_duration_since(Instant::now());
        match self.wait_for(&[process], waited).await {
            Err(ClusterError::NotReady { missing, .. }) => {
                Err(ClusterError::StillLearning { name, waited: within, says: missing.join("; ") })
            }
            other => other.map(|()| name),
        }
    }

    /// Removes a node from the product database: has the group let it go, if it is dead, too, then stops it and sets its data
    /// directory aside. Tells its name.
    ///
    /// # Errors
    /// It is no node of the product database, or the group refuses: then nothing has happened. Or the group does not decide in time.
    pub async fn remove_node(&self, name: &str) -> Result<String, ClusterError> {
        let _one_at_a_time = self.inner.changing.try_lock().map_err(|_| ClusterError::ChangeUnderWay)?;
        let file = self.file();
        let known = file.processes().find(|(_, other, _)| *other == name).map(|(_, name, _)| name.to_owned());
        let name = match known {
            // On another machine, too: that may be gone for good.
            Some(name) => name,
            None => self.resolve(name).await?,
        };
        let role = file.processes().find(|(_, other, _)| *other == name).map(|(role, ..)| role);
        match role {
            Some(role @ (Role::Customer | Role::Product)) => check_changeable(role)?,
            _ => return Err(ClusterError::NotADatabase { name }),
        }
        let seat = file.product_seats().into_iter().find(|(_, node)| node.name == name);
        let Some((seat, _)) = seat else { return Err(ClusterError::NotADatabase { name }) };
        let request =
            ChangeSeatRequest { seat: seat as u64, name: name.clone(), address: String::new(), remove: true };
        self.ask_group(&name, "removed from", request, DECIDES_WITHIN).await?;
        self.write(file.without_product_node(&name))?;
        let process = self.processes().into_iter().find(|process| process.spec.name == name);
        if let Some(process) = process.filter(|process| process.spec.place == Place::Here) {
            // As long as it lives it is one of the cluster's: whoever stops that meanwhile ends it, too.
            process.end(GRACE).await?;
            set_aside(&file.data_of(&name), "removed")?;
        }
        self.exclude(&name);
        Ok(name)
    }

    /// Has the group take a new node in. If the group does not say that it has, and may have, that is taken back.
    async fn ask_to_add(&self, process: &Process, seat: usize) -> Result<(), ClusterError> {
        let Spec { name, address, .. } = &process.spec;
        let (seat, address) = (seat as u64, address.to_string());
        let request = ChangeSeatRequest { seat, name: name.clone(), address, remove: false };
        let asked = self.ask_group(name, "added to", request.clone(), DECIDES_WITHIN).await;
        // What was refused has not happened: whoever has the seat is somebody else.
        if let Err(ClusterError::Undecided { .. }) = &asked {
            let request = ChangeSeatRequest { remove: true, ..request };
            if let Err(error) = self.ask_group(name, "removed from", request, WITHDRAWN_WITHIN).await {
                tracing::warn!(%error, "a node that was not added may be left in the group as a learner");
            }
        }
        asked
    }

    /// Stops a node that could not be added, and sets its data aside.
    async fn discard(&self, process: &Process) {
        let name = &process.spec.name;
        if let Err(error) = process.end(GRACE).await {
            tracing::error!(%error, "could not stop it");
        }
        self.exclude(name);
        if let Err(error) = set_aside(&self.file().data_of(name), "not-added") {
            tracing::error!(%error, "could not set its data aside");
        }
    }

    /// Who has a seat in the product group, by what any of its nodes says: others may have changed that, with other files.
    async fn known_members(&self) -> Vec<RaftMember> {
        let nodes = self.processes().into_iter().filter(|node| node.spec.role == Role::Product);
        let statuses = join_all(
            nodes.map(async |node| self.inner.prober.node_status(node.spec.address, Checksums::Skip).await),
        );
        let members = |status: StatusReply| match status.group {
            Some(Group::Raft(raft)) => raft.members,
            _ => Vec::new(),
        };
        statuses.await.into_iter().flatten().flat_map(members).collect()
    }

    fn spec_of_new(
        &self,
        file: &ClusterFile,
        name: &str,
        address: SocketAddr,
        first_config: &Path,
    ) -> Result<Spec, ClusterError> {
        let program = self.own().first().map(|process| process.spec.program.clone());
        Ok(Spec {
            name: name.to_owned(),
            role: Role::Product,
            address,
            program: program.ok_or(ClusterError::NothingLocal)?,
            config: file.data.join("cluster.toml"),
            first_config: Some(first_config.to_owned()),
            log: self.logs().join(format!("{name}.log")),
            place: Place::Here,
        })
    }

    /// Waits until a process answers, ready or not.
    async fn wait_listening(&self, process: &Process) -> Result<(), ClusterError> {
        let until = Instant::now() + LISTENS_WITHIN;
        loop {
            let Spec { name, address, .. } = &process.spec;
            let Err(why) = self.inner.prober.node_status(*address, Checksums::Skip).await else {
                return Ok(());
            };
            if matches!(process.life(), Life::Down { .. }) {
                return Err(super::died_at_start(process));
            }
            if Instant::now() >= until {
                let missing = vec![format!("{name}: {why}")];
                return Err(ClusterError::NotReady { waited: LISTENS_WITHIN, missing });
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Asks one node of the product group after the other, until one tells what the group has decided.
    async fn ask_group(
        &self,
        name: &str,
        what: &'static str,
        request: ChangeSeatRequest,
        within: Duration,
    ) -> Result<(), ClusterError> {
        let until = Instant::now() + within;
        let mut last = "none of its nodes runs".to_owned();
        loop {
            for node in self.processes() {
                let runs = matches!(node.life(), Life::Up { .. }) || node.spec.place == Place::Elsewhere;
                if node.spec.role != Role::Product || node.spec.name == name || !runs {
                    continue;
                }
                let reply = match self.inner.prober.change_seat(node.spec.address, request.clone()).await {
                    Ok(reply) => reply,
                    Err(why) => {
                        last = format!("{}: {why}", node.spec.name);
                        continue;
                    }
                };
                match reply.outcome() {
                    Outcome::Done | Outcome::Learning => return Ok(()),
                    Outcome::Refused => {
                        return Err(ClusterError::GroupRefuses {
                            name: name.to_owned(),
                            what,
                            why: reply.why,
                        });
                    }
                    Outcome::NotNow | Outcome::Unspecified => last = reply.why,
                }
                if Instant::now() >= until {
                    break;
                }
            }
            if Instant::now() >= until {
                return Err(ClusterError::Undecided {
                    name: name.to_owned(),
                    what,
                    waited: within,
                    why: last,
                });
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// From now on the cluster is this one, also if it is started again from its data.
    fn write(&self, file: ClusterFile) -> Result<(), ClusterError> {
        write_file(&file, &file.data.join("cluster.toml"))?;
        *self.inner.file.write() = Arc::new(file);
        Ok(())
    }
}

fn check_changeable(role: Role) -> Result<(), ClusterError> {
    match role {
        Role::Product => Ok(()),
        role => Err(ClusterError::FixedMembers { role }),
    }
}

/// Writes the file so that whoever reads it finds the old one or the new one.
pub(super) fn write_file(file: &ClusterFile, path: &Path) -> Result<(), ClusterError> {
    let text = file.to_toml()?;
    let new = path.with_extension("toml.new");
    let write = || -> std::io::Result<()> {
        let mut written = std::fs::File::create(&new)?;
        std::io::Write::write_all(&mut written, text.as_bytes())?;
        written.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent() {
            Some(directory) => std::fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(ClusterError::io("write", path))
}

/// What a data directory's own file says of product nodes that were added or removed since the given one was written.
///
/// # Errors
/// It has a file that can't be read, so that what was changed is unknown. Or both have as many changes, which are not the same.
pub(super) fn with_remembered_changes(given: ClusterFile) -> Result<ClusterFile, ClusterError> {
    let path = given.data.join("cluster.toml");
    let own = match ClusterFile::read(&path) {
        Err(ClusterFileError::Read { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(given);
        }
        read => read?,
    };
    if own.cluster != given.cluster || own.seats.changes < given.seats.changes || own.seats.changes == 0 {
        return Ok(given);
    }
    if own.seats.changes == given.seats.changes {
        let names = |file: &ClusterFile| {
            let seats = file.product_seats().into_iter();
            seats.map(|(seat, node)| (seat, node.name.clone())).collect::<Vec<_>>()
        };
        return match names(&own) == names(&given) {
            true => Ok(given),
            false => Err(ClusterError::ChangedApart { path, changes: own.seats.changes }),
        };
    }
    let address = |node: &Endpoint| {
        let named = given.product.iter().find(|other| other.name == node.name);
        named.map_or(node.address, |other| other.address)
    };
    let node = |node: &Endpoint| Endpoint { name: node.name.clone(), address: address(node) };
    let product = own.product.iter().map(node).collect();
    Ok(ClusterFile { product, seats: own.seats, ..given })
}

/// A node that is to be added.
struct New {
    name: String,
    seat: usize,
    /// The cluster's file with it.
    file: ClusterFile,
}

/// What a new node at this address is called, and its seat: above all that this file and the group's nodes know of. If the
/// group has a member at this address, where nobody listens, an earlier attempt was cut short after the group had agreed:
/// that one is gone on with.
fn new_node(file: &ClusterFile, known: &[RaftMember], name: Option<String>, address: SocketAddr) -> New {
    let seat_of = |member: &RaftMember| usize::try_from(member.seat).unwrap_or_default();
    let free = known.iter().map(|member| seat_of(member).saturating_add(1)).max().unwrap_or_default();
    let begun = known.iter().find(|member| {
        member.address == address.to_string() && name.as_ref().is_none_or(|name| member.name == *name)
    });
    let mut from = file.clone();
    from.seats.next = from.seats.next.max(begun.map_or(free, seat_of));
    let begun = begun.map(|member| member.name.clone()).filter(|name| !name.is_empty());
    let name = begun.or(name).unwrap_or_else(|| next_name(&from));
    let (mut file, seat) = from.with_product_node(Endpoint { name: name.clone(), address });
    file.seats.next = file.seats.next.max(free);
    New { name, seat, file }
}

/// The one after the highest that there is, or was.
fn next_name(file: &ClusterFile) -> String {
    let number = |node: &Endpoint| node.name.strip_prefix("product-")?.parse::<usize>().ok();
    let highest = file.product.iter().filter_map(number).max().unwrap_or_default();
    format!("product-{}", highest.max(file.seats.next).max(file.product.len()) + 1)
}

/// The next port that is free, where the last of the product nodes on this machine is.
fn next_address(file: &ClusterFile) -> Result<SocketAddr, ClusterError> {
    let local = file.product.iter().map(|node| node.address).filter(|address| plan::is_local(*address));
    let last = local.max_by_key(SocketAddr::port).ok_or(ClusterError::NothingLocal)?;
    let taken = |address: SocketAddr| file.processes().any(|(_, _, other)| other == address);
    let candidates = (1..=PORTS_TRIED).filter_map(|more| last.port().checked_add(more));
    candidates
        .map(|port| SocketAddr::new(last.ip(), port))
        .find(|address| !taken(*address) && std::net::TcpListener::bind(*address).is_ok())
        .ok_or(ClusterError::NoPortAbove { address: last, tried: PORTS_TRIED })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::standard;

    fn file(data: &Path) -> ClusterFile {
        standard(20_000, data.to_owned()).unwrap()
    }

    fn node(name: &str, port: u16) -> Endpoint {
        Endpoint { name: name.into(), address: ([127, 0, 0, 1], port).into() }
    }

    #[test]
    fn names_are_not_given_twice() {
        let file = file(Path::new("data"));
        assert_eq!(next_name(&file), "product-6");
        let (more, _) = file.with_product_node(node("product-6", 1));
        assert_eq!(next_name(&more), "product-7");
        assert_eq!(next_name(&more.without_product_node("product-6")), "product-7");
        assert_eq!(next_name(&file.without_product_node("product-2")), "product-6");
    }

    #[test]
    fn a_new_node_gets_a_seat_that_nobody_has_whoever_added_the_others() {
        let file = file(Path::new("data"));
        let address: SocketAddr = ([127, 0, 0, 1], 20_299).into();
        let planned = |known: &[RaftMember], name: Option<&str>| {
            let New { name, seat, file } = new_node(&file, known, name.map(str::to_owned), address);
            file.validate().unwrap();
            (name, seat, file.seats.next)
        };
        let member = |seat: u64, at: &str| RaftMember {
            seat,
            name: format!("product-{}", seat + 1),
            address: at.into(),
            votes: true,
        };
        assert_eq!(planned(&[], None), ("product-6".into(), 5, 6));
        let others = [member(2, "10.0.0.1:1"), member(6, "10.0.0.1:2")];
        assert_eq!(planned(&others, None), ("product-8".into(), 7, 8));
        assert_eq!(planned(&others, Some("spare")), ("spare".into(), 7, 8));
        // What was begun, and not written down, is gone on with.
        let begun = [member(5, "127.0.0.1:20299"), member(6, "10.0.0.1:2")];
        assert_eq!(planned(&begun, None), ("product-6".into(), 5, 7));
        assert_eq!(planned(&begun, Some("product-6")), ("product-6".into(), 5, 7));
        assert_eq!(planned(&begun, Some("spare")), ("spare".into(), 7, 8));
    }

    #[test]
    fn the_next_address_is_a_free_one_above_those_of_the_others() {
        let mut file = file(Path::new("data"));
        file.buyer[0].address.set_port(20_206);
        let _held = std::net::TcpListener::bind("127.0.0.1:20207");
        assert!(next_address(&file).unwrap().port() >= 20_208);
    }

    #[test]
    fn a_cluster_goes_on_with_the_nodes_that_it_had_and_a_newer_file_counts() {
        let data = tempfile::tempdir().unwrap();
        let first = file(data.path());
        let remembered = |given: &ClusterFile| with_remembered_changes(given.clone()).unwrap();
        assert_eq!(remembered(&first), first, "there is nothing yet");
        let (changed, _) = first.with_product_node(node("product-6", 20_299));
        let changed = changed.without_product_node("product-2");
        write_file(&changed, &data.path().join("cluster.toml")).unwrap();
        assert_eq!(remembered(&first), changed);
        let (newer, _) = changed.with_product_node(node("product-7", 20_300));
        assert_eq!(remembered(&newer), newer);
        // With other ports, those that the given file names are where it says.
        let moved = ClusterFile { product: standard(21_000, "data".into()).unwrap().product, ..first };
        let moved = remembered(&moved);
        assert_eq!(moved.product[1], node("product-3", 21_203));
        assert_eq!(moved.product[4], node("product-6", 20_299));
        let another = ClusterFile { cluster: "another".into(), ..file(data.path()) };
        assert_eq!(remembered(&another), another);
    }

    #[test]
    fn what_was_changed_is_not_guessed() {
        let data = tempfile::tempdir().unwrap();
        let first = file(data.path());
        let (one, _) = first.with_product_node(node("product-6", 20_299));
        let other = first.without_product_node("product-2");
        write_file(&one, &data.path().join("cluster.toml")).unwrap();
        assert_eq!(with_remembered_changes(one.clone()).unwrap(), one);
        let apart = with_remembered_changes(other).unwrap_err().to_string();
        assert!(apart.contains("not the same 1 changes"), "{apart}");
        std::fs::write(data.path().join("cluster.toml"), "cluster =").unwrap();
        let damaged = with_remembered_changes(first).unwrap_err().to_string();
        assert!(damaged.contains("cluster.toml is not right"), "{damaged}");
    }
}
