//! What each customer node has in memory and on disk at a moment.

use std::time::Duration;

use agora_process::Role;
use serde::Serialize;

use crate::cluster::Cluster;
use crate::prober::Checksums;
use crate::status::ProcessStatus;

/// What the node that is down for long does at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Down,
    CatchingUp,
    Back,
}

/// A moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub phase: Phase,
    /// Seconds since the load began.
    pub at_s: f64,
    /// Writes acknowledged until then.
    pub writes: u64,
    pub nodes: Vec<Usage>,
}

/// What one node has; nothing is known of one that is down.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Usage {
    pub node: String,
    /// Resident memory; not known where there is no /proc.
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
    /// Slots in the log.
    pub log_slots: Option<u64>,
    /// The last slot that is part of its state.
    pub applied: Option<u64>,
}

impl Sample {
    pub async fn take(cluster: &Cluster, phase: Phase, since_start: Duration, writes: u64) -> Sample {
        let status = cluster.status(Checksums::Skip).await;
        let customers = status.processes.iter().filter(|process| process.role == Role::Customer);
        Sample { phase, at_s: since_start.as_secs_f64(), writes, nodes: customers.map(usage).collect() }
    }

    /// What this node has.
    pub fn of(&self, node: &str) -> Option<&Usage> {
        self.nodes.iter().find(|usage| usage.node == node)
    }

    /// The most of all nodes.
    pub fn most(&self, of: impl Fn(&Usage) -> Option<u64>) -> u64 {
        self.nodes.iter().filter_map(of).max().unwrap_or(0)
    }
}

fn usage(process: &ProcessStatus) -> Usage {
    let log_slots = process.last.zip(process.first).map(|(last, first)| (last + 1).saturating_sub(first));
    Usage {
        node: process.name.clone(),
        memory_bytes: process.pid.and_then(memory),
        disk_bytes: process.disk_bytes,
        log_slots,
        applied: process.applied,
    }
}

fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    resident(&status)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_what_the_kernel_tells() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n"), Some(2 << 20));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
        assert!(memory(std::process::id()).is_none_or(|bytes| bytes > 100_000));
    }
}
