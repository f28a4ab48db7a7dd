//! `kill`, `pause`, `resume`, `restart`, `replace-node`, `add-node`, `remove-node`, `stop`: a wish to the launcher that runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::Role;

use crate::cli::out;
use crate::control::{Request, Response, call};
use crate::status::ProcessStatus;

/// How often it is looked how far the nodes have come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub async fn steer(data: &Path, request: Request, done: &str) -> anyhow::Result<ExitCode> {
    if let Response::Done(name) = call(data, &request).await? {
        out::line(&format!("{name}: {done}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The same, and tells on the way what product nodes say that are not ready.
pub async fn steer_and_tell(data: &Path, request: Request, done: &str) -> anyhow::Result<ExitCode> {
    tokio::select! {
        steered = steer(data, request, done) => steered,
        () = tell(data) => Ok(ExitCode::FAILURE),
    }
}

async fn tell(data: &Path) {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(Response::Status(status)) = call(data, &Request::Status { checksums: false }).await else {
            continue;
        };
        let late = status.processes.iter().filter(|process| process.role == Role::Product && !process.ready);
        for (name, says) in late.filter_map(says) {
            if told.get(&name) != Some(&says) {
                out::note(&format!("{name}: {says}"));
                told.insert(name, says);
            }
        }
    }
}

fn says(process: &ProcessStatus) -> Option<(String, String)> {
    let why = process.not_ready_because.as_ref()?;
    let applied = process.applied.map(|applied| format!(" (has applied {applied})")).unwrap_or_default();
    Some((process.name.clone(), format!("{why}{applied}")))
}
