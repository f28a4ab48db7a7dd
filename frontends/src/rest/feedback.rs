//! `PUT /items/{item_id}/feedback`: a buyer's standing vote on an item.

use agora_proto::product::{GiveFeedback, Vote, command};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{Caller, Context};
use crate::databases::expected;
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::Fields;
use crate::rest::key::IdempotencyKey;
use crate::rest::path::PathId;

/// A vote.
#[derive(ToSchema)]
pub struct NewVote {
    #[schema(value_type = String, pattern = "^(up|down)$")]
    vote: Vote,
}

/// All standing votes on an item.
#[derive(Serialize, ToSchema)]
pub struct ItemVotes {
    /// Buyers who like it.
    thumbs_up: u64,
    /// Buyers who do not.
    thumbs_down: u64,
}

/// Vote on an item. A later vote of the same buyer replaces it.
#[utoipa::path(put, path = "/v1/items/{item_id}/feedback", operation_id = "give_feedback", tag = "feedback",
    security(("session" = [])),
    request_body = NewVote, params(("item_id" = String, Path, example = "3-17")), responses(
    (status = 200, description = "All votes on it", body = ItemVotes),
    (status = 404, description = "`item_not_found`", body = ProblemBody),
))]
pub async fn give(
    context: Context,
    caller: Caller,
    path: PathId,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<Json<ItemVotes>, Problem> {
    let item = path.item()?;
    let new = NewVote { vote: fields.one_of("vote", &[("up", Vote::Up), ("down", Vote::Down)])? };
    fields.finish()?;
    let text = item.to_string();
    let request: [&[u8]; 3] = [b"give feedback", text.as_bytes(), new.vote.as_str_name().as_bytes()];
    let idempotency = key.idempotency(&caller.user.scope, &request);
    let command = command::Body::GiveFeedback(GiveFeedback {
        buyer_id: caller.user.id,
        item: Some(item),
        vote: new.vote.into(),
    });
    let given = context.databases.change_product(context.deadline, Some(idempotency), command).await?;
    let votes = expected!(product::Feedback, given)?;
    Ok(Json(ItemVotes { thumbs_up: votes.thumbs_up, thumbs_down: votes.thumbs_down }))
}
