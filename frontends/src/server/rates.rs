//! How many requests each client may make: so many in a second, and as many at once. One client that asks without end does
//! not take the place of the others.
//!
//! The generic cell rate algorithm (ITU-T I.371): per client one point in time, up to which what it asked for so far is paid.
//! A client may be ahead of the clock by one second's worth.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How far ahead of the clock a client may be.
const AHEAD_MOST: Duration = Duration::from_secs(1);
/// Clients that are told apart. Those beyond share one account until earlier ones are quiet.
const CLIENTS_MOST: usize = 65_536;

/// Who asks: the hash of whatever tells clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(u64);

impl Client {
    /// The client that is known by this.
    pub fn of(known_by: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        known_by.hash(&mut hasher);
        Client(hasher.finish())
    }

    /// All those for whom there is no room.
    const CROWD: Client = Client(0);
}

/// The accounts of all clients.
pub struct Rates {
    /// What one request costs.
    interval: Duration,
    paid_until: Mutex<HashMap<Client, Instant>>,
}

impl Rates {
    /// So many requests a second for each client.
    pub fn new(per_second: u32) -> Self {
        Rates { interval: AHEAD_MOST / per_second.max(1), paid_until: Mutex::default() }
    }

    /// Lets a request pass, or tells when to come back.
    ///
    /// # Errors
    /// How long to wait.
    pub fn pass(&self, client: Client, now: Instant) -> Result<(), Duration> {
        let mut paid_until = self.paid_until.lock();
        if paid_until.len() >= CLIENTS_MOST && !paid_until.contains_key(&client) {
            paid_until.retain(|_, until| *until > now);
        }
        let full = paid_until.len() >= CLIENTS_MOST;
        let client = if full && !paid_until.contains_key(&client) { Client::CROWD } else { client };
        let account = paid_until.entry(client).or_insert(now);
        let until = (*account).max(now) + self.interval;
        let ahead = until.saturating_duration_since(now);
        if ahead > AHEAD_MOST {
            return Err(ahead - AHEAD_MOST);
        }
        *account = until;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_client_may_ask_a_second_s_worth_at_once_and_then_at_its_rate() {
        let (rates, start) = (Rates::new(10), Instant::now());
        let client = Client::of("one");
        assert!((0..10).all(|_| rates.pass(client, start).is_ok()));
        assert_eq!(rates.pass(client, start), Err(100 * MS));
        assert_eq!(rates.pass(client, start + 99 * MS), Err(MS));
        assert_eq!(rates.pass(client, start + 100 * MS), Ok(()));
        assert_eq!(rates.pass(client, start + 100 * MS), Err(100 * MS));
        assert!(
            (0..10).all(|_| rates.pass(client, start + 2_000 * MS).is_ok()),
            "what was saved up is bounded"
        );
        assert!(rates.pass(client, start + 2_000 * MS).is_err());
    }

    #[test]
    fn clients_do_not_take_from_each_other() {
        let (rates, start) = (Rates::new(1), Instant::now());
        assert!(rates.pass(Client::of("one"), start).is_ok());
        assert!(rates.pass(Client::of("one"), start).is_err());
        assert!(rates.pass(Client::of("other"), start).is_ok());
    }

    #[test]
    fn the_accounts_are_bounded_and_newcomers_share_one_until_others_are_quiet() {
        let (rates, start) = (Rates::new(1), Instant::now());
        for n in 0..CLIENTS_MOST {
            assert!(rates.pass(Client::of(n), start).is_ok());
        }
        assert!(rates.pass(Client::of("first of the crowd"), start).is_ok());
        assert!(rates.pass(Client::of("second of the crowd"), start).is_err());
        assert!(rates.paid_until.lock().len() <= CLIENTS_MOST + 1);
        assert!(rates.pass(Client::of("late"), start + 2 * AHEAD_MOST).is_ok());
        assert_eq!(rates.paid_until.lock().len(), 1);
    }
}
