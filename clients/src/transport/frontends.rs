//! The frontends that a client knows, and what it remembers of their health. Shared by all clients that were made from one
//! another, so that each learns from the others' failures.

use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng;
use tokio::time::Instant;

use crate::error::Error;

/// How long a frontend that failed is left alone: doubles with each failure in a row…
const AVOID_FIRST: Duration = Duration::from_millis(100);
/// …up to this.
const AVOID_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Frontends {
    members: Vec<Frontend>,
}

#[derive(Debug)]
struct Frontend {
    url: String,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures_in_a_row: u32,
    avoid_until: Option<Instant>,
}

/// The frontend to try, and how long to leave it alone before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub index: usize,
    pub not_before: Option<Instant>,
}

impl Frontends {
    /// Checks the addresses: `http://host:port`, or `host:port` for short.
    pub fn new(servers: &[String]) -> Result<Self, Error> {
        let mut members: Vec<Frontend> = Vec::new();
        for server in servers {
            let url = base_url(server)?;
            if members.iter().all(|known| known.url != url) {
                members.push(Frontend { url, health: Mutex::default() });
            }
        }
        if members.is_empty() {
            return Err(Error::Configuration("no server is given".into()));
        }
        Ok(Frontends { members })
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn url(&self, index: usize) -> &str {
        &self.members[index % self.members.len()].url
    }

    /// The preferred one if nothing speaks against it, else the next in turn, else the one that may be tried first.
    pub fn choose(&self, preferred: usize, now: Instant) -> Choice {
        let count = self.members.len();
        let mut soonest: Option<Choice> = None;
        for index in (0..count).map(|step| (preferred + step) % count) {
            match self.members[index].health.lock().avoid_until.filter(|until| *until > now) {
                None => return Choice { index, not_before: None },
                until if soonest.is_none_or(|best| until < best.not_before) => {
                    soonest = Some(Choice { index, not_before: until });
                }
                Some(_) => {}
            }
        }
        soonest.unwrap_or(Choice { index: preferred % count, not_before: None })
    }

    /// Whether any frontend may be tried at once.
    pub fn any_well(&self, now: Instant) -> bool {
        self.choose(0, now).not_before.is_none()
    }

    pub fn served(&self, index: usize) {
        *self.members[index].health.lock() = Health::default();
    }

    /// It is down, or hangs.
    pub fn failed(&self, index: usize, now: Instant, rng: &mut impl Rng) {
        let mut health = self.members[index].health.lock();
        let doublings = health.failures_in_a_row.min(10);
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        let bound = (AVOID_FIRST * 2_u32.pow(doublings)).min(AVOID_MAX);
        // Jitter, or clients that failed together come back together.
        health.avoid_until = Some(now + bound.mul_f64(rng.random_range(0.5..=1.0)));
    }

    /// It is alive, but asks to be left alone for a while.
    pub fn busy(&self, index: usize, until: Instant) {
        self.members[index].health.lock().avoid_until = Some(until);
    }
}

fn base_url(server: &str) -> Result<String, Error> {
    let wrong = |why: &str| {
        Error::Configuration(format!(
            "\"{server}\" is no server address: {why} (right: http://127.0.0.1:8201)"
        ))
    };
    let has_port =
        server.rsplit_once(':').is_some_and(|(_, port)| port.trim_end_matches('/').parse::<u16>().is_ok());
    if !server.contains("://") && !has_port {
        return Err(wrong("a port is missing"));
    }
    let text = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let url = reqwest::Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "http" {
        return Err(wrong("only http is spoken"));
    }
    if url.host_str().is_none_or(str::is_empty) || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must be a host and a port"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Frontends {
        Frontends::new(&["a:1".into(), "http://b:2/".into(), "c:3".into()]).unwrap()
    }

    #[test]
    fn addresses_are_checked_and_named_once() {
        let frontends = Frontends::new(&["127.0.0.1:8201".into(), "http://127.0.0.1:8201/".into()]).unwrap();
        assert_eq!((frontends.len(), frontends.url(0)), (1, "http://127.0.0.1:8201"));
        for wrong in
            ["", "https://a", "ftp://a", "http://", "a b", "http://a?b", "nonsense", "a:b", "a:99999"]
        {
            assert!(matches!(Frontends::new(&[wrong.into()]), Err(Error::Configuration(_))), "{wrong:?}");
        }
        assert!(Frontends::new(&[]).is_err());
    }

    #[test]
    fn stays_with_a_frontend_while_it_is_well_and_comes_to_the_next_when_it_is_not() {
        let (frontends, now, mut rng) = (three(), Instant::now(), rand::rng());
        assert_eq!(frontends.choose(1, now), Choice { index: 1, not_before: None });
        frontends.failed(1, now, &mut rng);
        assert_eq!(frontends.choose(1, now).index, 2);
        frontends.failed(2, now, &mut rng);
        assert_eq!(frontends.choose(1, now).index, 0);
        assert_eq!(
            frontends.choose(1, now + AVOID_MAX).index,
            1,
            "failures are not held against it for ever"
        );
        frontends.served(1);
        assert_eq!(frontends.choose(1, now).index, 1);
    }

    #[test]
    fn with_none_well_waits_for_the_one_that_may_be_tried_first() {
        let (frontends, now) = (three(), Instant::now());
        for (index, ms) in [(0, 300), (1, 100), (2, 200)] {
            frontends.busy(index, now + Duration::from_millis(ms));
        }
        assert!(!frontends.any_well(now));
        let choice = frontends.choose(0, now);
        assert_eq!(choice, Choice { index: 1, not_before: Some(now + Duration::from_millis(100)) });
    }

    #[test]
    fn one_that_fails_again_and_again_is_left_alone_longer_but_not_for_ever() {
        let (frontends, now, mut rng) =
            (Frontends::new(&["a:1".into()]).unwrap(), Instant::now(), rand::rng());
        let mut waits = Vec::new();
        for _ in 0..40 {
            frontends.failed(0, now, &mut rng);
            waits.push(frontends.choose(0, now).not_before.unwrap() - now);
        }
        assert!(
            waits[0] <= AVOID_FIRST
                && waits[39] >= AVOID_MAX / 2
                && waits.iter().all(|wait| *wait <= AVOID_MAX)
        );
    }
}
