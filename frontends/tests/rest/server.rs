//! What is around the operations: health, metrics, description, limits, start and stop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use agora_process::Admission;
use serde_json::json;

use crate::api::{Api, User, lamp, unique};
use crate::cluster::{Cluster, Shape, shared};

pub async fn text(base: &str, path: &str) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(format!("{base}{path}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_frontend_tells_its_health_its_metrics_and_its_interface() {
    let cluster = shared();
    let buyer = User::buyer(&cluster).await;
    buyer.api.get("/cart").await.ok(200);
    buyer.api.get("/nothing").await.problem(404, "not_found");
    let base = &cluster.buyers[0];
    assert_eq!(text(base, "/healthz").await.0, 200);
    assert_eq!(text(base, "/readyz").await.0, 200);
    let (status, metrics) = text(base, "/metrics").await;
    assert_eq!(status, 200);
    let line = "agora_frontend_requests_total{method=\"GET\",route=\"/v1/cart\",status=\"200\"}";
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains("agora_frontend_request_seconds_bucket{method=\"GET\",route=\"/v1/cart\",le="),
        "{metrics}"
    );
    assert!(metrics.contains("route=\"none\",status=\"404\""), "{metrics}");
    let (status, description) = text(base, "/openapi.json").await;
    let description: serde_json::Value = serde_json::from_str(&description).unwrap();
    assert_eq!((status, description["openapi"].as_str().is_some()), (200, true));
    assert!(description["paths"]["/v1/purchases"]["post"].is_object());
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let cluster = shared();
    let api = Api::new(&cluster.buyers[0]);
    let answer = api.call("GET", "/cart").header("X-Request-Id", "abc-1").send().await;
    assert_eq!(answer.headers["x-request-id"], "abc-1");
    let answer = api.call("GET", "/cart").header("X-Request-Id", "not plain!").send().await;
    assert_ne!(answer.headers["x-request-id"], "not plain!");
}

#[tokio::test]
async fn who_finds_a_frontend_full_is_told_to_come_back() {
    let admission = || Admission { frontend_requests: 1, ..Admission::default() };
    let cluster = Arc::new(Cluster::start(Shape { admission, frontends: 1, ..Shape::SMALL }));
    let address = cluster.file.buyer[0].address;
    // A request whose body does not come holds the only place.
    let mut slow = TcpStream::connect(address).unwrap();
    let head = "POST /v1/buyers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).unwrap();
    let api = Api::new(&cluster.buyers[0]);
    let refused = loop {
        let answer = api.get("/nothing").await;
        if answer.status != 404 {
            break answer;
        }
    };
    refused.problem(503, "unavailable");
    assert_eq!(text(&cluster.buyers[0], "/healthz").await.0, 200, "its health can be asked all the same");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    api.get("/nothing").await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_no_request_gets_a_problem_too() {
    let cluster = shared();
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(cluster.file.buyer[0].address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // The rest of the request may be thrown back at us after the answer.
        drop(stream.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    };
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (request, status, code) in [
        (b"\x16\x03\x01 garbage\r\n\r\n".as_slice(), 400, "malformed_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed_request"),
        (long_path.as_bytes(), 414, "uri_too_long"),
        (many_headers.as_bytes(), 431, "headers_too_large"),
    ] {
        let answer = ask(request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{code}: {answer}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)));
    }
    assert_eq!(text(&cluster.buyers[0], "/healthz").await.0, 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_come_back_and_nobody_else_is() {
    let admission = || Admission { client_requests_per_s: 5, ..Admission::default() };
    let cluster = Arc::new(Cluster::start(Shape { admission, frontends: 1, ..Shape::SMALL }));
    let (often, seldom) = (User::buyer(&cluster).await, User::buyer(&cluster).await);
    let refused = loop {
        let answer = often.api.get("/cart").await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.problem(429, "rate_limited");
    seldom.api.get("/cart").await.ok(200);
    assert_eq!(text(&cluster.buyers[0], "/healthz").await.0, 200, "its health can be asked all the same");
}

#[tokio::test]
async fn without_a_majority_the_answer_is_told_soon() {
    // Enough for the users to be made on a busy machine.
    let admission = || Admission { answer_within_ms: 1_500, ..Admission::default() };
    let cluster = Arc::new(Cluster::start(Shape { admission, nodes: 3, frontends: 1, ..Shape::SMALL }));
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    cluster.kill("product-1");
    cluster.kill("product-2");
    let began = std::time::Instant::now();
    buyer.api.get("/items").await.problem(503, "unavailable");
    let change = seller.api.post("/items", lamp(1)).await;
    assert!(matches!(change.status, 503 | 504), "{change:?}");
    // Far below the ten seconds that a purchase may take, also on a busy machine.
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_frontend_that_is_told_to_stop_ends_well() {
    let cluster = Arc::new(Cluster::start(Shape { frontends: 1, ..Shape::SMALL }));
    let buyer = User::buyer(&cluster).await;
    buyer.api.get("/cart").await.ok(200);
    cluster.terminate("buyer-1");
    assert!(cluster.ended("buyer-1").success());
    assert!(cluster.logged("buyer-1").contains("stopped"));
}

#[tokio::test]
async fn without_a_database_a_frontend_is_alive_and_not_ready() {
    let cluster = Arc::new(Cluster::start(Shape { frontends: 1, ..Shape::SMALL }));
    let buyer = User::buyer(&cluster).await;
    cluster.kill("product-1");
    assert_eq!(text(&cluster.buyers[0], "/healthz").await.0, 200);
    let (status, body) = text(&cluster.buyers[0], "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("product database"), "{body}");
    let account = json!({"username": unique("late"), "password": "p", "display_name": "L"});
    buyer.api.without_token().post("/buyers", account).await.ok(201);
    cluster.run("product-1");
    cluster.wait_for(&format!("{}/readyz", cluster.buyers[0]));
    buyer.api.get("/items").await.ok(200);
}

#[test]
fn wrong_arguments_and_a_wrong_cluster_file_are_told_apart() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_buyer-frontend")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--nonsense"]);
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = run(&["--name", "buyer-1", "--config", "/nowhere/cluster.toml"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("/nowhere/cluster.toml"), "{text}");
}
