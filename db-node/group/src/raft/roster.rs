//! Adding members to the group and taking them away, while it goes on.
//!
//! What is decided, and where: who has a seat is the membership in the replicated log, which only the leader changes, by joint
//! consensus; a wish for a change may be told to any member, which brings it to the leader. The wish names a seat and its node. For
//! a new one the leader asks at its address who it is, since to the group a node is its seat together with its disk (see
//! `node_id`). Nobody is removed who is not the one that was named: two may have thought of the same seat for different nodes.
//!
//! What is so already, or can't be, is said without a write, and must be true all the same: the leader first makes sure, as for
//! a read, that it still is one, and goes by a membership that is committed.
//!
//! A new node starts with an empty directory and a cluster file that names it. It founds nothing, since those that it knows say
//! that there is a group. Once the leader has entered it as a learner, the membership has its seat, and what else has to
//! be done is done by whoever leads, as for a node that has lost its disk (see `membership`): when the learner has caught
//! up it gets the vote of its seat. All members open links to it as soon as their log names it (see `seats`).
//!
//! A node that is to go is left out of the membership by joint consensus, also if it is dead. A leader that is to go lets
//! another one lead first. Nothing is changed if those that stay could not go on by themselves. Who was left out is sent
//! nothing any more, so that it never reads in its own log that it was. It asks whether an election is worth while, as
//! anybody does who hears no leader; who knows better by what is committed says so, and it then stands for election no more,
//! answers no reads, and says in its status that it was removed.
//!
//! One change at a time, and one seat in each: what is asked for again after it has come about is done already.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agora_proto::raft as pb;
use agora_proto::raft::raft_reply::Body as Reply;
use agora_proto::raft::raft_request::Body as Request;
use futures::future::join_all;
use openraft::ChangeMembers;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::election::Election;
use super::leadership;
use super::membership::has_caught_up;
use super::proposer::Proposer;
use super::read_index::ReadIndex;
use super::seat_change::{Changed, SeatChange, from_pb, to_pb};
use super::types::{Member, Membership, NodeId};
use super::view::{Metrics, View};

/// So many seats a group has at most: each voter more makes each write wait for more disks.
pub const SEATS_MAX: usize = 9;
/// Fewer voters than these don't bear the loss of one, so none is taken away that would leave fewer.
pub const VOTERS_MIN: usize = 3;

/// So many wishes are dealt with at a time.
const WISHES_MAX: usize = 8;
/// The time from one attempt to hand over to the next, at first and at most.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(500);
const HAND_OVER_AGAIN_MOST: Duration = Duration::from_secs(8);
/// How long the leader is looked for, and asked again if it can't do it now.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a change at the leader may take. openraft finishes or drops it by itself.
const STEP_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a leader may take to make sure that it is one.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);
const UNDER_WAY: &str = "another change of the membership is under way";
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

/// When a leader that is to go may try again to hand over: commands wait during each attempt.
#[derive(Debug, Default)]
struct Patience {
    pause: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// Whether it may be tried now. If so, the next attempt is to be later, by twice as much as the last time.
    fn is_over(&mut self, now: Instant) -> bool {
        let is_over = self.until.is_none_or(|until| now >= until);
        if is_over {
            self.pause = (self.pause * 2).clamp(HAND_OVER_AGAIN, HAND_OVER_AGAIN_MOST);
            self.until = Some(now + self.pause);
        }
        is_over
    }
}

/// Changes who has a seat. Cheap to clone.
#[derive(Clone)]
pub struct Roster {
    view: View,
    election: Election,
    proposer: Proposer,
    read_index: ReadIndex,
    /// A permit for each wish that is dealt with.
    wishes: Arc<Semaphore>,
    /// Between attempts to hand over.
    patience: Arc<parking_lot::Mutex<Patience>>,
    /// Held through each change of the membership that this node makes while it leads.
    one_at_a_time: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roster of node {}", self.view.me)
    }
}

impl Roster {
    pub(crate) fn new(view: View, election: Election, proposer: Proposer, read_index: ReadIndex) -> Roster {
        let wishes = Arc::new(Semaphore::new(WISHES_MAX));
        let (patience, one_at_a_time) = (Arc::default(), Arc::default());
        Roster { view, election, proposer, read_index, wishes, patience, one_at_a_time }
    }

    /// For as long as the result lives, nobody else changes the membership from here.
    pub(crate) async fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.one_at_a_time.lock().await
    }

    /// Lets another node lead, as this one is to go. If that comes to nothing, it is tried again after growing pauses.
    pub(crate) async fn hand_over(&self) {
        if !self.patience.lock().is_over(Instant::now()) {
            return;
        }
        leadership::hand_over(&self.view, &self.election, &self.proposer).await;
        if !self.view.leads() {
            *self.patience.lock() = Patience::default();
        }
    }

    /// Has the leader make the change, wherever it is, and asks again for a while if it can't be made now.
    pub async fn change(&self, change: SeatChange) -> Changed {
        let Ok(_permit) = self.wishes.try_acquire() else { return Changed::Overloaded };
        let deadline = Instant::now() + WITHIN;
        loop {
            let why = match self.try_change(&change).await {
                Changed::NotNow(why) => why,
                decided => return decided,
            };
            if Instant::now() >= deadline {
                return Changed::NotNow(why);
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_change(&self, change: &SeatChange) -> Changed {
        match self.view.leader() {
            None => Changed::NotNow("no leader is known".into()),
            Some(leader) if leader == self.view.me => self.lead(change).await,
            Some(leader) => {
                let request = Request::ChangeSeat(to_pb(change));
                match timeout(WITHIN, self.view.links.request(leader, request)).await {
                    Ok(Ok(Reply::ChangeSeat(reply))) => from_pb(reply),
                    Ok(Ok(_)) => Changed::NotNow("the leader replied to something else".into()),
                    Ok(Err(error)) => Changed::NotNow(error.to_string()),
                    Err(_) => Changed::NotNow("the leader does not answer".into()),
                }
            }
        }
    }

    /// Makes a change that a peer asks for, if this node leads.
    pub(crate) async fn lead_for_peer(&self, change: &SeatChange) -> Changed {
        let Ok(_permit) = self.wishes.try_acquire() else { return Changed::Overloaded };
        self.lead(change).await
    }

    /// Makes the change, if this node leads. Returns as soon as that is certain, or after a while.
    async fn lead(&self, change: &SeatChange) -> Changed {
        let made = async {
            let _one_at_a_time = self.one_at_a_time().await;
            if let Err(why) = self.make_certain().await {
                return Changed::NotNow(why);
            }
            match change {
                SeatChange::Add { seat, name, address } => self.add(*seat, name, *address).await,
                SeatChange::Remove { seat, name, address } => self.remove(*seat, name, *address).await,
            }
        };
        let changed = timeout(STEP_TIMEOUT, made).await;
        let changed = changed.unwrap_or_else(|_| Changed::NotNow("it takes long".into()));
        tracing::info!(?change, ?changed, "was asked to change the group's membership");
        changed
    }

    /// Makes sure that this node leads and that the membership it goes by is committed, with all that was before this call:
    /// what is so already, and what can't be, is said without writing anything, and is to hold all the same.
    async fn make_certain(&self) -> Result<(), String> {
        if !self.view.leads() {
            return Err("the node that was asked does not lead any more".into());
        }
        let confirmed = timeout(CONFIRM_TIMEOUT, self.read_index.confirm()).await.ok().flatten();
        let index = confirmed.ok_or("no majority confirms that the node that was asked leads")?;
        let mut changes = self.view.metrics_changes();
        let is_applied = |metrics: &Metrics| metrics.last_applied.map_or(0, |id| id.index) >= index;
        let applied = changes.wait_for(|metrics| metrics.running_state.is_err() || is_applied(metrics)).await;
        let metrics = applied.map_err(|_| "the node that was asked is stopping")?;
        match metrics.running_state.is_ok() && *metrics.membership_config.log_id() <= metrics.last_applied {
            true => Ok(()),
            false => Err(UNDER_WAY.into()),
        }
    }

    fn membership(&self) -> Membership {
        self.view.metrics().membership_config.membership().clone()
    }

    async fn add(&self, seat: usize, name: &str, address: SocketAddr) -> Changed {
        let membership = self.membership();
        let about = Member { name: name.to_owned(), address: address.to_string() };
        match place_for(&membership, seat, &about) {
            Place::Free => {}
            Place::Taken(changed) => return changed,
        }
        let node = match self.view.links.who_is_at(seat, address).await {
            Ok(node) => node,
            Err(why) => {
                return Changed::NotNow(format!("no node for seat {seat} answers at {address}: {why}"));
            }
        };
        match self.view.raft.add_learner(node, about, false).await {
            Ok(_) => Changed::Learning,
            Err(error) => Changed::NotNow(error.to_string()),
        }
    }

    async fn remove(&self, seat: usize, name: &str, address: Option<SocketAddr>) -> Changed {
        let membership = self.membership();
        let Some(voters) = only_config(&membership) else { return under_way() };
        if let Some(why) = is_of_another(&membership, seat, name, address) {
            return Changed::Refused(why);
        }
        let of_seat = |node: &NodeId| node.seat() == seat;
        let learners: BTreeSet<NodeId> = membership.learner_ids().filter(of_seat).collect();
        let (going, staying): (BTreeSet<NodeId>, BTreeSet<NodeId>) =
            voters.iter().copied().partition(of_seat);
        let votes = !going.is_empty();
        if !votes && learners.is_empty() {
            return Changed::Done;
        }
        if votes {
            if staying.len() < VOTERS_MIN {
                let left = staying.len();
                return Changed::Refused(format!(
                    "{left} voters would be left, and {VOTERS_MIN} are the fewest that bear the loss of one"
                ));
            }
            let (answer, fit) = self.look_at(&staying).await;
            if let Some(not) = why_not_without(staying.len(), answer, fit) {
                return not;
            }
            if self.view.me.seat() == seat {
                self.hand_over().await;
                return Changed::NotNow("the leader is to go, and lets another one lead first".into());
            }
        }
        // Learners first: one that is left in the seat would be taken for a node that is being added.
        if !learners.is_empty() {
            let forgotten =
                self.view.raft.change_membership(ChangeMembers::RemoveNodes(learners), true).await;
            if let Err(error) = forgotten {
                return Changed::NotNow(error.to_string());
            }
        }
        if votes {
            // Only these, whoever else has a vote by then.
            let left = self.view.raft.change_membership(ChangeMembers::RemoveVoters(going), false).await;
            if let Err(error) = left {
                return Changed::NotNow(error.to_string());
            }
        }
        Changed::Done
    }

    /// How many of these answer, and how many of them are known to have about all of the log.
    async fn look_at(&self, nodes: &BTreeSet<NodeId>) -> (usize, usize) {
        let asked = nodes.iter().map(async |node| {
            if *node == self.view.me {
                return (true, true);
            }
            let probe = self.view.links.request(*node, Request::Probe(pb::Probe {}));
            let answers = matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(Reply::Probe(_))));
            (answers, answers && has_caught_up(&self.view.metrics(), *node))
        });
        let looked_at = join_all(asked).await;
        let count = |is: fn(&(bool, bool)) -> bool| looked_at.iter().filter(|node| is(node)).count();
        (count(|(answers, _)| *answers), count(|(_, fit)| *fit))
    }
}

/// Why it must not be that only these voters are left, of whom so many answer, and so many are also up to date: a change that
/// a majority of them does not agree to would hold up all others. Those that answer will be up to date soon: how far a
/// follower is, a new leader does not know at first.
fn why_not_without(left: usize, answer: usize, fit: usize) -> Option<Changed> {
    if fit > left / 2 {
        None
    } else if answer > left / 2 {
        Some(Changed::NotNow(format!(
            "of the {left} voters that would be left only {fit} are up to date yet"
        )))
    } else {
        Some(Changed::Refused(format!(
            "of the {left} voters that would be left only {answer} answer: no majority"
        )))
    }
}

fn under_way() -> Changed {
    Changed::NotNow(UNDER_WAY.into())
}

/// The voters, unless a change from some to others is under way.
fn only_config(membership: &Membership) -> Option<&BTreeSet<NodeId>> {
    match membership.get_joint_config().as_slice() {
        [voters] => Some(voters),
        _ => None,
    }
}

enum Place {
    Free,
    Taken(Changed),
}

/// Whether there is a place for a new member.
fn place_for(membership: &Membership, seat: usize, about: &Member) -> Place {
    let refused = |why: String| Place::Taken(Changed::Refused(why));
    let Some(voters) = only_config(membership) else { return Place::Taken(under_way()) };
    let mut learning = None;
    for (node, other) in membership.nodes() {
        let votes = voters.iter().any(|voter| voter.seat() == node.seat());
        if node.seat() == seat {
            return match other == about {
                true if votes => Place::Taken(Changed::Done),
                true => Place::Taken(Changed::Learning),
                false => refused(format!("seat {seat} is that of {:?} at {}", other.name, other.address)),
            };
        }
        if other.address == about.address || (other.name == about.name && !about.name.is_empty()) {
            return refused(format!(
                "{:?} at {} has seat {} already",
                other.name,
                other.address,
                node.seat()
            ));
        }
        if !votes {
            learning = Some(other);
        }
    }
    let seats: BTreeSet<usize> = membership.nodes().map(|(node, _)| node.seat()).collect();
    if seats.len() >= SEATS_MAX {
        return refused(format!("the group has {} members, and {SEATS_MAX} are the most", seats.len()));
    }
    match learning {
        Some(other) => {
            refused(format!("{:?} at {} is just being added: one after the other", other.name, other.address))
        }
        None => Place::Free,
    }
}

/// Why nobody may be removed from a seat: it is that of another node than was thought. One that joined before members had
/// names is known by its seat alone, unless an address is given.
fn is_of_another(
    membership: &Membership,
    seat: usize,
    name: &str,
    address: Option<SocketAddr>,
) -> Option<String> {
    let address = address.map(|address| address.to_string());
    let is_meant = |other: &Member| match &address {
        Some(address) => other.name == name && other.address == *address,
        None => other.name == name || other.name.is_empty(),
    };
    let mut of_seat = membership.nodes().filter(|(node, _)| node.seat() == seat);
    let (_, other) = of_seat.find(|(_, other)| !is_meant(other))?;
    Some(format!("seat {seat} is that of {:?} at {}", other.name, other.address))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn about(seat: u64) -> Member {
        Member { name: format!("product-{seat}"), address: format!("10.0.0.1:{}", seat + 100) }
    }

    fn membership(configs: &[&[u64]], learners: &[u64]) -> Membership {
        let node = |seat: &u64| NodeId::from(seat << 48 | 7);
        let voters = configs.iter().map(|config| config.iter().map(node).collect()).collect();
        let all = configs.iter().copied().flatten().chain(learners);
        Membership::new(voters, all.map(|seat| (node(seat), about(*seat))).collect::<BTreeMap<_, _>>())
    }

    fn taken(membership: &Membership, seat: usize, about: &Member) -> Option<Changed> {
        match place_for(membership, seat, about) {
            Place::Free => None,
            Place::Taken(changed) => Some(changed),
        }
    }

    fn refusal(membership: &Membership, seat: usize, about: &Member) -> String {
        match taken(membership, seat, about) {
            Some(Changed::Refused(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_new_seat_is_free_and_what_is_so_already_is_done() {
        let group = membership(&[&[0, 1, 2]], &[]);
        assert_eq!(taken(&group, 3, &about(3)), None);
        assert_eq!(taken(&group, 2, &about(2)), Some(Changed::Done));
        assert_eq!(taken(&membership(&[&[0, 1, 2]], &[3]), 3, &about(3)), Some(Changed::Learning));
    }

    #[test]
    fn what_can_not_be_is_refused_with_the_reason() {
        let group = membership(&[&[0, 1, 2]], &[]);
        assert!(refusal(&group, 2, &about(3)).contains("seat 2 is that of \"product-2\" at 10.0.0.1:102"));
        assert!(refusal(&group, 3, &about(1)).contains("has seat 1 already"));
        let same_name = Member { address: "10.0.0.9:1".into(), ..about(1) };
        assert!(refusal(&group, 3, &same_name).contains("has seat 1 already"));
        let full = membership(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8]], &[]);
        assert!(refusal(&full, 9, &about(9)).contains("9 are the most"));
        let busy = membership(&[&[0, 1, 2]], &[3]);
        assert!(refusal(&busy, 4, &about(4)).contains("\"product-3\" at 10.0.0.1:103 is just being added"));
    }

    #[test]
    fn who_answers_is_waited_for_and_who_does_not_is_no_voter_to_count_on() {
        for (left, answer, fit) in [(3, 3, 3), (3, 2, 2), (4, 3, 3), (5, 5, 3)] {
            assert_eq!(why_not_without(left, answer, fit), None);
        }
        for (left, answer, fit) in [(3, 3, 1), (3, 2, 1), (4, 4, 2)] {
            assert!(matches!(why_not_without(left, answer, fit), Some(Changed::NotNow(_))));
        }
        for (left, answer, fit) in [(3, 1, 1), (4, 2, 2), (4, 2, 1)] {
            assert!(matches!(why_not_without(left, answer, fit), Some(Changed::Refused(_))));
        }
    }

    #[test]
    fn a_leader_that_can_not_hand_over_tries_less_and_less_often() {
        let (begun, mut patience) = (Instant::now(), Patience::default());
        let tried = (0..600_u64).filter(|at| patience.is_over(begun + Duration::from_millis(at * 100)));
        assert_eq!(tried.collect::<Vec<_>>(), [0, 5, 15, 35, 75, 155, 235, 315, 395, 475, 555]);
    }

    #[test]
    fn nothing_is_begun_while_a_change_is_under_way() {
        let joint = membership(&[&[0, 1, 2], &[0, 1, 2, 3]], &[]);
        assert!(matches!(taken(&joint, 4, &about(4)), Some(Changed::NotNow(_))));
    }

    #[test]
    fn nobody_is_removed_in_the_place_of_another() {
        let mut group = membership(&[&[0, 1, 2]], &[3]);
        let at = |port: u16| Some(SocketAddr::from(([10, 0, 0, 1], port)));
        for (seat, name, address) in
            [(2, "product-2", None), (3, "product-3", at(103)), (4, "nobody", None), (4, "nobody", at(104))]
        {
            assert_eq!(is_of_another(&group, seat, name, address), None, "{seat}");
        }
        for (seat, name, address) in
            [(2, "product-3", None), (2, "product-2", at(103)), (3, "product-4", at(103))]
        {
            let why = is_of_another(&group, seat, name, address).unwrap();
            assert!(why.contains(&format!("seat {seat} is that of \"product-{seat}\"")), "{why}");
        }
        // From the days before names.
        let nameless = NodeId::from(1_u64 << 48 | 9);
        let about = Member { name: String::new(), address: "10.0.0.1:101".into() };
        group = Membership::new(vec![BTreeSet::from([nameless])], BTreeMap::from([(nameless, about)]));
        assert_eq!(is_of_another(&group, 1, "product-1", None), None);
        assert!(is_of_another(&group, 1, "product-1", at(101)).is_some());
    }
}
