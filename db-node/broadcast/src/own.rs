//! This member's own requests: proposals become requests, which are kept until they are delivered here, for peers that
//! miss them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{Incarnation, MemberId, RequestId};
use crate::log::request_bytes;
use crate::member::Member;
use crate::message::Body;
use crate::port::{Output, ProposalId, Refused, Request};

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Own {
    /// The last local_seq given out.
    sent: u64,
    /// From the first that is not delivered to the last.
    undelivered: VecDeque<Arc<Request>>,
    /// Those that nobody else has been sent: they go out at the end of the step, on their own or with a sequence.
    unsent: Vec<Arc<Request>>,
}

impl Own {
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn take_unsent(&mut self) -> Vec<Arc<Request>> {
        std::mem::take(&mut self.unsent)
    }

    /// Requests up to this one are delivered.
    pub(crate) fn delivered(&mut self, local_seq: u64) {
        while self.undelivered.front().is_some_and(|request| request.id.local_seq <= local_seq) {
            self.undelivered.pop_front();
        }
    }

    fn range(&self, from: u64, upto: u64, max_bytes: usize) -> Vec<Arc<Request>> {
        let Some(first) = self.undelivered.front().map(|request| request.id.local_seq) else {
            return Vec::new();
        };
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut fits = |request: &Arc<Request>| {
            let fits = bytes < max_bytes;
            bytes += request_bytes(request);
            fits && request.id.local_seq <= upto
        };
        self.undelivered.iter().skip(skipped).take_while(|request| fits(request)).cloned().collect()
    }
}

impl Member {
    pub(crate) fn propose(&mut self, proposal: ProposalId, commands: Vec<Bytes>) {
        let id = RequestId { sender: self.me, incarnation: self.incarnation, local_seq: self.own.sent + 1 };
        let request = Arc::new(Request { id, commands });
        if let Some(why) = self.refuses(&request) {
            self.out.push(Output::ProposalRefused { proposal, why });
            return;
        }
        self.own.sent += 1;
        self.own.undelivered.push_back(Arc::clone(&request));
        self.own.unsent.push(Arc::clone(&request));
        let offered = self.pending.offer(request, &self.log.tip().sequenced);
        debug_assert_eq!(offered, crate::pending::Offered::Taken);
        self.out.push(Output::Proposed { proposal, request: id });
    }

    fn refuses(&self, request: &Request) -> Option<Refused> {
        let bounds = &self.config.bounds;
        let bytes = request_bytes(request);
        if request.commands.is_empty() || bytes > bounds.max_request_bytes {
            return Some(Refused::NotARequest);
        }
        if !self.hears_majority() || !self.is_full_member() {
            return Some(Refused::Unavailable);
        }
        let is_full = self.pending.span(self.me) >= bounds.max_unsequenced_requests
            || self.pending.bytes(self.me) + bytes > bounds.max_unsequenced_bytes
            || self.has_too_much_uncommitted()
            || self.log.bytes() > 2 * bounds.keep_log_bytes + bounds.max_uncommitted_bytes;
        is_full.then_some(Refused::Overloaded)
    }

    /// A higher incarnation is durable, in which nothing was sent yet.
    pub(crate) fn begin_incarnation(&mut self) {
        self.own = Own::default();
        self.pending.announce(self.me, self.incarnation, 0, &self.log.tip().sequenced);
        self.restart_reads();
        self.out.push(Output::Incarnation(self.incarnation));
        self.change.look_again(self.now.monotonic);
    }

    /// Multicasts what no sequence took along.
    pub(crate) fn send_unsent(&mut self) {
        let unsent = self.own.take_unsent();
        if !unsent.is_empty() {
            self.send_all(Body::Requests(unsent));
        }
    }

    /// A peer misses requests of this member.
    pub(crate) fn resend_requests(&mut self, to: MemberId, incarnation: Incarnation, from: u64, upto: u64) {
        if incarnation != self.incarnation {
            self.counters.stale += 1;
            return;
        }
        let requests = self.own.range(from, upto, self.config.bounds.max_resend_bytes);
        let bytes = requests.iter().map(|request| request_bytes(request)).sum();
        if !requests.is_empty() && self.may_resend(to, bytes) {
            self.counters.resent += requests.len() as u64;
            self.send(to, Body::Requests(requests));
        }
    }

    /// Whether that much may be resent to the peer now; if so, it is counted.
    pub(crate) fn may_resend(&mut self, to: MemberId, bytes: usize) -> bool {
        let may = self.peers.get_mut(to).resend_budget.take(bytes);
        if !may {
            self.counters.over_bound += 1;
        }
        may
    }
}
