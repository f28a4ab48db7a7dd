//! The programs `buyer` and `seller` as people run them: exit codes, what is printed where, the session that is remembered,
//! and the shell. Servers are real ones on the loopback, scripted by each test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use support::{Server, Step, refusing};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

const CART: &str = r#"{"lines":[{"item_id":"3-17","name":"Lamp","price":"19.99","quantity":2,"available":5}],
    "total":"39.98","saved_version":4}"#;
const LOGIN: &str = r#"{"token":"t-9","buyer_id":7,"idle_timeout_s":300}"#;

/// A place of its own for the session of a test.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Home {
        Home { directory: tempfile::tempdir().unwrap() }
    }

    fn session(&self, program: &str) -> PathBuf {
        self.directory.path().join(format!("state/agora/{program}-session.json"))
    }

    async fn run(&self, program: &str, server: &str, args: &[&str]) -> Output {
        self.run_with_input(program, server, args, "").await
    }

    fn start(&self, program: &str, server: &str, args: &[&str]) -> Child {
        let path = match program {
            "buyer" => env!("CARGO_BIN_EXE_buyer"),
            _ => env!("CARGO_BIN_EXE_seller"),
        };
        let mut command = Command::new(path);
        command.args(args).env_clear();
        command.env("XDG_STATE_HOME", self.directory.path().join("state"));
        command.env(format!("AGORA_{}_SERVERS", program.to_uppercase()), server);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    async fn run_with_input(&self, program: &str, server: &str, args: &[&str], input: &str) -> Output {
        let mut child = self.start(program, server, args);
        let mut stdin = child.stdin.take().unwrap();
        // A program that reads nothing may be gone by now.
        drop(stdin.write_all(input.as_bytes()).await);
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    async fn logged_in() -> Home {
        let home = Home::new();
        let server = Server::playing([Step::status(201, LOGIN)]).await;
        let output = home.run("buyer", &server.url(), &["login", "ada", "--password", "secret"]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        home
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn done_is_0_refused_is_1_usage_is_2_unavailable_is_3() {
    let home = Home::new();
    let well = Server::playing([Step::ok(CART)]).await;
    assert_eq!(code(&home.run("buyer", &well.url(), &["cart"]).await), 0);

    let refuses = Server::playing([Step::problem(404, "item_not_found", "there is no item 3-99")]).await;
    let output = home.run("buyer", &refuses.url(), &["item", "3-99"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("there is no item 3-99") && stderr(&output).contains("buyer search"));

    for wrong in [
        &["item"][..],
        &["item", "3"],
        &["add", "3-1", "0"],
        &["nonsense"],
        &[],
        &["--server", "ftp://x", "cart"],
        &["--server", "nonsense", "cart"],
        &["--server", "nobody.invalid:8201", "cart"],
    ] {
        assert_eq!(code(&home.run("buyer", &well.url(), wrong).await), 2, "{wrong:?}");
    }

    let output = home.run("buyer", &refusing().await, &["--timeout", "1", "cart"]).await;
    assert_eq!(code(&output), 3);
    assert!(
        stderr(&output).contains("Nothing was done") && stderr(&output).contains("--server"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn a_call_whose_outcome_is_unknown_can_be_repeated_with_the_key_that_is_told() {
    let home = Home::logged_in().await;
    let unknown = Server::playing([Step::problem(504, "outcome_unknown", "?")]).await;
    let output = home.run("buyer", &unknown.url(), &["--json", "--timeout", "1", "clear"]).await;
    assert_eq!(code(&output), 3);
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["error"]["code"], "outcome_unknown");
    let key = error["error"]["idempotency_key"].as_str().unwrap();
    assert_eq!(unknown.seen()[0].key.as_deref(), Some(key));

    let well = Server::playing([Step::status(204, "")]).await;
    let output = home.run("buyer", &well.url(), &["clear", "--idempotency-key", key]).await;
    assert_eq!((code(&output), well.seen()[0].key.as_deref()), (0, Some(key)));
}

#[tokio::test]
async fn the_session_is_kept_in_a_file_that_only_its_owner_can_read() {
    let home = Home::logged_in().await;
    assert_eq!(std::fs::metadata(home.session("buyer")).unwrap().mode() & 0o777, 0o600);

    let server = Server::playing([Step::ok(CART), Step::status(204, "")]).await;
    home.run("buyer", &server.url(), &["cart"]).await;
    let output = home.run("buyer", &server.url(), &["logout"]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(server.seen().iter().all(|seen| seen.authorization.as_deref() == Some("Bearer t-9")));
    assert!(!home.session("buyer").exists());
    let output = home.run("buyer", &server.url(), &["whoami"]).await;
    assert!(code(&output) == 1 && stderr(&output).contains("buyer login USERNAME"));
}

#[tokio::test]
async fn who_is_not_logged_in_is_told_so_in_the_same_way_by_every_command() {
    let home = Home::new();
    let detail = "log in, and send the header Authorization";
    let server = Server::playing([Step::problem(401, "missing_token", detail)]).await;
    for command in ["cart", "clear", "logout", "whoami", "purchases"] {
        let output = home.run("buyer", &server.url(), &[command]).await;
        let said = "error: nobody is logged in here\n  Log in first: buyer login USERNAME\n";
        assert_eq!((code(&output), stderr(&output).as_str()), (1, said), "{command}");
        let output = home.run("buyer", &server.url(), &[command, "--json"]).await;
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert_eq!(error["error"]["code"], "missing_token", "{command}");
    }
}

#[tokio::test]
async fn a_frontend_of_the_other_kind_is_told_from_one_of_ours() {
    let home = Home::new();
    let other = Server::playing([
        Step::problem(404, "not_found", "there is nothing at this path"),
        Step::status(201, r#"{"token":"t-9","seller_id":7,"idle_timeout_s":300}"#),
        Step::problem(403, "wrong_role", "this frontend serves sellers"),
    ])
    .await;
    for command in [&["create-account", "ada"][..], &["login", "ada"], &["search"]] {
        let output = home
            .run(
                "buyer",
                &other.url(),
                &[command, &["--password", "p"][..usize::from(command.len() > 1) * 2]].concat(),
            )
            .await;
        assert!(code(&output) != 0 && stderr(&output).contains("buyer frontend"), "{}", stderr(&output));
    }
    assert!(!home.session("buyer").exists());
}

#[tokio::test]
async fn a_negative_number_is_a_wrong_value_and_not_an_unknown_option() {
    let home = Home::new();
    let sell = ["sell", "Lamp", "--category", "1", "--price", "2"];
    for (program, wrong) in [
        ("seller", [&sell[..4], &["--price", "-1"]].concat()),
        ("seller", [&sell[..], &["--quantity", "-1"]].concat()),
        ("seller", ["sell", "Lamp", "--price", "1", "--category", "-1"].to_vec()),
        ("seller", ["price", "3-17", "-1"].to_vec()),
        ("buyer", ["add", "3-17", "-1"].to_vec()),
        ("buyer", ["search", "--limit", "-1"].to_vec()),
        ("buyer", ["rating", "-1"].to_vec()),
    ] {
        let output = home.run(program, "127.0.0.1:1", &wrong).await;
        let said = stderr(&output);
        assert!(code(&output) == 2 && said.contains("invalid value '-1' for"), "{wrong:?}: {said}");
    }
}

#[tokio::test]
async fn a_session_that_has_ended_is_forgotten() {
    let home = Home::logged_in().await;
    let server = Server::playing([Step::problem(401, "invalid_session", "no such session")]).await;
    let output = home.run("buyer", &server.url(), &["cart"]).await;
    assert!(code(&output) == 1 && stderr(&output).contains("Log in again"), "{}", stderr(&output));
    assert!(!home.session("buyer").exists());
}

#[tokio::test]
async fn a_password_can_come_from_standard_input_and_is_shown_nowhere() {
    let home = Home::new();
    let server = Server::playing([Step::status(201, r#"{"seller_id":12}"#)]).await;
    let args = ["create-account", "bert", "--display-name", "Bert's Lamps", "--verbose"];
    let output = home.run_with_input("seller", &server.url(), &args, "s3cret\n").await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        server.seen()[0].body,
        r#"{"username":"bert","password":"s3cret","display_name":"Bert's Lamps"}"#
    );
    assert!(!stdout(&output).contains("s3cret") && !stderr(&output).contains("s3cret"));
    assert!(stdout(&output).contains("12"));
}

#[tokio::test]
async fn tables_are_for_people_and_json_for_machines() {
    let home = Home::new();
    let server = Server::playing([Step::ok(CART)]).await;
    let table = stdout(&home.run("buyer", &server.url(), &["cart"]).await);
    assert!(table.contains("Lamp") && table.contains("39.98") && table.contains('─'), "{table}");
    let json = stdout(&home.run("buyer", &server.url(), &["cart", "--json"]).await);
    let cart: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&cart["lines"][0]["item_id"], &cart["total"]), (&"3-17".into(), &"39.98".into()));
    assert_eq!(json.lines().count(), 1);
}

#[tokio::test]
async fn all_pages_are_fetched_one_after_the_other() {
    let page = |n: u64, next: &str| {
        let item = format!(
            r#"{{"item_id":"3-{n}","seller_id":1,"name":"Lamp {n}","category":3,"keywords":[],"condition":"new","price":"1.00",
            "quantity":1,"thumbs_up":0,"thumbs_down":0}}"#
        );
        Step::ok(&format!(r#"{{"items":[{item}],"next_cursor":{next}}}"#))
    };
    let home = Home::new();
    let server = Server::playing([page(1, "\"c1\""), page(2, "null")]).await;
    let output = home.run("buyer", &server.url(), &["search", "--category", "3", "--all", "--json"]).await;
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    assert_eq!(server.seen()[1].path, "/v1/items?category=3&limit=100&cursor=c1");

    let server = Server::playing([page(1, "\"c1\"")]).await;
    let output = home.run("buyer", &server.url(), &["search", "--limit", "1"]).await;
    assert!(stdout(&output).contains("--cursor c1"), "{}", stdout(&output));
}

#[tokio::test]
async fn the_card_is_asked_for_and_the_purchase_shown() {
    let home = Home::logged_in().await;
    let bought = r#"{"purchase_id":"p-1","lines":[{"item_id":"3-17","name":"Lamp","seller_id":12,"price":"19.99","quantity":2}],"total":"39.98"}"#;
    let server = Server::playing([Step::status(201, bought)]).await;
    let input = "Ada Example\n4111 1111 1111 1111\n12/2031\n737\n";
    let output = home.run_with_input("buyer", &server.url(), &["buy"], input).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let card = r#"{"card":{"name":"Ada Example","number":"4111111111111111","expiry":"12/2031","security_code":"737"}}"#;
    assert_eq!(server.seen()[0].body, card);
    let shown = stdout(&output);
    assert!(shown.contains("p-1") && shown.contains("12") && !shown.contains(" at "), "{shown}");
    assert!(!shown.contains("4111"));
    let json = home.run_with_input("buyer", &server.url(), &["buy", "--json"], input).await;
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["lines"][0]["seller_id"], 12);
}

#[tokio::test]
async fn the_seller_can_take_units_away() {
    let home = Home::new();
    let server = Server::playing([Step::ok(r#"{"item_id":"3-17","quantity":4}"#)]).await;
    let output = home.run("seller", &server.url(), &["units", "3-17", "-3"]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        (server.seen()[0].path.as_str(), server.seen()[0].body.as_str()),
        ("/v1/items/3-17/units", r#"{"delta":-3}"#)
    );
}

#[tokio::test]
async fn the_shell_takes_the_same_commands_and_goes_on_after_a_refusal() {
    let home = Home::new();
    let steps = [
        Step::status(201, LOGIN),
        Step::problem(409, "not_in_cart", "3-1 is not in the cart"),
        Step::ok(CART),
    ];
    let server = Server::playing(steps).await;
    let script = "help\nnonsense\n\nlogin ada --password secret\nremove 3-1 \"\n  remove 3-1\ncart --json\nwhoami\nexit\ncart\n";
    let output = home.run_with_input("buyer", &server.url(), &["shell"], script).await;
    // No terminal: programs want to know that a command failed. The first that did was none at all.
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let (out, err) = (stdout(&output), stderr(&output));
    assert!(
        out.contains("create-account") && out.contains("ada (buyer 7)") && out.contains(r#""total":"39.98""#),
        "{out}"
    );
    assert!(
        err.contains("nonsense") && err.contains("quotation mark") && err.contains("not_in_cart"),
        "{err}"
    );
    assert_eq!(server.seen().len(), 3, "nothing is done after `exit`");
    let history = home.session("buyer").with_file_name("buyer-history");
    assert!(!history.exists(), "what a program wrote is nobody's history");
}

#[tokio::test]
async fn a_shell_in_which_all_went_well_ends_well() {
    let home = Home::new();
    let server = Server::playing([Step::ok(CART)]).await;
    let output = home.run_with_input("buyer", &server.url(), &["shell"], "help\ncart\n# done\n").await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let refuses =
        Server::playing([Step::problem(409, "cart_empty", "the cart is empty"), Step::ok(CART)]).await;
    let output = home.run_with_input("buyer", &refuses.url(), &["shell"], "clear\ncart\n").await;
    assert_eq!(code(&output), 1, "{}", stderr(&output));
}

#[tokio::test]
async fn an_interrupt_ends_the_call_and_tells_how_to_repeat_it_but_does_not_end_the_shell() {
    let home = Home::new();
    let server = Server::playing([Step::Hang, Step::ok(CART)]).await;
    let mut child = home.start("buyer", &server.url(), &["shell"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"clear\n").await.unwrap();
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    stdin.write_all(b"cart --json\n").await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(code(&output), 130, "{}", stderr(&output));
    let key = server.seen()[0].key.clone().unwrap();
    assert!(
        stderr(&output).contains("interrupted")
            && stderr(&output).contains(&format!("--idempotency-key {key}"))
    );
    assert!(stdout(&output).contains("39.98"), "{}", stdout(&output));
}

#[tokio::test]
async fn help_tells_of_examples_the_environment_and_exit_codes() {
    let home = Home::new();
    for program in ["buyer", "seller"] {
        let output = home.run(program, "127.0.0.1:1", &["--help"]).await;
        let help = stdout(&output);
        for part in ["Examples:", "AGORA_PASSWORD", "Exit codes:", "shell", "_SERVERS"] {
            assert!(help.contains(part), "{program}: {part}");
        }
        assert_eq!(code(&output), 0);
    }
}
