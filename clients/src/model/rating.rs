//! Feedback on items, and what it makes of their sellers.

use serde::{Deserialize, Serialize};

/// A buyer's vote on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vote {
    /// Thumbs up.
    Up,
    /// Thumbs down.
    Down,
}

#[derive(Serialize)]
pub(crate) struct GiveFeedback {
    pub vote: Vote,
}

/// All standing votes on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Buyers who like it.
    pub thumbs_up: u64,
    /// Buyers who do not.
    pub thumbs_down: u64,
}

/// What is known of a seller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// The seller.
    pub seller_id: u64,
    /// Standing votes up, over all of the seller's items.
    pub thumbs_up: u64,
    /// Standing votes down.
    pub thumbs_down: u64,
    /// Units that the seller has sold.
    pub items_sold: u64,
}
