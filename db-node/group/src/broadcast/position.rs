//! The position of a replica in this group: the last applied slot, as eight bytes.

use agora_broadcast::Slot;

pub(super) fn of(slot: Slot) -> Vec<u8> {
    slot.0.to_be_bytes().to_vec()
}

/// The slot of a position. A replica without one is before the first slot, and so is one with bytes that are no slot:
/// then all of the log is applied again, or refused if the log does not reach back that far.
pub(super) fn slot(position: Option<&[u8]>) -> Slot {
    let bytes = position.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    bytes.map_or(Slot(0), |bytes| Slot(u64::from_be_bytes(bytes)))
}
