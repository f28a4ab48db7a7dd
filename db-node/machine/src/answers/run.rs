//! A run of answers, as it lies in memory and in its record.
//!
//! A version byte and the time of the first answer, then the rows: how many ms later it came, how long the response is, the
//! first half of the key, the first quarter of the fingerprint, the response. Numbers are big-endian.
//!
//! 128 bits of a SHA-256 tell keys apart: finding two that agree takes 2^64 attempts, and whoever does so within the keys that
//! are their own cheats nobody else. 64 bits of a fingerprint tell a mistaken reuse of a key from a repetition.

/// Version and time.
pub(super) const HEADER_BYTES: usize = 9;
/// A row without its response.
pub(super) const ROW_BYTES: usize = 32;
/// A run takes no more rows once it has this many bytes.
const FULL_BYTES: usize = 4 << 10;

const VERSION: u8 = 2;
const KEY_BYTES: usize = 16;
const FINGERPRINT_BYTES: usize = 8;

/// A row of a run.
pub(super) struct Row<'a> {
    pub(super) at_ms: u64,
    pub(super) key: &'a [u8],
    fingerprint: &'a [u8],
    pub(super) response: &'a [u8],
    /// Where the next row begins.
    pub(super) end: usize,
}

impl Row<'_> {
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        key.starts_with(self.key)
    }

    pub(super) fn is_of(&self, fingerprint: &[u8]) -> bool {
        fingerprint.starts_with(self.fingerprint)
    }
}

/// The row that begins there. None: the run ends there, or before the row does.
pub(super) fn row(run: &[u8], offset: usize) -> Option<Row<'_>> {
    let first_ms = u64::from_be_bytes(*run.get(1..)?.first_chunk()?);
    let rest = run.get(offset..)?;
    let (later_ms, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(KEY_BYTES)?;
    let (fingerprint, rest) = rest.split_at_checked(FINGERPRINT_BYTES)?;
    let response = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some(Row {
        at_ms: first_ms.saturating_add(u32::from_be_bytes(*later_ms).into()),
        key,
        fingerprint,
        response,
        end: offset + ROW_BYTES + response.len(),
    })
}

/// Whether a row begins there.
pub(super) fn begins_row(run: &[u8], offset: usize) -> bool {
    ends(run).any(|end| end == offset) && offset < run.len() || offset == HEADER_BYTES
}

/// Where each row ends.
fn ends(run: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        at = row(run, at)?.end;
        Some(at)
    })
}

/// Whether these bytes are a run, with at least one row and nothing behind the last.
pub(super) fn check(run: &[u8]) -> Result<(), String> {
    match run.first() {
        Some(&VERSION) => {}
        Some(version) => return Err(format!("version {version}, but this program reads version {VERSION}")),
        None => return Err("empty".into()),
    }
    if ends(run).last() != Some(run.len()) {
        return Err("a run of answers that is cut short".into());
    }
    Ok(())
}

/// The run that grows. It is empty only until its first row.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenRun {
    bytes: Vec<u8>,
}

impl OpenRun {
    /// From a run that was stored.
    pub(super) fn of(run: &[u8]) -> Self {
        OpenRun { bytes: run.to_vec() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, if there is a row.
    pub(super) fn begun(&self) -> Option<&[u8]> {
        (!self.bytes.is_empty()).then_some(&self.bytes)
    }

    fn first_ms(&self) -> Option<u64> {
        self.bytes.get(1..)?.first_chunk().map(|ms| u64::from_be_bytes(*ms))
    }

    /// Whether a row of this time belongs here, or into the next run.
    pub(super) fn takes(&self, at_ms: u64) -> bool {
        self.first_ms().is_none_or(|first| {
            self.bytes.len() < FULL_BYTES && u32::try_from(at_ms.saturating_sub(first)).is_ok()
        })
    }

    /// Adds a row, and says where it begins.
    pub(super) fn append(
        &mut self,
        at_ms: u64,
        key: &[u8; 32],
        fingerprint: &[u8; 32],
        response: &[u8],
    ) -> usize {
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(FULL_BYTES);
            self.bytes.push(VERSION);
            self.bytes.extend_from_slice(&at_ms.to_be_bytes());
        }
        let offset = self.bytes.len();
        let later_ms = at_ms.saturating_sub(self.first_ms().unwrap_or(at_ms));
        // A state machine's responses are far below 4 GiB, and `takes` has seen to the time.
        let (later_ms, length) = (low_32_bits(later_ms), low_32_bits(response.len() as u64));
        self.bytes.extend_from_slice(&later_ms.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&key[..KEY_BYTES]);
        self.bytes.extend_from_slice(&fingerprint[..FINGERPRINT_BYTES]);
        self.bytes.extend_from_slice(response);
        offset
    }

    pub(super) fn complete(self) -> bytes::Bytes {
        self.bytes.into_boxed_slice().into()
    }
}

fn low_32_bits(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
