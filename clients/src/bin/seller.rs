//! The command line `seller`.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_clients::cli::seller_main(std::env::args_os())
}
