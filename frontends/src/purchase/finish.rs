//! The finisher: it ends purchases that nobody goes on with, because their frontend died and their client went away.
//!
//! Each frontend looks every few seconds, and a lease in the customer database decides who sees to which purchase. A finisher
//! has no card, and needs none: what is not paid and sold by now is turned back, and what is sold is completed. Turning back
//! a payment whose approval nobody has put on record works by the purchase's id alone, and is repeated, by this finisher or
//! another one, until the financial service confirms it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_proto::common::{Code, Refusal};
use agora_proto::customer::{self, ClaimPurchases, GetUnfinished, PurchaseState};
use agora_proto::limits::PURCHASES_CLAIMED;
use bytes::Bytes;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::crash;
use crate::databases::{Failure, expected};
use crate::purchase::steps::{Charge, Steps, Stuck, is_settled};
use crate::purchase::uuid;

/// How often a frontend looks, give or take a quarter, so that they do not all look at once.
const PERIOD: Duration = Duration::from_secs(3);
/// How long looking may take.
const TIME_TO_LOOK: Duration = Duration::from_secs(3);
/// How long finishing one purchase may take: less than the lease that it is done under.
const TIME_TO_FINISH: Duration = Duration::from_secs(15);
/// How long a finisher waits for the financial service before it leaves a void to the next round.
const TIME_TO_SETTLE: Duration = Duration::from_secs(4);

/// Finishes what is left unfinished until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        let pause = PERIOD.mul_f64(rand::random_range(0.75..1.25));
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        // When there is more than one claim takes, the next one follows at once.
        while !stop.is_cancelled() {
            match round(&app).await {
                Ok(finished) if finished < PURCHASES_CLAIMED as usize => break,
                Ok(_) => {}
                Err(failure) => {
                    tracing::debug!(%failure, "can't look for unfinished purchases");
                    break;
                }
            }
        }
    }
}

/// Claims unfinished purchases, sees to them, and says how many they were.
async fn round(app: &Arc<App>) -> Result<usize, Failure> {
    let deadline = Instant::now() + TIME_TO_LOOK;
    // Nobody waits for it, and somebody has to do it even when there is much else to do.
    let databases = app.databases.patient();
    // Looking is a read: only what is found costs a write.
    let question = customer::query::Body::GetUnfinished(GetUnfinished {});
    let unfinished = expected!(customer::Unfinished, databases.ask_customer(deadline, question).await?)?;
    if !unfinished.due {
        return Ok(0);
    }
    let command = customer::command::Body::ClaimPurchases(ClaimPurchases {
        claim_id: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
        limit: PURCHASES_CLAIMED,
    });
    let claimed = databases.change_customer(deadline, None, command).await?;
    let claimed = expected!(customer::ClaimedPurchases, claimed)?.purchases;
    let tasks = claimed.iter().map(|purchase| app.purchases.spawn(see_to(Arc::clone(app), purchase.clone())));
    join_all(tasks).await;
    Ok(claimed.len())
}

async fn see_to(app: Arc<App>, purchase: customer::Purchase) {
    crash::point("claimed", uuid(&purchase.purchase_id)).await;
    let steps = Steps::new(&app, &purchase.purchase_id);
    match finish(&steps, purchase).await {
        Ok(ended) => {
            tracing::info!(purchase = steps.id_text(), state = ?ended.state(), "finished a purchase")
        }
        Err(stuck) => tracing::warn!(purchase = steps.id_text(), %stuck, "can't finish a purchase now"),
    }
}

async fn finish(steps: &Steps, mut purchase: customer::Purchase) -> Result<customer::Purchase, Stuck> {
    let deadline = Instant::now() + TIME_TO_FINISH;
    if purchase.state() == PurchaseState::Started {
        let detail =
            "the purchase was interrupted before it was paid; nothing was bought, and nothing stays charged";
        let reason = Refusal::new(Code::Unavailable, detail);
        purchase = steps.turn_back(reason, Charge::Possible, deadline).await?;
    }
    if is_settled(&purchase) {
        return Ok(purchase);
    }
    // If the financial service is out of order, the next ones to be finished must not wait for it.
    steps.settle(deadline.min(Instant::now() + TIME_TO_SETTLE)).await
}
