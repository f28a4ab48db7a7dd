//! The shape of commands and queries: bytes into what the machine works on, with everything there that must be. The rules
//! on what fields contain are the machine's, not checked here.

use agora_machine::Malformed;
use agora_proto::common::{Idempotency, ItemId};
use agora_proto::limits::COMMAND_BYTES;
use agora_proto::product::{
    ChangePrice, Command, GiveFeedback, Query, RegisterItem, ReserveLine, UpdateUnits, command, query,
};
use prost::Message;

use crate::item::ItemKey;
use crate::stock::PurchaseId;

/// What a command that takes effect once is known by.
pub struct Identity {
    pub key: [u8; 32],
    pub fingerprint: [u8; 32],
}

/// A command of the right shape.
pub enum Request {
    Register(RegisterItem),
    ChangePrice { seller: u64, item: ItemKey, price_cents: u64 },
    UpdateUnits { seller: u64, item: ItemKey, delta: i64 },
    Remove { seller: u64, item: ItemKey },
    Feedback { buyer: u64, item: ItemKey, vote: i32 },
    Reserve { id: PurchaseId, buyer: u64, lines: Vec<ReserveLine> },
    Commit { id: PurchaseId, authorization_id: String },
    Release(PurchaseId),
    Sweep,
}

/// Reads a command.
pub fn command(bytes: &[u8]) -> Result<(Option<Identity>, Request), Malformed> {
    if bytes.len() > COMMAND_BYTES {
        return Err(Malformed(format!("at most {COMMAND_BYTES} bytes, not {}", bytes.len())));
    }
    let command = Command::decode(bytes).map_err(|error| Malformed(error.to_string()))?;
    let body = command.body.ok_or_else(|| Malformed("no command that is known".into()))?;
    let identity = command.idempotency.as_ref().map(identity).transpose()?;
    let request = request(body)?;
    if identity.is_none() && !request.is_idempotent() {
        return Err(Malformed("a client's command without its idempotency key".into()));
    }
    Ok((identity, request))
}

fn request(body: command::Body) -> Result<Request, Malformed> {
    Ok(match body {
        command::Body::RegisterItem(register) => Request::Register(register),
        command::Body::ChangePrice(ChangePrice { seller_id, item, price_cents }) => {
            Request::ChangePrice { seller: seller_id, item: some_item(item)?, price_cents }
        }
        command::Body::UpdateUnits(UpdateUnits { seller_id, item, delta }) => {
            Request::UpdateUnits { seller: seller_id, item: some_item(item)?, delta }
        }
        command::Body::RemoveItem(remove) => {
            Request::Remove { seller: remove.seller_id, item: some_item(remove.item)? }
        }
        command::Body::GiveFeedback(GiveFeedback { buyer_id, item, vote }) => {
            Request::Feedback { buyer: buyer_id, item: some_item(item)?, vote }
        }
        command::Body::Reserve(reserve) => Request::Reserve {
            id: purchase_id(&reserve.purchase_id)?,
            buyer: reserve.buyer_id,
            lines: reserve.lines,
        },
        command::Body::CommitReservation(commit) => Request::Commit {
            id: purchase_id(&commit.purchase_id)?,
            authorization_id: commit.authorization_id,
        },
        command::Body::ReleaseReservation(release) => Request::Release(purchase_id(&release.purchase_id)?),
        command::Body::Sweep(_) => Request::Sweep,
    })
}

impl Request {
    /// Whether it takes effect once without an idempotency key: the steps of a purchase, by its id, and maintenance.
    fn is_idempotent(&self) -> bool {
        matches!(
            self,
            Request::Reserve { .. } | Request::Commit { .. } | Request::Release(_) | Request::Sweep
        )
    }
}

/// Reads a query.
pub fn query(bytes: &[u8]) -> Result<query::Body, Malformed> {
    if bytes.len() > COMMAND_BYTES {
        return Err(Malformed(format!("at most {COMMAND_BYTES} bytes, not {}", bytes.len())));
    }
    let query = Query::decode(bytes).map_err(|error| Malformed(error.to_string()))?;
    query.body.ok_or_else(|| Malformed("no query that is known".into()))
}

fn identity(idempotency: &Idempotency) -> Result<Identity, Malformed> {
    let hash = |what: &str, bytes: &[u8]| {
        <[u8; 32]>::try_from(bytes).map_err(|_| Malformed(format!("{what} of {} bytes, not 32", bytes.len())))
    };
    Ok(Identity {
        key: hash("an idempotency key", &idempotency.key)?,
        fingerprint: hash("a fingerprint", &idempotency.fingerprint)?,
    })
}

fn some_item(item: Option<ItemId>) -> Result<ItemKey, Malformed> {
    item.map(ItemKey::from).ok_or_else(|| Malformed("no item id".into()))
}

fn purchase_id(bytes: &[u8]) -> Result<PurchaseId, Malformed> {
    let id = <[u8; 16]>::try_from(bytes);
    id.map(PurchaseId).map_err(|_| Malformed(format!("a purchase id of {} bytes, not 16", bytes.len())))
}
