//! One attempt: send once, to one frontend, and say what that means.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::request::Request;
use crate::error::Error;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A success, or a refusal that no repeat would change.
    Answered { status: u16, body: Vec<u8> },
    /// No answer that means anything.
    Failed(Failed),
}

#[derive(Debug)]
pub(crate) struct Failed {
    pub reason: String,
    pub effect: Effect,
    pub fault: Fault,
}

/// Whether what was asked for may have been done all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    Perhaps,
}

/// What is wrong, and so what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The frontend is down or hangs: go to another one at once.
    Frontend,
    /// The frontend is alive, and can't serve this now.
    Busy { retry_after: Option<Duration> },
    /// The marketplace as a whole asks this caller to slow down.
    SlowDown { retry_after: Option<Duration> },
    /// The frontend stumbled over this call; others may stumble too.
    Internal,
}

/// The headers of all attempts of a call.
pub(crate) fn headers(request: &Request, token: Option<&str>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_| Error::Configuration("the session token is none".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(key) = &request.key {
        let value = HeaderValue::from_bytes(key.as_bytes());
        let value =
            value.map_err(|_| Error::Configuration("an idempotency key has no control characters".into()))?;
        headers.insert(IDEMPOTENCY_KEY, value);
    }
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(headers)
}

/// Sends once. Ends after the timeout at the latest.
pub(crate) async fn attempt(
    http: &reqwest::Client,
    frontend: &str,
    request: &Request,
    headers: &HeaderMap,
    timeout: Duration,
) -> Outcome {
    let url = format!("{frontend}/v1{}", request.path);
    let mut builder = http.request(request.method.clone(), url).headers(headers.clone()).timeout(timeout);
    if !request.query.is_empty() {
        builder = builder.query(&request.query);
    }
    if let Some(body) = &request.body {
        builder = builder.body(body.clone());
    }
    match builder.send().await {
        Ok(response) => read(frontend, response).await,
        Err(error) => Outcome::Failed(unreachable(frontend, &error)),
    }
}

async fn read(frontend: &str, mut response: reqwest::Response) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                let reason = format!("{frontend} answers more than {ANSWER_BYTES_MAX} bytes");
                return Outcome::Failed(Failed { reason, effect: Effect::Perhaps, fault: Fault::Internal });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Outcome::Failed(unreachable(frontend, &error)),
        }
    }
    judge(frontend, status, body, retry_after)
}

fn judge(frontend: &str, status: u16, body: Vec<u8>, retry_after: Option<Duration>) -> Outcome {
    let (effect, fault) = match status {
        429 => (Effect::None, Fault::SlowDown { retry_after }),
        503 => (Effect::None, Fault::Busy { retry_after }),
        502 | 504 => (Effect::Perhaps, Fault::Busy { retry_after }),
        408 => (Effect::None, Fault::Busy { retry_after }),
        500.. => (Effect::Perhaps, Fault::Internal),
        _ => return Outcome::Answered { status, body },
    };
    let problem = crate::model::Problem::read(&body);
    let said = if problem.text().is_empty() { String::new() } else { format!(": {}", problem.text()) };
    Outcome::Failed(Failed { reason: format!("{frontend} answers {status}{said}"), effect, fault })
}

fn unreachable(frontend: &str, error: &reqwest::Error) -> Failed {
    let effect = if error.is_connect() { Effect::None } else { Effect::Perhaps };
    let why = match error {
        error if error.is_connect() && error.is_timeout() => "does not let us connect in time".into(),
        error if error.is_timeout() => "does not answer in time".into(),
        error => format!("can't be reached: {}", innermost(error)),
    };
    Failed { reason: format!("{frontend} {why}"), effect, fault: Fault::Frontend }
}

/// The last cause says most: "Connection refused (os error 111)".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Seconds; the form with a date is not used by frontends, and counts as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(status: u16) -> Option<Effect> {
        match judge("a", status, Vec::new(), None) {
            Outcome::Answered { .. } => None,
            Outcome::Failed(failed) => Some(failed.effect),
        }
    }

    #[test]
    fn only_answers_that_no_repeat_would_change_are_answers() {
        for status in [200, 201, 204, 400, 401, 402, 403, 404, 409, 413, 415, 422] {
            assert_eq!(effect(status), None, "{status}");
        }
        for status in [408, 429, 503] {
            assert_eq!(effect(status), Some(Effect::None), "{status}");
        }
        for status in [500, 502, 504, 507] {
            assert_eq!(effect(status), Some(Effect::Perhaps), "{status}");
        }
    }

    #[test]
    fn keys_and_tokens_that_can_not_be_sent_are_refused_here() {
        let mut request = Request::get("/items", Vec::new());
        assert!(headers(&request, Some("a\nb")).is_err());
        request.key = Some("3\n17".into());
        assert!(headers(&request, None).is_err());
        request.key = Some("ключ".into());
        assert_eq!(headers(&request, None).unwrap()["idempotency-key"].as_bytes(), "ключ".as_bytes());
        request.key = Some("3-17".into());
        let headers = headers(&request, Some("t")).unwrap();
        assert_eq!(headers["idempotency-key"], "3-17");
        assert!(headers[AUTHORIZATION].is_sensitive());
    }
}
