//! Accounts and sessions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An account to be created.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewAccount {
    /// Unique among the buyers, or among the sellers.
    pub username: String,
    /// The password.
    pub password: String,
    /// The name that others see.
    pub display_name: String,
}

impl NewAccount {
    /// An account by its three texts.
    pub fn new(
        username: impl Into<String>,
        password: impl Into<String>,
        display_name: impl Into<String>,
    ) -> Self {
        NewAccount { username: username.into(), password: password.into(), display_name: display_name.into() }
    }
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount")
            .field("username", &self.username)
            .field("password", &"…")
            .field("display_name", &self.display_name)
            .finish()
    }
}

#[derive(Serialize)]
pub(crate) struct Credentials<'a> {
    pub username: &'a str,
    pub password: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct AccountCreated {
    #[serde(alias = "buyer_id", alias = "seller_id")]
    pub user_id: u64,
}

/// A session as a frontend of either kind gives it.
#[derive(Deserialize)]
pub(crate) struct OpenedSession {
    pub token: String,
    pub buyer_id: Option<u64>,
    pub seller_id: Option<u64>,
    pub idle_timeout_s: u64,
}

/// A session that was opened.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// What proves, in every later call, who is calling. A secret.
    pub token: String,
    /// The id of the buyer or seller.
    pub user_id: u64,
    /// The session ends when it is not used for this long.
    pub idle_timeout_s: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("token", &"…")
            .field("user_id", &self.user_id)
            .field("idle_timeout_s", &self.idle_timeout_s)
            .finish()
    }
}
