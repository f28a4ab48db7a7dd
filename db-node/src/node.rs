//! The life of a node: open the data, start the member, serve, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agora_process::ClusterFile;
use agora_storage::{Directory, Identity};
use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;

use crate::args::{Args, Kind};
use crate::connections::connections;
use crate::member::{self, Running};
use crate::service::{Disk, Service, ServiceOptions};

/// How long calls under way may take when the node stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How long connections may take to close after that.
const CLOSE: Duration = Duration::from_millis(500);
/// Flow control must not hold back what the bounds on calls and messages allow.
const WINDOW_BYTES: u32 = 16 << 20;
/// Connections at a time: peers and clients need one or two each. More wait until one is closed.
const CONNECTIONS: usize = 512;
/// Streams on one connection: clients need one or two.
const STREAMS: u32 = 256;
/// Clients whose machine has vanished are noticed when they answer no ping for this long.
const PING_AFTER: Duration = Duration::from_secs(10);

/// Runs a node until it is told to stop.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let file = ClusterFile::read(&args.config)?;
    let (_, address) = file.find(args.database.role(), &args.name)?;
    let members = member::members(args.database, &file);
    let me = members.iter().find(|(_, (name, _))| *name == args.name).map(|(me, _)| *me);
    let me = me.context("the cluster file gives this node no seat")?;
    let runtime = agora_process::runtime()?;
    let result = runtime.block_on(live(args.database, &args.name, me, address, &file));
    // What still runs on blocking threads must not keep a node alive that is done.
    runtime.shutdown_timeout(CLOSE);
    result
}

async fn live(
    kind: Kind,
    name: &str,
    me: usize,
    address: SocketAddr,
    file: &ClusterFile,
) -> anyhow::Result<()> {
    let stop = agora_process::shutdown_signal()?;
    // First the port: two processes with one name must not get as far as the data.
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let directory = open(kind, name, file).await?;
    let mut routes = Routes::builder();
    let disk = directory.clone();
    let (group, running) = member::start(kind, file, me, directory, &mut routes).await?;
    let options = ServiceOptions {
        node: name.to_owned(),
        database: kind.name(),
        members: member::members(kind, file).into_iter().map(|(at, (name, _))| (at, name)).collect(),
        roster: running.roster(),
        calls_max: file.admission.node_calls,
        call_bytes_max: file.admission.node_call_bytes,
        disk: Arc::new(move || Disk {
            bytes: disk.disk_bytes().unwrap_or_default(),
            log_syncs: disk.log_syncs(),
        }),
    };
    let service = Service::new(group, options);
    routes.add_service(service.server());
    tracing::info!(node = name, %address, database = kind.name(), "serving");
    let served = serve(listener, routes, &service, running, stop).await;
    tracing::info!(node = name, "stopped");
    served
}

async fn open(kind: Kind, name: &str, file: &ClusterFile) -> anyhow::Result<Directory> {
    let identity =
        Identity { cluster: file.cluster.clone(), node: name.into(), database: kind.name().into() };
    let path = file.data_of(name);
    Ok(tokio::task::spawn_blocking(move || Directory::open(path, &identity)).await??)
}

/// Serves until told to stop, or until the member can't go on.
async fn serve(
    listener: TcpListener,
    routes: RoutesBuilder,
    service: &Service,
    running: Running,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let close = CancellationToken::new();
    let server = Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(PING_AFTER))
        .add_routes(routes.routes())
        .serve_with_incoming_shutdown(connections(listener, CONNECTIONS), close.clone().cancelled_owned());
    let mut server = tokio::spawn(server);
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        why = running.failed() => Err(anyhow!(why)),
        ended = &mut server => Err(anyhow!("the server ended by itself: {ended:?}")),
    };
    // While calls are drained the member still talks to its peers, or none of them would be answered.
    if outcome.is_ok() {
        running.hand_over().await;
        service.drain(DRAIN).await;
    }
    running.stop().await;
    close.cancel();
    if tokio::time::timeout(CLOSE, &mut server).await.is_err() {
        server.abort();
    }
    outcome
}
