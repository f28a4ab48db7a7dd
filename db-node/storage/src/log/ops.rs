//! The payload of a frame: the changes that it makes, one behind the other, in the order in which they are made.
//!
//! Each is a tag and its fields; numbers are big-endian.

const SUMMARY: u8 = b's';
const META: u8 = b'm';
const TRUNCATE: u8 = b't';
const APPEND: u8 = b'a';
const PURGE: u8 = b'p';
const END: u8 = b'e';

/// A change, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    /// What the log held when the segment began: the last purged position, the first and the last one.
    Summary { purged: Option<u64>, bounds: Option<(u64, u64)> },
    /// A named value, set or removed.
    Meta { name: &'a str, value: Option<&'a [u8]> },
    /// Entries above this position are removed.
    Truncate(u64),
    /// An entry; its bytes are `start..start + length` of the payload.
    Append { position: u64, start: usize, length: u32 },
    /// Entries up to this position are forgotten.
    Purge(u64),
    /// Another segment follows.
    End,
}

pub(super) fn put_summary(to: &mut Vec<u8>, purged: Option<u64>, bounds: Option<(u64, u64)>) {
    to.push(SUMMARY);
    put_option(to, purged);
    put_option(to, bounds.map(|(first, _)| first));
    put_option(to, bounds.map(|(_, last)| last));
}

pub(super) fn put_meta(to: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    to.push(META);
    put_bytes(to, name.as_bytes());
    to.push(u8::from(value.is_some()));
    put_bytes(to, value.unwrap_or_default());
}

pub(super) fn put_truncate(to: &mut Vec<u8>, after: u64) {
    to.push(TRUNCATE);
    to.extend_from_slice(&after.to_be_bytes());
}

pub(super) fn put_append(to: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    to.push(APPEND);
    to.extend_from_slice(&position.to_be_bytes());
    put_bytes(to, bytes);
}

pub(super) fn put_purge(to: &mut Vec<u8>, upto: u64) {
    to.push(PURGE);
    to.extend_from_slice(&upto.to_be_bytes());
}

pub(super) fn put_end(to: &mut Vec<u8>) {
    to.push(END);
}

fn put_option(to: &mut Vec<u8>, number: Option<u64>) {
    to.push(u8::from(number.is_some()));
    to.extend_from_slice(&number.unwrap_or_default().to_be_bytes());
}

/// The log refuses entries that are anywhere near the largest length.
fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// The changes in a payload. After an error there are no more.
pub(super) fn read(payload: &[u8]) -> impl Iterator<Item = Result<Op<'_>, String>> {
    let mut reader = Reader { payload, at: 0 };
    std::iter::from_fn(move || {
        if reader.at == payload.len() {
            return None;
        }
        let op = reader.op();
        if op.is_none() {
            reader.at = payload.len();
        }
        Some(op.ok_or_else(|| "a frame of its log has malformed content".to_owned()))
    })
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn op(&mut self) -> Option<Op<'a>> {
        Some(match self.byte()? {
            SUMMARY => {
                let (purged, first, last) = (self.option()?, self.option()?, self.option()?);
                Op::Summary { purged, bounds: first.zip(last) }
            }
            META => {
                let name = std::str::from_utf8(self.bytes()?).ok()?;
                let set = self.byte()? == 1;
                let value = self.bytes()?;
                Op::Meta { name, value: set.then_some(value) }
            }
            TRUNCATE => Op::Truncate(self.number()?),
            APPEND => {
                let position = self.number()?;
                let length = self.bytes()?.len();
                Op::Append { position, start: self.at - length, length: u32::try_from(length).ok()? }
            }
            PURGE => Op::Purge(self.number()?),
            END => Op::End,
            _ => return None,
        })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.payload.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn option(&mut self) -> Option<Option<u64>> {
        let is_some = self.byte()? == 1;
        let number = self.number()?;
        Some(is_some.then_some(number))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.take(4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_and_what_is_cut_short_is_refused() {
        let mut payload = Vec::new();
        put_summary(&mut payload, Some(3), Some((4, 9)));
        put_meta(&mut payload, "vote", Some(b"x"));
        put_meta(&mut payload, "other", None);
        put_truncate(&mut payload, 7);
        put_append(&mut payload, 8, b"entry");
        put_purge(&mut payload, 5);
        put_end(&mut payload);
        let ops: Vec<_> = read(&payload).map(Result::unwrap).collect();
        let start = payload.len() - 1 - 9 - 5;
        let expected = [
            Op::Summary { purged: Some(3), bounds: Some((4, 9)) },
            Op::Meta { name: "vote", value: Some(b"x") },
            Op::Meta { name: "other", value: None },
            Op::Truncate(7),
            Op::Append { position: 8, start, length: 5 },
            Op::Purge(5),
            Op::End,
        ];
        assert_eq!(ops, expected);
        for cut in 0..payload.len() {
            let read: Vec<_> = read(&payload[..cut]).collect();
            assert!(read.iter().filter_map(|op| op.as_ref().ok()).count() < expected.len(), "{cut}");
        }
    }
}
