//! The financial service as its clients find it: a real service on a free port, with its ledger in a directory.

// The lint spares tests, but not what tests share.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agora_frontends::financial::{Decisions, serve};
use agora_frontends::payment::{Authorization, Card, Payment, PaymentClient, PaymentError, PaymentTimeouts};
use agora_proto::Cents;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const ALL: Decisions = Decisions { approval_rate: 1.0, seed: 1 };
const NONE: Decisions = Decisions { approval_rate: 0.0, seed: 1 };

struct Service {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    async fn start(data: &Path, decisions: Decisions) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(serve(listener, data.to_owned(), decisions, stop.clone()));
        Service { address, stop, running }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn client(&self) -> PaymentClient {
        PaymentClient::new(self.url(), PaymentTimeouts::default()).unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    async fn post(&self, message: impl Into<reqwest::Body>) -> (StatusCode, String) {
        let response = reqwest::Client::new().post(self.url()).body(message).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn books(&self) -> serde_json::Value {
        let text = reqwest::get(format!("{}/ledger", self.url())).await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn card() -> Card {
    Card {
        name: "Ada <Lovelace> & Söhne".into(),
        number: "4111111111111111".into(),
        expiry: "07/2031".into(),
        security_code: "123".into(),
    }
}

async fn authorize(client: &PaymentClient, id: &str, cents: u64) -> Result<Authorization, PaymentError> {
    client.authorize(&Payment { transaction_id: id, card: &card(), amount: Cents(cents) }).await
}

#[tokio::test]
async fn a_decision_stands_over_a_restart_and_another_approval_rate() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), ALL).await;
    let first = authorize(&service.client(), "t-1", 1234).await.unwrap();
    assert!(first.approved);
    assert_eq!(authorize(&service.client(), "t-1", 1234).await.unwrap(), first);
    service.stop().await;

    let service = Service::start(data.path(), NONE).await;
    assert_eq!(authorize(&service.client(), "t-1", 1234).await.unwrap(), first);
    let declined = authorize(&service.client(), "t-2", 1).await.unwrap();
    assert_eq!(declined, Authorization { approved: false, authorization_id: String::new() });
    service.stop().await;
}

#[tokio::test]
async fn voids_balance_the_books() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), ALL).await;
    let client = service.client();
    authorize(&client, "kept", 700).await.unwrap();
    authorize(&client, "voided", 50).await.unwrap();
    assert_eq!(client.void("voided").await, Ok(true));
    assert_eq!(client.void("voided").await, Ok(true), "again");
    assert_eq!(client.void("late").await, Ok(true), "before it was authorized");
    assert!(!authorize(&client, "late", 5).await.unwrap().approved);
    assert!(!authorize(&client, "voided", 50).await.unwrap().approved, "a void is for good");
    let books = service.books().await;
    assert_eq!(books["approved"], serde_json::json!({ "count": 2, "cents": 750 }));
    assert_eq!(books["voided"], serde_json::json!({ "count": 1, "cents": 50 }));
    assert_eq!(books["charged"], serde_json::json!({ "count": 1, "cents": 700 }));
    assert_eq!(books["voided_unseen"], 1);
    service.stop().await;
}

#[tokio::test]
async fn many_payments_at_a_time_are_all_decided_and_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), Decisions { approval_rate: 0.5, seed: 7 }).await;
    let client = service.client();
    let calls = (0..200).map(|n| {
        let client = client.clone();
        // Each transaction is asked for twice, at the same time.
        tokio::spawn(async move { (n / 2, authorize(&client, &format!("t-{}", n / 2), 10).await.unwrap()) })
    });
    let answers = futures::future::join_all(calls).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    for pair in answers.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let approved = answers.iter().filter(|(_, answer)| answer.approved).count() / 2;
    let books = service.books().await;
    assert_eq!(books["approved"]["count"], approved);
    assert_eq!(books["declined"]["count"], 100 - approved);
    service.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_and_leave_no_trace() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), ALL).await;
    let client = service.client();
    authorize(&client, "t", 5).await.unwrap();
    let before = service.books().await;
    let other = authorize(&client, "t", 6).await.unwrap_err();
    assert!(matches!(&other, PaymentError::Refused(why) if why.contains("another amount")), "{other}");
    let zero = authorize(&client, "u", 0).await.unwrap_err();
    assert!(matches!(&zero, PaymentError::Refused(why) if why.contains("amount_cents")), "{zero}");

    let envelope = |body: &str| {
        format!(
            "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>{body}</e:Body></e:Envelope>"
        )
    };
    let bomb =
        "<!DOCTYPE l [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]>".to_owned();
    for message in [
        Vec::new(),
        b"{\"transaction_id\": 1}".to_vec(),
        b"\xff\xfe\x00\x01".to_vec(),
        envelope("").into_bytes(),
        envelope("<AuthorizePayment/>").into_bytes(),
        envelope("<AuthorizePayment xmlns='urn:agora:financial:v1'/>").into_bytes(),
        envelope(
            "<VoidPayment xmlns='urn:agora:financial:v1'><transaction_id><x/></transaction_id></VoidPayment>",
        )
        .into_bytes(),
        (bomb + &envelope("<a>&c;</a>")).into_bytes(),
        envelope(&"<a>".repeat(10_000)).into_bytes(),
        envelope(&format!("<a>{}</a>", "x".repeat(70_000))).into_bytes(),
        envelope("<a>").as_bytes()[..80].to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&message[..message.len().min(200)]).into_owned();
        let (status, answer) = service.post(message).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{shown}");
        assert!(answer.contains("<faultcode>soap:Client</faultcode>"), "{shown}: {answer}");
    }
    assert_eq!(service.books().await, before);
    service.stop().await;
}

#[tokio::test]
async fn the_description_names_the_address_under_which_it_was_found() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), ALL).await;
    let response = reqwest::get(format!("{}/?wsdl", service.url())).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/xml; charset=utf-8");
    let description = response.text().await.unwrap();
    assert!(description.contains(&format!("location=\"{}/\"", service.url())), "{description}");
    let health = reqwest::get(format!("{}/healthz", service.url())).await.unwrap();
    assert_eq!(health.status(), StatusCode::OK);
    let other = reqwest::get(service.url()).await.unwrap();
    assert_eq!(other.status(), StatusCode::METHOD_NOT_ALLOWED);
    service.stop().await;
}

/// Answers the first connection with these bytes, and closes it.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 65536]).await;
        let _ = connection.write_all(bytes).await;
    });
    url
}

#[tokio::test]
async fn the_client_tells_what_was_not_done_from_what_may_have_been() {
    let timeouts = PaymentTimeouts { request: Duration::from_millis(200), ..PaymentTimeouts::default() };
    let outcome =
        async |url: String| authorize(&PaymentClient::new(url, timeouts).unwrap(), "t", 5).await.unwrap_err();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let silent = outcome(url.clone()).await;
    assert!(matches!(silent, PaymentError::Unknown(_)), "accepted, never answered: {silent}");
    drop(nobody);
    let refused = outcome(url).await;
    assert!(matches!(refused, PaymentError::NotDone(_)), "connection refused: {refused}");

    let overloaded =
        outcome(answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await).await;
    assert!(matches!(overloaded, PaymentError::NotDone(_)), "{overloaded}");
    for garbage in [
        &b""[..],
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\ncut short",
        b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>\
          <AuthorizePaymentResponse xmlns='urn:agora:financial:v1'><approved>perhaps</approved><authorization_id/>\
          </AuthorizePaymentResponse></e:Body></e:Envelope>",
    ] {
        let unknown = outcome(answering(garbage).await).await;
        assert!(matches!(unknown, PaymentError::Unknown(_)), "{}: {unknown}", String::from_utf8_lossy(garbage));
    }
}

#[tokio::test]
async fn a_stock_soap_client_needs_only_the_description() {
    // AGORA_PYTHON names an interpreter that has zeep, as in CI. Where nobody names one, there may be nothing to try it with.
    let named = std::env::var("AGORA_PYTHON").ok();
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let has_zeep = tokio::process::Command::new(&python).args(["-c", "import zeep"]).output().await;
    if named.is_none() && !has_zeep.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} with zeep is not there (pip install zeep, or set AGORA_PYTHON)");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path(), ALL).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soap/zeep_client.py");
    let output = tokio::process::Command::new(&python).arg(script).arg(service.url()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    service.stop().await;
}
