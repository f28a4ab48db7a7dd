//! What the log holds: which positions, where each entry lies, and the named values. Each change is applied here after it was
//! written, and again when it is found at a start, by the same code.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, RangeBounds};

use super::ops::{self, Op};

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// The place of entries in segments that are gone. By the end of the log they must have been purged.
const GONE: Place = Place { segment: 0, offset: 0, length: 0, checksum: 0 };

/// More positions than a log can have at a time.
const POSITIONS_MAX: usize = 1 << 28;

/// Positions `first .. first + places.len()`, all above `purged`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    purged: Option<u64>,
    first: u64,
    places: VecDeque<Place>,
    meta: BTreeMap<String, Vec<u8>>,
}

impl Index {
    pub(super) fn purged(&self) -> Option<u64> {
        self.purged
    }

    pub(super) fn first(&self) -> Option<u64> {
        (!self.places.is_empty()).then_some(self.first)
    }

    pub(super) fn last(&self) -> Option<u64> {
        (self.first + self.places.len() as u64).checked_sub(1).filter(|_| !self.places.is_empty())
    }

    pub(super) fn meta(&self, name: &str) -> Option<&[u8]> {
        self.meta.get(name).map(Vec::as_slice)
    }

    /// The first segment that an entry lies in.
    pub(super) fn first_segment(&self) -> Option<u64> {
        self.places.front().map(|place| place.segment)
    }

    /// All that is known besides entries, as the payload of a segment's first frame.
    pub(super) fn put_summary(&self, payload: &mut Vec<u8>) {
        ops::put_summary(payload, self.purged, self.first().zip(self.last()));
        for (name, value) in &self.meta {
            ops::put_meta(payload, name, Some(value));
        }
    }

    /// The state at the beginning of the first segment that is left.
    pub(super) fn begin(purged: Option<u64>, bounds: Option<(u64, u64)>) -> Result<Index, String> {
        let (first, last) = bounds.unwrap_or((1, 0));
        let count = last.checked_add(1).and_then(|end| end.checked_sub(first));
        let count =
            count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count < POSITIONS_MAX);
        let count = count.ok_or("its log begins with impossible bounds")?;
        let places = std::iter::repeat_n(GONE, count).collect();
        Ok(Index { purged, first, places, meta: BTreeMap::new() })
    }

    /// Makes a change that lies in this payload, which itself lies in a segment at an offset.
    pub(super) fn apply(
        &mut self,
        op: Op<'_>,
        payload: &[u8],
        (segment, offset): (u64, u64),
    ) -> Result<(), String> {
        match op {
            Op::Summary { purged, bounds } => {
                if (purged, bounds) != (self.purged, self.first().zip(self.last())) {
                    return Err("a segment of its log does not follow the one before".into());
                }
            }
            Op::Meta { name, value: Some(value) } => {
                self.meta.insert(name.to_owned(), value.to_vec());
            }
            Op::Meta { name, value: None } => {
                self.meta.remove(name);
            }
            Op::Truncate(after) => {
                let kept = (after.saturating_add(1)).saturating_sub(self.first);
                self.places.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            }
            Op::Append { position, start, length } => {
                let bytes = payload.get(start..start + length as usize).unwrap_or_default();
                let checksum = crc32fast::hash(bytes);
                self.append(position, Place { segment, offset: offset + start as u64, length, checksum })?;
            }
            Op::Purge(upto) => self.purge(upto),
            Op::End => {}
        }
        Ok(())
    }

    fn append(&mut self, position: u64, place: Place) -> Result<(), String> {
        let next = self.last().max(self.purged).map(|last| last + 1);
        if let Some(next) = next.filter(|next| *next != position) {
            return Err(format!("log position {position} is found where {next} is next"));
        }
        if self.places.is_empty() {
            self.first = position;
        }
        self.places.push_back(place);
        Ok(())
    }

    fn purge(&mut self, upto: u64) {
        self.purged = self.purged.max(Some(upto));
        let gone = upto.saturating_add(1).saturating_sub(self.first);
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.places.len());
        self.places.drain(..gone);
        self.first += gone as u64;
    }

    /// The first position whose entry is in none of the segments that are left.
    pub(super) fn first_missing(&self) -> Option<u64> {
        self.places.front().filter(|place| **place == GONE).map(|_| self.first)
    }

    /// The entries of a range, in order.
    pub(super) fn within(&self, range: &impl RangeBounds<u64>) -> impl Iterator<Item = (u64, Place)> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let skipped = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let places = (self.first..).zip(self.places.iter().copied()).skip(skipped);
        places.take_while(move |(position, _)| *position < end)
    }
}
