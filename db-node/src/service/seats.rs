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
        Changed::Overloaded => return Err(Status::resource_exhausted("too many changes are asked for")),
    };
    Ok(ChangeSeatReply { outcome: outcome.into(), why })
}

fn parse(request: ChangeSeatRequest) -> Result<SeatChange, String> {
    let ChangeSeatRequest { seat, name, address, remove } = request;
    SeatChange::parse(seat, name, &address, remove)
}
