//! From a history that has no explanation to the few operations that show it.

use super::configurations::Configuration;
use super::search::{Moment, Outcome, search};
use super::{Evidence, Model, Operation, Verdict};

/// Operations beyond this many are not tried one by one.
const TRIES_MAX: usize = 300;

/// Searches for an order that explains all answers; if there is none, for the shortest part that shows it.
pub(in super::super) fn explain<M: Model>(model: &M, operations: &[Operation<M::Op>]) -> Verdict
where
    M::Op: Clone,
{
    let begin = || vec![Configuration::initial(model.initial())];
    match search(model, operations, begin(), None) {
        Outcome::Linearizable => Verdict::Linearizable,
        Outcome::Stuck { at, overlapping } => {
            // Back to before anything was called that overlaps the one without explanation: what happened until then is in
            // the states that were possible then.
            let called = |number: &u32| operations.get(*number as usize).map(|operation| operation.start_ns);
            let from = overlapping.iter().copied().chain([at]).min_by_key(called).unwrap_or(at);
            Verdict::Violation(match search(model, operations, begin(), Some(from)) {
                Outcome::Reached(moment) => evidence(model, operations, &moment, at),
                // That there is no order is known; only what was possible before is not found again.
                _ => bare_evidence(operations, overlapping, at),
            })
        }
        Outcome::Undecided | Outcome::Reached(_) => Verdict::Undecided,
    }
}

/// The operation that nothing explains and those that overlap it, without what was possible before.
fn bare_evidence<O>(operations: &[Operation<O>], overlapping: Vec<u32>, last: u32) -> Evidence {
    let place = |number: u32| operations.get(number as usize).map(|operation| operation.index);
    let mut numbers = overlapping;
    numbers.push(last);
    numbers.sort_unstable();
    Evidence {
        before: vec!["not found again".into()],
        operations: numbers.into_iter().filter_map(place).collect(),
        last: place(last).unwrap_or_default(),
    }
}

/// A part of a history that has no explanation.
#[derive(Clone)]
struct Part<'a, O> {
    /// The operations that show it, with their numbers.
    kept: Vec<(u32, &'a Operation<O>)>,
    /// Those left out that change something.
    left_out: Vec<(u32, &'a Operation<O>)>,
}

fn evidence<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    moment: &Moment<M::State>,
    last: u32,
) -> Evidence
where
    M::Op: Clone,
{
    let end = operations.get(last as usize).and_then(|last| last.end_ns).unwrap_or(u64::MAX);
    let numbered = operations.iter().zip(0_u32..).map(|(operation, number)| (number, operation));
    let within = |(number, operation): &(u32, &Operation<M::Op>)| {
        // What was called later explains nothing.
        (moment.at_ns..=end).contains(&operation.start_ns) || moment.open.contains(number)
    };
    let mut part = Part { kept: numbered.filter(within).collect(), left_out: Vec::new() };
    drop_needless(model, &mut part, moment, last);

    let mut before: Vec<String> =
        moment.configurations.iter().map(|configuration| model.tell(&configuration.state)).collect();
    before.sort_unstable();
    before.dedup();
    let made_by = moment.configurations.iter().filter_map(|configuration| configuration.by);
    let mut numbers: Vec<u32> = made_by.chain(part.kept.iter().map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let place = |number: u32| operations.get(number as usize).map(|operation| operation.index);
    Evidence {
        before,
        operations: numbers.into_iter().filter_map(place).collect(),
        last: place(last).unwrap_or_default(),
    }
}

/// Leaves out what is not needed to show that the last answer has no explanation: reads first, because what they saw may be all that
/// a write is needed for.
fn drop_needless<M: Model>(model: &M, part: &mut Part<'_, M::Op>, moment: &Moment<M::State>, last: u32)
where
    M::Op: Clone,
{
    let mut tries = 0;
    for reads in [true, false] {
        let mut at = 0;
        while let Some((number, operation)) = part.kept.get(at).copied() {
            if tries < TRIES_MAX && number != last && model.is_read(&operation.op) == reads {
                tries += 1;
                let mut without = part.clone();
                without.kept.remove(at);
                if !reads {
                    without.left_out.push((number, operation));
                }
                if shows(model, &without, moment, last) {
                    *part = without;
                    continue;
                }
            }
            at += 1;
        }
    }
}

/// Whether the last answer, and no earlier one, is without explanation. A history that can be explained can be explained without one
/// of its reads, too; but not without one of its writes. So nothing must explain it either if those that were left out took effect at
/// any moment, or never.
fn shows<M: Model>(model: &M, part: &Part<'_, M::Op>, moment: &Moment<M::State>, last: u32) -> bool
where
    M::Op: Clone,
{
    let Part { kept, left_out } = part;
    let certain = kept.iter().map(|(number, operation)| (*number, (*operation).clone()));
    let possible = left_out.iter().map(|(number, operation)| {
        (*number, Operation { start_ns: 0, end_ns: None, ..(*operation).clone() })
    });
    let is_stuck = |operations: Vec<(u32, Operation<M::Op>)>| {
        let (numbers, operations): (Vec<u32>, Vec<Operation<M::Op>>) = operations.into_iter().unzip();
        let begin = renumbered(&moment.configurations, &numbers, &operations);
        let outcome = search(model, &operations, begin, None);
        matches!(outcome, Outcome::Stuck { at, .. } if numbers.get(at as usize) == Some(&last))
    };
    let is_coherent = is_stuck(certain.clone().collect());
    is_coherent && (left_out.is_empty() || is_stuck(certain.chain(possible).collect()))
}

/// Within a part, operations are numbered by their places in it.
fn renumbered<S: Clone, O>(
    configurations: &[Configuration<S>],
    numbers: &[u32],
    operations: &[Operation<O>],
) -> Vec<Configuration<S>> {
    let places = |old: &[u32], answered: bool| -> Vec<u32> {
        let all = numbers.iter().zip(operations).zip(0_u32..);
        let fits = all.filter(|((number, operation), _)| {
            old.contains(number) && operation.end_ns.is_some() == answered
        });
        fits.map(|(_, place)| place).collect()
    };
    let renumber = |configuration: &Configuration<S>| {
        let effective = [&configuration.done[..], &configuration.used[..]].concat();
        Configuration {
            done: places(&effective, true),
            used: places(&effective, false),
            ..configuration.clone()
        }
    };
    configurations.iter().map(renumber).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_what_was_possible_before_the_evidence_is_what_overlaps_the_last() {
        let operation = |index| Operation { op: (), index, start_ns: index as u64, end_ns: Some(9) };
        let operations: Vec<Operation<()>> = (10..15).map(operation).collect();
        let evidence = bare_evidence(&operations, vec![3, 0], 2);
        assert_eq!((evidence.operations, evidence.last), (vec![10, 12, 13], 12));
    }
}
