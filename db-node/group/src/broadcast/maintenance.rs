//! Proposes the state machine's own maintenance when it is due.
//!
//! Any member may; to propose it once rather than five times, each waits until it has been due for as long as its
//! index says. The first member acts at once, and the others then find nothing to do.

use std::time::Duration;

use agora_machine::{StateMachine, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock;
use crate::{GroupHandle, Replica};

/// How often it is asked whether something is due.
const PERIOD: Duration = Duration::from_secs(1);
/// While there is more to do than one command takes, it is asked this often.
const PERIOD_BUSY: Duration = Duration::from_millis(100);
/// How much longer than its predecessor a member waits for others to act.
const STAGGER: Duration = Duration::from_millis(500);

pub(super) async fn run<M: StateMachine>(
    replica: Replica<M>,
    group: GroupHandle,
    me: usize,
    stop: CancellationToken,
) {
    let patience = STAGGER * u32::try_from(me).unwrap_or(u32::MAX);
    let mut due_since: Option<Instant> = None;
    let mut period = PERIOD;
    while stop.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        period = PERIOD;
        let asked = replica.clone();
        let due = tokio::task::spawn_blocking(move || asked.maintenance(Timestamp(clock::wall_ms())));
        let Ok(Some(command)) = due.await else {
            due_since = None;
            continue;
        };
        if due_since.get_or_insert_with(Instant::now).elapsed() < patience {
            continue;
        }
        match group.execute(command).await {
            Ok(_) => period = PERIOD_BUSY,
            // It is still due then, and proposed again.
            Err(failure) => tracing::debug!(%failure, "maintenance was not replicated"),
        }
    }
}
