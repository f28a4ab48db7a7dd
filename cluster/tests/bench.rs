//! The benchmarks that break a cluster, in their short forms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod common;

use std::process::{Command, Stdio};

use common::{PROGRAM, text};
use serde_json::Value;

fn bench(args: &[&str]) -> Value {
    let mut command = Command::new(PROGRAM);
    let output = command.arg("bench").args(args).args(["--json", "-"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    println!("{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn writes_go_on_after_the_death_of_the_customer_node_whose_turn_it_is_and_of_the_product_leader() {
    for target in ["customer", "product"] {
        let report = bench(&["failover", "--target", target, "--kills", "2", "--clients", "2"]);
        let kills = report["kills"].as_array().unwrap();
        assert_eq!((kills.len(), &report["target"]), (2, &target.into()));
        assert!(kills.iter().all(|kill| kill["victim"].as_str().unwrap().starts_with(target)));
        let (next, all) = (report["median_us"].as_u64().unwrap(), report["all_worst_us"].as_u64().unwrap());
        assert!(0 < next && next <= all);
    }
}

#[test]
fn a_log_is_kept_within_its_bound_for_a_node_that_is_down_which_is_then_sent_the_state() {
    let args = ["--time", "5s", "--clients", "16", "--every", "1s", "--keep-log", "30"];
    let report = bench(&[&["soak", "--down", "customer-2"], &args[..]].concat());
    assert!(report["writes"].as_u64().unwrap() > 500, "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!((&report["replicas_equal"], &report["took_state"]), (&5.into(), &true.into()), "{report}");
    let samples = report["samples"].as_array().unwrap();
    let node = |sample: &Value, name: &str| {
        sample["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap().clone()
    };
    assert!(samples.len() >= 4);
    assert!(node(&samples[0], "customer-2")["disk_bytes"].is_null(), "it is down");
    assert!(node(samples.last().unwrap(), "customer-2")["disk_bytes"].as_u64().unwrap() > 0, "it is back");
    // An eighth more than is to be kept, and what comes between two times that the state is made durable.
    let while_down = &samples[samples.len() - 2];
    let applied: u64 = report["writes"].as_u64().unwrap();
    let kept = node(while_down, "customer-1")["log_slots"].as_u64().unwrap();
    assert!(kept < applied, "{kept} slots of log after {applied} writes");
}
