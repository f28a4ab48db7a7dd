//! Prices and item ids are texts in a history, as they are on the wire.

use std::fmt::Display;

use serde::Serializer;

pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
