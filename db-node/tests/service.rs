//! The gRPC service in front of a scripted group: pipelining, bounds, bad input, draining.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod garbage;
mod support;

use std::time::Duration;

use agora_group::Failure;
use agora_proto::database::failure::Kind;
use agora_proto::database::{Call, Reply, StatusRequest, call, reply};
use agora_proto::limits::COMMAND_BYTES;
use garbage::{Garbage, PIPELINE};
use rand::SeedableRng;
use rand::rngs::StdRng;
use support::Scripted;
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

#[tokio::test]
async fn garbage_on_the_port_harms_nobody_else() {
    let seed =
        std::env::var("AGORA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("AGORA_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut group = Scripted::start(100).await;
    let mut stream = Stream::open(&group).await;
    for (round, garbage) in (0..40).zip(Garbage::ALL.into_iter().cycle()) {
        garbage::Call::of(PIPELINE).go_wrong(garbage, group.address, &mut random).await;
        stream.command(round, "x").await;
        group.answer_next("").await;
        assert_eq!(stream.reply().await, (round, Ok("x".into())));
    }
}
