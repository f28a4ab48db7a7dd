//! One binary, every process of a cluster: what this one is to be, it learns from the name that it was called by.
//!
//! A launcher starts itself again under the name of the process that it wants, so one build holds all of them and they
//! always fit together.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use agora_process::Role;

/// Runs the process that this program was called as, if it was called by the name of one. Every program that starts
/// clusters calls it first thing in `main`:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = agora_cluster::dispatch() {
///         return code;
///     }
///     std::process::ExitCode::SUCCESS
/// }
/// ```
pub fn dispatch() -> Option<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let called = Path::new(args.first()?).file_name()?.to_str()?.to_owned();
    match called.as_str() {
        "db-node" => Some(agora_db_node::main(args)),
        "buyer-frontend" => Some(agora_frontends::buyer_main(args)),
        "seller-frontend" => Some(agora_frontends::seller_main(args)),
        "financial-service" => Some(agora_frontends::financial_main(args)),
        _ => None,
    }
}

/// The program name of a process, and the arguments that come before `--name` and `--config`.
pub(crate) fn program_of(role: Role) -> (&'static str, &'static [&'static str]) {
    match role {
        Role::Customer => ("db-node", &["customer"]),
        Role::Product => ("db-node", &["product"]),
        Role::Buyer => ("buyer-frontend", &[]),
        Role::Seller => ("seller-frontend", &[]),
        Role::Financial => ("financial-service", &[]),
    }
}
