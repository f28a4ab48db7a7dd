//! Frames: how a batch of changes lies in a segment, and how one that is not whole is told.
//!
//! A frame is a mark, the length of its payload, up to where the segment was durable when it was written, and a checksum
//! over all of that, the segment's number and the payload. The last frames before a crash may be missing in part.
//! Those that were durable never are: if a later frame says that they were, the disk has lost or changed them.

const MARK: [u8; 4] = *b"agl1";
/// Mark, length, durable, checksum.
pub(super) const HEADER_BYTES: usize = 4 + 4 + 8 + 4;

/// A frame whose payload is to be put behind its header.
pub(super) fn begin(payload_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload_bytes);
    frame.resize(HEADER_BYTES, 0);
    frame
}

/// The payload of a frame.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    frame.get(HEADER_BYTES..).unwrap_or_default()
}

/// Fills in the header, for a segment that is durable up to an offset.
pub(super) fn seal(frame: &mut [u8], segment: u64, durable: u64) {
    let length = u32::try_from(payload(frame).len()).unwrap_or(u32::MAX);
    let checksum = checksum(segment, length, durable, payload(frame));
    let fields = MARK.into_iter().chain(length.to_be_bytes()).chain(durable.to_be_bytes());
    frame.iter_mut().zip(fields.chain(checksum.to_be_bytes())).for_each(|(to, byte)| *to = byte);
}

/// Whether there is nothing but zeros behind this offset, but for what may be left of a frame that only says that another
/// segment follows.
pub(super) fn is_end_of_complete_segment(bytes: &[u8], offset: usize) -> bool {
    bytes.iter().skip(offset + HEADER_BYTES + 1).all(|byte| *byte == 0)
}

fn checksum(segment: u64, length: u32, durable: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_be_bytes());
    hasher.update(&length.to_be_bytes());
    hasher.update(&durable.to_be_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// A whole frame.
pub(super) struct Frame<'a> {
    pub(super) payload: &'a [u8],
    durable: u64,
    /// Where the next one begins.
    pub(super) end: usize,
}

/// The frame that begins there, if it is whole.
pub(super) fn at(bytes: &[u8], offset: usize, segment: u64) -> Option<Frame<'_>> {
    let rest = bytes.get(offset..)?.strip_prefix(&MARK)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (durable, rest) = rest.split_first_chunk()?;
    let (found, rest) = rest.split_first_chunk()?;
    let (length, durable) = (u32::from_be_bytes(*length), u64::from_be_bytes(*durable));
    let payload = rest.get(..usize::try_from(length).ok()?)?;
    let whole = checksum(segment, length, durable, payload) == u32::from_be_bytes(*found);
    whole.then_some(Frame { payload, durable, end: offset + HEADER_BYTES + payload.len() })
}

/// Whether a frame behind this offset says that the segment was durable beyond it.
pub(super) fn was_durable_beyond(bytes: &[u8], offset: usize, segment: u64) -> bool {
    let marks = bytes.windows(MARK.len()).enumerate().skip(offset).filter(|(_, window)| **window == MARK);
    marks.filter_map(|(start, _)| at(bytes, start, segment)).any(|frame| frame.durable > offset as u64)
}

/// Up to where the frames from the start of a segment say that it was durable; at least its first one is.
pub(super) fn durable(bytes: &[u8], segment: u64) -> usize {
    let first = at(bytes, 0, segment).map_or(0, |first| first.end);
    let mut frames = std::iter::successors(at(bytes, 0, segment), |frame| at(bytes, frame.end, segment));
    let last = frames.by_ref().last().map_or(0, |frame| frame.durable);
    first.max(usize::try_from(last).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(content: &[u8], segment: u64, durable: u64) -> Vec<u8> {
        let mut frame = begin(content.len());
        frame.extend_from_slice(content);
        seal(&mut frame, segment, durable);
        frame
    }

    #[test]
    fn a_frame_is_whole_in_its_own_segment_or_not_at_all() {
        let frame = framed(b"payload", 3, 9);
        let found = at(&frame, 0, 3).unwrap();
        assert_eq!((found.payload, found.durable, found.end), (&b"payload"[..], 9, frame.len()));
        assert!(at(&frame, 0, 4).is_none());
        assert!((0..frame.len()).all(|cut| at(&frame[..cut], 0, 3).is_none()));
        for byte in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[byte] ^= 4;
            assert!(at(&damaged, 0, 3).is_none(), "{byte}");
        }
    }

    #[test]
    fn only_a_frame_that_came_after_a_sync_proves_one() {
        let first = framed(b"first", 1, 0);
        let unsynced = [&first[..], &framed(b"second", 1, 0)].concat();
        assert!(!was_durable_beyond(&unsynced, 0, 1));
        let synced = [&first[..], &framed(b"second", 1, first.len() as u64)].concat();
        assert!(was_durable_beyond(&synced, 0, 1));
        assert!(!was_durable_beyond(&synced, first.len(), 1));
        assert_eq!(
            (durable(&unsynced, 1), durable(&synced, 1), durable(b"", 1)),
            (first.len(), first.len(), 0)
        );
    }
}
