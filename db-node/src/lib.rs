//! The database node: one member of the customer or of the product group.
//!
//! It puts a state machine, a group that replicates it, a data directory and a gRPC service together into one process. It is the
//! only place that knows which of the two databases is replicated in which way.
//!
//! - `args`: the command line.
//! - `node`: the life of the process: open, start, serve, stop.
//! - `connections`: what the service listens to, bounded.
//! - `member`: which group replicates which state machine.
//! - [`service`]: the gRPC face.

mod args;
mod connections;
mod member;
mod node;
pub mod service;

use std::ffi::OsString;
use std::process::ExitCode;

use args::Args;
use clap::Parser;

/// Runs a database node until it is told to stop. The arguments are those of the command line, the program's name first.
///
/// Exit codes: 0 stopped as it was told, 1 it could not start or not go on, 2 wrong arguments.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // There is nobody left to tell if even that can't be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    agora_process::init_logging();
    match node::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(node = args.name, error = format!("{error:#}"), "the node ends");
            eprintln!("error: {} {}: {error:#}", args.database.role(), args.name);
            ExitCode::FAILURE
        }
    }
}
