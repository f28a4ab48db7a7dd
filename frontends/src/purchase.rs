//! A purchase: a saga over both databases and the financial service.
//!
//! ```text
//! begin ── reserve ── authorize ── commit ── complete
//!             │           │           │
//!             └───────────┴───────────┴──── release ── void ── abort
//! ```
//!
//! The purchase's id comes from the buyer's idempotency key, and each step is idempotent by that id. So whoever repeats the
//! request, through whatever frontend, goes on from where it stands, and two who do so at the same time do no harm.
//!
//! What decides is the reservation: it is committed or released, once, and never both. Nobody completes a purchase whose
//! reservation is not committed, and nobody voids a payment or aborts a purchase whose reservation is not released. So an
//! approved payment ends with its stock taken, or void.
//!
//! A purchase that came to nothing because something was out of order ends as aborted, with `unavailable` for its reason. That
//! is no answer to keep: a repeat with the same key tries again, as a purchase with an id of its own.

use std::time::{Duration, Instant};

use agora_proto::Cents;
use agora_proto::common::{Code, Refusal};
use agora_proto::customer::{self, AbortPurchase, BeginPurchase, CompletePurchase, PurchaseState};
use agora_proto::product::{
    self, CommitReservation, ReleaseReservation, Reservation, ReservationState, Reserve, ReserveLine,
    ReservedLine,
};
use bytes::Bytes;
use uuid::{Builder, Uuid};

use crate::app::Context;
use crate::databases::{Failure, expected};
use crate::payment::{Card, Payment, PaymentError};
use crate::problem::Problem;
use crate::rest::key::{IdempotencyKey, Scope};
use crate::rest::token::Token;

/// How often one idempotency key is tried, counting only tries that came to nothing because something was out of order.
const TRIES: u8 = 16;
/// How long before the request's deadline a purchase turns back, to have time to clean up behind itself.
const TURN_BACK_BEFORE: Duration = Duration::from_secs(4);
/// How long the way back may take, whether or not the client still waits.
const WAY_BACK: Duration = Duration::from_secs(10);
/// Between two tries to reach the financial service: from, up to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What a buyer wants: the session's cart, paid with this card.
pub struct Order {
    /// The session whose cart it is.
    pub token: Token,
    /// Within which the key is the buyer's own.
    pub scope: Scope,
    /// The buyer.
    pub buyer_id: u64,
    /// What the purchase's id comes from.
    pub key: IdempotencyKey,
    /// How it is paid.
    pub card: Card,
}

/// A purchase's id as clients and the financial service see it.
pub fn id_text(id: &[u8]) -> String {
    Uuid::from_slice(id).unwrap_or_default().to_string()
}

/// Buys the cart, or goes on with buying it, or tells how it ended.
///
/// # Errors
/// The reason why it came to nothing; or `outcome_unknown`, and a repeat with the same key finds out.
pub async fn make(context: Context, order: Order) -> Result<customer::Purchase, Problem> {
    for number in 0..TRIES {
        let purchase = begin(&context, &order, number).await?;
        match purchase.state() {
            PurchaseState::Completed => return Ok(purchase),
            PurchaseState::Aborted => match purchase.reason {
                Some(reason) if reason.code() == Code::Unavailable => {}
                reason => return Err(reason.map_or_else(Problem::internal, Problem::from)),
            },
            PurchaseState::Started | PurchaseState::Unspecified => {
                return Saga::new(&context, &order, purchase).run().await;
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
    });
    let begun = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    Ok(expected!(customer::Purchase, begun)?)
}

/// Whether there may be a payment to void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    None,
    Possible,
}

/// One run through a purchase that was begun.
struct Saga<'a> {
    context: &'a Context,
    order: &'a Order,
    purchase: customer::Purchase,
    /// When to turn back.
    turn_back: Instant,
}

type Outcome = Result<customer::Purchase, Problem>;

impl<'a> Saga<'a> {
    fn new(context: &'a Context, order: &'a Order, purchase: customer::Purchase) -> Self {
        let turn_back = context.deadline.checked_sub(TURN_BACK_BEFORE).unwrap_or(context.deadline);
        Saga { context, order, purchase, turn_back }
    }

    fn id(&self) -> Bytes {
        self.purchase.purchase_id.clone()
    }

    async fn run(&self) -> Outcome {
        let reservation = match self.reserve().await {
            Ok(reservation) => reservation,
            // An earlier run has turned back, and did not come as far as saying so.
            Err(Failure::Refused(refusal)) if refusal.code() == Code::PurchaseConflict => {
                return self.turn_back(ran_out(), Charge::Possible).await;
            }
            // Also what was refused is released: that keeps another run of this purchase, which may have stalled before its
            // own reserve, from getting through with it after this one has aborted.
            Err(Failure::Refused(refusal)) => {
                return self.turn_back(without_field(refusal), Charge::None).await;
            }
            Err(failure) => return self.turn_back(out_of_order(&failure), Charge::None).await,
        };
        if reservation.state() == ReservationState::Released {
            // An earlier run may have come as far as paying.
            return self.turn_back(ran_out(), Charge::Possible).await;
        }
        let authorization_id = match self.authorize(&reservation).await {
            Authorized::Approved(id) => id,
            Authorized::Declined => {
                let reason = Refusal::new(Code::PaymentDeclined, "the card was declined; nothing was bought");
                return self.turn_back(reason, Charge::None).await;
            }
            Authorized::Refused => {
                let reason = Refusal::field(
                    "card",
                    "this purchase was already tried with another card; nothing was bought",
                );
                return self.turn_back(reason, Charge::Possible).await;
            }
            Authorized::Unclear(charge) => {
                let detail = "the financial service can't be reached now; nothing was bought or charged";
                return self.turn_back(Refusal::new(Code::Unavailable, detail), charge).await;
            }
        };
        match self.commit().await {
            Ok(committed) => self.complete(&committed, authorization_id).await,
            Err(Failure::Refused(refusal)) if refusal.code() == Code::ReservationNotFound => {
                self.turn_back(ran_out(), Charge::Possible).await
            }
            Err(failure) => self.turn_back(out_of_order(&failure), Charge::Possible).await,
        }
    }

    async fn reserve(&self) -> Result<Reservation, Failure> {
        let lines =
            self.purchase.lines.iter().map(|line| ReserveLine { item: line.item, quantity: line.quantity });
        let command = product::command::Body::Reserve(Reserve {
            purchase_id: self.id(),
            buyer_id: self.order.buyer_id,
            lines: lines.collect(),
        });
        let reserved = self.context.databases.change_product(self.turn_back, None, command).await?;
        expected!(product::Reservation, reserved)
    }

    /// Asks the financial service until it answers. Asking twice is safe: it knows the purchase by its id.
    async fn authorize(&self, reservation: &Reservation) -> Authorized {
        let transaction_id = id_text(&self.purchase.purchase_id);
        let amount = Cents(reservation.total_cents);
        let payment = Payment { transaction_id: &transaction_id, card: &self.order.card, amount };
        let mut charge = Charge::None;
        let mut pause = PAUSES.0;
        loop {
            match self.context.payments.authorize(&payment).await {
                Ok(authorization) if authorization.approved => {
                    return Authorized::Approved(authorization.authorization_id);
                }
                Ok(_) => return Authorized::Declined,
                Err(PaymentError::Refused(why)) => {
                    tracing::warn!(why, purchase = transaction_id, "the financial service refuses a payment");
                    return Authorized::Refused;
                }
                Err(error) => {
                    tracing::warn!(%error, purchase = transaction_id, "can't authorize a payment");
                    if matches!(error, PaymentError::Unknown(_)) {
                        charge = Charge::Possible;
                    }
                }
            }
            if Instant::now() + pause >= self.turn_back {
                return Authorized::Unclear(charge);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn commit(&self) -> Result<Reservation, Failure> {
        let command = product::command::Body::CommitReservation(CommitReservation { purchase_id: self.id() });
        let committed = self.context.databases.change_product(self.context.deadline, None, command).await?;
        expected!(product::Reservation, committed)
    }

    async fn complete(&self, reservation: &Reservation, authorization_id: String) -> Outcome {
        let command = customer::command::Body::CompletePurchase(CompletePurchase {
            purchase_id: self.id(),
            lines: reservation.lines.iter().cloned().map(bought).collect(),
            total_cents: reservation.total_cents,
            authorization_id,
        });
        let deadline = Instant::now() + WAY_BACK;
        match self.context.databases.change_customer(deadline, None, command).await {
            Ok(completed) => Ok(expected!(customer::Purchase, completed)?),
            Err(failure) => Err(self.unfinished("complete", &failure)),
        }
    }

    /// Ends the purchase without its goods: first the reservation, which decides, and then what hangs on it.
    async fn turn_back(&self, reason: Refusal, charge: Charge) -> Outcome {
        let command =
            product::command::Body::ReleaseReservation(ReleaseReservation { purchase_id: self.id() });
        let deadline = Instant::now() + WAY_BACK;
        match self.context.databases.change_product(deadline, None, command).await {
            Ok(_) => {}
            // It was committed after all: by someone who runs this purchase too, or by us, and the answer was lost.
            Err(Failure::Refused(refusal)) if refusal.code() == Code::PurchaseConflict => {
                return self.go_on().await;
            }
            Err(failure) => return Err(self.unfinished("release", &failure)),
        }
        if charge == Charge::Possible {
            self.void(deadline).await?;
        }
        self.abort(reason).await
    }

    /// The stock is taken, so the payment was approved: asking again tells its id.
    async fn go_on(&self) -> Outcome {
        let committed = self.commit().await.map_err(|failure| self.unfinished("commit", &failure))?;
        match self.authorize(&committed).await {
            Authorized::Approved(id) => self.complete(&committed, id).await,
            Authorized::Declined | Authorized::Refused | Authorized::Unclear(_) => {
                tracing::error!(
                    purchase = id_text(&self.id()),
                    "the stock is taken, and its payment can't be confirmed"
                );
                Err(Problem::outcome_unknown())
            }
        }
    }

    async fn void(&self, deadline: Instant) -> Result<(), Problem> {
        let transaction_id = id_text(&self.purchase.purchase_id);
        let mut pause = PAUSES.0;
        loop {
            match self.context.payments.void(&transaction_id).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() + pause >= deadline => {
                    tracing::error!(%error, purchase = transaction_id, "can't void a payment that may have been approved");
                    return Err(Problem::outcome_unknown());
                }
                Err(error) => {
                    tracing::warn!(%error, purchase = transaction_id, "can't void a payment: trying again")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn abort(&self, reason: Refusal) -> Outcome {
        let command = customer::command::Body::AbortPurchase(AbortPurchase {
            purchase_id: self.id(),
            reason: Some(reason.clone()),
        });
        let deadline = Instant::now() + WAY_BACK;
        match self.context.databases.change_customer(deadline, None, command).await {
            // Someone else may have aborted it before, for another reason; that one was told first.
            Ok(aborted) => {
                let aborted = expected!(customer::Purchase, aborted)?;
                Err(aborted.reason.unwrap_or(reason).into())
            }
            Err(failure) => Err(self.unfinished("abort", &failure)),
        }
    }

    /// The purchase stands where it stood, and a repeat goes on from there.
    fn unfinished(&self, step: &'static str, failure: &Failure) -> Problem {
        tracing::error!(purchase = id_text(&self.purchase.purchase_id), step, %failure, "a purchase was left unfinished");
        Problem::outcome_unknown()
    }
}

enum Authorized {
    Approved(String),
    Declined,
    /// Another try of this purchase has paid, or tried to, with another card.
    Refused,
    Unclear(Charge),
}

fn bought(line: ReservedLine) -> customer::PurchaseLine {
    customer::PurchaseLine {
        item: line.item,
        quantity: line.quantity,
        price_cents: line.price_cents,
        name: line.name,
        seller_id: line.seller_id,
    }
}

fn ran_out() -> Refusal {
    Refusal::new(
        Code::Unavailable,
        "the purchase took too long, and its hold on the stock ran out; nothing was bought",
    )
}

fn out_of_order(failure: &Failure) -> Refusal {
    tracing::warn!(%failure, "a purchase turns back");
    Refusal::new(
        Code::Unavailable,
        "the product database can't be reached now; nothing was bought or charged",
    )
}

/// What is wrong is in the cart, and in no field of the request.
fn without_field(refusal: Refusal) -> Refusal {
    Refusal { field: String::new(), ..refusal }
}
