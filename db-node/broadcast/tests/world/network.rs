//! A network that loses, doubles, delays and so reorders; links can be cut one way.

use std::ops::Range;
use std::time::Duration;

use agora_broadcast::{Body, MemberId};
use rand::Rng;
use rand::rngs::StdRng;

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
    /// Messages that are lost by choice.
    pub loses: Option<Choice>,
}

impl Network {
    pub fn new(members: u16) -> Self {
        Network {
            members,
            delay: Duration::from_micros(100)..Duration::from_micros(300),
            lost_permille: 0,
            doubled_permille: 0,
            late_permille: 0,
            are_buffers_kept: false,
            cut: vec![false; usize::from(members) * usize::from(members)],
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
    pub fn carry(&mut self, from: MemberId, to: MemberId, body: &Body, random: &mut StdRng) -> Vec<Duration> {
        let is_lost = random.random_ratio(self.lost_permille.min(1000), 1000);
        let is_chosen = self.loses.as_mut().is_some_and(|loses| loses(from, to, body));
        if is_lost || is_chosen || !self.is_open(from, to) {
            return Vec::new();
        }
        let copies = if random.random_ratio(self.doubled_permille.min(1000), 1000) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(random)).collect()
    }

    fn delay(&self, random: &mut StdRng) -> Duration {
        if self.delay.is_empty() {
            return self.delay.start;
        }
        let delay = random.random_range(self.delay.clone());
        let is_late = random.random_ratio(self.late_permille.min(1000), 1000);
        if is_late { delay * random.random_range(1..100) } else { delay }
    }
}
