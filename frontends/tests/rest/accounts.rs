//! Accounts and sessions.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use crate::api::{Api, User, lamp, unique};
use crate::cluster::{Cluster, Shape, shared};

#[tokio::test]
async fn a_username_is_taken_once_for_each_role() {
    let cluster = shared();
    let (buyers, sellers) = (Api::new(&cluster.buyers[0]), Api::new(&cluster.sellers[0]));
    let account = json!({"username": unique("ada"), "password": "p", "display_name": "Ada"});
    assert!(buyers.post("/buyers", account.clone()).await.ok(201)["buyer_id"].is_u64());
    assert!(sellers.post("/sellers", account.clone()).await.ok(201)["seller_id"].is_u64());
    buyers.at(&cluster.buyers[1]).post("/buyers", account.clone()).await.problem(409, "username_taken");
    sellers.at(&cluster.sellers[1]).post("/sellers", account).await.problem(409, "username_taken");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let cluster = shared();
    let buyer = User::buyer(&cluster).await;
    let api = buyer.api.without_token();
    let wrong = api.post("/sessions", json!({"username": buyer.username, "password": "wrong"})).await;
    let unknown = api.post("/sessions", json!({"username": unique("nobody"), "password": "wrong"})).await;
    wrong.problem(401, "bad_credentials");
    unknown.problem(401, "bad_credentials");
    assert_eq!(wrong.body["detail"], unknown.body["detail"]);
}

#[tokio::test]
async fn a_session_lives_at_every_frontend_of_its_role_until_its_logout() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let other = seller.log_in().await;
    let elsewhere = seller.api.at(&cluster.sellers[1]);
    assert_eq!(elsewhere.get("/rating").await.ok(200)["seller_id"], seller.id);
    elsewhere.delete("/session").await.ok(204);
    seller.api.get("/rating").await.problem(401, "invalid_session");
    other.api.get("/rating").await.ok(200);
}

#[tokio::test]
async fn reading_in_a_session_costs_the_customer_database_no_write() {
    let cluster = Arc::new(Cluster::start(Shape { frontends: 1, ..Shape::SMALL }));
    let buyer = User::buyer(&cluster).await;
    let customers = cluster.customers();
    let began = Instant::now();
    let before = customers.status(0, false).await.unwrap().applied;
    for _ in 0..200 {
        buyer.api.get("/cart").await.ok(200);
    }
    let written = customers.status(0, false).await.unwrap().applied - before;
    // What is written is that time goes on, and now and then that the session is in use.
    assert!(written <= 2 + began.elapsed().as_secs(), "{written} writes in {:?}", began.elapsed());
}

#[tokio::test]
async fn login_tells_how_long_a_session_may_rest() {
    let cluster = shared();
    let buyer = User::buyer(&cluster).await;
    let login = json!({"username": buyer.username, "password": "secret"});
    let session = buyer.api.without_token().post("/sessions", login).await.ok(201);
    assert_eq!(session["idle_timeout_s"], 300);
    assert_eq!(session["buyer_id"], buyer.id);
    assert!(uuid::Uuid::parse_str(session["token"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn every_operation_but_account_and_login_wants_a_session_of_its_role_before_all_else() {
    let cluster = shared();
    let (buyer, seller) = (User::buyer(&cluster).await, User::seller(&cluster).await);
    let of_sellers = "GET /rating, GET /sellers/1/rating, POST /items, GET /items, PATCH /items/1-1, POST /items/1-1/units, \
                      DELETE /items/1-1, DELETE /session, GET /items?limit=0, DELETE /items/nonsense";
    let of_buyers = "GET /items, GET /items/1-1, GET /cart, POST /cart/items, DELETE /cart/items/1-1, PUT /saved-cart, \
                     DELETE /cart, POST /purchases, GET /purchases, PUT /items/1-1/feedback, GET /sellers/1/rating, \
                     DELETE /session, GET /items?limit=0, GET /items/nonsense";
    for (own, foreign, operations) in [(&seller, &buyer, of_sellers), (&buyer, &seller, of_buyers)] {
        let foreign_token = own.api.with_token(&token(foreign));
        for operation in operations.split(", ") {
            let (method, path) = operation.trim().split_once(' ').unwrap();
            own.api.without_token().call(method, path).send().await.problem(401, "missing_token");
            let unknown = own.api.with_token(&uuid::Uuid::new_v4().to_string());
            unknown.call(method, path).send().await.problem(401, "invalid_session");
            own.api.with_token("nonsense").call(method, path).send().await.problem(401, "invalid_session");
            foreign_token.call(method, path).send().await.problem(403, "wrong_role");
        }
    }
    // None of these calls with the other's token has ended the session.
    buyer.api.get("/cart").await.ok(200);
    seller.api.get("/rating").await.ok(200);
}

fn token(user: &User) -> String {
    user.api.token().unwrap().to_owned()
}

#[tokio::test]
async fn a_repeated_account_or_login_is_the_same_one_through_another_frontend() {
    let cluster = shared();
    let (here, there) = (Api::new(&cluster.sellers[0]), Api::new(&cluster.sellers[1]));
    let account = json!({"username": unique("eva"), "password": "secret", "display_name": "Eva"});
    let key = unique("key");
    let first = here.call("POST", "/sellers").key(&key).json(account.clone()).send().await.ok(201);
    let again = there.call("POST", "/sellers").key(&key).json(account.clone()).send().await.ok(201);
    assert_eq!(first, again);
    for (field, value) in [("username", "other"), ("password", "other"), ("display_name", "other")] {
        let mut changed = account.clone();
        changed[field] = json!(value);
        let answer = there.call("POST", "/sellers").key(&key).json(changed).send().await;
        answer.problem(422, "idempotency_key_reused");
    }
    let login = json!({"username": account["username"], "password": "secret"});
    let first = here.call("POST", "/sessions").key(&key).json(login.clone()).send().await.ok(201);
    let again = there.call("POST", "/sessions").key(&key).json(login.clone()).send().await.ok(201);
    assert_eq!(first, again);
    let other = here.call("POST", "/sessions").key(&unique("key")).json(login.clone()).send().await.ok(201);
    assert_ne!(first["token"], other["token"]);
    let wrong = json!({"username": account["username"], "password": "wrong"});
    there.call("POST", "/sessions").key(&key).json(wrong).send().await.problem(401, "bad_credentials");
}

#[tokio::test]
async fn a_repeated_logout_is_done_and_another_one_is_not() {
    let cluster = shared();
    let buyer = User::buyer(&cluster).await;
    let key = unique("key");
    buyer.api.call("DELETE", "/session").key(&key).send().await.ok(204);
    buyer.api.at(&cluster.buyers[1]).call("DELETE", "/session").key(&key).send().await.ok(204);
    buyer.api.call("DELETE", "/session").key(&unique("key")).send().await.problem(401, "invalid_session");
    buyer.api.delete("/session").await.problem(401, "invalid_session");
}

#[tokio::test]
async fn two_users_may_use_the_same_key() {
    let cluster = shared();
    let (one, other) = (User::seller(&cluster).await, User::seller(&cluster).await);
    let category = crate::api::category();
    let first = one.api.call("POST", "/items").key("shared").json(lamp(category)).send().await.ok(201);
    let second = other.api.call("POST", "/items").key("shared").json(lamp(category)).send().await.ok(201);
    assert_ne!(first["item_id"], second["item_id"]);
}

#[tokio::test]
async fn two_users_may_log_in_with_the_same_key_and_get_sessions_of_their_own() {
    let cluster = shared();
    let (one, other) = (User::buyer(&cluster).await, User::buyer(&cluster).await);
    let log_in = async |user: &User| {
        let login = json!({"username": user.username, "password": "secret"});
        let call = user.api.without_token().call("POST", "/sessions").key("1").json(login);
        call.send().await.ok(201)
    };
    let (ours, theirs) = (log_in(&one).await, log_in(&other).await);
    assert_eq!((&ours["buyer_id"], &theirs["buyer_id"]), (&json!(one.id), &json!(other.id)));
    assert_ne!(ours["token"], theirs["token"]);
    assert_eq!(log_in(&one).await, ours);
}

#[tokio::test]
async fn no_secret_gets_into_a_log() {
    let cluster = shared();
    let api = Api::new(&cluster.buyers[0]);
    let (username, password) = (unique("quiet"), unique("password-of-the-quiet"));
    let account = json!({"username": username, "password": password, "display_name": "Q"});
    api.post("/buyers", account).await.ok(201);
    let session = api.post("/sessions", json!({"username": username, "password": password})).await.ok(201);
    let token = session["token"].as_str().unwrap();
    api.with_token(token).post("/purchases", crate::api::card()).await.problem(409, "cart_empty");
    for (_, name, _) in cluster.file.processes() {
        let log = cluster.logged(name);
        for secret in [&password, token, "4111111111111111"] {
            assert!(!log.contains(secret), "{name} has logged a secret");
        }
    }
}
