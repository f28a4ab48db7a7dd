//! The REST interface: one file per group of resources, and one per thing that requests are made of.
//!
//! What every operation keeps to: whether the caller may ask is told before what is wrong with what it asks; a mutation
//! happens only after both were found right; and only what the caller itself gave makes up a request's fingerprint.

use std::sync::Arc;

use agora_proto::common::Role;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

mod accounts;
mod body;
mod card;
mod cart;
mod cursor;
mod feedback;
mod items;
pub mod key;
mod openapi;
mod path;
mod purchases;
mod query;
mod ratings;
mod saved_cart;
mod search;
mod sessions;
mod shapes;
pub mod token;

pub use openapi::describe;

/// The operations for users of this role.
pub fn router(role: Role) -> OpenApiRouter<Arc<App>> {
    match role {
        Role::Seller | Role::Unspecified => seller_router(),
        Role::Buyer => buyer_router(),
    }
}

fn seller_router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(accounts::create_seller))
        .routes(routes!(sessions::open_seller_session))
        .routes(routes!(sessions::close_session))
        .routes(routes!(items::register, items::list))
        .routes(routes!(items::change_price, items::remove))
        .routes(routes!(items::update_units))
        .routes(routes!(ratings::own))
        .routes(routes!(ratings::of_seller))
}

fn buyer_router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(accounts::create_buyer))
        .routes(routes!(sessions::open_buyer_session))
        .routes(routes!(sessions::close_session))
        .routes(routes!(search::search))
        .routes(routes!(search::show))
        .routes(routes!(cart::show, cart::clear))
        .routes(routes!(cart::add))
        .routes(routes!(cart::remove))
        .routes(routes!(saved_cart::save))
        .routes(routes!(purchases::make, purchases::list))
        .routes(routes!(feedback::give))
        .routes(routes!(ratings::of_seller))
}
