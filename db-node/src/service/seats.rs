//! Wishes that a member be added or removed, on their way to the group.

use agora_group::raft::{Changed, Roster, SeatChange};
use agora_proto::database::change_seat_reply::Outcome;
use agora_proto::database::{ChangeSeatReply, ChangeSeatRequest};
use tonic::Status;

pub(super) async fn change(
    roster: Option<&Roster>,
    request: ChangeSeatRequest,
) -> Result<ChangeSeatReply, Status> {
    let change = parse(request).map_err(Status::invalid_argument)?;
    let changed = match roster {
        Some(roster) => roster.change(change).await,
        None => Changed::Refused("the members of this group are fixed".into()),
    };
    let (outcome, why) = match changed {
        Changed::Done => (Outcome::Done, String::new()),
        Changed::Learning => (Outcome::Learning, String::new()),
        Changed::Refused(why) => (Outcome::Refused, why),
        Changed::NotNow(why) => (Outcome::NotNow, why),
    };
    Ok(ChangeSeatReply { outcome: outcome.into(), why })
}

fn parse(request: ChangeSeatRequest) -> Result<SeatChange, String> {
    let ChangeSeatRequest { seat, name, address } = request;
    let seat = u16::try_from(seat).map(usize::from).map_err(|_| format!("there is no seat {seat}"))?;
    if name.is_empty() && address.is_empty() {
        return Ok(SeatChange::Remove { seat });
    }
    if name.is_empty() || name.len() > 64 {
        return Err("a node's name has 1 to 64 characters".into());
    }
    let address = address.parse().map_err(|_| format!("{address:?} is no address"))?;
    Ok(SeatChange::Add { seat, name, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(seat: u64, name: &str, address: &str) -> ChangeSeatRequest {
        ChangeSeatRequest { seat, name: name.into(), address: address.into() }
    }

    #[test]
    fn a_wish_without_a_node_is_to_remove_one() {
        assert_eq!(parse(request(3, "", "")), Ok(SeatChange::Remove { seat: 3 }));
        let address = ([127, 0, 0, 1], 7206).into();
        let added = SeatChange::Add { seat: 5, name: "product-6".into(), address };
        assert_eq!(parse(request(5, "product-6", "127.0.0.1:7206")), Ok(added));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        for wrong in [request(1 << 16, "", ""), request(1, "x", ""), request(1, "", "127.0.0.1:1")] {
            assert!(parse(wrong).is_err());
        }
        assert!(parse(request(1, &"x".repeat(65), "127.0.0.1:1")).is_err());
    }
}
