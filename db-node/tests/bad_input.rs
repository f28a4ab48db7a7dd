//! What is no call, no message of a peer or too large, at the ports of real nodes: it gets its error and changes nothing.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod garbage;
mod nodes;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agora_db_client::{Database, Options, Schema};
use agora_proto::broadcast::broadcast_peer_client::BroadcastPeerClient;
use agora_proto::database::call::Body;
use agora_proto::database::database_client::DatabaseClient;
use agora_proto::raft::raft_peer_client::RaftPeerClient;
use agora_proto::raft::{raft_reply, raft_request};
use agora_proto::{broadcast, database, raft};
use garbage::{Call, Garbage, PIPELINE};
use nodes::accounts::{buyer, create_buyer};
use nodes::items::{item, register_item};
use nodes::{Nodes, deadline};
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tonic::metadata::{Binary, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const STATUS: &str = "/agora.v1.database.Database/Status";
const CHANGE_SEAT: &str = "/agora.v1.database.Database/ChangeSeat";
const BROADCAST_LINK: &str = "/agora.v1.broadcast.BroadcastPeer/Link";
const TAKE_SNAPSHOT: &str = "/agora.v1.snapshot.Snapshots/Take";
const RAFT_LINK: &str = "/agora.v1.raft.RaftPeer/Link";
/// More than any node takes.
const TOO_LARGE: usize = (64 << 20) + 1;

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_customer_nodes_changes_nothing_and_they_go_on() {
    let mut random = StdRng::seed_from_u64(nodes::seed());
    let mut nodes = Nodes::new(3, 1);
    nodes.start_all();
    let members = Nodes::addresses(&nodes.file.customer);
    let id = create_buyer(&nodes.customer(), "first").await;
    let before = equal_checksums(&nodes, &members).await;
    for (me, address) in &members {
        let only_it = only(me, *address);
        let (from, _) = members.iter().find(|(other, _)| other != me).unwrap();
        let introduction = Introduction { cluster: &nodes.file.cluster, from, to: me };
        let stranger = [PIPELINE, STATUS, CHANGE_SEAT, BROADCAST_LINK, TAKE_SNAPSHOT].map(Call::of);
        let heartbeat = frame(Some(broadcast::frame::Body::Ack(broadcast::Ack {})));
        let peer = |path, first| Call { metadata: introduction.encoded(), first, ..Call::of(path) };
        let peer = [
            peer(BROADCAST_LINK, None),
            peer(BROADCAST_LINK, Some(heartbeat.encode_to_vec())),
            peer(TAKE_SNAPSHOT, None),
        ];
        for call in stranger.iter().chain(&peer) {
            for garbage in Garbage::ALL {
                call.go_wrong(garbage, *address, &mut random).await;
            }
            assert_eq!(buyer(&only_it, "first").await, Some(id), "{me} after {call:?}");
        }
        too_large_for_a_call(*address).await;
        let requests = |length| {
            let commands = vec![vec![0; length].into()];
            let requests = vec![broadcast::Request { commands, ..broadcast::Request::default() }];
            broadcast::frame::Body::Requests(broadcast::Requests { requests })
        };
        let beyond = broadcast::AskEntries { from: u64::MAX, upto: u64::MAX, ..Default::default() };
        for (frame, code) in [
            (frame(None), Code::InvalidArgument),
            (broadcast::Frame::default(), Code::InvalidArgument),
            (frame(Some(broadcast::frame::Body::AskEntries(beyond))), Code::InvalidArgument),
            (frame(Some(requests(TOO_LARGE))), Code::OutOfRange),
        ] {
            let mut request = Request::new(tokio_stream::iter([frame]));
            introduction.add_to(&mut request);
            let mut client = BroadcastPeerClient::new(channel(*address).await);
            assert_eq!(client.link(request).await.unwrap_err().code(), code);
        }
        assert_eq!(buyer(&only_it, "first").await, Some(id), "{me}");
    }
    assert_eq!(checksums(&nodes, &members).await, before);
    for (me, address) in &members {
        create_buyer(&only(me, *address), me).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_product_nodes_changes_nothing_and_they_go_on() {
    let mut random = StdRng::seed_from_u64(nodes::seed());
    let mut nodes = Nodes::new(1, 3);
    nodes.start_all();
    let members = Nodes::addresses(&nodes.file.product);
    let id = register_item(&nodes.product(), "first").await.id.unwrap();
    let before = equal_checksums(&nodes, &members).await;
    for (seat, (me, address)) in (0_u64..).zip(&members) {
        let only_it = only(me, *address);
        let cluster = nodes.file.cluster.clone();
        let hello = raft::Hello { cluster, from: ((seat + 1) % 3) << 48, to: seat };
        let hello = raft::RaftRequest { id: 1, body: Some(raft_request::Body::Hello(hello)) };
        let stranger = [PIPELINE, STATUS, CHANGE_SEAT, RAFT_LINK].map(Call::of);
        let peer = Call { first: Some(hello.encode_to_vec()), ..Call::of(RAFT_LINK) };
        for call in stranger.iter().chain([&peer]) {
            for garbage in Garbage::ALL {
                call.go_wrong(garbage, *address, &mut random).await;
            }
            assert_eq!(item(&only_it, id).await.unwrap().name, "first", "{me} after {call:?}");
        }
        too_large_for_a_call(*address).await;
        nonsense_from_a_peer(*address, hello).await;
        assert_eq!(item(&only_it, id).await.unwrap().name, "first", "{me}");
    }
    assert_eq!(checksums(&nodes, &members).await, before);
    for (me, address) in &members {
        register_item(&only(me, *address), me).await;
    }
}

/// What a peer of the product group may not say.
async fn nonsense_from_a_peer(address: SocketAddr, hello: raft::RaftRequest) {
    use raft_request::Body;
    let impossible = raft::Vote { term: u64::MAX, node: 0, committed: true };
    let nonsense = [
        None,
        Some(Body::Hello(raft::Hello::default())),
        Some(Body::Append(raft::AppendEntries::default())),
        Some(Body::Append(raft::AppendEntries { vote: Some(impossible), ..Default::default() })),
        Some(Body::Vote(raft::VoteRequest { vote: Some(impossible), last: None })),
        Some(Body::Snapshot(raft::SnapshotChunk { vote: Some(impossible), ..Default::default() })),
        Some(Body::Snapshot(raft::SnapshotChunk {
            vote: Some(raft::Vote::default()),
            records: "no records".into(),
            ..Default::default()
        })),
        Some(Body::ChangeSeat(raft::ChangeSeat { seat: u64::MAX, ..Default::default() })),
    ];
    let count = nonsense.len();
    let nonsense = (2..).zip(nonsense).map(|(id, body)| raft::RaftRequest { id, body });
    let mut replies = link(address, std::iter::once(hello.clone()).chain(nonsense)).await.unwrap();
    let welcome = replies.message().await.unwrap().unwrap().body;
    assert!(matches!(welcome, Some(raft_reply::Body::Hello(hello)) if hello.refused_because.is_empty()));
    for _ in 0..count {
        let reply = replies.message().await.unwrap().unwrap();
        assert!(matches!(reply.body, Some(raft_reply::Body::Failed(_))), "{reply:?}");
    }
    let forward = Body::Forward(raft::Forward { commands: vec![vec![0; TOO_LARGE].into()] });
    let forward = raft::RaftRequest { id: 2, body: Some(forward) };
    let mut replies = link(address, [hello, forward].into_iter()).await.unwrap();
    assert!(replies.message().await.unwrap().is_some(), "welcome");
    assert!(replies.message().await.ok().flatten().is_none(), "the link is closed");
}

async fn link(
    address: SocketAddr,
    requests: impl Iterator<Item = raft::RaftRequest> + Send + 'static,
) -> Result<tonic::Streaming<raft::RaftReply>, Status> {
    let mut client = RaftPeerClient::new(channel(address).await);
    client.link(tokio_stream::iter(requests.collect::<Vec<_>>())).await.map(tonic::Response::into_inner)
}

/// A message that is too large for a client's stream ends that.
async fn too_large_for_a_call(address: SocketAddr) {
    let call = database::Call { id: 1, body: Some(Body::Command(vec![0; 2 << 20].into())) };
    let mut client = DatabaseClient::new(channel(address).await);
    let mut replies = client.pipeline(tokio_stream::iter([call])).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap_err().code(), Code::OutOfRange);
}

/// A frame with all that it must have, and this body.
fn frame(body: Option<broadcast::frame::Body>) -> broadcast::Frame {
    let epoch = Some(broadcast::Epoch { counter: 1, coordinator: 0 });
    broadcast::Frame { incarnation: 1, epoch, body, ..broadcast::Frame::default() }
}

/// How a member of the customer group says who it is.
struct Introduction<'a> {
    cluster: &'a str,
    from: &'a str,
    to: &'a str,
}

impl Introduction<'_> {
    fn said(&self) -> [(&'static str, MetadataValue<Binary>); 3] {
        let said =
            [("agora-cluster-bin", self.cluster), ("agora-from-bin", self.from), ("agora-to-bin", self.to)];
        said.map(|(key, value)| (key, MetadataValue::from_bytes(value.as_bytes())))
    }

    fn encoded(&self) -> Vec<(&'static str, String)> {
        let text =
            |value: MetadataValue<Binary>| String::from_utf8(value.as_encoded_bytes().to_vec()).unwrap();
        self.said().map(|(key, value)| (key, text(value))).into()
    }

    fn add_to<T>(&self, request: &mut Request<T>) {
        for (key, value) in self.said() {
            request.metadata_mut().insert_bin(key, value);
        }
    }
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A client that asks this node and no other.
fn only<S: Schema>(name: &str, address: SocketAddr) -> Database<S> {
    Database::connect(vec![(name.into(), address)], Options { only_node: Some(0), ..Options::default() })
        .patient()
}

/// The checksum of each node's state; empty if it does not answer.
async fn checksums(nodes: &Nodes, members: &[(String, SocketAddr)]) -> Vec<String> {
    let mut checksums = Vec::new();
    for (name, _) in members {
        let status = nodes.status(name, true).await;
        checksums.push(status.map(|status| status.checksum).unwrap_or_default());
    }
    checksums
}

/// The same, once they are all equal.
async fn equal_checksums(nodes: &Nodes, members: &[(String, SocketAddr)]) -> Vec<String> {
    let until = deadline();
    loop {
        let checksums = checksums(nodes, members).await;
        if checksums.iter().all(|checksum| !checksum.is_empty() && *checksum == checksums[0]) {
            return checksums;
        }
        assert!(Instant::now() < until, "they do not come to the same state: {checksums:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
