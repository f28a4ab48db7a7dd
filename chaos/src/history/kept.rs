//! Reads a history that was kept, to judge it again.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{EVENTS_MAX, Event};

/// Why a history can't be read. One of which a part is missing can't be judged: what nobody is known to have done looks like a broken
/// promise to whoever sees its effect.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is no operation, or only a part of one.
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// There are more than fit into memory.
    #[error("it has more than {EVENTS_MAX} operations")]
    TooLong,
}

/// All operations of a kept history.
///
/// # Errors
/// The file can't be read to its end.
pub fn read(path: &Path) -> Result<Vec<Event>, KeptError> {
    let mut events = Vec::new();
    for (line, number) in BufReader::new(File::open(path)?).lines().zip(1..) {
        let event = serde_json::from_str(&line?).map_err(|error| KeptError::Line { line: number, error })?;
        if events.len() == EVENTS_MAX {
            return Err(KeptError::TooLong);
        }
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_back(text: &str) -> Result<Vec<Event>, KeptError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        let line = r#"{"client":7,"op":"clear_cart","key":"cart:1","arg":null,"result":null,"outcome":"ok","start_ns":5,"end_ns":9,"session":3}"#;
        assert_eq!(read_back(&format!("{line}\n{line}\n")).unwrap().len(), 2);
        for spoiled in [&line[..40], "{}", &line.replace("clear_cart", "clear_card"), ""] {
            let error = read_back(&format!("{line}\n{spoiled}\n")).unwrap_err();
            assert!(error.to_string().starts_with("line 2: "), "{error}");
        }
        assert!(read_back("").unwrap().is_empty());
        assert!(matches!(read(Path::new("/nowhere")), Err(KeptError::Io(_))));
    }
}
