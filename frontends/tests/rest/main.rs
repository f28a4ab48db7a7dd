//! The REST contract, checked against real processes: database nodes, frontends, a financial service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod api;
mod bad_input;
mod buying;
mod cluster;
mod items;
mod outages;
mod server;
