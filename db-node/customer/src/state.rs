//! The state: its tables, their ids on disk, and how it becomes records and is loaded from them.

use agora_machine::{
    ANSWERS_BYTES_MAX, Answers, AnswersLoader, Change, CorruptRecord, Malformed, Record, StateMachine,
    TableId, Timestamp,
};
use bytes::Bytes;

use crate::accounts::Accounts;
use crate::carts::Carts;
use crate::clock::Clock;
use crate::commands;
use crate::keys::Role;
use crate::purchase_records::Purchases;
use crate::sessions::Sessions;

const CLOCK: TableId = TableId(1);
const ANSWERS: TableId = TableId(2);
const ACCOUNTS: TableId = TableId(3);
const SESSIONS: TableId = TableId(4);
const ACTIVE_CARTS: TableId = TableId(5);
const SAVED_CARTS: TableId = TableId(6);
const PURCHASES: TableId = TableId(7);
const UNFINISHED: TableId = TableId(8);

/// The customer database.
#[derive(Clone, Debug)]
pub struct CustomerDb {
    pub(crate) clock: Clock,
    pub(crate) answers: Answers,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) carts: Carts,
    pub(crate) purchases: Purchases,
}

impl Default for CustomerDb {
    fn default() -> Self {
        CustomerDb::with_answers_bytes_max(ANSWERS_BYTES_MAX)
    }
}

impl CustomerDb {
    pub(crate) fn with_answers_bytes_max(max: u64) -> Self {
        CustomerDb {
            clock: Clock::new(CLOCK),
            answers: Answers::new(ANSWERS, max),
            accounts: Accounts::new(ACCOUNTS),
            sessions: Sessions::new(SESSIONS),
            carts: Carts::new(ACTIVE_CARTS, SAVED_CARTS),
            purchases: Purchases::new(PURCHASES, UNFINISHED),
        }
    }

    /// Takes a record in that is not of an answer.
    fn load_record(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        match record.table()? {
            CLOCK => self.clock.rows.load(record),
            ACCOUNTS => self.accounts.load(record),
            SESSIONS => self.sessions.load(record),
            ACTIVE_CARTS => self.carts.load_active(record),
            SAVED_CARTS => self.carts.load_saved(record),
            PURCHASES => self.purchases.load(record),
            UNFINISHED => self.purchases.unfinished.load(record),
            TableId(other) => {
                Err(record.corrupt(format!("there is no table {other} in the customer database")))
            }
        }
    }

    /// What must hold between tables.
    fn check(&self) -> Result<(), CorruptRecord> {
        let corrupt = |table: TableId, key: &[u8], why: &str| {
            Err(CorruptRecord { key: [&[table.0], key].concat(), why: why.to_owned() })
        };
        for (token, session) in self.sessions.rows.iter() {
            if !self.accounts.exists(session.user) {
                return corrupt(SESSIONS, &token.0, "a session of nobody");
            }
            if (session.user.role == Role::Buyer) != self.carts.active.contains_key(token) {
                return corrupt(
                    SESSIONS,
                    &token.0,
                    "a buyer's session without a cart, or a seller's with one",
                );
            }
        }
        for (token, _) in self.carts.active.iter() {
            if !self.sessions.rows.contains_key(token) {
                return corrupt(ACTIVE_CARTS, &token.0, "a cart of no session");
            }
        }
        Ok(())
    }
}

impl StateMachine for CustomerDb {
    fn check(command: &[u8]) -> Result<(), Malformed> {
        commands::parse(command).map(drop)
    }

    fn apply(&mut self, now: Timestamp, command: &[u8]) -> Bytes {
        self.apply_command(now, command)
    }

    fn query(&self, local_now: Timestamp, query: &[u8]) -> Result<Bytes, Malformed> {
        self.answer(local_now, query)
    }

    fn maintenance(&self, local_now: Timestamp) -> Option<Bytes> {
        self.sweep_due(local_now)
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.clock.rows.take_changes(&mut changes);
        self.answers.take_changes(&mut changes);
        self.accounts.rows.take_changes(&mut changes);
        self.sessions.rows.take_changes(&mut changes);
        self.carts.active.take_changes(&mut changes);
        self.carts.saved.take_changes(&mut changes);
        self.purchases.rows.take_changes(&mut changes);
        self.purchases.unfinished.rows.take_changes(&mut changes);
        changes
    }

    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        let clock = self.clock.rows.records();
        let carts = self.carts.active.records().chain(self.carts.saved.records());
        Box::new(
            clock
                .chain(self.answers.records())
                .chain(self.accounts.rows.records())
                .chain(self.sessions.rows.records())
                .chain(carts)
                .chain(self.purchases.rows.records())
                .chain(self.purchases.unfinished.rows.records()),
        )
    }

    fn load(records: impl Iterator<Item = Record>) -> Result<Self, CorruptRecord> {
        let mut state = CustomerDb::default();
        let mut answers = AnswersLoader::new(ANSWERS, ANSWERS_BYTES_MAX);
        for record in records {
            if record.table()? == ANSWERS { answers.load(&record)? } else { state.load_record(&record)? }
        }
        state.answers = answers.finish()?;
        state.accounts.index()?;
        state.sessions.index();
        state.purchases.index()?;
        state.check()?;
        Ok(state)
    }
}
