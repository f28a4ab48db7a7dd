//! The names of things: members, incarnations, slots, epochs, requests.

use std::fmt;

/// A member of the group: its index in the cluster file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u16);

/// A number that a member makes durable and raises at each start, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

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
