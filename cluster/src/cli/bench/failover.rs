//! `bench failover`: kill -9 of the member that matters, again and again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::bench::failover::{Group, run};
use crate::cli::{interrupted, listen, out};

#[derive(Debug, Args)]
pub struct FailoverArgs {
    /// Whose members die: the customer node whose turn it is, or the product group's leader.
    #[arg(long)]
    target: Group,
    /// How many die, one after the other.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// Clients that write all the time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Also write the result as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub async fn failover(args: FailoverArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    // With the JSON on standard output, what people read goes elsewhere.
    let say = |text: &str| match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(text),
        _ => out::line(text),
    };
    let (kills, clients) = (args.kills as usize, args.clients as usize);
    let report = run(args.target, kills, clients, &shutdown, |kill| say(&kill.to_string())).await;
    if shutdown.stop.is_cancelled() {
        return Ok(interrupted());
    }
    let report = report?;
    say(&report.text());
    if let Some(path) = &args.json {
        super::write_json(path, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}
