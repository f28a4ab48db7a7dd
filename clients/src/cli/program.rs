//! What the two programs have in common: what the command line needs of a client.

use clap::Subcommand;

use super::failure::CliError;
use super::shown::Shown;
use crate::model::{NewAccount, Session};
use crate::{ClientOptions, Error};

/// The fixed texts of a program.
pub(super) struct Texts {
    /// `buyer` or `seller`: the command, and the role that it plays.
    pub name: &'static str,
    pub about: &'static str,
    pub examples: &'static str,
    /// The environment variable with the servers, separated by commas.
    pub servers_variable: &'static str,
    /// The environment variable with the session file.
    pub session_variable: &'static str,
    /// The servers when none are named: where `cluster up` puts them.
    pub first_port: u16,
}

impl Texts {
    pub fn default_servers(&self) -> Vec<String> {
        (self.first_port..self.first_port + 4).map(|port| format!("http://127.0.0.1:{port}")).collect()
    }
}

/// A client that can be driven from the command line.
pub(super) trait Program: Sized {
    /// What only this role can do; accounts and sessions are common to both.
    type Command: Subcommand;
    const TEXTS: Texts;

    fn connect(servers: Vec<String>, options: ClientOptions) -> Result<Self, Error>;
    /// The same client, with an idempotency key for its next call.
    fn keyed(&self, key: &str) -> Self;
    fn take_up(&self, token: Option<String>);
    async fn create_account(&self, account: &NewAccount) -> Result<u64, Error>;
    async fn login(&self, username: &str, password: &str) -> Result<Session, Error>;
    async fn logout(&self) -> Result<(), Error>;
    /// Asks for what the command still needs, so that later nobody is waited for but servers.
    fn prepare(command: Self::Command) -> Result<Self::Command, CliError> {
        Ok(command)
    }
    /// Whether it changes anything: then its outcome can be in doubt.
    fn changes(command: &Self::Command) -> bool;
    async fn run(&self, command: Self::Command) -> Result<Shown, CliError>;
}
