//! Who leads: asked again and again while the faults go on, and put on the timeline when it changes.

use std::sync::Arc;
use std::time::Duration;

use agora_cluster::Checksums;
use tokio_util::sync::CancellationToken;

use super::timeline::{Happening, Timeline};
use crate::subject::Subject;

const ASK_EVERY: Duration = Duration::from_millis(250);

/// Watches until told to stop.
pub async fn observe(cluster: Subject, timeline: Arc<Timeline>, stop: CancellationToken) {
    let (mut term, mut epoch) = (None, None);
    while stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await.is_some() {
        let Some(status) = stop.run_until_cancelled(cluster.status(Checksums::Skip)).await else { return };
        let Ok(status) = status else { continue };
        let leads = status.processes.iter().filter_map(|p| Some((p.term?, p.leader.clone()?))).max();
        let coordinates =
            status.processes.iter().filter_map(|p| Some((p.epoch?, p.epoch_coordinator.clone()?))).max();
        for (group, now, before) in
            [("product term", leads, &mut term), ("customer epoch", coordinates, &mut epoch)]
        {
            if now > *before
                && let Some((term, process)) = now.clone()
            {
                timeline.add(Happening::Leads { group, process, term });
                *before = now;
            }
        }
    }
}
