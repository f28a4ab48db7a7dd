//! From a history that has no explanation to the few operations that show it.

use super::configurations::Configuration;
use super::search::{Moment, Outcome, search};
use super::{Evidence, Model, Operation, Verdict};

/// Reads beyond this many are not tried one by one.
const READS_MAX: usize = 300;

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

/// Operations with their numbers.
type Part<'a, O> = Vec<(u32, &'a Operation<O>)>;

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
    let mut part: Part<'_, M::Op> = numbered.filter(within).collect();
    let shows = |part: &Part<'_, M::Op>| {
        let operations: Vec<Operation<M::Op>> =
            part.iter().map(|(_, operation)| (*operation).clone()).collect();
        matches!(
            search(model, &operations, renumbered(&moment.configurations, part), None),
            Outcome::Stuck { .. }
        )
    };
    drop_needless(model, &mut part, last, shows);

    let mut before: Vec<String> =
        moment.configurations.iter().map(|configuration| model.tell(&configuration.state)).collect();
    before.sort_unstable();
    before.dedup();
    let made_by = moment.configurations.iter().filter_map(|configuration| configuration.by);
    let mut numbers: Vec<u32> = made_by.chain(part.iter().map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let place = |number: u32| operations.get(number as usize).map(|operation| operation.index);
    Evidence {
        before,
        operations: numbers.into_iter().filter_map(place).collect(),
        last: place(last).unwrap_or_default(),
    }
}

/// Within a part, operations are numbered by their places in it.
fn renumbered<S: Clone, O>(configurations: &[Configuration<S>], part: &Part<'_, O>) -> Vec<Configuration<S>> {
    let place =
        |old: &u32| part.iter().zip(0_u32..).find(|((number, _), _)| number == old).map(|(_, new)| new);
    let all = |numbers: &[u32]| {
        let mut places: Vec<u32> = numbers.iter().filter_map(place).collect();
        places.sort_unstable();
        places
    };
    let renumber = |configuration: &Configuration<S>| Configuration {
        done: all(&configuration.done),
        used: all(&configuration.used),
        ..configuration.clone()
    };
    configurations.iter().map(renumber).collect()
}

/// Leaves out reads that are not needed: a history that can be explained can be explained without one of its reads, too; so
/// what can't be explained without it can't be with it.
fn drop_needless<M: Model>(
    model: &M,
    part: &mut Part<'_, M::Op>,
    keep: u32,
    shows: impl Fn(&Part<'_, M::Op>) -> bool,
) {
    let (mut tries, mut at) = (0, 0);
    while let Some((number, operation)) = part.get(at).copied() {
        if tries < READS_MAX && number != keep && model.is_read(&operation.op) {
            tries += 1;
            let mut without = part.clone();
            without.remove(at);
            if shows(&without) {
                *part = without;
                continue;
            }
        }
        at += 1;
    }
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
