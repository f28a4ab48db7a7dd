//! `bench overload`: what is still done when more is asked for than can be done.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::shutdown_signal;
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::bench::load::{Op, prepare_rest};
use crate::bench::overload::{Frontends, Requests, Step, capacity, step};
use crate::bench::site::Site;
use crate::cli::out;

const INTERRUPTED: u8 = 130;
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
    /// Also write the result as JSON into this file (- for standard output).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn multiple(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.01..=100.0).contains(number));
    number.ok_or_else(|| "a multiple is a number from 0.01 to 100".to_owned())
}

/// The whole curve.
#[derive(Debug, Serialize)]
struct Curve {
    op: &'static str,
    seconds: u64,
    capacity_per_s: f64,
    steps: Vec<AtMultiple>,
}

#[derive(Debug, Serialize)]
struct AtMultiple {
    multiple: f64,
    #[serde(flatten)]
    step: Step,
    /// Of the highest goodput of all steps.
    share_of_peak: f64,
}

pub async fn overload(args: OverloadArgs) -> anyhow::Result<ExitCode> {
    let stop = shutdown_signal().context("can't listen for signals")?;
    let site = match &args.data {
        None => Site::start(&stop).await,
        Some(data) => Site::running_on(data).await,
    };
    let curve = match site {
        Ok(site) => {
            let curve = stop.run_until_cancelled(measure(&args, &site, &stop)).await;
            site.stop().await;
            curve
        }
        Err(error) => Some(Err(error)),
    };
    let Some(curve) = curve.filter(|_| !stop.is_cancelled()) else {
        out::note("interrupted; everything is stopped again");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let curve = curve?;
    match &args.json {
        Some(path) if path.as_os_str() == "-" => out::note(&curve.text()),
        _ => out::line(&curve.text()),
    }
    if let Some(path) = &args.json {
        super::write_json(path, &curve)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &OverloadArgs, site: &Site, stop: &CancellationToken) -> anyhow::Result<Curve> {
    let addresses: Vec<_> = site.file.buyer.iter().map(|frontend| frontend.address).collect();
    let clients = prepare_rest(&site.endpoints(), SESSIONS).await.context("the clients can't be prepared")?;
    let requests = Requests::new(&clients, args.op)?.into();
    let frontends = Frontends::new(addresses)?;
    let length = Duration::from_secs(args.seconds);
    let capacity_per_s = match args.capacity {
        Some(given) => given.into(),
        None => capacity(&frontends, &requests, length, stop).await,
    };
    if capacity_per_s < 1.0 {
        bail!("not a single call was done while the capacity was measured");
    }
    let mut steps = Vec::with_capacity(args.multiples.len());
    for multiple in &args.multiples {
        let step = step(&frontends, &requests, multiple * capacity_per_s, length, stop).await?;
        out::note(&format!("{multiple} × {capacity_per_s:.0} /s: {:.0} /s done", step.goodput_per_s));
        steps.push((*multiple, step));
    }
    Ok(Curve::new(args, capacity_per_s, steps))
}

impl Curve {
    fn new(args: &OverloadArgs, capacity_per_s: f64, steps: Vec<(f64, Step)>) -> Self {
        let peak = steps.iter().map(|(_, step)| step.goodput_per_s).fold(f64::MIN_POSITIVE, f64::max);
        let steps = steps.into_iter().map(|(multiple, step)| AtMultiple {
            multiple,
            share_of_peak: (step.goodput_per_s / peak * 1000.0).round() / 1000.0,
            step,
        });
        Curve { op: args.op.as_str(), seconds: args.seconds, capacity_per_s, steps: steps.collect() }
    }

    /// For people.
    fn text(&self) -> String {
        let mut table = out::table();
        table.set_header([
            "load",
            "calls/s",
            "done/s",
            "of peak",
            "p50",
            "p99",
            "refused/s",
            "told p50",
            "told p99",
            "late",
            "failed",
        ]);
        let ms = |us: u64| if us == 0 { "-".to_owned() } else { format!("{:.1} ms", us as f64 / 1000.0) };
        for AtMultiple { multiple, step, share_of_peak } in &self.steps {
            table.add_row([
                format!("{multiple} ×"),
                format!("{:.0}", step.offered_per_s),
                format!("{:.0}", step.goodput_per_s),
                format!("{:.0} %", share_of_peak * 100.0),
                ms(step.p50_us),
                ms(step.p99_us),
                format!("{:.0}", step.refused_per_s),
                ms(step.refused_p50_us),
                ms(step.refused_p99_us),
                step.late.to_string(),
                step.failed.to_string(),
            ]);
        }
        format!(
            "{} at the buyer frontends, {} s at each rate; capacity {:.0} /s. Done: within 1 s of when the call was due.\n{table}",
            self.op, self.seconds, self.capacity_per_s
        )
    }
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
