//! Accounts and sessions: the same for buyers and sellers.

use serde_json::json;

use super::arguments::Account;
use super::failure::CliError;
use super::password::{new_secret, secret};
use super::program::Program;
use super::session_file::{Remembered, SessionFile};
use super::shown::Shown;
use crate::model::NewAccount;

/// The command with all that had to be asked for: from here on nobody is waited for but servers.
pub(super) enum AccountCall {
    Create(NewAccount),
    Login { username: String, password: String },
    Logout,
    Whoami,
}

impl Account {
    pub fn asked(self) -> Result<AccountCall, CliError> {
        Ok(match self {
            Account::Create { username, display_name, password } => {
                let password = new_secret(password, "password")?;
                let display_name = display_name.unwrap_or_else(|| username.clone());
                AccountCall::Create(NewAccount { username, password, display_name })
            }
            Account::Login { username, password } => {
                AccountCall::Login { username, password: secret(password, "password")? }
            }
            Account::Logout => AccountCall::Logout,
            Account::Whoami => AccountCall::Whoami,
        })
    }
}

impl AccountCall {
    pub fn changes(&self) -> bool {
        !matches!(self, AccountCall::Whoami)
    }
}

pub(super) async fn run<P: Program>(
    client: &P,
    call: AccountCall,
    file: &SessionFile,
) -> Result<Shown, CliError> {
    let role = P::TEXTS.name;
    match call {
        AccountCall::Create(account) => {
            let id = client.create_account(&account).await?;
            let human = format!(
                "Created {role} {} with id {id}. Now log in: {role} login {}",
                account.username, account.username
            );
            Shown::new(human, &json!({ format!("{role}_id"): id }))
        }
        AccountCall::Login { username, password } => {
            let session = client.login(&username, &password).await?;
            let remembered = Remembered { username, user_id: session.user_id, token: session.token };
            file.save(&remembered)?;
            let human = format!("Logged in as {} ({role} {}).", remembered.username, remembered.user_id);
            let id = format!("{role}_id");
            Shown::new(
                human,
                &json!({ "username": remembered.username, id: remembered.user_id, "idle_timeout_s": session.idle_timeout_s }),
            )
        }
        AccountCall::Logout => {
            let session = file.load()?.ok_or(CliError::NotLoggedIn)?;
            client.logout().await?;
            file.forget()?;
            Shown::new(format!("Logged out {}.", session.username), &json!({ "username": session.username }))
        }
        AccountCall::Whoami => {
            let session = file.load()?.ok_or(CliError::NotLoggedIn)?;
            let human = format!("{} ({role} {})", session.username, session.user_id);
            Shown::new(human, &json!({ "username": session.username, format!("{role}_id"): session.user_id }))
        }
    }
}
