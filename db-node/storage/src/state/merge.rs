//! A base with what has changed since, as one.

use super::KeyValue;
use crate::error::StorageError;

/// The records of a base and, in the place of those with the same keys, what they have become; both in the order of their
/// keys. An empty value among the changes is a removal.
pub(super) fn merged(
    base: impl Iterator<Item = Result<KeyValue, StorageError>>,
    changes: impl Iterator<Item = Result<KeyValue, StorageError>>,
) -> impl Iterator<Item = Result<KeyValue, StorageError>> {
    let (mut base, mut changes) = (base.peekable(), changes.peekable());
    std::iter::from_fn(move || {
        loop {
            match (base.peek(), changes.peek()) {
                (Some(Ok((key, _))), Some(Ok((changed, _)))) if key == changed => drop(base.next()),
                (Some(Ok((key, _))), Some(Ok((changed, _)))) if key < changed => return base.next(),
                (Some(Err(_)), _) | (Some(_), None) | (None, None) => return base.next(),
                (_, Some(Ok((_, value)))) if value.is_empty() => drop(changes.next()),
                (_, Some(_)) => return changes.next(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn all(records: &BTreeMap<u8, Vec<u8>>) -> impl Iterator<Item = Result<KeyValue, StorageError>> {
        records.iter().map(|(key, value)| Ok((vec![*key], value.clone())))
    }

    proptest! {
        #[test]
        fn it_is_the_base_with_the_changes_made(
            base: BTreeMap<u8, [u8; 1]>,
            changes: BTreeMap<u8, Option<[u8; 1]>>,
        ) {
            let base: BTreeMap<u8, Vec<u8>> = base.into_iter().map(|(key, value)| (key, value.into())).collect();
            let mut expected = base.clone();
            for (key, value) in &changes {
                match value {
                    Some(value) => drop(expected.insert(*key, value.to_vec())),
                    None => drop(expected.remove(key)),
                }
            }
            let value = |value: Option<[u8; 1]>| value.map_or(Vec::new(), Vec::from);
            let changes = changes.into_iter().map(|(key, change)| (key, value(change))).collect();
            let found: Result<Vec<KeyValue>, _> = merged(all(&base), all(&changes)).collect();
            let expected: Result<Vec<KeyValue>, StorageError> = all(&expected).collect();
            prop_assert_eq!(found.unwrap(), expected.unwrap());
        }
    }

    #[test]
    fn an_error_of_either_side_is_told() {
        let record = |key: u8| Ok((vec![key], vec![1]));
        let damage = || Err(StorageError::damaged("d".as_ref(), "x"));
        let in_base: Vec<_> =
            merged([record(1), damage()].into_iter(), [record(2), record(3)].into_iter()).take(2).collect();
        assert!(in_base[0].is_ok() && in_base[1].is_err());
        let in_changes: Vec<_> =
            merged([record(1), record(2)].into_iter(), [record(1), damage()].into_iter()).take(2).collect();
        assert!(in_changes[0].is_ok() && in_changes[1].is_err());
    }
}
