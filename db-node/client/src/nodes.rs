//! The nodes of a group: at first those of the cluster file, then those that the group itself names, as far as it tells.
//!
//! A product node tells with its status who has a seat in the group, and since when. What is newer counts. A node that is known
//! by its name stays where it is; one that is named no more is let go, and its place here, by which callers know it, is free
//! for one that is new.

use std::sync::Arc;

use agora_proto::database::RaftMember;
use parking_lot::{Mutex, RwLock};

use crate::node::Node;

/// All nodes by their places. Those that were let go are among them until others take their places.
pub(crate) type All = Arc<Vec<Arc<Node>>>;

pub(crate) struct Nodes {
    all: RwLock<All>,
    /// Since when the group has the members that were learned last.
    since: Mutex<u64>,
}

impl Nodes {
    pub(crate) fn new(nodes: Vec<Arc<Node>>) -> Self {
        Nodes { all: RwLock::new(Arc::new(nodes)), since: Mutex::new(0) }
    }

    pub(crate) fn all(&self) -> All {
        Arc::clone(&self.all.read())
    }

    pub(crate) fn get(&self, place: usize) -> Option<Arc<Node>> {
        self.all.read().get(place).filter(|node| !node.was_let_go()).cloned()
    }

    /// The place of the node of this name.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.all.read().iter().position(|node| node.name == name && !node.was_let_go())
    }

    /// Takes over who the members are, if that is news. Returns those to connect to.
    pub(crate) fn learn(&self, since: u64, members: &[RaftMember]) -> Vec<Arc<Node>> {
        let mut known_since = self.since.lock();
        let voters = || members.iter().filter(|member| member.votes && !member.name.is_empty());
        if since <= *known_since || voters().next().is_none() {
            return Vec::new();
        }
        *known_since = since;
        let mut all: Vec<Arc<Node>> = self.all().to_vec();
        let mut new = Vec::new();
        for member in voters() {
            let known = all.iter().any(|node| node.name == member.name && !node.was_let_go());
            if let (false, Ok(address)) = (known, member.address.parse()) {
                tracing::info!(node = member.name, %address, "a node was added to the group");
                new.push(Arc::new(Node::new(member.name.clone(), address)));
            }
        }
        for node in all.iter().filter(|node| voters().all(|member| member.name != node.name)) {
            if !node.was_let_go() {
                tracing::info!(node = node.name, "a node was removed from the group");
                node.let_go();
            }
        }
        for node in &new {
            match all.iter_mut().find(|other| other.was_let_go()) {
                Some(free) => *free = Arc::clone(node),
                None => all.push(Arc::clone(node)),
            }
        }
        *self.all.write() = Arc::new(all);
        new
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn nodes(count: u16) -> Nodes {
        let node = |n| Node::new(format!("product-{n}"), SocketAddr::from(([127, 0, 0, 1], 7200 + n)));
        Nodes::new((1..=count).map(|n| Arc::new(node(n))).collect())
    }

    fn members(numbers: &[u16]) -> Vec<RaftMember> {
        let member = |n: &u16| RaftMember {
            seat: u64::from(*n),
            name: format!("product-{n}"),
            // Not where the cluster file says: it knows better for those that it names.
            address: format!("10.0.0.1:{}", 7200 + n),
            votes: true,
        };
        numbers.iter().map(member).collect()
    }

    fn present(nodes: &Nodes) -> Vec<(String, u8)> {
        let all = nodes.all();
        let present = all.iter().filter(|node| !node.was_let_go());
        present
            .map(|node| (node.name.clone(), if node.address.ip().is_loopback() { 127 } else { 10 }))
            .collect()
    }

    #[test]
    fn who_is_new_comes_and_who_is_gone_goes_and_the_others_stay_where_they_are() {
        let nodes = nodes(3);
        let new = nodes.learn(5, &members(&[1, 3, 6]));
        assert_eq!(new.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["product-6"]);
        assert_eq!(nodes.place_of("product-2"), None);
        assert_eq!((nodes.place_of("product-3"), nodes.place_of("product-6")), (Some(2), Some(1)));
        let expected = [("product-1", 127), ("product-6", 10), ("product-3", 127)];
        assert_eq!(present(&nodes), expected.map(|(name, ip)| (name.to_owned(), ip)));
    }

    #[test]
    fn places_are_used_again() {
        let nodes = nodes(3);
        for n in 4..100 {
            assert_eq!(nodes.learn(n.into(), &members(&[1, 2, n])).len(), 1);
        }
        assert_eq!(nodes.all().len(), 3);
    }

    #[test]
    fn what_is_old_or_empty_changes_nothing() {
        let nodes = nodes(3);
        nodes.learn(5, &members(&[1, 2, 3, 4]));
        for (since, told) in [(5, members(&[1])), (4, members(&[1])), (0, members(&[1])), (9, members(&[]))] {
            assert!(nodes.learn(since, &told).is_empty());
            assert_eq!(present(&nodes).len(), 4);
        }
    }

    #[test]
    fn a_node_that_learns_is_not_asked() {
        let nodes = nodes(3);
        let mut told = members(&[1, 2, 3, 4]);
        told[3].votes = false;
        assert!(nodes.learn(5, &told).is_empty());
        assert_eq!(nodes.learn(6, &members(&[1, 2, 3, 4])).len(), 1);
    }
}
