//! Real node processes: they serve, survive kill -9 one by one and all at once, stop when told, and refuse to start wrongly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod nodes;

use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use agora_process::Role;
use nodes::accounts::{buyer, create_buyer};
use nodes::items::register_item;
use nodes::{Nodes, deadline};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_one_and_of_all() {
    let mut nodes = Nodes::new(3, 3);
    nodes.start_all();
    let (customers, products) = (nodes.customer(), nodes.product());
    let first = create_buyer(&customers, "first").await;
    let item = register_item(&products, "first").await;

    nodes.kill("customer-2");
    nodes.kill("product-1");
    let second = create_buyer(&customers, "second").await;
    register_item(&products, "second").await;
    nodes.start(Role::Customer, "customer-2");
    nodes.start(Role::Product, "product-1");
    let third = create_buyer(&customers, "third").await;

    for (_, name) in nodes.members() {
        nodes.kill(&name);
    }
    nodes.start_all();
    for (username, id) in [("first", first), ("second", second), ("third", third)] {
        assert_eq!(buyer(&customers, username).await, Some(id));
        assert_eq!(create_buyer(&customers, username).await, id, "the same key gets the same answer");
    }
    assert_eq!(register_item(&products, "first").await, item);
    assert_eq!(buyer(&customers, "nobody").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_its_status_and_stops_when_told() {
    let mut nodes = Nodes::new(3, 3);
    nodes.start_all();
    let (customers, products) = (nodes.customer(), nodes.product());
    create_buyer(&customers, "first").await;
    register_item(&products, "first").await;
    let until = deadline();
    for index in 0..3 {
        loop {
            let (customer, product) =
                (customers.status(index, true).await, products.status(index, true).await);
            if let (Ok(customer), Ok(product)) = (customer, product)
                && (customer.ready && product.ready && customer.applied > 0 && product.applied > 0)
            {
                assert_eq!(customer.node, nodes.file.customer[index].name);
                assert_eq!((customer.database.as_str(), product.database.as_str()), ("customer", "product"));
                assert!(customer.disk_bytes > 0 && product.disk_bytes > 0);
                assert!(customer.checksum.len() == 8 && product.checksum.len() == 8);
                break;
            }
            assert!(Instant::now() < until, "node {index} does not get ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for (_, name) in nodes.members() {
        nodes.signal(&name, "-TERM");
        assert_eq!(nodes.ended(&name).code(), Some(0), "{name}");
    }
}

#[test]
fn a_node_that_can_not_start_says_why() {
    let nodes = Nodes::new(3, 3);
    let wrong = |output: Output, code: i32, reason: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(reason), "{said}");
    };
    wrong(nodes.run(Role::Buyer, "customer-1"), 2, "possible values: customer, product");
    wrong(nodes.run(Role::Customer, "customer-9"), 1, "customer-1, customer-2, customer-3");

    let taken = TcpListener::bind(nodes.file.customer[0].address).unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, "can't listen on");
    drop(taken);

    let data = nodes.file.data_of("customer-1");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("letters"), "private").unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, &data.display().to_string());
    assert!(data.join("letters").exists());

    std::fs::write(nodes.config(), "cluster = 7").unwrap();
    wrong(nodes.run(Role::Customer, "customer-1"), 1, "cluster.toml");
}
