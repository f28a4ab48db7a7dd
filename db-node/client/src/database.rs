//! The face of a group for its callers: execute, query, status.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agora_proto::database::database_client::DatabaseClient;
use agora_proto::database::{StatusReply, StatusRequest, call};
use agora_proto::limits::COMMAND_BYTES;
use bytes::Bytes;
use prost::Message;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::attempts::{Attempts, Elsewhere, Kind, OnOverload};
use crate::error::CallError;
use crate::keeper;
use crate::leader::{self, Leader};
use crate::node::{Health, Node};
use crate::nodes::Nodes;
use crate::options::Options;
use crate::pipeline::{Failed, Sent};
use crate::routing::choose;
use crate::schema::{Commands, Schema};

/// How long callers are asked to stay away when this client has too much under way.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// So many calls in a row go to one node before the next one has its turn. Calls that are made at the same time then travel
/// together, and what they cost on the way (messages, slots, confirmations, wake-ups) is shared among them.
const IN_A_ROW: usize = 64;

/// A database group. Cheap to clone; the connections close when the last clone is gone.
///
/// It connects at the first call, on the runtime of that call, and must not outlive that runtime.
///
/// When the nodes have too much under way, a call fails at once, so that whoever waits for it can be told to come back. A
/// caller that has begun something, and would have to leave it half done, uses a [`patient`](Database::patient) one.
pub struct Database<S> {
    group: Arc<Group>,
    on_overload: OnOverload,
    schema: PhantomData<fn() -> S>,
}

impl<S> Clone for Database<S> {
    fn clone(&self) -> Self {
        Database { group: Arc::clone(&self.group), on_overload: self.on_overload, schema: PhantomData }
    }
}

impl<S: Schema> Database<S> {
    /// A client of these nodes, by name and address. Never fails: nodes that are down are tried until they are up. Of the
    /// product group it learns who was added and who was removed, unless it is to ask one node only.
    pub fn connect(nodes: Vec<(String, SocketAddr)>, options: Options) -> Self {
        let nodes =
            nodes.into_iter().map(|(name, address)| Arc::new(Node::new(name, address))).collect::<Vec<_>>();
        let group = Group {
            database: S::DATABASE,
            commands: S::COMMANDS,
            nodes: Arc::new(Nodes::new(nodes)),
            calls: Semaphore::new(options.calls_max.min(Semaphore::MAX_PERMITS)),
            options,
            leader: Arc::new(Leader::unknown()),
            turn: AtomicUsize::new(rand::random_range(0..1024 * IN_A_ROW)),
            came_up: Arc::new(Notify::new()),
            started: OnceLock::new(),
        };
        Database { group: Arc::new(group), on_overload: OnOverload::Tell, schema: PhantomData }
    }

    /// The same group over the same connections, for calls that wait until their deadline for an overloaded database to have
    /// room again, with growing pauses.
    #[must_use]
    pub fn patient(&self) -> Self {
        Database { on_overload: OnOverload::WaitOut, ..self.clone() }
    }

    /// Changes the state, and returns the database's response. Repeats the command at other nodes until the deadline; its
    /// idempotency key makes that safe.
    ///
    /// # Errors
    /// See [`CallError`]. Only `OutcomeUnknown` leaves open whether the command took effect.
    pub async fn execute(
        &self,
        command: &S::Command,
        deadline: std::time::Instant,
    ) -> Result<S::Response, CallError> {
        let attempts = Attempts::new(Kind::Command, self.on_overload, deadline.into());
        let response = self.group.call(command.encode_to_vec().into(), attempts).await?;
        S::Response::decode(response)
            .map_err(|error| CallError::OutcomeUnknown(format!("the node's response can't be read: {error}")))
    }

    /// Asks the database, linearizably. Repeats the query at other nodes until the deadline.
    ///
    /// # Errors
    /// See [`CallError`]; never `OutcomeUnknown`.
    pub async fn query(
        &self,
        query: &S::Query,
        deadline: std::time::Instant,
    ) -> Result<S::Response, CallError> {
        let attempts = Attempts::new(Kind::Query, self.on_overload, deadline.into());
        let response = self.group.call(query.encode_to_vec().into(), attempts).await?;
        S::Response::decode(response)
            .map_err(|error| CallError::Unavailable(format!("the node's response can't be read: {error}")))
    }

    /// What one node, by its index, says of itself; with the checksum of its whole state, if asked for. Indexes are those of the
    /// nodes that this client was made with, and the next ones, or those of removed nodes, for nodes that were added.
    ///
    /// # Errors
    /// `Unavailable`: there is no such node, or it did not answer in time.
    pub async fn status(&self, node: usize, checksum: bool) -> Result<StatusReply, CallError> {
        self.group.status(node, StatusRequest { checksum }).await
    }

    /// The leader's index, if the group has one and it is known just now. A hint.
    pub fn leader(&self) -> Option<usize> {
        self.group.leader.index()
    }
}

struct Group {
    database: &'static str,
    commands: Commands,
    nodes: Arc<Nodes>,
    options: Options,
    /// A permit for each call under way.
    calls: Semaphore,
    leader: Arc<Leader>,
    /// Counts calls, so that nodes take turns.
    turn: AtomicUsize,
    came_up: Arc<Notify>,
    /// Ends the background tasks when the last clone is gone; set with the first call.
    started: OnceLock<DropGuard>,
}

impl Group {
    async fn call(&self, body: Bytes, mut attempts: Attempts) -> Result<Bytes, CallError> {
        if body.len() > COMMAND_BYTES {
            return Err(CallError::Malformed(format!(
                "{} bytes, but {COMMAND_BYTES} are the most",
                body.len()
            )));
        }
        let _permit = self.place(&attempts).await?;
        self.start();
        loop {
            let Some((index, node)) = self.node_for(&attempts).await else {
                return Err(attempts.give_up());
            };
            match self.attempt(&node, body.clone(), &mut attempts).await {
                Ok(response) => {
                    node.answered();
                    return Ok(response);
                }
                Err(Failed::Malformed(why)) => return Err(CallError::Malformed(why)),
                Err(Failed::Overloaded(retry_after)) => {
                    let elsewhere = self.elsewhere(index, &attempts);
                    attempts.overloaded(index, retry_after, elsewhere).await?;
                }
                Err(failed) => {
                    node.failed(Instant::now());
                    self.leader.doubt(index);
                    attempts.failed(index, &node, failed, self.nodes.all().len()).await;
                }
            }
        }
    }

    /// A place among the calls under way.
    async fn place(&self, attempts: &Attempts) -> Result<SemaphorePermit<'_>, CallError> {
        let place = match attempts.on_overload {
            OnOverload::Tell => self.calls.try_acquire().ok(),
            OnOverload::WaitOut => {
                timeout_at(attempts.deadline, self.calls.acquire()).await.ok().and_then(Result::ok)
            }
        };
        place.ok_or(CallError::Overloaded { retry_after: RETRY_AFTER })
    }

    /// Whether it makes sense to ask another node at once when this one has no room.
    fn elsewhere(&self, index: usize, attempts: &Attempts) -> Elsewhere {
        let bound = self.options.only_node.is_some()
            || attempts.kind == Kind::Command && self.commands == Commands::ToTheLeader;
        let now = Instant::now();
        let is_well = |(other, node): (usize, &Arc<Node>)| other != index && node.health(now) == Health::Good;
        if !bound && self.nodes.all().iter().enumerate().any(is_well) {
            Elsewhere::Somebody
        } else {
            Elsewhere::Nobody
        }
    }

    /// The node to ask next; waits for one to be connected if none is. None: the deadline has passed.
    async fn node_for(&self, attempts: &Attempts) -> Option<(usize, Arc<Node>)> {
        let preferred = match (attempts.kind, self.commands) {
            (Kind::Command, Commands::ToTheLeader) => self.leader.index(),
            _ => None,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) / IN_A_ROW;
        loop {
            let mut came_up = std::pin::pin!(self.came_up.notified());
            // Listen first and look then, or a node that comes up in between would be missed.
            came_up.as_mut().enable();
            let now = Instant::now();
            if now >= attempts.deadline {
                return None;
            }
            if let Some((index, node)) = self.choose(now, turn, preferred, attempts.just_failed) {
                return Some((index, node));
            }
            timeout_at(attempts.deadline, came_up).await.ok()?;
        }
    }

    fn choose(
        &self,
        now: Instant,
        turn: usize,
        preferred: Option<usize>,
        just_failed: Option<usize>,
    ) -> Option<(usize, Arc<Node>)> {
        let all = self.nodes.all();
        let chosen = match self.options.only_node {
            Some(only) => all.get(only).and_then(|node| node.pipeline()).map(|_| only),
            None => choose(all.iter().map(|node| &**node), now, turn, preferred, just_failed),
        };
        chosen.and_then(|index| Some((index, Arc::clone(all.get(index)?))))
    }

    async fn attempt(&self, node: &Node, body: Bytes, attempts: &mut Attempts) -> Result<Bytes, Failed> {
        let Some(pipeline) = node.pipeline() else { return Err(Failed::NotSent) };
        let body = match attempts.kind {
            Kind::Command => call::Body::Command(body),
            Kind::Query => call::Body::Query(body),
        };
        let mut sent = Sent::No;
        let patience = self.options.attempt_timeout.saturating_mul(1 << attempts.failures.min(10));
        let until = match self.options.only_node {
            Some(_) => attempts.deadline,
            None => attempts.deadline.min(Instant::now() + patience),
        };
        match timeout_at(until, pipeline.call(body, &mut sent)).await {
            Ok(outcome) => outcome,
            Err(_) if sent == Sent::No => Err(Failed::NotSent),
            Err(_) => Err(Failed::OutcomeUnknown(format!("{} did not answer in time", node.name))),
        }
    }

    async fn status(&self, index: usize, request: StatusRequest) -> Result<StatusReply, CallError> {
        let Some(node) = self.nodes.get(index) else {
            return Err(CallError::Unavailable(format!("the {} group has no node {index}", self.database)));
        };
        let channel = node.channel(self.options.connect_timeout).map_err(CallError::Unavailable)?;
        let patience = self.options.status_timeout * if request.checksum { 30 } else { 1 };
        let mut client = DatabaseClient::new(channel);
        match tokio::time::timeout(patience, client.status(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(CallError::Unavailable(status.message().to_owned())),
            Err(_) => Err(CallError::Unavailable("no answer in time".into())),
        }
    }

    /// Starts the background tasks, once.
    fn start(&self) {
        self.started.get_or_init(|| {
            let stop = CancellationToken::new();
            let (came_up, kept_until) = (Arc::clone(&self.came_up), stop.clone());
            let connect_timeout = self.options.connect_timeout;
            let keep = move |node: Arc<Node>| {
                tokio::spawn(keeper::keep(node, connect_timeout, Arc::clone(&came_up), kept_until.clone()));
            };
            let all = self.nodes.all();
            let asked = all
                .iter()
                .enumerate()
                .filter(|(index, _)| self.options.only_node.is_none_or(|only| only == *index));
            asked.for_each(|(_, node)| keep(Arc::clone(node)));
            if self.commands == Commands::ToTheLeader && self.options.only_node.is_none() {
                let (leader, nodes) = (Arc::clone(&self.leader), Arc::clone(&self.nodes));
                tokio::spawn(leader::watch(leader, nodes, connect_timeout, keep, stop.clone()));
            }
            stop.drop_guard()
        });
    }
}

#[cfg(test)]
mod tests {
    use agora_proto::customer;
    use agora_proto::database::{Failure, Reply, failure, reply};
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::pipeline::Pipeline;
    use crate::schema::Customer;

    /// A node that refuses whatever comes, for a minute.
    async fn refuse(
        node: Arc<Node>,
        pipeline: Arc<Pipeline>,
        mut calls: Receiver<agora_proto::database::Call>,
    ) {
        while let Some(call) = calls.recv().await {
            let kind = failure::Kind::Overloaded.into();
            let failure = Failure { kind, detail: String::new(), retry_after_ms: 60_000 };
            pipeline.complete(Reply { id: call.id, body: Some(reply::Body::Failure(failure)) });
        }
        drop(node);
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_passes_between_a_nodes_overload_and_the_callers_being_told() {
        let nowhere = |n| (format!("node-{n}"), SocketAddr::from(([127, 0, 0, 1], 1)));
        let database: Database<Customer> =
            Database::connect(vec![nowhere(0), nowhere(1)], Options::default());
        for node in database.group.nodes.all().iter() {
            let (pipeline, calls) = Pipeline::new();
            let pipeline = Arc::new(pipeline);
            node.connected(Arc::clone(&pipeline));
            tokio::spawn(refuse(Arc::clone(node), pipeline, calls));
        }
        let began = Instant::now();
        let deadline = began + Duration::from_secs(200);
        for _ in 0..100 {
            let told = database.execute(&customer::Command::default(), deadline.into()).await;
            assert_eq!(told, Err(CallError::Overloaded { retry_after: Duration::from_secs(60) }));
            let told = database.query(&customer::Query::default(), deadline.into()).await;
            assert_eq!(told, Err(CallError::Overloaded { retry_after: Duration::from_secs(60) }));
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        // The clock is not one that stands still anyway.
        let patient = database.patient();
        let told = patient.execute(&customer::Command::default(), deadline.into()).await;
        assert!(
            matches!(told, Err(CallError::Overloaded { .. })) && began.elapsed() > Duration::from_secs(30)
        );
    }
}
