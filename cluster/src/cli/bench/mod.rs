//! `bench`: measures a cluster.

mod compare;
mod failover;
mod load;
mod overload;
mod scenarios;
mod soak;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use crate::cli::out;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Calls of one kind, as many as will go or at a fixed rate: throughput, response times, longest gap.
    Load(load::LoadArgs),
    /// Calls at fixed rates below and above the capacity: what is still done, and how soon the rest is told to come back.
    Overload(overload::OverloadArgs),
    /// Every call of sellers and buyers, timed, while processes die or messages are lost; a report with charts. Fails when a
    /// client saw an error.
    Scenarios(scenarios::ScenariosArgs),
    /// Two reports of `scenarios` side by side: ratios, how sure they are, and a verdict for each.
    Compare(compare::CompareArgs),
    /// How long nothing succeeds when the member that matters dies: kill -9 of the customer node whose turn it is, or of the
    /// product leader.
    Failover(failover::FailoverArgs),
    /// Full load on the customer database while one of its nodes is down: memory and disk over time, and how it catches up. Fails
    /// when they are not bounded, when it does not, or when replicas differ.
    Soak(soak::SoakArgs),
}

pub async fn bench(command: BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Load(args) => load::load(args).await,
        BenchCommand::Overload(args) => overload::overload(args).await,
        BenchCommand::Scenarios(args) => scenarios::scenarios(args).await,
        BenchCommand::Compare(args) => compare::run(args),
        BenchCommand::Failover(args) => failover::failover(args).await,
        BenchCommand::Soak(args) => soak::soak(args).await,
    }
}

/// Writes a result as JSON into a file, or on standard output if that is called `-`.
fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    if path == Path::new("-") {
        out::line(&text);
        return Ok(());
    }
    std::fs::write(path, text + "\n").with_context(|| format!("can't write {}", path.display()))
}
