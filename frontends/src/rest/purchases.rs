//! `POST /purchases` and `GET /purchases`: buying the cart, and what was bought.

use agora_proto::Cents;
use agora_proto::customer::{self, ListPurchases, PurchaseCursor};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::expected;
use crate::month::Month;
use crate::problem::{Problem, ProblemBody};
use crate::purchase::{self, Order};
use crate::rest::body::Fields;
use crate::rest::card::{self, Shown};
use crate::rest::cursor::{self, Listing};
use crate::rest::key::IdempotencyKey;
use crate::rest::query::RawQuery;
use crate::rest::token::Token;

/// How to pay. None of it is stored or logged.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "it describes the body; the card is read into the type that does not show itself"
)]
pub struct Payment {
    card: PaymentCard,
}

/// A payment card.
#[derive(ToSchema)]
#[allow(dead_code, reason = "see Payment")]
pub struct PaymentCard {
    /// The name on the card.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[schema(pattern = "^[0-9]{13,19}$")]
    number: String,
    /// Not past.
    #[schema(pattern = "^(0[1-9]|1[0-2])/[0-9]{4}$", example = "07/2031")]
    expiry: String,
    #[schema(pattern = "^[0-9]{3,4}$")]
    security_code: String,
}

/// A purchase that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurchaseMade {
    /// Its id.
    purchase_id: String,
    /// What was bought.
    lines: Vec<PurchaseLine>,
    /// What was paid.
    #[schema(example = "24.68")]
    total: String,
}

/// A purchase.
#[derive(Debug, Serialize, ToSchema)]
pub struct Purchase {
    /// Its id.
    purchase_id: String,
    /// When it was made: RFC 3339.
    #[schema(example = "2031-07-04T12:34:56.789Z")]
    at: String,
    /// What was bought.
    lines: Vec<PurchaseLine>,
    /// What was paid.
    #[schema(example = "24.68")]
    total: String,
}

/// An item that was bought.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurchaseLine {
    /// The item.
    #[schema(example = "3-17")]
    item_id: String,
    /// What it was called.
    name: String,
    /// Who sold it.
    seller_id: u64,
    /// What a unit cost.
    #[schema(example = "12.34")]
    price: String,
    /// How many units.
    quantity: u32,
}

/// A page of purchases.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurchasePage {
    /// The newest first.
    purchases: Vec<Purchase>,
    /// Give it back as `cursor` for the next page. Null: this was the last.
    next_cursor: Option<String>,
}

impl From<customer::PurchaseLine> for PurchaseLine {
    fn from(line: customer::PurchaseLine) -> Self {
        PurchaseLine {
            item_id: line.item.unwrap_or_default().to_string(),
            name: line.name,
            seller_id: line.seller_id,
            price: Cents(line.price_cents).to_string(),
            quantity: line.quantity,
        }
    }
}

impl From<customer::Purchase> for PurchaseMade {
    fn from(purchase: customer::Purchase) -> Self {
        PurchaseMade {
            purchase_id: purchase::id_text(&purchase.purchase_id),
            lines: purchase.lines.into_iter().map(PurchaseLine::from).collect(),
            total: Cents(purchase.total_cents).to_string(),
        }
    }
}

impl From<customer::Purchase> for Purchase {
    fn from(purchase: customer::Purchase) -> Self {
        let at = rfc3339(purchase.at_ms);
        let PurchaseMade { purchase_id, lines, total } = purchase.into();
        Purchase { purchase_id, at, lines, total }
    }
}

fn rfc3339(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Buy the session's cart: all of it, or nothing.
#[utoipa::path(post, path = "/v1/purchases", operation_id = "make_purchase", tag = "purchases",
    security(("session" = [])), request_body = Payment,
    responses(
    (status = 201, description = "It is bought, and paid for", body = PurchaseMade),
    (status = 402, description = "`payment_declined`: nothing was bought, the cart is as it was", body = ProblemBody),
    (status = 409, description = "`cart_empty`, `insufficient_stock`, `purchase_conflict`", body = ProblemBody),
))]
pub async fn make(
    context: Context,
    caller: Caller,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<PurchaseMade>), Problem> {
    let Shown { card, expired } = card::read(fields, Month::now())?;
    let order = Order { token: caller.token, scope: caller.user.scope, key, card, expired };
    // A task of its own: a client that hangs up must not leave a purchase half done.
    let purchase = context.purchases.clone().spawn(purchase::make(context.patient(), order));
    let purchase = purchase.await.map_err(|error| {
        tracing::error!(%error, "a purchase broke off");
        Problem::outcome_unknown()
    })?;
    Ok((StatusCode::CREATED, Json(purchase?.into())))
}

/// List the own purchases, the newest first.
#[utoipa::path(get, path = "/v1/purchases", operation_id = "list_purchases", tag = "purchases",
    security(("session" = [])), params(
    ("limit" = Option<u32>, Query, description = "At most so many, 1 to 100", maximum = 100, minimum = 1),
    ("cursor" = Option<String>, Query, description = "The last page's `next_cursor`"),
), responses((status = 200, description = "A page of them", body = PurchasePage)))]
pub async fn list(context: Context, token: Token, query: RawQuery) -> Result<Json<PurchasePage>, Problem> {
    let page = async {
        let mut query = query.read()?;
        let limit = query.limit()?;
        let after =
            query.one("cursor")?.map(|text| cursor::decode(Listing::Purchases, b"", &text)).transpose()?;
        query.finish()?;
        let after = after.map(|(number, _)| PurchaseCursor { number });
        let question = ListPurchases { token_hash: token.hash(), limit, after };
        let question = customer::query::Body::ListPurchases(question);
        Ok::<_, Problem>(expected!(
            customer::PurchasePage,
            context.databases.ask_customer(context.deadline, question).await?
        )?)
    };
    let (user, page) = tokio::join!(context.user(&token), page);
    user?;
    let page = page?;
    let next_cursor = page.next.map(|next| cursor::encode(Listing::Purchases, b"", (next.number, 0)));
    Ok(Json(PurchasePage {
        purchases: page.purchases.into_iter().map(Purchase::from).collect(),
        next_cursor,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_941_107_696_789), "2031-07-06T12:34:56.789Z");
    }
}
