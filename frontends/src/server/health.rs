//! `/healthz`: the process lives. `/readyz`: it can serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_proto::common::Role;
use agora_proto::customer::{self, GetAccount};
use agora_proto::product::{self, GetSellerRating};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::app::App;
use crate::databases::Failure;
use crate::problem::Problem;

/// How long the databases may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer of one who is well.
#[derive(Serialize)]
pub struct Well {
    status: &'static str,
}

/// The process lives. Asks nobody else: restarting a frontend does not heal a database.
pub async fn alive() -> Json<Well> {
    Json(Well { status: "alive" })
}

/// Both databases answer linearizable reads. The financial service does not count: a frontend that can't sell for a while can
/// still show, and a cluster without any frontend can't even do that.
///
/// # Errors
/// `unavailable` names the database that does not answer.
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Well>, Problem> {
    let deadline = Instant::now() + PATIENCE;
    // Having much to do is no illness.
    let databases = app.databases.patient();
    let nobody = GetAccount { role: Role::Seller.into(), user_id: 0 };
    let customer = databases.ask_customer(deadline, customer::query::Body::GetAccount(nobody));
    let nothing = GetSellerRating { seller_id: 0 };
    let product = databases.ask_product(deadline, product::query::Body::GetSellerRating(nothing));
    let (customer, product) = tokio::join!(customer, product);
    answers("customer", customer)?;
    answers("product", product)?;
    Ok(Json(Well { status: "ready" }))
}

/// A refusal is an answer.
fn answers<T>(database: &str, answer: Result<T, Failure>) -> Result<(), Problem> {
    match answer {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => {
            Err(Problem::unavailable(format!("the {database} database does not answer: {failure}")))
        }
    }
}
