//! Who a member is to openraft: a seat in the group, and the disk that its promises are kept on.
//!
//! Raft trusts a node to remember what it voted for and acknowledged. A node that has lost its disk does not, and must not
//! be taken for the one that promised: with another disk it is another node, which votes only once the group has taken it
//! in (see `membership`).

use std::fmt;

/// A node of the group. In order of their seats.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

/// How many bits of a disk's random id are part of a node's.
const DISK_BITS: u32 = 48;

impl NodeId {
    /// The node of a seat, which the cluster file gives each member, with the disk of this id.
    pub(crate) fn new(seat: usize, disk: u128) -> NodeId {
        // The low bits of a random UUID are random.
        let disk = u64::try_from(disk & ((1 << DISK_BITS) - 1)).unwrap_or_default();
        NodeId(u64::try_from(seat).unwrap_or(u64::MAX) << DISK_BITS | disk)
    }

    /// The member's seat.
    pub(crate) fn seat(self) -> usize {
        usize::try_from(self.0 >> DISK_BITS).unwrap_or(usize::MAX)
    }

    /// As it travels, and as it lies on disk.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }
}

impl From<u64> for NodeId {
    fn from(bits: u64) -> NodeId {
        NodeId(bits)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:012x}", self.seat(), self.0 & ((1 << DISK_BITS) - 1))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
