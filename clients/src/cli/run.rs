//! From the arguments to the exit code: one command, or the shell.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::account;
use super::arguments::{Account, Arguments, Common, PerCall, Top, with_negative_numbers};
use super::failure::{CliError, DONE};
use super::program::Program;
use super::servers;
use super::session_file::SessionFile;
use super::shell;
use super::shown::Shown;

/// After so long without an answer a person wonders.
const TAKES_LONG: Duration = Duration::from_secs(2);

pub(super) fn main<P: Program>(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let texts = P::TEXTS;
    let command = Arguments::<P::Command>::command().name(texts.name).bin_name(texts.name).about(texts.about);
    let command = command.after_help(texts.examples).after_long_help(long_help::<P>());
    let command = with_negative_numbers(command);
    let matches = command.get_matches_from(args);
    let arguments = match Arguments::<P::Command>::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let json = arguments.common.per_call.json;
    match start::<P>(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => error.report(&texts, json),
    }
}

/// Gives the exit code of what told of its failures itself.
fn start<P: Program>(arguments: Arguments<P::Command>) -> Result<u8, CliError> {
    let common = arguments.common;
    log(common.verbose);
    let desk = Desk::<P>::open(&common)?;
    match arguments.command {
        Top::Account(account) => desk.serve(Ask::Account(account), &common.per_call).map(|_| DONE),
        Top::Call(command) => desk.serve(Ask::Call(command), &common.per_call).map(|_| DONE),
        Top::Shell => shell::run(&desk, &common.per_call),
    }
}

/// What was asked for, on the command line or in the shell.
pub(super) enum Ask<C> {
    Account(Account),
    Call(C),
}

/// Where commands are served: a client, and the session that is remembered.
pub(super) struct Desk<P> {
    client: P,
    pub file: SessionFile,
    runtime: Runtime,
}

impl<P: Program> Desk<P> {
    fn open(common: &Common) -> Result<Self, CliError> {
        let servers = common.servers(&P::TEXTS);
        let client = P::connect(servers.clone(), common.options())?;
        servers::look_up(&servers)?;
        let file = SessionFile::locate(common.session_file.clone(), &P::TEXTS)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            runtime.map_err(|error| CliError::Local(format!("this machine gives us no threads: {error}")))?;
        Ok(Desk { client, file, runtime })
    }

    /// Carries out a command and prints what came of it; gives it, too.
    pub fn serve(&self, ask: Ask<P::Command>, per_call: &PerCall) -> Result<Value, CliError> {
        let key = per_call.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let shown = match ask {
            Ask::Account(account) => {
                let call = account.asked()?;
                let changes = call.changes();
                self.call(async |client: P| account::run(&client, call, &self.file).await, &key, changes)
            }
            Ask::Call(command) => {
                let command = P::prepare(command)?;
                let changes = P::changes(&command);
                self.call(async |client: P| client.run(command).await, &key, changes)
            }
        };
        if shown.as_ref().is_err_and(ended) {
            self.file.forget()?;
        }
        let shown = shown.map_err(in_our_words)?;
        shown.print(per_call.json);
        Ok(shown.json)
    }

    fn call(
        &self,
        call: impl AsyncFnOnce(P) -> Result<Shown, CliError>,
        key: &str,
        changes: bool,
    ) -> Result<Shown, CliError> {
        self.client.take_up(self.file.load()?.map(|session| session.token));
        let client = self.client.keyed(key);
        self.runtime.block_on(async {
            tokio::select! {
                shown = call(client) => shown,
                never = tell_that_it_takes_long() => match never {},
                _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted { key: changes.then(|| key.to_owned()) }),
            }
        })
    }
}

/// Tells whoever watches that nothing hangs. Goes on for ever.
async fn tell_that_it_takes_long() -> Infallible {
    tokio::time::sleep(TAKES_LONG).await;
    if std::io::stderr().is_terminal() {
        eprintln!("no answer yet: trying on until --timeout (--verbose tells what happens)");
    }
    std::future::pending().await
}

/// What a frontend says of HTTP headers does not help anyone who types commands.
fn in_our_words(error: CliError) -> CliError {
    match error {
        CliError::Call(error) if error.code() == Some("missing_token") => CliError::NotLoggedIn,
        error => error,
    }
}

/// The session that we remember is no more.
fn ended(error: &CliError) -> bool {
    matches!(error, CliError::Call(error) if error.code() == Some("invalid_session"))
}

fn log(verbose: bool) {
    if verbose {
        let lines =
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("agora_clients=debug");
        // Nobody else has set up logging in these programs.
        drop(lines.try_init());
    }
}

fn long_help<P: Program>() -> String {
    let texts = P::TEXTS;
    format!(
        "{}\n\nEnvironment:\n  {:22}  frontends, separated by commas [default: {}]\n  {:22}  the session file [default: in \
         $XDG_STATE_HOME/agora or ~/.local/state/agora]\n  {:22}  the password, for programs\n\nExit codes:\n  0  done\n  \
         1  refused\n  2  wrong usage\n  3  the marketplace can't be reached, or it is not known whether the call was done",
        texts.examples,
        texts.servers_variable,
        texts.default_servers().join(","),
        texts.session_variable,
        "AGORA_PASSWORD",
    )
}
