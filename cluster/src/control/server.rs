//! The launcher's side: takes wishes, one line each, and carries them out.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Request, Response, socket_path};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::prober::Checksums;

const REQUEST_BYTES_MAX: u64 = 4096;
/// Callers at a time; more of them wait.
const CALLERS_MAX: usize = 16;
/// How long a restarted process may take to get ready before the caller hears that it is not.
const RESTART_WITHIN: Duration = Duration::from_secs(15);
/// How long a node with an empty directory may take to be brought up to date and taken in.
const REPLACE_WITHIN: Duration = Duration::from_secs(120);
/// How long a new node may take to be brought up to date and to have a vote.
const ADD_WITHIN: Duration = Duration::from_secs(120);

/// Serves until the token is cancelled; a caller's wish to stop cancels it.
///
/// # Errors
/// The socket can't be opened: its path is too long, for one.
pub fn serve(cluster: Cluster, stop: CancellationToken) -> Result<(), ClusterError> {
    let path = socket_path(&cluster.file().data);
    match std::fs::remove_file(&path) {
        // What an earlier launcher left: this one holds the lock of the directory.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ClusterError::io("remove the old socket", path)(error)),
    }
    let listener = UnixListener::bind(&path).map_err(ClusterError::io("listen on", &path))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))
        .map_err(ClusterError::io("protect", &path))?;
    tokio::spawn(async move {
        let callers = Arc::new(Semaphore::new(CALLERS_MAX));
        loop {
            let Ok(place) = Arc::clone(&callers).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else { continue };
            let (cluster, stop) = (cluster.clone(), stop.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(stream, &cluster, &stop).await {
                    tracing::debug!(%error, "a caller at the control socket went away");
                }
                drop(place);
            });
        }
        std::fs::remove_file(&path).ok();
    });
    Ok(())
}

async fn answer(stream: UnixStream, cluster: &Cluster, stop: &CancellationToken) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(REQUEST_BYTES_MAX)).read_line(&mut line).await?;
    let (response, end) = match serde_json::from_str(&line) {
        Ok(Request::Stop) => (Response::Done(cluster.file().cluster.clone()), true),
        Ok(request) => (carry_out(cluster, request).await, false),
        Err(error) => (Response::Error(format!("this is no request: {error}")), false),
    };
    let mut line = serde_json::to_vec(&response).map_err(io::Error::other)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    if end {
        stop.cancel();
    }
    Ok(())
}

async fn carry_out(cluster: &Cluster, request: Request) -> Response {
    let done = match request {
        Request::Status { checksums } => {
            let checksums = if checksums { Checksums::Compute } else { Checksums::Skip };
            return Response::Status(cluster.status(checksums).await);
        }
        Request::Kill { name } => cluster.kill(&name).await,
        Request::Terminate { name } => cluster.terminate(&name).await,
        Request::Pause { name } => cluster.pause(&name).await,
        Request::Resume { name } => cluster.resume(&name).await,
        Request::Start { name } => cluster.restart(&name).await,
        Request::Restart { name } => restart(cluster, &name).await,
        Request::ReplaceNode { name } => cluster.replace_node(&name, REPLACE_WITHIN).await,
        Request::AddNode { database, name } => cluster.add_node(database, name, ADD_WITHIN).await,
        Request::RemoveNode { name } => cluster.remove_node(&name).await,
        Request::Stop => Ok(cluster.file().cluster.clone()),
    };
    done.map_or_else(|error| Response::Error(error.to_string()), Response::Done)
}

async fn restart(cluster: &Cluster, name: &str) -> Result<String, ClusterError> {
    let name = cluster.restart(name).await?;
    cluster.wait_ready_of(&[&name], RESTART_WITHIN).await?;
    Ok(name)
}
