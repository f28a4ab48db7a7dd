//! `bench overload`: what is still done when more is asked for than can be done, how soon the rest is told, and whether that is
//! what was promised.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::bench::load::{Op, prepare_rest};
use crate::bench::overload::{Callers, Curve, Requests, capacity, step};
use crate::bench::site::Site;
use crate::cli::{interrupted, listen, out};

/// The exit status when the promises could not be judged.
const NOT_JUDGED: u8 = 2;
/// Sessions that the calls belong to.
const SESSIONS: usize = 64;

#[derive(Debug, Args)]
pub struct OverloadArgs {
    /// Which calls are made, at the buyer frontends.
    #[arg(long, default_value = "mixed")]
    op: Op,
    /// How many seconds are measured at each rate.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// The rates, as multiples of the capacity.
    #[arg(long, value_name = "X", value_delimiter = ',', default_values_t = [0.5, 0.8, 1.0, 1.5, 2.0, 3.0], value_parser = multiple)]
    multiples: Vec<f64>,
    /// The capacity in calls a second [default: measured first, with clients that wait for their answers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// Measure the cluster that runs on this data directory [default: one of its own, on free ports]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder into which a report is written: Markdown, a chart, JSON [default: none]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Also write the result as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn multiple(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.01..=100.0).contains(number));
    number.ok_or_else(|| "a multiple is a number from 0.01 to 100".to_owned())
}

/// Fails, after it has told all, when a promise is not kept, or not judged.
pub async fn overload(args: OverloadArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    let stop = &shutdown.stop;
    let site = match &args.data {
        None => Site::start(&shutdown).await,
        Some(data) => Site::running_on(data).await,
    };
    let curve = match site {
        Ok(site) => {
            let curve = stop.run_until_cancelled(measure(&args, &site, stop)).await;
            site.stop().await;
            curve
        }
        Err(error) => Some(Err(error)),
    };
    let Some(curve) = curve.filter(|_| !stop.is_cancelled()) else {
        return Ok(interrupted());
    };
    let curve = curve?;
    match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(&curve.text()),
        _ => out::line(&curve.text()),
    }
    if let Some(path) = &args.json {
        super::write_json(path, &curve)?;
    }
    if let Some(folder) = &args.report {
        curve.write(folder)?;
        out::note(&format!("the report is in {}", folder.join("overload.md").display()));
    }
    Ok(match curve.is_kept() {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(NOT_JUDGED),
    })
}

async fn measure(args: &OverloadArgs, site: &Site, stop: &CancellationToken) -> anyhow::Result<Curve> {
    let addresses: Vec<_> = site.file.buyer.iter().map(|frontend| frontend.address).collect();
    let clients = prepare_rest(&site.endpoints(), SESSIONS).await.context("the clients can't be prepared")?;
    let requests = Requests::new(&clients, args.op)?.into();
    let callers = Callers::start(&addresses)?;
    let length = Duration::from_secs(args.seconds);
    let capacity_per_s = match args.capacity {
        Some(given) => given.into(),
        None => capacity(&callers, &requests, length, stop).await?,
    };
    if capacity_per_s < 1.0 {
        bail!("not a single call was done while the capacity was measured");
    }
    let mut steps = Vec::with_capacity(args.multiples.len());
    for multiple in &args.multiples {
        let step = step(&callers, &requests, multiple * capacity_per_s, length, stop).await?;
        out::note(&format!("{multiple} × {capacity_per_s:.0} /s: {:.0} /s done", step.goodput_per_s));
        steps.push((*multiple, step));
    }
    Ok(Curve::new(args.op, args.seconds, capacity_per_s, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_checked() {
        assert_eq!(multiple("1.5"), Ok(1.5));
        for wrong in ["0", "-1", "x", "NaN", "inf", "101", ""] {
            assert!(multiple(wrong).is_err(), "{wrong}");
        }
    }
}
