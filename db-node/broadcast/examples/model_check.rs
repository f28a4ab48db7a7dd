//! Checks a group of three exhaustively, within bounds that one chooses.
//!
//! `cargo run --release -p agora-broadcast --example model_check -- --proposals 1 --crashes 1 --suspicions 1 --epochs 2`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/model/mod.rs"]
mod model;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use agora_broadcast::Rule;
use clap::Parser;
use model::{Bounds, Group, Whom};
use stateright::{Checker, HasDiscoveries, Model};

/// Goes through every order in which messages, disks, crashes, suspicions and competing epochs can come in a group of three.
///
/// Each bound says how often something happens at most that does not follow from something else. The number of states grows by a
/// factor of a hundred or so with each, and each state takes about 150 bytes: begin small. Ctrl-C ends it at any moment; nothing is left
/// behind.
#[derive(Parser)]
struct Arguments {
    /// Requests that are proposed.
    #[arg(long, default_value_t = 1)]
    proposals: u8,
    /// Reads that begin.
    #[arg(long, default_value_t = 0)]
    reads: u8,
    /// Crashes, each followed by a restart with what was durable.
    #[arg(long, default_value_t = 0)]
    crashes: u8,
    /// Times that some member takes another one for silent.
    #[arg(long, default_value_t = 0)]
    suspicions: u8,
    /// Epochs that are prepared, in competition or one after the other.
    #[arg(long, default_value_t = 0)]
    epochs: u8,
    /// Times that time passes at a member, so that whatever waits for that is due.
    #[arg(long, default_value_t = 0)]
    waits: u8,
    /// Who proposes.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(u8).range(0..3))]
    proposing: Vec<u8>,
    /// Who crashes.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(u8).range(0..3))]
    crashing: Vec<u8>,
    /// Who is suspected.
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", value_parser = clap::value_parser!(u8).range(0..3))]
    suspected: Vec<u8>,
    /// A safety rule that nobody keeps, as `rules.rs` calls it, to see how that fails.
    #[arg(long, value_parser = rule)]
    broken: Option<Rule>,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn rule(name: &str) -> Result<Rule, String> {
    let names = || Rule::ALL.map(|rule| format!("{rule:?}")).join(", ");
    let found = Rule::ALL.into_iter().find(|rule| format!("{rule:?}") == name);
    found.ok_or_else(|| format!("the rules are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { proposals, reads, crashes, suspicions, epochs, waits, broken, .. } = arguments;
    let bounds = Bounds { proposals, reads, crashes, suspicions, epochs, waits };
    let bits = |members: &[u8]| members.iter().fold(0, |bits, member| bits | 1 << member);
    let whom = Whom {
        proposing: bits(&arguments.proposing),
        crashing: bits(&arguments.crashing),
        suspected: bits(&arguments.suspected),
    };
    let group = Group::new(bounds, whom, broken);
    let checker =
        group.checker().threads(arguments.threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let start = Instant::now();
    let mut told = start;
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(20));
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!(
                "{} different states so far, up to {} steps",
                checker.unique_state_count(),
                checker.max_depth()
            );
        }
    }
    let checker = checker.join();
    println!(
        "{bounds:?}, {whom:?}: {} different states, {} steps between them, up to {} in a row, in {:.0?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed()
    );
    let stories = model::counterexamples(&checker);
    stories.iter().for_each(|story| println!("{story}"));
    let discoveries = checker.discoveries();
    let unreached: Vec<_> = checker
        .model()
        .properties()
        .into_iter()
        .filter(|property| {
            !property.expectation.discovery_is_failure() && !discoveries.contains_key(property.name)
        })
        .map(|property| property.name)
        .collect();
    if stories.is_empty() {
        println!("no invariant is hurt");
        unreached.iter().for_each(|name| println!("not reached within these bounds: {name}"));
    }
    if stories.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
