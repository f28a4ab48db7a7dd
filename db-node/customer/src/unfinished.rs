//! Purchases with something left to do: begun ones that were not ended, and aborted ones whose payment is still to be
//! voided. Each is leased to one frontend at a time; when the lease runs out, in replicated time, any other may claim it.
//!
//! A lease only keeps frontends from doing the same work. All that they do is idempotent, so it harms nothing when one
//! that stalled goes on after its lease has run out.

use agora_machine::{CorruptRecord, Record, Table, TableId, Timestamp};
use agora_proto::limits::PURCHASE_LEASE;
use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use crate::keys::{ClaimKey, PurchaseKey};
use crate::limits::ms;

/// Who is to go on with a purchase, and until when it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// The claim that leased it, or the purchase's own id while whoever began it has it.
    holder: ClaimKey,
    until_ms: u64,
}

/// The leases of all unfinished purchases, found by purchase, in the order in which they run out, and by holder.
#[derive(Clone, Debug)]
pub(crate) struct Unfinished {
    pub(crate) rows: Table<PurchaseKey, Lease>,
    by_end: OrdSet<(u64, PurchaseKey)>,
    by_holder: OrdSet<(ClaimKey, PurchaseKey)>,
}

impl Unfinished {
    pub(crate) fn new(id: TableId) -> Self {
        Unfinished { rows: Table::new(id), by_end: OrdSet::new(), by_holder: OrdSet::new() }
    }

    pub(crate) fn contains(&self, id: PurchaseKey) -> bool {
        self.rows.contains_key(&id)
    }

    /// Leases a purchase to whoever runs it for a client.
    pub(crate) fn lease_to_runner(&mut self, id: PurchaseKey, now: Timestamp) {
        self.lease(id, ClaimKey(id.0), now);
    }

    fn lease(&mut self, id: PurchaseKey, holder: ClaimKey, now: Timestamp) {
        self.finish(id);
        let lease = Lease { holder, until_ms: now.0.saturating_add(ms(PURCHASE_LEASE)) };
        self.enter(id, lease);
        self.rows.insert(id, lease);
    }

    /// Nothing is left to do.
    pub(crate) fn finish(&mut self, id: PurchaseKey) {
        if let Some(lease) = self.rows.remove(&id) {
            self.by_end.remove(&(lease.until_ms, id));
            self.by_holder.remove(&(lease.holder, id));
        }
    }

    /// Whether a lease has run out.
    pub(crate) fn any_due(&self, now: Timestamp) -> bool {
        self.by_end.get_min().is_some_and(|(until_ms, _)| *until_ms <= now.0)
    }

    /// Leases at most so many whose lease has run out; again the same ones, if that claim has leased some before.
    pub(crate) fn claim(&mut self, claim: ClaimKey, now: Timestamp, most: usize) -> Vec<PurchaseKey> {
        let of_claim = (claim, PurchaseKey([0; 16]))..=(claim, PurchaseKey([u8::MAX; 16]));
        let held: Vec<_> = self.by_holder.range(of_claim).map(|(_, id)| *id).collect();
        if !held.is_empty() {
            return held;
        }
        let due = self.by_end.iter().take_while(|(until_ms, _)| *until_ms <= now.0).take(most);
        let due: Vec<_> = due.map(|(_, id)| *id).collect();
        for id in &due {
            self.lease(*id, claim, now);
        }
        due
    }

    pub(crate) fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.rows.load(record)
    }

    /// Rebuilds the orders from the rows.
    pub(crate) fn index(&mut self) {
        for (id, lease) in self.rows.clone().iter() {
            self.enter(*id, *lease);
        }
    }

    fn enter(&mut self, id: PurchaseKey, lease: Lease) {
        self.by_end.insert((lease.until_ms, id));
        self.by_holder.insert((lease.holder, id));
    }
}
