//! Proxies between the processes of a cluster, on loopback, through which chaos can cut, stall and slow down links.
//!
//! Each process gets a cluster file of its own, in which the others' addresses are those of proxies: one for each pair. What
//! flows from one process to another flows on the connections that either of them opened, so a link that is cut in one
//! direction only is cut on both.
//!
//! Bytes are never lost or reordered within a connection, as TCP never does that either: a cut link holds them back, and they
//! flow on when it heals, or its connections break. The customer nodes' own link faults do what only messages can suffer.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agora_process::{ClusterFile, Endpoint, Role};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes that are under way in a proxy, at most, for each direction of a connection.
const CHUNK_BYTES: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What becomes of what one process sends to another: later ones are worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// It arrives.
    #[default]
    Open,
    /// It arrives this much later.
    Delayed(Duration),
    /// It does not arrive before the link heals.
    Stalled,
    /// Connections break, and new ones are refused.
    Broken,
}

/// In which directions a process is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It neither hears nor is heard.
    Both,
    /// It is heard, but does not hear.
    Deaf,
    /// It hears, but is not heard.
    Mute,
}

type Pair = (String, String);

/// Something that is wrong with links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whose links.
    pub process: String,
    /// Only the one to this process; `None`: all of them.
    pub peer: Option<String>,
    /// In which directions, as the process sees it.
    pub direction: Direction,
    /// What becomes of what flows there.
    pub flow: Flow,
}

impl Cut {
    /// One of all links of a process.
    #[must_use]
    pub fn of(process: &str, direction: Direction, flow: Flow) -> Self {
        Cut { process: process.to_owned(), peer: None, direction, flow }
    }

    fn hits(&self, from: &str, to: &str) -> bool {
        let is_peer = |other: &str| self.peer.as_deref().is_none_or(|peer| peer == other);
        let mute = from == self.process && is_peer(to) && self.direction != Direction::Deaf;
        let deaf = to == self.process && is_peer(from) && self.direction != Direction::Mute;
        mute || deaf
    }
}

/// All proxies of a cluster. Connections end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    flows: Arc<HashMap<Pair, watch::Sender<Flow>>>,
    /// All that is wrong now. What becomes of a link is the worst of those that hit it.
    cuts: Arc<Mutex<Vec<Cut>>>,
    _running: Arc<DropGuard>,
}

/// One direction of a link, as its proxies see it.
type Seen = watch::Receiver<Flow>;

impl Network {
    /// Starts the proxies for a cluster. Gives each process's own cluster file, by its name, besides.
    ///
    /// # Errors
    /// There is no port for a proxy.
    pub async fn start(file: &ClusterFile) -> io::Result<(Network, BTreeMap<String, ClusterFile>)> {
        let stop = CancellationToken::new();
        let mut flows: HashMap<Pair, watch::Sender<Flow>> = HashMap::new();
        let mut seen =
            |from: &str, to: &str| flows.entry((from.to_owned(), to.to_owned())).or_default().subscribe();
        let mut views = BTreeMap::new();
        for (role, from, _) in file.processes() {
            let mut view = file.clone();
            for (to, address) in callees(&mut view, role, from) {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let target = std::mem::replace(address, listener.local_addr()?);
                let proxy = Proxy { target, there: seen(from, &to), back: seen(&to, from) };
                let stopped = stop.clone();
                tokio::spawn(async move { stopped.run_until_cancelled(proxy.run(listener)).await });
            }
            views.insert(from.to_owned(), view);
        }
        let (cuts, running) = (Arc::default(), Arc::new(stop.drop_guard()));
        Ok((Network { flows: Arc::new(flows), cuts, _running: running }, views))
    }

    /// Lets this be wrong, besides what already is.
    pub fn inflict(&self, cut: Cut) {
        let mut cuts = self.cuts.lock();
        cuts.push(cut);
        self.adapt(&cuts);
    }

    /// Undoes what was inflicted; what else is wrong with the same links stays.
    pub fn heal(&self, cut: &Cut) {
        let mut cuts = self.cuts.lock();
        if let Some(at) = cuts.iter().position(|other| other == cut) {
            cuts.swap_remove(at);
        }
        self.adapt(&cuts);
    }

    fn adapt(&self, cuts: &[Cut]) {
        for ((from, to), sender) in self.flows.iter() {
            let worst = cuts.iter().filter(|cut| cut.hits(from, to)).map(|cut| cut.flow).max();
            let worst = worst.unwrap_or_default();
            sender.send_if_modified(|flow| std::mem::replace(flow, worst) != worst);
        }
    }
}

/// Whom a process calls: their names, and where they stand in the cluster file.
fn callees<'a>(file: &'a mut ClusterFile, role: Role, me: &str) -> Vec<(String, &'a mut SocketAddr)> {
    let named = |endpoint: &'a mut Endpoint| (endpoint.name.clone(), &mut endpoint.address);
    let others = |(name, _): &(String, &mut SocketAddr)| name != me;
    let financial = (file.financial.name.clone(), &mut file.financial.address);
    let (customer, product) = (file.customer.iter_mut().map(named), file.product.iter_mut().map(named));
    match role {
        Role::Customer => customer.filter(others).collect(),
        Role::Product => product.filter(others).collect(),
        Role::Seller => customer.chain(product).collect(),
        Role::Buyer => customer.chain(product).chain([financial]).collect(),
        Role::Financial => Vec::new(),
    }
}

#[derive(Clone)]
struct Proxy {
    target: SocketAddr,
    there: Seen,
    back: Seen,
}

impl Proxy {
    async fn run(self, listener: TcpListener) {
        loop {
            let Ok((caller, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let connection = self.clone();
            // It ends with either side, or when the link breaks; and with the runtime.
            tokio::spawn(async move {
                // Either side will see for itself what has happened.
                let _ = connection.carry(caller).await;
            });
        }
    }

    async fn carry(mut self, caller: TcpStream) -> io::Result<()> {
        // A call that does not arrive is not answered, and so is one whose answer does not arrive.
        passable(&mut self.there).await?;
        passable(&mut self.back).await?;
        let callee = TcpStream::connect(self.target).await?;
        caller.set_nodelay(true)?;
        callee.set_nodelay(true)?;
        let ((from_caller, to_caller), (from_callee, to_callee)) = (caller.into_split(), callee.into_split());
        // A half that is closed may leave the other one open for a while; one that breaks does not.
        tokio::try_join!(pump(from_caller, to_callee, self.there), pump(from_callee, to_caller, self.back))?;
        Ok(())
    }
}

/// Waits until something can flow.
async fn passable(flow: &mut Seen) -> io::Result<Duration> {
    let passable = flow.wait_for(|flow| *flow != Flow::Stalled).await.map_err(io::Error::other)?;
    match *passable {
        Flow::Delayed(delay) => Ok(delay),
        Flow::Broken => Err(io::ErrorKind::ConnectionReset.into()),
        Flow::Open | Flow::Stalled => Ok(Duration::ZERO),
    }
}

async fn broken(mut flow: Seen) -> io::Error {
    match flow.wait_for(|flow| *flow == Flow::Broken).await {
        Ok(_) => io::ErrorKind::ConnectionReset.into(),
        Err(stopped) => io::Error::other(stopped),
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, flow: Seen) -> io::Result<()> {
    let breaks = broken(flow.clone());
    let carry = async {
        let mut flow = flow;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk).await?;
            tokio::time::sleep(passable(&mut flow).await?).await;
            if count == 0 {
                return to.shutdown().await;
            }
            to.write_all(&chunk[..count]).await?;
        }
    };
    tokio::select! {
        carried = carry => carried,
        error = breaks => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use agora_process::standard_cluster;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_secs(10);

    /// A cluster of which only customer-2 listens, and answers each byte with the next one.
    async fn network() -> (Network, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut port = 1;
        let mut file = standard_cluster("data".into(), || {
            port += 1;
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        });
        file.customer[1].address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = caller.read_u8().await {
                        caller.write_u8(byte + 1).await.unwrap();
                    }
                });
            }
        });
        let (network, views) = Network::start(&file).await.unwrap();
        assert_eq!(views["customer-1"].customer[0], file.customer[0], "one's own address stays as it is");
        assert_eq!(views["customer-1"].product, file.product, "customer nodes do not call product nodes");
        assert_ne!(views["buyer-1"].financial.address, file.financial.address);
        views["customer-1"].validate().unwrap();
        (network, views["customer-1"].customer[1].address)
    }

    async fn ask(connection: &mut TcpStream, byte: u8) -> io::Result<u8> {
        connection.write_u8(byte).await?;
        connection.read_u8().await
    }

    #[tokio::test]
    async fn what_a_stalled_link_holds_back_arrives_when_it_heals() {
        let (network, address) = network().await;
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut connection, 1).await.unwrap(), 2);
        for direction in [Direction::Both, Direction::Deaf, Direction::Mute] {
            let cut = Cut::of("customer-2", direction, Flow::Stalled);
            network.inflict(cut.clone());
            assert!(timeout(SOON, ask(&mut connection, 5)).await.is_err());
            network.heal(&cut);
            assert_eq!(timeout(LATE, connection.read_u8()).await.unwrap().unwrap(), 6);
        }
    }

    #[tokio::test]
    async fn a_broken_link_ends_its_connections_and_takes_no_new_ones_until_it_heals() {
        let (network, address) = network().await;
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut connection, 1).await.unwrap(), 2);
        let cut = Cut::of("customer-1", Direction::Both, Flow::Broken);
        network.inflict(cut.clone());
        assert!(timeout(LATE, connection.read_u8()).await.unwrap().is_err());
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert!(timeout(LATE, ask(&mut connection, 1)).await.unwrap().is_err());
        network.heal(&cut);
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert_eq!(timeout(LATE, ask(&mut connection, 1)).await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn links_of_others_go_on() {
        let (network, address) = network().await;
        network.inflict(Cut::of("customer-3", Direction::Both, Flow::Stalled));
        let only_to = |peer: &str| Cut {
            peer: Some(peer.into()),
            ..Cut::of("customer-2", Direction::Both, Flow::Stalled)
        };
        network.inflict(only_to("customer-4"));
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert_eq!(timeout(LATE, ask(&mut connection, 1)).await.unwrap().unwrap(), 2);
        network.inflict(only_to("customer-1"));
        assert!(timeout(SOON, ask(&mut connection, 5)).await.is_err());
    }

    /// What becomes of what the one sends to the other.
    fn flow(network: &Network, from: &str, to: &str) -> Flow {
        *network.flows[&(from.to_owned(), to.to_owned())].borrow()
    }

    #[tokio::test]
    async fn a_link_is_as_bad_as_the_worst_of_what_hits_it_and_healing_one_leaves_the_others() {
        let (network, _) = network().await;
        let both = |process, flow| Cut::of(process, Direction::Both, flow);
        let one_way =
            Cut { peer: Some("customer-2".into()), ..Cut::of("customer-1", Direction::Mute, Flow::Stalled) };
        let late = both("customer-1", Flow::Delayed(SOON));
        let (isolated, broken) = (both("customer-1", Flow::Stalled), both("customer-2", Flow::Broken));
        let link =
            || (flow(&network, "customer-1", "customer-2"), flow(&network, "customer-2", "customer-1"));
        for cut in [&isolated, &broken, &late, &isolated] {
            network.inflict(cut.clone());
        }
        assert_eq!(link(), (Flow::Broken, Flow::Broken));
        network.heal(&broken);
        assert_eq!(link(), (Flow::Stalled, Flow::Stalled), "customer-1 is isolated still");
        network.heal(&isolated);
        assert_eq!(link(), (Flow::Stalled, Flow::Stalled), "it was isolated twice");
        network.heal(&isolated);
        assert_eq!(link(), (Flow::Delayed(SOON), Flow::Delayed(SOON)));
        network.inflict(one_way.clone());
        assert_eq!(link(), (Flow::Stalled, Flow::Delayed(SOON)));
        network.heal(&late);
        assert_eq!(link(), (Flow::Stalled, Flow::Open));
        assert_eq!(flow(&network, "customer-1", "customer-3"), Flow::Open);
        network.heal(&one_way);
        assert!(network.flows.values().all(|flow| *flow.borrow() == Flow::Open));
    }
}
