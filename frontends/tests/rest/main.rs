//! The REST contract, checked against real processes: database nodes, frontends, a financial service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
// Other tests share these, and use more of them.
#[allow(dead_code)]
mod api;
mod bad_input;
mod buying;
#[allow(dead_code)]
mod cluster;
mod described;
mod items;
mod outages;
mod overload;
mod server;
