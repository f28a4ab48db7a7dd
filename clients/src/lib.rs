//! The marketplace's client library: buyers and sellers who do not notice that frontends, leaders and members die.
//!
//! [`BuyerClient`] and [`SellerClient`] know several frontends, stay with one while it is well, and move on to the next when
//! it is not, keeping the session and the idempotency key, so that a call takes effect once however often it was sent.
//!
//! Layers, each knowing only the one below it: the clients (one method per call of the contract) → [`model`] (what goes over
//! the wire, typed) → `transport` (attempts, retries, health, budgets; knows nothing of the marketplace). The command lines
//! in [`cli`] stand on top and use nothing but what this library offers to everyone.
//!
//! ```no_run
//! # async fn shop() -> Result<(), agora_clients::Error> {
//! use agora_clients::{BuyerClient, ClientOptions, model::Search};
//! let servers = vec!["http://127.0.0.1:8201".into(), "http://127.0.0.1:8202".into()];
//! let buyer = BuyerClient::new(servers, ClientOptions::default())?;
//! buyer.login("ada", "secret").await?;
//! for item in buyer.search(&Search::keywords(["lamp"])).await?.items {
//!     println!("{} {} {}", item.item_id, item.name, item.price);
//! }
//! # Ok(()) }
//! ```

mod buyer;
mod caller;
pub mod cli;
mod error;
pub mod model;
mod options;
mod seller;
mod transport;

pub use agora_proto::Cents;
pub use agora_proto::common::ItemId;
pub use buyer::BuyerClient;
pub use error::{Error, Failure};
pub use options::{ClientOptions, Start};
pub use seller::SellerClient;
