//! Finds out what the log holds, from its segments.
//!
//! A crash may have come between any two writes, so the last segment may end with frames that are not whole, or may not even
//! have its first one. Such an end was never acknowledged, and is cut off. Anything else that is not as it was written is
//! damage: then nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use agora_sabotage::Promise;

use super::Files;
use super::frame;
use super::index::Index;
use super::ops::{self, Op};
use super::segment::{self, Segment};
use crate::error::StorageError;

pub(super) fn recover(directory: &Path, home: &Path) -> Result<Files, StorageError> {
    let failed = StorageError::io(home, "read the log");
    let damaged = |what: String| StorageError::damaged(home, what);
    let numbers = numbers(directory, home)?;
    let mut index = None;
    let mut ends = BTreeMap::new();
    for (place, number) in numbers.iter().enumerate() {
        let mut bytes = fs::read(segment::path(directory, *number)).map_err(&failed)?;
        let is_last = place + 1 == numbers.len();
        if is_last && agora_sabotage::breaks(Promise::Durability) {
            // The end of who leaves out the syncs is a power cut.
            bytes.truncate(frame::durable(&bytes, *number));
        }
        let replayed = replay(&bytes, *number, &mut index).map_err(damaged)?;
        let sound = match is_last {
            true => !frame::was_durable_beyond(&bytes, replayed.end, *number),
            false => replayed.end > 0 && frame::is_end_of_complete_segment(&bytes, replayed.end),
        };
        if !sound {
            let what = format!("segment {number:016x} of its log is damaged at byte {}", replayed.end);
            return Err(damaged(what));
        }
        if replayed.ended && is_last {
            return Err(damaged(format!("the segment of its log after {number:016x} is missing")));
        }
        ends.insert(*number, replayed.end as u64);
    }
    let index = index.ok_or_else(|| damaged("its log is missing".into()))?;
    if let Some(position) = index.first_missing() {
        return Err(damaged(format!("log position {position} is missing")));
    }
    open(directory, index, ends).map_err(&failed)?.ok_or_else(|| damaged("its log is missing".into()))
}

fn open(directory: &Path, index: Index, mut ends: BTreeMap<u64, u64>) -> std::io::Result<Option<Files>> {
    if let Some(begun) = ends.last_entry().filter(|last| *last.get() == 0) {
        // The crash came while it was begun: the one before is the last.
        fs::remove_file(segment::path(directory, *begun.key()))?;
        begun.remove();
    }
    let mut segments = BTreeMap::new();
    for (number, end) in &ends {
        segments.insert(*number, Arc::new(Segment::open(directory, *number, *end)?));
    }
    let last = segments.last_key_value().map(|(_, last)| Arc::clone(last)).zip(ends.last_key_value());
    let Some((active, (_, end))) = last else { return Ok(None) };
    // What was found was perhaps never synced; what is promised from here on rests on it.
    active.sync()?;
    let end = *end;
    Ok(Some(Files { index, segments, active, end, durable: end, failed: false }))
}

/// The numbers of all segments, which have no gap.
fn numbers(directory: &Path, home: &Path) -> Result<Vec<u64>, StorageError> {
    let failed = StorageError::io(home, "read the log's directory");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        let unknown = || StorageError::damaged(home, format!("{} is no segment of its log", path.display()));
        numbers.push(segment::number(&path).ok_or_else(unknown)?);
    }
    numbers.sort_unstable();
    if let Some(pair) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        let what = format!("the segment of its log after {:016x} is missing", pair[0]);
        return Err(StorageError::damaged(home, what));
    }
    Ok(numbers)
}

struct Replayed {
    /// Behind the last whole frame.
    end: usize,
    /// It says that another segment follows.
    ended: bool,
}

/// Applies the whole frames from the start of a segment.
fn replay(bytes: &[u8], number: u64, index: &mut Option<Index>) -> Result<Replayed, String> {
    let mut replayed = Replayed { end: 0, ended: false };
    while let Some(frame) = frame::at(bytes, replayed.end, number) {
        let payload = (replayed.end + frame::HEADER_BYTES) as u64;
        for op in ops::read(frame.payload) {
            let op = op?;
            match (&op, &mut *index) {
                (Op::Summary { purged, bounds }, None) => *index = Some(Index::begin(*purged, *bounds)?),
                (_, Some(index)) => {
                    replayed.ended |= op == Op::End;
                    index.apply(op, frame.payload, (number, payload))?;
                }
                (_, None) => return Err("its log does not begin with a summary".into()),
            }
        }
        replayed.end = frame.end;
    }
    Ok(replayed)
}
