//! `application/problem+json`: how a frontend says no.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub title: String,
    pub detail: String,
    pub code: String,
    pub field: Option<String>,
}

impl Problem {
    /// Reads what can be read; a body that is no problem document gives an empty one.
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// For people.
    pub(crate) fn text(&self) -> &str {
        if self.detail.is_empty() { &self.title } else { &self.detail }
    }
}
