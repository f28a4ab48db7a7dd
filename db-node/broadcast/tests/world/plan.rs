//! A schedule as a list: what clients do and what breaks, when. It is drawn from a seed; anything may be left out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use agora_broadcast::{Config, MemberId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::marketplace::CALLS;
use super::quirks::{Place, Quirk};

pub fn ms(most: u64) -> Duration {
    Duration::from_millis(most)
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what the plan doesn't.
    pub seed: u64,
    pub members: u16,
    /// Whether there is a group when it begins.
    pub founded: Founded,
    pub temper: Temper,
    /// By their moments, since the start.
    pub deeds: Vec<(Duration, Deed)>,
    /// What chance does to single messages and writes; drawn by the temper's odds if it is not given.
    pub quirks: Option<BTreeMap<Place, Quirk>>,
    /// When the faults stop.
    pub end: Duration,
    /// Who stays away for a while after that, if the others can go on.
    pub absent: Vec<MemberId>,
}

/// How likely faults are that happen by chance, and how the group is set up.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    pub lost_permille: u32,
    pub doubled_permille: u32,
    pub late_permille: u32,
    pub delay: Duration,
    pub ambush_permille: u32,
    pub snapshot_ms: u64,
    pub small_bounds: SmallBounds,
    pub patience: Patience,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallBounds {
    /// The defaults.
    No,
    /// So small that each is hit.
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The default times.
    Usual,
    /// A tenth of them, so that ten times as much happens.
    Little,
}

/// How a schedule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Founded {
    /// With a group that was founded before.
    Before,
    /// With empty disks, so that the group has to be founded first.
    Here,
}

/// Something that is done at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// These calls of clients are proposed together.
    Propose {
        at: MemberId,
        calls: Vec<u16>,
    },
    Read {
        at: MemberId,
    },
    /// All make their state durable, so that logs may be purged.
    SyncStates,
    /// A member crashes; these peers hear of it by their connections.
    Crash {
        who: MemberId,
        heard: Vec<(MemberId, Duration)>,
    },
    Restart {
        who: MemberId,
    },
    /// A member crashes, and soon starts again.
    Bounce {
        who: MemberId,
    },
    /// A member's disk is lost, unless too many are already; it starts again with an empty one.
    LoseDisk {
        who: MemberId,
    },
    /// The disk that a member lost last turns up again.
    ReturnDisk {
        who: MemberId,
    },
    /// Links are cut, each in one direction.
    Cut {
        links: Vec<(MemberId, MemberId)>,
    },
    Heal,
    Pause {
        who: MemberId,
        time: Duration,
    },
    SlowDisk {
        who: MemberId,
        sync: Duration,
    },
    WrongClock {
        who: MemberId,
        ahead_ms: i64,
    },
    Disconnect {
        who: MemberId,
        from: MemberId,
    },
}

impl Plan {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let members = *[1, 2, 3, 3, 4, 5, 5, 5].choose(&mut random).unwrap();
        let faults_per_second: u32 = *[0, 5, 20, 50].choose(&mut random).unwrap();
        let deeds_per_second: u32 = *[10, 20, 100, 400].choose(&mut random).unwrap();
        let faults_permille = (faults_per_second * 1000 / deeds_per_second).min(1000);
        let temper = Temper::draw(&mut random);
        let end = ms(random.random_range(500..6000));
        let founded = *[Founded::Before, Founded::Before, Founded::Here].choose(&mut random).unwrap();
        let mut drawing = Drawing { random, members };
        let (mut deeds, mut at) = (Vec::new(), Duration::ZERO);
        if founded == Founded::Here {
            deeds = drawing.starts();
        }
        while at < end {
            let pause = 2_000_000 / u64::from(deeds_per_second);
            at += Duration::from_micros(drawing.random.random_range(0..pause));
            deeds.push((at, drawing.of_a_client()));
            if drawing.random.random_ratio(faults_permille, 1000) {
                deeds.extend(drawing.fault().into_iter().map(|deed| (at, deed)));
            }
        }
        deeds.sort_by_key(|(at, _)| *at);
        let absent = drawing.absent();
        Plan { seed, members, founded, temper, deeds, quirks: None, end: at, absent }
    }
}

impl Temper {
    fn draw(random: &mut impl Rng) -> Temper {
        Temper {
            lost_permille: *[0, 0, 10, 100, 300].choose(random).unwrap(),
            doubled_permille: *[0, 0, 20, 200].choose(random).unwrap(),
            late_permille: *[0, 10, 200].choose(random).unwrap(),
            delay: *[ms(0), ms(1), ms(10)].choose(random).unwrap(),
            ambush_permille: *[0, 100, 500].choose(random).unwrap(),
            snapshot_ms: *[2, 50, 1000].choose(random).unwrap(),
            small_bounds: *[SmallBounds::No, SmallBounds::Yes].choose(random).unwrap(),
            patience: *[Patience::Usual, Patience::Little, Patience::Little].choose(random).unwrap(),
        }
    }

    pub fn configure(&self, config: &mut Config) {
        if self.patience == Patience::Little {
            let timing = &mut config.timing;
            for time in [
                &mut timing.heartbeat,
                &mut timing.silence,
                &mut timing.first_contact,
                &mut timing.hold_up,
                &mut timing.change_timeout,
                &mut timing.join_delay,
                &mut timing.put_out,
                &mut timing.put_out_most,
                &mut timing.snapshot_retry,
            ] {
                *time /= 10;
            }
        }
        if self.small_bounds == SmallBounds::Yes {
            config.bounds.max_unsequenced_requests = 8;
            config.bounds.max_slot_requests = 3;
            config.bounds.max_uncommitted_slots = 16;
            config.bounds.max_future_slots = 4;
            config.bounds.max_roster_lag_slots = 8;
            config.bounds.keep_log_slots = 8;
            config.bounds.hold_log_slots = 400;
            config.bounds.max_resend_bytes = 500;
            config.bounds.max_waiting_reads = 4;
            config.bounds.max_read_rounds = 1;
        }
    }
}

/// Draws deeds.
struct Drawing {
    random: StdRng,
    members: u16,
}

impl Drawing {
    fn all(&self) -> impl Iterator<Item = MemberId> + use<> {
        (0..self.members).map(MemberId)
    }

    fn any(&mut self) -> MemberId {
        MemberId(self.random.random_range(0..self.members))
    }

    /// Nobody, or a few.
    fn absent(&mut self) -> Vec<MemberId> {
        let count = self.random.random_range(0..=usize::from(self.members / 2));
        let all: Vec<_> = self.all().collect();
        all.choose_multiple(&mut self.random, count).copied().collect()
    }

    /// All start for the first time, in any order.
    fn starts(&mut self) -> Vec<(Duration, Deed)> {
        let late = *[0, 20, 1000].choose(&mut self.random).unwrap();
        let start = |who| (ms(self.random.random_range(0..=late)), Deed::Restart { who });
        (0..self.members).map(MemberId).map(start).collect()
    }

    /// What clients and the driver do.
    fn of_a_client(&mut self) -> Deed {
        let at = self.any();
        match self.random.random_range(0..10) {
            0..6 => {
                let count = self.random.random_range(1..4);
                Deed::Propose { at, calls: (0..count).map(|_| self.random.random_range(0..CALLS)).collect() }
            }
            6..9 => Deed::Read { at },
            _ => Deed::SyncStates,
        }
    }

    fn fault(&mut self) -> Vec<Deed> {
        let who = self.any();
        let deed = match self.random.random_range(0..18) {
            0 | 1 => self.crash(who),
            2..5 => return vec![Deed::Restart { who }, Deed::Read { at: who }],
            5 => return self.all().map(|who| self.crash(who)).collect(),
            6 | 7 => Deed::Cut { links: self.partition() },
            8 | 9 => Deed::Heal,
            10 => Deed::Pause { who, time: ms(self.random.random_range(0..1500)) },
            11 => {
                let sync = ms(*[0, 1, 1, 20, 300, 1500].choose(&mut self.random).unwrap());
                Deed::SlowDisk { who, sync }
            }
            12 => {
                let ahead_ms = *[0, 0, -500, 3000, -100_000, 1_000_000].choose(&mut self.random).unwrap();
                Deed::WrongClock { who, ahead_ms }
            }
            13 => Deed::Disconnect { who, from: self.any() },
            14 | 15 => Deed::LoseDisk { who },
            16 => Deed::ReturnDisk { who },
            _ => Deed::Bounce { who },
        };
        vec![deed]
    }

    /// A crash, of which the peers mostly hear by their connections.
    fn crash(&mut self, who: MemberId) -> Deed {
        let mut heard = Vec::new();
        for peer in self.all().filter(|peer| *peer != who) {
            if self.random.random_ratio(3, 4) {
                heard.push((peer, Duration::from_micros(self.random.random_range(100..2000))));
            }
        }
        Deed::Crash { who, heard }
    }

    /// Some links are cut, in one direction or in both.
    fn partition(&mut self) -> Vec<(MemberId, MemberId)> {
        let side: Vec<bool> = self.all().map(|_| self.random.random()).collect();
        let style = self.random.random_range(0..5);
        let alone = self.any();
        let links = self.all().flat_map(|from| self.all().map(move |to| (from, to)));
        let links: Vec<_> = links.filter(|(from, to)| from != to).collect();
        let mut is_cut = |(from, to): &(MemberId, MemberId)| {
            let crosses = side[usize::from(from.0)] != side[usize::from(to.0)];
            match style {
                0 => crosses,
                1 => crosses && side[usize::from(from.0)],
                2 => *from == alone,
                3 => *from == alone || *to == alone,
                _ => self.random.random_ratio(1, 4),
            }
        };
        links.into_iter().filter(|link| is_cut(link)).collect()
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Propose { at, calls } => write!(f, "{at} proposes the calls {calls:?}"),
            Deed::Read { at } => write!(f, "{at} reads"),
            Deed::SyncStates => write!(f, "all sync their states"),
            Deed::Crash { who, heard } => {
                write!(f, "{who} crashes")?;
                let mut separator = "; noticed by ";
                for (peer, after) in heard {
                    write!(f, "{separator}{peer} after {after:?}")?;
                    separator = ", ";
                }
                Ok(())
            }
            Deed::Restart { who } => write!(f, "{who} starts again"),
            Deed::Bounce { who } => write!(f, "{who} crashes, and soon starts again"),
            Deed::LoseDisk { who } => write!(f, "{who} loses its disk, if not too many are lost"),
            Deed::ReturnDisk { who } => write!(f, "{who} gets back the disk that it lost last, if it may"),
            Deed::Cut { links } => {
                write!(f, "cut:")?;
                links.iter().try_for_each(|(from, to)| write!(f, " {from}→{to}"))
            }
            Deed::Heal => write!(f, "all links are whole again"),
            Deed::Pause { who, time } => write!(f, "{who} does nothing for {time:?}"),
            Deed::SlowDisk { who, sync } => write!(f, "{who}'s disk takes {sync:?}"),
            Deed::WrongClock { who, ahead_ms } => write!(f, "{who}'s clock is {ahead_ms} ms ahead"),
            Deed::Disconnect { who, from } => write!(f, "{who} loses its connection to {from}"),
        }
    }
}

impl fmt::Display for Plan {
    /// As a list for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, members, founded) = (self.seed, self.members, self.founded);
        writeln!(f, "seed {seed}, {members} members, founded {founded:?}, {:?}", self.temper)?;
        for (at, deed) in &self.deeds {
            writeln!(f, "{:>9.3} ms  {deed}", at.as_secs_f64() * 1e3)?;
        }
        for who in &self.absent {
            writeln!(
                f,
                "{:>9.3} ms  {who} stays away for a while, if the others can go on",
                self.end.as_secs_f64() * 1e3
            )?;
        }
        for (place, quirk) in self.quirks.iter().flatten() {
            writeln!(f, "{:>12}  {}", "by chance", quirk_at(place, quirk))?;
        }
        Ok(())
    }
}

fn quirk_at(place: &Place, quirk: &Quirk) -> String {
    match (place, quirk) {
        (Place::Message { from, to, number }, Quirk::Copies(copies)) => match &copies[..] {
            [] => format!("message {number} {from}→{to} is lost"),
            [times] => format!("message {number} {from}→{to} takes {times} times as long"),
            times => {
                format!("message {number} {from}→{to} arrives {} times, {times:?} times as late", times.len())
            }
        },
        (Place::DelicateWrite { node, number }, Quirk::Crash(after)) => {
            format!("{node} crashes {after:?} after its delicate write {number}")
        }
        (Place::DelicateWrite { node, number }, Quirk::LoseDisk(after)) => {
            format!("{node} loses its disk {after:?} after its delicate write {number}, if it may")
        }
        (place, quirk) => format!("{place:?}: {quirk:?}"),
    }
}
