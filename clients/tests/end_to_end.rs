//! Both programs against a real cluster: every call by hand, then again while frontends die.
//!
//! There is no test harness here: the cluster starts its processes from this very program, called by their names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{ExitCode, Stdio};

use agora_cluster::{Cluster, Endpoints, Ports, StartOptions};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The financial service declines one card in ten.
const CARD_TRIES: usize = 50;
const SHELL_TRIES: usize = 10;
const CARD: [&str; 8] = [
    "--card-name",
    "Ada Example",
    "--card-number",
    "4111 1111 1111 1111",
    "--expiry",
    "12/2099",
    "--security-code",
    "737",
];

fn main() -> ExitCode {
    if let Some(code) = agora_cluster::dispatch() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let options = StartOptions::standard(directory.path().join("data"), Ports::Free).unwrap();
        let cluster = Cluster::start(options).await.unwrap();
        let people = People { state: directory.path(), endpoints: cluster.endpoints() };
        println!("every call works by hand");
        let item = sells(&people).await;
        buys(&people, &item).await;
        println!("a session outlives all frontends but one of each kind");
        outlives(&cluster, &people, &item).await;
        println!("without any frontend the programs say so");
        says_so(&cluster, &people).await;
        cluster.stop().await;
    });
    println!("ok");
    ExitCode::SUCCESS
}

struct People<'a> {
    state: &'a Path,
    endpoints: Endpoints,
}

impl People<'_> {
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let (path, servers) = match program {
            "buyer" => (env!("CARGO_BIN_EXE_buyer"), &self.endpoints.buyer),
            _ => (env!("CARGO_BIN_EXE_seller"), &self.endpoints.seller),
        };
        let mut command = Command::new(path);
        command.args(args).arg("--json").env("XDG_STATE_HOME", self.state).env("AGORA_PASSWORD", "secret");
        for server in servers {
            command.args(["--server", server]);
        }
        command.kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, args: &[&str]) -> (i32, Value) {
        let output = self.command(program, args).output().await.unwrap();
        let code = output.status.code().unwrap();
        let text = if code == 0 { &output.stdout } else { &output.stderr };
        let json = serde_json::from_slice(text);
        (code, json.unwrap_or_else(|_| panic!("{program} {args:?}: {}", String::from_utf8_lossy(text))))
    }

    async fn done(&self, program: &str, args: &[&str]) -> Value {
        let (code, json) = self.run(program, args).await;
        assert_eq!(code, 0, "{program} {args:?}: {json}");
        json
    }

    async fn refused(&self, program: &str, args: &[&str]) -> String {
        let (code, json) = self.run(program, args).await;
        assert_eq!(code, 1, "{program} {args:?}: {json}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

async fn sells(people: &People<'_>) -> String {
    people.done("seller", &["create-account", "bert", "--display-name", "Bert's Lamps"]).await;
    assert_eq!(people.refused("seller", &["create-account", "bert"]).await, "username_taken");
    assert_eq!(people.refused("seller", &["items"]).await, "missing_token");
    assert_eq!(people.refused("seller", &["login", "bert", "--password", "wrong"]).await, "bad_credentials");
    people.done("seller", &["login", "bert"]).await;
    let lamp = [
        "sell",
        "Desk lamp",
        "--category",
        "3",
        "-k",
        "lamp",
        "-k",
        "desk",
        "--price",
        "19.99",
        "--quantity",
        "10",
    ];
    let sold = people.done("seller", &lamp).await;
    let again = people.done("seller", &lamp).await;
    assert_eq!(
        (&again["item_id"], &again["quantity"], &again["merged"]),
        (&sold["item_id"], &20.into(), &true.into())
    );
    let item = sold["item_id"].as_str().unwrap();
    assert_eq!(people.done("seller", &["price", item, "17.50"]).await["price"], "17.50");
    assert_eq!(people.done("seller", &["units", item, "-5"]).await["quantity"], 15);
    assert_eq!(people.refused("seller", &["units", item, "-16"]).await, "insufficient_stock");
    let attic = people
        .done("seller", &["sell", "Old chair", "--category", "4", "--price", "1", "--condition", "used"])
        .await;
    people.done("seller", &["remove", attic["item_id"].as_str().unwrap()]).await;
    let items = people.done("seller", &["items", "--all"]).await;
    assert_eq!(items["items"].as_array().unwrap().len(), 1);
    assert_eq!(people.done("seller", &["rating"]).await["items_sold"], 0);
    rates_another(people).await;
    item.to_owned()
}

/// A seller looks at what is known of another one.
async fn rates_another(people: &People<'_>) {
    let rival = people.done("seller", &["create-account", "rita"]).await["seller_id"].to_string();
    let rating = people.done("seller", &["rating", &rival]).await;
    assert_eq!((rating["seller_id"].to_string(), &rating["items_sold"]), (rival, &0.into()));
    assert_eq!(people.refused("seller", &["rating", "999999"]).await, "seller_not_found");
}

async fn buys(people: &People<'_>, item: &str) {
    people.done("buyer", &["create-account", "ada"]).await;
    people.done("buyer", &["login", "ada"]).await;
    assert_eq!(people.done("buyer", &["whoami"]).await["username"], "ada");
    let found = people.done("buyer", &["search", "LAMP", "--category", "3"]).await;
    assert_eq!(found["items"][0]["item_id"], item);
    let shown = people.done("buyer", &["item", item]).await;
    assert_eq!((&shown["price"], &shown["quantity"]), (&"17.50".into(), &15.into()));
    assert_eq!(people.refused("buyer", &["item", "3-999"]).await, "item_not_found");
    assert_eq!(people.refused("buyer", &["add", item, "16"]).await, "insufficient_stock");
    assert_eq!(people.done("buyer", &["add", item, "3"]).await["total"], "52.50");
    assert_eq!(people.done("buyer", &["remove", item, "1"]).await["lines"][0]["quantity"], 2);
    assert_eq!(people.refused("buyer", &["remove", item, "3"]).await, "not_in_cart");
    people.done("buyer", &["save"]).await;
    people.done("buyer", &["logout"]).await;
    people.done("buyer", &["login", "ada"]).await;
    assert_eq!(people.done("buyer", &["cart"]).await["lines"][0]["quantity"], 2, "the saved cart came back");
    let bought = pay(people).await;
    assert_eq!(bought["total"], "35.00");
    assert_eq!(people.refused("buyer", &[&["buy"][..], &CARD].concat()).await, "cart_empty");
    let purchases = people.done("buyer", &["purchases"]).await;
    assert_eq!(purchases["purchases"][0]["purchase_id"], bought["purchase_id"]);
    assert_eq!(people.done("buyer", &["feedback", item, "up"]).await["thumbs_up"], 1);
    let seller = shown["seller_id"].to_string();
    let rating = people.done("buyer", &["rating", &seller]).await;
    assert_eq!((&rating["thumbs_up"], &rating["items_sold"]), (&1.into(), &2.into()));
    // A later vote takes the place of the first one.
    let votes = people.done("buyer", &["feedback", item, "down"]).await;
    assert_eq!((&votes["thumbs_up"], &votes["thumbs_down"]), (&0.into(), &1.into()));
    let rating = people.done("buyer", &["rating", &seller]).await;
    assert_eq!((&rating["thumbs_up"], &rating["thumbs_down"]), (&0.into(), &1.into()));
    people.done("buyer", &["add", item]).await;
    people.done("buyer", &["clear"]).await;
    assert_eq!(people.done("buyer", &["cart"]).await["lines"], Value::Array(Vec::new()));
    buys_in_a_shell(people, item).await;
}

/// One unit, with a card that may be declined a few times: then nothing is left in the cart, and nothing more is bought.
async fn buys_in_a_shell(people: &People<'_>, item: &str) {
    let buy = shlex::try_join([&["buy"][..], &CARD].concat()).unwrap();
    let script = format!("search lamp\nadd {item}\n{}", format!("{buy}\n").repeat(SHELL_TRIES));
    let mut command = people.command("buyer", &["shell"]);
    let mut shell =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).await.unwrap();
    drop(stdin);
    let output = shell.wait_with_output().await.unwrap();
    let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let shown: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [found, cart, bought] = &shown[..] else { panic!("{told}{said}") };
    assert_eq!((&found["items"][0]["item_id"], &cart["total"]), (&item.into(), &"17.50".into()));
    let purchases = people.done("buyer", &["purchases"]).await;
    assert_eq!(purchases["purchases"][0]["purchase_id"], bought["purchase_id"]);
    assert_eq!(purchases["purchases"].as_array().unwrap().len(), 2);
    assert_eq!(output.status.code(), Some(1), "later it was refused: {said}");
}

/// Until the card is accepted.
async fn pay(people: &People<'_>) -> Value {
    for _ in 0..CARD_TRIES {
        let (code, json) = people.run("buyer", &[&["buy"][..], &CARD].concat()).await;
        if code == 0 {
            return json;
        }
        assert_eq!(json["error"]["code"], "payment_declined", "{json}");
    }
    panic!("declined {CARD_TRIES} times");
}

async fn outlives(cluster: &Cluster, people: &People<'_>, item: &str) {
    for n in [1, 3, 2] {
        cluster.kill(&format!("buyer-{n}")).await.unwrap();
        cluster.kill(&format!("seller-{n}")).await.unwrap();
        people.done("buyer", &["add", item]).await;
        people.done("seller", &["units", item, "1"]).await;
    }
    assert_eq!(people.done("buyer", &["cart"]).await["lines"][0]["quantity"], 3);
    pay(people).await;
    assert_eq!(people.done("buyer", &["item", item]).await["quantity"], 15 - 2 - 1 + 3 - 3);
}

async fn says_so(cluster: &Cluster, people: &People<'_>) {
    cluster.kill("buyer-4").await.unwrap();
    let (code, json) = people.run("buyer", &["cart", "--timeout", "1"]).await;
    assert_eq!((code, &json["error"]["code"]), (3, &"unavailable".into()));
}
