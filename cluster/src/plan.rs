//! Which process listens where: fixed ports for people, free ones for experiments.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use agora_process::{ClusterFile, Endpoint, FreePorts, standard_cluster};
use tokio::time::{Instant, sleep};

use crate::error::{ClusterError, Taken};

/// How a standard cluster on this machine chooses its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Any that are free, and that no other cluster chooses while this one is there.
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

/// An address that is taken for longer is somebody's.
const TAKEN_FOR_A_MOMENT: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Processes of the standard cluster.
const STANDARD_PROCESSES: u16 = 19;

/// The cluster file of the standard cluster on this machine, with fixed ports.
///
/// # Errors
/// There is no room for its ports.
pub fn standard(base: u16, data: PathBuf) -> Result<ClusterFile, ClusterError> {
    let mut file = standard_cluster(data, || local(0));
    let highest = u32::from(base) + BUYER_OFFSET + file.buyer.len() as u32 - 1;
    if highest > u32::from(u16::MAX) {
        return Err(ClusterError::BasePort(base, highest));
    }
    set_ports(&mut file, |offset, index| (u32::from(base) + offset + index as u32) as u16);
    Ok(file)
}

/// The same with free ports, and the claim to them.
///
/// # Errors
/// There are none.
pub(crate) fn standard_on_free_ports(data: PathBuf) -> Result<(ClusterFile, FreePorts), ClusterError> {
    let mut ports = FreePorts::claim(STANDARD_PROCESSES).map_err(ClusterError::NoFreePorts)?;
    // Should there be more processes than that, two with port 0 are refused as a cluster.
    let file = standard_cluster(data, || ports.next().unwrap_or(local(0)));
    Ok((file, ports))
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

/// Whether the address belongs to this machine.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    let ip: IpAddr = address.ip();
    ip.is_loopback() || ip.is_unspecified() || TcpListener::bind((ip, 0)).is_ok()
}

/// Checks that all addresses can be listened on, before anything starts.
///
/// Who looks whether an address is free holds it for a moment, and so does a process that is being started from there by another
/// thread just then. So what is taken is looked at again, for a while.
pub(crate) async fn check_free<'a>(
    processes: impl Iterator<Item = (&'a str, SocketAddr)>,
) -> Result<(), ClusterError> {
    let until = Instant::now() + TAKEN_FOR_A_MOMENT;
    let mut taken = Vec::new();
    for (name, address) in processes {
        while let Err(error) = TcpListener::bind(address) {
            if Instant::now() >= until {
                taken.push(Taken { name: name.to_owned(), address, error });
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(ClusterError::AddressTaken { taken }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_ports_are_the_documented_ones() {
        let file = standard(STANDARD_BASE, "data".into()).unwrap();
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
        assert!(standard(HIGHEST_BASE, "data".into()).is_ok());
        assert!(standard(HIGHEST_BASE + 1, "data".into()).is_err());
        let error = standard(64_400, "data".into()).unwrap_err().to_string();
        assert!(error.contains("65604"), "{error}");
    }

    #[tokio::test]
    async fn clusters_on_free_ports_do_not_get_in_each_others_way_before_they_have_started() {
        let (one, _claim) = standard_on_free_ports("one".into()).unwrap();
        let (other, _other_claim) = standard_on_free_ports("other".into()).unwrap();
        one.validate().unwrap();
        let addresses = |file: &ClusterFile| file.processes().map(|(_, _, at)| at).collect::<Vec<_>>();
        assert!(addresses(&one).iter().all(|address| !addresses(&other).contains(address)));
        check_free(one.processes().map(|(_, name, address)| (name, address))).await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_reported_with_the_process_that_needs_it() {
        let holder = TcpListener::bind(local(0)).unwrap();
        let address = holder.local_addr().unwrap();
        let error = check_free([("seller-1", address)].into_iter()).await.unwrap_err().to_string();
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
