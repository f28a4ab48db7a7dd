//! The search for an order of operations that explains all answers.

use super::configurations::{Configuration, Configurations, contains, insert, remove};
use super::{Model, Operation};

/// Most configurations that are looked at for one answer. Overlapping operations whose order matters double them.
const CONFIGURATIONS_MAX: usize = 200_000;

/// How a search ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome<S> {
    Linearizable,
    Undecided,
    /// Nothing explains the answer of the operation with this number. Those that were under way when it was called are told, too.
    Stuck {
        at: u32,
        overlapping: Vec<u32>,
    },
    /// It came to the call at which it was to stop.
    Reached(Moment<S>),
}

/// What is possible at a moment.
#[derive(Clone, Debug)]
pub(super) struct Moment<S> {
    pub configurations: Vec<Configuration<S>>,
    /// Called and not answered yet, or never: by their numbers.
    pub open: Vec<u32>,
    pub at_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    // Of a call and an answer at the same time, the call is taken to be first: so they overlap, which allows for more.
    Call,
    Answer,
}

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Op>],
    configurations: Vec<Configuration<M::State>>,
    /// Called and not answered yet.
    pending: Vec<u32>,
    /// Called, and never to be answered.
    unknown: Vec<u32>,
}

/// Goes through the operations, beginning with what was possible before them, to the end or to this one's call.
pub(super) fn search<M: Model>(
    model: &M,
    operations: &[Operation<M::Op>],
    begin: Vec<Configuration<M::State>>,
    until: Option<u32>,
) -> Outcome<M::State> {
    let mut search =
        Search { model, operations, configurations: begin, pending: Vec::new(), unknown: Vec::new() };
    for (at_ns, what, number) in events(operations) {
        match what {
            What::Call if until == Some(number) => {
                let open = [search.pending, search.unknown].concat();
                return Outcome::Reached(Moment { configurations: search.configurations, open, at_ns });
            }
            What::Call => search.call(number),
            What::Answer => match search.answer(number) {
                Some(0) => return Outcome::Stuck { at: number, overlapping: search.overlapping(number) },
                Some(_) => {}
                None => return Outcome::Undecided,
            },
        }
    }
    Outcome::Linearizable
}

fn events<O>(operations: &[Operation<O>]) -> Vec<(u64, What, u32)> {
    let mut events = Vec::with_capacity(operations.len() * 2);
    for (operation, number) in operations.iter().zip(0_u32..) {
        events.push((operation.start_ns, What::Call, number));
        if let Some(end_ns) = operation.end_ns {
            events.push((end_ns.max(operation.start_ns), What::Answer, number));
        }
    }
    events.sort_unstable();
    events
}

impl<M: Model> Search<'_, M> {
    fn call(&mut self, number: u32) {
        let known = self.operation(number).is_some_and(|operation| operation.end_ns.is_some());
        insert(if known { &mut self.pending } else { &mut self.unknown }, number);
    }

    /// The operations of known outcome that were under way when this one was called.
    fn overlapping(&self, number: u32) -> Vec<u32> {
        let Some(called) = self.operation(number).map(|operation| operation.start_ns) else {
            return Vec::new();
        };
        let numbered = self.operations.iter().zip(0_u32..);
        let overlaps = numbered
            .filter(|(other, _)| other.start_ns < called && other.end_ns.is_some_and(|end| end >= called));
        overlaps.map(|(_, number)| number).collect()
    }

    fn operation(&self, number: u32) -> Option<&Operation<M::Op>> {
        self.operations.get(number as usize)
    }

    fn step(&self, state: &M::State, number: u32) -> Option<M::State> {
        self.model.step(state, &self.operation(number)?.op)
    }

    /// Keeps the configurations in which the operation has taken effect by now, and tells how many those are; `None`: too many.
    fn answer(&mut self, number: u32) -> Option<usize> {
        let mut next = Configurations::new();
        let mut seen = Configurations::new();
        let mut open = Vec::new();
        for mut configuration in std::mem::take(&mut self.configurations) {
            if remove(&mut configuration.done, number) {
                next.insert(configuration);
            } else if seen.insert(configuration.clone()) {
                open.push(configuration);
            }
        }
        while let Some(mut configuration) = open.pop() {
            self.take_reads(&mut configuration);
            if remove(&mut configuration.done, number) {
                next.insert(configuration);
                continue;
            }
            if let Some(state) = self.step(&configuration.state, number) {
                let by = if state == configuration.state { configuration.by } else { Some(number) };
                next.insert(Configuration { state, by, ..configuration.clone() });
            }
            for then in self.after(&configuration, number) {
                if seen.insert(then.clone()) {
                    open.push(then);
                }
            }
            if seen.len() + next.len() > CONFIGURATIONS_MAX {
                return None;
            }
        }
        remove(&mut self.pending, number);
        self.configurations = next.into_vec();
        Some(self.configurations.len())
    }

    /// Reads that fit take effect at once: they are in nobody's way, and later they might not fit any more.
    fn take_reads(&self, configuration: &mut Configuration<M::State>) {
        for number in &self.pending {
            let Some(operation) = self.operation(*number) else { continue };
            if self.model.is_read(&operation.op)
                && !contains(&configuration.done, *number)
                && self.model.step(&configuration.state, &operation.op).is_some()
            {
                insert(&mut configuration.done, *number);
            }
        }
    }

    /// What is possible if another operation takes effect before this one.
    fn after(&self, configuration: &Configuration<M::State>, before: u32) -> Vec<Configuration<M::State>> {
        let mut possible = Vec::new();
        for number in self.pending.iter().filter(|number| **number != before) {
            if !contains(&configuration.done, *number)
                && let Some(state) = self.step(&configuration.state, *number)
            {
                let mut then = Configuration { state, by: Some(*number), ..configuration.clone() };
                insert(&mut then.done, *number);
                possible.push(then);
            }
        }
        for number in &self.unknown {
            if !contains(&configuration.used, *number)
                && let Some(state) = self.step(&configuration.state, *number)
                // One that changes nothing explains nothing.
                && state != configuration.state
            {
                let mut then = Configuration { state, by: Some(*number), ..configuration.clone() };
                insert(&mut then.used, *number);
                possible.push(then);
            }
        }
        possible
    }
}
