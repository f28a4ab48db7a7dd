//! Whether the replicas of a group hold the same: their checksums, compared at the same position.

use agora_process::Role;
use serde::Serialize;

use crate::status::{ClusterStatus, ProcessStatus};

/// What the checksums of a group's nodes say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// All nodes that answered are at the same position and hold the same.
    Agree {
        /// How many answered.
        nodes: usize,
        /// Those that did not.
        silent: Vec<String>,
        /// The position.
        applied: u64,
        /// The checksum of them all.
        checksum: String,
    },
    /// They are at different positions, so there is nothing to compare yet.
    Moving,
    /// Two nodes at the same position hold different things.
    Differ {
        /// Which, where, and what.
        detail: String,
    },
    /// No node told a checksum.
    Silent,
}

/// Compares the nodes of one group. The status must have been taken with checksums.
pub fn compare(status: &ClusterStatus, role: Role) -> Verdict {
    let told = |node: &'_ ProcessStatus| Some((node.name.clone(), node.applied?, node.checksum.clone()?));
    let group = || status.processes.iter().filter(|node| node.role == role);
    let nodes: Vec<_> = group().filter_map(told).collect();
    let Some((first_name, first_applied, first_checksum)) = nodes.first() else { return Verdict::Silent };
    for (index, (name, applied, checksum)) in nodes.iter().enumerate() {
        let other = nodes.iter().take(index).find(|(_, a, c)| a == applied && c != checksum);
        if let Some((other_name, _, other_checksum)) = other {
            let detail = format!("at {applied}, {other_name} has {other_checksum} and {name} has {checksum}");
            return Verdict::Differ { detail };
        }
    }
    if nodes.iter().any(|(_, applied, _)| applied != first_applied) {
        return Verdict::Moving;
    }
    tracing::debug!(node = first_name, "all replicas hold the same");
    let silent = group().filter(|node| node.checksum.is_none()).map(|node| node.name.clone()).collect();
    Verdict::Agree { nodes: nodes.len(), silent, applied: *first_applied, checksum: first_checksum.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(nodes: &[(&str, u64, &str)]) -> ClusterStatus {
        let node = |(name, applied, checksum): &(&str, u64, &str)| {
            let mut node = ProcessStatus::new(name, Role::Product, ([127, 0, 0, 1], 1).into());
            (node.applied, node.checksum) = (Some(*applied), Some((*checksum).to_owned()));
            node
        };
        let processes = nodes.iter().map(node).collect();
        ClusterStatus { cluster: "test".into(), data: "data".into(), processes }
    }

    #[test]
    fn equal_checksums_at_one_position_agree() {
        let verdict = compare(&group(&[("a", 7, "x"), ("b", 7, "x")]), Role::Product);
        assert_eq!(verdict, Verdict::Agree { nodes: 2, silent: vec![], applied: 7, checksum: "x".into() });
        assert_eq!(compare(&group(&[]), Role::Product), Verdict::Silent);
    }

    #[test]
    fn who_does_not_answer_is_named_and_not_counted() {
        let mut status = group(&[("a", 7, "x"), ("b", 7, "x"), ("c", 7, "x")]);
        status.processes[1].checksum = None;
        let verdict = compare(&status, Role::Product);
        let silent = vec!["b".into()];
        assert_eq!(verdict, Verdict::Agree { nodes: 2, silent, applied: 7, checksum: "x".into() });
    }

    #[test]
    fn nodes_at_different_positions_can_not_be_compared() {
        assert_eq!(compare(&group(&[("a", 7, "x"), ("b", 8, "y")]), Role::Product), Verdict::Moving);
    }

    #[test]
    fn different_checksums_at_one_position_differ_even_if_a_third_node_is_elsewhere() {
        let verdict = compare(&group(&[("a", 7, "x"), ("b", 8, "y"), ("c", 8, "z")]), Role::Product);
        let Verdict::Differ { detail } = verdict else { panic!("{verdict:?}") };
        assert_eq!(detail, "at 8, b has y and c has z");
    }
}
