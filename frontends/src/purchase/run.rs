//! A run through a purchase for a client who waits and has shown a card.

use std::time::{Duration, Instant};

use agora_proto::Cents;
use agora_proto::common::{Code, Refusal};
use agora_proto::customer;
use agora_proto::product::ReservationState;

use crate::app::Context;
use crate::databases::Failure;
use crate::problem::Problem;
use crate::purchase::Order;
use crate::purchase::steps::{Authorized, Charge, Steps, is_settled};

/// How long before the request's deadline a purchase turns back, to have time to clean up behind itself.
const TURN_BACK_BEFORE: Duration = Duration::from_secs(4);
/// How long the end of a purchase may take, whether or not the client still waits. With the request's own time it is less than
/// the lease that it runs under.
const TIME_TO_END: Duration = Duration::from_secs(8);

/// Where a run may lead before the purchase is ended.
enum Way {
    /// The stock is sold.
    On(agora_proto::product::Reservation),
    /// It comes to nothing.
    Back(Refusal, Charge),
}

/// Brings a purchase that was begun to its end.
///
/// # Errors
/// `outcome_unknown`: it is left to a repeat, or to a finisher.
pub async fn run(
    context: &Context,
    order: &Order,
    purchase: customer::Purchase,
) -> Result<customer::Purchase, Problem> {
    let steps = Steps::new(context.app(), &purchase.purchase_id);
    let way = forward(context, order, &steps, &purchase).await;
    let deadline = Instant::now() + TIME_TO_END;
    let ended = match way {
        Way::On(sold) => steps.complete(sold, deadline).await,
        Way::Back(reason, charge) => steps.turn_back(reason, charge, deadline).await,
    };
    let ended = ended.map_err(|failure| {
        tracing::error!(purchase = steps.id_text(), %failure, "a purchase was left unfinished");
        Problem::outcome_unknown()
    })?;
    if !is_settled(&ended) {
        // The buyer need not wait for that. If it does not succeed here, a finisher sees to it.
        context.purchases.spawn(async move {
            if let Err(stuck) = steps.settle(deadline).await {
                tracing::warn!(purchase = steps.id_text(), %stuck, "a payment is still to be voided");
            }
        });
    }
    Ok(ended)
}

async fn forward(context: &Context, order: &Order, steps: &Steps, purchase: &customer::Purchase) -> Way {
    let turn_back = context.deadline.checked_sub(TURN_BACK_BEFORE).unwrap_or(context.deadline);
    let reservation = match steps.reserve(purchase, turn_back).await {
        Ok(reservation) => reservation,
        // An earlier run, or a finisher, has turned back, and did not come as far as saying so.
        Err(Failure::Refused(refusal)) if refusal.code() == Code::PurchaseConflict => {
            return Way::Back(ran_out(), Charge::Possible);
        }
        // Until now nothing was reserved, and so nobody has asked for the payment; but another run may be luckier meanwhile.
        Err(Failure::Refused(refusal)) => return Way::Back(without_field(refusal), Charge::IfReserved),
        Err(failure) => return Way::Back(out_of_order(&failure), Charge::Possible),
    };
    match reservation.state() {
        ReservationState::Committed => return Way::On(reservation),
        ReservationState::Released => return Way::Back(ran_out(), Charge::Possible),
        ReservationState::Held | ReservationState::Unspecified => {}
    }
    let authorized = steps.authorize(&order.card, Cents(reservation.total_cents), turn_back).await;
    let authorization_id = match authorized {
        Authorized::Approved(id) => id,
        Authorized::Declined => {
            let reason = Refusal::new(Code::PaymentDeclined, "the card was declined; nothing was bought");
            return Way::Back(reason, Charge::Impossible);
        }
        Authorized::OtherCard => {
            let reason = Refusal::field(
                "card",
                "this purchase was already tried with another card; nothing was bought",
            );
            return Way::Back(reason, Charge::Possible);
        }
        Authorized::Unclear => {
            let detail =
                "the financial service can't be reached now; nothing was bought, and nothing stays charged";
            return Way::Back(Refusal::new(Code::Unavailable, detail), Charge::Possible);
        }
    };
    match steps.commit(authorization_id, context.deadline).await {
        Ok(sold) => Way::On(sold),
        Err(Failure::Refused(refusal)) if refusal.code() == Code::ReservationNotFound => {
            Way::Back(ran_out(), Charge::Possible)
        }
        Err(failure) => Way::Back(out_of_order(&failure), Charge::Possible),
    }
}

fn ran_out() -> Refusal {
    let detail = "the purchase took too long, and its hold on the stock ran out; nothing was bought";
    Refusal::new(Code::Unavailable, detail)
}

fn out_of_order(failure: &Failure) -> Refusal {
    tracing::warn!(%failure, "a purchase turns back");
    let detail = "the product database can't be reached now; nothing was bought, and nothing stays charged";
    Refusal::new(Code::Unavailable, detail)
}

/// What is wrong is in the cart, and in no field of the request.
fn without_field(refusal: Refusal) -> Refusal {
    Refusal { field: String::new(), ..refusal }
}
