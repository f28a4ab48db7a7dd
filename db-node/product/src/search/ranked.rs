//! The best matches of several keywords: those with the most keywords first, and the newest first among equals.
//!
//! The walk goes over the chunks of the keywords' posting lists once, from the newest to the oldest, and keeps for each
//! number of matched keywords (a tier) the newest that it met. A tier whose matches cannot get on the page any more,
//! because better tiers filled it, is left out from there on; when the best tier has filled the page, the walk ends.
//!
//! What a chunk costs at worst is bounded, whatever the keywords are (see `scan`), so a query costs at worst the number
//! of chunks: 16 per million items ever registered, fewer once old ones are gone.

use std::cmp::Ordering;

use agora_proto::limits::KEYWORDS;

use super::members::Members;
use super::posting::{NewestFirst, Posting, split};
use super::scan::{Scratch, scan};

/// A match: how many of the keywords, and which item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub matched: u32,
    pub created: u64,
}

/// The first `most` matches behind `after`; restricted to a category's, if one is given. There are at most
/// [`KEYWORDS`] lists.
pub fn best(category: Option<&Posting>, lists: &[&Posting], after: Option<Match>, most: usize) -> Vec<Match> {
    debug_assert!(lists.len() <= KEYWORDS);
    let mut page = Page::new(lists.len(), after, most);
    let mut category = category.map(Posting::newest_first);
    let mut walks: Vec<NewestFirst<'_>> = lists.iter().map(|list| list.newest_first()).collect();
    let mut members: Vec<&Members> = Vec::with_capacity(walks.len());
    let mut scratch = Scratch::default();
    while let Some(base) = walks.iter().filter_map(NewestFirst::base).max() {
        let Some(lowest) = page.lowest_needed() else { break };
        members.clear();
        members.extend(walks.iter_mut().filter_map(|walk| walk.take(base)));
        let filter = match &mut category {
            None => None,
            Some(category) => match category.take(base) {
                None => continue,
                of_category => of_category,
            },
        };
        let Some(span) = Span::of(base, lowest, page.top, after) else { continue };
        if span.lowest <= members.len() {
            scan(span, filter, &mut members, &mut page, &mut scratch);
        }
    }
    page.matches()
}

/// What of a chunk is wanted.
#[derive(Clone, Copy)]
pub struct Span {
    pub base: u64,
    /// The lowest and the highest tier that matter here.
    pub lowest: usize,
    pub highest: usize,
    /// In the highest tier only what is below, if the cursor is in this chunk.
    pub before: Option<u16>,
}

impl Span {
    fn of(base: u64, lowest: usize, top: usize, after: Option<Match>) -> Option<Self> {
        let mut span = Span { base, lowest, highest: top, before: None };
        if let Some(after) = after.filter(|after| after.matched as usize == top) {
            let (cursor, low) = split(after.created);
            match base.cmp(&cursor) {
                Ordering::Greater => span.highest -= 1,
                Ordering::Equal => span.before = Some(low),
                Ordering::Less => {}
            }
        }
        (span.lowest <= span.highest).then_some(span)
    }

    /// Whether a member with so many keywords is behind the cursor.
    pub fn wants(&self, tier: usize, low: u16) -> bool {
        tier < self.highest || tier == self.highest && self.before.is_none_or(|before| low < before)
    }
}

/// The newest matches of each tier.
pub struct Page {
    most: usize,
    /// The best tier that is behind the cursor.
    top: usize,
    tiers: [Vec<u64>; KEYWORDS + 1],
}

impl Page {
    fn new(lists: usize, after: Option<Match>, most: usize) -> Self {
        let top = after.map_or(lists, |after| lists.min(after.matched as usize));
        Page { most, top, tiers: Default::default() }
    }

    /// The lowest tier whose matches may still get on the page; none when the best tier has filled it.
    pub fn lowest_needed(&self) -> Option<usize> {
        let mut lowest = None;
        let mut found = 0;
        for tier in (1..=self.top).rev() {
            found += self.tiers[tier].len();
            if found >= self.most {
                break;
            }
            lowest = Some(tier);
        }
        lowest
    }

    /// Takes the next newest of its tier in, if there is room.
    pub fn add(&mut self, tier: usize, created: u64) {
        if self.tiers[tier].len() < self.most {
            self.tiers[tier].push(created);
        }
    }

    fn matches(self) -> Vec<Match> {
        let matches = (1..=self.top).rev().flat_map(|tier| {
            self.tiers[tier].iter().map(move |&created| Match { matched: tier as u32, created })
        });
        matches.take(self.most).collect()
    }
}
