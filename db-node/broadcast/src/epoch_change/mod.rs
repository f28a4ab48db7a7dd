//! Epochs end and begin: who wants another one and why (`reasons`), whether a majority agrees (`vote`), promises (`prepare`),
//! the log that the epoch starts from (`transition`), and what is done when only a whole state helps (`snapshot`).
//!
//! Safety rests on these rules alone, and on no time:
//! - a promise is durable before it is given, and once it is on its way nothing of a lower epoch is stored;
//! - an epoch starts from the longest log of the highest accepted epoch among the promises of a majority of all members;
//! - a member claims an epoch only with all of that log, and writes both in one step.

mod prepare;
mod reasons;
mod snapshot;
mod transition;
mod vote;

use std::time::Duration;

use crate::ids::{Epoch, MemberId};
use crate::member::Member;
use crate::message::{Body, Health, Reason};

use prepare::Preparation;
pub(crate) use prepare::Promised;
use transition::{Part, Transition};
use vote::{Agreed, Question};

#[derive(Clone, Debug, Hash)]
pub(crate) struct Change {
    /// The highest counter of any epoch that was heard of.
    highest_counter: u64,
    /// The highest epoch whose promise is on disk.
    durable_promise: Epoch,
    want: Option<Want>,
    questions: u64,
    question: Option<Question>,
    agreed: Option<Agreed>,
    preparation: Option<Preparation>,
    transition: Option<Transition>,
    /// What was fetched for an epoch that was given up for a later one.
    set_aside: Option<Part>,
    /// This member coordinates the accepted epoch, and announces it once it is durable here.
    announces: Option<Epoch>,
    /// How often in a row it came to nothing.
    failures: u32,
    /// When the change that is under way last moved on.
    moved: Duration,
    /// Since when this member, outside of the roster, has been up to date.
    caught_up_since: Option<Duration>,
    look_due: Duration,
    ask_epoch: Option<AskEpoch>,
    snapshot_due: Option<Duration>,
}

/// This member wants another epoch, and acts on it when the time has come.
#[derive(Clone, Copy, Debug, Hash)]
struct Want {
    reason: Reason,
    act: Duration,
}

/// A peer is in a later epoch; ask it about that, unless the news comes by itself.
#[derive(Clone, Copy, Debug, Hash)]
struct AskEpoch {
    whom: MemberId,
    due: Duration,
}

impl Change {
    pub(crate) fn new(promised: Epoch, now: Duration) -> Self {
        Change {
            highest_counter: promised.counter,
            durable_promise: promised,
            want: None,
            questions: 0,
            question: None,
            agreed: None,
            preparation: None,
            transition: None,
            set_aside: None,
            announces: None,
            failures: 0,
            moved: now,
            caught_up_since: None,
            look_due: now,
            ask_epoch: None,
            snapshot_due: None,
        }
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        let question = self.question.iter().map(Question::due);
        let preparation = self.preparation.iter().map(Preparation::due);
        let transition = self.transition.iter().map(Transition::due);
        let ask_epoch = self.ask_epoch.iter().map(|ask| ask.due);
        question.chain(preparation).chain(transition).chain(ask_epoch).chain([self.look_due]).min()
    }

    /// Something happened that may be a reason.
    pub(crate) fn look_again(&mut self, now: Duration) {
        self.look_due = now;
    }

    /// An epoch was heard of.
    pub(crate) fn seen(&mut self, epoch: Epoch) {
        self.highest_counter = self.highest_counter.max(epoch.counter);
    }

    /// Why this member wants another epoch.
    pub(crate) fn wanted(&self) -> Option<Reason> {
        self.want.map(|want| want.reason)
    }
}

impl Member {
    pub(crate) fn run_change_timers(&mut self) {
        let now = self.now.monotonic;
        self.run_question_timer();
        self.run_preparation_timer();
        self.run_transition_timer();
        self.give_up_if_empty();
        self.run_ask_epoch_timer();
        if now >= self.change.look_due {
            self.change.look_due = now + self.config.timing.heartbeat;
            self.look_for_reasons();
        }
    }

    /// Sees whether there is a reason for another epoch, and acts on it after a while that differs between members.
    fn look_for_reasons(&mut self) {
        let now = self.now.monotonic;
        self.note_whether_caught_up();
        let Some(reason) = self.reason().filter(|_| !self.is_learner()) else {
            self.change.want = None;
            return;
        };
        let act = match self.change.want {
            Some(want) => want.act,
            None => now + self.config.timing.change_stagger * self.rank() + self.jitter(),
        };
        self.change.want = Some(Want { reason, act });
        if now < act {
            self.change.look_due = self.change.look_due.min(act);
        } else if self.is_free_to_ask() {
            self.ask_for_change(reason);
        }
    }

    /// It has not asked already, and has not just agreed to someone else's change. It may be on its way into an epoch and wait
    /// for a log that nobody has any more: that is a reason once it takes too long.
    fn is_free_to_ask(&self) -> bool {
        let change = &self.change;
        change.question.is_none()
            && change.preparation.is_none()
            && !change.agreed.is_some_and(|agreed| self.still_holds(agreed))
            && self.hears_majority()
    }

    /// The log of an epoch is on its way here.
    pub(crate) fn is_in_transition(&self) -> bool {
        self.change.transition.is_some()
    }

    /// How many members that seem alive come before this one; all, if it is not healthy.
    fn rank(&self) -> u32 {
        let before = (0..self.me.0).map(MemberId).filter(|member| !self.is_silent(*member)).count();
        let handicap = if self.health() == Health::Healthy { 0 } else { usize::from(self.config.members) };
        u32::try_from(before + handicap).unwrap_or(u32::MAX)
    }

    fn jitter(&mut self) -> Duration {
        self.random.below(self.config.timing.change_stagger / 3)
    }

    /// It came to nothing: wait, longer each time, before the next attempt.
    fn back_off(&mut self) {
        self.change.failures = self.change.failures.saturating_add(1);
        let pause = self.config.timing.change_retry * (1 << self.change.failures.min(7));
        let act = self.now.monotonic + pause / 2 + self.random.below(pause);
        if let Some(want) = &mut self.change.want {
            want.act = act;
        }
    }

    /// A peer has accepted a later epoch than this member.
    pub(crate) fn noticed_epoch(&mut self, from: MemberId, epoch: Epoch) {
        let is_coming = self.change.transition.as_ref().is_some_and(|transition| transition.epoch() >= epoch);
        if epoch >= self.promised && !is_coming && self.change.ask_epoch.is_none() {
            let due = self.now.monotonic + self.config.timing.change_retry;
            self.change.ask_epoch = Some(AskEpoch { whom: from, due });
        }
    }

    fn run_ask_epoch_timer(&mut self) {
        let now = self.now.monotonic;
        let Some(ask) = self.change.ask_epoch.filter(|ask| now >= ask.due) else { return };
        self.change.ask_epoch = None;
        let epoch = self.peers.get(ask.whom).epoch;
        let is_coming = self.change.transition.as_ref().is_some_and(|transition| transition.epoch() >= epoch);
        if epoch > self.accepted && epoch >= self.promised && !is_coming {
            self.counters.asked += 1;
            self.send(ask.whom, Body::AskEpoch);
        }
    }
}
