//! Links between members of a test that can be cut, in one direction or both.
//!
//! Each connection goes through a relay, which stops carrying bytes when its direction is cut, and goes on when it is
//! mended: like a network that loses everything for a while, under connections that do not know.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and may fail")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// All links of a group.
#[derive(Default)]
pub struct Network {
    pub relays: Vec<Relay>,
}

/// Where one member finds another.
pub struct Relay {
    pub address: SocketAddr,
    from: usize,
    to: usize,
    there: watch::Sender<bool>,
    back: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Network {
    /// Nothing gets from one member to another any more, whoever of them made the connection.
    pub fn cut(&self, from: usize, to: usize) {
        self.set(from, to, true);
    }

    pub fn mend(&self) {
        for relay in &self.relays {
            relay.there.send_replace(false);
            relay.back.send_replace(false);
        }
    }

    fn set(&self, from: usize, to: usize, cut: bool) {
        for relay in &self.relays {
            if (relay.from, relay.to) == (from, to) {
                relay.there.send_replace(cut);
            }
            if (relay.from, relay.to) == (to, from) {
                relay.back.send_replace(cut);
            }
        }
    }
}

impl Relay {
    pub async fn start(from: usize, to: usize, target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (there, back) = (watch::channel(false).0, watch::channel(false).0);
        let (is_cut_there, is_cut_back) = (there.subscribe(), back.subscribe());
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // A target that does not listen: the connection is closed, as it would be without a relay.
                let Ok(far) = TcpStream::connect(target).await else { continue };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, is_cut_there.clone()));
                tokio::spawn(carry(far_in, near_out, is_cut_back.clone()));
            }
        });
        Relay { address, from, to, there, back, accepting }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_cut: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        // Ends when the network is dropped, or the connection is.
        if is_cut.wait_for(|cut| !cut).await.is_err() {
            return;
        }
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        if is_cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
