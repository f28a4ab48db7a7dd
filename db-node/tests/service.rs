//! The gRPC service in front of a scripted group: pipelining, bounds, bad input, draining.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::Duration;

use agora_group::Failure;
use agora_proto::database::failure::Kind;
use agora_proto::database::{Call, Reply, StatusRequest, call, reply};
use agora_proto::limits::COMMAND_BYTES;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use support::Scripted;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

struct Stream {
    calls: mpsc::Sender<Call>,
    replies: Streaming<Reply>,
}

impl Stream {
    async fn open(group: &Scripted) -> Stream {
        let (calls, outgoing) = mpsc::channel(1000);
        let replies =
            group.client().await.pipeline(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        Stream { calls, replies }
    }

    async fn command(&self, id: u64, bytes: impl Into<Vec<u8>>) {
        let body = Some(call::Body::Command(bytes.into().into()));
        self.calls.send(Call { id, body }).await.unwrap();
    }

    async fn reply(&mut self) -> (u64, Result<String, Kind>) {
        let reply = self.replies.message().await.unwrap().unwrap();
        let outcome = match reply.body.unwrap() {
            reply::Body::Response(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
            reply::Body::Failure(failure) => Err(failure.kind()),
        };
        (reply.id, outcome)
    }
}

#[tokio::test]
async fn replies_come_as_they_are_ready_and_carry_their_ids() {
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    stream.command(5, "slow").await;
    stream.command(6, "quick").await;
    let slow = group.commands.recv().await.unwrap();
    group.answer_next("did ").await;
    assert_eq!(stream.reply().await, (6, Ok("did quick".into())));
    slow.answer.send(Ok("at last".into())).unwrap();
    assert_eq!(stream.reply().await, (5, Ok("at last".into())));
}

#[tokio::test]
async fn failures_keep_their_kind() {
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    let failures = [
        (Failure::Unavailable("x".into()), Kind::Unavailable),
        (Failure::OutcomeUnknown("x".into()), Kind::OutcomeUnknown),
        (Failure::Overloaded { retry_after: Duration::from_millis(9) }, Kind::Overloaded),
        (Failure::Malformed("x".into()), Kind::Malformed),
    ];
    for (id, (failure, kind)) in (1..).zip(failures) {
        stream.command(id, "x").await;
        group.fail_next(failure).await;
        assert_eq!(stream.reply().await, (id, Err(kind)));
    }
}

#[tokio::test]
async fn a_bad_call_gets_its_error_and_the_stream_goes_on() {
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    stream.calls.send(Call { id: 1, body: None }).await.unwrap();
    assert_eq!(stream.reply().await, (1, Err(Kind::Malformed)));
    stream.command(2, vec![b'x'; COMMAND_BYTES + 1]).await;
    assert_eq!(stream.reply().await, (2, Err(Kind::Malformed)));
    stream.command(3, "bad").await;
    assert_eq!(stream.reply().await, (3, Err(Kind::Malformed)));
    stream.command(4, vec![b'x'; COMMAND_BYTES]).await;
    group.answer_next("").await;
    assert_eq!(stream.reply().await.1.unwrap().len(), COMMAND_BYTES);
}

#[tokio::test]
async fn a_stream_with_its_share_under_way_is_told_so_at_once_and_others_are_not() {
    let mut group = Scripted::start(8).await;
    let (mut greedy, mut modest) = (Stream::open(&group).await, Stream::open(&group).await);
    for id in 1..=3 {
        greedy.command(id, "x").await;
    }
    assert_eq!(greedy.reply().await, (3, Err(Kind::Overloaded)));
    modest.command(1, "y").await;
    let (first, _second) = (group.commands.recv().await.unwrap(), group.commands.recv().await.unwrap());
    group.answer_next("").await;
    assert_eq!(modest.reply().await, (1, Ok("y".into())));
    first.answer.send(Ok("done".into())).unwrap();
    assert_eq!(greedy.reply().await, (1, Ok("done".into())));
    greedy.command(4, "z").await;
    assert_eq!(&group.commands.recv().await.unwrap().command[..], b"z", "there is room again");
}

#[tokio::test]
async fn a_node_with_enough_under_way_is_overloaded_for_all() {
    let mut group = Scripted::start(4).await;
    let (mut streams, mut under_way) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let stream = Stream::open(&group).await;
        stream.command(1, "x").await;
        streams.push(stream);
        if streams.len() <= 4 {
            under_way.push(group.commands.recv().await.unwrap());
        }
    }
    assert_eq!(streams.last_mut().unwrap().reply().await, (1, Err(Kind::Overloaded)));
}

#[tokio::test]
async fn a_node_whose_calls_take_enough_memory_is_overloaded_until_they_are_answered() {
    let mut group = Scripted::bounded(100, 1_000).await;
    let mut stream = Stream::open(&group).await;
    stream.command(1, [b'x'; 600]).await;
    stream.command(2, [b'y'; 600]).await;
    assert_eq!(stream.reply().await, (2, Err(Kind::Overloaded)));
    group.answer_next("").await;
    assert_eq!(stream.reply().await, (1, Ok("x".repeat(600))));
    stream.command(3, [b'z'; 600]).await;
    group.answer_next("").await;
    assert_eq!(stream.reply().await, (3, Ok("z".repeat(600))), "there is room again");
}

#[tokio::test]
async fn calls_under_way_are_answered_before_a_stopping_node_closes_its_streams() {
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    stream.command(1, "x").await;
    let under_way = group.commands.recv().await.unwrap();
    let service = group.service.clone();
    let drain = tokio::spawn(async move { service.drain(Duration::from_secs(10)).await });
    while group.client().await.pipeline(tokio_stream::empty()).await.is_ok() {}
    under_way.answer.send(Ok("done".into())).unwrap();
    assert_eq!(stream.reply().await, (1, Ok("done".into())));
    assert!(stream.replies.message().await.unwrap().is_none(), "and then it ends in good order");
    drain.await.unwrap();
}

#[tokio::test]
async fn a_status_names_members_and_tells_the_checksum_if_asked() {
    let group = Scripted::start(100).await;
    let mut client = group.client().await;
    let status = client.status(StatusRequest { checksum: false }).await.unwrap().into_inner();
    assert_eq!((status.node.as_str(), status.ready, status.applied), ("customer-1", true, 7));
    assert_eq!((status.disk_bytes, status.log_syncs, status.checksum.as_str()), (12_345, 67, ""));
    let status = client.status(StatusRequest { checksum: true }).await.unwrap().into_inner();
    assert_eq!(status.checksum, "00000abc");
}

/// A gRPC message that says that it has this length.
fn grpc_message(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a call of Pipeline on a connection of its own, as HTTP/2 wants it.
fn opening() -> Vec<u8> {
    let literal = |name: &str, value: &str| {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let headers = [
        literal(":method", "POST"),
        literal(":scheme", "http"),
        literal(":path", "/agora.v1.database.Database/Pipeline"),
        literal(":authority", "test"),
        literal("content-type", "application/grpc"),
        literal("te", "trailers"),
    ];
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    [preface, frame(4, 0, 0, &[]), frame(1, 4, 1, &headers.concat())].concat()
}

/// Whether these bytes hold response headers for the call that [`opening`] begins.
fn was_answered(mut bytes: &[u8]) -> bool {
    while let Some((header, rest)) = bytes.split_at_checked(9) {
        if header[3] == 1 && header[8] == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        bytes = rest.get(length..).unwrap_or_default();
    }
    false
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody_else() {
    let seed =
        std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("AGORA_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    let noise = |random: &mut StdRng| {
        let mut bytes = vec![0; random.random_range(1..4000)];
        random.fill_bytes(&mut bytes);
        bytes
    };
    for round in 0..40 {
        let bytes = match round % 5 {
            0 => noise(&mut random),
            1 => [opening(), noise(&mut random)].concat(),
            // A message that is cut off, one that claims to be huge, and one that is no protobuf.
            2 => [opening(), frame(0, 1, 1, &grpc_message(100, b"short"))].concat(),
            3 => [opening(), frame(0, 0, 1, &grpc_message(u32::MAX, b"long"))].concat(),
            _ => [opening(), frame(0, 1, 1, &grpc_message(4, &[0xff; 4]))].concat(),
        };
        let mut connection = TcpStream::connect(group.address).await.unwrap();
        // The node may close the connection while we still write.
        let _ = connection.write_all(&bytes).await;
        let _ = connection.shutdown().await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut rest));
        assert!(ended.await.is_ok(), "round {round}: the connection is left hanging");
        assert!(round % 5 < 2 || was_answered(&rest), "round {round} was to reach the service");
        stream.command(round, "x").await;
        group.answer_next("").await;
        assert_eq!(stream.reply().await, (round, Ok("x".into())));
    }
}
