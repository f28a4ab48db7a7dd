//! `Idempotency-Key`: what makes a repeated mutation take effect once.

use agora_proto::common::{Idempotency, Role};
use agora_proto::key_hash;
use agora_proto::limits::IDEMPOTENCY_KEY_CHARS;
use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, request::Parts};
use uuid::Uuid;

use crate::problem::Problem;
use crate::rest::token::Token;

/// The header's name, as problems name it.
pub const HEADER: &str = "Idempotency-Key";

/// The caller's key, or one made up for this request: then only what the frontend itself repeats is a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: Vec<u8>,
    given: bool,
}

/// Within whom keys are told apart: two users may well use the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// A user's own keys.
    pub fn user(role: Role, id: u64) -> Self {
        Scope(format!("{}:{id}", role.as_str_name()))
    }

    /// The keys for new accounts: whose an account will be nobody knows yet, so all who create one share them.
    pub fn new_accounts(role: Role) -> Self {
        Scope(format!("new accounts:{}", role.as_str_name()))
    }

    /// The keys for a user's logins.
    pub fn logins(role: Role, user_id: u64) -> Self {
        Scope(format!("logins:{}:{user_id}", role.as_str_name()))
    }

    /// A numbered part of this scope, for keys that nobody gave.
    pub fn within(&self, part: &str, number: u64) -> Self {
        Scope(format!("{}:{part}:{number}", self.0))
    }

    /// The keys of a session, which outlive it: its end can be repeated.
    pub fn session(token: &Token) -> Self {
        let digits: String = token.hash().iter().map(|byte| format!("{byte:02x}")).collect();
        Scope(format!("session:{digits}"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers)
    }
}

fn read(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(IdempotencyKey { key: Uuid::new_v4().into_bytes().to_vec(), given: false });
    };
    let key = value.as_bytes();
    let wrong = |must: &str| Err(Problem::field(HEADER, format!("{HEADER} {must}")));
    if values.next().is_some() {
        return wrong("may be given once");
    }
    // Any text will do, also one that is not ASCII; what is not UTF-8 has as many characters as bytes, as in Latin-1.
    let chars = std::str::from_utf8(key).map_or(key.len(), |text| text.chars().count());
    if !(1..=IDEMPOTENCY_KEY_CHARS).contains(&chars) {
        return wrong(&format!("must have 1 to {IDEMPOTENCY_KEY_CHARS} characters"));
    }
    Ok(IdempotencyKey { key: key.to_vec(), given: true })
}

impl IdempotencyKey {
    /// The raw key.
    pub fn bytes(&self) -> &[u8] {
        &self.key
    }

    /// Whether the caller chose it, and may therefore repeat the request.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// What the databases remember the command by. `request` is the operation and what the caller asked for: only what
    /// the caller itself gave, because a repeat through another frontend computes everything else anew.
    pub fn idempotency(&self, scope: &Scope, request: &[&[u8]]) -> Idempotency {
        Idempotency::new(&scope.0, &self.key, request)
    }

    /// Bytes that are the same for every repeat, and tell nothing of the key.
    pub fn derive(&self, scope: &Scope, purpose: &[u8]) -> [u8; 16] {
        let digest = key_hash(&[purpose, scope.0.as_bytes(), &self.key]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn of(value: &[u8]) -> Result<IdempotencyKey, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        read(&headers)
    }

    #[test]
    fn a_key_is_any_text_of_1_to_255_characters() {
        for value in [&[b'k'; 255][..], "ž".repeat(255).as_bytes(), b"a\tb", b"caf\xe9"] {
            assert_eq!(of(value).unwrap().bytes(), value);
        }
        for value in [&[b'k'; 256][..], "ž".repeat(256).as_bytes(), &[0xe9; 256], b""] {
            let problem = of(value).unwrap_err();
            assert_eq!((problem.code(), problem.at_fault()), ("invalid_field", Some(HEADER)));
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("b"));
        assert_eq!(read(&twice).unwrap_err().at_fault(), Some(HEADER));
    }

    #[test]
    fn without_a_key_each_request_is_its_own() {
        let (one, other) = (read(&HeaderMap::new()).unwrap(), read(&HeaderMap::new()).unwrap());
        assert!(!one.is_given() && one != other);
    }

    #[test]
    fn keys_of_two_users_and_two_requests_do_not_meet() {
        let key = of(b"k").unwrap();
        let (buyer, seller) = (Scope::user(Role::Buyer, 1), Scope::user(Role::Seller, 1));
        assert_eq!(key.idempotency(&buyer, &[b"a"]), key.idempotency(&buyer, &[b"a"]));
        assert_ne!(key.idempotency(&buyer, &[b"a"]).key, key.idempotency(&seller, &[b"a"]).key);
        assert_ne!(
            key.idempotency(&buyer, &[b"a"]).fingerprint,
            key.idempotency(&buyer, &[b"b"]).fingerprint
        );
        assert_eq!(key.derive(&buyer, b"purchase"), key.derive(&buyer, b"purchase"));
        assert_ne!(key.derive(&buyer, b"purchase"), key.derive(&seller, b"purchase"));
    }
}
