//! The records of a snapshot as a stream of bytes: length-delimited messages, one for each record.

use std::io::{BufRead, Read};

use agora_machine::Record;
use agora_proto::raft as pb;
use prost::Message;

/// Largest record that is believed to be one.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// Appends a record.
pub(crate) fn put(record: Record, bytes: &mut Vec<u8>) {
    let message = pb::Record { key: record.key, value: record.value };
    bytes.reserve(message.encoded_len() + 10);
    // A vector takes whatever comes: this can't fail.
    let encoded = message.encode_length_delimited(bytes);
    debug_assert!(encoded.is_ok(), "a vector that is full: {encoded:?}");
}

/// The records of such a stream. What is no record ends it with an error.
pub(crate) fn records(mut file: impl BufRead) -> impl Iterator<Item = Result<Record, String>> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let record = next(&mut file).transpose();
        ended = !matches!(record, Some(Ok(_)));
        record
    })
}

fn next(file: &mut impl BufRead) -> Result<Option<Record>, String> {
    let failed = |error: std::io::Error| error.to_string();
    if file.fill_buf().map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let length = read_varint(file)?;
    if length > RECORD_BYTES_MAX {
        return Err(format!("a record of {length} bytes"));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(length).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != length {
        return Err("it ends within a record".into());
    }
    let record = pb::Record::decode(bytes::Bytes::from(bytes)).map_err(|error| error.to_string())?;
    Ok(Some(Record { key: record.key, value: record.value }))
}

fn read_varint(file: &mut impl BufRead) -> Result<u64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        file.read_exact(&mut byte).map_err(|error| error.to_string())?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(value);
        }
    }
    Err("a length that does not end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_damage_is_an_error() {
        let all: Vec<Record> = (0..300_usize)
            .map(|at| Record { key: vec![at as u8; at % 7].into(), value: vec![1; at * 3].into() })
            .collect();
        let mut bytes = Vec::new();
        for record in &all {
            put(record.clone(), &mut bytes);
        }
        let back: Vec<Record> = records(bytes.as_slice()).collect::<Result<_, _>>().unwrap();
        assert_eq!(back, all);
        let cut_off: Vec<_> = records(&bytes[..bytes.len() - 1]).collect();
        assert!(cut_off.last().is_some_and(Result::is_err));
        assert!(records([0xff; 12].as_slice()).collect::<Result<Vec<_>, _>>().is_err());
    }
}
