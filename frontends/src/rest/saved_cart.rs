//! `PUT /saved-cart`: the session's cart, kept for the buyer's next logins.

use agora_proto::customer::{SaveCart, command};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::expected;
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::OptionalFields;
use crate::rest::key::IdempotencyKey;

/// Which saved cart is to be overwritten.
#[derive(ToSchema)]
pub struct SavedCartExpected {
    /// The version that the caller last saw. Left out: the one that this session last saw.
    expected_version: Option<u64>,
}

/// The cart was saved.
#[derive(Serialize, ToSchema)]
pub struct SavedCart {
    /// The new version of the saved cart.
    saved_version: u64,
}

/// Overwrite the saved cart with the session's cart, unless another session has saved meanwhile.
#[utoipa::path(put, path = "/v1/saved-cart", operation_id = "save_cart", tag = "cart", security(("session" = [])),
    request_body = Option<SavedCartExpected>, responses(
    (status = 200, description = "It is saved", body = SavedCart),
    (status = 409, description = "`saved_cart_conflict`: look at the cart, and save again", body = ProblemBody),
))]
pub async fn save(
    context: Context,
    caller: Caller,
    key: IdempotencyKey,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<SavedCart>, Problem> {
    let expected = SavedCartExpected { expected_version: fields.optional_number("expected_version")? };
    fields.finish()?;
    let version = expected.expected_version.map_or_else(|| "seen".to_owned(), |version| version.to_string());
    let idempotency = key.idempotency(&caller.user.scope, &[b"save cart", version.as_bytes()]);
    let command = command::Body::SaveCart(SaveCart {
        token_hash: caller.token.hash(),
        expected_version: expected.expected_version,
    });
    let saved = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    Ok(Json(SavedCart { saved_version: expected!(customer::CartSaved, saved)?.saved_version }))
}
