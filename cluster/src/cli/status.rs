//! `status`: a table of the running cluster's processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agora_process::Role;
use anyhow::bail;
use clap::Args;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::{DataArgs, out};
use crate::control::{Request, Response, call};
use crate::status::{ClusterStatus, Condition, ProcessStatus};
use crate::verify::{Verdict, compare};

/// Replicas that are on the move may take this long to be at the same position when they are asked.
const COMPARE_WITHIN: Duration = Duration::from_secs(10);
const COMPARE_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON; with --verify, what it says of each database under `replicas`.
    #[arg(long)]
    json: bool,
    /// Also compare the replicas of each database by the checksums of their states; exit code 1 if they differ.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let data = &args.data.data;
    let (status, verdicts) =
        if args.verify { compared(data).await? } else { (fetch(data, false).await?, Vec::new()) };
    if args.json {
        out::line(&serde_json::to_string(&Told::new(&status, &verdicts))?);
    } else {
        out::line(&table(&status).to_string());
        groups(&status).iter().for_each(|line| out::line(line));
    }
    let mut code = ExitCode::SUCCESS;
    for (role, verdict) in verdicts {
        if !matches!(verdict, Verdict::Agree { .. }) {
            code = ExitCode::FAILURE;
        }
        if !args.json {
            out::line(&format!("{role} replicas: {}", describe(&verdict)));
        }
    }
    Ok(code)
}

/// As JSON: the status, and what comparing the replicas showed, if they were compared.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    status: &'a ClusterStatus,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    replicas: BTreeMap<String, &'a Verdict>,
}

impl<'a> Told<'a> {
    fn new(status: &'a ClusterStatus, verdicts: &'a [(Role, Verdict)]) -> Self {
        let replicas = verdicts.iter().map(|(role, verdict)| (role.to_string(), verdict)).collect();
        Told { status, replicas }
    }
}

async fn fetch(data: &Path, checksums: bool) -> anyhow::Result<ClusterStatus> {
    match call(data, &Request::Status { checksums }).await? {
        Response::Status(status) => Ok(status),
        other => bail!("the launcher answers something else: {other:?}"),
    }
}

/// Asks until the nodes of each database are found at the same position.
async fn compared(data: &Path) -> anyhow::Result<(ClusterStatus, Vec<(Role, Verdict)>)> {
    let deadline = Instant::now() + COMPARE_WITHIN;
    loop {
        let status = fetch(data, true).await?;
        let verdicts = [Role::Customer, Role::Product].map(|role| (role, compare(&status, role)));
        let moving = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Moving);
        if !moving || Instant::now() >= deadline {
            return Ok((status, verdicts.to_vec()));
        }
        tokio::time::sleep(COMPARE_EVERY).await;
    }
}

pub(crate) fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Agree { nodes, silent, applied, checksum } if silent.is_empty() => {
            format!("all {nodes} hold the same at {applied} (checksum {checksum})")
        }
        Verdict::Agree { nodes, silent, applied, checksum } => format!(
            "{nodes} of {} compared, which hold the same at {applied} (checksum {checksum}); {} did not answer",
            nodes + silent.len(),
            silent.join(", "),
        ),
        Verdict::Moving => "still on the move, not compared".into(),
        Verdict::Differ { detail } => format!("DIFFER: {detail}"),
        Verdict::Silent => "no node told its checksum".into(),
    }
}

fn table(status: &ClusterStatus) -> Table {
    let mut table = out::table();
    table.set_header([
        "process",
        "role",
        "state",
        "pid",
        "address",
        "in its group",
        "term/epoch",
        "applied",
        "disk",
    ]);
    for process in &status.processes {
        table.add_row(row(process));
    }
    for column in [3, 6, 7, 8] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(process: &ProcessStatus) -> [String; 9] {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    [
        process.name.clone(),
        process.role.to_string(),
        state(process),
        process.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        process.address.to_string(),
        part(process),
        number(process.term.or(process.epoch)),
        number(process.applied),
        process.disk_bytes.map(out::bytes).unwrap_or_default(),
    ]
}

/// A line on each database group, as those of its nodes see it that are the furthest.
fn groups(status: &ClusterStatus) -> Vec<String> {
    let latest = |role| {
        let nodes = status.processes.iter().filter(|process| process.role == role);
        nodes.filter(|node| node.term.or(node.epoch).is_some()).max_by_key(|node| node.epoch_or_term())
    };
    let customer = latest(Role::Customer).map(|node| {
        let begun_by = node.epoch_coordinator.as_deref().unwrap_or("nobody");
        // Whoever is in the epoch can say why, but for those that have restarted since.
        let reason = status
            .processes
            .iter()
            .filter(|other| other.epoch == node.epoch && other.epoch_coordinator == node.epoch_coordinator)
            .find_map(|other| other.epoch_reason.as_deref());
        let because = reason.map(|reason| format!(", because {reason}")).unwrap_or_default();
        let turns = node.roster.as_deref().unwrap_or_default().join(", ");
        format!(
            "customer group: epoch {}, begun by {begun_by}{because}; turns: {turns}",
            node.epoch_or_term()
        )
    });
    let product = latest(Role::Product).map(|node| {
        let leader = node.leader.as_deref().unwrap_or("nobody");
        format!("product group: term {}, led by {leader}", node.epoch_or_term())
    });
    customer.into_iter().chain(product).collect()
}

fn state(process: &ProcessStatus) -> String {
    match (&process.not_ready_because, process.condition) {
        (_, Condition::Up | Condition::Elsewhere) if process.ready => process.condition.to_string(),
        (Some(why), Condition::Up | Condition::Elsewhere | Condition::Dead) => {
            format!("{}, {why}", process.condition)
        }
        (_, condition) => condition.to_string(),
    }
}

fn part(process: &ProcessStatus) -> String {
    if let Some(why) = &process.outside_because {
        return format!("takes no turns: {why}");
    }
    if let Some(roster) = &process.roster {
        let next = process.next_owner.as_deref().unwrap_or("nobody");
        let turns = match roster.len() {
            _ if !roster.contains(&process.name) => "takes no turns".to_owned(),
            members => format!("one of {members} that take turns"),
        };
        return if next == process.name { format!("{turns}, next") } else { turns };
    }
    let leader =
        || process.leader.as_ref().map_or("no leader".to_owned(), |leader| format!("leader is {leader}"));
    match process.raft_role.as_deref() {
        Some("leader") => "LEADER".into(),
        Some(role) => format!("{role}, {}", leader()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_customer_groups_epoch_is_told_with_its_reason_and_who_takes_no_turns_with_theirs() {
        let address = ([127, 0, 0, 1], 7101).into();
        let node = |name: &str| {
            let mut node = ProcessStatus::new(name, Role::Customer, address);
            node.set_condition(Condition::Up);
            (node.ready, node.epoch, node.epoch_coordinator) = (true, Some(7), Some("customer-2".into()));
            node.roster = Some(vec!["customer-1".into(), "customer-2".into()]);
            node
        };
        let (one, mut two, mut three) = (node("customer-1"), node("customer-2"), node("customer-3"));
        two.epoch_reason = Some("customer-3 is silent".into());
        (three.epoch, three.outside_because) = (Some(6), Some("it catches up".into()));
        let status =
            ClusterStatus { cluster: "x".into(), data: "d".into(), processes: vec![one, two, three] };
        let told = "customer group: epoch 7, begun by customer-2, because customer-3 is silent; turns: customer-1, customer-2";
        assert_eq!(groups(&status), [told]);
        assert!(table(&status).to_string().contains("takes no turns: it catches up"));
    }

    #[test]
    fn json_has_the_verdict_on_each_database_if_they_were_compared() {
        let status = ClusterStatus { cluster: "x".into(), data: "d".into(), processes: Vec::new() };
        let json = |verdicts: &[(Role, Verdict)]| serde_json::to_value(Told::new(&status, verdicts)).unwrap();
        assert!(json(&[]).get("replicas").is_none());
        let agree = Verdict::Agree { nodes: 5, silent: Vec::new(), applied: 9, checksum: "c".into() };
        let told = json(&[(Role::Customer, agree), (Role::Product, Verdict::Silent)]);
        assert_eq!(told["cluster"], "x");
        assert_eq!(told["replicas"]["customer"]["verdict"], "agree");
        assert_eq!(told["replicas"]["customer"]["applied"], 9);
        assert_eq!(told["replicas"]["product"]["verdict"], "silent");
    }

    #[test]
    fn replicas_that_did_not_answer_are_named() {
        let silent = vec!["customer-4".to_owned()];
        let verdict = Verdict::Agree { nodes: 4, silent, applied: 9, checksum: "x".into() };
        assert!(describe(&verdict).starts_with("4 of 5 compared"));
        assert!(describe(&verdict).ends_with("customer-4 did not answer"));
    }

    #[test]
    fn the_table_tells_who_leads_and_who_is_dead() {
        let address = ([127, 0, 0, 1], 7201).into();
        let mut leader = ProcessStatus::new("product-1", Role::Product, address);
        leader.set_condition(Condition::Up);
        leader.ready = true;
        leader.raft_role = Some("leader".into());
        leader.term = Some(3);
        let mut dead = ProcessStatus::new("product-2", Role::Product, address);
        dead.not_ready_because = Some("ended: SIGKILL".into());
        let processes = vec![leader, dead];
        let status = ClusterStatus { cluster: "x".into(), data: "d".into(), processes };
        let text = table(&status).to_string();
        assert!(text.contains("LEADER") && text.contains("dead, ended: SIGKILL"), "{text}");
    }
}
