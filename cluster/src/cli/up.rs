//! `up`: starts a cluster and stays until told to stop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::ClusterFile;
use clap::Args;
use serde::Serialize;
use tokio::sync::watch;

use crate::cli::{INTERRUPTED, interrupted, listen, out};
use crate::cluster::Cluster;
use crate::control;
use crate::endpoints::Endpoints;
use crate::error::ClusterError;
use crate::options::{READY_WITHIN, StartOptions};
use crate::plan::{HIGHEST_BASE, STANDARD_BASE, standard};
use crate::prober::Checksums;
use crate::process::{Life, Wanted};
use crate::status::Condition;

/// Processes on other machines are started by other people, who may take their time.
const READY_WITHIN_WITH_OTHERS: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub struct UpArgs {
    /// A cluster file, instead of the standard cluster on this machine. Of its processes those are started whose
    /// addresses belong to this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "base_port")]
    config: Option<PathBuf>,
    /// Shifts all ports of the standard cluster. At 7000: customer nodes 7101.., product nodes 7201.., financial service
    /// 8000, seller frontends 8101.., buyer frontends 8201...
    #[arg(long, value_name = "PORT", default_value_t = STANDARD_BASE, value_parser = clap::value_parser!(u16).range(1..=HIGHEST_BASE.into()))]
    base_port: u16,
    /// Where everything is kept: the databases, the logs, the cluster file in use. The same directory again: the cluster
    /// goes on where it stopped. [default: data, or what the cluster file says]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long everything may take to get ready, as in `90s` [default: 30s; 10m when processes run elsewhere, too]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ready_within: Option<Duration>,
    /// Print one line of JSON when ready, instead of text.
    #[arg(long)]
    json: bool,
}

pub async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let shutdown = listen()?;
    let stop = &shutdown.stop;
    let mut options = StartOptions::from_file(cluster_file(&args)?);
    let elsewhere = options.file.processes().any(|(_, _, address)| !crate::plan::is_local(address));
    let patience = if elsewhere { READY_WITHIN_WITH_OTHERS } else { READY_WITHIN };
    options.ready_within = args.ready_within.unwrap_or(patience);
    options.shutdown = shutdown.clone();
    let started = std::time::Instant::now();
    let cluster = match Cluster::start(options).await {
        Ok(cluster) => cluster,
        Err(ClusterError::Interrupted) => return Ok(interrupted()),
        Err(error) => return Err(error.into()),
    };
    let served = async {
        control::serve(cluster.clone(), stop.clone())?;
        report_deaths(&cluster);
        announce(&cluster, started.elapsed(), args.json).await?;
        stop.cancelled().await;
        anyhow::Ok(())
    };
    let served = served.await;
    if !args.json {
        out::line("stopping");
    }
    let killed = cluster.stop().await;
    if !killed.is_empty() {
        out::note(&format!("had to be killed: {}", killed.join(", ")));
    }
    served?;
    Ok(if shutdown.hurry.is_cancelled() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn cluster_file(args: &UpArgs) -> anyhow::Result<ClusterFile> {
    let mut file = match &args.config {
        Some(path) => ClusterFile::read(path)?,
        None => standard(args.base_port, PathBuf::from("data"))?,
    };
    if let Some(data) = &args.data {
        file.data.clone_from(data);
    }
    Ok(file)
}

/// What `up --json` prints when the cluster is ready.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    buyer: Vec<String>,
    seller: Vec<String>,
    customer_db: Vec<String>,
    product_db: Vec<String>,
    financial: String,
    processes: Vec<Started>,
}

#[derive(Debug, Serialize)]
struct Started {
    name: String,
    role: String,
    pid: u32,
}

async fn announce(cluster: &Cluster, took: Duration, json: bool) -> anyhow::Result<()> {
    let status = cluster.status(Checksums::Skip).await;
    let Endpoints { buyer, seller, customer_db, product_db, financial } = cluster.endpoints();
    if json {
        let started = |process: &crate::ProcessStatus| {
            Some(Started { name: process.name.clone(), role: process.role.to_string(), pid: process.pid? })
        };
        let processes = status.processes.iter().filter_map(started).collect();
        let ready = Ready { ready: true, buyer, seller, customer_db, product_db, financial, processes };
        out::line(&serde_json::to_string(&ready)?);
        return Ok(());
    }
    let here = status.processes.iter().filter(|process| process.condition != Condition::Elsewhere).count();
    out::line(&format!("{here} processes are ready, after {:.1} s.\n", took.as_secs_f64()));
    for (what, at) in [
        ("buyers", buyer.join(" ")),
        ("sellers", seller.join(" ")),
        ("customer database", customer_db.join(" ")),
        ("product database", product_db.join(" ")),
        ("financial service", financial),
        ("data and logs", cluster.file().data.display().to_string()),
    ] {
        out::line(&format!("  {what:<18} {at}"));
    }
    let elsewhere: Vec<_> = status
        .processes
        .iter()
        .filter(|p| p.condition == Condition::Elsewhere)
        .map(|p| p.name.as_str())
        .collect();
    if !elsewhere.is_empty() {
        out::line(&format!("  {:<18} {}", "on other machines", elsewhere.join(" ")));
    }
    out::line(
        "\nCtrl-C stops everything. From another terminal: status, kill, pause, resume, restart, replace-node,\nadd-node, remove-node.",
    );
    Ok(())
}

/// Says so when a process ends that nobody told to.
fn report_deaths(cluster: &Cluster) {
    let cluster = cluster.clone();
    tokio::spawn(async move {
        let mut watched = BTreeSet::new();
        let mut changes = cluster.changes();
        loop {
            let names: BTreeSet<String> = cluster.names().into_iter().collect();
            for name in names.difference(&watched) {
                if let Ok(life) = cluster.watch(name) {
                    tokio::spawn(report_death(
                        name.clone(),
                        life,
                        cluster.logs().join(format!("{name}.log")),
                    ));
                }
            }
            watched = names;
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn report_death(name: String, mut life: watch::Receiver<Life>, log: PathBuf) {
    while life.changed().await.is_ok() {
        if let Life::Down { how, wanted: Wanted::No } = &*life.borrow_and_update() {
            out::note(&format!("{name} ended by itself ({how}); its log is {}", log.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_has_the_documented_shape() {
        let ready = Ready {
            ready: true,
            buyer: vec!["http://127.0.0.1:8201".into()],
            seller: vec!["http://127.0.0.1:8101".into()],
            customer_db: vec!["127.0.0.1:7101".into()],
            product_db: vec!["127.0.0.1:7201".into()],
            financial: "http://127.0.0.1:8000".into(),
            processes: vec![Started { name: "buyer-1".into(), role: "buyer".into(), pid: 7 }],
        };
        assert_eq!(
            serde_json::to_value(ready).unwrap(),
            serde_json::json!({
                "ready": true, "buyer": ["http://127.0.0.1:8201"], "seller": ["http://127.0.0.1:8101"],
                "customer_db": ["127.0.0.1:7101"], "product_db": ["127.0.0.1:7201"],
                "financial": "http://127.0.0.1:8000",
                "processes": [{"name": "buyer-1", "role": "buyer", "pid": 7}]
            })
        );
    }
}
