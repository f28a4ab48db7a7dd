//! A purchase: a saga over both databases and the financial service.
//!
//! ```text
//! begin ── reserve ── authorize ── commit ── complete
//!             │           │          │
//!             └───────────┴──────────┴──── release ── abort ── void ── settle
//! ```
//!
//! The purchase's id comes from the buyer's idempotency key, and each step is idempotent by that id. So whoever repeats the
//! request, through whatever frontend, goes on from where it stands, and any number who do so at the same time do no harm.
//! What nobody goes on with, a [finisher](finish) in any frontend finds and ends.
//!
//! What decides is the reservation: it is committed or released, once, and never both. It is committed only when the payment
//! was approved, and with the approval's id in it, so that from then on anybody can complete the purchase, without a card. It
//! is released for good: a purchase is aborted only after that, and what may have been charged for it is owed a void, on
//! record, until the financial service has confirmed it. So an approved payment ends with its stock taken and its purchase
//! in the history, or void.
//!
//! A purchase that came to nothing because something was out of order ends as aborted, with `unavailable` for its reason. That
//! is no answer to keep: a repeat with the same key tries again, as a purchase with an id of its own.

pub mod finish;
mod run;
mod steps;

use agora_proto::common::Code;
use agora_proto::customer::{self, BeginPurchase, PurchaseState};
use bytes::Bytes;
use uuid::{Builder, Uuid};

use crate::app::Context;
use crate::crash;
use crate::databases::{Failure, expected};
use crate::payment::Card;
use crate::problem::Problem;
use crate::rest::key::{IdempotencyKey, Scope};
use crate::rest::token::Token;

/// How often one idempotency key is tried, counting only tries that came to nothing because something was out of order.
const TRIES: u8 = 16;

/// What a buyer wants: the session's cart, paid with this card.
pub struct Order {
    /// The session whose cart it is.
    pub token: Token,
    /// Within which the key is the buyer's own.
    pub scope: Scope,
    /// What the purchase's id comes from.
    pub key: IdempotencyKey,
    /// How it is paid.
    pub card: Card,
    /// What is said of a card that has expired, unless the purchase was begun before.
    pub expired: Option<Problem>,
}

/// A purchase's id as clients and the financial service see it.
pub fn id_text(id: &[u8]) -> String {
    uuid(id).to_string()
}

fn uuid(id: &[u8]) -> Uuid {
    Uuid::from_slice(id).unwrap_or_default()
}

/// Buys the cart, or goes on with buying it, or tells how it ended.
///
/// # Errors
/// The reason why it came to nothing; or `outcome_unknown`, and a repeat with the same key finds out.
pub async fn make(context: Context, order: Order) -> Result<customer::Purchase, Problem> {
    for number in 0..TRIES {
        let purchase = begin(&context, &order, number).await?;
        crash::point("begun", uuid(&purchase.purchase_id)).await;
        match purchase.state() {
            PurchaseState::Completed => return Ok(purchase),
            PurchaseState::Aborted if may_be_tried_again(&purchase) => {}
            PurchaseState::Aborted => return outcome(purchase),
            PurchaseState::Started | PurchaseState::Unspecified => {
                return outcome(run::run(&context, &order, purchase).await?);
            }
        }
    }
    Err(Problem::unavailable("this purchase failed too often; nothing was bought: use a new Idempotency-Key"))
}

async fn begin(context: &Context, order: &Order, number: u8) -> Result<customer::Purchase, Problem> {
    let id = order.key.derive(&order.scope, &[b"purchase", &[number][..]].concat());
    let id = Builder::from_custom_bytes(id).into_uuid();
    // No card in the fingerprint: even the hash of a card's number is the number, to whoever tries all numbers.
    let idempotency = match number {
        0 => order.key.idempotency(&order.scope, &[b"make purchase"]),
        _ => order.key.idempotency(&order.scope.within("try", number.into()), &[b"make purchase"]),
    };
    let command = customer::command::Body::BeginPurchase(BeginPurchase {
        token_hash: order.token.hash(),
        purchase_id: Bytes::copy_from_slice(id.as_bytes()),
        only_go_on: order.expired.is_some(),
    });
    let begun = context.databases.change_customer(context.deadline, Some(idempotency), command).await;
    match (begun, &order.expired) {
        (Err(Failure::Refused(refusal)), Some(expired)) if refusal.code() == Code::InvalidField => {
            Err(expired.clone())
        }
        (begun, _) => Ok(expected!(customer::Purchase, begun?)?),
    }
}

fn may_be_tried_again(aborted: &customer::Purchase) -> bool {
    let passing = |code| matches!(code, Code::Unavailable | Code::RateLimited);
    aborted.reason.as_ref().is_some_and(|reason| passing(reason.code()))
}

/// What the buyer is told of a purchase that has ended.
fn outcome(ended: customer::Purchase) -> Result<customer::Purchase, Problem> {
    match ended.reason {
        None if ended.state() == PurchaseState::Completed => Ok(ended),
        reason => Err(reason.map_or_else(Problem::internal, Problem::from)),
    }
}
