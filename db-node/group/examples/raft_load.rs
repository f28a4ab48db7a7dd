//! How many commands and reads a group answers: all members in this process, over loopback and real disks.
//!
//! `cargo run --release -p agora-group --example raft_load -- [members] [callers] [seconds of commands] [seconds of reads]`
#![allow(clippy::unwrap_used, reason = "a measurement may stop at whatever is wrong")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agora_group::GroupHandle;
use agora_group::raft::{RaftOptions, Running, start};
use agora_storage::{Directory, Identity};
use support::{Counters, add};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

#[tokio::main]
async fn main() {
    // AGORA_LOG=info shows what the group does.
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_env("AGORA_LOG")).init();
    let arguments: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [members, callers, command_seconds, read_seconds] =
        [(0, 3), (1, 256), (2, 5), (3, 5)].map(|(at, default)| arguments.get(at).copied().unwrap_or(default));
    let root = tempfile::tempdir_in(std::env::var("AGORA_DATA").unwrap_or_else(|_| "/tmp".into())).unwrap();
    let group = start_group(root.path(), members).await;
    let handles: Vec<GroupHandle> = group.iter().map(|(handle, _)| handle.clone()).collect();
    while handles[0].execute(add("ready", 1)).await.is_err() {}

    let before = handles[0].status().last;
    let write = |handle: GroupHandle, caller: usize, turn: usize| async move {
        let command =
            add(&format!("counter-{}-with-some-more-bytes-as-commands-have-{caller}", turn % 1000), 1);
        handle.execute(command).await.is_ok()
    };
    let done = measure("commands", &handles, callers, command_seconds, write).await;
    let entries = (handles[0].status().last - before).max(1);
    println!("  {entries} entries, {} commands each", done / entries);

    let read = |handle: GroupHandle, caller: usize, _: usize| async move {
        handle.query(format!("counter-{caller}").into()).await.is_ok()
    };
    measure("reads", &handles, callers, read_seconds, read).await;
    for (_, running) in group {
        running.stop().await.unwrap();
    }
}

async fn start_group(root: &std::path::Path, count: usize) -> Vec<(GroupHandle, Running)> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let members: Vec<_> = listeners
        .iter()
        .enumerate()
        .map(|(at, listener)| (format!("m{at}"), listener.local_addr().unwrap()))
        .collect();
    let mut group = Vec::new();
    for (me, listener) in listeners.into_iter().enumerate() {
        let identity =
            Identity { cluster: "load".into(), node: format!("m{me}"), database: "product".into() };
        let directory = Directory::open(root.join(me.to_string()), &identity).unwrap();
        let options = RaftOptions {
            cluster: "load".into(),
            me,
            members: members.iter().cloned().enumerate().collect(),
            directory,
        };
        let (handle, service, running) = start::<Counters>(options).await.unwrap();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        group.push((handle, running));
    }
    group
}

/// The processor time of this process so far, callers included: what counts on a machine that does other things as well.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = |field: usize| {
        stat.rsplit(") ").next().unwrap().split(' ').nth(field).unwrap().parse::<f64>().unwrap()
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// A closed loop: each caller waits for its answer, and then asks again, each at the next member in turn.
async fn measure<F>(
    what: &str,
    handles: &[GroupHandle],
    callers: usize,
    seconds: usize,
    ask: impl Fn(GroupHandle, usize, usize) -> F + Copy + Send + 'static,
) -> u64
where
    F: Future<Output = bool> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let (begun, processor) = (Instant::now(), processor_seconds());
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (handle, stop) = (handles[caller % handles.len()].clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut latencies, mut failures) = (Vec::new(), 0_u64);
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let begun = Instant::now();
                    match ask(handle.clone(), caller, turn).await {
                        true => latencies.push(begun.elapsed()),
                        false => failures += 1,
                    }
                }
                (latencies, failures)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut latencies, mut failures) = (Vec::new(), 0);
    for task in tasks {
        let (own, failed) = task.await.unwrap();
        latencies.extend(own);
        failures += failed;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at =
        |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
    let processor = (processor_seconds() - processor) * 1e6 / latencies.len().max(1) as f64;
    println!(
        "{what}: {:.0}/s, p50 {:?}, p99 {:?}, worst {:?}, {processor:.1} us of processor time each, {failures} failed",
        latencies.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        latencies.last().copied().unwrap_or_default(),
    );
    latencies.len() as u64
}
