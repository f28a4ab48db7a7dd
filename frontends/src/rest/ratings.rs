//! What buyers make of a seller: `GET /rating` and `GET /sellers/{id}/rating`.

use agora_proto::common::Role;
use agora_proto::customer::{self, GetAccount};
use agora_proto::product::{self, GetSellerRating};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::expected;
use crate::problem::{Problem, ProblemBody};
use crate::rest::path::PathId;
use crate::rest::token::Token;

/// What is known of a seller.
#[derive(Serialize, ToSchema)]
pub struct Rating {
    /// The seller.
    seller_id: u64,
    /// Standing votes up, over all of the seller's items.
    thumbs_up: u64,
    /// Standing votes down.
    thumbs_down: u64,
    /// Units that the seller has sold.
    items_sold: u64,
}

/// Show the own rating.
#[utoipa::path(get, path = "/v1/rating", operation_id = "get_own_rating", tag = "ratings", security(("session" = [])),
    responses((status = 200, description = "The rating", body = Rating)))]
pub async fn own(context: Context, caller: Caller) -> Result<Json<Rating>, Problem> {
    Ok(Json(rating(&context, caller.user.id).await?))
}

/// Show a seller's rating.
#[utoipa::path(get, path = "/v1/sellers/{id}/rating", operation_id = "get_seller_rating", tag = "ratings",
    security(("session" = [])),
    params(("id" = u64, Path, description = "The seller")), responses(
    (status = 200, description = "The rating", body = Rating),
    (status = 404, description = "`seller_not_found`", body = ProblemBody),
))]
pub async fn of_seller(context: Context, token: Token, path: PathId) -> Result<Json<Rating>, Problem> {
    // Three questions that don't wait for each other. The product database rates anybody: it does not know who is a seller.
    let id = path.seller();
    let known = async {
        let account = GetAccount { role: Role::Seller.into(), user_id: id.clone()? };
        Ok::<_, Problem>(
            context
                .databases
                .ask_customer(context.deadline, customer::query::Body::GetAccount(account))
                .await?,
        )
    };
    let rating = async { rating(&context, id.clone()?).await };
    let (user, known, rating) = tokio::join!(context.user(&token), known, rating);
    user?;
    expected!(customer::Account, known?)?;
    Ok(Json(rating?))
}

async fn rating(context: &Context, seller_id: u64) -> Result<Rating, Problem> {
    let question = product::query::Body::GetSellerRating(GetSellerRating { seller_id });
    let rating =
        expected!(product::SellerRating, context.databases.ask_product(context.deadline, question).await?)?;
    Ok(Rating {
        seller_id,
        thumbs_up: rating.thumbs_up,
        thumbs_down: rating.thumbs_down,
        items_sold: rating.items_sold,
    })
}
