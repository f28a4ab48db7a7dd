//! Replicated time, as it was when the last command was applied. It is part of the state, so that queries have a time, and
//! so that it does not go back over a restart.

use agora_machine::{Table, TableId, Timestamp};

/// The time of the last applied command.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) rows: Table<(), u64>,
}

impl Clock {
    pub(crate) fn new(id: TableId) -> Self {
        Clock { rows: Table::new(id) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.rows.get(&()).copied().unwrap_or_default())
    }

    /// Moves the time forward, never back, and returns it.
    pub(crate) fn advance(&mut self, to: Timestamp) -> Timestamp {
        let now = self.now();
        if to > now {
            self.rows.insert((), to.0);
        }
        now.max(to)
    }
}
