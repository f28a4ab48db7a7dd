//! The examples are what they claim to be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use agora_process::ClusterFile;

#[test]
fn the_databases_of_the_three_machines_example_survive_the_loss_of_a_machine() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/three-machines.toml");
    let file = ClusterFile::read(&path).unwrap();
    for group in [&file.customer, &file.product] {
        for machine in group.iter().map(|node| node.address.ip()) {
            let lost = group.iter().filter(|node| node.address.ip() == machine).count();
            assert!(2 * (group.len() - lost) > group.len(), "without {machine} there is no majority");
        }
    }
}
