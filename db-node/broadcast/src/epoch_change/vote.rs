//! Pre-vote: before anything is promised, a majority must see the reason too. So a member that is cut off, or slow, disturbs
//! nobody.

use std::time::Duration;

use crate::acks::bit;
use crate::ids::{Incarnation, MemberId, Slot};
use crate::member::Member;
use crate::message::{Body, Envelope, Opinion, Reason};

#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Question {
    reason: Reason,
    agree: u64,
    disagree: u64,
    attempt: u32,
    retry: Duration,
    ends: Duration,
}

impl Question {
    pub(super) fn due(&self) -> Duration {
        self.retry.min(self.ends)
    }
}

/// This member agreed with someone, and for a while leaves the change to it.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Agreed {
    with: MemberId,
    until: Duration,
}

impl Member {
    pub(super) fn ask_for_change(&mut self, reason: Reason) {
        let now = self.now.monotonic;
        let timing = &self.config.timing;
        self.change.questions += 1;
        self.change.question = Some(Question {
            reason,
            agree: bit(self.me),
            disagree: 0,
            attempt: 0,
            retry: now + timing.change_retry,
            ends: now + timing.change_timeout,
        });
        self.send_all(Body::AskChange { question: self.change.questions, reason, last: self.log.last() });
        self.count_opinions();
    }

    pub(super) fn run_question_timer(&mut self) {
        let now = self.now.monotonic;
        let Some(question) = &mut self.change.question else { return };
        if now >= question.ends {
            self.change.question = None;
            self.back_off();
        } else if now >= question.retry {
            question.attempt += 1;
            question.retry = now + self.config.timing.change_retry * (1 << question.attempt.min(8));
            let Question { reason, agree, .. } = *question;
            let body = Body::AskChange { question: self.change.questions, reason, last: self.log.last() };
            for peer in self.peer_ids().filter(|peer| agree & bit(*peer) == 0) {
                self.send(peer, body.clone());
            }
        }
    }

    pub(crate) fn answer_change(
        &mut self,
        from: MemberId,
        envelope: &Envelope,
        question: u64,
        reason: Reason,
        last: Slot,
    ) {
        if self.is_empty() {
            return;
        }
        let opinion = match self.is_bound_against(from) {
            true => Opinion::Disagree,
            false => self.opinion(from, envelope, reason, last),
        };
        if opinion == Opinion::Agree {
            let until = self.now.monotonic + 3 * self.config.timing.change_retry;
            self.change.agreed = Some(Agreed { with: from, until });
            self.change.question = None;
        } else if envelope.epoch < self.accepted {
            self.send_epoch(from);
        }
        self.send(from, Body::AnswerChange { asker: envelope.incarnation, question, opinion });
    }

    pub(super) fn still_holds(&self, agreed: Agreed) -> bool {
        self.now.monotonic < agreed.until && !self.is_silent(agreed.with)
    }

    /// It agreed with someone else just now, or is on its own way to an epoch; of two that ask, the lower one goes first.
    fn is_bound_against(&self, asker: MemberId) -> bool {
        let with_other =
            self.change.agreed.is_some_and(|agreed| agreed.with != asker && self.still_holds(agreed));
        let goes_first = self.change.question.is_some() && self.me < asker;
        with_other || goes_first || self.change.preparation.is_some()
    }

    pub(crate) fn take_opinion(
        &mut self,
        from: MemberId,
        asker: Incarnation,
        question: u64,
        opinion: Opinion,
    ) {
        if asker != self.incarnation || question != self.change.questions {
            self.counters.stale += 1;
            return;
        }
        if !self.counts(from) {
            return;
        }
        let Some(question) = &mut self.change.question else { return };
        match opinion {
            Opinion::Agree => question.agree |= bit(from),
            Opinion::Disagree => question.disagree |= bit(from),
        }
        self.count_opinions();
    }

    /// With a majority, the change begins; when there can't be one any more, it waits.
    fn count_opinions(&mut self) {
        let (members, majority) = (usize::from(self.config.members), self.config.majority());
        let Some(question) = self.change.question else { return };
        if question.agree.count_ones() as usize >= majority {
            self.change.question = None;
            self.begin_preparation(question.reason);
        } else if (members - (question.disagree & !question.agree).count_ones() as usize) < majority {
            self.change.question = None;
            self.back_off();
        }
    }
}
