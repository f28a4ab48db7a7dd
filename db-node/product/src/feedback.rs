//! Feedback: one standing vote per buyer and item, counted at the item and at its seller; and what a seller is rated by.

use std::sync::Arc;

use agora_proto::common::Refusal;
use agora_proto::product as proto;
use agora_proto::product::response::Body;
use serde::{Deserialize, Serialize};

use crate::bounds::VOTES_MAX;
use crate::item::ItemKey;
use crate::items::not_found;
use crate::state::ProductDb;
use crate::validate;

/// A thumb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote {
    Up,
    Down,
}

/// What counts for a seller. It outlives the items that it was earned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    pub thumbs_up: u64,
    pub thumbs_down: u64,
    /// Units sold.
    pub items_sold: u64,
}

impl Vote {
    fn count<'a>(self, up: &'a mut u64, down: &'a mut u64) -> &'a mut u64 {
        match self {
            Vote::Up => up,
            Vote::Down => down,
        }
    }
}

impl ProductDb {
    /// The buyer's vote on the item, instead of an earlier one.
    pub(crate) fn give_feedback(&mut self, buyer: u64, key: ItemKey, vote: i32) -> Result<Body, Refusal> {
        let vote = match proto::Vote::try_from(vote) {
            Ok(proto::Vote::Up) => Vote::Up,
            Ok(proto::Vote::Down) => Vote::Down,
            Ok(proto::Vote::Unspecified) | Err(_) => {
                return Err(Refusal::field("vote", "must be up or down"));
            }
        };
        let seller = self.offered(key).ok_or_else(|| not_found(key))?.seller;
        let standing = self.votes.get(&(key, buyer)).copied();
        if standing.is_none() && self.votes.len() >= VOTES_MAX {
            return Err(validate::full("votes"));
        }
        if standing != Some(vote) {
            let recount = |up: &mut u64, down: &mut u64| {
                if let Some(standing) = standing {
                    let count = standing.count(up, down);
                    *count = count.saturating_sub(1);
                }
                *vote.count(up, down) += 1;
            };
            self.votes.insert((key, buyer), vote);
            self.items.update(&key, |item| {
                let item = Arc::make_mut(item);
                recount(&mut item.thumbs_up, &mut item.thumbs_down);
            });
            self.update_rating(seller, |rating| recount(&mut rating.thumbs_up, &mut rating.thumbs_down));
        }
        let item = self.offered(key).ok_or_else(|| not_found(key))?;
        Ok(Body::Feedback(proto::Feedback { thumbs_up: item.thumbs_up, thumbs_down: item.thumbs_down }))
    }

    pub(crate) fn update_rating(&mut self, seller: u64, change: impl FnOnce(&mut Rating)) {
        let mut rating = self.sellers.get(&seller).copied().unwrap_or_default();
        change(&mut rating);
        self.sellers.insert(seller, rating);
    }

    /// Zeros for a seller of whom nothing is known here.
    pub(crate) fn seller_rating(&self, seller: u64) -> Body {
        let Rating { thumbs_up, thumbs_down, items_sold } =
            self.sellers.get(&seller).copied().unwrap_or_default();
        Body::SellerRating(proto::SellerRating { seller_id: seller, thumbs_up, thumbs_down, items_sold })
    }

    /// Drops the removed items that nothing is reserved of, with their votes: at most `most` rows. What sellers were rated
    /// by stays.
    pub(crate) fn sweep_removed(&mut self, most: usize) {
        let mut left = most;
        while left > 0 {
            let Some(key) = self.removed.get_min().copied() else { return };
            let votes = self.votes.range((key, u64::MIN)..=(key, u64::MAX)).take(left);
            let votes: Vec<_> = votes.map(|(vote, _)| *vote).collect();
            left -= votes.len();
            votes.iter().for_each(|vote| {
                self.votes.remove(vote);
            });
            if left > 0 {
                self.items.remove(&key);
                self.removed.remove(&key);
                left -= 1;
            }
        }
    }
}
