//! What a command shows: the same thing for people and for machines.

use serde::Serialize;
use serde_json::Value;

use super::failure::CliError;

#[derive(Debug)]
pub(super) struct Shown {
    pub human: String,
    pub json: Value,
}

impl Shown {
    pub fn new(human: impl Into<String>, json: &impl Serialize) -> Result<Self, CliError> {
        let json = serde_json::to_value(json);
        let json = json.map_err(|error| CliError::Local(format!("this can't be shown as JSON: {error}")))?;
        Ok(Shown { human: human.into(), json })
    }

    /// Prints it on standard output. A reader that has gone away (`| head`) is no error.
    pub fn print(&self, json: bool) {
        use std::io::Write;
        let text = if json { self.json.to_string() } else { self.human.clone() };
        drop(writeln!(std::io::stdout(), "{}", text.trim_end()));
    }
}
