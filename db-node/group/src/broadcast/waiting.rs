//! Clients that wait for the answers to commands under way, by proposal and then by request.

use std::collections::{BTreeMap, HashMap};

use agora_broadcast::{Delivery, Incarnation, MemberId, ProposalId, RequestId};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::Failure;

/// The ways back to the clients of one request, in the order of its commands.
pub(super) type Answers = Vec<oneshot::Sender<Result<Bytes, Failure>>>;

/// Who waits for what. Bounded by the number of requests that the protocol lets a member have under way.
pub(super) struct Waiting {
    me: MemberId,
    incarnation: Incarnation,
    proposals: HashMap<ProposalId, Answers>,
    /// By local sequence number: they are delivered in this order.
    requests: BTreeMap<u64, Answers>,
}

impl Waiting {
    pub(super) fn new(me: MemberId, incarnation: Incarnation) -> Self {
        Waiting { me, incarnation, proposals: HashMap::new(), requests: BTreeMap::new() }
    }

    /// As whom this member sends requests.
    pub(super) fn sender(&self) -> (MemberId, Incarnation) {
        (self.me, self.incarnation)
    }

    /// Requests go out in another incarnation from now on. What went out before may never be delivered here.
    pub(super) fn begin(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        let unknown = Failure::OutcomeUnknown("this node has lost its seat in the group meanwhile".into());
        let requests = std::mem::take(&mut self.requests);
        requests.into_values().for_each(|answers| answer_all(answers, &unknown));
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> usize {
        self.proposals.len() + self.requests.len()
    }

    pub(super) fn propose(&mut self, proposal: ProposalId, answers: Answers) {
        self.proposals.insert(proposal, answers);
    }

    pub(super) fn proposed(&mut self, proposal: ProposalId, request: RequestId) {
        if let Some(answers) = self.proposals.remove(&proposal) {
            self.requests.insert(request.local_seq, answers);
        }
    }

    pub(super) fn refused(&mut self, proposal: ProposalId, failure: &Failure) {
        let answers = self.proposals.remove(&proposal).unwrap_or_default();
        answer_all(answers, failure);
    }

    /// A snapshot covers all own requests up to this one: they are never delivered here, and their answers are not known.
    pub(super) fn covered(&mut self, local_seq: u64) {
        let later = self.requests.split_off(&local_seq.saturating_add(1));
        let unknown = Failure::OutcomeUnknown("this node was caught up by a snapshot".into());
        let covered = std::mem::replace(&mut self.requests, later);
        covered.into_values().for_each(|answers| answer_all(answers, &unknown));
    }

    /// Those who wait for commands of this delivery, by the index of their request in it.
    pub(super) fn delivered(&mut self, delivery: &Delivery) -> Vec<(usize, Answers)> {
        let mut answers = Vec::new();
        for (index, request) in delivery.requests.iter().enumerate() {
            if request.id.sender != self.me || request.id.incarnation != self.incarnation {
                continue;
            }
            // Requests are delivered in order: one that was passed over came with a snapshot.
            self.covered(request.id.local_seq.saturating_sub(1));
            if let Some(mine) = self.requests.remove(&request.id.local_seq) {
                answers.push((index, mine));
            }
        }
        answers
    }

    /// The node stops: what is under way may yet happen.
    pub(super) fn abandon(&mut self) {
        let unknown = Failure::OutcomeUnknown("this node is stopping".into());
        let proposals = std::mem::take(&mut self.proposals).into_values();
        proposals
            .chain(std::mem::take(&mut self.requests).into_values())
            .for_each(|answers| answer_all(answers, &unknown));
    }
}

pub(super) fn answer_all(answers: Answers, failure: &Failure) {
    for answer in answers {
        // Nobody waits any more when the client gave up.
        let _ = answer.send(Err(failure.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agora_broadcast::{Request, Slot};

    use super::*;

    fn id(sender: u16, incarnation: u64, local_seq: u64) -> RequestId {
        RequestId { sender: MemberId(sender), incarnation: Incarnation(incarnation), local_seq }
    }

    fn delivery(ids: &[RequestId]) -> Delivery {
        let requests =
            ids.iter().map(|id| Arc::new(Request { id: *id, commands: vec![Bytes::new()] })).collect();
        Delivery {
            slot: Slot(1),
            epoch: agora_broadcast::Epoch::FOUNDING,
            time_ms: 0,
            requests,
            change: None,
        }
    }

    fn propose(waiting: &mut Waiting, number: u64) -> oneshot::Receiver<Result<Bytes, Failure>> {
        let (answer, answered) = oneshot::channel();
        waiting.propose(ProposalId(number), vec![answer]);
        waiting.proposed(ProposalId(number), id(1, 5, number));
        answered
    }

    #[test]
    fn only_requests_of_this_member_and_incarnation_are_awaited() {
        let mut waiting = Waiting::new(MemberId(1), Incarnation(5));
        let _answered = propose(&mut waiting, 1);
        let found = waiting.delivered(&delivery(&[id(0, 5, 1), id(1, 4, 1), id(1, 5, 1)]));
        assert_eq!(found.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2]);
        assert_eq!(waiting.requests(), 0);
    }

    #[test]
    fn a_request_that_was_passed_over_is_answered_as_unknown() {
        let mut waiting = Waiting::new(MemberId(1), Incarnation(5));
        let (mut first, mut second) = (propose(&mut waiting, 1), propose(&mut waiting, 2));
        assert_eq!(waiting.delivered(&delivery(&[id(1, 5, 2)])).len(), 1);
        assert!(matches!(first.try_recv(), Ok(Err(Failure::OutcomeUnknown(_)))));
        assert!(second.try_recv().is_err());
    }
}
