//! Where the seats of the group are, as far as this node knows: with whom it keeps links.
//!
//! Who has a seat is said by the membership in the node's log, and by nothing else. The cluster file, which two processes may
//! have read in different versions, says it only to a node that has no place in a membership yet: one that is to found the
//! group, and one that is new and waits to be taken in. Where a seat is to be found, the file knows best if it names the
//! seat at all: it may tell each process of another way there. For all others it is what the membership says.
//!
//! A seat is given once, and not again when its node was removed: so a node with an old file looks for nobody in the wrong
//! place.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::types::{Membership, NodeId};
use super::view::View;

/// By its seat, a member's name and the address of its services.
pub type Seats = BTreeMap<usize, (String, SocketAddr)>;

/// Keeps links to those seats that there are, until openraft stops. `run` runs what a link needs.
pub(crate) async fn follow<T>(view: View, keep: impl Fn(&BTreeMap<usize, SocketAddr>) -> T, file: Seats) {
    let mut metrics = view.metrics_changes();
    let mut known = None;
    loop {
        let membership = {
            let metrics = metrics.borrow_and_update();
            if metrics.running_state.is_err() {
                return;
            }
            metrics.membership_config.clone()
        };
        if known != Some(*membership.log_id()) {
            keep(&wanted(membership.membership(), view.me, &file));
            known = Some(*membership.log_id());
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// The seats to have links to, and where they are.
fn wanted(membership: &Membership, me: NodeId, file: &Seats) -> BTreeMap<usize, SocketAddr> {
    let votes = membership.voter_ids().any(|voter| voter == me);
    let by_file = file.iter().filter(|_| !votes).map(|(seat, (_, address))| (*seat, *address));
    let by_membership = membership.nodes().filter_map(|(node, about)| {
        let seat = node.seat();
        let address = file.get(&seat).map(|(_, address)| *address).or_else(|| about.address.parse().ok());
        Some((seat, address?))
    });
    by_file.chain(by_membership).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::types::Member;
    use super::*;

    fn node(seat: u64) -> NodeId {
        NodeId::from(seat << 48 | 7)
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn file(seats: &[(usize, u16)]) -> Seats {
        seats.iter().map(|(seat, port)| (*seat, (format!("product-{seat}"), at(*port)))).collect()
    }

    /// All have a vote, and are to be found at ports that are higher than their seats by 100.
    fn membership(seats: &[u64]) -> Membership {
        let about = |seat: u64| Member {
            name: format!("product-{seat}"),
            address: format!("10.0.0.1:{}", seat + 100),
        };
        let nodes: BTreeMap<_, _> = seats.iter().map(|seat| (node(*seat), about(*seat))).collect();
        Membership::new(vec![nodes.keys().copied().collect::<BTreeSet<_>>()], nodes)
    }

    #[test]
    fn who_is_in_no_membership_goes_by_the_file() {
        let none = Membership::new(vec![], BTreeMap::new());
        assert_eq!(
            wanted(&none, node(0), &file(&[(0, 1), (1, 2)])),
            BTreeMap::from([(0, at(1)), (1, at(2))])
        );
    }

    #[test]
    fn a_voter_goes_by_the_membership_and_finds_those_that_its_file_does_not_know() {
        let old_file = file(&[(0, 1), (1, 2), (2, 3)]);
        let there = wanted(&membership(&[0, 2, 5]), node(0), &old_file);
        assert_eq!(there, BTreeMap::from([(0, at(1)), (2, at(3)), (5, at(105))]));
    }

    #[test]
    fn a_learner_and_one_that_was_removed_look_for_all_that_they_know_of() {
        let there = wanted(&membership(&[0, 5]), node(1), &file(&[(0, 1), (1, 2), (2, 3)]));
        assert_eq!(there.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 5]);
    }

    #[test]
    fn an_address_that_is_none_is_passed_over() {
        let nodes = BTreeMap::from([(node(3), Member { name: "x".into(), address: "nowhere".into() })]);
        let nowhere = Membership::new(vec![nodes.keys().copied().collect::<BTreeSet<_>>()], nodes);
        assert_eq!(wanted(&nowhere, node(3), &file(&[])), BTreeMap::new());
    }
}
