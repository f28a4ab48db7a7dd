//! Golden scenarios: each script in `tests/scenarios` tells one behaviour, and the trace below each step is the proof.
//!
//! `UPDATE_GOLDENFILES=1 cargo test -p agora-broadcast --test scenarios` writes the traces anew; read them before you commit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the simulator uses more of it")]
mod world;

use std::error::Error;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use agora_broadcast::{Body, Config, MemberId};
use bytes::Bytes;
use world::World;
use world::trace::Detail;

#[derive(goldenscript::Command)]
enum Command {
    /// Starts a group. A message takes `delay`, a sync `sync`.
    Group {
        members: u16,
        #[arg(key)]
        delay: Option<Time>,
        #[arg(key)]
        sync: Option<Time>,
        #[arg(key)]
        max_unsequenced: Option<usize>,
        #[arg(key)]
        max_uncommitted: Option<u64>,
        #[arg(key)]
        max_reads: Option<usize>,
        #[arg(key)]
        keep_slots: Option<u64>,
        #[arg(key)]
        max_resend: Option<usize>,
    },
    /// Members with empty disks, none of which is started yet. A message takes 1 ms, a sync 2 ms.
    EmptyGroup { members: u16 },
    /// Clients propose commands at a member; they become one request.
    Propose(Id, Vec<String>),
    /// A client reads at a member.
    Read(Id),
    /// Lets time pass.
    Run(Time),
    /// Loses messages of a kind, or all, on a link; `count` of them, or all that come.
    Lose {
        from: Id,
        to: Id,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        count: Option<usize>,
    },
    /// Doubles this many of a thousand messages.
    Double(u32),
    /// Messages take between one and this many times the usual time, so that they overtake each other.
    Jumble(u32),
    /// Nothing gets to or from a member.
    Isolate(Id),
    /// Whatever is cut or loses messages is whole again.
    Heal,
    /// Kills a member; what waits for its disk is gone.
    Crash(Id),
    /// Starts a member again from its disk.
    Restart(Id),
    /// A member loses its disk, and starts with an empty one.
    LoseDisk(Id),
    /// The disk that a member lost last turns up again, and the member starts from that.
    ReturnDisk(Id),
    /// The connections to a member break: all others notice.
    Disconnect(Id),
    /// A member does nothing for this long.
    Pause(Id, Time),
    /// Sets how long a member's disk takes for a sync.
    Disk(Id, Time),
    /// Sets how many milliseconds a member's clock is ahead.
    Clock(Id, i64),
    /// All members make their state durable, so that logs may be purged.
    SyncState,
    /// Where each member stands.
    Status,
}

#[derive(Clone, Copy)]
struct Id(MemberId);

impl FromStr for Id {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Id(MemberId(text.strip_prefix('m').ok_or("a member is called m0, m1, …")?.parse()?)))
    }
}

#[derive(Clone, Copy, Default)]
struct Time(Duration);

impl FromStr for Time {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix("ms").ok_or("a time is in ms")?;
        Ok(Time(Duration::from_secs_f64(text.parse::<f64>()? / 1e3)))
    }
}

#[derive(Default)]
struct Script {
    world: Option<World>,
    losses: Vec<Loss>,
}

#[derive(Clone)]
struct Loss {
    from: MemberId,
    to: MemberId,
    kind: Option<String>,
    count: usize,
}

impl Loss {
    fn takes(&mut self, from: MemberId, to: MemberId, body: &Body) -> bool {
        let is_kind = self.kind.as_ref().is_none_or(|kind| format!("{body:?}").starts_with(kind.as_str()));
        let takes = self.count > 0 && (self.from, self.to) == (from, to) && is_kind;
        self.count -= usize::from(takes);
        takes
    }
}

impl Script {
    fn group(&mut self, members: u16, configure: impl Fn(&mut Config) + 'static) -> &mut World {
        let mut world = World::new(members, 1, configure);
        world.sync_takes_all = true;
        world.network.are_buffers_kept = true;
        world.network.delay = Duration::from_millis(1)..Duration::from_millis(1);
        self.world.insert(world)
    }

    fn world(&mut self) -> Result<&mut World, Box<dyn Error>> {
        self.world.as_mut().ok_or_else(|| "there is no group yet".into())
    }
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &goldenscript::Context) -> Result<String, Box<dyn Error>> {
        match command {
            Command::Group {
                members,
                delay,
                sync,
                max_unsequenced,
                max_uncommitted,
                max_reads,
                keep_slots,
                max_resend,
            } => {
                let (max_unsequenced, max_uncommitted) = (*max_unsequenced, *max_uncommitted);
                let (max_reads, keep_slots, max_resend) = (*max_reads, *keep_slots, *max_resend);
                let world = self.group(*members, move |config| {
                    let bounds = &mut config.bounds;
                    bounds.max_unsequenced_requests =
                        max_unsequenced.unwrap_or(bounds.max_unsequenced_requests);
                    bounds.max_uncommitted_slots = max_uncommitted.unwrap_or(bounds.max_uncommitted_slots);
                    bounds.max_waiting_reads = max_reads.unwrap_or(bounds.max_waiting_reads);
                    bounds.keep_log_slots = keep_slots.unwrap_or(bounds.keep_log_slots);
                    bounds.max_resend_bytes = max_resend.unwrap_or(bounds.max_resend_bytes);
                });
                let delay = delay.map_or(Duration::from_millis(1), |delay| delay.0);
                world.network.delay = delay..delay;
                for node in &mut world.nodes {
                    node.sync_time = sync.map_or(Duration::from_millis(2), |sync| sync.0);
                }
                world.run_for(Duration::from_millis(100));
                world.trace.detail = Detail::Story;
            }
            Command::Propose(id, commands) => {
                let commands = commands.iter().map(|command| Bytes::from(command.clone())).collect();
                self.world()?.propose(id.0, commands);
            }
            Command::Read(id) => self.world()?.read(id.0),
            Command::Run(time) => self.world()?.run_for(time.0),
            Command::Lose { from, to, kind, count } => {
                let count = count.unwrap_or(usize::MAX);
                self.losses.push(Loss { from: from.0, to: to.0, kind: kind.clone(), count });
                let mut losses = self.losses.clone();
                let loses =
                    move |from, to, body: &Body| losses.iter_mut().any(|loss| loss.takes(from, to, body));
                self.world()?.network.loses = Some(Box::new(loses));
            }
            Command::Double(permille) => self.world()?.network.doubled_permille = *permille,
            Command::Jumble(times) => {
                let network = &mut self.world()?.network;
                network.delay = network.delay.start..network.delay.start * *times;
            }
            Command::Isolate(id) => {
                let world = self.world()?;
                for other in world.members().filter(|other| *other != id.0) {
                    world.network.cut(id.0, other);
                    world.network.cut(other, id.0);
                }
            }
            Command::Heal => {
                self.losses.clear();
                let network = &mut self.world()?.network;
                network.heal();
                (network.loses, network.doubled_permille) = (None, 0);
                network.delay.end = network.delay.start;
            }
            Command::Crash(id) => {
                let world = self.world()?;
                let applied = world.node(id.0).disk.applied;
                world.crash_keeping(id.0, 0, applied);
            }
            Command::Restart(id) => self.world()?.restart(id.0),
            Command::EmptyGroup { members } => {
                let mut world = World::empty(*members, 1, |_| {});
                world.sync_takes_all = true;
                world.network.are_buffers_kept = true;
                world.network.delay = Duration::from_millis(1)..Duration::from_millis(1);
                for node in &mut world.nodes {
                    node.sync_time = Duration::from_millis(2);
                }
                world.trace.detail = Detail::Story;
                self.world = Some(world);
            }
            Command::LoseDisk(id) => self.world()?.lose_disk(id.0),
            Command::ReturnDisk(id) => self.world()?.return_disk(id.0),
            Command::Disconnect(id) => {
                let world = self.world()?;
                for other in world.members().filter(|other| *other != id.0) {
                    world.lose_peer(other, id.0, Duration::ZERO);
                }
            }
            Command::Pause(id, time) => {
                let world = self.world()?;
                world.node_mut(id.0).paused_until = world.now + time.0;
            }
            Command::Disk(id, time) => self.world()?.node_mut(id.0).sync_time = time.0,
            Command::Clock(id, ahead) => self.world()?.node_mut(id.0).clock_offset_ms = *ahead,
            Command::SyncState => {
                let world = self.world()?;
                world.members().for_each(|id| world.sync_state(id));
            }
            Command::Status => return status(self.world()?),
        }
        Ok(self.world()?.trace.take().into_iter().map(|line| line + "\n").collect())
    }

    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        // The invariants were checked all the way; here just that the script had a group.
        self.world().map(|_| ())
    }
}

fn status(world: &World) -> Result<String, Box<dyn Error>> {
    let mut table = String::new();
    for node in &world.nodes {
        let Some(member) = &node.member else {
            writeln!(table, "{}: down", node.id)?;
            continue;
        };
        let status = member.status();
        let roster: Vec<_> =
            status.roster.iter().map(|seat| format!("{}/{}", seat.member, seat.incarnation.0)).collect();
        writeln!(
            table,
            "{}/{}: {:?}, epoch {}, roster {}, log {}–{}, committed {}, delivered {}, next owner {}",
            status.me,
            status.incarnation.0,
            status.standing,
            status.epoch,
            roster.join(" "),
            status.base.next(),
            status.last,
            status.committed,
            status.delivered,
            status.next_owner,
        )?;
    }
    Ok(table)
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/", stringify!($name));
                goldenscript::run(&mut Script::default(), script).unwrap();
            }
        )*

        #[test]
        fn every_script_is_run() {
            let known = [$(stringify!($name)),*];
            for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios")).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(&name.as_str()), "{name} is not run");
            }
        }
    };
}

scenarios![
    a_write_at_the_owner_takes_one_multicast_one_sync_and_one_acknowledgement,
    a_write_elsewhere_takes_one_hop_more,
    requests_that_wait_together_share_a_slot,
    an_idle_group_only_beats,
    a_lost_sequence_is_asked_for_from_its_owner,
    a_lost_request_is_asked_for_from_its_sender,
    doubled_and_overtaking_messages_change_nothing,
    a_slot_is_committed_by_a_majority_of_all,
    reads_that_wait_share_a_round,
    a_read_sees_every_write_acknowledged_before,
    a_cut_off_member_refuses_reads_and_writes,
    too_many_requests_are_refused,
    too_many_reads_are_refused,
    a_dead_owner_is_put_out_at_once,
    a_silent_owner_is_put_out_in_time,
    a_request_that_died_with_its_sender_keeps_nobody_out,
    a_restarted_member_takes_no_turn_before_it_is_taken_in,
    an_observer_that_is_cut_off_disturbs_nobody,
    an_assignment_that_only_its_dead_owner_knew_is_dropped,
    an_empty_member_gives_up_an_epoch_that_was_lost_with_its_coordinator,
    a_coordinator_that_dies_is_replaced,
    all_members_crash_and_come_back,
    a_member_that_was_away_catches_up_from_logs,
    a_member_that_was_away_too_long_needs_a_snapshot,
    a_member_far_behind_goes_on_fetching_when_the_epoch_changes_again,
    what_was_fetched_is_left_out_where_the_next_epoch_differs,
    a_slow_disk_costs_the_turn,
    a_wrong_clock_costs_the_turn,
    a_member_that_is_not_heard_is_put_out,
    an_owner_that_lives_but_holds_up_its_slot_is_put_out,
    a_paused_owner_wakes_up_too_late,
    questions_for_what_is_missing_become_rarer,
    an_owner_that_is_too_far_ahead_of_the_disks_waits,
    a_clock_that_jumps_takes_nobody_along,
    a_group_is_founded_once_all_are_empty,
    a_group_is_not_founded_while_one_does_not_answer,
    a_member_that_lost_its_disk_is_taken_in_again,
    a_member_that_lost_its_disk_does_not_vote,
    a_founder_that_lost_its_disk_founds_no_second_group,
    a_bond_to_a_lost_founder_ends_when_a_majority_is_in_a_group,
    a_longer_log_may_ask_for_an_epoch_whatever_the_shorter_one_says_of_seats,
    a_lost_disk_that_turns_up_again_has_to_be_taken_in_too,
    two_lost_disks_of_five_are_replaced_one_after_the_other,
    a_disk_is_lost_while_the_epoch_changes,
    a_learner_that_crashes_goes_on_where_it_was,
    a_coordinator_that_dies_with_what_only_it_had_is_replaced,
];
