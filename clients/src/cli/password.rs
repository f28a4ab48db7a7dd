//! Asking for secrets without showing them.

use std::borrow::Cow;
use std::io::{BufRead, IsTerminal};

use rustyline::config::{ColorMode, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::history::DefaultHistory;
use rustyline::{Completer, Editor, Helper, Hinter, Validator};

use super::failure::CliError;

/// The secret as given, else asked for, else (without a terminal) the next line of standard input.
pub(super) fn secret(given: Option<String>, prompt: &str) -> Result<String, CliError> {
    match given {
        Some(given) => Ok(given),
        None if std::io::stdin().is_terminal() => ask(prompt),
        None => next_line(prompt),
    }
}

/// The same, asked for twice: what nobody sees is easily mistyped.
pub(super) fn new_secret(given: Option<String>, prompt: &str) -> Result<String, CliError> {
    if given.is_some() || !std::io::stdin().is_terminal() {
        return secret(given, prompt);
    }
    let first = ask(prompt)?;
    if ask(&format!("{prompt} again"))? == first {
        Ok(first)
    } else {
        Err(CliError::Local("the two are not the same. Try again.".into()))
    }
}

/// Something that may be seen: as given, else asked for.
pub(super) fn ask_line(given: Option<String>, prompt: &str) -> Result<String, CliError> {
    match given {
        Some(given) => Ok(given),
        None if std::io::stdin().is_terminal() => {
            let editor = rustyline::DefaultEditor::new();
            answered(editor.and_then(|mut editor| editor.readline(&format!("{prompt}: "))))
        }
        None => next_line(prompt),
    }
}

fn next_line(prompt: &str) -> Result<String, CliError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read {
        Ok(0) | Err(_) => {
            Err(CliError::Local(format!("{prompt} is missing: there is no terminal to ask at. See --help.")))
        }
        Ok(_) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

fn ask(prompt: &str) -> Result<String, CliError> {
    // On these the editor can't hide what is typed.
    let term = std::env::var("TERM").unwrap_or_default();
    if matches!(term.as_str(), "" | "dumb" | "cons25" | "emacs") {
        return Err(CliError::Local(format!(
            "this terminal would show what is typed. Give {prompt} as an option; see --help."
        )));
    }
    let config = Config::builder().color_mode(ColorMode::Forced).build();
    let editor = Editor::<Veil, DefaultHistory>::with_config(config);
    answered(editor.and_then(|mut editor| {
        editor.set_helper(Some(Veil));
        editor.readline(&format!("{prompt}: "))
    }))
}

fn answered(line: rustyline::Result<String>) -> Result<String, CliError> {
    line.map_err(|error| match error {
        ReadlineError::Interrupted | ReadlineError::Eof => CliError::Interrupted { key: None },
        error => CliError::Local(format!("can't ask at this terminal: {error}")),
    })
}

/// Shows a star for each character.
#[derive(Completer, Helper, Hinter, Validator)]
struct Veil;

impl Highlighter for Veil {
    fn highlight<'l>(&self, line: &'l str, _cursor: usize) -> Cow<'l, str> {
        Cow::Owned("*".repeat(line.chars().count()))
    }

    fn highlight_char(&self, _line: &str, _cursor: usize, _kind: CmdKind) -> bool {
        true
    }
}
