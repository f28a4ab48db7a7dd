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
fn a_log_is_kept_within_its_bound_for_a_node_that_is_down_which_is_then_sent_the_state_and_serves() {
    let args = ["--time", "12s", "--clients", "16", "--every", "1s", "--keep-log", "30"];
    let report = bench(&[&["soak", "--down", "customer-2"], &args[..]].concat());
    assert!(report["writes"].as_u64().unwrap() > 500, "{report}");
    assert_eq!((&report["replicas_equal"], &report["took_state"]), (&5.into(), &true.into()), "{report}");
    let promises = report["verdict"]["promises"].as_array().unwrap();
    assert!(promises.len() == 7 && promises.iter().all(|promise| promise["kept"] == true), "{report}");
    // It is back only when a write and a read through it alone were answered.
    assert!(report["caught_up_s"].as_f64().unwrap() > 0.0, "{report}");
    let samples = report["samples"].as_array().unwrap();
    let node = |sample: &Value, name: &str| {
        sample["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap().clone()
    };
    let in_phase = |phase: &str| samples.iter().filter(|sample| sample["phase"] == phase).collect::<Vec<_>>();
    let (while_down, back) = (in_phase("down"), in_phase("back"));
    let in_the_end = back.last().unwrap();
    assert!(node(while_down[0], "customer-2")["disk_bytes"].is_null(), "it is down");
    assert!(node(in_the_end, "customer-2")["disk_bytes"].as_u64().unwrap() > 0, "it is back");
    let last = while_down.last().unwrap();
    let slots = |sample: &Value, name: &str, what: &str| node(sample, name)[what].as_u64().unwrap();
    let reached = slots(last, "customer-1", "applied");
    assert!(slots(in_the_end, "customer-2", "applied") > reached, "it has what was written without it");
    // An eighth more than is to be kept stays, and what came since the state was last made durable. That is done every two
    // seconds; more than half of the time means that it is not done at all.
    let at_s = |sample: &Value| sample["at_s"].as_f64().unwrap();
    let earlier = while_down.iter().rfind(|sample| at_s(sample) + 5.0 <= at_s(last)).unwrap();
    let lately = reached - slots(earlier, "customer-1", "applied");
    assert!(
        reached > 100 && lately < reached * 3 / 4,
        "{lately} of {reached} slots in the last 5 s tell nothing"
    );
    let kept = slots(last, "customer-1", "log_slots");
    assert!(kept <= 33 + lately, "{kept} slots of log, of which {lately} came in the last 5 s");
}

#[test]
fn a_soak_in_which_a_promise_is_not_kept_says_which_and_fails() {
    let mut command = Command::new(PROGRAM);
    command.args(["bench", "soak", "--time", "1s", "--clients", "2", "--back-within", "1ms", "--json", "-"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (told, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}\n{said}"));
    assert_eq!((&report["verdict"]["kept"], &report["caught_up_s"]), (&false.into(), &Value::Null));
    let line =
        "not kept: while load goes on, customer-3 is up to date, takes turns and answers calls within 0.0 s";
    assert!(said.contains(line), "{said}");
    // The others are judged all the same.
    assert!(said.contains("\nkept: all calls are answered"), "{said}");
}

#[test]
fn a_load_tells_what_each_call_costs_and_how_long_a_kill_held_it_up() {
    let mut args = vec!["load", "--target", "rest", "--clients", "4", "--warmup", "0", "--seconds", "3"];
    args.extend(["--op", "checkout", "--kill", "leader@1s"]);
    let report = bench(&args);
    assert!(report["ops"].as_u64().unwrap() > 30 && report["errors"] == 0, "{report}");
    let killed = &report["killed"];
    assert!(killed["name"].as_str().unwrap().starts_with("product-"), "{report}");
    assert!((1.0..2.0).contains(&killed["at_s"].as_f64().unwrap()), "{report}");
    assert!(killed["recovered_us"].as_u64().unwrap() > 0, "{report}");
    let used = |part: &str, what: &str| {
        let parts = report["resources"].as_array().unwrap();
        parts.iter().find(|used| used["part"] == part).unwrap()[what].as_f64().unwrap()
    };
    assert_eq!((used("customer nodes", "processes"), used("product nodes", "processes")), (5.0, 4.0));
    for part in ["customer nodes", "product nodes", "buyer frontends", "load generator"] {
        assert!(used(part, "cpu_us_per_op") > 0.0 && used(part, "memory_bytes") > 1e6, "{part}: {report}");
    }
    assert!(used("customer nodes", "syncs_per_op") > 0.0 && used("buyer frontends", "syncs_per_op") == 0.0);
}

#[test]
fn each_customer_node_can_be_measured_by_itself_while_one_is_dead_and_one_is_slow() {
    let load = ["load", "--target", "customer", "--clients", "1", "--warmup", "0", "--seconds", "1"];
    let conditions = ["--node", "each", "--down", "customer-4", "--slow", "customer-2"];
    let reports = bench(&[&load[..], &conditions].concat());
    let reports = reports.as_array().unwrap();
    let nodes: Vec<_> = reports.iter().map(|report| report["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["customer-1", "customer-2", "customer-3", "customer-5"]);
    for report in reports {
        assert_eq!((&report["down"], &report["slow"]), (&"customer-4".into(), &"customer-2".into()));
        assert!(report["ops"].as_u64().unwrap() > 0 && report["errors"] == 0, "{report}");
    }
    // What it has others do comes late, and what others have it do does not matter to most of their calls.
    let p50 = |index: usize| reports[index]["p50_us"].as_u64().unwrap();
    assert!(p50(1) > p50(0).min(p50(2)).min(p50(3)), "{reports:#?}");
}

#[test]
fn an_overload_tells_its_curve_and_whether_the_promise_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut command = Command::new(PROGRAM);
    command.args(["bench", "overload", "--op", "read", "--seconds", "1", "--capacity", "20"]);
    command.args(["--multiples", "1,3", "--json", "-", "--report"]).arg(&report);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (told, said) = (text(&output.stdout), text(&output.stderr));
    println!("{said}");
    let curve: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}\n{said}"));
    // How fast this machine is, is not judged here: but the code, the text and the figures say the same.
    let steps = curve["steps"].as_array().unwrap();
    assert_eq!([&steps[0]["multiple"], &steps[1]["multiple"]], [1.0, 3.0]);
    let figure = |name: &str| steps[1][name].as_f64().unwrap();
    let share = figure("share_of_peak");
    let is_too_little = figure("goodput_per_s") > figure("offered_per_s") / 2.0;
    let verdict = match share >= 0.8 {
        _ if is_too_little => "not_judged",
        true => "kept",
        false => "not_kept",
    };
    let told_at_once = match figure("refused_p99_us") <= 10_000.0 {
        _ if is_too_little || figure("refused_per_s") == 0.0 => "not_judged",
        true => "kept",
        false if figure("behind_p99_us") > 10_000.0 => "not_judged",
        false => "not_kept",
    };
    let code = match [verdict, told_at_once] {
        verdicts if verdicts.contains(&"not_kept") => 1,
        verdicts if verdicts.contains(&"not_judged") => 2,
        _ => 0,
    };
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!([&curve["verdict"]["verdict"], &curve["told"]["verdict"]], [verdict, told_at_once]);
    let [line, told_line] = [verdict, told_at_once].map(|it| format!("{}: ", it.replace('_', " ")));
    let last: Vec<_> =
        said.lines().filter(|said| said.contains("judged: ") || said.contains("kept: ")).collect();
    assert!(last.len() == 2 && last[0].starts_with(&line) && last[1].starts_with(&told_line), "{said}");
    let file = |name: &str| std::fs::read_to_string(report.join(name)).unwrap();
    assert!(file("overload.md").contains(&line) && file("overload.md").contains("(overload.svg)"));
    assert!(file("overload.svg").contains("done within 1 s"));
    assert_eq!(file("overload.json").trim(), told.trim());
}

#[test]
fn in_each_scenario_every_call_is_made_and_no_client_sees_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().to_str().unwrap();
    let short = ["scenarios", "--scenarios", "2", "4", "--clients", "1", "--runs", "1", "--calls", "40"];
    let told = bench(&[&short[..], &["--report", report]].concat());
    let runs = told["runs"].as_array().unwrap();
    let died = |run: usize| runs[run]["died"].as_array().unwrap().len();
    assert_eq!((runs.len(), died(0), died(1)), (2, 2, 1), "{told}");
    let sellers = "create_seller login_seller logout_seller get_seller_rating add_item remove_item change_price \
                   update_units all_items_by_seller";
    let buyers = "create_buyer login_buyer logout_buyer display_cart add_to_cart remove_cart save_cart clear_cart \
                  search_items get_item get_purchase_history make_purchase provide_feedback get_seller_rating_by_buyer";
    for run in runs {
        let functions = run["functions"].as_object().unwrap();
        for name in sellers.split_whitespace().chain(buyers.split_whitespace()) {
            let function = functions.get(name).unwrap_or_else(|| panic!("no {name}: {run}"));
            assert!(function["count"].as_u64() > Some(0) && function["errors"] == 0, "{name}: {run}");
        }
        assert_eq!((&run["errors"], functions.len()), (&0.into(), 23), "{run}");
    }
}
