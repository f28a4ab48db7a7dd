//! Sessions: who is logged in. A session is ended by logout, or by five minutes without a call.
//!
//! Only some uses of a session are recorded, so that reading costs no write. The promise (never earlier than 5:00 after the
//! last call, at most 30 s later) holds nevertheless. A command is given a time, and a node has a time, that is at most
//! `e =` [`CLOCK_ERROR_MAX`] before or after the real one; but replicated time stays that of the last command, which after an
//! outage may be minutes ago. So a node goes by its own time when it says whether a use is to be recorded, and
//! replicated time alone decides whether a session has ended.
//!
//! - *Not earlier.* A use at `t` is recorded unless one was at `T` (in replicated time), and the node's time is less than
//!   `T + 15 s` ([`TOUCH_DUE_AFTER`]): then `t < T + 15 s + e`. The session ends with a command at `T + 5:20`. There is none
//!   before the real time `T + 5:20 − e`, which is after `t + 5:05 − 2e = t + 5:00`.
//! - *At most 30 s later.* After a last use at `t`, recorded or not, `T` is at most `t + e`. Whoever comes at `t + 5:30`,
//!   or later, is due to be recorded, however far replicated time lags; and the command that would do so has a time of
//!   `t + 5:30 − e` or more, which is after `T + 5:20`: it finds the session ended, and is refused.
//!
//! An expired session is invalid at once, not only when it was swept.
//!
//! [`CLOCK_ERROR_MAX`]: crate::limits::CLOCK_ERROR_MAX

use agora_machine::{CorruptRecord, Record, Table, TableId, Timestamp};
use agora_proto::common::{self, Code, Refusal};
use agora_proto::customer::{
    CloseSession, Done, GetSession, OpenSession, Session, SessionOpened, TouchSession, response::Body,
};
use agora_proto::limits::{SESSION_IDLE, SESSION_TOUCH_AFTER};
use imbl::{HashMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::keys::{Role, TokenHash, UserKey};
use crate::limits::{DROPPED_PER_ADDED, SESSIONS_MAX, SESSIONS_PER_USER_MAX, TOUCH_DUE_AFTER, ms};
use crate::state::CustomerDb;
use crate::validate;

/// A session expires when its last recorded use is this old.
const EXPIRES_AFTER_MS: u64 = ms(SESSION_IDLE) + ms(SESSION_TOUCH_AFTER);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    pub user: UserKey,
    pub touched_ms: u64,
}

impl SessionRow {
    fn expired(&self, now: Timestamp) -> bool {
        self.touched_ms.saturating_add(EXPIRES_AFTER_MS) <= now.0
    }

    fn touch_due(&self, now: Timestamp) -> bool {
        self.touched_ms.saturating_add(ms(TOUCH_DUE_AFTER)) <= now.0
    }
}

/// All sessions, found by token hash, and in the order in which they expire.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pub(crate) rows: Table<TokenHash, SessionRow>,
    by_touch: OrdSet<(u64, TokenHash)>,
    per_user: HashMap<UserKey, u32>,
}

impl Sessions {
    pub(crate) fn new(id: TableId) -> Self {
        Sessions { rows: Table::new(id), by_touch: OrdSet::new(), per_user: HashMap::new() }
    }

    /// The session of this token, if it has not ended.
    pub(crate) fn active(&self, token: &TokenHash, now: Timestamp) -> Result<&SessionRow, Refusal> {
        self.rows
            .get(token)
            .filter(|session| !session.expired(now))
            .ok_or_else(|| Refusal::new(Code::InvalidSession, "the session has ended, or never was: log in"))
    }

    /// The id of the buyer who is logged in with this token.
    pub(crate) fn buyer(&self, token: &TokenHash, now: Timestamp) -> Result<u64, Refusal> {
        match self.active(token, now)?.user {
            UserKey { role: Role::Buyer, id } => Ok(id),
            UserKey { role: Role::Seller, .. } => Err(Refusal::new(
                Code::WrongRole,
                "this is a seller's session: only buyers have carts and purchases",
            )),
        }
    }

    fn insert(&mut self, token: TokenHash, session: SessionRow) {
        self.rows.insert(token, session);
        self.by_touch.insert((session.touched_ms, token));
        *self.per_user.entry(session.user).or_insert(0) += 1;
    }

    fn remove(&mut self, token: &TokenHash) {
        let Some(session) = self.rows.remove(token) else { return };
        self.by_touch.remove(&(session.touched_ms, *token));
        match self.per_user.get_mut(&session.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.per_user.remove(&session.user)),
        }
    }

    fn touch(&mut self, token: &TokenHash, now: Timestamp) {
        let Some(touched_ms) = self.rows.update(token, |row| std::mem::replace(&mut row.touched_ms, now.0))
        else {
            return;
        };
        self.by_touch.remove(&(touched_ms, *token));
        self.by_touch.insert((now.0, *token));
    }

    /// Notes that a command used the session, unless that was noted a moment ago.
    pub(crate) fn used(&mut self, token: &TokenHash, now: Timestamp) {
        if self.rows.get(token).is_some_and(|session| session.touch_due(now)) {
            self.touch(token, now);
        }
    }

    /// Whether a session has expired at this time and is still there.
    pub(crate) fn any_expired(&self, now: Timestamp) -> bool {
        self.by_touch
            .get_min()
            .is_some_and(|(touched_ms, _)| touched_ms.saturating_add(EXPIRES_AFTER_MS) <= now.0)
    }

    /// Sessions that have expired, those that did so first, and at most so many.
    pub(crate) fn expired(&self, now: Timestamp, most: usize) -> Vec<TokenHash> {
        if !self.any_expired(now) {
            return Vec::new();
        }
        let expired =
            self.by_touch.iter().take_while(|(at_ms, _)| at_ms.saturating_add(EXPIRES_AFTER_MS) <= now.0);
        expired.take(most).map(|(_, token)| *token).collect()
    }

    pub(crate) fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.rows.load(record)
    }

    /// Rebuilds the order of expiry and the counts per user from the rows.
    pub(crate) fn index(&mut self) {
        self.by_touch = self.rows.iter().map(|(token, row)| (row.touched_ms, *token)).collect();
        self.per_user = HashMap::new();
        for (_, row) in self.rows.iter() {
            *self.per_user.entry(row.user).or_insert(0) += 1;
        }
    }

    fn check_room(&self, user: UserKey) -> Result<(), Refusal> {
        if self.per_user.get(&user).is_some_and(|count| *count >= SESSIONS_PER_USER_MAX) {
            let detail =
                format!("a user has at most {SESSIONS_PER_USER_MAX} sessions: log out elsewhere, or wait");
            return Err(Refusal::new(Code::RateLimited, detail));
        }
        if self.rows.len() >= SESSIONS_MAX {
            return Err(Refusal::new(Code::RateLimited, "too many sessions are open: try again later"));
        }
        Ok(())
    }
}

impl CustomerDb {
    pub(crate) fn open_session(&mut self, now: Timestamp, command: &OpenSession) -> Result<Body, Refusal> {
        let user = UserKey { role: validate::role(command.role)?, id: command.user_id };
        let token = validate::token_hash(&command.token_hash)?;
        if !self.accounts.exists(user) {
            return Err(Refusal::new(Code::BadCredentials, "wrong username or password"));
        }
        match self.sessions.rows.get(&token) {
            // The same login again: the session is open, and its cart is its own by now.
            Some(session) if session.user == user && !session.expired(now) => {}
            Some(session) if !session.expired(now) => {
                return Err(Refusal::field("token_hash", "is in use by another user"));
            }
            _ => {
                self.sessions.check_room(user)?;
                // An expired session of that token may wait for its sweep.
                self.end_session(&token);
                self.end_expired_sessions(now, DROPPED_PER_ADDED);
                self.sessions.insert(token, SessionRow { user, touched_ms: now.0 });
                if user.role == Role::Buyer {
                    self.carts.open_active(token, user.id);
                }
            }
        }
        Ok(Body::SessionOpened(SessionOpened {
            role: command.role,
            user_id: user.id,
            idle_timeout_s: u32::try_from(SESSION_IDLE.as_secs()).unwrap_or(u32::MAX),
        }))
    }

    pub(crate) fn close_session(&mut self, now: Timestamp, command: &CloseSession) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        self.sessions.active(&token, now)?;
        self.end_session(&token);
        Ok(Body::Done(Done {}))
    }

    pub(crate) fn touch_session(&mut self, now: Timestamp, command: &TouchSession) -> Result<Body, Refusal> {
        let token = validate::token_hash(&command.token_hash)?;
        self.sessions.active(&token, now)?;
        self.sessions.touch(&token, now);
        Ok(Body::Done(Done {}))
    }

    pub(crate) fn get_session(&self, local_now: Timestamp, query: &GetSession) -> Result<Body, Refusal> {
        let now = self.clock.now();
        let session = self.sessions.active(&validate::token_hash(&query.token_hash)?, now)?;
        Ok(Body::Session(Session {
            role: common::Role::from(session.user.role).into(),
            user_id: session.user.id,
            touched_ms: session.touched_ms,
            now_ms: now.0,
            // If the node's clock is wrong, that costs a write at most.
            touch_due: session.touch_due(now.max(local_now)),
        }))
    }

    /// Ends a session, if there is one, and drops its active cart.
    pub(crate) fn end_session(&mut self, token: &TokenHash) {
        self.sessions.remove(token);
        self.carts.drop_active(token);
    }

    /// Ends at most so many expired sessions, and says how many.
    pub(crate) fn end_expired_sessions(&mut self, now: Timestamp, most: usize) -> usize {
        let expired = self.sessions.expired(now, most);
        for token in &expired {
            self.end_session(token);
        }
        expired.len()
    }
}
