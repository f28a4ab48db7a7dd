//! The processes' log files: the end of one for an error message, and a bound on all of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// A log that grows beyond this is moved to `NAME.log.1`, in place of an older one.
const MAX_BYTES: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 << 10;

/// How long a log is now.
pub(crate) fn length(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |metadata| metadata.len())
}

/// The last lines of a log, of those after the first `skip` bytes, indented, for people.
pub(crate) fn tail(log: &Path, skip: u64) -> String {
    match read_tail(log, skip) {
        Ok(text) if text.trim().is_empty() => "  (the log is empty)".to_owned(),
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
            last.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("  (the log can't be read: {error})"),
    }
}

fn read_tail(log: &Path, skip: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES).max(skip.min(length))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Keeps a log below its bound for as long as its owner lives.
pub(crate) fn keep_bounded<T: Send + Sync + 'static>(log: PathBuf, owner: Weak<T>) {
    tokio::spawn(async move {
        while owner.strong_count() > 0 {
            let log = log.clone();
            let turned = tokio::task::spawn_blocking(move || turn(&log, MAX_BYTES));
            if let Ok(Err(error)) = turned.await {
                tracing::warn!(%error, "can't keep the log files below their bound");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
}

/// Copies a log that is too large aside and empties it. The process goes on writing to the same file: it appends, so
/// it needs not be told. Lines written during the copy may be lost.
fn turn(log: &Path, max_bytes: u64) -> io::Result<()> {
    match std::fs::metadata(log) {
        Ok(metadata) if metadata.len() > max_bytes => {
            std::fs::copy(log, log.with_extension("log.1"))?;
            OpenOptions::new().write(true).open(log)?.set_len(0)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_is_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("x.log");
        std::fs::write(&log, (1..=100).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
        let all = tail(&log, 0);
        assert!(all.starts_with("  line 89\n") && all.ends_with("  line 100"), "{all}");
        assert_eq!(tail(&log, length(&log) - 9), "  line 100");
        assert!(tail(&log, length(&log)).contains("empty"));
    }

    #[test]
    fn a_log_that_does_not_exist_is_said_so() {
        assert!(tail(Path::new("/nonexistent/x.log"), 0).contains("can't be read"));
    }

    #[test]
    fn a_large_log_is_moved_aside_and_its_writer_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("x.log");
        let mut writer = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writer.write_all(b"before\n").unwrap();
        turn(&log, 100).unwrap();
        assert_eq!(std::fs::read(&log).unwrap(), b"before\n");
        turn(&log, 3).unwrap();
        writer.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read(directory.path().join("x.log.1")).unwrap(), b"before\n");
        assert_eq!(std::fs::read(&log).unwrap(), b"after\n");
    }
}
