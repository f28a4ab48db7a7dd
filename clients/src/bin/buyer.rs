//! The command line `buyer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_clients::cli::buyer_main(std::env::args_os())
}
