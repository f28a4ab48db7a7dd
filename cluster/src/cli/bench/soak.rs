//! `bench soak`: full load while a customer node is down for a long time.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::Log;
use clap::Args;

use crate::bench::soak::{Plan, rate_that_fits, run};
use crate::cli::{interrupted, listen, out};

#[derive(Debug, Args)]
pub struct SoakArgs {
    /// The customer node that is down; afterwards it is started again, and has to catch up while load goes on.
    #[arg(long, value_name = "NAME", default_value = "customer-3")]
    down: String,
    /// For how long it is down.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10m")]
    time: Duration,
    /// Clients that write as fast as they are answered.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// No more writes a second than these [default: what fits into the answers that databases remember for a day, which
    /// bounds only runs of ten minutes and more]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// How often memory and disk are looked at.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    every: Duration,
    /// Within this time after its start it has to be up to date, take turns and answer calls.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    back_within: Duration,
    /// Slots of log that nodes keep for the one that is down [default: as any cluster]
    #[arg(long, value_name = "SLOTS", value_parser = clap::value_parser!(u64).range(1..))]
    keep_log: Option<u64>,
    /// Also write the result as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Fails, after it has told all, when something was not as promised.
pub async fn soak(args: SoakArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    let say = |text: &str| match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(text),
        _ => out::line(text),
    };
    let log = Log::default();
    let plan = Plan {
        down: args.down.clone(),
        time: args.time,
        clients: args.clients as usize,
        rate: args.rate.unwrap_or_else(|| rate_that_fits(args.time)),
        every: args.every.max(Duration::from_millis(100)),
        back_within: args.back_within,
        keep_log_slots: args.keep_log.unwrap_or(log.keep_slots),
        keep_log_bytes: (log.keep_mebibytes as u64) << 20,
    };
    let report = run(&plan, &shutdown, |sample| say(&sample.to_string())).await;
    if shutdown.stop.is_cancelled() {
        return Ok(interrupted());
    }
    let report = report?;
    say(&report.text());
    if let Some(path) = &args.json {
        super::write_json(path, &report)?;
    }
    Ok(if report.verdict.kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
