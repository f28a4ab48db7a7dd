//! What the driver tells the outside of its group, now and then, and which changes it logs.
//!
//! Each epoch is one line in the log of each member that is in it, with the reason and what it changes: of its coordinator that it
//! began it, of the others that they joined it. A member that was started again knows no reason for the epoch in which it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agora_broadcast::{
    CatchUp, Epoch, Health, Means, Member, MemberId, MemberList, Outside, Reason, Slot, Standing, Status,
};
use tokio::sync::watch;

use crate::handle::{GroupStatus, Protocol};

/// A status is at most this old while the group works.
const PERIOD: Duration = Duration::from_millis(20);

/// Tells the status.
pub(super) struct StatusReport {
    /// The members' names, by their ids.
    names: Vec<String>,
    report: watch::Sender<GroupStatus>,
    told: Option<Instant>,
    prepared: Option<Epoch>,
    epoch: Option<Epoch>,
    roster: Vec<MemberId>,
    standing: Option<Standing>,
    members: Option<Arc<MemberList>>,
    dropped: u64,
}

impl StatusReport {
    pub(super) fn new(names: Vec<String>) -> (Self, watch::Receiver<GroupStatus>) {
        let starting =
            GroupStatus { not_ready_because: Some("it is starting".into()), ..GroupStatus::default() };
        let (report, status) = watch::channel(starting);
        let report = StatusReport {
            names,
            report,
            told: None,
            prepared: None,
            epoch: None,
            roster: Vec::new(),
            standing: None,
            members: None,
            dropped: 0,
        };
        (report, status)
    }

    /// Called every turn: tells what is new, if there is another epoch or the last time was long enough ago. The protocol's
    /// heartbeat makes sure that there is a turn soon after the last change.
    pub(super) fn tell(&mut self, member: &Member, applied: Slot, dropped: u64) {
        self.log_preparation(member);
        let is_same_epoch = self.epoch == Some(member.epoch());
        if is_same_epoch && self.told.is_some_and(|told| told.elapsed() < PERIOD) {
            return;
        }
        self.told = Some(Instant::now());
        let status = member.status();
        self.log_epoch(&status);
        self.log_changes(&status, dropped);
        self.report.send_replace(self.group_status(&status, applied));
    }

    fn log_preparation(&mut self, member: &Member) {
        if let Some((epoch, reason)) = member.prepared()
            && self.prepared.replace(epoch) != Some(epoch)
        {
            tracing::info!(%epoch, reason = self.reason(&reason), "preparing an epoch");
        }
    }

    fn log_epoch(&mut self, status: &Status) {
        if self.epoch.replace(status.epoch) == Some(status.epoch) {
            return;
        }
        let roster: Vec<MemberId> = status.roster.iter().map(|seat| seat.member).collect();
        let before = std::mem::replace(&mut self.roster, roster.clone());
        let without = |all: &[MemberId], others: &[MemberId]| {
            let left: Vec<_> = all.iter().copied().filter(|member| !others.contains(member)).collect();
            self.list(&left)
        };
        let (epoch, last, turns) = (status.epoch, status.last.0, self.list(&roster));
        let (taken_in, put_out) = (without(&roster, &before), without(&before, &roster));
        let (reason, incarnation) = (self.epoch_reason(status), status.incarnation.0);
        let did = if epoch.coordinator == status.me && reason.is_some() { "began" } else { "joined" };
        tracing::info!(%epoch, reason, turns, taken_in, put_out, last, incarnation, "{did} an epoch");
    }

    fn log_changes(&mut self, status: &Status, dropped: u64) {
        if self.members.as_ref() != Some(&status.members) {
            let seats: Vec<_> = status.members.seats.iter().map(|seat| seat.disk).collect();
            tracing::info!(?seats, changed = status.members.changed.0, "list of members");
            self.members = Some(Arc::clone(&status.members));
        }
        if self.standing.replace(status.standing) != Some(status.standing) {
            let wants = status.wants_change.map(|reason| self.reason(&reason));
            let (standing, silent) = (status.standing, self.list(&status.silent));
            let outside = status.outside.map(because);
            tracing::info!(?standing, outside, silent, wants, committed = status.committed.0, "standing");
        }
        if dropped > self.dropped {
            tracing::warn!(frames = dropped - self.dropped, "frames dropped: a peer takes them too slowly");
            self.dropped = dropped;
        }
    }

    fn name(&self, member: MemberId) -> &str {
        self.names.get(usize::from(member.0)).map_or("nobody", String::as_str)
    }

    fn list(&self, members: &[MemberId]) -> String {
        members.iter().map(|member| self.name(*member)).collect::<Vec<_>>().join(" ")
    }

    fn epoch_reason(&self, status: &Status) -> Option<String> {
        status.why.map(|why| self.reason(&why))
    }

    /// Why there should be another epoch, for people.
    fn reason(&self, reason: &Reason) -> String {
        match reason {
            Reason::IncarnationGone { member, .. } => format!("{} started again", self.name(*member)),
            Reason::DiskLost { member, .. } => {
                format!("{} came back with a new disk", self.name(*member))
            }
            Reason::Silent { member } => format!("{} is silent", self.name(*member)),
            Reason::HoldsUpSlot { member, slot } => format!("{} holds up slot {slot}", self.name(*member)),
            Reason::Unhealthy { member } => format!("{} is not healthy", self.name(*member)),
            Reason::NeverBegan { promised } => format!("epoch {promised} was promised and never began"),
            Reason::WantsIn => "who begins it has caught up and takes turns again".into(),
        }
    }

    fn group_status(&self, status: &Status, applied: Slot) -> GroupStatus {
        let outside_because = status.outside.map(because);
        let not_ready_because = match (status.standing, &outside_because) {
            (Standing::Serving, _) => None,
            (_, Some(why)) => Some(why.clone()),
            (_, None) => Some("it is not in step with its group".into()),
        };
        GroupStatus {
            not_ready_because,
            applied: applied.0,
            last: status.last.0,
            first: status.base.0 + 1,
            committed: status.committed.0,
            protocol: Some(Protocol::Broadcast {
                epoch: (status.epoch.counter, status.epoch.coordinator.0.into()),
                roster: status.roster.iter().map(|seat| seat.member.0.into()).collect(),
                next_owner: status.next_owner.0.into(),
                incarnation: status.incarnation.0,
                epoch_reason: self.epoch_reason(status),
                outside_because,
                disk: status.disk.to_string(),
                seats: status
                    .members
                    .seats
                    .iter()
                    .map(|seat| seat.disk.map(|disk| disk.to_string()))
                    .collect(),
                learners: status.learners.iter().map(|learner| learner.0.into()).collect(),
            }),
        }
    }
}

/// Why a member takes no turns, for people.
fn because(outside: Outside) -> String {
    match outside {
        Outside::Empty => {
            "it knows of no group: it joins that of its peers, or founds one if all of them know of none, too"
                .into()
        }
        Outside::Learns { at, upto } => {
            format!("its disk is a new one, without a seat in the group yet: at slot {at} of {upto}")
        }
        Outside::CutOff => "it hears no majority of its group".into(),
        Outside::CatchesUp(CatchUp { at, upto, by: Means::Log }) => {
            format!("it catches up from the logs of others: at slot {at} of {upto}")
        }
        Outside::CatchesUp(CatchUp { at, upto, by: Means::Snapshot }) => {
            format!(
                "it takes the whole state of another: at slot {at} of {upto}, and logs reach back less far"
            )
        }
        Outside::ChangesEpoch => "its group changes the epoch".into(),
        Outside::Unhealthy(Health::SlowDisk) => "its disk is slow".into(),
        Outside::Unhealthy(Health::SkewedClock) => "its clock is off".into(),
        Outside::Unhealthy(Health::Healthy) | Outside::Waits => {
            "it is up to date and waits to be taken in".into()
        }
    }
}
