//! What is over goes: expired sessions, old answers, aborted purchases. Each sweep does bounded work.
//!
//! A sweep also moves replicated time on when nothing else does. Sessions end in replicated time, which is the time that
//! the group gave to the sweep's place in the log. The local clock of the node that proposes one decides nothing: if it is
//! wrong, the sweep finds nothing to do.

use agora_machine::Timestamp;
use agora_proto::customer::{Command, Done, Sweep, command, response::Body};
use agora_proto::limits::ANSWER_KEPT;
use bytes::Bytes;
use prost::Message;

use crate::limits::{SWEEP_MAX, TIME_LAG_PROPOSED, ms};
use crate::state::CustomerDb;

impl CustomerDb {
    pub(crate) fn sweep(&mut self, now: Timestamp) -> Body {
        let mut left = SWEEP_MAX;
        left = left.saturating_sub(self.end_expired_sessions(now, left));
        left = left.saturating_sub(self.answers.forget_older(now, ms(ANSWER_KEPT), left));
        self.purchases.forget(now, left);
        Body::Done(Done {})
    }

    /// A sweep, if at this time it would find something to do, or if something waits for replicated time to come and it lags.
    ///
    /// Without the latter, a lease on an unfinished purchase would not run out in a quiet group.
    pub(crate) fn sweep_due(&self, local_now: Timestamp) -> Option<Bytes> {
        let now = self.clock.now().max(local_now);
        let over = self.sessions.any_expired(now)
            || self.answers.any_older(now, ms(ANSWER_KEPT))
            || self.purchases.any_over(now);
        let lag_ms = now.0.saturating_sub(self.clock.now().0);
        let must_move_on = !self.purchases.unfinished.rows.is_empty() && lag_ms >= ms(TIME_LAG_PROPOSED);
        (over || must_move_on).then(|| {
            let command = Command { idempotency: None, body: Some(command::Body::Sweep(Sweep {})) };
            command.encode_to_vec().into()
        })
    }
}
