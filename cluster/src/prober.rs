//! Asks processes how they are: database nodes over gRPC, the others over HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use agora_process::Role;
use agora_proto::database::database_client::DatabaseClient;
use agora_proto::database::{ChangeSeatReply, ChangeSeatRequest, StatusReply, StatusRequest};
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

/// How long a process may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a node may take to compute the checksum of its state.
const CHECKSUM_PATIENCE: Duration = Duration::from_secs(60);
/// How long a node may take to bring a wish to its group: somewhat longer than it asks by itself.
const CHANGE_PATIENCE: Duration = Duration::from_secs(25);

/// Whether a node also computes the checksum of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// No: that takes a while on a large state.
    Skip,
    /// Yes.
    Compute,
}

/// Asks processes how they are, over connections that it keeps.
#[derive(Debug)]
pub(crate) struct Prober {
    http: reqwest::Client,
    nodes: Mutex<HashMap<SocketAddr, DatabaseClient<Channel>>>,
}

impl Default for Prober {
    fn default() -> Self {
        Prober { http: http(), nodes: Mutex::default() }
    }
}

/// A client of this cluster's processes, whatever proxy the environment names for everything else.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap_or_default()
}

impl Prober {
    /// Whether the process can serve; if not, why.
    pub async fn ready(&self, role: Role, address: SocketAddr) -> Result<(), String> {
        match role {
            Role::Customer | Role::Product => {
                let status = self.node_status(address, Checksums::Skip).await?;
                let reason = || format!("not ready: {}", status.not_ready_because);
                if status.ready { Ok(()) } else { Err(reason()) }
            }
            Role::Buyer | Role::Seller => self.http_ready(address, "readyz").await,
            Role::Financial => self.http_ready(address, "healthz").await,
        }
    }

    /// What a database node says of itself.
    pub async fn node_status(
        &self,
        address: SocketAddr,
        checksums: Checksums,
    ) -> Result<StatusReply, String> {
        let mut client = self.node(address)?;
        let checksum = checksums == Checksums::Compute;
        let patience = if checksum { CHECKSUM_PATIENCE } else { PATIENCE };
        let reply = tokio::time::timeout(patience, client.status(StatusRequest { checksum })).await;
        match reply {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) if status.message().is_empty() => Err(format!("gRPC status {}", status.code())),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(no_answer(patience)),
        }
    }

    /// Has a database node bring a wish for a change of its group's members to the group.
    pub async fn change_seat(
        &self,
        address: SocketAddr,
        request: ChangeSeatRequest,
    ) -> Result<ChangeSeatReply, String> {
        let mut client = self.node(address)?;
        match tokio::time::timeout(CHANGE_PATIENCE, client.change_seat(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) if status.message().is_empty() => Err(format!("gRPC status {}", status.code())),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(no_answer(CHANGE_PATIENCE)),
        }
    }

    fn node(&self, address: SocketAddr) -> Result<DatabaseClient<Channel>, String> {
        let mut nodes = self.nodes.lock();
        if let Some(client) = nodes.get(&address) {
            return Ok(client.clone());
        }
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let client = DatabaseClient::new(endpoint.connect_timeout(PATIENCE).connect_lazy());
        nodes.insert(address, client.clone());
        Ok(client)
    }

    async fn http_ready(&self, address: SocketAddr, path: &str) -> Result<(), String> {
        let answer = self.http.get(format!("http://{address}/{path}")).timeout(PATIENCE).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("/{path} answers {}", answer.status())),
            Err(error) if error.is_timeout() => Err(no_answer(PATIENCE)),
            Err(_) => Err("does not listen yet".to_owned()),
        }
    }
}

fn no_answer(patience: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(patience))
}
