//! What is kept of purchases: those under way, the history of each buyer, and for a while the aborted ones.

use agora_machine::{CorruptRecord, Record, Table, TableId, Timestamp};
use agora_proto::common::{self, Refusal};
use agora_proto::customer::{Purchase, PurchaseLine, PurchaseState};
use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::carts::Line;
use crate::keys::{ItemKey, PurchaseKey, TokenHash};
use crate::limits::{PURCHASE_KEPT, ms};
use crate::unfinished::Unfinished;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PurchaseRow {
    pub buyer_id: u64,
    /// The session whose cart it is. It may have ended meanwhile.
    pub token: TokenHash,
    pub begun_ms: u64,
    pub outcome: Outcome,
}

/// How far a purchase is. Part of the format on disk: variants are only added, at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Its lines are frozen; stock and money are being taken.
    Started { lines: Vec<Line> },
    /// It is in the history, as the `number`th of its buyer.
    Completed { number: u64, at_ms: u64, lines: Vec<BoughtLine>, total_cents: u64, authorization_id: String },
    /// It did not come about.
    Aborted { at_ms: u64, lines: Vec<Line>, reason: Reason },
}

/// A line of a purchase with all that is known since its stock was reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoughtLine {
    pub item: ItemKey,
    pub quantity: u32,
    pub price_cents: u64,
    pub name: String,
    pub seller_id: u64,
}

/// Why a purchase was aborted: a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub code: i32,
    pub detail: String,
    pub field: String,
}

impl PurchaseRow {
    /// When it was aborted, if it was.
    fn aborted_ms(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Aborted { at_ms, .. } => Some(*at_ms),
            Outcome::Started { .. } | Outcome::Completed { .. } => None,
        }
    }

    pub(crate) fn line_count(&self) -> usize {
        match &self.outcome {
            Outcome::Started { lines } | Outcome::Aborted { lines, .. } => lines.len(),
            Outcome::Completed { lines, .. } => lines.len(),
        }
    }

    fn to_wire(&self, id: PurchaseKey) -> Purchase {
        let mut purchase = Purchase {
            purchase_id: Bytes::copy_from_slice(&id.0),
            buyer_id: self.buyer_id,
            at_ms: self.begun_ms,
            ..Purchase::default()
        };
        match &self.outcome {
            Outcome::Started { lines } => {
                purchase.set_state(PurchaseState::Started);
                purchase.lines = lines.iter().map(frozen_to_wire).collect();
            }
            Outcome::Completed { at_ms, lines, total_cents, authorization_id, .. } => {
                purchase.set_state(PurchaseState::Completed);
                purchase.lines = lines.iter().map(bought_to_wire).collect();
                purchase.total_cents = *total_cents;
                purchase.at_ms = *at_ms;
                purchase.authorization_id.clone_from(authorization_id);
            }
            Outcome::Aborted { lines, reason, .. } => {
                purchase.set_state(PurchaseState::Aborted);
                purchase.lines = lines.iter().map(frozen_to_wire).collect();
                let Reason { code, detail, field } = reason.clone();
                purchase.reason = Some(Refusal { code, detail, field });
            }
        }
        purchase
    }
}

fn frozen_to_wire(line: &Line) -> PurchaseLine {
    let item = Some(common::ItemId::from(line.item));
    PurchaseLine { item, quantity: line.quantity, ..PurchaseLine::default() }
}

fn bought_to_wire(line: &BoughtLine) -> PurchaseLine {
    PurchaseLine {
        item: Some(line.item.into()),
        quantity: line.quantity,
        price_cents: line.price_cents,
        name: line.name.clone(),
        seller_id: line.seller_id,
    }
}

/// All purchases, found by id, by buyer, by session, and by the time at which they may be forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Purchases {
    pub(crate) rows: Table<PurchaseKey, PurchaseRow>,
    /// The completed ones: buyer and number.
    history: OrdMap<(u64, u64), PurchaseKey>,
    /// Those under way, by session.
    started: OrdSet<(TokenHash, PurchaseKey)>,
    /// Those that may be forgotten some time, by age: aborted, and nothing left to do.
    fleeting: OrdSet<(u64, PurchaseKey)>,
    /// Those with something left to do: all that are under way, and aborted ones whose payment is still to be voided.
    pub(crate) unfinished: Unfinished,
}

impl Purchases {
    pub(crate) fn new(id: TableId, unfinished: TableId) -> Self {
        Purchases {
            rows: Table::new(id),
            history: OrdMap::new(),
            started: OrdSet::new(),
            fleeting: OrdSet::new(),
            unfinished: Unfinished::new(unfinished),
        }
    }

    /// A new purchase, leased to whoever began it.
    pub(crate) fn begin(&mut self, id: PurchaseKey, row: PurchaseRow, now: Timestamp) {
        self.unfinished.lease_to_runner(id, now);
        self.put(id, row);
    }

    /// The purchase has ended with nothing left to do.
    pub(crate) fn end(&mut self, id: PurchaseKey, row: PurchaseRow) {
        self.unfinished.finish(id);
        self.put(id, row);
    }

    /// The purchase has ended, and is still to be settled by whoever has the lease.
    pub(crate) fn end_owing(&mut self, id: PurchaseKey, row: PurchaseRow) {
        self.put(id, row);
    }

    /// Nothing is left to do for an aborted purchase.
    pub(crate) fn settle(&mut self, id: PurchaseKey) {
        if let Some(row) = self.rows.get(&id).cloned().filter(|_| self.unfinished.contains(id)) {
            self.end(id, row);
        }
    }

    /// Writes a purchase, in place of what it was before.
    fn put(&mut self, id: PurchaseKey, row: PurchaseRow) {
        self.remove(id);
        self.enter(id, &row);
        self.rows.insert(id, row);
    }

    fn remove(&mut self, id: PurchaseKey) {
        let Some(old) = self.rows.remove(&id) else { return };
        match old.outcome {
            Outcome::Started { .. } => drop(self.started.remove(&(old.token, id))),
            Outcome::Completed { number, .. } => drop(self.history.remove(&(old.buyer_id, number))),
            Outcome::Aborted { at_ms, .. } => drop(self.fleeting.remove(&(at_ms, id))),
        }
    }

    /// A purchase as it is told.
    pub(crate) fn told(&self, id: PurchaseKey) -> Option<Purchase> {
        let row = self.rows.get(&id)?;
        let void_owed = row.aborted_ms().is_some() && self.unfinished.contains(id);
        Some(Purchase { void_owed, ..row.to_wire(id) })
    }

    /// Enters a row in the indexes; what another purchase had of its place in the history is returned.
    fn enter(&mut self, id: PurchaseKey, row: &PurchaseRow) -> Option<PurchaseKey> {
        match row.outcome {
            Outcome::Started { .. } => {
                self.started.insert((row.token, id));
                None
            }
            Outcome::Completed { number, .. } => self.history.insert((row.buyer_id, number), id),
            Outcome::Aborted { at_ms, .. } => {
                if !self.unfinished.contains(id) {
                    self.fleeting.insert((at_ms, id));
                }
                None
            }
        }
    }

    /// The number of the buyer's next completed purchase.
    pub(crate) fn next_number(&self, buyer_id: u64) -> u64 {
        let last = self.history.range((buyer_id, 0)..=(buyer_id, u64::MAX)).next_back();
        last.map_or(1, |((_, number), _)| number.saturating_add(1))
    }

    /// The buyer's completed purchases with numbers below this, the newest first.
    pub(crate) fn completed_before(
        &self,
        buyer_id: u64,
        number: u64,
    ) -> impl Iterator<Item = (u64, &PurchaseRow, Purchase)> {
        let newest_first = self.history.range((buyer_id, 0)..(buyer_id, number)).rev();
        newest_first.filter_map(|((_, number), id)| {
            let row = self.rows.get(id)?;
            Some((*number, row, row.to_wire(*id)))
        })
    }

    /// Whether the session has a purchase under way.
    pub(crate) fn any_under_way(&self, token: TokenHash) -> bool {
        let of_session = (token, PurchaseKey([0; 16]))..=(token, PurchaseKey([u8::MAX; 16]));
        self.started.range(of_session).next().is_some()
    }

    /// Whether a purchase may be forgotten at this time.
    pub(crate) fn any_over(&self, now: Timestamp) -> bool {
        self.fleeting.get_min().is_some_and(|(since, _)| since.saturating_add(ms(PURCHASE_KEPT)) < now.0)
    }

    /// Forgets what may be forgotten, the oldest first and at most so many; says how many.
    pub(crate) fn forget(&mut self, now: Timestamp, most: usize) -> usize {
        if !self.any_over(now) {
            return 0;
        }
        let over =
            self.fleeting.iter().take_while(|(since, _)| since.saturating_add(ms(PURCHASE_KEPT)) < now.0);
        let over: Vec<_> = over.take(most).map(|(_, id)| *id).collect();
        for id in &over {
            self.remove(*id);
        }
        over.len()
    }

    pub(crate) fn load(&mut self, record: &Record) -> Result<(), CorruptRecord> {
        self.rows.load(record)
    }

    /// Rebuilds the indexes from the rows, and checks that the two tables fit together.
    pub(crate) fn index(&mut self) -> Result<(), CorruptRecord> {
        self.unfinished.index();
        let corrupt = |id: &PurchaseKey, why: &str| {
            let key = [&[self.rows.id().0], &id.0[..]].concat();
            Err(CorruptRecord { key, why: why.to_owned() })
        };
        for (id, row) in self.rows.iter() {
            if matches!(row.outcome, Outcome::Started { .. }) && !self.unfinished.contains(*id) {
                return corrupt(id, "a purchase under way that nobody would finish");
            }
        }
        for (id, _) in self.unfinished.rows.iter() {
            if self.rows.get(id).is_none_or(|row| matches!(row.outcome, Outcome::Completed { .. })) {
                return corrupt(id, "something is left to do for a purchase that is completed, or not there");
            }
        }
        for (id, row) in self.rows.clone().iter() {
            if let Some(other) = self.enter(*id, row) {
                let why = format!(
                    "{:02x?} and {:02x?} are the same purchase of buyer {}",
                    id.0, other.0, row.buyer_id
                );
                return Err(CorruptRecord { key: vec![self.rows.id().0], why });
            }
        }
        Ok(())
    }
}
