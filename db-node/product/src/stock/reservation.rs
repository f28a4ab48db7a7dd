//! A reservation, as it is kept.

use agora_proto::product as proto;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounds::ENDED_RESERVATION_KEPT;
use crate::item::ItemKey;

/// What a purchase is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PurchaseId(pub [u8; 16]);

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Held,
    Committed,
    Released,
}

/// Units of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub item: ItemKey,
    pub quantity: u32,
    /// Price, name and seller as they were when it was reserved: what the buyer pays, and to whom.
    pub price_cents: u64,
    pub name: Box<str>,
    pub seller: u64,
}

/// A row of the reservations' table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub buyer: u64,
    pub standing: Standing,
    /// None: released before it was made.
    pub lines: Vec<Line>,
    pub expires_ms: u64,
    /// When it was committed or released.
    pub ended_ms: u64,
    /// Committed: names the approved payment. Else empty.
    pub authorization_id: Box<str>,
}

impl Reservation {
    /// When something is to be done about it: its hold runs out, or it is to be forgotten.
    pub fn due_ms(&self) -> u64 {
        match self.standing {
            Standing::Held => self.expires_ms,
            // A day is far below 2^64 ms.
            Standing::Committed | Standing::Released => {
                self.ended_ms.saturating_add(ENDED_RESERVATION_KEPT.as_millis() as u64)
            }
        }
    }

    /// What the buyer pays. At most 100 lines of a million units of a hundred million dollars: below 2^60 cents.
    pub fn total_cents(&self) -> u64 {
        self.lines.iter().map(|line| line.price_cents * u64::from(line.quantity)).sum()
    }

    pub fn to_proto(&self, id: PurchaseId) -> proto::Reservation {
        let state = match self.standing {
            Standing::Held => proto::ReservationState::Held,
            Standing::Committed => proto::ReservationState::Committed,
            Standing::Released => proto::ReservationState::Released,
        };
        let lines = self.lines.iter().map(|line| proto::ReservedLine {
            item: Some(line.item.into()),
            quantity: line.quantity,
            price_cents: line.price_cents,
            name: line.name.to_string(),
            seller_id: line.seller,
        });
        proto::Reservation {
            purchase_id: Bytes::copy_from_slice(&id.0),
            state: state.into(),
            lines: lines.collect(),
            total_cents: self.total_cents(),
            expires_ms: self.expires_ms,
            authorization_id: self.authorization_id.to_string(),
        }
    }
}
