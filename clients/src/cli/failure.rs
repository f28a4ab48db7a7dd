//! How a command ends when it does not end well: the exit code, and the text or JSON on standard error.

use std::process::ExitCode;

use serde_json::json;

use super::hints::hint;
use super::program::Texts;
use crate::Error;

/// Done.
pub(super) const DONE: u8 = 0;
/// The marketplace said no.
pub(super) const REFUSED: u8 = 1;
/// The command was not understood, or can't be carried out here.
pub(super) const USAGE: u8 = 2;
/// The marketplace could not be reached, or it is not known whether the call was done.
pub(super) const UNAVAILABLE: u8 = 3;
/// Ctrl-C, as shells count it.
pub(super) const INTERRUPTED: u8 = 130;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Call(#[from] Error),
    /// Something about this machine or these arguments; the text says what to do.
    #[error("{0}")]
    Local(String),
    /// The marketplace wants to know who calls, or the command itself does.
    #[error("nobody is logged in here")]
    NotLoggedIn,
    #[error("interrupted")]
    Interrupted { key: Option<String> },
}

impl CliError {
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Call(Error::Refused { .. }) | CliError::NotLoggedIn => REFUSED,
            CliError::Call(Error::Configuration(_)) | CliError::Local(_) => USAGE,
            CliError::Call(Error::Unavailable(_) | Error::OutcomeUnknown(_) | Error::BadAnswer(_)) => {
                UNAVAILABLE
            }
            CliError::Interrupted { .. } => INTERRUPTED,
        }
    }

    /// Tells of it on standard error, and gives the exit code.
    pub fn report(&self, texts: &Texts, json: bool) -> ExitCode {
        self.tell(texts, json);
        ExitCode::from(self.exit_code())
    }

    /// Tells of it on standard error.
    pub fn tell(&self, texts: &Texts, json: bool) {
        if json {
            eprintln!("{}", self.json());
        } else {
            eprintln!("error: {}", super::table::printable(&self.to_string()));
            if let Some(hint) = hint(self, texts) {
                eprintln!("  {hint}");
            }
        }
    }

    /// The key with which the call can be repeated, if it may have been done.
    pub fn key(&self) -> Option<&str> {
        match self {
            CliError::Call(Error::OutcomeUnknown(failure)) => failure.key.as_deref(),
            CliError::Interrupted { key } => key.as_deref(),
            _ => None,
        }
    }

    fn json(&self) -> serde_json::Value {
        let mut error = json!({ "detail": self.to_string(), "exit_code": self.exit_code() });
        error["code"] = match self {
            CliError::Call(Error::Refused { code, .. }) => code.as_str().into(),
            CliError::Call(Error::Unavailable(_)) => "unavailable".into(),
            CliError::Call(Error::OutcomeUnknown(_)) => "outcome_unknown".into(),
            CliError::Call(Error::BadAnswer(_)) => "bad_answer".into(),
            CliError::Call(Error::Configuration(_)) | CliError::Local(_) => "usage".into(),
            CliError::NotLoggedIn => "missing_token".into(),
            CliError::Interrupted { .. } => "interrupted".into(),
        };
        if let CliError::Call(Error::Refused { status, detail, field, .. }) = self {
            error["status"] = (*status).into();
            error["detail"] = detail.as_str().into();
            error["field"] = field.as_deref().into();
        }
        if let Some(key) = self.key() {
            error["idempotency_key"] = key.into();
        }
        json!({ "error": error })
    }
}
