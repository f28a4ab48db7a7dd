//! The stateless frontends: REST for buyers and sellers, the purchase saga, and the financial service.
//!
//! A frontend keeps nothing: what it knows it has read from the databases for the request at hand, and what it changes is
//! replicated before it answers. Any of them can die at any moment, and any other one can go on with a repeated request.

use std::ffi::OsString;
use std::process::ExitCode;

use agora_proto::common::Role;

mod app;
mod crash;
mod databases;
pub mod financial;
mod month;
mod passwords;
pub mod payment;
mod problem;
mod purchase;
mod rest;
mod server;

pub use financial::financial_main;

/// A buyer frontend, until it is told to stop.
pub fn buyer_main(args: Vec<OsString>) -> ExitCode {
    server::run(Role::Buyer, "buyer-frontend", args)
}

/// A seller frontend, until it is told to stop.
pub fn seller_main(args: Vec<OsString>) -> ExitCode {
    server::run(Role::Seller, "seller-frontend", args)
}
