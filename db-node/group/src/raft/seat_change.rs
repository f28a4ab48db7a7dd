//! The wish that a seat get a node, or lose it, what may become of that, and how both travel between nodes.

use std::net::SocketAddr;

use agora_proto::raft as pb;
use agora_proto::raft::change_seat_reply::Outcome as PbOutcome;

/// What a node's name takes at most: the membership is in each snapshot, and in each status.
const NAME_BYTES_MAX: usize = 64;

/// What shall become of a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatChange {
    /// A node shall have it that has none yet.
    Add {
        /// One that nobody had before.
        seat: usize,
        /// The node's name.
        name: String,
        /// The address of its services.
        address: SocketAddr,
    },
    /// Nobody shall have it any more. Who asks may be wrong about whose it is, so that is told.
    Remove {
        /// Which.
        seat: usize,
        /// The name of the node whose seat it must be.
        name: String,
        /// Where that must be, if that matters.
        address: Option<SocketAddr>,
    },
}

/// What became of the wish for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is so.
    Done,
    /// The new node learns, and has the seat's vote when it has caught up.
    Learning,
    /// It can't be; nothing happened.
    Refused(String),
    /// Not now; it may still come about. Worth asking again.
    NotNow(String),
    /// Too many ask for changes. Nothing was done for this one.
    Overloaded,
}

impl SeatChange {
    /// A wish as it came over the network.
    ///
    /// # Errors
    /// It makes no sense; tells why.
    pub fn parse(seat: u64, name: String, address: &str, remove: bool) -> Result<SeatChange, String> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("a node's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        // What is no seat here is none anywhere.
        let seat = u16::try_from(seat).map(usize::from).map_err(|_| format!("there is no seat {seat}"))?;
        let parsed = || address.parse().map_err(|_| format!("{address:?} is no address"));
        if !remove {
            return Ok(SeatChange::Add { seat, name, address: parsed()? });
        }
        let address = if address.is_empty() { None } else { Some(parsed()?) };
        Ok(SeatChange::Remove { seat, name, address })
    }
}

pub(crate) fn from_request(request: pb::ChangeSeat) -> Result<SeatChange, String> {
    let pb::ChangeSeat { seat, name, address, remove } = request;
    SeatChange::parse(seat, name, &address, remove)
}

pub(crate) fn to_pb(change: &SeatChange) -> pb::ChangeSeat {
    let (seat, name, address, remove) = match change {
        SeatChange::Add { seat, name, address } => (seat, name, Some(address), false),
        SeatChange::Remove { seat, name, address } => (seat, name, address.as_ref(), true),
    };
    let address = address.map(SocketAddr::to_string).unwrap_or_default();
    pb::ChangeSeat { seat: *seat as u64, name: name.clone(), address, remove }
}

pub(crate) fn from_pb(reply: pb::ChangeSeatReply) -> Changed {
    match reply.outcome() {
        PbOutcome::Done => Changed::Done,
        PbOutcome::Learning => Changed::Learning,
        PbOutcome::Refused => Changed::Refused(reply.why),
        PbOutcome::NotNow | PbOutcome::Unspecified => Changed::NotNow(reply.why),
    }
}

pub(crate) fn reply(changed: Changed) -> pb::ChangeSeatReply {
    let (outcome, why) = match changed {
        Changed::Done => (PbOutcome::Done, String::new()),
        Changed::Learning => (PbOutcome::Learning, String::new()),
        Changed::Refused(why) => (PbOutcome::Refused, why),
        Changed::NotNow(why) => (PbOutcome::NotNow, why),
        // Whoever brought it to the leader asks again.
        Changed::Overloaded => (PbOutcome::NotNow, "the leader is asked for too many changes".into()),
    };
    pb::ChangeSeatReply { outcome: outcome.into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_and_what_became_of_them_come_back_as_they_were() {
        let add =
            SeatChange::Add { seat: 5, name: "product-6".into(), address: ([10, 0, 0, 1], 7206).into() };
        let remove = |address| SeatChange::Remove { seat: 2, name: "product-3".into(), address };
        for change in [add, remove(None), remove(Some(([10, 0, 0, 1], 7203).into()))] {
            assert_eq!(from_request(to_pb(&change)).unwrap(), change);
        }
        for changed in
            [Changed::Done, Changed::Learning, Changed::Refused("a".into()), Changed::NotNow("b".into())]
        {
            assert_eq!(from_pb(reply(changed.clone())), changed);
        }
    }

    #[test]
    fn wishes_that_make_no_sense_are_none() {
        let parse = |seat, name: &str, address: &str, remove| {
            SeatChange::parse(seat, name.into(), address, remove).map(drop)
        };
        for remove in [false, true] {
            assert_eq!(parse(65_535, "x", "10.0.0.1:1", remove), Ok(()));
            assert!(parse(1 << 16, "x", "10.0.0.1:1", remove).is_err());
            assert!(parse(1, "x", "nowhere", remove).is_err());
            assert!(parse(1, "", "10.0.0.1:1", remove).is_err());
            assert_eq!(parse(1, &"x".repeat(64), "10.0.0.1:1", remove), Ok(()));
            assert!(parse(1, &"ä".repeat(33), "10.0.0.1:1", remove).is_err());
        }
        assert_eq!((parse(1, "x", "", true), parse(1, "x", "", false).is_err()), (Ok(()), true));
    }
}
