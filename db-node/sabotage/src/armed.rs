//! What an armed process does wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Messages, Promise};

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_millis(50);

static BREACH: LazyLock<String> = LazyLock::new(|| std::env::var("AGORA_SABOTAGE").unwrap_or_default());
static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(files);
static MACHINE: Mutex<Option<(Instant, Machine)>> = Mutex::new(None);

/// What is wrong with the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// So much the clock is ahead.
    pub clock_ms: i64,
    /// So long the disk takes to make something durable.
    pub sync_ms: u64,
    /// Whether the disk is full.
    pub full: bool,
    /// What the network does to messages.
    pub messages: Messages,
}

pub(crate) fn breaks(promise: Promise) -> bool {
    *BREACH == promise.breach()
}

/// Where the file may be.
fn files() -> Vec<PathBuf> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| {
        let mut pairs = arguments.windows(2);
        pairs.find(|pair| pair[0] == flag).map(|pair| pair[1].clone())
    };
    let (Some(name), Some(config)) = (after("--name"), after("--config")) else { return Vec::new() };
    let directories = Path::new(&config).ancestors().skip(1).take(3);
    directories.map(|directory| directory.join("sabotage").join(&name)).collect()
}

pub(crate) fn machine() -> Machine {
    let mut known = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    match *known {
        Some((read, machine)) if read.elapsed() < READ_EVERY => machine,
        _ => {
            let text = FILES.iter().find_map(|file| std::fs::read_to_string(file).ok());
            let machine = parse(&text.unwrap_or_default());
            *known = Some((Instant::now(), machine));
            machine
        }
    }
}

fn parse(text: &str) -> Machine {
    let mut machine = Machine::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "clock_ms" => machine.clock_ms = value.parse().unwrap_or_default(),
            "sync_ms" => machine.sync_ms = value.parse().unwrap_or_default(),
            "full" => machine.full = value == "yes",
            "loss_percent" => machine.messages.loss_percent = value.parse().unwrap_or_default(),
            "duplication_percent" => machine.messages.duplication_percent = value.parse().unwrap_or_default(),
            "delay_ms" => machine.messages.delay_ms = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    machine
}

pub(crate) fn room() -> io::Result<()> {
    if machine().full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

pub(crate) fn sync() -> io::Result<()> {
    room()?;
    std::thread::sleep(Duration::from_millis(machine().sync_ms));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_read_line_by_line_and_nothing_is_wrong_otherwise() {
        assert_eq!(parse(""), Machine::default());
        let machine = parse("clock_ms=-5000\nsync_ms=30\nfull=yes\nloss_percent=20\ndelay_ms=40\n");
        let messages = Messages { loss_percent: 20, duplication_percent: 0, delay_ms: 40 };
        assert_eq!(machine, Machine { clock_ms: -5000, sync_ms: 30, full: true, messages });
    }
}
