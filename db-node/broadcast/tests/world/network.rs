//! A network that loses, doubles, delays and so reorders; links can be cut one way.

use std::ops::Range;
use std::time::Duration;

use agora_broadcast::{Body, MemberId};
use rand::Rng;
use rand::rngs::SmallRng;

use super::quirks::{Place, Quirk, Quirks};

/// Whether a message from a member to another is lost.
pub type Choice = Box<dyn FnMut(MemberId, MemberId, &Body) -> bool>;

pub struct Network {
    members: u16,
    pub delay: Range<Duration>,
    /// Of a thousand messages.
    pub lost_permille: u32,
    pub doubled_permille: u32,
    /// Of a thousand messages, those that take up to a hundred times as long.
    pub late_permille: u32,
    /// What a member has sent arrives even if it crashes right then.
    pub are_buffers_kept: bool,
    cut: Vec<bool>,
    /// How many messages each link has carried.
    carried: Vec<u64>,
    /// Messages that are lost by choice.
    pub loses: Option<Choice>,
}

impl Network {
    pub fn new(members: u16) -> Self {
        let links = usize::from(members) * usize::from(members);
        Network {
            members,
            delay: Duration::from_micros(100)..Duration::from_micros(300),
            lost_permille: 0,
            doubled_permille: 0,
            late_permille: 0,
            are_buffers_kept: false,
            cut: vec![false; links],
            carried: vec![0; links],
            loses: None,
        }
    }

    fn link(&self, from: MemberId, to: MemberId) -> usize {
        usize::from(from.0) * usize::from(self.members) + usize::from(to.0)
    }

    pub fn is_open(&self, from: MemberId, to: MemberId) -> bool {
        !self.cut[self.link(from, to)]
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: MemberId, to: MemberId) {
        let link = self.link(from, to);
        self.cut[link] = true;
    }

    pub fn heal(&mut self) {
        self.cut.fill(false);
    }

    /// How long each copy of a message takes that arrives.
    pub fn carry(&mut self, from: MemberId, to: MemberId, body: &Body, quirks: &mut Quirks) -> Vec<Duration> {
        let link = self.link(from, to);
        self.carried[link] += 1;
        let place = Place::Message { from, to, number: self.carried[link] };
        let is_chosen = self.loses.as_mut().is_some_and(|loses| loses(from, to, body));
        if is_chosen || self.cut[link] {
            return Vec::new();
        }
        let copies = match quirks.at(place, |dice| self.draw(dice)) {
            Some(Quirk::Copies(copies)) => copies,
            _ => vec![1],
        };
        let mut dice = quirks.dice(place);
        copies.into_iter().map(|times| self.usual_delay(&mut dice) * times).collect()
    }

    fn usual_delay(&self, dice: &mut SmallRng) -> Duration {
        if self.delay.is_empty() { self.delay.start } else { dice.random_range(self.delay.clone()) }
    }

    fn draw(&self, dice: &mut SmallRng) -> Option<Quirk> {
        let mut is_one_of = |permille: u32| dice.random_ratio(permille.min(1000), 1000);
        let copies = match (is_one_of(self.lost_permille), is_one_of(self.doubled_permille)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        let lateness = |_| {
            let is_late = dice.random_ratio(self.late_permille.min(1000), 1000);
            if is_late { dice.random_range(1..100) } else { 1 }
        };
        let copies: Vec<u32> = (0..copies).map(lateness).collect();
        (copies != [1]).then_some(Quirk::Copies(copies))
    }
}
