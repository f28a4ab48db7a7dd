//! A group of one, for tests of the service: it answers from a script instead of replicating.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and may fail")]

use std::net::SocketAddr;
use std::sync::Arc;

use agora_db_node::service::{Disk, Service, ServiceOptions};
use agora_group::{Command, Failure, GroupHandle, GroupStatus, Query};
use agora_machine::Malformed;
use agora_proto::database::database_client::DatabaseClient;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

/// A service in front of a scripted group. Commands that begin with "bad" are malformed; what becomes of the others is up to
/// the test that reads `commands` and `queries`.
pub struct Scripted {
    pub service: Service,
    pub address: SocketAddr,
    pub commands: mpsc::Receiver<Command>,
    pub queries: mpsc::Receiver<Query>,
    close: CancellationToken,
}

fn check(command: &[u8]) -> Result<(), Malformed> {
    if command.starts_with(b"bad") { Err(Malformed("bad".into())) } else { Ok(()) }
}

impl Scripted {
    pub async fn start(calls_max: usize) -> Scripted {
        Self::bounded(calls_max, 1 << 20).await
    }

    pub async fn bounded(calls_max: usize, call_bytes_max: usize) -> Scripted {
        let (commands_in, commands) = mpsc::channel(1000);
        let (queries_in, queries) = mpsc::channel(1000);
        let status = GroupStatus { applied: 7, last: 8, first: 1, committed: 7, ..GroupStatus::default() };
        let (_, status) = watch::channel(status);
        let group = GroupHandle::new(check, commands_in, queries_in, status, Arc::new(|| (7, 0xabc)));
        let options = ServiceOptions {
            node: "customer-1".into(),
            database: "customer",
            members: [(0, "customer-1".into())].into(),
            roster: None,
            calls_max,
            call_bytes_max,
            disk: Arc::new(|| Disk { bytes: 12_345, log_syncs: 67 }),
        };
        let service = Service::new(group, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let close = CancellationToken::new();
        let server = Server::builder()
            .add_service(service.server())
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), close.clone().cancelled_owned());
        tokio::spawn(server);
        Scripted { service, address, commands, queries, close }
    }

    pub async fn client(&self) -> DatabaseClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        DatabaseClient::new(endpoint.connect().await.unwrap())
    }

    /// Answers the next command with these bytes in front of it.
    pub async fn answer_next(&mut self, prefix: &str) {
        let Command { command, answer } = self.commands.recv().await.unwrap();
        let response = [prefix.as_bytes(), &command].concat();
        answer.send(Ok(Bytes::from(response))).unwrap();
    }

    /// Lets the next command fail.
    pub async fn fail_next(&mut self, failure: Failure) {
        self.commands.recv().await.unwrap().answer.send(Err(failure)).unwrap();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.close.cancel();
    }
}
