//! Session tokens: UUIDs that clients carry, and that the databases know by their SHA-256 alone.

use std::fmt;

use agora_proto::key_hash;
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use agora_proto::common::Code;

use crate::problem::Problem;

/// What a caller shows to prove its session. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Uuid);

impl Token {
    /// With what salt the password of the user with this hash makes the secret behind a token of theirs: one for each login's
    /// idempotency key.
    pub fn salt(password_hash: &str, key: &[u8]) -> [u8; 16] {
        let digest = key_hash(&[b"token", password_hash.as_bytes(), key]);
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest[..16]);
        salt
    }

    /// The token behind which there is this secret. The same for a repeat of the login; and even who can guess the key, and has
    /// read the password's hash on a database's disk, must guess the password.
    pub fn of(secret: [u8; 16]) -> Self {
        Token(Builder::from_custom_bytes(secret).into_uuid())
    }

    /// What the databases know it by.
    pub fn hash(&self) -> Bytes {
        Bytes::copy_from_slice(&Sha256::digest(self.0.as_bytes()))
    }

    /// As its owner gets it, once.
    pub fn reveal(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `Authorization: Bearer TOKEN`.
///
/// # Errors
/// `missing_token`: there is none. `invalid_session`: it can't be a token of ours.
pub fn bearer(headers: &HeaderMap) -> Result<Token, Problem> {
    let missing =
        || Problem::new(Code::MissingToken, "log in, and send the header \"Authorization: Bearer TOKEN\"");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().unwrap_or_default().trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(missing());
    }
    let token = Uuid::try_parse(token.trim()).map_err(|_| invalid_session())?;
    Ok(Token(token))
}

/// The session is not, or no more.
pub fn invalid_session() -> Problem {
    Problem::new(Code::InvalidSession, "the session is unknown, expired or logged out; log in again")
}

impl<S: Send + Sync> FromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        bearer(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Token, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, header.parse().unwrap());
        bearer(&headers)
    }

    #[test]
    fn a_repeated_login_gets_the_same_token_and_no_other_login_does() {
        let salt = Token::salt("$argon2id$a", b"key");
        assert_eq!(salt, Token::salt("$argon2id$a", b"key"));
        assert_ne!(salt, Token::salt("$argon2id$b", b"key"));
        assert_ne!(salt, Token::salt("$argon2id$a", b"other"));
        let token = Token::of([7; 16]);
        assert_eq!(token, Token::of([7; 16]));
        assert_ne!(token, Token::of([8; 16]));
        assert_eq!(of(&format!("Bearer {}", token.reveal())), Ok(token.clone()));
        assert_eq!(of(&format!("bearer  {}", token.reveal())), Ok(token));
    }

    #[test]
    fn a_token_is_not_shown_by_accident() {
        let token = Token::of([7; 16]);
        assert!(!format!("{token:?}").contains(&token.reveal()));
    }

    #[test]
    fn what_is_no_token_is_missing_or_invalid() {
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code(), "missing_token");
        for header in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "nonsense"] {
            assert_eq!(of(header).unwrap_err().code(), "missing_token", "{header}");
        }
        for header in ["Bearer x", "Bearer 00000000-0000-0000-0000-00000000000g", "Bearer a b c"] {
            assert_eq!(of(header).unwrap_err().code(), "invalid_session", "{header}");
        }
    }
}
