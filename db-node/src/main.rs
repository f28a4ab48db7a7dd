//! A database node as a program of its own.

fn main() -> std::process::ExitCode {
    agora_db_node::main(std::env::args_os().collect())
}
