//! `/openapi.json`: what the operations' own annotations say, and what holds for all of them.

use agora_proto::common::Role;
use agora_proto::limits::IDEMPOTENCY_KEY_CHARS;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, Required, ResponseBuilder};

use crate::problem::ProblemBody;
use crate::rest::key;
use crate::rest::shapes::Keyword;

#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(ProblemBody, Keyword)))]
struct Common;

/// Adds what all operations share: title, session tokens, idempotency keys, problems.
pub fn describe(role: Role, operations: OpenApi) -> OpenApi {
    let mut api = Common::openapi();
    api.merge(operations);
    let whom = if role == Role::Buyer { "buyers" } else { "sellers" };
    api.info.title = format!("Agora for {whom}");
    api.info.description = Some(
        "A marketplace. Every call may be repeated through any frontend; a mutation that is repeated with its \
         Idempotency-Key takes effect once and returns the first answer."
            .into(),
    );
    if let Some(components) = &mut api.components {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("UUID").build();
        components.add_security_scheme("session", SecurityScheme::Http(bearer));
    }
    for item in api.paths.paths.values_mut() {
        let mutations = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in mutations.into_iter().flatten() {
            add_idempotency_key(operation);
            add_problems(operation);
        }
        if let Some(operation) = &mut item.get {
            add_problems(operation);
        }
    }
    api
}

fn add_idempotency_key(operation: &mut Operation) {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let text = text.max_length(Some(IDEMPOTENCY_KEY_CHARS));
    let header = ParameterBuilder::new()
        .name(key::HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Any text. Repeats with the same key take effect once. Remembered for 24 hours."))
        .schema(Some(text));
    operation.parameters.get_or_insert_default().push(header.build());
}

fn add_problems(operation: &mut Operation) {
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let responses = &mut operation.responses.responses;
    for response in responses.values_mut() {
        if let utoipa::openapi::RefOr::T(response) = response
            && let Some(content) = response.content.shift_remove("application/json")
        {
            let is_problem =
                serde_json::to_string(&content).is_ok_and(|text| text.contains("schemas/Problem\""));
            let kind = if is_problem { "application/problem+json" } else { "application/json" };
            response.content.insert(kind.into(), content);
        }
    }
    let any = ResponseBuilder::new()
        .description("Why it was not done: see `code`. 429 and 503 say in Retry-After when to come back.")
        .content("application/problem+json", problem());
    responses.insert("default".into(), any.build().into());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use agora_proto::limits::*;
    use serde_json::Value;

    use super::*;
    use crate::rest::card;

    fn description(role: Role) -> Value {
        serde_json::to_value(describe(role, crate::rest::router(role).into_openapi())).unwrap()
    }

    #[test]
    fn the_description_covers_every_path_of_the_contract() {
        let paths = |role| {
            let json = description(role);
            let paths = json["paths"].as_object().unwrap();
            let mut all = Vec::new();
            for (path, operations) in paths {
                all.extend(operations.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
            }
            all.sort();
            all
        };
        let expected = |text: &str| {
            let mut all: Vec<_> = text.split(',').map(|path| path.trim().replacen(' ', " /v1", 1)).collect();
            all.sort();
            all
        };
        assert_eq!(
            paths(Role::Seller),
            expected(
                "post /sellers, post /sessions, delete /session, get /rating, get /sellers/{id}/rating, post /items, \
                 get /items, patch /items/{item_id}, post /items/{item_id}/units, delete /items/{item_id}"
            )
        );
        assert_eq!(
            paths(Role::Buyer),
            expected(
                "post /buyers, post /sessions, delete /session, get /items, get /items/{item_id}, get /cart, \
                 post /cart/items, delete /cart/items/{item_id}, put /saved-cart, delete /cart, post /purchases, \
                 get /purchases, put /items/{item_id}/feedback, get /sellers/{id}/rating"
            )
        );
    }

    /// Programs that are made from the description call the operations by these names.
    #[test]
    fn every_operation_has_a_name_of_its_own_that_says_what_it_does() {
        for role in [Role::Seller, Role::Buyer] {
            let json = description(role);
            let paths = json["paths"].as_object().unwrap();
            let operations = paths.values().flat_map(|operations| operations.as_object().unwrap().values());
            let mut seen = BTreeSet::new();
            for operation in operations {
                let name = operation["operationId"].as_str().unwrap();
                assert!(name.contains('_'), "{name} does not say of what");
                assert!(seen.insert(name), "two operations are called {name}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_mutation_takes_a_key() {
        for role in [Role::Seller, Role::Buyer] {
            let json = description(role);
            let text = json.to_string();
            for reference in text.split("\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(json.pointer(reference).is_some(), "{reference}");
            }
            for (path, operations) in json["paths"].as_object().unwrap() {
                for (method, operation) in operations.as_object().unwrap() {
                    let takes_key = operation["parameters"].to_string().contains(key::HEADER);
                    assert_eq!(takes_key, method != "get", "{method} {path}");
                    assert!(operation["responses"]["default"].is_object(), "{method} {path}");
                }
            }
        }
    }

    /// The least and the most that a number, a text's length or a list's length may be.
    fn bounds(schema: &Value) -> (f64, f64) {
        let bound = |names: [&str; 3]| names.iter().find_map(|name| schema[name].as_f64());
        let most = bound(["maximum", "maxLength", "maxItems"]);
        (bound(["minimum", "minLength", "minItems"]).unwrap_or(0.0), most.unwrap())
    }

    /// Annotations can hold nothing but literals.
    #[test]
    fn what_the_annotations_say_of_limits_is_what_is_enforced() {
        let (sellers, buyers) = (description(Role::Seller), description(Role::Buyer));
        let units = UNITS_MAX as f64;
        for (api, schema, field, least, most) in [
            (&sellers, "NewAccount", "username", 1.0, USERNAME_CHARS as f64),
            (&sellers, "NewAccount", "display_name", 1.0, DISPLAY_NAME_CHARS as f64),
            (
                &sellers,
                "NewAccount",
                "password",
                *PASSWORD_CHARS.start() as f64,
                *PASSWORD_CHARS.end() as f64,
            ),
            (&sellers, "Login", "username", 1.0, USERNAME_CHARS as f64),
            (&sellers, "Login", "password", *PASSWORD_CHARS.start() as f64, *PASSWORD_CHARS.end() as f64),
            (&sellers, "NewItem", "name", 1.0, ITEM_NAME_CHARS as f64),
            (&sellers, "NewItem", "category", 0.0, CATEGORY_MAX.into()),
            (&sellers, "NewItem", "keywords", 0.0, KEYWORDS as f64),
            (&sellers, "NewItem", "quantity", 0.0, units),
            (&sellers, "UnitsChange", "delta", -units, units),
            (&buyers, "CartAddition", "quantity", 1.0, CART_LINE_UNITS.into()),
            (&buyers, "PaymentCard", "name", 1.0, card::NAME_CHARS as f64),
        ] {
            let described = &api["components"]["schemas"][schema]["properties"][field];
            assert_eq!(bounds(described), (least, most), "{schema}.{field}: {described}");
        }
        for (api, method, path, parameter, least, most) in [
            (&sellers, "get", "/v1/items", "limit", 1.0, PAGE_ITEMS_MAX.into()),
            (&buyers, "get", "/v1/items", "limit", 1.0, PAGE_ITEMS_MAX.into()),
            (&buyers, "get", "/v1/purchases", "limit", 1.0, PAGE_ITEMS_MAX.into()),
            (&buyers, "get", "/v1/items", "category", 0.0, CATEGORY_MAX.into()),
            (&buyers, "get", "/v1/items", "keyword", 0.0, KEYWORDS as f64),
            (&buyers, "delete", "/v1/cart", key::HEADER, 1.0, IDEMPOTENCY_KEY_CHARS as f64),
        ] {
            let parameters = api["paths"][path][method]["parameters"].as_array().unwrap();
            let described = parameters.iter().find(|it| it["name"] == parameter).unwrap();
            assert_eq!(bounds(&described["schema"]), (least, most), "{method} {path}: {described}");
        }
        let keyword = "#/components/schemas/Keyword";
        let of_item = &sellers["components"]["schemas"]["NewItem"]["properties"]["keywords"];
        assert_eq!(of_item["items"]["$ref"], keyword);
        assert!(buyers["paths"]["/v1/items"]["get"]["parameters"].to_string().contains(keyword));
        for api in [&sellers, &buyers] {
            assert_eq!(bounds(api.pointer(&keyword[1..]).unwrap()), (1.0, KEYWORD_CHARS as f64));
        }
    }
}
