//! The position of a replica in this group: the last applied slot, and the epoch in which it was assigned. The epoch tells after a
//! restart whether the log agrees with what is applied.

use agora_broadcast::{Epoch, MemberId, Slot};

pub(super) fn of(slot: Slot, epoch: Epoch) -> Vec<u8> {
    let mut bytes = slot.0.to_be_bytes().to_vec();
    bytes.extend(epoch.counter.to_be_bytes());
    bytes.extend(epoch.coordinator.0.to_be_bytes());
    bytes
}

/// The slot of a position. A replica without one is before the first slot, and so is one with bytes that are no position:
/// then all of the log is applied again, or refused if the log does not reach back that far.
pub(super) fn slot(position: Option<&[u8]>) -> Slot {
    position.and_then(read).map_or(Slot(0), |(slot, _)| slot)
}

/// Slot and epoch of a position.
pub(super) fn read(position: &[u8]) -> Option<(Slot, Epoch)> {
    let (slot, rest) = position.split_first_chunk()?;
    let (counter, rest) = rest.split_first_chunk()?;
    let coordinator = MemberId(u16::from_be_bytes(rest.try_into().ok()?));
    let epoch = Epoch { counter: u64::from_be_bytes(*counter), coordinator };
    Some((Slot(u64::from_be_bytes(*slot)), epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_anything_else_is_none() {
        let epoch = Epoch { counter: 7, coordinator: MemberId(3) };
        let bytes = of(Slot(42), epoch);
        assert_eq!(read(&bytes), Some((Slot(42), epoch)));
        assert_eq!(slot(Some(&bytes)), Slot(42));
        assert_eq!(slot(Some(&bytes[1..])), Slot(0));
        assert_eq!(slot(None), Slot(0));
    }
}
