//! The interactive shell: the same commands, with history, completion, and a prompt that says who is logged in.

mod completion;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use rustyline::Editor;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;

use super::arguments::{InShell, Line, PerCall, with_negative_numbers};
use super::failure::{CliError, DONE, USAGE};
use super::program::Program;
use super::run::{Ask, Desk};
use completion::{Assistant, ItemIds, Words};

const HISTORY_LINES: usize = 1_000;
/// Options whose values are nobody's business, also not the history's.
const SECRETS: [&str; 4] = ["--password", "--card-number", "--security-code", "--expiry"];

/// Runs until `exit`, Ctrl-D or the end of the input. People have seen how each command ended; for programs, which write the
/// commands into a pipe, the exit code is that of the first that failed.
pub(super) fn run<P: Program>(desk: &Desk<P>, defaults: &PerCall) -> Result<u8, CliError> {
    let for_people = std::io::stdin().is_terminal();
    if for_people && !defaults.json {
        println!(
            "The marketplace's {} shell. `help` shows the commands, Tab completes, Ctrl-D leaves.",
            P::TEXTS.name
        );
    }
    let first_failure = serve_lines(desk, defaults)?;
    Ok(if for_people { DONE } else { first_failure.unwrap_or(DONE) })
}

/// Gives the exit code of the first command that failed, if any did.
fn serve_lines<P: Program>(desk: &Desk<P>, defaults: &PerCall) -> Result<Option<u8>, CliError> {
    let command = line_command::<P>();
    let mut lines = Lines {
        words: Arc::new(Words::of(&command)),
        items: ItemIds::default(),
        // What programs write into a pipe is no history of what people typed. One that can't be kept is no reason not to work.
        history: match std::io::stdin().is_terminal() {
            true => desk.file.beside(&format!("{}-history", P::TEXTS.name)).ok(),
            false => None,
        },
    };
    let mut first_failure = None;
    loop {
        let line = match lines.next(&prompt(desk)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(CliError::Local(format!("can't read from this terminal: {error}"))),
        };
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match parse::<P>(&line, &command) {
            Ok(parsed) => {
                let per_call = PerCall { json: defaults.json || parsed.per_call.json, ..parsed.per_call };
                let ask = match parsed.command {
                    InShell::Account(account) => Ask::Account(account),
                    InShell::Call(call) => Ask::Call(call),
                    InShell::Exit => break,
                };
                match desk.serve(ask, &per_call) {
                    Ok(shown) => lines.items.note(&shown),
                    Err(error) => {
                        error.tell(&P::TEXTS, per_call.json);
                        first_failure.get_or_insert(error.exit_code());
                    }
                }
            }
            Err(complaint) => {
                complaint.print();
                if complaint.is_failure() {
                    first_failure.get_or_insert(USAGE);
                }
            }
        }
    }
    Ok(first_failure)
}

/// Where lines come from.
struct Lines {
    words: Arc<Words>,
    items: ItemIds,
    history: Option<PathBuf>,
}

impl Lines {
    /// The next line. Each has an editor of its own: an editor takes over the process's signals while it lives, and while a
    /// command runs, Ctrl-C must reach the command; nor may two editors be there, when a command asks for a password.
    fn next(&self, prompt: &str) -> rustyline::Result<String> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::<Assistant, FileHistory>::with_config(config)?;
        editor.set_helper(Some(Assistant { words: Arc::clone(&self.words), items: self.items.clone() }));
        if let Some(history) = &self.history {
            // There is none before the first time.
            drop(editor.load_history(history));
        }
        let line = editor.readline(prompt)?;
        let secret = SECRETS.iter().any(|secret| line.contains(secret));
        if let (Some(history), false) = (&self.history, secret) {
            drop(editor.add_history_entry(&line));
            drop(editor.save_history(history));
        }
        Ok(line)
    }
}

fn line_command<P: Program>() -> clap::Command {
    with_negative_numbers(Line::<P::Command>::command().name("").bin_name("").about(P::TEXTS.about))
}

fn prompt<P: Program>(desk: &Desk<P>) -> String {
    let role = P::TEXTS.name;
    match desk.file.load() {
        Ok(Some(session)) => format!("{role} {}> ", super::table::printable(&session.username)),
        Ok(None) | Err(_) => format!("{role} (not logged in)> "),
    }
}

/// Why a line is no command.
enum Complaint {
    Quotes,
    Usage(clap::Error),
}

impl Complaint {
    /// Not when it is the help that was asked for.
    fn is_failure(&self) -> bool {
        match self {
            Complaint::Quotes => true,
            Complaint::Usage(error) => error.use_stderr(),
        }
    }

    fn print(&self) {
        match self {
            Complaint::Quotes => eprintln!("error: a quotation mark is missing"),
            // `help` comes here too. A terminal that is gone ends the shell at its next line.
            Complaint::Usage(error) => drop(error.print()),
        }
    }
}

fn parse<P: Program>(line: &str, command: &clap::Command) -> Result<Line<P::Command>, Complaint> {
    let words = shlex::split(line).ok_or(Complaint::Quotes)?;
    let matches = command.clone().try_get_matches_from(words).map_err(Complaint::Usage)?;
    Line::from_arg_matches(&matches).map_err(Complaint::Usage)
}
