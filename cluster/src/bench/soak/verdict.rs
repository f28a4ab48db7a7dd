//! What is promised of a cluster that has a node down for long, and whether a run has kept it.

use std::collections::BTreeMap;
use std::time::Duration;

use agora_machine::{ANSWER_OVERHEAD_BYTES, ANSWERS_BYTES_MAX};
use agora_proto::common::Code;
use serde::Serialize;

use super::sample::Usage;
use super::{Found, Phase, Plan, Sample};
use crate::cli::out;

/// The log is cut when the state was made durable, which happens every two seconds and may take its time.
const LOG_CUT_WITHIN_S: f64 = 5.0;
/// What a node takes without data, and by how much files grow at a time.
const DISK_BYTES_ANYWAY: u64 = 64 << 20;
const MEMORY_BYTES_ANYWAY: u64 = 256 << 20;
/// What is answered to a cart's change is remembered for a day, and nothing else stays of it.
const ANSWER_BYTES: u64 = ANSWER_OVERHEAD_BYTES + 24;
/// So many writes can be remembered.
pub(super) const WRITES_MAX: u64 = ANSWERS_BYTES_MAX / ANSWER_BYTES;
/// While a node takes the state of another one, that keeps all log since then, up to so much.
const HELD_LOG_BYTES: u64 = 1 << 30;

/// What the answers to so many writes take in memory: an index grows by doubling, and so may what is around it.
const fn memory_of_answers(writes: u64) -> u64 {
    answers_bytes(writes) * 3 / 2
}

/// And on disk: while a state is written anew, there may be two and a half of it.
const fn disk_of_answers(writes: u64) -> u64 {
    answers_bytes(writes) * 5 / 2
}

const fn answers_bytes(writes: u64) -> u64 {
    let writes = if writes < WRITES_MAX { writes } else { WRITES_MAX };
    writes * ANSWER_BYTES
}

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
    pub fn of(plan: &Plan, found: &Found, errors: &BTreeMap<String, u64>) -> Self {
        let mut promises = vec![came_back(plan, found), equal(found), answered(found, errors), alive(found)];
        promises.push(log_is_cut(plan, &found.samples));
        let log_bytes = 2 * plan.keep_log_bytes;
        let (disk, memory) = (DISK_BYTES_ANYWAY + log_bytes, MEMORY_BYTES_ANYWAY + log_bytes);
        promises.push(is_bounded(found, "disk", |node| node.disk_bytes, (disk, disk_of_answers)));
        promises.push(is_bounded(found, "memory", |node| node.memory_bytes, (memory, memory_of_answers)));
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

fn answered(found: &Found, errors: &BTreeMap<String, u64>) -> Promise {
    let kinds = errors.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ");
    let writes = found.samples.last().map_or(0, |sample| sample.writes);
    // What is counted here can't be more than roughly what the databases count.
    let is_full = writes >= WRITES_MAX / 10 * 9 && errors.contains_key(Code::RateLimited.as_str_name());
    let told = match (errors.is_empty(), is_full) {
        (true, _) => "all were".into(),
        (false, false) => format!("these were not: {kinds}"),
        (false, true) => format!(
            "these were not: {kinds}; the answers of a day take all of the {} that they may: see --rate",
            out::bytes(ANSWERS_BYTES_MAX)
        ),
    };
    Promise { promise: "all calls are answered".into(), found: told, kept: errors.is_empty() }
}

/// A node takes no more than this, what the answers to all writes take, and what is kept for a node that takes the state.
fn is_bounded(
    found: &Found,
    what: &str,
    of: fn(&Usage) -> Option<u64>,
    (anyway, of_answers): (u64, fn(u64) -> u64),
) -> Promise {
    let allowed = |sample: &Sample| {
        let is_held = found.took_state && sample.phase != Phase::Down;
        anyway + of_answers(sample.writes) + if is_held { HELD_LOG_BYTES } else { 0 }
    };
    let beyond = |sample: &Sample| i128::from(sample.most(of)) - i128::from(allowed(sample));
    let worst = found.samples.iter().max_by_key(|sample| beyond(sample));
    let (most, allowed) = worst.map_or((0, anyway), |worst| (worst.most(of), allowed(worst)));
    Promise {
        promise: format!(
            "a node takes at most {} of {what}, and what it remembers of each write: {} bytes, of no more than {WRITES_MAX} writes",
            out::bytes(anyway),
            of_answers(1),
        ),
        found: format!("{} where {} are allowed", out::bytes(most), out::bytes(allowed)),
        kept: most <= allowed,
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
/// What is kept for a node that is being sent a state is no matter of this: it is cut once that is back.
fn log_is_cut(plan: &Plan, samples: &[Sample]) -> Promise {
    let keep = plan.keep_log_slots + plan.keep_log_slots / 8;
    let mut worst = (0_u64, keep);
    for (index, sample) in samples.iter().enumerate() {
        let is_earlier = |earlier: &&Sample| {
            earlier.phase == sample.phase && earlier.at_s + LOG_CUT_WITHIN_S <= sample.at_s
        };
        let earlier = samples.iter().take(index).rfind(is_earlier);
        match sample.phase {
            Phase::Down => {}
            Phase::Back if earlier.is_some() => {}
            Phase::CatchingUp | Phase::Back => continue,
        }
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
    use super::*;

    fn plan() -> Plan {
        Plan {
            down: "c".into(),
            time: Duration::from_secs(20),
            back_within: Duration::from_secs(30),
            clients: 1,
            rate: 1000,
            every: Duration::from_secs(1),
            keep_log_slots: 80,
            keep_log_bytes: 1 << 20,
        }
    }

    const NONE: [usize; 0] = [];

    /// A look at a node that applies a hundred slots, of two writes each, in a second.
    fn look(phase: Phase, at_s: u64, log_slots: u64) -> Sample {
        let usage = Usage {
            node: "a".into(),
            memory_bytes: Some(MEMORY_BYTES_ANYWAY),
            disk_bytes: Some(DISK_BYTES_ANYWAY),
            log_slots: Some(log_slots),
            applied: Some(100 * at_s),
        };
        Sample { phase, at_s: at_s as f64, writes: 200 * at_s, nodes: vec![usage] }
    }

    fn found(log_slots: u64) -> Found {
        use Phase::*;
        let looks = [
            (Down, 4, 400),
            (Down, 10, 300),
            (Down, 16, log_slots),
            (CatchingUp, 22, 100_000),
            (Back, 26, 100_000),
            (Back, 32, 690),
        ];
        Found {
            samples: looks.map(|(phase, at, slots)| look(phase, at, slots)).into(),
            back_after: Some(Duration::from_secs(30)),
            took_state: false,
            nodes: 3,
            replicas: Ok(3),
            died: Vec::new(),
        }
    }

    /// Which promises were not kept, by their places.
    fn broken(found: &Found, errors: &[(&str, u64)]) -> Vec<usize> {
        let errors = errors.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect();
        let verdict = Verdict::of(&plan(), found, &errors);
        let broken = verdict.promises.iter().enumerate().filter(|(_, promise)| !promise.kept);
        let broken: Vec<usize> = broken.map(|(place, _)| place).collect();
        assert_eq!(verdict.kept, broken.is_empty());
        assert_eq!(verdict.text().matches("not kept: ").count(), broken.len(), "{}", verdict.text());
        broken
    }

    #[test]
    fn each_promise_is_judged_by_itself() {
        // 90 may stay, and 600 came since 10 s, the last look that was early enough.
        assert_eq!(broken(&found(690), &[]), NONE);
        assert_eq!(broken(&found(691), &[]), [4]);
        assert_eq!(broken(&Found { back_after: None, ..found(0) }, &[]), [0]);
        assert_eq!(broken(&Found { back_after: Some(Duration::from_millis(30_001)), ..found(0) }, &[]), [0]);
        assert_eq!(broken(&Found { replicas: Ok(2), ..found(0) }, &[]), [1]);
        assert_eq!(
            broken(&Found { replicas: Err("at 7, a has x and b has y".into()), ..found(0) }, &[]),
            [1]
        );
        assert_eq!(broken(&found(0), &[("unavailable", 1)]), [2]);
        assert_eq!(broken(&Found { died: vec!["a: SIGABRT".into()], ..found(0) }, &[]), [3]);
    }

    #[test]
    fn a_log_is_cut_again_once_the_node_is_back() {
        let mut found = found(0);
        found.samples[5] = look(Phase::Back, 32, 691);
        assert_eq!(broken(&found, &[]), [4]);
    }

    #[test]
    fn disk_and_memory_may_grow_by_what_is_remembered_and_what_is_held_for_who_takes_the_state() {
        let with = |place: usize, took_state, held, disk, memory| {
            let mut found = Found { took_state, ..found(0) };
            let (writes, anyway) = (found.samples[place].writes, (2 << 20) + held);
            let node = &mut found.samples[place].nodes[0];
            node.disk_bytes = Some(DISK_BYTES_ANYWAY + anyway + disk_of_answers(writes) + disk);
            node.memory_bytes = Some(MEMORY_BYTES_ANYWAY + anyway + memory_of_answers(writes) + memory);
            broken(&found, &[])
        };
        for (place, took_state, held) in
            [(2, true, 0), (3, false, 0), (3, true, HELD_LOG_BYTES), (5, true, HELD_LOG_BYTES)]
        {
            assert_eq!(with(place, took_state, held, 0, 0), NONE);
            assert_eq!(with(place, took_state, held, 1, 0), [5]);
            assert_eq!(with(place, took_state, held, 0, 1), [6]);
        }
    }

    /// A run at full load in which a node takes so many bytes for each write, whatever it takes besides.
    fn after_a_minute(writes_per_s: u64, bytes_per_write: u64) -> Vec<usize> {
        let mut found = found(0);
        for sample in &mut found.samples {
            sample.writes = 60 * writes_per_s;
            let node = &mut sample.nodes[0];
            node.disk_bytes = Some(bytes_per_write * sample.writes);
            node.memory_bytes = Some(bytes_per_write * sample.writes);
        }
        broken(&found, &[])
    }

    #[test]
    fn a_leak_is_seen_within_a_minute() {
        assert_eq!(after_a_minute(50_000, ANSWER_BYTES), NONE);
        assert_eq!(after_a_minute(50_000, 400), [5, 6]);
        assert_eq!(after_a_minute(50_000, ANSWER_BYTES + 150), [5, 6], "a small one, too");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_at_the_bound_it_is_said() {
        assert!(answers_bytes(u64::MAX) <= ANSWERS_BYTES_MAX);
        let mut full = found(0);
        full.samples[5].writes = WRITES_MAX;
        let told = |found: &Found, why: &str| {
            let errors = BTreeMap::from([(why.to_owned(), 7)]);
            Verdict::of(&plan(), found, &errors).promises[2].clone()
        };
        let refused = Code::RateLimited.as_str_name();
        assert!(told(&full, refused).found.contains("the answers of a day take all of the 2.5 GiB"));
        assert!(!told(&full, refused).kept);
        assert_eq!(told(&found(0), refused).found, format!("these were not: 7 {refused}"));
        assert_eq!(told(&full, "unavailable").found, "these were not: 7 unavailable");
    }
}
