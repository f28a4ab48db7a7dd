//! A process that is killed in the middle of the load.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Successes, Target};
use crate::bench::site::Site;
use crate::names::Alias;

/// Who is to be killed, and when: `leader@5s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    /// A process or an alias; `leader` is the node that matters most to the target.
    who: String,
    /// So long after the measurement has begun.
    at: Duration,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (who, at) = text.split_once('@').ok_or("must be WHO@TIME, as in leader@5s")?;
        if who.is_empty() {
            return Err("must name who is killed, as in leader@5s".into());
        }
        let at = humantime::parse_duration(at).map_err(|error| format!("{at:?} is no time: {error}"))?;
        Ok(Kill { who: who.to_owned(), at })
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Killed {
    pub name: String,
    /// Seconds after the measurement had begun.
    pub at_s: f64,
    /// Until the first success of a call that began after it; none if there was none.
    pub recovered_us: Option<u64>,
}

impl Kill {
    /// Whether it comes before the end of a measurement.
    pub fn is_within(&self, measured: Duration) -> bool {
        self.at < measured
    }

    fn name(&self, target: Target) -> &str {
        match (self.who.as_str(), target) {
            ("leader", Target::Customer) => Alias::CustomerSequencer.as_str(),
            ("leader", Target::Product | Target::Rest) => Alias::ProductLeader.as_str(),
            (who, _) => who,
        }
    }

    /// Kills when it is time. None if the measurement was stopped before.
    pub async fn carry_out(
        &self,
        site: &Site,
        target: Target,
        (start, successes): (tokio::time::Instant, &Successes),
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Killed>> {
        tokio::select! {
            () = tokio::time::sleep_until(start + self.at) => {}
            () = stop.cancelled() => return Ok(None),
        }
        successes.lost_at(start.elapsed());
        let at_s = start.elapsed().as_secs_f64();
        let name = site.kill(self.name(target)).await?;
        Ok(Some(Killed { name, at_s, recovered_us: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_when() {
        let kill: Kill = "leader@5s".parse().unwrap();
        assert_eq!(kill, Kill { who: "leader".into(), at: Duration::from_secs(5) });
        assert_eq!(
            (kill.name(Target::Customer), kill.name(Target::Product)),
            ("customer-sequencer", "product-leader")
        );
        let kill: Kill = "buyer-2@300ms".parse().unwrap();
        assert_eq!(kill.name(Target::Rest), "buyer-2");
        assert!(kill.is_within(Duration::from_secs(1)) && !kill.is_within(Duration::from_millis(300)));
        for wrong in ["leader", "@5s", "leader@", "leader@soon", "leader@-1s"] {
            assert!(wrong.parse::<Kill>().is_err(), "{wrong}");
        }
    }
}
