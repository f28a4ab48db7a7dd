//! The run on the terminal while it goes on: the timeline, and beneath it a bar with the number of operations.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::faults::Entry;
use crate::history::Recorder;
use crate::say::say;

const REFRESH: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    bar: ProgressBar,
    _ticking: DropGuard,
}

impl Progress {
    /// Shows how far the run is, until it is finished or dropped.
    pub fn start(length: Duration, recorder: Arc<Recorder>) -> Self {
        let bar = ProgressBar::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        // The template is fixed; should it be wrong, the plain bar does, too.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let stop = CancellationToken::new();
        let (ticks, stopped) = (bar.clone(), stop.clone());
        tokio::spawn(async move {
            while stopped.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
                let counts = recorder.counts();
                ticks.set_position(u64::try_from(ticks.elapsed().as_millis()).unwrap_or(u64::MAX));
                ticks.set_message(format!(
                    "{} done, {} refused or failed, {} unknown",
                    counts.ok, counts.fail, counts.info
                ));
            }
        });
        Progress { bar, _ticking: stop.drop_guard() }
    }

    /// What tells of the timeline. Without a terminal the bar is not there, and the lines are all there is.
    pub fn teller(&self) -> impl Fn(&Entry) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |entry| {
            let line = format!("{:8.3} s  {}", entry.at().as_secs_f64(), entry.happening);
            if bar.is_hidden() { say!("{line}") } else { bar.println(line) }
        }
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
