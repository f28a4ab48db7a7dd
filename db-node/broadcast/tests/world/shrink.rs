//! Makes a schedule that fails shorter, as long as it fails in the same way: milder odds first, then fewer deeds and fewer quirks
//! (delta debugging: Zeller & Hildebrandt 2002).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use agora_broadcast::Rule;

use super::plan::{Deed, Patience, Plan, SmallBounds, ms};
use super::quirks::{Place, Quirk};
use super::schedule::{go_through, prepare};
use super::trace::Detail;

/// How a schedule fails: the first line of what the assertion said, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// A short schedule that fails.
pub struct Shrunk {
    pub plan: Plan,
    pub failure: Failure,
    /// How many schedules were tried.
    pub tried: usize,
}

/// Runs a plan; says how it fails, if it does, and what chance did in it.
pub fn try_plan(plan: &Plan, broken: Option<Rule>) -> (Option<Failure>, Vec<(Place, Quirk)>) {
    let mut world = prepare(plan, Detail::Nothing, broken);
    let outcome = catch_unwind(AssertUnwindSafe(|| go_through(&mut world, plan)));
    (outcome.err().map(|panic| failure(panic.as_ref())), world.quirks.met.into_iter().collect())
}

impl Failure {
    /// Not that something did not happen in time, but that something happened which never may.
    pub fn is_of_safety(&self) -> bool {
        !self.0.starts_with("liveness")
    }
}

/// What a panic said.
pub fn failure(panic: &dyn Any) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    let first_line = said.lines().next().unwrap_or_default();
    Failure(first_line.chars().filter(|character| !character.is_ascii_digit()).collect())
}

/// Shrinks a plan. None if it does not fail.
pub fn shrink(plan: &Plan, broken: Option<Rule>) -> Option<Shrunk> {
    let (failure, quirks) = try_plan(plan, broken);
    let mut shrinker = Shrinker { broken, failure: failure?, tried: 1, plan: plan.clone() };
    shrinker.try_to(|plan| plan.quirks = Some(quirks.into_iter().collect()));
    shrinker.try_milder_odds();
    shrinker.make_proposals_small();
    // What is left out makes other things needless in turn.
    loop {
        let before = shrinker.size();
        shrinker.leave_out_deeds();
        shrinker.leave_out_quirks();
        if shrinker.size() == before {
            break;
        }
    }
    Some(Shrunk { plan: shrinker.plan, failure: shrinker.failure, tried: shrinker.tried })
}

struct Shrinker {
    broken: Option<Rule>,
    failure: Failure,
    tried: usize,
    /// The shortest so far.
    plan: Plan,
}

impl Shrinker {
    fn size(&self) -> usize {
        self.plan.deeds.len() + self.plan.quirks.iter().flatten().count()
    }

    /// Keeps the change if the plan still fails in the same way.
    fn try_to(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.plan.clone();
        change(&mut plan);
        self.tried += 1;
        let fails = try_plan(&plan, self.broken).0.as_ref() == Some(&self.failure);
        if fails {
            self.plan = plan;
        }
        fails
    }

    fn try_milder_odds(&mut self) {
        self.try_to(|plan| plan.quirks.iter_mut().for_each(|quirks| quirks.clear()));
        self.try_to(|plan| plan.temper.delay = ms(0));
        self.try_to(|plan| plan.absent.clear());
        self.try_to(|plan| plan.temper.small_bounds = SmallBounds::No);
        self.try_to(|plan| plan.temper.patience = Patience::Usual);
    }

    /// Each proposal has one command of one byte.
    fn make_proposals_small(&mut self) {
        self.try_to(|plan| {
            for (_, deed) in &mut plan.deeds {
                if let Deed::Propose { calls, .. } = deed {
                    calls.truncate(1);
                }
            }
        });
    }

    fn leave_out_deeds(&mut self) {
        let deeds = self.plan.deeds.clone();
        self.leave_out(&deeds, |plan, deeds| plan.deeds = deeds.to_vec());
    }

    fn leave_out_quirks(&mut self) {
        let quirks: Vec<_> = self.plan.quirks.clone().into_iter().flatten().collect();
        self.leave_out(&quirks, |plan, quirks| plan.quirks = Some(quirks.iter().cloned().collect()));
    }

    /// Leaves out parts of a list, half of it first, then smaller and smaller ones, down to single things.
    fn leave_out<T: Clone>(&mut self, list: &[T], set: impl Fn(&mut Plan, &[T])) {
        let mut list = list.to_vec();
        let mut part = list.len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < list.len() {
                let upto = (from + part).min(list.len());
                let shorter = [&list[..from], &list[upto..]].concat();
                if self.try_to(|plan| set(plan, &shorter)) {
                    list = shorter;
                } else {
                    from = upto;
                }
            }
            part = if part == 1 { 0 } else { part.div_ceil(2) };
        }
    }
}
