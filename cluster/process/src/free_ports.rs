//! Ports for a cluster that is there for a test or an experiment: free ones, that no other such cluster gets meanwhile.
//!
//! A port that was found free is not yet listened on, so two clusters that start at once could choose the same ones. Whoever
//! chooses claims a whole block, by listening on its first port for as long as the ports are needed; the operating system
//! takes care that only one can, on the whole machine, and ends the claim of a process that dies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the range from which operating systems draw the local ports of outgoing connections, so that none of these sits on
/// a node's port while the node is down for a moment.
const PORTS: std::ops::Range<u16> = 10_240..32_000;
/// Ports in a block, with the one that is the claim.
const BLOCK: u16 = 64;

/// Free ports in a row on 127.0.0.1, claimed until this is dropped.
#[derive(Debug)]
pub struct FreePorts {
    claim: TcpListener,
    next: u16,
    end: u16,
}

impl FreePorts {
    /// Claims so many.
    ///
    /// # Errors
    /// More than 63 are wanted, or everything is taken.
    pub fn claim(count: u16) -> io::Result<Self> {
        if count >= BLOCK {
            return Err(io::Error::other(format!("at most {} ports can be claimed at once", BLOCK - 1)));
        }
        let blocks = PORTS.len() as u32 / u32::from(BLOCK);
        // Those who start at the same time had better not all try the same blocks.
        let first = std::process::id().wrapping_mul(0x9e37_79b1) % blocks;
        let block = |n: u32| PORTS.start + ((first + n) % blocks) as u16 * BLOCK;
        (0..blocks).find_map(|n| Self::claim_block(block(n), count)).ok_or_else(|| {
            let range = format!("{} to {}", PORTS.start, PORTS.end - 1);
            io::Error::new(io::ErrorKind::AddrInUse, format!("no block of ports is free in {range}"))
        })
    }

    fn claim_block(start: u16, count: u16) -> Option<Self> {
        let claim = TcpListener::bind(local(start)).ok()?;
        let (next, end) = (start + 1, start + 1 + count);
        // Another program, that knows nothing of claims, may listen on some of them.
        let all_free = (next..end).all(|port| TcpListener::bind(local(port)).is_ok());
        all_free.then_some(FreePorts { claim, next, end })
    }
}

impl Iterator for FreePorts {
    type Item = SocketAddr;

    /// The next one that was not given out yet.
    fn next(&mut self) -> Option<SocketAddr> {
        debug_assert!(self.claim.local_addr().is_ok());
        let port = (self.next < self.end).then_some(self.next)?;
        self.next += 1;
        Some(local(port))
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_gets_a_port_twice_while_it_is_claimed_though_nobody_listens_on_it_yet() {
        let claim = || std::thread::spawn(|| FreePorts::claim(19).unwrap());
        let claimed: Vec<FreePorts> =
            (0..8).map(|_| claim()).collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect();
        let firsts: BTreeSet<u16> = claimed.iter().map(|ports| ports.next).collect();
        assert_eq!(firsts.len(), 8);
        for ports in claimed {
            let (first, addresses) = (ports.next, ports.collect::<Vec<_>>());
            assert_eq!(addresses.len(), 19);
            assert!(addresses.iter().all(|address| (first..first + BLOCK).contains(&address.port())));
        }
    }

    #[test]
    fn a_block_in_which_another_program_listens_is_passed_over() {
        let ports = FreePorts::claim(2).unwrap();
        let start = ports.next - 1;
        assert!(FreePorts::claim_block(start, 2).is_none(), "it is claimed");
        drop(ports);
        let other = TcpListener::bind(local(start + 2)).unwrap();
        assert!(FreePorts::claim_block(start, 2).is_none());
        drop(other);
        assert!(FreePorts::claim(BLOCK).is_err(), "more than a block has");
    }
}
