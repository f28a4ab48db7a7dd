//! The listener that processes tell of their crash points. It holds those that a test asked for, and lets all others pass.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How long a process may take to come to a point.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands for any purchase.
pub const ANY: &str = "*";

/// A process that stands at a point of a purchase. Dropping it lets the process go on.
#[derive(Debug)]
pub struct Held {
    pub pid: u32,
    pub point: String,
    pub purchase: String,
    _connection: BufReader<TcpStream>,
}

impl Held {
    fn is(&self, point: &str, purchase: &str) -> bool {
        self.point == point && (purchase == ANY || self.purchase == purchase)
    }
}

#[derive(Default)]
struct State {
    armed: HashSet<(String, String)>,
    held: Vec<Held>,
}

/// All crash points of a cluster.
#[derive(Clone)]
pub struct Points {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

impl Points {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let points = Points {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            arrived: Arc::default(),
        };
        tokio::spawn(points.clone().accept(listener));
        points
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(self.clone().hear(connection));
        }
    }

    async fn hear(self, connection: TcpStream) {
        let (mut connection, mut line) = (BufReader::new(connection), String::new());
        if connection.read_line(&mut line).await.is_err() {
            return;
        }
        let [pid, point, purchase] = line.split_whitespace().collect::<Vec<_>>()[..] else { return };
        let (pid, point, purchase) = (pid.parse().unwrap(), point.to_owned(), purchase.to_owned());
        let mut state = self.state.lock().unwrap();
        let is_armed = |purchase: &str| state.armed.contains(&(point.clone(), purchase.to_owned()));
        if is_armed(&purchase) || is_armed(ANY) {
            state.held.push(Held { pid, point, purchase, _connection: connection });
            self.arrived.notify_waiters();
        }
    }

    /// From now on, processes are held at this point of this purchase.
    pub fn arm(&self, point: &str, purchase: &str) {
        self.state.lock().unwrap().armed.insert((point.to_owned(), purchase.to_owned()));
    }

    /// From now on they pass, those that are held there too.
    pub fn disarm(&self, point: &str, purchase: &str) {
        let mut state = self.state.lock().unwrap();
        state.armed.remove(&(point.to_owned(), purchase.to_owned()));
        state.held.retain(|held| !held.is(point, purchase));
    }

    /// Waits until a process is held at this point.
    pub async fn held(&self, point: &str, purchase: &str) -> Held {
        let come = async {
            loop {
                let arrived = self.arrived.notified();
                if let Some(held) = self.take(point, purchase) {
                    return held;
                }
                arrived.await;
            }
        };
        let come = tokio::time::timeout(PATIENCE, come).await;
        come.unwrap_or_else(|_| panic!("nobody came to the point {point} of purchase {purchase}"))
    }

    fn take(&self, point: &str, purchase: &str) -> Option<Held> {
        let held = &mut self.state.lock().unwrap().held;
        let at = held.iter().position(|held| held.is(point, purchase))?;
        Some(held.swap_remove(at))
    }
}
