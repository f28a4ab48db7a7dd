//! `kill`, `pause`, `resume`, `restart`, `stop`: a wish to the launcher that runs.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::out;
use crate::control::{Request, Response, call};

pub async fn steer(data: &Path, request: Request, done: &str) -> anyhow::Result<ExitCode> {
    if let Response::Done(name) = call(data, &request).await? {
        out::line(&format!("{name}: {done}"));
    }
    Ok(ExitCode::SUCCESS)
}
