//! What frontends answer is what `/openapi.json` says of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::{Api, User, card, category, lamp, unique};
use crate::cluster::shared;
use crate::server::text;

/// A frontend whose answers are held against its description.
struct Described {
    api: Api,
    description: Value,
    /// Which answers there were: method, path, status.
    seen: BTreeSet<(String, String, u16)>,
}

impl Described {
    async fn new(api: &Api, base: &str) -> Described {
        let (_, description) = text(base, "/openapi.json").await;
        let description = serde_json::from_str(&description).unwrap();
        Described { api: api.clone(), description, seen: BTreeSet::new() }
    }

    async fn call(&mut self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let call = self.api.call(method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let paths = self.description["paths"].as_object().unwrap();
        let (template, operations) = paths.iter().find(|(template, _)| fits(template, path)).unwrap();
        let method = method.to_lowercase();
        let responses = &operations[&method]["responses"];
        let response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
        assert!(status >= 400 || responses.get(status.to_string()).is_some(), "{method} {path}: {status}");
        match answer.headers.get("content-type") {
            None => assert_eq!((&answer.body, response.get("content")), (&json!(""), None)),
            Some(kind) => {
                let schema = &response["content"][kind.to_str().unwrap()]["schema"];
                if let Err(why) = conforms(&self.description, schema, &answer.body) {
                    panic!("{method} {path}: {why}");
                }
            }
        }
        self.seen.insert((method, template.clone(), status));
        answer.body
    }

    /// Of every operation every answer that means well must have been seen.
    fn finish(self) {
        for (path, operations) in self.description["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let statuses = operation["responses"].as_object().unwrap().keys();
                for status in statuses.filter_map(|status| status.parse().ok()).filter(|status| *status < 300)
                {
                    let answer = (method.clone(), path.clone(), status);
                    assert!(self.seen.contains(&answer), "{answer:?} was not tried");
                }
            }
        }
    }
}

/// Whether this is the path, with all that varies filled in.
fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let (template, path) = (template.split('/').skip(2), path.split('/').skip(1));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(described, given)| described.starts_with('{') || described == given)
}

/// Whether a value is what a schema says: its type, and all of its fields, no other ones, none missing.
fn conforms(description: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(description, description.pointer(&reference[1..]).unwrap(), value);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = schema["type"].as_array().map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
    if !allowed.contains(&kind.into()) {
        return Err(format!("{value} is not described by {schema}"));
    }
    for entry in value.as_array().into_iter().flatten() {
        conforms(description, &schema["items"], entry)?;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let described = schema["properties"].get(name).ok_or_else(|| format!("{name} is not described"))?;
        conforms(description, described, field)?;
    }
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match required.find(|name| value.get(name).is_none()) {
        Some(missing) => Err(format!("{missing} is missing in {value}")),
        None => Ok(()),
    }
}

#[test]
fn what_is_not_as_described_is_noticed() {
    let description = json!({"n": {"type": "integer"}});
    let schema = json!({"type": "object", "required": ["a"],
        "properties": {"a": {"type": "array", "items": {"$ref": "#/n"}}, "b": {"type": ["string", "null"]}}});
    let check = |value: Value| conforms(&description, &schema, &value);
    assert_eq!((check(json!({"a": [1], "b": null})), check(json!({"a": []}))), (Ok(()), Ok(())));
    for wrong in
        [json!({}), json!({"a": ["1"]}), json!({"a": [1], "b": 2}), json!({"a": [], "c": 1}), json!([])]
    {
        assert!(check(wrong.clone()).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn every_answer_to_sellers_is_as_described() {
    let cluster = shared();
    let seller = User::seller(&cluster).await;
    let mut described = Described::new(&seller.api, &cluster.sellers[0]).await;
    let account = json!({"username": unique("bert"), "password": "p", "display_name": "Bert"});
    described.call("POST", "/sellers", account.clone(), 201).await;
    described.call("POST", "/sellers", account, 409).await;
    let login = json!({"username": seller.username, "password": "secret"});
    described.call("POST", "/sessions", login, 201).await;
    described.call("GET", "/rating", Value::Null, 200).await;
    described.call("GET", &format!("/sellers/{}/rating", seller.id), Value::Null, 200).await;
    let (category, other) = (category(), category());
    let item = described.call("POST", "/items", lamp(category), 201).await["item_id"].clone();
    let path = format!("/items/{}", item.as_str().unwrap());
    described.call("POST", "/items", lamp(category), 200).await;
    described.call("POST", "/items", lamp(other), 201).await;
    described.call("POST", "/items", json!({"name": ""}), 422).await;
    let page = described.call("GET", "/items?limit=1", Value::Null, 200).await;
    assert!(page["next_cursor"].is_string());
    described.call("GET", "/items", Value::Null, 200).await;
    described.call("PATCH", &path, json!({"price": "9.90"}), 200).await;
    described.call("POST", &format!("{path}/units"), json!({"delta": 3}), 200).await;
    described.call("POST", &format!("{path}/units"), json!({"delta": -1000}), 409).await;
    described.call("DELETE", &path, Value::Null, 204).await;
    described.call("DELETE", &path, Value::Null, 404).await;
    described.call("DELETE", "/session", Value::Null, 204).await;
    described.call("GET", "/rating", Value::Null, 401).await;
    described.finish();
}

#[tokio::test]
async fn every_answer_to_buyers_is_as_described() {
    let cluster = shared();
    let (seller, buyer) = (User::seller(&cluster).await, User::buyer(&cluster).await);
    let category = category();
    let item = seller.offers(lamp(category)).await;
    let mut described = Described::new(&buyer.api, &cluster.buyers[0]).await;
    let account = json!({"username": unique("ada"), "password": "p", "display_name": "Ada"});
    described.call("POST", "/buyers", account, 201).await;
    let login = json!({"username": buyer.username, "password": "secret"});
    described.call("POST", "/sessions", login, 201).await;
    described.call("GET", &format!("/sellers/{}/rating", seller.id), Value::Null, 200).await;
    let search = format!("/items?category={category}&keyword=desk&keyword=light");
    let found = described.call("GET", &search, Value::Null, 200).await;
    assert_eq!(found["items"][0]["item_id"], item);
    described.call("GET", "/items?category=-1", Value::Null, 422).await;
    described.call("GET", &format!("/items/{item}"), Value::Null, 200).await;
    described.call("POST", "/purchases", card(), 409).await;
    let wanted = json!({"item_id": item, "quantity": 3});
    described.call("POST", "/cart/items", wanted.clone(), 200).await;
    described.call("DELETE", &format!("/cart/items/{item}?quantity=1"), Value::Null, 200).await;
    described.call("PUT", "/saved-cart", json!({}), 200).await;
    described.call("PUT", "/saved-cart", json!({"expected_version": 9}), 409).await;
    described.call("GET", "/cart", Value::Null, 200).await;
    described.call("POST", "/purchases", card(), 201).await;
    described.call("GET", "/purchases", Value::Null, 200).await;
    described.call("PUT", &format!("/items/{item}/feedback"), json!({"vote": "up"}), 200).await;
    described.call("DELETE", "/cart", Value::Null, 204).await;
    described.call("DELETE", "/session", Value::Null, 204).await;
    described.call("GET", "/cart", Value::Null, 401).await;
    described.finish();
}
