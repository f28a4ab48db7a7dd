//! What the driver tells the outside of its group, now and then, and which changes it logs.

use std::time::{Duration, Instant};

use agora_broadcast::{Epoch, Member, Slot, Standing, Status};
use tokio::sync::watch;

use crate::handle::{GroupStatus, Protocol};

/// A status is at most this old while the group works.
const PERIOD: Duration = Duration::from_millis(20);

/// Tells the status.
pub(super) struct StatusReport {
    report: watch::Sender<GroupStatus>,
    told: Option<Instant>,
    epoch: Option<Epoch>,
    standing: Option<Standing>,
    dropped: u64,
}

impl StatusReport {
    pub(super) fn new() -> (Self, watch::Receiver<GroupStatus>) {
        let starting =
            GroupStatus { not_ready_because: Some("it is starting".into()), ..GroupStatus::default() };
        let (report, status) = watch::channel(starting);
        (StatusReport { report, told: None, epoch: None, standing: None, dropped: 0 }, status)
    }

    /// Called every turn: tells what is new, if the last time was long enough ago. The protocol's heartbeat makes sure that
    /// there is a turn soon after the last change.
    pub(super) fn tell(&mut self, member: &Member, applied: Slot, dropped: u64) {
        if self.told.is_some_and(|told| told.elapsed() < PERIOD) {
            return;
        }
        self.told = Some(Instant::now());
        let status = member.status();
        self.log_changes(&status, dropped);
        self.report.send_replace(group_status(&status, applied));
    }

    fn log_changes(&mut self, status: &Status, dropped: u64) {
        if self.epoch.replace(status.epoch) != Some(status.epoch) {
            let roster: Vec<_> = status.roster.iter().map(|place| place.member.0).collect();
            tracing::info!(epoch = %status.epoch, ?roster, incarnation = status.incarnation.0, last = status.last.0, "in epoch");
        }
        if self.standing.replace(status.standing) != Some(status.standing) {
            let (silent, wants_change) = (&status.silent, &status.wants_change);
            tracing::info!(standing = ?status.standing, ?silent, ?wants_change, committed = status.committed.0, "standing");
        }
        if dropped > self.dropped {
            tracing::warn!(frames = dropped - self.dropped, "frames dropped: a peer takes them too slowly");
            self.dropped = dropped;
        }
    }
}

fn group_status(status: &Status, applied: Slot) -> GroupStatus {
    let not_ready_because = match status.standing {
        Standing::Serving => None,
        Standing::CutOff => Some("it hears no majority of its group".into()),
        Standing::ChangingEpoch => Some("its group changes the epoch".into()),
        Standing::CatchingUp => Some(format!("it catches up: at slot {} of {}", applied, status.last)),
    };
    GroupStatus {
        not_ready_because,
        applied: applied.0,
        last: status.last.0,
        first: status.base.0 + 1,
        committed: status.committed.0,
        protocol: Some(Protocol::Broadcast {
            epoch: (status.epoch.counter, status.epoch.coordinator.0.into()),
            roster: status.roster.iter().map(|place| place.member.0.into()).collect(),
            next_owner: status.next_owner.0.into(),
            incarnation: status.incarnation.0,
        }),
    }
}
