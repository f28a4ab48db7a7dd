//! Names that people use for processes: their own (`product-2`), or a part that one of them plays at the moment
//! (`product-leader`).

use agora_process::Role;

use crate::error::ClusterError;
use crate::status::{ClusterStatus, Condition, ProcessStatus};

/// A part that some process plays at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// The leader of the product group.
    ProductLeader,
    /// A live node of the product group that is not its leader.
    ProductFollower,
    /// The customer node whose turn it is to order the next write.
    CustomerSequencer,
}

impl Alias {
    /// All of them.
    pub const ALL: [Alias; 3] = [Alias::ProductLeader, Alias::ProductFollower, Alias::CustomerSequencer];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Alias::ProductLeader => "product-leader",
            Alias::ProductFollower => "product-follower",
            Alias::CustomerSequencer => "customer-sequencer",
        }
    }

    /// The alias of that name, if it is one.
    pub fn parse(name: &str) -> Option<Alias> {
        Alias::ALL.into_iter().find(|alias| alias.as_str() == name)
    }

    /// Which database's nodes play it.
    pub fn role(self) -> Role {
        match self {
            Alias::ProductLeader | Alias::ProductFollower => Role::Product,
            Alias::CustomerSequencer => Role::Customer,
        }
    }
}

/// Who plays the part, as the nodes tell.
pub(crate) fn resolve(alias: Alias, status: &ClusterStatus) -> Result<String, ClusterError> {
    let up = |process: &&ProcessStatus| process.role == alias.role() && process.condition == Condition::Up;
    let nodes: Vec<&ProcessStatus> = status.processes.iter().filter(up).collect();
    let unresolved = |why: &str| ClusterError::Unresolved { alias: alias.as_str(), why: why.to_owned() };
    // What the node says that is furthest ahead: others may not have heard yet.
    let named_by_latest = |named: fn(&ProcessStatus) -> Option<&String>| {
        let latest =
            nodes.iter().filter(|node| named(node).is_some()).max_by_key(|node| node.epoch_or_term());
        latest
            .and_then(|node| named(node))
            .filter(|name| nodes.iter().any(|node| node.name == **name))
            .cloned()
    };
    let leader = || named_by_latest(|node| node.leader.as_ref());
    match alias {
        Alias::ProductLeader => {
            leader().ok_or_else(|| unresolved("no live product node knows a live leader"))
        }
        Alias::ProductFollower => {
            let leader = leader().ok_or_else(|| unresolved("no live product node knows a live leader"))?;
            let follower = nodes.iter().find(|node| node.name != leader && node.ready);
            follower.map(|node| node.name.clone()).ok_or_else(|| unresolved("the leader is alone"))
        }
        Alias::CustomerSequencer => named_by_latest(|node| node.next_owner.as_ref())
            .ok_or_else(|| unresolved("no live customer node names a live owner of the next slot")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, role: Role, term: u64, says: Option<&str>) -> ProcessStatus {
        let mut node = ProcessStatus::new(name, role, ([127, 0, 0, 1], 1).into());
        node.set_condition(Condition::Up);
        node.ready = true;
        match role {
            Role::Product => (node.term, node.leader) = (Some(term), says.map(str::to_owned)),
            _ => (node.epoch, node.next_owner) = (Some(term), says.map(str::to_owned)),
        }
        node
    }

    fn status(processes: Vec<ProcessStatus>) -> ClusterStatus {
        ClusterStatus { cluster: "test".into(), data: "data".into(), processes }
    }

    #[test]
    fn the_leader_is_whom_the_node_with_the_highest_term_names() {
        let nodes = vec![
            node("product-1", Role::Product, 3, Some("product-1")),
            node("product-2", Role::Product, 4, Some("product-2")),
            node("product-3", Role::Product, 5, None),
        ];
        let status = status(nodes);
        assert_eq!(resolve(Alias::ProductLeader, &status).unwrap(), "product-2");
        assert_eq!(resolve(Alias::ProductFollower, &status).unwrap(), "product-1");
    }

    #[test]
    fn a_dead_leader_is_nobody() {
        let mut nodes = vec![
            node("product-1", Role::Product, 3, Some("product-1")),
            node("product-2", Role::Product, 3, Some("product-1")),
        ];
        nodes[0].set_condition(Condition::Dead);
        let error = resolve(Alias::ProductLeader, &status(nodes)).unwrap_err().to_string();
        assert!(error.contains("nobody is \"product-leader\""), "{error}");
    }

    #[test]
    fn the_sequencer_is_the_next_owner_in_the_latest_epoch() {
        let nodes = vec![
            node("customer-1", Role::Customer, 2, Some("customer-3")),
            node("customer-3", Role::Customer, 1, Some("customer-1")),
        ];
        assert_eq!(resolve(Alias::CustomerSequencer, &status(nodes)).unwrap(), "customer-3");
    }

    #[test]
    fn every_alias_is_read_back_from_its_name() {
        for alias in Alias::ALL {
            assert_eq!(Alias::parse(alias.as_str()), Some(alias));
        }
        assert_eq!(Alias::parse("product-2"), None);
    }
}
