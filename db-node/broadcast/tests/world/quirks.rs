//! What chance does to single messages and writes, as a list: drawn from the seed and noted, or given. Each place has dice of its
//! own, so leaving something out of a schedule changes little of what chance does elsewhere.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use agora_broadcast::MemberId;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// Where chance has a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The nth message on a link.
    Message { from: MemberId, to: MemberId, number: u64 },
    /// The nth write of a member in which a crash hurts most.
    DelicateWrite { node: MemberId, number: u64 },
    /// The nth thing that a member does otherwise.
    Doing { node: MemberId, number: u64 },
}

/// What is not as usual there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Not one copy in the usual time, but these, each so many times as late. None: it is lost.
    Copies(Vec<u32>),
    /// The member crashes after this time.
    Crash(Duration),
    /// The member's disk is lost after this time.
    LoseDisk(Duration),
}

pub struct Quirks {
    seed: u64,
    given: Option<BTreeMap<Place, Quirk>>,
    /// All that was not as usual in this run.
    pub met: BTreeMap<Place, Quirk>,
}

impl Quirks {
    pub fn drawn(seed: u64) -> Self {
        Quirks { seed, given: None, met: BTreeMap::new() }
    }

    /// Just these; all else is as usual. What is not listed here is still drawn from the seed.
    pub fn given(seed: u64, quirks: BTreeMap<Place, Quirk>) -> Self {
        Quirks { seed, given: Some(quirks), met: BTreeMap::new() }
    }

    /// All is as usual from now on.
    pub fn stop(&mut self) {
        self.given = Some(BTreeMap::new());
    }

    pub fn dice(&self, place: Place) -> SmallRng {
        let mut hasher = DefaultHasher::new();
        (self.seed, place).hash(&mut hasher);
        SmallRng::seed_from_u64(hasher.finish())
    }

    /// The quirk at a place: the one that is given, or else what `draw` makes of the dice there.
    pub fn at(&mut self, place: Place, draw: impl FnOnce(&mut SmallRng) -> Option<Quirk>) -> Option<Quirk> {
        let quirk = match &self.given {
            Some(given) => given.get(&place).cloned(),
            None => draw(&mut self.dice(place)),
        }?;
        self.met.insert(place, quirk.clone());
        Some(quirk)
    }
}
