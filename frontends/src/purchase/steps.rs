//! The steps of a purchase. Each is idempotent by the purchase's id, and can be taken by anybody who knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_proto::Cents;
use agora_proto::common::Refusal;
use agora_proto::customer::{
    self, AbortPurchase, CompletePurchase, PurchaseLine, PurchaseState, SettlePurchase,
};
use agora_proto::product::{
    self, CommitReservation, ReleaseReservation, Reservation, ReservationState, Reserve, ReserveLine,
    ReservedLine,
};
use bytes::Bytes;

use crate::app::App;
use crate::crash;
use crate::databases::{Databases, Failure, expected};
use crate::payment::{Card, Payment, PaymentError};
use crate::purchase::{id_text, uuid};

/// Between two tries to reach the financial service: from, up to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What has become of the payment, as far as whoever turns back knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It was declined, or never asked for and can't be any more.
    Impossible,
    /// This run could reserve nothing, so it is asked for only if another run of the same purchase reserves later.
    IfReserved,
    /// It may have been approved, by this run or by an earlier one.
    Possible,
}

/// What came of asking for the payment.
pub enum Authorized {
    Approved(String),
    Declined,
    /// Another run of this purchase has asked with another card.
    OtherCard,
    /// There was no answer in time.
    Unclear,
}

/// Why a step was not taken. The purchase stands where it stood.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// A database did not do its part.
    #[error("{0}")]
    Database(#[from] Failure),
    /// The financial service did not confirm a void.
    #[error("{0}")]
    Payment(#[from] PaymentError),
}

/// The steps of one purchase.
#[derive(Clone)]
pub struct Steps {
    app: Arc<App>,
    /// What was begun is seen through: turning back costs an overloaded database more than going on.
    databases: Databases,
    id: Bytes,
}

impl Steps {
    /// Of the purchase with this id.
    pub fn new(app: &Arc<App>, id: &Bytes) -> Self {
        Steps { app: Arc::clone(app), databases: app.databases.patient(), id: id.clone() }
    }

    /// The purchase's id, and that of its payment.
    pub fn id_text(&self) -> String {
        id_text(&self.id)
    }

    /// Takes the stock out of the shelves, and fixes its prices.
    pub async fn reserve(
        &self,
        purchase: &customer::Purchase,
        deadline: Instant,
    ) -> Result<Reservation, Failure> {
        let lines =
            purchase.lines.iter().map(|line| ReserveLine { item: line.item, quantity: line.quantity });
        let command = product::command::Body::Reserve(Reserve {
            purchase_id: self.id.clone(),
            buyer_id: purchase.buyer_id,
            lines: lines.collect(),
        });
        self.product(command, deadline, "reserved").await
    }

    /// Asks for the payment until there is an answer. Asking twice is safe: the financial service knows it by its id.
    pub async fn authorize(&self, card: &Card, amount: Cents, deadline: Instant) -> Authorized {
        let transaction_id = self.id_text();
        let payment = Payment { transaction_id: &transaction_id, card, amount };
        let mut tries = Tries::until(deadline);
        let authorized = loop {
            match self.app.payments.authorize(&payment).await {
                Ok(answer) if answer.approved => break Authorized::Approved(answer.authorization_id),
                Ok(_) => break Authorized::Declined,
                Err(PaymentError::Refused(why)) => {
                    tracing::warn!(why, purchase = transaction_id, "the financial service refuses a payment");
                    break Authorized::OtherCard;
                }
                Err(error) if !tries.again(&error).await => break Authorized::Unclear,
                Err(_) => {}
            }
        };
        crash::point("authorized", uuid(&self.id)).await;
        authorized
    }

    /// The stock is sold, and paid by this approved payment.
    pub async fn commit(&self, authorization_id: String, deadline: Instant) -> Result<Reservation, Failure> {
        let command = product::command::Body::CommitReservation(CommitReservation {
            purchase_id: self.id.clone(),
            authorization_id,
        });
        self.product(command, deadline, "committed").await
    }

    /// Puts a purchase whose stock is sold into the history.
    pub async fn complete(
        &self,
        sold: Reservation,
        deadline: Instant,
    ) -> Result<customer::Purchase, Failure> {
        let command = customer::command::Body::CompletePurchase(CompletePurchase {
            purchase_id: self.id.clone(),
            lines: sold.lines.into_iter().map(bought).collect(),
            total_cents: sold.total_cents,
            authorization_id: sold.authorization_id,
        });
        self.customer(command, deadline, "completed").await
    }

    /// Ends the purchase without its goods: first the reservation, which decides, and then what hangs on it. If the stock was
    /// sold after all, by somebody else or by an attempt whose answer was lost, the purchase is completed.
    pub async fn turn_back(
        &self,
        reason: Refusal,
        charge: Charge,
        deadline: Instant,
    ) -> Result<customer::Purchase, Failure> {
        let command =
            product::command::Body::ReleaseReservation(ReleaseReservation { purchase_id: self.id.clone() });
        let reservation = self.product(command, deadline, "released").await?;
        if reservation.state() == ReservationState::Committed {
            return self.complete(reservation, deadline).await;
        }
        let void_owed = match charge {
            Charge::Impossible => false,
            // What was never reserved is only marked as released, without lines, and can't be reserved any more.
            Charge::IfReserved => !reservation.lines.is_empty(),
            Charge::Possible => true,
        };
        let command = customer::command::Body::AbortPurchase(AbortPurchase {
            purchase_id: self.id.clone(),
            reason: Some(reason),
            void_owed,
        });
        self.customer(command, deadline, "aborted").await
    }

    /// Makes sure that nothing is or will be charged for an aborted purchase, and puts that on record.
    pub async fn settle(&self, deadline: Instant) -> Result<customer::Purchase, Stuck> {
        let transaction_id = self.id_text();
        let mut tries = Tries::until(deadline);
        loop {
            let error = match self.app.payments.void(&transaction_id).await {
                Ok(true) => break,
                Ok(false) => PaymentError::Unknown("it says that the payment is not void".into()),
                Err(error) => error,
            };
            if !tries.again(&error).await {
                return Err(error.into());
            }
        }
        crash::point("voided", uuid(&self.id)).await;
        let command =
            customer::command::Body::SettlePurchase(SettlePurchase { purchase_id: self.id.clone() });
        Ok(self.customer(command, deadline, "settled").await?)
    }

    async fn product(
        &self,
        command: product::command::Body,
        deadline: Instant,
        done: &'static str,
    ) -> Result<Reservation, Failure> {
        let answer = self.databases.change_product(deadline, None, command).await;
        if matches!(answer, Err(Failure::Refused(_))) {
            crash::point("refused", uuid(&self.id)).await;
        }
        let reservation = answer?;
        crash::point(done, uuid(&self.id)).await;
        expected!(product::Reservation, reservation)
    }

    async fn customer(
        &self,
        command: customer::command::Body,
        deadline: Instant,
        done: &'static str,
    ) -> Result<customer::Purchase, Failure> {
        let purchase = self.databases.change_customer(deadline, None, command).await?;
        crash::point(done, uuid(&self.id)).await;
        expected!(customer::Purchase, purchase)
    }
}

/// Whether anything is left to do for a purchase.
pub fn is_settled(purchase: &customer::Purchase) -> bool {
    purchase.state() == PurchaseState::Completed
        || purchase.state() == PurchaseState::Aborted && !purchase.void_owed
}

/// Tries to reach the financial service, with growing pauses in between.
struct Tries {
    deadline: Instant,
    pause: Duration,
}

impl Tries {
    fn until(deadline: Instant) -> Self {
        Tries { deadline, pause: PAUSES.0 }
    }

    /// After a try that failed: waits, and says whether there is time for another one.
    async fn again(&mut self, error: &PaymentError) -> bool {
        if Instant::now() + self.pause >= self.deadline {
            tracing::warn!(%error, "giving up on the financial service");
            return false;
        }
        tracing::debug!(%error, "asking the financial service again");
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..1.0))).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        true
    }
}

fn bought(line: ReservedLine) -> PurchaseLine {
    PurchaseLine {
        item: line.item,
        quantity: line.quantity,
        price_cents: line.price_cents,
        name: line.name,
        seller_id: line.seller_id,
    }
}
