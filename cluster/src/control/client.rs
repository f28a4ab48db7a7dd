//! The caller's side: one wish, one answer.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Request, Response, socket_path};

const RESPONSE_BYTES_MAX: u64 = 4 << 20;

/// Why a launcher did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no launcher on that data directory.
    #[error("no cluster runs on {0}; start one with `up`, or say where it is with --data")]
    NotRunning(PathBuf),
    /// The conversation broke off.
    #[error("the launcher does not answer: {0}")]
    Broken(io::Error),
    /// The launcher says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the launcher that runs on this data directory.
///
/// # Errors
/// None runs there, it broke off, or it said no.
pub async fn call(data: &Path, request: &Request) -> Result<Response, ControlError> {
    let stream = UnixStream::connect(socket_path(data)).await;
    let mut stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(data.to_owned())
        }
        _ => ControlError::Broken(error),
    })?;
    let mut line = serde_json::to_vec(request).map_err(|error| ControlError::Broken(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(ControlError::Broken)?;
    let mut answer = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut answer).await.map_err(ControlError::Broken)?;
    match serde_json::from_slice(&answer).map_err(|error| ControlError::Broken(error.into()))? {
        Response::Error(why) => Err(ControlError::Refused(why)),
        response => Ok(response),
    }
}
