//! What both programs understand: options for all commands, accounts and sessions, and the shell.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, Parser, Subcommand};

use super::program::Texts;
use crate::{ClientOptions, Start};

/// The whole command line.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
pub(super) struct Arguments<C: Subcommand> {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Top<C>,
}

/// A line of the shell.
#[derive(Parser)]
#[command(no_binary_name = true, disable_version_flag = true, override_usage = "COMMAND [OPTIONS]")]
pub(super) struct Line<C: Subcommand> {
    #[command(flatten)]
    pub per_call: PerCall,
    #[command(subcommand)]
    pub command: InShell<C>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// A frontend, as in 127.0.0.1:8201; may be given several times, and calls move on when one fails
    #[arg(long = "server", value_name = "URL", global = true)]
    servers: Vec<String>,
    #[command(flatten)]
    pub per_call: PerCall,
    /// Where the session is remembered
    #[arg(long, value_name = "FILE", global = true)]
    pub session_file: Option<PathBuf>,
    /// How long a call may take, with all its repeats
    #[arg(long, value_name = "SECONDS", default_value_t = 30, global = true, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Show on standard error what is tried where
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// What can be said anew for each call, also in the shell.
#[derive(Args, Clone, Debug)]
pub(super) struct PerCall {
    /// Print one line of JSON instead of a table (errors too, on standard error)
    #[arg(long, global = true)]
    pub json: bool,
    /// Repeat an earlier call under its key: it takes effect once, however often it is sent
    #[arg(long, value_name = "KEY", global = true)]
    pub idempotency_key: Option<String>,
}

impl Common {
    /// As given, else from the environment, else where `cluster up` puts them.
    pub fn servers(&self, texts: &Texts) -> Vec<String> {
        if !self.servers.is_empty() {
            return self.servers.clone();
        }
        let named = std::env::var(texts.servers_variable).unwrap_or_default();
        let named: Vec<String> =
            named.split([',', ' ']).filter(|server| !server.is_empty()).map(str::to_owned).collect();
        if named.is_empty() { texts.default_servers() } else { named }
    }

    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            deadline: Duration::from_secs(self.timeout),
            start: Start::Random,
            ..ClientOptions::default()
        }
    }
}

/// Takes `-1` for a value wherever a value may stand, so that it is told what is wrong with that value, and not that there is
/// no option `-1`.
pub(super) fn with_negative_numbers(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_negative_numbers))
}

#[derive(Subcommand)]
pub(super) enum Top<C: Subcommand> {
    #[command(flatten)]
    Account(Account),
    #[command(flatten)]
    Call(C),
    /// An interactive shell: all commands, with history and completion
    ///
    /// Without a terminal it reads commands from standard input, one a line, carries out all of them, and ends with the exit
    /// code of the first that failed.
    Shell,
}

#[derive(Subcommand)]
pub(super) enum InShell<C: Subcommand> {
    #[command(flatten)]
    Account(Account),
    #[command(flatten)]
    Call(C),
    /// Leave the shell (Ctrl-D does too); the session goes on
    #[command(visible_alias = "quit")]
    Exit,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Account {
    /// Create an account
    #[command(name = "create-account")]
    Create {
        /// Unique, at most 32 characters
        username: String,
        /// The name that others see [default: the username]
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// The password [default: asked for]
        #[arg(long, env = "AGORA_PASSWORD", hide_env_values = true)]
        password: Option<String>,
    },
    /// Log in; later commands belong to this session
    Login {
        /// As given when the account was created
        username: String,
        /// The password [default: asked for]
        #[arg(long, env = "AGORA_PASSWORD", hide_env_values = true)]
        password: Option<String>,
    },
    /// Log out: ends the session at the marketplace, and forgets it here
    Logout,
    /// Show who is logged in here
    Whoami,
}
