//! The cluster file: all that a process needs to know of the cluster that it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A whole cluster: who its processes are, where they listen, and how they are tuned. The same file serves all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    /// Told apart from other clusters by this name: a node refuses peers of another cluster.
    pub cluster: String,
    /// Where processes keep their data, each in a directory of its own name below it. Relative to the working directory.
    pub data: PathBuf,
    /// The members of the customer group, in the order of their indexes.
    pub customer: Vec<Endpoint>,
    /// The members of the product group.
    pub product: Vec<Endpoint>,
    /// The buyer frontends.
    pub buyer: Vec<Endpoint>,
    /// The seller frontends.
    pub seller: Vec<Endpoint>,
    /// The financial service.
    pub financial: Financial,
    /// What links between customer nodes do to messages, for experiments. By default nothing.
    #[serde(default)]
    pub links: Links,
    /// How much is taken in at a time, before callers are told to come back.
    #[serde(default)]
    pub admission: Admission,
    /// How much log customer nodes keep for those of them that are away.
    #[serde(default)]
    pub log: Log,
    /// Which product node has which seat, once nodes were added or removed.
    #[serde(default, skip_serializing_if = "Seats::are_unchanged")]
    pub seats: Seats,
}

/// The seats of the product nodes: by them the group knows its members. As long as none was added or removed, a node's seat
/// is its place among the product nodes, counted from 0. `cluster add-node` and `remove-node` write this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seats {
    /// How often nodes were added or removed. Of two files the one with the higher number is newer.
    pub changes: u64,
    /// The seat of the node that is added next. None is given twice.
    pub next: usize,
    /// By the name of each product node, its seat.
    pub product: BTreeMap<String, usize>,
}

impl Seats {
    fn are_unchanged(&self) -> bool {
        self.changes == 0
    }
}

/// The nodes of a database, at most.
pub const DATABASE_NODES_MAX: usize = 9;

/// A process by its name and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Unique in the cluster: `customer-1`, `buyer-2`.
    pub name: String,
    /// Where it listens, and where others find it.
    pub address: SocketAddr,
}

/// The financial service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Financial {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The share of payments that it approves, 0 to 1.
    #[serde(default = "default_approval_rate")]
    pub approval_rate: f64,
    /// What its decisions are drawn from, together with the transaction id.
    #[serde(default)]
    pub seed: u64,
}

fn default_approval_rate() -> f64 {
    0.9
}

/// Faults that each customer node inflicts on the messages that it sends to its peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// The share of messages that are lost, 0 to 0.9.
    pub loss: f64,
    /// The share of messages that are sent twice, 0 to 1.
    pub duplication: f64,
    /// Each message is held back for a random time up to this, so messages overtake each other.
    pub delay_ms_max: u64,
    /// What the faults are drawn from.
    pub seed: u64,
}

impl Default for Links {
    fn default() -> Self {
        Links { loss: 0.0, duplication: 0.0, delay_ms_max: 0, seed: 1 }
    }
}

/// A node takes at least one call, of the largest size that there is.
const CALL_BYTES_LEAST: usize = 64 * 1024;

/// Bounds on what is under way at a time. Whoever comes beyond them is told at once to come back later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// Requests under way at a frontend; beyond it: 503. They wait for each other in the databases, so this is also how long
    /// one waits at most when there is more to do than can be done: as long as so many requests take.
    pub frontend_requests: usize,
    /// Requests that one client (a session; before the login, an address) may make at a frontend in a second, and how many
    /// it may make at once; beyond it: 429.
    pub client_requests_per_s: u32,
    /// How long a frontend waits for the databases before it answers 503, or 504 if a change may have happened. Far longer
    /// than it takes to elect a leader, and shorter than clients wait for an answer. Purchases may take longer.
    pub answer_within_ms: u64,
    /// Commands and queries under way at a database node; beyond it: overloaded.
    pub node_calls: usize,
    /// What these may take in memory, in bytes, as they came; beyond it: overloaded.
    pub node_call_bytes: usize,
    /// Passwords being hashed at a time in a frontend.
    pub password_hashes: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            frontend_requests: 256,
            client_requests_per_s: 2_000,
            answer_within_ms: 3_000,
            node_calls: 20_000,
            node_call_bytes: 64 << 20,
            password_hashes: 2,
        }
    }
}

impl Admission {
    /// Checks that something is let in at all.
    fn validate(&self) -> Result<(), String> {
        let bounds = [self.frontend_requests, self.node_calls, self.password_hashes];
        if bounds.contains(&0) || self.client_requests_per_s == 0 {
            return Err("each bound under [admission] must be at least 1".into());
        }
        // Frontends give every request up after that.
        if !(100..=10_000).contains(&self.answer_within_ms) {
            return Err("`admission.answer_within_ms` must be 100 to 10000".into());
        }
        if self.node_call_bytes < CALL_BYTES_LEAST {
            return Err(format!("`admission.node_call_bytes` must be at least {CALL_BYTES_LEAST}"));
        }
        Ok(())
    }
}

/// How much of its log a customer node keeps above what its state covers. A node that was away for longer than that is sent the
/// whole state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Slots that are kept, at most.
    pub keep_slots: u64,
    /// Mebibytes that are kept, at most.
    pub keep_mebibytes: usize,
}

impl Default for Log {
    fn default() -> Self {
        Log { keep_slots: 100_000, keep_mebibytes: 64 }
    }
}

/// What a process of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A member of the customer group.
    Customer,
    /// A member of the product group.
    Product,
    /// A buyer frontend.
    Buyer,
    /// A seller frontend.
    Seller,
    /// The financial service.
    Financial,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Customer => "customer",
            Role::Product => "product",
            Role::Buyer => "buyer",
            Role::Seller => "seller",
            Role::Financial => "financial",
        })
    }
}

/// Why a cluster file is of no use. Names the file and what to mend.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFileError {
    /// It can't be read.
    #[error("can't read the cluster file {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not TOML of this shape.
    #[error("the cluster file {path} is not right: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        error: Box<toml::de::Error>,
    },
    /// It has the right shape but makes no cluster.
    #[error("the cluster file makes no cluster: {0}")]
    Invalid(String),
    /// No process has that name.
    #[error("the cluster file names no {role} \"{name}\"; it has: {known}")]
    NoSuchProcess {
        /// The role that was asked for.
        role: Role,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
}

impl ClusterFile {
    /// Reads and checks a cluster file.
    ///
    /// # Errors
    /// It can't be read, has another shape, or makes no cluster.
    pub fn read(path: &Path) -> Result<Self, ClusterFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ClusterFileError::Read { path: path.to_owned(), error })?;
        let file: ClusterFile = toml::from_str(&text)
            .map_err(|error| ClusterFileError::Parse { path: path.to_owned(), error: Box::new(error) })?;
        file.validate()?;
        Ok(file)
    }

    /// Checks what the shape alone does not.
    ///
    /// # Errors
    /// Says what makes this no cluster.
    pub fn validate(&self) -> Result<(), ClusterFileError> {
        let invalid = |why: String| Err(ClusterFileError::Invalid(why));
        if self.cluster.is_empty() || self.cluster.len() > 64 {
            return invalid("`cluster`, its name, must have 1 to 64 characters".into());
        }
        for (role, members) in [(Role::Customer, &self.customer), (Role::Product, &self.product)] {
            if members.is_empty() || members.len() > DATABASE_NODES_MAX {
                return invalid(format!(
                    "a database has 1 to {DATABASE_NODES_MAX} nodes, but [[{role}]] stands there {} times",
                    members.len()
                ));
            }
        }
        if self.buyer.is_empty() || self.seller.is_empty() {
            return invalid("at least one [[buyer]] and one [[seller]] frontend are needed".into());
        }
        let mut names = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        for (role, name, address) in self.processes() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                return invalid(format!("{role} \"{name}\": a name is 1 to 64 letters, digits, - or _"));
            }
            if names.insert(name, role).is_some() {
                return invalid(format!("two processes are called \"{name}\""));
            }
            if let Some(other) = addresses.insert(address, name) {
                return invalid(format!("\"{other}\" and \"{name}\" have the same address {address}"));
            }
        }
        let share = |name: &str, value: f64, max: f64| {
            if (0.0..=max).contains(&value) {
                Ok(())
            } else {
                invalid(format!("`{name}` must be 0 to {max}, not {value}"))
            }
        };
        share("financial.approval_rate", self.financial.approval_rate, 1.0)?;
        share("links.loss", self.links.loss, 0.9)?;
        share("links.duplication", self.links.duplication, 1.0)?;
        if self.links.delay_ms_max > 60_000 {
            return invalid("`links.delay_ms_max` must be at most 60000".into());
        }
        if self.log.keep_slots == 0 || !(1..=4096).contains(&self.log.keep_mebibytes) {
            return invalid("`log.keep_slots` must be at least 1, and `log.keep_mebibytes` 1 to 4096".into());
        }
        self.validate_seats().map_err(ClusterFileError::Invalid)?;
        self.admission.validate().map_err(ClusterFileError::Invalid)
    }

    fn validate_seats(&self) -> Result<(), String> {
        let Seats { changes: 1.., next, product } = &self.seats else { return Ok(()) };
        let named: BTreeSet<&str> = self.product.iter().map(|node| node.name.as_str()).collect();
        if product.len() != named.len() || !product.keys().all(|name| named.contains(name.as_str())) {
            return Err("[seats.product] must give each product node its seat, and nobody else".into());
        }
        if product.values().collect::<BTreeSet<_>>().len() != product.len() {
            return Err("[seats.product] gives two nodes the same seat".into());
        }
        if product.values().any(|seat| seat >= next) || *next > usize::from(u16::MAX) {
            return Err(format!("`seats.next` must be above all seats, and at most {}", u16::MAX));
        }
        Ok(())
    }

    /// The product nodes by their seats.
    pub fn product_seats(&self) -> BTreeMap<usize, &Endpoint> {
        let seat = |(place, node): (usize, &Endpoint)| match self.seats.changes {
            0 => place,
            _ => self.seats.product.get(&node.name).copied().unwrap_or(place),
        };
        self.product.iter().enumerate().map(|(place, node)| (seat((place, node)), node)).collect()
    }

    /// The same cluster with one more product node, in a seat that nobody had before, and which that is.
    pub fn with_product_node(&self, node: Endpoint) -> (Self, usize) {
        let mut file = self.with_seats();
        let seat = file.seats.next;
        file.seats.next += 1;
        file.seats.product.insert(node.name.clone(), seat);
        file.product.push(node);
        (file, seat)
    }

    /// The same cluster without a product node.
    pub fn without_product_node(&self, name: &str) -> Self {
        let mut file = self.with_seats();
        file.seats.product.remove(name);
        file.product.retain(|node| node.name != name);
        file
    }

    /// As it is, with all seats written down, and counted as changed.
    fn with_seats(&self) -> Self {
        let seats = self.product_seats();
        let next = seats.keys().next_back().map_or(0, |last| last + 1).max(self.seats.next);
        let product = seats.into_iter().map(|(seat, node)| (node.name.clone(), seat)).collect();
        let seats = Seats { changes: self.seats.changes + 1, next, product };
        ClusterFile { seats, ..self.clone() }
    }

    /// Leaves one process of each other role, so that a machine has its power for those of this one.
    pub fn keep_only(&mut self, role: Role) {
        let others = [
            (Role::Customer, &mut self.customer),
            (Role::Product, &mut self.product),
            (Role::Buyer, &mut self.buyer),
            (Role::Seller, &mut self.seller),
        ];
        others
            .into_iter()
            .filter(|(other, _)| *other != role)
            .for_each(|(_, endpoints)| endpoints.truncate(1));
        let left: BTreeSet<&str> = self.product.iter().map(|node| node.name.as_str()).collect();
        self.seats.product.retain(|name, _| left.contains(name.as_str()));
    }

    /// All processes: role, name and address, in the order in which they are best started.
    pub fn processes(&self) -> impl Iterator<Item = (Role, &str, SocketAddr)> {
        let financial = (Role::Financial, self.financial.name.as_str(), self.financial.address);
        named(Role::Customer, &self.customer)
            .chain(named(Role::Product, &self.product))
            .chain([financial])
            .chain(named(Role::Seller, &self.seller))
            .chain(named(Role::Buyer, &self.buyer))
    }

    /// The position of a process among those of its role, and its address.
    ///
    /// # Errors
    /// No process of that role has the name.
    pub fn find(&self, role: Role, name: &str) -> Result<(usize, SocketAddr), ClusterFileError> {
        let of_role = || self.processes().filter(|(r, _, _)| *r == role);
        let found = of_role()
            .enumerate()
            .find(|(_, (_, n, _))| *n == name)
            .map(|(index, (_, _, address))| (index, address));
        found.ok_or_else(|| ClusterFileError::NoSuchProcess {
            role,
            name: name.to_owned(),
            known: of_role().map(|(_, n, _)| n).collect::<Vec<_>>().join(", "),
        })
    }

    /// Where a process keeps its data.
    pub fn data_of(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// The file as TOML.
    ///
    /// # Errors
    /// It can't be written as TOML: a path that is not Unicode.
    pub fn to_toml(&self) -> Result<String, ClusterFileError> {
        toml::to_string_pretty(self).map_err(|error| ClusterFileError::Invalid(error.to_string()))
    }
}

fn named(role: Role, endpoints: &[Endpoint]) -> impl Iterator<Item = (Role, &str, SocketAddr)> {
    endpoints.iter().map(move |endpoint| (role, endpoint.name.as_str(), endpoint.address))
}

/// The standard cluster (5 customer nodes, 5 product nodes, 4 frontends of each kind, 1 financial service), with addresses
/// from the given function, which is asked once a process.
pub fn standard_cluster(data: PathBuf, mut address: impl FnMut() -> SocketAddr) -> ClusterFile {
    let mut endpoints = |role: Role, count: usize| -> Vec<Endpoint> {
        (1..=count).map(|n| Endpoint { name: format!("{role}-{n}"), address: address() }).collect()
    };
    ClusterFile {
        cluster: "agora".into(),
        data,
        customer: endpoints(Role::Customer, 5),
        product: endpoints(Role::Product, 5),
        buyer: endpoints(Role::Buyer, 4),
        seller: endpoints(Role::Seller, 4),
        financial: Financial {
            name: "financial".into(),
            address: address(),
            approval_rate: default_approval_rate(),
            seed: 0,
        },
        links: Links::default(),
        admission: Admission::default(),
        log: Log::default(),
        seats: Seats::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterFile {
        let mut port = 7000;
        standard_cluster("data".into(), || {
            port += 1;
            SocketAddr::from(([127, 0, 0, 1], port))
        })
    }

    #[test]
    fn the_standard_cluster_is_written_and_read_back() {
        let cluster = cluster();
        cluster.validate().unwrap();
        assert_eq!(cluster.processes().count(), 19);
        let read: ClusterFile = toml::from_str(&cluster.to_toml().unwrap()).unwrap();
        assert_eq!(read, cluster);
    }

    #[test]
    fn what_makes_no_cluster_is_refused_with_the_reason() {
        let refused = |change: fn(&mut ClusterFile), reason: &str| {
            let mut cluster = cluster();
            change(&mut cluster);
            let error = cluster.validate().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(|c| c.product.clear(), "[[product]] stands there 0 times");
        refused(|c| c.buyer[1].name = "buyer-1".into(), "two processes are called \"buyer-1\"");
        refused(|c| c.seller[0].address = c.buyer[0].address, "same address");
        refused(|c| c.seller[0].name = "../etc".into(), "a name is");
        refused(|c| c.links.loss = f64::NAN, "links.loss");
        refused(|c| c.log.keep_slots = 0, "log.keep_slots");
        refused(|c| c.financial.approval_rate = 1.5, "approval_rate");
        refused(|c| c.admission.client_requests_per_s = 0, "at least 1");
        refused(|c| c.admission.answer_within_ms = 1, "answer_within_ms");
        refused(|c| c.admission.node_call_bytes = 1_000, "node_call_bytes");
    }

    fn seats(cluster: &ClusterFile) -> Vec<(usize, &str)> {
        cluster.product_seats().into_iter().map(|(seat, node)| (seat, node.name.as_str())).collect()
    }

    #[test]
    fn a_node_keeps_its_seat_and_none_is_given_twice() {
        let cluster = cluster();
        assert_eq!(seats(&cluster)[4], (4, "product-5"));
        assert!(!cluster.to_toml().unwrap().contains("[seats"));
        let node = |port| Endpoint { name: "product-6".into(), address: ([127, 0, 0, 1], port).into() };
        let (added, seat) = cluster.with_product_node(node(9_000));
        assert_eq!(seat, 5);
        let removed = added.without_product_node("product-6").without_product_node("product-2");
        let (again, seat) = removed.with_product_node(node(9_001));
        assert_eq!((seat, again.seats.changes), (6, 4));
        again.validate().unwrap();
        let read: ClusterFile = toml::from_str(&again.to_toml().unwrap()).unwrap();
        assert_eq!(read, again);
        let expected =
            [(0, "product-1"), (2, "product-3"), (3, "product-4"), (4, "product-5"), (6, "product-6")];
        assert_eq!(seats(&read), expected);
    }

    #[test]
    fn seats_that_do_not_fit_the_nodes_are_refused() {
        let (good, _) = cluster().with_product_node(Endpoint {
            name: "product-6".into(),
            address: ([127, 0, 0, 1], 9_000).into(),
        });
        let refused = |change: fn(&mut Seats), reason: &str| {
            let mut cluster = good.clone();
            change(&mut cluster.seats);
            let error = cluster.validate().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(
            |seats| seats.product.retain(|name, _| name != "product-1"),
            "must give each product node its seat",
        );
        refused(|seats| seats.product.extend([("product-1".to_owned(), 1)]), "the same seat");
        refused(|seats| seats.next = 5, "above all seats");
    }

    #[test]
    fn an_unknown_process_is_answered_with_those_that_there_are() {
        let error = cluster().find(Role::Buyer, "buyer-9").unwrap_err().to_string();
        assert!(error.contains("buyer-1, buyer-2"), "{error}");
        assert_eq!(cluster().find(Role::Buyer, "buyer-2").unwrap().0, 1);
    }
}
