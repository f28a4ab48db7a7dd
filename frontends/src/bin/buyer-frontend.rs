//! A buyer frontend: `buyer-frontend --name NAME --config cluster.toml`.

use std::process::ExitCode;

fn main() -> ExitCode {
    agora_frontends::buyer_main(std::env::args_os().collect())
}
