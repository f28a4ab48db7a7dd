//! A seller frontend: `seller-frontend --name NAME --config cluster.toml`.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_frontends::seller_main(std::env::args_os().collect())
}
