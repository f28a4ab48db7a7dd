//! What the kills cost: JSON for machines, lines for people.

use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Group;

/// One kill -9.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub victim: String,
    /// From the signal to the first success.
    pub next: Duration,
    /// From the signal until each client has had one.
    pub all: Duration,
    /// From the signal until it was started and taken in again.
    pub taken_in: Duration,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    group: Group,
    clients: usize,
    pub kills: Vec<Kill>,
}

/// The one in the middle, and the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    median: Duration,
    worst: Duration,
}

impl Report {
    pub fn new(group: Group, clients: usize) -> Self {
        Report { group, clients, kills: Vec::new() }
    }

    fn summary(&self, of: impl Fn(&Kill) -> Duration) -> Summary {
        let mut times: Vec<Duration> = self.kills.iter().map(of).collect();
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        // Of an even number the later one of the two in the middle: no better than it was.
        Summary { median: at(times.len() / 2), worst: at(times.len().saturating_sub(1)) }
    }

    /// For people.
    pub fn text(&self) -> String {
        let (next, all) = (self.summary(|kill| kill.next), self.summary(|kill| kill.all));
        let taken_in = self.summary(|kill| kill.taken_in);
        format!(
            "{}, {} kills, {} clients: next success after {} in the median, {} at worst; every client's next after {} and {}; \
             taken in again after {} and {}",
            self.group.as_str(),
            self.kills.len(),
            self.clients,
            ms(next.median),
            ms(next.worst),
            ms(all.median),
            ms(all.worst),
            ms(taken_in.median),
            ms(taken_in.worst),
        )
    }
}

impl std::fmt::Display for Kill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kill { victim, next, all, taken_in } = self;
        write!(
            f,
            "{victim:<12} next success after {:>9}   every client's after {:>9}   taken in again after {:>9}",
            ms(*next),
            ms(*all),
            ms(*taken_in)
        )
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Serialize for Kill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut kill = serializer.serialize_struct("Kill", 4)?;
        kill.serialize_field("victim", &self.victim)?;
        kill.serialize_field("next_us", &us(self.next))?;
        kill.serialize_field("all_us", &us(self.all))?;
        kill.serialize_field("taken_in_us", &us(self.taken_in))?;
        kill.end()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (next, all) = (self.summary(|kill| kill.next), self.summary(|kill| kill.all));
        let mut report = serializer.serialize_struct("Report", 7)?;
        report.serialize_field("target", self.group.as_str())?;
        report.serialize_field("clients", &self.clients)?;
        report.serialize_field("median_us", &us(next.median))?;
        report.serialize_field("worst_us", &us(next.worst))?;
        report.serialize_field("all_median_us", &us(all.median))?;
        report.serialize_field("all_worst_us", &us(all.worst))?;
        report.serialize_field("kills", &self.kills)?;
        report.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_worst_are_told_whatever_the_order() {
        let mut report = Report::new(Group::Customer, 2);
        for next in [30, 10, 90, 20] {
            let (next, all) = (Duration::from_millis(next), Duration::from_millis(next + 5));
            report.kills.push(Kill { victim: "customer-1".into(), next, all, taken_in: all });
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["target"], &json["kills"][0]["victim"]),
            (&"customer".into(), &"customer-1".into())
        );
        let told = ["median_us", "worst_us", "all_median_us", "all_worst_us"]
            .map(|name| json[name].as_u64().unwrap());
        assert_eq!(told, [30_000, 90_000, 35_000, 95_000]);
        assert!(report.text().contains("30.0 ms in the median, 90.0 ms at worst"));
    }
}
