//! Requests that are not sequenced yet, of all senders.
//!
//! Invariant: a pool starts at the request that must be sequenced next, by the end of the log, if the pool's incarnation
//! is the one that the log knows last; at 1, if the log knows only earlier incarnations. So what a pool lacks at its front
//! is a gap, and what lies in front without a gap may be taken.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{Incarnation, MemberId, RequestId};
use crate::log::request_bytes;
use crate::port::{Entry, Request};
use crate::rules::{Kept, Rule};
use crate::sequenced::Sequenced;

#[derive(Clone, Debug, Hash)]
pub(crate) struct Pending {
    pools: Vec<Pool>,
    ready: usize,
    window: u64,
    kept: Kept,
}

/// The requests of one sender.
#[derive(Clone, Debug, Hash)]
struct Pool {
    incarnation: Incarnation,
    first: u64,
    /// Request `first + i` at i, if it is here.
    requests: VecDeque<Option<Arc<Request>>>,
    /// How many are here from the front without a gap.
    ready: usize,
    bytes: usize,
    /// The last local_seq that the sender has announced.
    announced: u64,
}

/// What became of a request that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Taken,
    Known,
    TooFarAhead,
    Superseded,
}

impl Pending {
    /// `window`: how far ahead of what is sequenced requests are kept.
    pub(crate) fn new(members: u16, kept: Kept, sequenced: &Sequenced, window: u64) -> Self {
        let pool = |member| {
            let incarnation = sequenced.incarnation(member).unwrap_or(Incarnation(0));
            Pool::new(incarnation, sequenced.next(member, incarnation).unwrap_or(1))
        };
        let pools = (0..members).map(|member| pool(MemberId(member))).collect();
        Pending { pools, ready: 0, window, kept }
    }

    /// How many requests can be taken at once.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// How many of this sender's.
    pub(crate) fn ready_of(&self, sender: MemberId) -> usize {
        self.pools[usize::from(sender.0)].ready
    }

    /// How many places, filled or not, the sender's pool has.
    pub(crate) fn span(&self, sender: MemberId) -> usize {
        self.pools[usize::from(sender.0)].requests.len()
    }

    /// The bytes held of a sender.
    pub(crate) fn bytes(&self, sender: MemberId) -> usize {
        self.pools[usize::from(sender.0)].bytes
    }

    /// The sender lives in this incarnation and has given out local_seqs up to `sent`.
    pub(crate) fn announce(
        &mut self,
        sender: MemberId,
        incarnation: Incarnation,
        sent: u64,
        sequenced: &Sequenced,
    ) {
        self.enter(sender, incarnation, sequenced);
        let pool = &mut self.pools[usize::from(sender.0)];
        if pool.incarnation == incarnation {
            pool.announced = pool.announced.max(sent);
        }
    }

    /// Requests of earlier incarnations of this sender that are not sequenced yet are dropped.
    fn enter(&mut self, sender: MemberId, incarnation: Incarnation, sequenced: &Sequenced) {
        let pool = &mut self.pools[usize::from(sender.0)];
        if incarnation > pool.incarnation {
            self.ready -= pool.ready;
            *pool = Pool::new(incarnation, sequenced.next(sender, incarnation).unwrap_or(1));
        }
    }

    pub(crate) fn offer(&mut self, request: Arc<Request>, sequenced: &Sequenced) -> Offered {
        let id = request.id;
        self.enter(id.sender, id.incarnation, sequenced);
        let window = self.window;
        let pool = &mut self.pools[usize::from(id.sender.0)];
        if id.incarnation < pool.incarnation {
            if self.kept.keeps(Rule::SupersededNeverSequenced) {
                return Offered::Superseded;
            }
            self.ready -= pool.ready;
            *pool = Pool::new(id.incarnation, sequenced.next(id.sender, id.incarnation).unwrap_or(1));
        }
        let ready_before = pool.ready;
        let offered = pool.offer(request, window);
        self.ready += pool.ready - ready_before;
        offered
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Arc<Request>> {
        let pool = &self.pools[usize::from(id.sender.0)];
        if id.incarnation != pool.incarnation {
            return None;
        }
        let index = usize::try_from(id.local_seq.checked_sub(pool.first)?).ok()?;
        pool.requests.get(index)?.as_ref()
    }

    /// The requests of a sender that may be taken, in order.
    pub(crate) fn takeable(&self, sender: MemberId) -> impl Iterator<Item = &Arc<Request>> {
        let pool = &self.pools[usize::from(sender.0)];
        let in_order = if self.kept.keeps(Rule::InTheSendersOrder) { pool.ready } else { usize::MAX };
        pool.requests.iter().take(in_order).flatten()
    }

    /// The log has sequenced this request.
    pub(crate) fn sequenced(&mut self, id: RequestId) {
        let pool = &mut self.pools[usize::from(id.sender.0)];
        if id.incarnation < pool.incarnation {
            return;
        }
        self.ready -= pool.ready;
        if id.incarnation > pool.incarnation {
            *pool = Pool::new(id.incarnation, id.local_seq + 1);
        }
        while pool.first <= id.local_seq {
            pool.drop_front();
        }
        self.ready += pool.ready;
    }

    /// The sender is another one from now on.
    pub(crate) fn forget(&mut self, sender: MemberId, sequenced: &Sequenced) {
        let incarnation = sequenced.incarnation(sender).unwrap_or(Incarnation(0));
        let pool = &mut self.pools[usize::from(sender.0)];
        self.ready -= pool.ready;
        *pool = Pool::new(incarnation, sequenced.next(sender, incarnation).unwrap_or(1));
    }

    /// The end of the log was dropped: its requests are pending again, if their senders are still in that incarnation.
    pub(crate) fn put_back(&mut self, dropped: &[Entry], sequenced: &Sequenced) {
        for body in dropped.iter().rev().flat_map(|entry| entry.bodies.iter().rev()) {
            let pool = &mut self.pools[usize::from(body.id.sender.0)];
            if pool.incarnation == body.id.incarnation && body.id.local_seq + 1 == pool.first {
                pool.put_front(Arc::clone(body));
                self.ready += 1;
            }
        }
        self.check(sequenced);
    }

    /// The invariant.
    pub(crate) fn check(&self, sequenced: &Sequenced) {
        if cfg!(debug_assertions) {
            for (member, pool) in (0..).map(MemberId).zip(&self.pools) {
                let next = sequenced.next(member, pool.incarnation);
                debug_assert_eq!(next, Some(pool.first), "{member} in incarnation {}", pool.incarnation.0);
            }
            debug_assert_eq!(self.ready, self.pools.iter().map(|pool| pool.ready).sum::<usize>());
        }
    }

    /// The log was replaced by a snapshot.
    pub(crate) fn skip_to(&mut self, sequenced: &Sequenced) {
        for (member, pool) in (0..).map(MemberId).zip(&mut self.pools) {
            self.ready -= pool.ready;
            match sequenced.next(member, pool.incarnation) {
                None => {
                    let incarnation = sequenced.incarnation(member).unwrap_or(pool.incarnation);
                    *pool = Pool::new(incarnation, sequenced.next(member, incarnation).unwrap_or(1));
                }
                Some(next) => {
                    while pool.first < next {
                        pool.drop_front();
                    }
                }
            }
            self.ready += pool.ready;
        }
    }

    /// The first local_seqs that are announced and not here: incarnation, first, last.
    pub(crate) fn gap(&self, sender: MemberId) -> Option<(Incarnation, u64, u64)> {
        let pool = &self.pools[usize::from(sender.0)];
        let from = pool.first + pool.ready as u64;
        if from > pool.announced {
            return None;
        }
        let missing = pool.requests.iter().skip(pool.ready).take_while(|request| request.is_none()).count();
        let ends = from + missing as u64;
        let upto = if pool.ready + missing < pool.requests.len() { ends - 1 } else { pool.announced };
        let most = pool.first + self.window - 1;
        (from <= most).then(|| (pool.incarnation, from, upto.min(most)))
    }
}

impl Pool {
    fn new(incarnation: Incarnation, first: u64) -> Self {
        Pool { incarnation, first, requests: VecDeque::new(), ready: 0, bytes: 0, announced: 0 }
    }

    fn offer(&mut self, request: Arc<Request>, window: u64) -> Offered {
        let Some(ahead) = request.id.local_seq.checked_sub(self.first) else { return Offered::Known };
        if ahead >= window {
            return Offered::TooFarAhead;
        }
        let index = usize::try_from(ahead).unwrap_or(usize::MAX);
        if index >= self.requests.len() {
            self.requests.resize(index + 1, None);
        }
        if self.requests[index].is_some() {
            return Offered::Known;
        }
        self.announced = self.announced.max(request.id.local_seq);
        self.bytes += request_bytes(&request);
        self.requests[index] = Some(request);
        while self.requests.get(self.ready).is_some_and(Option::is_some) {
            self.ready += 1;
        }
        Offered::Taken
    }

    fn drop_front(&mut self) {
        self.first += 1;
        if let Some(Some(request)) = self.requests.pop_front() {
            self.bytes -= request_bytes(&request);
        }
        if self.ready > 0 {
            self.ready -= 1;
        } else {
            while self.requests.get(self.ready).is_some_and(Option::is_some) {
                self.ready += 1;
            }
        }
    }

    fn put_front(&mut self, request: Arc<Request>) {
        self.first -= 1;
        self.bytes += request_bytes(&request);
        self.requests.push_front(Some(request));
        self.ready += 1;
    }
}
