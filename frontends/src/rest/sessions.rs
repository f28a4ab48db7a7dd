//! `POST /sessions` and `DELETE /session`: login and logout.

use agora_proto::common::{Code, Role};
use agora_proto::customer::{
    CloseSession, Credentials, GetCredentials, OpenSession, SessionOpened, command, query,
};
use agora_proto::limits::{PASSWORD_CHARS, USERNAME_CHARS};
use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Context;
use crate::databases::{Failure, expected};
use crate::passwords::Password;
use crate::problem::{Problem, ProblemBody};
use crate::rest::body::Fields;
use crate::rest::key::{IdempotencyKey, Scope};
use crate::rest::token::Token;

/// Who wants to log in.
#[derive(ToSchema)]
pub struct Login {
    #[schema(min_length = 1, max_length = 32)]
    username: String,
    #[schema(min_length = 1, max_length = 128, value_type = String, format = Password)]
    password: Password,
}

impl Login {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let login = Login {
            username: fields.text("username", 1..=USERNAME_CHARS)?,
            password: Password::new(fields.text("password", PASSWORD_CHARS)?),
        };
        fields.finish()?;
        Ok(login)
    }
}

/// A buyer's new session.
#[derive(Serialize, ToSchema)]
pub struct BuyerSession {
    /// Proves, in every later call, who is calling: `Authorization: Bearer TOKEN`. A secret.
    token: String,
    buyer_id: u64,
    /// The session ends when it is not used for this long.
    #[schema(example = 300)]
    idle_timeout_s: u32,
}

/// A seller's new session.
#[derive(Serialize, ToSchema)]
pub struct SellerSession {
    /// Proves, in every later call, who is calling: `Authorization: Bearer TOKEN`. A secret.
    token: String,
    seller_id: u64,
    /// The session ends when it is not used for this long.
    #[schema(example = 300)]
    idle_timeout_s: u32,
}

/// Log in as a buyer. The saved cart becomes the new session's cart.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = Login, responses(
    (status = 201, description = "A session was opened", body = BuyerSession),
    (status = 401, description = "`bad_credentials`", body = ProblemBody),
))]
pub async fn open_buyer_session(
    context: Context,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<BuyerSession>), Problem> {
    let (token, opened) = open(&context, &key, Login::read(fields)?).await?;
    let (buyer_id, idle_timeout_s) = (opened.user_id, opened.idle_timeout_s);
    Ok((StatusCode::CREATED, Json(BuyerSession { token: token.reveal(), buyer_id, idle_timeout_s })))
}

/// Log in as a seller.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = Login, responses(
    (status = 201, description = "A session was opened", body = SellerSession),
    (status = 401, description = "`bad_credentials`", body = ProblemBody),
))]
pub async fn open_seller_session(
    context: Context,
    key: IdempotencyKey,
    fields: Fields,
) -> Result<(StatusCode, Json<SellerSession>), Problem> {
    let (token, opened) = open(&context, &key, Login::read(fields)?).await?;
    let (seller_id, idle_timeout_s) = (opened.user_id, opened.idle_timeout_s);
    Ok((StatusCode::CREATED, Json(SellerSession { token: token.reveal(), seller_id, idle_timeout_s })))
}

async fn open(
    context: &Context,
    key: &IdempotencyKey,
    login: Login,
) -> Result<(Token, SessionOpened), Problem> {
    let credentials = credentials(context, &login.username).await?;
    let expected = credentials.as_ref().map(|known| known.password_hash.clone());
    let salt = Token::salt(expected.as_deref().unwrap_or_default(), key.bytes());
    let secret = context.passwords.secret(login.password, expected, salt).await?;
    let (Some(credentials), Some(secret)) = (credentials, secret) else {
        return Err(Problem::new(Code::BadCredentials, "wrong username or password"));
    };
    let token = Token::of(secret);
    // Neither the name, which is the scope's, nor the password: a wrong one does not get here.
    let scope = Scope::logins(context.role, credentials.user_id);
    let idempotency = key.idempotency(&scope, &[b"log in"]);
    let command = command::Body::OpenSession(OpenSession {
        role: context.role.into(),
        user_id: credentials.user_id,
        token_hash: token.hash(),
    });
    let opened = context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    Ok((token, expected!(customer::SessionOpened, opened)?))
}

async fn credentials(context: &Context, username: &str) -> Result<Option<Credentials>, Problem> {
    let role = Role::into(context.role);
    let question = query::Body::GetCredentials(GetCredentials { role, username: username.to_owned() });
    match context.databases.ask_customer(context.deadline, question).await {
        Ok(known) => Ok(Some(expected!(customer::Credentials, known)?)),
        Err(Failure::Refused(refusal)) if refusal.code() == Code::BadCredentials => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Log out. The session's cart is dropped; the saved cart stays.
#[utoipa::path(delete, path = "/v1/session", tag = "sessions", security(("session" = [])), responses(
    (status = 204, description = "The session has ended"),
))]
pub async fn close_session(
    context: Context,
    token: Token,
    key: Result<IdempotencyKey, Problem>,
) -> Result<StatusCode, Problem> {
    let user = context.user(&token).await;
    let key = match (user, key) {
        (Ok(_), key) => key?,
        // It may be this very call that ended the session, and now it is repeated.
        (Err(problem), Ok(key)) if problem.code() == "invalid_session" && key.is_given() => key,
        (Err(problem), _) => return Err(problem),
    };
    let idempotency = key.idempotency(&Scope::session(&token), &[b"log out"]);
    let command = command::Body::CloseSession(CloseSession { token_hash: token.hash() });
    context.databases.change_customer(context.deadline, Some(idempotency), command).await?;
    Ok(StatusCode::NO_CONTENT)
}
