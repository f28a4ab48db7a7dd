//! What the client library does when frontends refuse connections, hang, close, stumble, or ask for patience. Servers are
//! real ones on the loopback, scripted by each test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_clients::model::{Card, Condition, NewItem, Page, Search};
use agora_clients::{BuyerClient, Cents, ClientOptions, Error, SellerClient, Start};
use support::{Seen, Server, Step, refusing};
use tokio::sync::Notify;

const CART: &str = r#"{"lines":[],"total":"0.00","saved_version":0}"#;
const EMPTY_PAGE: &str = r#"{"items":[],"next_cursor":null}"#;

fn options() -> ClientOptions {
    ClientOptions {
        deadline: Duration::from_secs(20),
        attempt_timeout: Duration::from_millis(300),
        start: Start::At(0),
        ..ClientOptions::default()
    }
}

fn buyer(servers: Vec<String>, options: ClientOptions) -> BuyerClient {
    let buyer = BuyerClient::new(servers, options).unwrap();
    buyer.set_token(Some("token-1".into()));
    buyer
}

/// Keys, tokens and bodies of all attempts, over several servers.
fn attempts(servers: &[&Server]) -> Vec<Seen> {
    servers.iter().flat_map(|server| server.seen()).collect()
}

fn assert_one_call(attempts: &[Seen], count: usize) {
    assert_eq!(attempts.len(), count, "{attempts:#?}");
    assert!(attempts[0].key.as_ref().is_some_and(|key| key.len() >= 16), "{attempts:#?}");
    assert_eq!(attempts[0].authorization.as_deref(), Some("Bearer token-1"));
    assert!(attempts.iter().all(|attempt| attempt == &attempts[0]), "attempts differ: {attempts:#?}");
}

#[tokio::test]
async fn a_refused_connection_moves_the_call_to_the_next_frontend() {
    let well = Server::playing([Step::ok(CART)]).await;
    let buyer = buyer(vec![refusing().await, well.url()], options());
    buyer.add_to_cart("3-1".parse().unwrap(), 2).await.unwrap();
    assert_one_call(&well.seen(), 1);
    assert_eq!(buyer.server(), well.url(), "the client stays where it was served");
}

#[tokio::test]
async fn every_kind_of_failure_is_repeated_with_the_same_key_token_and_body() {
    let failures = [
        Step::Hang,
        Step::Close,
        Step::CloseMidAnswer,
        Step::problem(503, "unavailable", "starting"),
        Step::problem(504, "outcome_unknown", "no answer from the database"),
        Step::problem(502, "bad_gateway", "?"),
        Step::status(500, "a page that is no problem document"),
        Step::problem(429, "rate_limited", "slower").retry_after(0),
    ];
    for failure in failures {
        let name = format!("{failure:?}");
        let (ill, well) =
            (Server::playing([failure, Step::ok(CART)]).await, Server::playing([Step::ok(CART)]).await);
        let buyer = buyer(vec![ill.url(), well.url()], options());
        buyer.add_to_cart("3-1".parse().unwrap(), 2).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_one_call(&attempts(&[&ill, &well]), 2);
    }
}

#[tokio::test]
async fn two_calls_have_two_keys_and_reads_have_none() {
    let server = Server::playing([Step::ok(CART)]).await;
    let buyer = buyer(vec![server.url()], options());
    buyer.add_to_cart("3-1".parse().unwrap(), 1).await.unwrap();
    buyer.add_to_cart("3-1".parse().unwrap(), 1).await.unwrap();
    buyer.with_key("mine").add_to_cart("3-1".parse().unwrap(), 1).await.unwrap();
    buyer.cart().await.unwrap();
    let keys: Vec<_> = server.seen().into_iter().map(|seen| seen.key).collect();
    assert!(keys[0].is_some() && keys[0] != keys[1]);
    assert_eq!(keys[2..], [Some("mine".to_owned()), None]);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_is_not_repeated() {
    let server = Server::playing([Step::problem(409, "insufficient_stock", "only 1 left")]).await;
    let other = Server::playing([Step::ok(CART)]).await;
    let buyer = buyer(vec![server.url(), other.url()], options());
    let error = buyer.add_to_cart("3-1".parse().unwrap(), 2).await.unwrap_err();
    let expected = Error::Refused {
        status: 409,
        code: "insufficient_stock".into(),
        detail: "only 1 left".into(),
        field: None,
        repeated: false,
    };
    assert_eq!(error, expected);
    assert_eq!((server.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_is_the_answer_unless_it_says_nothing_of_the_first_attempt() {
    for (status, code, in_doubt) in [
        (402, "payment_declined", false),
        (403, "not_owner", false),
        (404, "item_not_found", false),
        (409, "insufficient_stock", false),
        (401, "invalid_session", true),
        (422, "invalid_field", true),
    ] {
        let server = Server::playing([Step::Close, Step::problem(status, code, "no")]).await;
        let client = buyer(vec![server.url()], options());
        let error = client.add_to_cart("3-1".parse().unwrap(), 2).await.unwrap_err();
        assert!(matches!(error, Error::Refused { repeated: true, .. }), "{error:?}");
        assert_eq!(error.may_have_happened(), in_doubt, "{error:?}");
    }
}

#[tokio::test]
async fn a_logout_whose_answer_was_lost_is_done_when_the_repeat_finds_no_session() {
    let server =
        Server::playing([Step::Close, Step::problem(401, "invalid_session", "no such session")]).await;
    let buyer = buyer(vec![server.url()], options());
    buyer.logout().await.unwrap();
    assert_eq!((server.seen().len(), buyer.token()), (2, None));
}

#[tokio::test]
async fn when_the_deadline_passes_the_outcome_is_unknown_if_any_attempt_may_have_arrived() {
    let short = ClientOptions { deadline: Duration::from_millis(700), ..options() };
    let server =
        Server::playing([Step::problem(504, "outcome_unknown", "?"), Step::problem(503, "unavailable", "?")])
            .await;
    let started = Instant::now();
    let error = buyer(vec![server.url()], short).clear_cart().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3), "the deadline is hard");
    let Error::OutcomeUnknown(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.key, server.seen()[0].key, "the caller can repeat it");
    assert!(failure.attempts >= 2 && server.seen().len() == failure.attempts as usize);
}

#[tokio::test]
async fn when_nothing_can_have_arrived_the_call_is_certainly_not_done() {
    let short = ClientOptions { deadline: Duration::from_millis(400), ..options() };
    let busy = Server::playing([Step::problem(503, "unavailable", "starting")]).await;
    let error = buyer(vec![refusing().await, busy.url()], short.clone()).clear_cart().await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(failure) if failure.attempts >= 2), "{error:?}");
    assert!(!error.may_have_happened());
    // A read that hangs has no effect either.
    let hung = Server::playing([Step::Hang]).await;
    let error = buyer(vec![hung.url()], short).cart().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_purchase_is_waited_for_as_long_as_a_frontend_may_take_for_one() {
    const MADE: &str = r#"{"purchase_id":"8f6b0d63-6d3c-4d55-a1a1-6a2a4a0d4c11","lines":[],"total":"0.00"}"#;
    let default = ClientOptions::default();
    let at_the_frontend = Duration::from_millis(10_500);
    assert!(default.purchase_timeout > at_the_frontend && default.deadline > 2 * default.purchase_timeout);

    let paid = Arc::new(Notify::new());
    let slow = Server::playing([Step::When(Arc::clone(&paid), Box::new(Step::status(201, MADE)))]).await;
    let other = Server::playing([Step::status(201, MADE)]).await;
    let impatient = ClientOptions { attempt_timeout: Duration::from_millis(50), ..options() };
    let buyer = buyer(vec![slow.url(), other.url()], impatient.clone());
    let bought = tokio::spawn({
        let buyer = buyer.clone();
        let card = Card {
            name: "Ada".into(),
            number: "4111111111111111".into(),
            expiry: "12/2099".into(),
            security_code: "737".into(),
        };
        async move { buyer.purchase(&card).await }
    });
    while slow.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // Whatever else is asked for is given up meanwhile, again and again.
    let hung = Server::playing([Step::Hang]).await;
    let reader = BuyerClient::new(vec![hung.url()], impatient).unwrap();
    let given_up = reader.with_deadline(Duration::from_millis(400)).cart().await.unwrap_err();
    assert!(matches!(&given_up, Error::Unavailable(failure) if failure.attempts >= 2), "{given_up:?}");
    paid.notify_one();
    bought.await.unwrap().unwrap();
    assert_eq!((slow.seen().len(), other.seen().len()), (1, 0), "one attempt, and the frontend is well");
    assert_eq!(buyer.server(), slow.url());
}

#[tokio::test]
async fn retry_after_is_honoured_and_bounded() {
    let bounded = ClientOptions { retry_after_max: Duration::from_millis(400), ..options() };
    let steps = [Step::problem(503, "unavailable", "starting").retry_after(3600), Step::ok(CART)];
    let server = Server::playing(steps).await;
    let started = Instant::now();
    buyer(vec![server.url()], bounded).cart().await.unwrap();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(10), "{waited:?}");
}

#[tokio::test]
async fn a_frontend_that_asked_for_patience_is_left_alone_by_later_calls_too() {
    let patient = ClientOptions { retry_after_max: Duration::from_secs(10), ..options() };
    let busy = Server::playing([Step::problem(503, "unavailable", "starting").retry_after(10)]).await;
    let well = Server::playing([Step::ok(CART)]).await;
    let first = buyer(vec![busy.url(), well.url()], patient);
    for _ in 0..3 {
        first.cart().await.unwrap();
    }
    // One that begins with the busy frontend, and shares what is known.
    let second = first.sibling();
    second.cart().await.unwrap();
    assert_eq!((busy.seen().len(), well.seen().len()), (1, 4));
}

#[tokio::test]
async fn no_call_fails_untried() {
    let patient = ClientOptions { retry_after_max: Duration::from_secs(60), ..options() };
    let steps = [Step::problem(503, "unavailable", "starting").retry_after(60), Step::ok(CART)];
    let server = Server::playing(steps).await;
    let client = buyer(vec![server.url()], patient).with_deadline(Duration::from_secs(1));
    let first = client.cart().await.unwrap_err();
    assert!(matches!(&first, Error::Unavailable(failure) if failure.attempts == 1), "{first:?}");
    client.cart().await.unwrap();
}

#[tokio::test]
async fn repeats_are_paid_from_a_budget() {
    let tight = ClientOptions {
        deadline: Duration::from_millis(1_000),
        retry_burst: 2,
        retry_rate: 4.0,
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
        ..options()
    };
    let server = Server::playing([Step::problem(429, "rate_limited", "slower").retry_after(0)]).await;
    let client = buyer(vec![server.url()], tight);
    let calls = (0..10).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.cart().await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(matches!(call.await.unwrap(), Err(Error::Unavailable(_))));
    }
    let repeats = server.seen().len() - 10;
    assert!((1..=7).contains(&repeats), "2 at once and 4 a second, not ten times as many: {repeats}");
}

#[tokio::test]
async fn an_answer_that_can_not_be_read_is_an_error() {
    for answer in ["", "{}", "[1]", "{\"lines\":[],\"total\":-1,\"saved_version\":0}", "\u{0}\u{1}"] {
        let server = Server::playing([Step::ok(answer)]).await;
        let error = buyer(vec![server.url()], options()).cart().await.unwrap_err();
        assert!(matches!(error, Error::BadAnswer(_)), "{answer:?}: {error:?}");
    }
    let server = Server::playing([Step::status(404, "<html>not here</html>")]).await;
    let error = buyer(vec![server.url()], options()).cart().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn login_opens_a_session_that_later_calls_carry_to_any_frontend() {
    let first = Server::playing([
        Step::status(201, r#"{"token":"t-9","seller_id":7,"idle_timeout_s":300}"#),
        Step::Close,
    ])
    .await;
    let second = Server::playing([Step::ok(EMPTY_PAGE)]).await;
    let seller = SellerClient::new(vec![first.url(), second.url()], options()).unwrap();
    assert_eq!(seller.login("ada", "secret").await.unwrap().user_id, 7);
    seller.items(&Page::default()).await.unwrap();
    assert_eq!(first.seen()[0].authorization, None);
    assert_eq!(second.seen()[0].authorization.as_deref(), Some("Bearer t-9"));
}

#[tokio::test]
async fn calls_have_the_shape_of_the_contract() {
    let server =
        Server::playing([Step::ok(EMPTY_PAGE), Step::status(201, r#"{"item_id":"3-1","quantity":5}"#)]).await;
    let search = Search {
        category: Some(3),
        keywords: vec!["a b".into(), "é&".into()],
        page: Page { limit: Some(2), cursor: None },
    };
    buyer(vec![server.url()], options()).search(&search).await.unwrap();
    let seller = SellerClient::new(vec![server.url()], options()).unwrap();
    let item = NewItem {
        name: "Lamp".into(),
        category: 3,
        keywords: vec!["desk".into()],
        condition: Condition::New,
        price: Cents(1999),
        quantity: 5,
    };
    let registered = seller.register_item(&item).await.unwrap();
    assert_eq!((registered.item_id.to_string().as_str(), registered.merged), ("3-1", false));
    let seen = server.seen();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("GET", "/v1/items?category=3&keyword=a+b&keyword=%C3%A9%26&limit=2")
    );
    assert_eq!((seen[1].method.as_str(), seen[1].path.as_str()), ("POST", "/v1/items"));
    let body =
        r#"{"name":"Lamp","category":3,"keywords":["desk"],"condition":"new","price":"19.99","quantity":5}"#;
    assert_eq!(seen[1].body, body);
}
