//! Keeps the group's nodes those that are there: the leader takes in who is new in a seat, and lets go who was there before.
//!
//! A node that starts with an empty directory in a group that lives is new, whatever its seat (see `node_id`). It first
//! learns, without a vote, and its predecessor keeps the seat's vote until it has caught up; then it takes its
//! predecessor's place by joint consensus. One step at a time: each is looked for in the membership as it then is, so
//! that a new leader goes on where an old one stopped.
//!
//! That holds for seats that the membership has. A node in any other seat is nobody's, whatever cluster files say, until
//! somebody has it added (see `roster`); from then on it is a learner like others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::time::{sleep, timeout};

use super::roster::Roster;
use super::types::{Member, Membership, NodeId};
use super::view::{Metrics, View};

/// How often it is looked whether there is something to do.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long a step may take before it is looked at anew. openraft finishes or drops it by itself.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Who lacks no more entries than this has caught up: as many as are under way on a busy group.
const LAG_MAX: u64 = 256;

/// A change to the membership.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Leave the joint consensus that a change is in.
    Finish(BTreeSet<NodeId>),
    /// Let a new node learn.
    TakeIn(NodeId, Member),
    /// Make these the voters: one of them is new, and has caught up.
    Replace(BTreeSet<NodeId>),
    /// Forget learners that are gone.
    Forget(BTreeSet<NodeId>),
}

/// Looks after the membership while this node leads, until openraft stops.
pub(crate) async fn run(view: View, roster: Roster) {
    loop {
        sleep(INTERVAL).await;
        if view.metrics().running_state.is_err() {
            return;
        }
        if !view.leads() {
            continue;
        }
        let _one_at_a_time = roster.one_at_a_time().await;
        if let Some(step) = look(&view) {
            tracing::info!(?step, "changing the group's membership");
            if matches!(&step, Step::Finish(voters) if !voters.contains(&view.me)) {
                // One that is to go has become leader meanwhile. Who stays is to finish it.
                roster.hand_over().await;
                continue;
            }
            match timeout(STEP_TIMEOUT, take(&view, step)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::warn!(why, "the change of membership will be looked at again"),
                Err(_) => tracing::warn!("a change of membership takes long"),
            }
        }
    }
}

fn look(view: &View) -> Option<Step> {
    let present = view.links.present();
    let metrics = view.metrics();
    metrics.replication.as_ref()?;
    next_step(metrics.membership_config.membership(), &present, |node| has_caught_up(&metrics, node))
}

/// Whether a node has about all of the log, as far as this one knows, which leads.
pub(crate) fn has_caught_up(metrics: &Metrics, node: NodeId) -> bool {
    let last = metrics.last_log_index.unwrap_or_default();
    let matching = metrics.replication.as_ref().and_then(|progress| progress.get(&node).copied().flatten());
    matching.is_some_and(|id| id.index + LAG_MAX >= last)
}

/// What to do next, given which peers are there, and where.
fn next_step(
    membership: &Membership,
    present: &BTreeMap<NodeId, String>,
    caught_up: impl Fn(NodeId) -> bool,
) -> Option<Step> {
    let configs = membership.get_joint_config();
    let voters = configs.last()?;
    if configs.len() > 1 {
        return Some(Step::Finish(voters.clone()));
    }
    let holder = |seat: usize| voters.iter().copied().find(|voter| voter.seat() == seat);
    // A node that no seat's voter made way for was let go, and is not waited for. Its seat stays in the membership.
    let is_held =
        |node: &NodeId| membership.nodes().any(|(other, _)| other != node && other.seat() == node.seat());
    let stale = |node: &NodeId| {
        !present.contains_key(node) && present.keys().any(|new| new.seat() == node.seat()) && is_held(node)
    };
    let gone: BTreeSet<NodeId> = membership.learner_ids().filter(stale).collect();
    if !gone.is_empty() {
        return Some(Step::Forget(gone));
    }
    for (node, address) in present {
        let of_seat = membership.nodes().find(|(other, _)| other.seat() == node.seat());
        let Some((_, about)) = of_seat else { continue };
        if membership.get_node(node).is_none() {
            return Some(Step::TakeIn(*node, Member { name: about.name.clone(), address: address.clone() }));
        }
        if !voters.contains(node) && caught_up(*node) {
            let predecessor = holder(node.seat());
            let others = voters.iter().copied().filter(|voter| Some(*voter) != predecessor);
            return Some(Step::Replace(others.chain([*node]).collect()));
        }
    }
    None
}

async fn take(view: &View, step: Step) -> Result<(), String> {
    let changed = match step {
        Step::Finish(voters) | Step::Replace(voters) => {
            view.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await
        }
        Step::TakeIn(node, about) => view.raft.add_learner(node, about, false).await,
        Step::Forget(nodes) => view.raft.change_membership(ChangeMembers::RemoveNodes(nodes), true).await,
    };
    changed.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node of a seat with its n-th disk.
    fn node(seat: u64, disk: u64) -> NodeId {
        NodeId::from(seat << 48 | disk)
    }

    fn nodes(of: &[(u64, u64)]) -> BTreeSet<NodeId> {
        of.iter().map(|(seat, disk)| node(*seat, *disk)).collect()
    }

    fn membership(configs: &[&[(u64, u64)]], learners: &[(u64, u64)]) -> Membership {
        let configs: Vec<_> = configs.iter().map(|config| nodes(config)).collect();
        let all = configs.iter().flatten().copied().chain(nodes(learners));
        let all: BTreeMap<_, _> = all.map(|node| (node, about(node))).collect();
        Membership::new(configs, all)
    }

    fn about(node: NodeId) -> Member {
        Member { name: format!("product-{}", node.seat()), address: "there".into() }
    }

    fn present(of: &[(u64, u64)]) -> BTreeMap<NodeId, String> {
        nodes(of).into_iter().map(|node| (node, "there".into())).collect()
    }

    const FOUNDERS: &[(u64, u64)] = &[(0, 1), (1, 1), (2, 1)];

    #[test]
    fn while_all_or_some_founders_are_there_nothing_changes() {
        let founded = membership(&[FOUNDERS], &[]);
        for there in [&[(1, 1), (2, 1)][..], &[(2, 1)], &[]] {
            assert_eq!(next_step(&founded, &present(there), |_| true), None);
        }
    }

    #[test]
    fn a_new_disk_is_taken_in_first_and_votes_when_it_has_caught_up() {
        let there = present(&[(1, 2), (2, 1)]);
        let founded = membership(&[FOUNDERS], &[]);
        assert_eq!(next_step(&founded, &there, |_| true), Some(Step::TakeIn(node(1, 2), about(node(1, 2)))));
        let learning = membership(&[FOUNDERS], &[(1, 2)]);
        assert_eq!(next_step(&learning, &there, |_| false), None);
        assert_eq!(
            next_step(&learning, &there, |_| true),
            Some(Step::Replace(nodes(&[(0, 1), (1, 2), (2, 1)])))
        );
        let replaced = membership(&[&[(0, 1), (1, 2), (2, 1)]], &[]);
        assert_eq!(next_step(&replaced, &there, |_| true), None);
    }

    #[test]
    fn a_change_that_a_leader_left_half_done_is_finished_first() {
        let after: &[(u64, u64)] = &[(0, 1), (1, 2), (2, 1)];
        let joint = membership(&[FOUNDERS, after], &[]);
        let there = present(&[(1, 2), (2, 2)]);
        assert_eq!(next_step(&joint, &there, |_| true), Some(Step::Finish(nodes(after))));
    }

    #[test]
    fn a_learner_is_forgotten_when_another_disk_is_in_its_seat_and_not_before() {
        let learning = membership(&[FOUNDERS], &[(1, 2)]);
        assert_eq!(next_step(&learning, &present(&[(2, 1)]), |_| false), None);
        let there = present(&[(1, 3), (2, 1)]);
        assert_eq!(next_step(&learning, &there, |_| false), Some(Step::Forget(nodes(&[(1, 2)]))));
    }

    #[test]
    fn a_node_in_a_seat_that_the_group_does_not_have_is_nobody() {
        let founded = membership(&[FOUNDERS], &[]);
        assert_eq!(next_step(&founded, &present(&[(1, 1), (2, 1), (3, 1)]), |_| true), None);
    }

    #[test]
    fn a_node_that_is_being_added_is_replaced_if_it_loses_its_disk() {
        let learning = membership(&[FOUNDERS], &[(3, 1)]);
        let there = present(&[(1, 1), (2, 1), (3, 2)]);
        let taken_in = Step::TakeIn(node(3, 2), about(node(3, 1)));
        assert_eq!(next_step(&learning, &there, |_| false), Some(taken_in));
        let learning = membership(&[FOUNDERS], &[(3, 1), (3, 2)]);
        assert_eq!(next_step(&learning, &there, |_| false), Some(Step::Forget(nodes(&[(3, 1)]))));
    }

    #[test]
    fn a_seat_that_nobody_had_is_filled() {
        let learning = membership(&[FOUNDERS], &[(3, 1)]);
        let there = present(&[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(
            next_step(&learning, &there, |_| true),
            Some(Step::Replace(nodes(&[(0, 1), (1, 1), (2, 1), (3, 1)])))
        );
    }
}
