//! Compiles the `.proto` files with protox, a protobuf compiler in Rust, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=agora");
    let files = ["common", "customer", "product", "database", "broadcast", "snapshot", "raft"];
    let descriptors = protox::compile(files.map(|name| format!("agora/{name}.proto")), ["."])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
