//! The names of things: members, incarnations, slots, epochs, requests.

use std::fmt;

/// A member of the group: its index in the cluster file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u16);

/// A number that a member makes durable and raises at each start, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A data directory, drawn at random when it is created: a member that lost its directory comes back with another one.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub u128);

/// A global sequence number, from 1, without holes; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

/// A ballot: ordered by counter, then by the member that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Raised by each coordinator above all that it has seen; the founding epoch has 1.
    pub counter: u64,
    /// The member that started the epoch.
    pub coordinator: MemberId,
}

/// A batch of commands that waited at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The member that took the commands.
    pub sender: MemberId,
    /// Its incarnation then.
    pub incarnation: Incarnation,
    /// Counts the requests of this incarnation, from 1.
    pub local_seq: u64,
}

/// One place in a roster: a member in one of its incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RosterEntry {
    /// The member.
    pub member: MemberId,
    /// The incarnation that takes turns; a later one of the same member does not.
    pub incarnation: Incarnation,
}

impl Epoch {
    /// The epoch that a group is founded with.
    pub const FOUNDING: Epoch = Epoch { counter: 1, coordinator: MemberId(0) };
}

impl Incarnation {
    /// Where the generation stands.
    const GENERATION_SHIFT: u32 = 40;

    /// The first incarnation of a disk that takes a seat for this time: above those of all disks that had it before.
    #[must_use]
    pub fn of_generation(generation: u32) -> Incarnation {
        // More than four million disks in one seat there won't be; then it would stay in the last generation.
        Incarnation(u64::from(generation.min(1 << 21)) << Self::GENERATION_SHIFT | 1)
    }

    /// How often the seat had been taken anew when its disk took it; 0 for founders, and for who has no seat.
    #[must_use]
    pub fn generation(self) -> u32 {
        u32::try_from(self.0 >> Self::GENERATION_SHIFT).unwrap_or(u32::MAX)
    }
}

impl Slot {
    /// The slot after this one.
    #[must_use]
    pub fn next(self) -> Slot {
        Slot(self.0 + 1)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {self}")
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.counter, self.coordinator)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.sender, self.incarnation.0, self.local_seq)
    }
}
