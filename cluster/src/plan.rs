//! Which process listens where: fixed ports for people, free ones for experiments.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use agora_process::{ClusterFile, Endpoint, standard_cluster};
use rand::Rng;

use crate::error::{ClusterError, Taken};

/// How a standard cluster on this machine chooses its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Any that are free.
    Free,
    /// Fixed ones, shifted so that 7000 becomes this base: customer nodes base+101.., product nodes base+201..,
    /// the financial service base+1000, sellers base+1101.., buyers base+1201...
    Base(u16),
}

/// The base of the ports that `up` takes unless told otherwise: customer nodes at 7101, buyers at 8201.
pub const STANDARD_BASE: u16 = 7000;

const CUSTOMER_OFFSET: u32 = 101;
const PRODUCT_OFFSET: u32 = 201;
const FINANCIAL_OFFSET: u32 = 1000;
const SELLER_OFFSET: u32 = 1101;
const BUYER_OFFSET: u32 = 1201;

/// The highest base at which there is room for the standard cluster: its last buyer's port is the last one that there is.
pub const HIGHEST_BASE: u16 = u16::MAX - 1204;

/// Free ports are taken from below the range from which operating systems draw the local ports of outgoing connections,
/// so that none of these sits on a node's port while the node is down for a moment.
const FREE_PORTS: std::ops::Range<u16> = 10_240..32_000;
const ATTEMPTS: usize = 200;

/// The cluster file of the standard cluster on this machine.
///
/// # Errors
/// There is no room for its ports.
pub fn standard(ports: Ports, data: PathBuf) -> Result<ClusterFile, ClusterError> {
    let mut file = standard_cluster(data, || local(0));
    match ports {
        Ports::Free => {
            let mut next = free_run(file.processes().count())?;
            set_ports(&mut file, |_, _| {
                next += 1;
                next - 1
            });
        }
        Ports::Base(base) => {
            let highest = u32::from(base) + BUYER_OFFSET + file.buyer.len() as u32 - 1;
            if highest > u32::from(u16::MAX) {
                return Err(ClusterError::BasePort(base, highest));
            }
            set_ports(&mut file, |offset, index| (u32::from(base) + offset + index as u32) as u16);
        }
    }
    Ok(file)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn set_ports(file: &mut ClusterFile, mut port: impl FnMut(u32, usize) -> u16) {
    let mut set = |offset: u32, endpoints: &mut Vec<Endpoint>| {
        for (index, endpoint) in endpoints.iter_mut().enumerate() {
            endpoint.address = local(port(offset, index));
        }
    };
    set(CUSTOMER_OFFSET, &mut file.customer);
    set(PRODUCT_OFFSET, &mut file.product);
    set(SELLER_OFFSET, &mut file.seller);
    set(BUYER_OFFSET, &mut file.buyer);
    file.financial.address = local(port(FINANCIAL_OFFSET, 0));
}

/// The first of `count` ports in a row that can all be listened on now.
fn free_run(count: usize) -> Result<u16, ClusterError> {
    let last_start = FREE_PORTS.end.saturating_sub(count as u16);
    let mut random = rand::rng();
    for _ in 0..ATTEMPTS {
        let start = random.random_range(FREE_PORTS.start..last_start);
        let listeners: Result<Vec<_>, _> =
            (start..start + count as u16).map(|port| TcpListener::bind(local(port))).collect();
        if listeners.is_ok() {
            return Ok(start);
        }
    }
    Err(ClusterError::NoFreePorts(count))
}

/// Whether the address belongs to this machine.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    let ip: IpAddr = address.ip();
    ip.is_loopback() || ip.is_unspecified() || TcpListener::bind((ip, 0)).is_ok()
}

/// Checks that all addresses can be listened on, before anything starts.
pub(crate) fn check_free<'a>(
    processes: impl Iterator<Item = (&'a str, SocketAddr)>,
) -> Result<(), ClusterError> {
    let taken: Vec<Taken> = processes
        .filter_map(|(name, address)| {
            let error = TcpListener::bind(address).err()?;
            Some(Taken { name: name.to_owned(), address, error })
        })
        .collect();
    if taken.is_empty() { Ok(()) } else { Err(ClusterError::AddressTaken { taken }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_ports_are_the_documented_ones() {
        let file = standard(Ports::Base(STANDARD_BASE), "data".into()).unwrap();
        let ports = |endpoints: &[Endpoint]| endpoints.iter().map(|e| e.address.port()).collect::<Vec<_>>();
        assert_eq!(ports(&file.customer), [7101, 7102, 7103, 7104, 7105]);
        assert_eq!(ports(&file.product), [7201, 7202, 7203, 7204, 7205]);
        assert_eq!(ports(&file.seller), [8101, 8102, 8103, 8104]);
        assert_eq!(ports(&file.buyer), [8201, 8202, 8203, 8204]);
        assert_eq!(file.financial.address.port(), 8000);
        file.validate().unwrap();
    }

    #[test]
    fn a_base_port_without_room_above_it_is_refused() {
        assert!(standard(Ports::Base(HIGHEST_BASE), "data".into()).is_ok());
        assert!(standard(Ports::Base(HIGHEST_BASE + 1), "data".into()).is_err());
        let error = standard(Ports::Base(64_400), "data".into()).unwrap_err().to_string();
        assert!(error.contains("65604"), "{error}");
    }

    #[test]
    fn free_ports_are_distinct_and_can_be_listened_on() {
        let file = standard(Ports::Free, "data".into()).unwrap();
        file.validate().unwrap();
        check_free(file.processes().map(|(_, name, address)| (name, address))).unwrap();
    }

    #[test]
    fn a_taken_port_is_reported_with_the_process_that_needs_it() {
        let holder = TcpListener::bind(local(0)).unwrap();
        let address = holder.local_addr().unwrap();
        let error = check_free([("seller-1", address)].into_iter()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {} is taken, and seller-1 needs it", address.port())),
            "{error}"
        );
    }

    #[test]
    fn loopback_is_local_and_a_documentation_address_is_not() {
        assert!(is_local(local(7101)));
        assert!(!is_local(SocketAddr::from(([192, 0, 2, 17], 7101))));
    }
}
