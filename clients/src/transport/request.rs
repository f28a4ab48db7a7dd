//! A call before it is sent, and its answer.

use reqwest::Method;

use crate::error::Error;

/// A call, the same in all of its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: Method,
    /// Below `/v1`, beginning with a slash; made of words, numbers and item ids only.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Vec<u8>>,
    /// Set for everything that changes something.
    pub key: Option<String>,
    pub pace: Pace,
}

/// How long a frontend that is well may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As long as databases do.
    Usual,
    /// As long as a purchase, which also pays.
    Purchase,
}

impl Request {
    pub fn get(path: impl Into<String>, query: Vec<(&'static str, String)>) -> Self {
        Request { method: Method::GET, path: path.into(), query, body: None, key: None, pace: Pace::Usual }
    }

    pub fn change(method: Method, path: impl Into<String>) -> Self {
        Request { method, path: path.into(), query: Vec::new(), body: None, key: None, pace: Pace::Usual }
    }

    pub fn json(mut self, body: &impl serde::Serialize) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(body);
        self.body =
            Some(bytes.map_err(|error| Error::Configuration(format!("this can't be sent: {error}")))?);
        Ok(self)
    }
}

/// What a frontend answered: a success, or a refusal that no repeat would change.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// An earlier attempt of the same call may have taken effect.
    pub repeated: bool,
}
