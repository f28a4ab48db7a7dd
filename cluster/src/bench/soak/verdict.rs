//! What is promised of a cluster that has a node down for long, and whether a run has kept it.

use std::time::Duration;

use serde::Serialize;

use super::{Found, Plan, Sample};
use crate::cli::out;

/// The log is cut when the state was made durable, which happens every two seconds and may take its time.
const LOG_CUT_WITHIN_S: f64 = 5.0;
/// What a node takes without data, and by how much files grow at a time.
const DISK_BYTES_ANYWAY: u64 = 64 << 20;
const MEMORY_BYTES_ANYWAY: u64 = 256 << 20;
/// Of each write it is remembered for a day what was answered.
const DISK_BYTES_PER_WRITE: u64 = 512;
const MEMORY_BYTES_PER_WRITE: u64 = 1024;

/// Whether all was kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub kept: bool,
    pub promises: Vec<Promise>,
}

/// One promise, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Promise {
    pub promise: String,
    pub found: String,
    pub kept: bool,
}

impl Verdict {
    pub fn of(plan: &Plan, found: &Found, errors: u64) -> Self {
        let mut promises = vec![came_back(plan, found), equal(found), answered(errors), alive(found)];
        // What is kept for a node that is being sent a state is no matter of this: all of it is while the node is down.
        let while_down = found.samples.split_last().map_or(&[][..], |(_, before)| before);
        promises.push(log_is_cut(plan, while_down));
        let bytes = |what, of: fn(&super::sample::Usage) -> Option<u64>, anyway, per_write| {
            let allowed = |sample: &Sample| anyway + per_write * sample.writes;
            let worst =
                while_down.iter().max_by_key(|sample| sample.most(of).saturating_sub(allowed(sample)));
            let (most, allowed) = worst.map_or((0, anyway), |worst| (worst.most(of), allowed(worst)));
            Promise {
                promise: format!(
                    "a node takes at most {} of {what}, and {per_write} bytes for each write",
                    out::bytes(anyway)
                ),
                found: format!("{} where {} are allowed", out::bytes(most), out::bytes(allowed)),
                kept: most <= allowed,
            }
        };
        let log_bytes = 2 * plan.keep_log_bytes;
        promises.push(bytes(
            "disk",
            |node| node.disk_bytes,
            DISK_BYTES_ANYWAY + log_bytes,
            DISK_BYTES_PER_WRITE,
        ));
        promises.push(bytes(
            "memory",
            |node| node.memory_bytes,
            MEMORY_BYTES_ANYWAY + log_bytes,
            MEMORY_BYTES_PER_WRITE,
        ));
        Verdict { kept: promises.iter().all(|promise| promise.kept), promises }
    }

    /// For people.
    pub fn text(&self) -> String {
        let line = |promise: &Promise| {
            let mark = if promise.kept { "kept" } else { "not kept" };
            format!("{mark}: {}: {}", promise.promise, promise.found)
        };
        self.promises.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn came_back(plan: &Plan, found: &Found) -> Promise {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    Promise {
        promise: format!(
            "while load goes on, {} is up to date, takes turns and answers calls within {}",
            plan.down,
            seconds(plan.back_within)
        ),
        found: match found.back_after {
            Some(after) => format!("after {}", seconds(after)),
            None => "not in that time".into(),
        },
        kept: found.back_after.is_some_and(|after| after <= plan.back_within),
    }
}

fn equal(found: &Found) -> Promise {
    let (told, kept) = match &found.replicas {
        Ok(count) => (format!("{count} of {} do", found.nodes), *count == found.nodes),
        Err(why) => (why.clone(), false),
    };
    Promise { promise: "in the end all replicas hold the same".into(), found: told, kept }
}

fn answered(errors: u64) -> Promise {
    Promise {
        promise: "all calls are answered".into(),
        found: format!("{errors} were not"),
        kept: errors == 0,
    }
}

fn alive(found: &Found) -> Promise {
    Promise {
        promise: "no node ends by itself".into(),
        found: if found.died.is_empty() { "none did".into() } else { found.died.join(", ") },
        kept: found.died.is_empty(),
    }
}

/// No node has more slots of log than are to be kept, an eighth more, and those that came since the log may have been cut last.
fn log_is_cut(plan: &Plan, samples: &[Sample]) -> Promise {
    let keep = plan.keep_log_slots + plan.keep_log_slots / 8;
    let mut worst = (0_u64, keep);
    for (index, sample) in samples.iter().enumerate() {
        let earlier =
            samples.iter().take(index).rfind(|earlier| earlier.at_s + LOG_CUT_WITHIN_S <= sample.at_s);
        for node in &sample.nodes {
            let (Some(slots), Some(applied)) = (node.log_slots, node.applied) else { continue };
            let before = earlier.and_then(|earlier| earlier.of(&node.node)?.applied).unwrap_or(0);
            let allowed = keep + applied.saturating_sub(before);
            if slots.saturating_sub(allowed) >= worst.0.saturating_sub(worst.1) {
                worst = (slots, allowed);
            }
        }
    }
    Promise {
        promise: format!(
            "a log has at most {keep} slots, and those of the last {LOG_CUT_WITHIN_S:.0} s before it was looked at"
        ),
        found: format!("{} where {} are allowed", worst.0, worst.1),
        kept: worst.0 <= worst.1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Usage;
    use super::*;

    fn plan() -> Plan {
        Plan {
            down: "c".into(),
            time: Duration::from_secs(20),
            back_within: Duration::from_secs(30),
            clients: 1,
            every: Duration::from_secs(1),
            keep_log_slots: 80,
            keep_log_bytes: 1 << 20,
        }
    }

    const NONE: [usize; 0] = [];

    /// A look at a node that applies a hundred slots, of two writes each, in a second.
    fn look(at_s: u64, log_slots: u64) -> Sample {
        let usage = Usage {
            node: "a".into(),
            memory_bytes: Some(MEMORY_BYTES_ANYWAY),
            disk_bytes: Some(DISK_BYTES_ANYWAY),
            log_slots: Some(log_slots),
            applied: Some(100 * at_s),
        };
        Sample { at_s: at_s as f64, writes: 200 * at_s, nodes: vec![usage] }
    }

    fn found(log_slots: u64) -> Found {
        Found {
            // The last look is of the time after that.
            samples: [(4, 400), (10, 300), (16, log_slots), (22, 100_000)]
                .map(|(at, slots)| look(at, slots))
                .into(),
            back_after: Some(Duration::from_secs(30)),
            took_state: false,
            nodes: 3,
            replicas: Ok(3),
            died: Vec::new(),
        }
    }

    /// Which promises were not kept, by their places.
    fn broken(found: &Found, errors: u64) -> Vec<usize> {
        let verdict = Verdict::of(&plan(), found, errors);
        let broken = verdict.promises.iter().enumerate().filter(|(_, promise)| !promise.kept);
        let broken: Vec<usize> = broken.map(|(place, _)| place).collect();
        assert_eq!(verdict.kept, broken.is_empty());
        assert_eq!(verdict.text().matches("not kept: ").count(), broken.len(), "{}", verdict.text());
        broken
    }

    #[test]
    fn each_promise_is_judged_by_itself() {
        // 90 may stay, and 600 came since 10 s, the last look that was early enough.
        assert_eq!(broken(&found(690), 0), NONE);
        assert_eq!(broken(&found(691), 0), [4]);
        assert_eq!(broken(&Found { back_after: None, ..found(0) }, 0), [0]);
        assert_eq!(broken(&Found { back_after: Some(Duration::from_millis(30_001)), ..found(0) }, 0), [0]);
        assert_eq!(broken(&Found { replicas: Ok(2), ..found(0) }, 0), [1]);
        assert_eq!(broken(&Found { replicas: Err("at 7, a has x and b has y".into()), ..found(0) }, 0), [1]);
        assert_eq!(broken(&found(0), 1), [2]);
        assert_eq!(broken(&Found { died: vec!["a: SIGABRT".into()], ..found(0) }, 0), [3]);
    }

    #[test]
    fn disk_and_memory_may_grow_by_so_much_for_each_write() {
        let with = |disk, memory| {
            let mut found = found(0);
            let (log, writes) = (2 << 20, 3_200);
            let node = &mut found.samples[2].nodes[0];
            node.disk_bytes = Some(DISK_BYTES_ANYWAY + log + DISK_BYTES_PER_WRITE * writes + disk);
            node.memory_bytes = Some(MEMORY_BYTES_ANYWAY + log + MEMORY_BYTES_PER_WRITE * writes + memory);
            broken(&found, 0)
        };
        assert_eq!(with(0, 0), NONE);
        assert_eq!(with(1, 0), [5]);
        assert_eq!(with(0, 1), [6]);
    }
}
