//! What the processes of a cluster use while they are measured: processor, memory, disk.

use std::collections::BTreeMap;
use std::time::Duration;

use agora_process::Role;
use serde::Serialize;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::bench::site::Site;

/// The load generator's own place in the table.
const GENERATOR: &str = "load generator";

/// What each process has used up to a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    processes: BTreeMap<u32, Used>,
    /// What all disks of the machine have written, if it tells. (What it tells of each process is what that made dirty in memory,
    /// which is many times more with large pages.)
    disk_bytes: Option<u64>,
}

#[derive(Clone, Debug)]
struct Used {
    part: String,
    cpu_ms: u64,
    memory_bytes: u64,
    log_syncs: u64,
}

/// What all processes of a kind used together between two moments; processes that ended in between are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Use {
    /// The role, or the load generator.
    pub part: String,
    pub processes: usize,
    /// Microseconds of processor time for each operation.
    pub cpu_us_per_op: f64,
    /// Resident memory in the end, of all of them.
    pub memory_bytes: u64,
    /// Waits of the log for the disk, for each operation.
    pub syncs_per_op: f64,
}

impl Snapshot {
    /// What the processes of a cluster on this machine, and this one, have used. Without them if they are not known.
    pub async fn take(site: &Site) -> anyhow::Result<Snapshot> {
        let mut known = vec![(std::process::id(), GENERATOR.to_owned(), 0)];
        for process in site.status().await?.into_iter().flat_map(|status| status.processes) {
            if let Some(pid) = process.pid {
                known.push((pid, part(process.role).to_owned(), process.log_syncs.unwrap_or(0)));
            }
        }
        Ok(tokio::task::spawn_blocking(move || Snapshot::of(known)).await?)
    }

    fn of(known: Vec<(u32, String, u64)>) -> Snapshot {
        let pids: Vec<Pid> = known.iter().map(|(pid, ..)| Pid::from_u32(*pid)).collect();
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        let mut system = System::new();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, what);
        let used = known.into_iter().filter_map(|(pid, part, log_syncs)| {
            let process = system.process(Pid::from_u32(pid))?;
            let used = Used {
                part,
                cpu_ms: process.accumulated_cpu_time(),
                memory_bytes: process.memory(),
                log_syncs,
            };
            Some((pid, used))
        });
        let stats = std::fs::read_to_string("/proc/diskstats").ok();
        Snapshot { processes: used.collect(), disk_bytes: stats.map(|stats| disk_bytes(&stats)) }
    }

    /// Bytes that the disks of the machine have written since an earlier moment, for each of so many operations; whoever wrote
    /// them.
    pub fn disk_bytes_since(&self, earlier: &Snapshot, ops: u64) -> Option<f64> {
        let written = self.disk_bytes?.checked_sub(earlier.disk_bytes?)?;
        (ops > 0).then(|| (written as f64 / ops as f64).round())
    }

    /// What was used since an earlier moment, for each of so many operations.
    pub fn since(&self, earlier: &Snapshot, ops: u64) -> Vec<Use> {
        let per_op =
            |amount: u64| if ops == 0 { 0.0 } else { (amount as f64 / ops as f64 * 100.0).round() / 100.0 };
        let mut parts: BTreeMap<&str, (usize, Used)> = BTreeMap::new();
        for (pid, now) in &self.processes {
            let Some(before) = earlier.processes.get(pid) else { continue };
            let (count, sum) = parts.entry(&now.part).or_insert_with(|| {
                (0, Used { part: now.part.clone(), cpu_ms: 0, memory_bytes: 0, log_syncs: 0 })
            });
            *count += 1;
            sum.cpu_ms += now.cpu_ms.saturating_sub(before.cpu_ms);
            sum.memory_bytes += now.memory_bytes;
            sum.log_syncs += now.log_syncs.saturating_sub(before.log_syncs);
        }
        let uses = parts.into_values().map(|(processes, used)| Use {
            part: used.part,
            processes,
            cpu_us_per_op: per_op(used.cpu_ms * 1000),
            memory_bytes: used.memory_bytes,
            syncs_per_op: per_op(used.log_syncs),
        });
        uses.collect()
    }
}

/// The processor time that this process has used so far.
pub(crate) fn own_processor_time() -> Duration {
    let me = Pid::from_u32(std::process::id());
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[me]), true, what);
    Duration::from_millis(system.process(me).map_or(0, sysinfo::Process::accumulated_cpu_time))
}

/// What whole disks have written, by what the kernel tells: name in the third column, sectors written in the tenth. Parts of
/// disks, and disks that are made of others, would count twice.
fn disk_bytes(stats: &str) -> u64 {
    const SECTOR_BYTES: u64 = 512;
    let mut sum = 0;
    for line in stats.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(name), Some(sectors)) = (fields.get(2), fields.get(9)) else { continue };
        let is_part = std::path::Path::new("/sys/class/block").join(name).join("partition").exists();
        let is_virtual = ["loop", "ram", "zram", "dm-", "md"].iter().any(|kind| name.starts_with(kind));
        if !is_part && !is_virtual {
            sum += sectors.parse().unwrap_or(0) * SECTOR_BYTES;
        }
    }
    sum
}

fn part(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer nodes",
        Role::Product => "product nodes",
        Role::Financial => "financial service",
        Role::Seller => "seller frontends",
        Role::Buyer => "buyer frontends",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_kind_are_added_up_and_those_that_came_or_went_left_out() {
        let used =
            |part: &str, cpu_ms, log_syncs| Used { part: part.into(), cpu_ms, memory_bytes: 10, log_syncs };
        let before = Snapshot {
            processes: [(1, used("a", 5, 7)), (2, used("a", 1, 0)), (3, used("b", 0, 0))].into(),
            disk_bytes: None,
        };
        let after = Snapshot {
            processes: [(1, used("a", 9, 8)), (2, used("a", 2, 0)), (4, used("b", 9, 9))].into(),
            disk_bytes: None,
        };
        let expected =
            Use { part: "a".into(), processes: 2, cpu_us_per_op: 500.0, memory_bytes: 20, syncs_per_op: 0.1 };
        assert_eq!(after.since(&before, 10), [expected]);
        assert_eq!(after.since(&before, 0)[0].cpu_us_per_op, 0.0);
    }

    #[test]
    fn sectors_of_whole_disks_are_counted() {
        let stats =
            " 254 0 disk-of-a-test 9 0 8 1 7 0 3 5 0 0 0\n   7 0 loop0 1 1 1 1 1 1 99 1 0 0 0\nnonsense\n";
        assert_eq!(disk_bytes(stats), 3 * 512);
        let at = |disk_bytes| Snapshot { processes: BTreeMap::new(), disk_bytes };
        assert_eq!(at(Some(5000)).disk_bytes_since(&at(Some(1000)), 10), Some(400.0));
        assert_eq!(at(None).disk_bytes_since(&at(Some(1000)), 10), None);
        assert_eq!(at(Some(5000)).disk_bytes_since(&at(Some(1000)), 0), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = Snapshot::of(vec![(std::process::id(), GENERATOR.into(), 0)]);
        assert!(me.processes.values().all(|used| used.memory_bytes > 0));
        let before = own_processor_time();
        while own_processor_time() <= before {}
        assert_eq!(me.processes.len(), 1);
    }
}
