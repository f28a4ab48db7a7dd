//! How the marketplace served its clients while it was being broken: how many calls were answered and how soon, and the longest
//! time without a success.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::faults::{Bar, Fault};
use crate::history::{Action, Answer, Event, Outcome};

const MILLISECOND_NS: u64 = 1_000_000;

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Availability {
    /// All operations.
    pub operations: u64,
    /// Done.
    pub ok: u64,
    /// Refused by a rule: an answer, too.
    pub refused: u64,
    /// Without an answer, and certainly not done.
    pub failed: u64,
    /// With an unknown outcome.
    pub unknown: u64,
    /// The share of operations that were done within 100 ms, 1 s, ever.
    pub succeeded_within_100_ms: f64,
    /// See above.
    pub succeeded_within_1_s: f64,
    /// See above.
    pub succeeded: f64,
    /// The same of those that were answered: done, or refused by a rule of the marketplace.
    pub answered_within_100_ms: f64,
    /// See above.
    pub answered_within_1_s: f64,
    /// See above.
    pub answered: f64,
    /// The longest times between one success and the next, by kind of operation.
    pub longest_gaps: Vec<Gap>,
    /// The longest time without any success while each kind of fault went on or had just been undone.
    pub gaps_by_fault: Vec<FaultGap>,
    /// How often each refusal and each failure came, by its code or text.
    pub errors: BTreeMap<String, u64>,
}

/// A time without a success.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Of which operations.
    pub of: &'static str,
    /// How long.
    pub ms: f64,
    /// When it began, in seconds from the beginning.
    pub at_s: f64,
}

/// The longest times without a success that a kind of fault came with. Faults that overlap share them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultGap {
    /// Which fault.
    pub fault: Fault,
    /// Whom it hit: without the financial service purchases have to wait, so its faults are told for themselves.
    pub whom: &'static str,
    /// How often it was inflicted.
    pub times: usize,
    /// When it was first and when it was last, in seconds from the beginning.
    pub first_s: f64,
    /// See above.
    pub last_s: f64,
    /// The longest time, in seconds, from when it was undone until the process was ready again.
    pub longest_recovery_s: f64,
    /// How long, by kind of operation; only those kinds of which there were any.
    pub ms: BTreeMap<&'static str, f64>,
}

/// A kind of operation.
#[derive(Clone, Copy)]
pub(super) struct OperationKind {
    pub name: &'static str,
    holds: fn(&Action) -> bool,
}

/// The kinds that are told apart. Reads go on when nothing can be written, so a time without any success hides much.
pub(super) const KINDS: &[OperationKind] = &[
    OperationKind { name: "any operation", holds: |_| true },
    OperationKind { name: "reads", holds: |action| !action.is_change() },
    OperationKind { name: "product writes", holds: is_product_write },
    OperationKind { name: "customer writes", holds: is_customer_write },
    OperationKind { name: "purchases", holds: |action| matches!(action, Action::MakePurchase(_)) },
];

/// The name of the financial service's process.
const FINANCIAL: &str = "financial";
/// How long after a fault was undone a gap still counts as its doing.
const AFTERMATH_NS: u64 = 2_000 * MILLISECOND_NS;

/// How many operations came to something, and how soon.
#[derive(Default)]
struct Soon {
    in_100_ms: u64,
    in_1_s: u64,
    ever: u64,
}

impl Soon {
    fn add(&mut self, took_ns: u64) {
        self.in_100_ms += u64::from(took_ns <= 100 * MILLISECOND_NS);
        self.in_1_s += u64::from(took_ns <= 1_000 * MILLISECOND_NS);
        self.ever += 1;
    }
}

impl Availability {
    /// Figures of the operations that began in this span of the history's clock.
    #[must_use]
    pub fn of(history: &[Event], bars: &[Bar], from_ns: u64, to_ns: u64) -> Self {
        let within = |event: &&Event| (from_ns..to_ns).contains(&event.start_ns);
        let events: Vec<&Event> = history.iter().filter(within).collect();
        let mut figures = Availability { operations: events.len() as u64, ..Availability::default() };
        let (mut answered, mut succeeded) = (Soon::default(), Soon::default());
        for event in &events {
            let took_ns = event.end_ns.map_or(u64::MAX, |end| end.saturating_sub(event.start_ns));
            if figures.count(event) {
                answered.add(took_ns);
            }
            if event.is_ok() {
                succeeded.add(took_ns);
            }
        }
        let share = |count: u64| if events.is_empty() { 0.0 } else { count as f64 / events.len() as f64 };
        figures.succeeded_within_100_ms = share(succeeded.in_100_ms);
        figures.succeeded_within_1_s = share(succeeded.in_1_s);
        figures.succeeded = share(succeeded.ever);
        figures.answered_within_100_ms = share(answered.in_100_ms);
        figures.answered_within_1_s = share(answered.in_1_s);
        figures.answered = share(answered.ever);
        figures.longest_gaps =
            KINDS.iter().map(|kind| gap(kind.name, &successes(&events, *kind, from_ns, to_ns))).collect();
        figures.gaps_by_fault = gaps_by_fault(&events, bars, from_ns, to_ns);
        figures
    }

    /// Counts it; tells whether it was answered.
    fn count(&mut self, event: &Event) -> bool {
        let text = match &event.answer {
            Answer::Refused { code } => Some(code.clone()),
            // The numbers of tries and seconds differ each time.
            Answer::None { error } => Some(error.split(" (").next().unwrap_or_default().to_owned()),
            _ => None,
        };
        if let Some(text) = text {
            *self.errors.entry(text).or_default() += 1;
        }
        match (event.outcome, &event.answer) {
            (Outcome::Ok, _) => self.ok += 1,
            (Outcome::Fail, Answer::Refused { .. }) => self.refused += 1,
            (Outcome::Fail, _) => self.failed += 1,
            (Outcome::Info, _) => self.unknown += 1,
        }
        matches!((event.outcome, &event.answer), (Outcome::Ok, _) | (Outcome::Fail, Answer::Refused { .. }))
    }
}

fn is_product_write(action: &Action) -> bool {
    use Action::{AddItem, AddUnits, GiveFeedback, RemoveItem, SetPrice};
    matches!(action, AddItem(_) | SetPrice(_) | AddUnits(_) | RemoveItem | GiveFeedback(_))
}

fn is_customer_write(action: &Action) -> bool {
    use Action::{
        AddToCart, ClearCart, LoginBuyer, LoginSeller, LogoutBuyer, LogoutSeller, RemoveFromCart, SaveCart,
    };
    matches!(
        action,
        AddToCart(_)
            | RemoveFromCart(_)
            | SaveCart(_)
            | ClearCart
            | LoginBuyer
            | LogoutBuyer
            | LoginSeller
            | LogoutSeller
    )
}

/// When operations of a kind succeeded, from the beginning to the end, which count as such.
fn successes(events: &[&Event], kind: OperationKind, from_ns: u64, to_ns: u64) -> Vec<u64> {
    let successes = events.iter().filter(|event| event.is_ok() && (kind.holds)(&event.action));
    let mut ends: Vec<u64> = successes.filter_map(|event| event.end_ns).chain([from_ns, to_ns]).collect();
    ends.sort_unstable();
    ends
}

fn gaps_by_fault(events: &[&Event], bars: &[Bar], from_ns: u64, to_ns: u64) -> Vec<FaultGap> {
    let there_are = |kind: &&OperationKind| events.iter().any(|event| (kind.holds)(&event.action));
    let ends: Vec<(&str, Vec<u64>)> = KINDS
        .iter()
        .filter(there_are)
        .map(|kind| (kind.name, successes(events, *kind, from_ns, to_ns)))
        .collect();
    let mut gaps: BTreeMap<(Fault, &str), FaultGap> = BTreeMap::new();
    // What is done when the clients have stopped keeps nobody waiting.
    for bar in bars.iter().filter(|bar| bar.from_ns < to_ns) {
        let whom = if bar.process == FINANCIAL { "the financial service" } else { "a process" };
        let from_s = bar.from_ns as f64 / 1e9;
        let none = || FaultGap {
            fault: bar.fault,
            whom,
            times: 0,
            first_s: from_s,
            last_s: from_s,
            longest_recovery_s: 0.0,
            ms: BTreeMap::new(),
        };
        let gap = gaps.entry((bar.fault, whom)).or_insert_with(none);
        gap.times += 1;
        gap.last_s = from_s;
        let recovery_s = bar.ready_ns.saturating_sub(bar.undone_ns) as f64 / 1e9;
        gap.longest_recovery_s = gap.longest_recovery_s.max(recovery_s);
        let until = bar.ready_ns.saturating_add(AFTERMATH_NS);
        for (kind, ends) in &ends {
            // The pairs of successes that have some of the fault between them.
            let first = ends.partition_point(|end| *end <= bar.from_ns).saturating_sub(1);
            let touched = ends[first..].windows(2).take_while(|pair| pair[0] < until);
            let longest = touched.map(|pair| pair[1] - pair[0]).max().unwrap_or_default() as f64 / 1e6;
            let most = gap.ms.entry(kind).or_default();
            *most = most.max(longest);
        }
    }
    gaps.into_values().collect()
}

fn gap(of: &'static str, ends: &[u64]) -> Gap {
    let longest = ends.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).max().unwrap_or_default();
    Gap { of, ms: longest.0 as f64 / 1e6, at_s: longest.1 as f64 / 1e9 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(start_ms: u64, took_ms: Option<u64>, outcome: Outcome, answer: Answer) -> Event {
        let start_ns = start_ms * MILLISECOND_NS;
        let end_ns = took_ms.map(|took| start_ns + took * MILLISECOND_NS);
        Event {
            client: 0,
            session: None,
            action: Action::GetItem,
            key: "1-1".into(),
            answer,
            outcome,
            start_ns,
            end_ns,
        }
    }

    #[test]
    fn shares_and_gaps_are_those_of_the_history() {
        let none = || Answer::None { error: "no one there (2 tries in 1.0 s)".into() };
        let history = [
            event(0, Some(10), Outcome::Ok, Answer::Nothing),
            event(20, Some(500), Outcome::Fail, Answer::Refused { code: "item_not_found".into() }),
            event(600, Some(2_000), Outcome::Ok, Answer::Nothing),
            event(2_700, None, Outcome::Info, none()),
            event(9_999, Some(1), Outcome::Ok, Answer::Nothing),
        ];
        let figures = Availability::of(&history, &[], 0, 3_000 * MILLISECOND_NS);
        assert_eq!(
            (figures.operations, figures.ok, figures.refused, figures.failed, figures.unknown),
            (4, 2, 1, 0, 1)
        );
        assert_eq!(
            (figures.answered_within_100_ms, figures.answered_within_1_s, figures.answered),
            (0.25, 0.5, 0.75)
        );
        assert_eq!(
            (figures.succeeded_within_100_ms, figures.succeeded_within_1_s, figures.succeeded),
            (0.25, 0.25, 0.5)
        );
        assert_eq!(figures.longest_gaps[0], Gap { of: "any operation", ms: 2_590.0, at_s: 0.01 });
        assert_eq!(figures.errors.keys().collect::<Vec<_>>(), ["item_not_found", "no one there"]);
    }

    fn bar(fault: Fault, process: &str, from_ms: u64, ready_ms: u64) -> Bar {
        let (from_ns, ready_ns) = (from_ms * MILLISECOND_NS, ready_ms * MILLISECOND_NS);
        Bar { fault, process: process.into(), part: "a part".into(), from_ns, undone_ns: ready_ns, ready_ns }
    }

    #[test]
    fn each_kind_of_fault_has_the_longest_gap_that_it_came_with() {
        let ok = |start_ms| event(start_ms, Some(1), Outcome::Ok, Answer::Nothing);
        let history = [0, 100, 900, 1_000, 9_000, 9_100].map(ok);
        let bars = [
            bar(Fault::Kill, "product-1", 200, 300),
            bar(Fault::Pause, "product-1", 9_050, 9_060),
            bar(Fault::Pause, "product-1", 9_070, 9_080),
            bar(Fault::KillEverything, "product-1", 9_200, 9_900),
        ];
        let figures = Availability::of(&history, &bars, 0, 9_200 * MILLISECOND_NS);
        let gaps: Vec<(Fault, usize, f64)> =
            figures.gaps_by_fault.iter().map(|gap| (gap.fault, gap.times, gap.ms["any operation"])).collect();
        assert_eq!(gaps, [(Fault::Kill, 1, 8_000.0), (Fault::Pause, 2, 100.0)]);
        let pause = &figures.gaps_by_fault[1];
        assert_eq!((pause.first_s, pause.last_s), (9.05, 9.07));
    }

    #[test]
    fn reads_that_go_on_hide_no_write_that_waits_and_the_financial_service_is_told_for_itself() {
        let read = |start_ms| event(start_ms, Some(1), Outcome::Ok, Answer::Nothing);
        let write = |start_ms| Event { action: Action::AddUnits(1), ..read(start_ms) };
        let mut history: Vec<Event> = (0..30).map(|at| read(at * 100)).collect();
        history.extend([write(100), write(2_500)]);
        let bars = [bar(Fault::Kill, "product-1", 500, 900), bar(Fault::Kill, "financial", 2_700, 2_800)];
        let figures = Availability::of(&history, &bars, 0, 3_000 * MILLISECOND_NS);
        let [product, financial] = figures.gaps_by_fault.as_slice() else { panic!("{figures:?}") };
        assert_eq!((product.whom, financial.whom), ("a process", "the financial service"));
        assert_eq!((product.ms["reads"], product.ms["product writes"]), (100.0, 2_400.0));
        assert_eq!(financial.ms["product writes"], 499.0);
        assert!(!product.ms.contains_key("purchases"), "there were none");
    }

    #[test]
    fn an_empty_history_has_one_gap() {
        let figures = Availability::of(&[], &[], 0, 1_000 * MILLISECOND_NS);
        assert_eq!((figures.operations, figures.longest_gaps[0].ms), (0, 1_000.0));
    }
}
