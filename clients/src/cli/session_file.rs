//! The session that is remembered between commands: a file that only its owner can read, because who has the token is
//! logged in.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::CliError;
use super::program::Texts;

/// Who is logged in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub username: String,
    pub user_id: u64,
    pub token: String,
}

#[derive(Clone, Debug)]
pub(super) struct SessionFile {
    path: PathBuf,
}

impl SessionFile {
    /// As named by the argument, by the environment, or below the user's directory for state.
    pub fn locate(argument: Option<PathBuf>, texts: &Texts) -> Result<Self, CliError> {
        let named = argument.or_else(|| std::env::var_os(texts.session_variable).map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None => state_directory(texts)?.join(format!("{}-session.json", texts.name)),
        };
        Ok(SessionFile { path })
    }

    /// A file that lies beside it, in a directory that is there.
    pub fn beside(&self, name: &str) -> std::io::Result<PathBuf> {
        create_private_directory(self.path.parent())?;
        Ok(self.path.with_file_name(name))
    }

    pub fn load(&self) -> Result<Option<Remembered>, CliError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("can't be read", &error)),
        };
        let mode = fs::metadata(&self.path).map_err(|error| self.error("can't be read", &error))?.mode();
        if mode & 0o077 != 0 {
            let path = self.path.display();
            return Err(CliError::Local(format!(
                "others can read the session file {path}. Take that from them (chmod 600 {path}), or remove it and log in again."
            )));
        }
        let remembered = serde_json::from_str(&text);
        remembered.map(Some).map_err(|_| {
            CliError::Local(format!(
                "{} is no session file. Remove it and log in again.",
                self.path.display()
            ))
        })
    }

    /// Replaces the file as a whole: a reader sees the old session or the new one.
    pub fn save(&self, session: &Remembered) -> Result<(), CliError> {
        self.try_save(session).map_err(|error| self.error("can't be written", &error))
    }

    pub fn forget(&self) -> Result<(), CliError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.error("can't be removed", &error)),
            _ => Ok(()),
        }
    }

    fn try_save(&self, session: &Remembered) -> std::io::Result<()> {
        create_private_directory(self.path.parent())?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let new = self.path.with_file_name(name);
        // A left-over of a process that died and had the same id.
        drop(fs::remove_file(&new));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(session)?)?;
        drop(file);
        fs::rename(&new, &self.path).inspect_err(|_| drop(fs::remove_file(&new)))
    }

    fn error(&self, what: &str, error: &std::io::Error) -> CliError {
        CliError::Local(format!(
            "the session file {} {what}: {error}. Name another one with --session-file.",
            self.path.display()
        ))
    }
}

fn create_private_directory(directory: Option<&Path>) -> std::io::Result<()> {
    match directory {
        Some(directory) if !directory.as_os_str().is_empty() => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)
        }
        _ => Ok(()),
    }
}

fn state_directory(texts: &Texts) -> Result<PathBuf, CliError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("agora")).ok_or_else(|| {
        let variable = texts.session_variable;
        CliError::Local(format!(
            "there is no HOME to keep the session in. Name a file with --session-file or {variable}."
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ada() -> Remembered {
        Remembered { username: "ada".into(), user_id: 7, token: "secret".into() }
    }

    #[test]
    fn only_the_owner_can_read_what_is_saved_also_when_it_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = SessionFile { path: directory.path().join("new/state/session.json") };
        for _ in 0..2 {
            file.save(&ada()).unwrap();
            assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(directory.path().join("new")).unwrap().mode() & 0o777, 0o700);
        assert!(file.load().unwrap() == Some(ada()));
        file.forget().unwrap();
        file.forget().unwrap();
        assert!(file.load().unwrap().is_none());
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_none_is_refused_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let file = SessionFile { path: directory.path().join("session.json") };
        file.save(&ada()).unwrap();
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.load().err().unwrap().to_string().contains("chmod 600"));
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file.path, "{").unwrap();
        assert!(file.load().err().unwrap().to_string().contains("log in again"));
    }
}
