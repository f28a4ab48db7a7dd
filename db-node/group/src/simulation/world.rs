//! A simulated group with its clients, and what is found out about it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep};

use super::disks::{Disks, MemoryLog, MemoryState};
use super::executor;
use super::history::{Call, Operation, Outcome, violation};
use super::machine::{Counters, add, number};
use super::network::{From, Network};
use crate::handle::{Failure, GroupHandle, Protocol};
use crate::raft::{Changed, Loaded, LogStore, Running, SeatChange, Seats, start_with};
use crate::replica::Replica;

const COUNTERS: [&str; 3] = ["a", "b", "c"];
/// How long a client rests at most between two calls.
const REST_MAX: Duration = Duration::from_millis(60);
/// How long all may take to serve again when nothing hinders them any more.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// More are not added.
const MEMBERS_MAX: usize = 6;
/// A change that was refused so often when all is well is not made any more.
const REFUSALS: usize = 5;

pub(super) struct World {
    pub(super) network: Network,
    /// By their seats.
    pub(super) members: RefCell<Vec<Member>>,
    founders: usize,
    disks: Disks,
    scratch: tempfile::TempDir,
    histories: RefCell<BTreeMap<&'static str, Vec<Operation>>>,
    /// By log index, the checksum of the state there, and whose it was first.
    states: RefCell<BTreeMap<u64, (u32, usize)>>,
    time: Cell<u64>,
    stopping: Cell<bool>,
}

/// What a member is to the group, as far as the world can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Member,
    /// It was asked for, and nobody has said yet that it is so.
    Joining,
    /// It was asked that it be removed, and nobody has said yet that it is so.
    Leaving,
    /// It was removed, or never taken in. It may turn up all the same.
    Gone,
}

pub(super) struct Member {
    standing: Standing,
    /// The cluster file as it was when the member came.
    file: Seats,
    log: MemoryLog,
    state: MemoryState,
    disk: u128,
    pub(super) running: Option<(GroupHandle, Running)>,
}

impl Member {
    fn new(disks: Disks, file: Seats) -> Member {
        let disk = executor::draw(|random| random.random()).unwrap_or(0);
        let (log, state) = (MemoryLog::new(disks), MemoryState::default());
        Member { standing: Standing::Member, file, log, state, disk, running: None }
    }
}

fn address(seat: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(seat + 1).unwrap()))
}

fn file(seats: impl Iterator<Item = usize>) -> Seats {
    seats.map(|seat| (seat, (name(seat), address(seat)))).collect()
}

fn name(seat: usize) -> String {
    format!("member-{seat}")
}

impl World {
    pub(super) async fn new(count: usize, disks: Disks) -> Rc<World> {
        let world = Rc::new(World {
            network: Network::default(),
            members: RefCell::new((0..count).map(|_| Member::new(disks, file(0..count))).collect()),
            founders: count,
            disks,
            scratch: tempfile::tempdir().unwrap(),
            histories: RefCell::default(),
            states: RefCell::default(),
            time: Cell::new(0),
            stopping: Cell::new(false),
        });
        for at in 0..count {
            world.start(at).await;
        }
        world
    }

    pub(super) fn count(&self) -> usize {
        self.members.borrow().len()
    }

    pub(super) fn is_up(&self, at: usize) -> bool {
        self.members.borrow()[at].running.is_some()
    }

    pub(super) fn handle(&self, at: usize) -> Option<GroupHandle> {
        self.members.borrow()[at].running.as_ref().map(|(handle, _)| handle.clone())
    }

    pub(super) async fn start(&self, at: usize) {
        let (file, log, state, disk) = {
            let members = self.members.borrow();
            let Member { file, log, state, disk, .. } = &members[at];
            (file.clone(), log.clone(), state.clone(), *disk)
        };
        let scratch = self.scratch.path().into();
        let load = async move {
            let (log, replica) = (LogStore::open(log).unwrap(), Replica::over(Arc::new(state)).unwrap());
            Loaded::<Counters> { path: format!("the disk of member {at}"), disk, log, replica, scratch }
        };
        let loaded = executor::spawn_on(Some(at), load).await.unwrap();
        let dial = Arc::new(From { network: self.network.clone(), at });
        let start = start_with("simulated".into(), (at, file), loaded, dial);
        let (handle, service, running) = executor::spawn_on(Some(at), start).await.unwrap().unwrap();
        self.network.listen(at, service);
        self.members.borrow_mut()[at].running = Some((handle, running));
    }

    /// Ends a member at once; its disk loses what was not synced.
    pub(super) fn kill(&self, at: usize) {
        let running = self.members.borrow_mut()[at].running.take();
        self.network.hang_up(at);
        executor::kill(at);
        drop(running);
        let members = self.members.borrow();
        members[at].log.crash();
        members[at].state.crash();
    }

    /// Has a member stop in good order.
    pub(super) async fn stop(&self, at: usize) {
        let running = self.members.borrow_mut()[at].running.take();
        if let Some((handle, running)) = running {
            executor::spawn_on(Some(at), running.stop()).await.unwrap().unwrap();
            drop(handle);
        }
        self.kill(at);
    }

    pub(super) fn lose_disk(&self, at: usize) {
        self.kill(at);
        let file = self.members.borrow()[at].file.clone();
        self.members.borrow_mut()[at] = Member::new(self.disks, file);
    }

    fn standing(&self, at: usize) -> Standing {
        self.members.borrow()[at].standing
    }

    fn set_standing(&self, at: usize, standing: Standing) {
        self.members.borrow_mut()[at].standing = standing;
    }

    fn with_standing(&self, standing: Standing) -> Vec<usize> {
        (0..self.count()).filter(|at| self.standing(*at) == standing).collect()
    }

    pub(super) fn is_member(&self, at: usize) -> bool {
        self.standing(at) == Standing::Member
    }

    fn changes(&self) -> bool {
        (0..self.count()).any(|at| matches!(self.standing(at), Standing::Joining | Standing::Leaving))
    }

    /// Starts a new node, which knows those that are members now, and has it added. One change at a time.
    pub(super) async fn add(self: &Rc<Self>) {
        let members = self.with_standing(Standing::Member);
        if self.changes() || members.len() >= MEMBERS_MAX {
            return;
        }
        let at = self.count();
        let new = Member::new(self.disks, file(members.into_iter().chain([at])));
        self.members.borrow_mut().push(Member { standing: Standing::Joining, ..new });
        self.start(at).await;
        let world = Rc::clone(self);
        executor::spawn_on(None, async move { world.ask_for(at).await });
    }

    /// Has a member removed.
    pub(super) fn remove(self: &Rc<Self>, at: usize) {
        if self.changes() || !self.is_member(at) {
            return;
        }
        self.set_standing(at, Standing::Leaving);
        let world = Rc::clone(self);
        executor::spawn_on(None, async move { world.ask_for(at).await });
    }

    /// Asks some member that runs for the change that is wanted of this seat, and notes what became of it. Whether it was
    /// refused for good shows only when nothing else happens any more.
    async fn ask_for(&self, at: usize) -> Option<Changed> {
        let change = match self.standing(at) {
            Standing::Joining => SeatChange::Add { seat: at, name: name(at), address: address(at) },
            Standing::Leaving => SeatChange::Remove { seat: at, name: name(at), address: None },
            Standing::Member | Standing::Gone => return None,
        };
        let running: Vec<usize> = self.with_standing(Standing::Member);
        let running: Vec<usize> = running.into_iter().filter(|at| self.is_up(*at)).collect();
        let via = executor::draw(|random| running.get(random.random_range(0..running.len().max(1))).copied());
        let via = via.flatten()?;
        let roster = self.members.borrow()[via].running.as_ref().map(|(_, running)| running.roster())?;
        let changed = executor::spawn_on(Some(via), async move { roster.change(change).await }).await.ok()?;
        match (&changed, self.standing(at)) {
            (Changed::Done | Changed::Learning, Standing::Joining) => self.set_standing(at, Standing::Member),
            (Changed::Done, Standing::Leaving) => self.set_standing(at, Standing::Gone),
            _ => {}
        }
        Some(changed)
    }

    /// Asks for changes that are still wanted until they have come about, or it is certain that they don't.
    async fn finish_changes(&self, begun: Instant) {
        let mut refusals = 0;
        while self.changes() {
            assert!(begun.elapsed() < RECOVERY_MAX, "a change does not come about: {:?}", self.statuses());
            for at in 0..self.count() {
                // One that was refused may have been begun by an earlier leader, whose entry is found again.
                if let Some(Changed::Refused(_)) = self.ask_for(at).await {
                    refusals += 1;
                    let (joins, last) = (self.standing(at) == Standing::Joining, refusals >= REFUSALS);
                    if last {
                        self.set_standing(at, if joins { Standing::Gone } else { Standing::Member });
                    }
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Has a member build a snapshot and shorten its log, if it runs; it may be killed meanwhile.
    pub(super) fn compact(self: &Rc<Self>, at: usize) {
        let world = Rc::clone(self);
        executor::spawn_on(Some(at), async move {
            let compacting = {
                let members = world.members.borrow();
                members[at].running.as_ref().map(|(_, running)| running.compact())
            };
            if let Some(compacting) = compacting {
                // It fails if the member stops.
                let _ = compacting.await;
            }
        });
    }

    fn tick(&self) -> u64 {
        self.time.set(self.time.get() + 1);
        self.time.get()
    }

    /// A client that calls one member after the other, until it is told to stop.
    pub(super) fn spawn_client(self: &Rc<Self>) {
        let world = Rc::clone(self);
        executor::spawn_on(None, async move {
            while !world.stopping.get() {
                let (at, counter, call) = executor::draw(|random| {
                    let call = if random.random_ratio(1, 2) { Call::Add } else { Call::Read };
                    (random.random_range(0..world.count()), random.random_range(0..COUNTERS.len()), call)
                })
                .unwrap_or((0, 0, Call::Read));
                if let Some(handle) = world.handle(at) {
                    world.call(&handle, COUNTERS[counter], call).await;
                }
                sleep(executor::random_below(REST_MAX).unwrap_or(REST_MAX)).await;
            }
        });
    }

    async fn call(&self, handle: &GroupHandle, counter: &'static str, call: Call) -> Outcome {
        let begun = self.tick();
        let answer = match call {
            Call::Add => handle.execute(add(counter, 1)).await,
            Call::Read => handle.query(counter.into()).await,
        };
        let outcome = match answer {
            Ok(answer) => Outcome::Answered(number(&answer)),
            Err(Failure::OutcomeUnknown(_)) => Outcome::Unknown,
            Err(Failure::Unavailable(_) | Failure::Overloaded { .. }) => Outcome::Refused,
            Err(malformed @ Failure::Malformed(_)) => panic!("{malformed}"),
        };
        let ended = self.tick();
        let operation = Operation { call, outcome, begun, ended };
        self.histories.borrow_mut().entry(counter).or_default().push(operation);
        outcome
    }

    /// Compares the states of members with those that others had at the same place in the log.
    pub(super) async fn compare_states(&self) {
        for at in 0..self.count() {
            let Some(handle) = self.handle(at) else { continue };
            let Ok((index, sum)) = handle.checksum().await else { continue };
            let (first, whose) = *self.states.borrow_mut().entry(index).or_insert((sum, at));
            assert_eq!(sum, first, "members {at} and {whose} have other states at {index}");
        }
    }

    /// Whether all members run and have their seats for certain, and none comes or goes.
    pub(super) fn all_serve(&self) -> bool {
        let mut members = self.with_standing(Standing::Member).into_iter();
        !self.changes() && members.all(|at| self.handle(at).is_some_and(|handle| serves(&handle)))
    }

    /// Waits until all members serve, and become equal, and checks all that clients have seen.
    pub(super) async fn settle(&self) -> Summary {
        self.stopping.set(true);
        let begun = Instant::now();
        self.finish_changes(begun).await;
        while !self.all_serve() {
            assert!(begun.elapsed() < RECOVERY_MAX, "not all serve again: {:?}", self.statuses());
            sleep(Duration::from_millis(50)).await;
        }
        let members = self.with_standing(Standing::Member);
        for counter in COUNTERS {
            for at in members.iter().copied() {
                let handle = self.handle(at).unwrap();
                for call in [Call::Add, Call::Read] {
                    // A leader that was paused may just be about to hear of its successor.
                    while !matches!(self.call(&handle, counter, call).await, Outcome::Answered(_)) {
                        let serves = begun.elapsed() < RECOVERY_MAX;
                        assert!(serves, "member {at} answers no {call:?}: {:?}", self.statuses());
                    }
                }
            }
        }
        let begun = Instant::now();
        while !self.all_at_one_place() {
            assert!(begun.elapsed() < RECOVERY_MAX, "not all catch up: {:?}", self.statuses());
            sleep(Duration::from_millis(50)).await;
        }
        self.compare_states().await;
        let says_it_serves =
            |at: &usize| self.handle(*at).is_some_and(|handle| handle.status().not_ready_because.is_none());
        while let Some(at) = self.with_standing(Standing::Gone).into_iter().find(says_it_serves) {
            let hears_of_it = begun.elapsed() < RECOVERY_MAX;
            assert!(hears_of_it, "member {at} was removed, and thinks that it serves: {:?}", self.statuses());
            sleep(Duration::from_millis(50)).await;
        }
        let histories = self.histories.borrow();
        for (counter, history) in histories.iter() {
            if let Some(why) = violation(history) {
                panic!("what clients saw of {counter:?} is not linearizable: {why}");
            }
        }
        let all = || histories.values().flatten();
        let answered = all().filter(|operation| matches!(operation.outcome, Outcome::Answered(_))).count();
        let (states, gone) = (self.states.borrow().len(), self.with_standing(Standing::Gone).len());
        let added = self.count() - self.founders;
        Summary { operations: all().count(), answered, states, added, removed: gone }
    }

    fn all_at_one_place(&self) -> bool {
        let members = self.with_standing(Standing::Member).into_iter();
        let mut applied = members.map(|at| self.handle(at).map(|handle| handle.status().applied));
        let first = applied.next().flatten();
        first.is_some() && applied.all(|other| other == first)
    }

    fn statuses(&self) -> Vec<Option<crate::handle::GroupStatus>> {
        (0..self.count()).map(|at| self.handle(at).map(|handle| handle.status())).collect()
    }
}

fn serves(handle: &GroupHandle) -> bool {
    let status = handle.status();
    status.not_ready_because.is_none()
        && matches!(status.protocol, Some(Protocol::Raft { role: "leader" | "follower", .. }))
}

/// What a simulation has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) operations: usize,
    pub(super) answered: usize,
    /// Places in the log at which states were compared.
    pub(super) states: usize,
    /// Nodes that were to be added.
    pub(super) added: usize,
    /// Nodes that were removed, or not added.
    pub(super) removed: usize,
}
