//! Which node is asked next: the leader for commands where there is one, else the healthy ones in turn.

use tokio::time::Instant;

use crate::node::{Health, Node};

/// The best node by health, the `preferred` one among equals, else the next after `turn`. One that has just failed this very
/// call is asked again only if there is no other. None: not one is connected.
pub(crate) fn choose<'a>(
    nodes: impl ExactSizeIterator<Item = &'a Node> + Clone,
    now: Instant,
    turn: usize,
    preferred: Option<usize>,
    just_failed: Option<usize>,
) -> Option<usize> {
    let count = nodes.len();
    let candidates = nodes.enumerate().filter_map(|(index, node)| match node.health(now) {
        Health::Down => None,
        health => Some((
            just_failed != Some(index),
            health,
            preferred == Some(index),
            (index + count - turn % count) % count,
            index,
        )),
    });
    // Smaller distances from the turn are better, all else is better when greater.
    candidates
        .max_by_key(|(fresh, health, preferred, distance, _)| {
            (*fresh, *health, *preferred, std::cmp::Reverse(*distance))
        })
        .map(|(.., index)| index)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::Pipeline;

    fn three() -> Vec<Node> {
        let nodes: Vec<_> =
            (0..3).map(|n| Node::new(n.to_string(), SocketAddr::from(([127, 0, 0, 1], n)))).collect();
        nodes.iter().for_each(|node| node.connected(Arc::new(Pipeline::new().0)));
        nodes
    }

    #[test]
    fn healthy_nodes_take_turns_and_the_leader_is_preferred() {
        let (nodes, now) = (three(), Instant::now());
        let chosen = |turn, preferred| choose(nodes.iter(), now, turn, preferred, None);
        assert_eq!([0, 1, 2, 3, 4].map(|turn| chosen(turn, None).unwrap()), [0, 1, 2, 0, 1]);
        assert_eq!([0, 1, 2].map(|turn| chosen(turn, Some(1)).unwrap()), [1, 1, 1]);
    }

    #[test]
    fn nodes_that_failed_are_asked_last() {
        let (nodes, now) = (three(), Instant::now());
        nodes[1].failed(now);
        assert_eq!(choose(nodes.iter(), now, 1, Some(1), None), Some(2), "suspect");
        assert_eq!(choose(nodes.iter(), now, 2, None, Some(2)), Some(0), "failed this very call");
        nodes[0].disconnected();
        assert_eq!(
            choose(nodes.iter(), now, 2, None, Some(2)),
            Some(1),
            "a suspect is better than the one that just failed"
        );
        nodes[1].disconnected();
        assert_eq!(choose(nodes.iter(), now, 0, None, Some(2)), Some(2));
        nodes[2].disconnected();
        assert_eq!(choose(nodes.iter(), now, 0, None, None), None);
    }
}
