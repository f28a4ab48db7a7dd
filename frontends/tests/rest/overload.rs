//! What clients are told when a database has no room for their calls: at once, after a single try, when to come back. Only
//! what was begun is tried again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agora_proto::database::database_server::{self, DatabaseServer};
use agora_proto::database::{
    Call, ChangeSeatReply, ChangeSeatRequest, Failure, Reply, StatusReply, StatusRequest, failure, reply,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::api::{User, card, category, lamp, unique};
use crate::cluster::{Cluster, Shape};

/// A database node that has no room for any call, and counts them.
#[derive(Clone, Default)]
struct FullNode {
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl database_server::Database for FullNode {
    type PipelineStream = ReceiverStream<Result<Reply, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<Call>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let (replies, outgoing) = mpsc::channel(100);
        let (node, mut calls) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(Call { id, .. })) = calls.message().await {
                node.asked.fetch_add(1, Ordering::SeqCst);
                let kind = failure::Kind::Overloaded.into();
                let failure = Failure { kind, detail: String::new(), retry_after_ms: 5 };
                let reply = Reply { id, body: Some(reply::Body::Failure(failure)) };
                if replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(StatusReply::default()))
    }

    async fn change_seat(&self, _: Request<ChangeSeatRequest>) -> Result<Response<ChangeSeatReply>, Status> {
        Err(Status::resource_exhausted("full"))
    }
}

impl FullNode {
    /// Takes the place of a node that was killed.
    fn in_place_of(address: SocketAddr) -> Self {
        let node = FullNode::default();
        let service = DatabaseServer::new(node.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve(address));
        node
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn an_overloaded_database_is_told_after_one_try_and_only_what_was_begun_is_tried_again() {
    let cluster = Arc::new(Cluster::start(Shape { frontends: 1, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let item = seller.offers(lamp(category())).await;
    buyer.wants(&item, 1).await;
    cluster.kill("product-1");
    let full = FullNode::in_place_of(cluster.file.product[0].address);

    let one = json!({"item_id": item, "quantity": 1});
    let (item_path, price) = (format!("/items/{item}"), json!({"price": "1.00"}));
    let calls = [
        ("a query", buyer.api.call("GET", &item_path)),
        ("a command", seller.api.call("PATCH", &item_path).json(price)),
        ("a query before a command", buyer.api.call("POST", "/cart/items").json(one)),
    ];
    for (nth, (what, call)) in calls.into_iter().enumerate() {
        let answer = call.send().await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "1", "{what}");
        assert!(answer.body["detail"].as_str().unwrap().contains("nothing happened"), "{answer:?}");
        assert_eq!(full.asked(), nth + 1, "{what}");
    }

    // A purchase is begun in the customer database before the stock is reserved.
    let before = full.asked();
    let purchase = buyer.api.call("POST", "/purchases").key(&unique("k")).json(card()).attempt();
    let purchase = tokio::spawn(purchase);
    while full.asked() < before + 5 {
        assert!(!purchase.is_finished(), "it gave up: {:?}", purchase.await);
        tokio::task::yield_now().await;
    }
    purchase.abort();
}
