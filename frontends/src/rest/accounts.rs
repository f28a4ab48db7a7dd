//! `POST /buyers` and `POST /sellers`: new accounts.

use agora_proto::common::Role;
use agora_proto::customer::{CreateAccount, command};
use agora_proto::limits::{DISPLAY_NAME_CHARS, PASSWORD_CHARS, USERNAME_CHARS};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Context;
use crate::databases::expected;
use crate::passwords::Password;
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::Fields;
use crate::rest::key::{IdempotencyKey, Scope};

/// An account to be created.
#[derive(ToSchema)]
pub struct NewAccount {
    /// Unique among the buyers, or among the sellers.
    #[schema(min_length = 1, max_length = 32)]
    username: String,
    /// Only its argon2id hash is kept.
    #[schema(min_length = 1, max_length = 128, value_type = String, format = Password)]
    password: Password,
    /// The name that others see.
    #[schema(min_length = 1, max_length = 32)]
    display_name: String,
}

impl NewAccount {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let account = NewAccount {
            username: fields.name("username", USERNAME_CHARS)?,
            password: Password::new(fields.text("password", PASSWORD_CHARS)?),
            display_name: fields.name("display_name", DISPLAY_NAME_CHARS)?,
        };
        fields.finish()?;
        Ok(account)
    }
}

/// The new buyer.
#[derive(Serialize, ToSchema)]
pub struct BuyerCreated {
    buyer_id: u64,
}

/// The new seller.
#[derive(Serialize, ToSchema)]
pub struct SellerCreated {
    seller_id: u64,
}

/// Create a buyer's account.
#[utoipa::path(post, path = "/v1/buyers", tag = "accounts", request_body = NewAccount, responses(
    (status = 201, description = "The account was created", body = BuyerCreated),
    (status = 409, description = "`username_taken`", body = ProblemBody),
))]
pub async fn create_buyer(
    context: Context,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<BuyerCreated>), Problem> {
    let buyer_id = create(&context, &key, NewAccount::read(fields)?).await?;
    Ok((StatusCode::CREATED, Json(BuyerCreated { buyer_id })))
}

/// Create a seller's account.
#[utoipa::path(post, path = "/v1/sellers", tag = "accounts", request_body = NewAccount, responses(
    (status = 201, description = "The account was created", body = SellerCreated),
    (status = 409, description = "`username_taken`", body = ProblemBody),
))]
pub async fn create_seller(
    context: Context,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<SellerCreated>), Problem> {
    let seller_id = create(&context, &key, NewAccount::read(fields)?).await?;
    Ok((StatusCode::CREATED, Json(SellerCreated { seller_id })))
}

async fn create(context: &Context, key: &IdempotencyKey, account: NewAccount) -> Result<u64, Problem> {
    let scope = Scope::new_accounts(context.role);
    // The same for a repeat, so that its hash is the same too, and the repeat is known for one.
    let salt = key.derive(&scope, format!("salt:{}", account.username).as_bytes());
    let password_hash = context.passwords.hash(account.password, salt).await?;
    let (username, display_name) = (account.username, account.display_name);
    let idempotency = key.idempotency(
        &scope,
        &[b"create account", username.as_bytes(), display_name.as_bytes(), password_hash.as_bytes()],
    );
    let role = Role::into(context.role);
    let command = command::Body::CreateAccount(CreateAccount { role, username, display_name, password_hash });
    let created = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    Ok(expected!(customer::AccountCreated, created)?.user_id)
}
