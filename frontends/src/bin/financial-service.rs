//! The financial service as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_frontends::financial_main(std::env::args_os().collect())
}
