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
    /// The share of operations that were answered within 100 ms, 1 s, ever.
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

/// The longest time without a success that a kind of fault came with. Faults that overlap share it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultGap {
    /// Which fault.
    pub fault: Fault,
    /// How often it was inflicted.
    pub times: usize,
    /// How long.
    pub ms: f64,
}

/// How long after a fault was undone a gap still counts as its doing.
const AFTERMATH_NS: u64 = 2_000 * MILLISECOND_NS;

impl Availability {
    /// Figures of the operations that began in this span of the history's clock.
    #[must_use]
    pub fn of(history: &[Event], bars: &[Bar], from_ns: u64, to_ns: u64) -> Self {
        let within = |event: &&Event| (from_ns..to_ns).contains(&event.start_ns);
        let events: Vec<&Event> = history.iter().filter(within).collect();
        let mut figures = Availability { operations: events.len() as u64, ..Availability::default() };
        let (mut in_100_ms, mut in_1_s, mut answered) = (0_u64, 0_u64, 0_u64);
        for event in &events {
            let took = event.end_ns.map_or(u64::MAX, |end| end.saturating_sub(event.start_ns));
            let is_answer = figures.count(event);
            answered += u64::from(is_answer);
            in_100_ms += u64::from(is_answer && took <= 100 * MILLISECOND_NS);
            in_1_s += u64::from(is_answer && took <= 1_000 * MILLISECOND_NS);
        }
        let share = |count: u64| if events.is_empty() { 0.0 } else { count as f64 / events.len() as f64 };
        figures.answered_within_100_ms = share(in_100_ms);
        figures.answered_within_1_s = share(in_1_s);
        figures.answered = share(answered);
        figures.longest_gaps = [
            gap("any operation", &events, from_ns, to_ns, |_| true),
            gap("reads", &events, from_ns, to_ns, |event| !event.action.is_change()),
            gap("product writes", &events, from_ns, to_ns, |event| is_product_write(&event.action)),
            gap("customer writes", &events, from_ns, to_ns, |event| is_customer_write(&event.action)),
            gap("purchases", &events, from_ns, to_ns, |event| {
                matches!(event.action, Action::MakePurchase(_))
            }),
        ]
        .to_vec();
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
    use Action::{AddToCart, ClearCart, LoginBuyer, LogoutBuyer, RemoveFromCart, SaveCart};
    matches!(action, AddToCart(_) | RemoveFromCart(_) | SaveCart(_) | ClearCart | LoginBuyer | LogoutBuyer)
}

fn gaps_by_fault(events: &[&Event], bars: &[Bar], from_ns: u64, to_ns: u64) -> Vec<FaultGap> {
    let mut ends: Vec<u64> =
        events.iter().filter(|event| event.is_ok()).filter_map(|event| event.end_ns).collect();
    ends.extend([from_ns, to_ns]);
    ends.sort_unstable();
    let mut by_fault: BTreeMap<Fault, FaultGap> = BTreeMap::new();
    for bar in bars {
        let gap = by_fault.entry(bar.fault).or_insert(FaultGap { fault: bar.fault, times: 0, ms: 0.0 });
        gap.times += 1;
        let until = bar.ready_ns.saturating_add(AFTERMATH_NS);
        // The pairs of successes that have some of the fault between them.
        let first = ends.partition_point(|end| *end <= bar.from_ns).saturating_sub(1);
        let touched = ends[first..].windows(2).take_while(|pair| pair[0] < until);
        let longest = touched.map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        gap.ms = gap.ms.max(longest as f64 / 1e6);
    }
    by_fault.into_values().collect()
}

fn gap(of: &'static str, events: &[&Event], from_ns: u64, to_ns: u64, kind: impl Fn(&Event) -> bool) -> Gap {
    let successes =
        events.iter().filter(|event| event.is_ok() && kind(event)).filter_map(|event| event.end_ns);
    let mut ends: Vec<u64> = successes.chain([from_ns, to_ns]).collect();
    ends.sort_unstable();
    let longest = ends.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).max().unwrap_or((0, from_ns));
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
        assert_eq!(figures.longest_gaps[0], Gap { of: "any operation", ms: 2_590.0, at_s: 0.01 });
        assert_eq!(figures.errors.keys().collect::<Vec<_>>(), ["item_not_found", "no one there"]);
    }

    #[test]
    fn each_kind_of_fault_has_the_longest_gap_that_it_came_with() {
        let ok = |start_ms| event(start_ms, Some(1), Outcome::Ok, Answer::Nothing);
        let history = [0, 100, 900, 1_000, 9_000, 9_100].map(ok);
        let bar = |fault, from_ms: u64, ready_ms: u64| Bar {
            fault,
            process: "product-1".into(),
            from_ns: from_ms * MILLISECOND_NS,
            undone_ns: ready_ms * MILLISECOND_NS,
            ready_ns: ready_ms * MILLISECOND_NS,
        };
        let bars =
            [bar(Fault::Kill, 200, 300), bar(Fault::Pause, 9_050, 9_060), bar(Fault::Pause, 9_070, 9_080)];
        let figures = Availability::of(&history, &bars, 0, 9_200 * MILLISECOND_NS);
        let gaps: Vec<(Fault, usize, f64)> =
            figures.gaps_by_fault.iter().map(|gap| (gap.fault, gap.times, gap.ms)).collect();
        assert_eq!(gaps, [(Fault::Kill, 1, 8_000.0), (Fault::Pause, 2, 100.0)]);
    }

    #[test]
    fn an_empty_history_has_one_gap() {
        let figures = Availability::of(&[], &[], 0, 1_000 * MILLISECOND_NS);
        assert_eq!((figures.operations, figures.longest_gaps[0].ms), (0, 1_000.0));
    }
}
