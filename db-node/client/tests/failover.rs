//! Calls against nodes that refuse, break, stall and lead: where they go, and what the caller is told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agora_db_client::{CallError, Customer, Database, Options, Product, Schema};
use agora_proto::database::database_server::{self, DatabaseServer};
use agora_proto::database::failure::Kind;
use agora_proto::database::{
    Call, ChangeSeatReply, ChangeSeatRequest, Failure, RaftStatus, Reply, StatusReply, StatusRequest, reply,
    status_reply,
};
use agora_proto::{customer, product};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What a scripted node does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Answer,
    Fail(Kind),
    BreakTheStream,
    SaySilent,
}

type Script = Arc<dyn Fn(usize) -> Act + Send + Sync>;

/// A node that acts by a script, which is told how many calls there were before.
#[derive(Clone)]
struct Node {
    script: Script,
    calls: Arc<AtomicUsize>,
    leader: &'static str,
}

#[tonic::async_trait]
impl database_server::Database for Node {
    type PipelineStream = ReceiverStream<Result<Reply, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<Call>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let (replies, outgoing) = mpsc::channel(100);
        let (node, mut calls) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(Call { id, .. })) = calls.message().await {
                let body = match (node.script)(node.calls.fetch_add(1, Ordering::SeqCst)) {
                    Act::Answer => reply::Body::Response(done().into()),
                    Act::Fail(kind) => reply::Body::Failure(Failure {
                        kind: kind.into(),
                        detail: "scripted".into(),
                        retry_after_ms: 5,
                    }),
                    Act::BreakTheStream => return,
                    Act::SaySilent => continue,
                };
                if replies.send(Ok(Reply { id, body: Some(body) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let raft = RaftStatus { leader: self.leader.into(), ..RaftStatus::default() };
        Ok(Response::new(StatusReply {
            group: Some(status_reply::Group::Raft(raft)),
            ..StatusReply::default()
        }))
    }

    async fn change_seat(&self, _: Request<ChangeSeatRequest>) -> Result<Response<ChangeSeatReply>, Status> {
        Err(Status::unimplemented("scripted"))
    }
}

fn done() -> Vec<u8> {
    let body = customer::response::Body::Done(customer::Done {});
    customer::Response { body: Some(body) }.encode_to_vec()
}

/// A group of scripted nodes, called node-0, node-1, …
struct Group {
    nodes: Vec<(String, SocketAddr)>,
    calls: Vec<Arc<AtomicUsize>>,
    close: CancellationToken,
}

impl Group {
    async fn start(scripts: Vec<Script>, leader: &'static str) -> Group {
        let mut group = Group { nodes: Vec::new(), calls: Vec::new(), close: CancellationToken::new() };
        for (index, script) in scripts.into_iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            group.nodes.push((format!("node-{index}"), listener.local_addr().unwrap()));
            let calls = Arc::new(AtomicUsize::new(0));
            group.calls.push(Arc::clone(&calls));
            let service = DatabaseServer::new(Node { script, calls, leader });
            let server = Server::builder().add_service(service).serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                group.close.clone().cancelled_owned(),
            );
            tokio::spawn(server);
        }
        group
    }

    fn database<S: Schema>(&self, options: Options) -> Database<S> {
        Database::connect(self.nodes.clone(), options)
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.iter().map(|calls| calls.load(Ordering::SeqCst)).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

fn always(act: Act) -> Script {
    Arc::new(move |_| act)
}

fn first(times: usize, act: Act) -> Script {
    Arc::new(move |before| if before < times { act } else { Act::Answer })
}

fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

async fn execute(database: &Database<Customer>, ms: u64) -> Result<customer::Response, CallError> {
    database.execute(&customer::Command::default(), within(ms)).await
}

async fn query(database: &Database<Customer>, ms: u64) -> Result<customer::Response, CallError> {
    database.query(&customer::Query::default(), within(ms)).await
}

#[tokio::test]
async fn a_node_that_is_down_or_unable_is_passed_over() {
    let mut group = Group::start(vec![always(Act::Answer), always(Act::Fail(Kind::Unavailable))], "").await;
    group.nodes.push(("node-2".into(), SocketAddr::from(([127, 0, 0, 1], 1))));
    let database = group.database(Options::default());
    for _ in 0..20 {
        execute(&database, 5_000).await.unwrap();
    }
    assert_eq!(group.calls()[0], 20);
    assert!(group.calls()[1] < 20, "it is remembered that a node could not serve: {:?}", group.calls());
}

#[tokio::test]
async fn a_command_on_a_broken_stream_is_repeated() {
    let group = Group::start(vec![first(2, Act::BreakTheStream)], "").await;
    let database = group.database(Options::default());
    execute(&database, 5_000).await.unwrap();
    assert_eq!(group.calls(), [3]);
}

#[tokio::test]
async fn a_node_that_stalls_is_overtaken_by_another_one() {
    let group = Group::start(vec![always(Act::SaySilent), always(Act::Answer)], "").await;
    let database =
        group.database(Options { attempt_timeout: Duration::from_millis(30), ..Options::default() });
    for _ in 0..10 {
        query(&database, 5_000).await.unwrap();
    }
}

#[tokio::test]
async fn what_may_have_happened_is_told_apart_from_what_did_not() {
    let group = Group::start(vec![always(Act::SaySilent)], "").await;
    let database = group.database(Options::default());
    let unknown = execute(&database, 100).await.unwrap_err();
    assert!(matches!(unknown, CallError::OutcomeUnknown(_)), "{unknown:?}");
    let unavailable = query(&database, 100).await.unwrap_err();
    assert!(matches!(unavailable, CallError::Unavailable(_)), "a query changes nothing: {unavailable:?}");

    let group = Group::start(vec![always(Act::Fail(Kind::Unavailable))], "").await;
    let database = group.database(Options::default());
    let unavailable = execute(&database, 100).await.unwrap_err();
    assert!(matches!(unavailable, CallError::Unavailable(_)), "every attempt was refused: {unavailable:?}");

    // Once it may have happened, later refusals do not make it undone.
    let script: Script =
        Arc::new(|before| if before == 0 { Act::BreakTheStream } else { Act::Fail(Kind::Unavailable) });
    let group = Group::start(vec![script], "").await;
    let database = group.database(Options::default());
    let unknown = execute(&database, 300).await.unwrap_err();
    assert!(matches!(unknown, CallError::OutcomeUnknown(_)), "{unknown:?}");
}

#[tokio::test]
async fn nodes_that_are_nowhere_are_waited_for_until_the_deadline_only() {
    let nodes = vec![("node-0".to_string(), SocketAddr::from(([127, 0, 0, 1], 1)))];
    let database: Database<Customer> = Database::connect(nodes, Options::default());
    let unavailable = execute(&database, 50).await.unwrap_err();
    assert!(matches!(unavailable, CallError::Unavailable(_)), "{unavailable:?}");
    assert!(database.status(0, false).await.is_err());
    assert!(database.status(7, false).await.is_err());
}

#[tokio::test]
async fn overload_is_told_at_once_and_waited_out_by_who_wants_to() {
    let group = Group::start(vec![first(9, Act::Fail(Kind::Overloaded))], "").await;
    let database = group.database(Options::default());
    let overloaded = CallError::Overloaded { retry_after: Duration::from_millis(5) };
    assert_eq!(execute(&database, 20_000).await.unwrap_err(), overloaded);
    assert_eq!(query(&database, 20_000).await.unwrap_err(), overloaded);
    assert_eq!(group.calls(), [2], "each was asked once");
    execute(&database.patient(), 20_000).await.unwrap();
    assert_eq!(group.calls(), [10]);

    let group = Group::start(vec![always(Act::Fail(Kind::Overloaded))], "").await;
    let database = group.database(Options::default()).patient();
    assert_eq!(execute(&database, 100).await.unwrap_err(), overloaded, "nothing happened");
}

#[tokio::test]
async fn an_overloaded_node_costs_one_try_at_another_one_and_a_leader_none() {
    let full = || always(Act::Fail(Kind::Overloaded));
    let group = Group::start(vec![full(), full(), full()], "").await;
    let database = group.database(Options::default());
    // Not all nodes are connected at the first calls.
    while group.calls().contains(&0) {
        query(&database, 20_000).await.unwrap_err();
    }
    for ask in 1..=5 {
        let before: usize = group.calls().iter().sum();
        execute(&database, 20_000).await.unwrap_err();
        assert_eq!(group.calls().iter().sum::<usize>(), before + 2, "call {ask}");
    }

    let group = Group::start(vec![full(), always(Act::Answer)], "").await;
    let database = group.database(Options::default());
    while group.calls().contains(&0) {
        // Fails as long as the other one is not connected.
        drop(query(&database, 20_000).await);
    }
    for _ in 0..200 {
        query(&database, 20_000).await.expect("one of the two has room");
    }

    let group = Group::start(vec![full(), always(Act::Answer)], "node-0").await;
    let database: Database<Product> = group.database(Options::default());
    let deadline = within(20_000);
    while database.leader() != Some(0) || group.calls().contains(&0) {
        assert!(Instant::now() < deadline, "the leader is not found");
        drop(database.query(&product::Query::default(), deadline).await);
        tokio::task::yield_now().await;
    }
    let before = group.calls();
    database.execute(&product::Command::default(), deadline).await.unwrap_err();
    assert_eq!(group.calls(), [before[0] + 1, before[1]], "others would only pass it on");
}

#[tokio::test]
async fn a_command_that_may_have_happened_is_not_called_undone_because_of_an_overload() {
    let script = |overloaded: usize| -> Script {
        Arc::new(move |before| match before {
            0 => Act::BreakTheStream,
            n if n <= overloaded => Act::Fail(Kind::Overloaded),
            _ => Act::Answer,
        })
    };
    // Only a repeat finds out, so that is worth waiting for.
    let group = Group::start(vec![script(3)], "").await;
    execute(&group.database(Options::default()), 20_000).await.unwrap();
    assert_eq!(group.calls(), [5]);
    let group = Group::start(vec![script(usize::MAX)], "").await;
    let unknown = execute(&group.database(Options::default()), 300).await.unwrap_err();
    assert!(matches!(unknown, CallError::OutcomeUnknown(_)), "{unknown:?}");
    // A query can't have done anything.
    let group = Group::start(vec![script(usize::MAX)], "").await;
    let overloaded = query(&group.database(Options::default()), 20_000).await.unwrap_err();
    assert!(matches!(overloaded, CallError::Overloaded { .. }), "{overloaded:?}");
}

#[tokio::test]
async fn a_client_with_enough_under_way_says_so_at_once() {
    let group = Group::start(vec![always(Act::SaySilent)], "").await;
    let database = group.database(Options { calls_max: 1, ..Options::default() });
    let under_way = tokio::spawn({
        let database = database.clone();
        async move { query(&database, 10_000).await }
    });
    while group.calls() == [0] {
        tokio::task::yield_now().await;
    }
    assert!(matches!(query(&database, 10_000).await, Err(CallError::Overloaded { .. })));
    // Who is patient waits for a place.
    let patient = tokio::spawn(async move { query(&database.patient(), 300).await });
    under_way.abort();
    let served = patient.await.unwrap();
    assert!(matches!(served, Err(CallError::Unavailable(_))), "it came to the silent node: {served:?}");
}

#[tokio::test]
async fn a_call_that_is_malformed_or_too_large_is_not_repeated() {
    let group = Group::start(vec![always(Act::Fail(Kind::Malformed)); 2], "").await;
    let database = group.database(Options::default());
    assert!(matches!(execute(&database, 5_000).await, Err(CallError::Malformed(_))));
    assert_eq!(group.calls().iter().sum::<usize>(), 1);
    let key = vec![0; 100_000].into();
    let idempotency = agora_proto::common::Idempotency { key, ..Default::default() };
    let large = customer::Command { idempotency: Some(idempotency), body: None };
    assert!(matches!(database.execute(&large, within(5_000)).await, Err(CallError::Malformed(_))));
    assert_eq!(group.calls().iter().sum::<usize>(), 1, "it never left");
}

#[tokio::test]
async fn commands_go_to_the_leader() {
    let group = Group::start(vec![always(Act::Answer); 3], "node-1").await;
    let database: Database<Product> = group.database(Options::default());
    let deadline = within(10_000);
    while database.leader() != Some(1) {
        assert!(Instant::now() < deadline, "the leader is not found");
        database.query(&product::Query::default(), deadline).await.unwrap();
        tokio::task::yield_now().await;
    }
    let before = group.calls();
    for _ in 0..9 {
        database.execute(&product::Command::default(), deadline).await.unwrap();
    }
    assert_eq!(group.calls(), [before[0], before[1] + 9, before[2]]);
}

#[tokio::test]
async fn nodes_take_turns_of_many_calls_in_a_row() {
    const IN_A_ROW: usize = 64;
    let group = Group::start(vec![always(Act::Answer); 3], "").await;
    let database = group.database(Options::default());
    // Not all nodes are connected at the first calls.
    while group.calls().contains(&0) {
        query(&database, 5_000).await.unwrap();
    }
    let before = group.calls();
    for _ in 0..IN_A_ROW {
        query(&database, 5_000).await.unwrap();
    }
    let asked = group.calls().iter().zip(&before).filter(|(now, before)| now > before).count();
    assert!(asked <= 2, "the rest of one turn, and the begin of the next");
    for _ in 0..2 * IN_A_ROW {
        query(&database, 5_000).await.unwrap();
    }
    let each: Vec<_> = group.calls().iter().zip(&before).map(|(now, before)| now - before).collect();
    assert_eq!(each, [IN_A_ROW; 3]);
}

#[tokio::test]
async fn a_pinned_client_asks_its_node_only() {
    let group = Group::start(vec![always(Act::Answer), always(Act::Answer)], "").await;
    let database = group.database(Options { only_node: Some(1), ..Options::default() });
    for _ in 0..5 {
        query(&database, 5_000).await.unwrap();
    }
    assert_eq!(group.calls(), [0, 5]);
}
