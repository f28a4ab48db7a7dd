//! Replacing a database node: it gets an empty data directory, and its group takes it in as the new member that it then is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agora_process::Role;

use super::{Cluster, GRACE};
use crate::error::ClusterError;
use crate::plan;
use crate::prober::Checksums;

impl Cluster {
    /// Stops a database node if it runs, sets its data directory aside, starts it with an empty one, and waits until its group
    /// has brought it up to date and taken it in. Tells its name.
    ///
    /// # Errors
    /// It is no database node; or its group has no majority without it, and then nothing is touched; or it can't be started, or
    /// is not taken in in time.
    pub async fn replace_node(&self, name: &str, within: Duration) -> Result<String, ClusterError> {
        let process = self.find(name).await?;
        let name = process.spec.name.clone();
        let role = process.spec.role;
        if !matches!(role, Role::Customer | Role::Product) {
            return Err(ClusterError::NotADatabase { name });
        }
        self.check_group_without(&name, role).await?;
        if process.life().pid().is_some() {
            process.end(GRACE).await?;
        }
        plan::check_free([(name.as_str(), process.spec.address)].into_iter()).await?;
        set_aside(&self.file().data_of(&name), "replaced")?;
        process.start().await?;
        self.wait_ready_of(&[&name], within).await?;
        Ok(name)
    }

    /// What an empty directory forgets must be known to the others.
    async fn check_group_without(&self, name: &str, role: Role) -> Result<(), ClusterError> {
        let status = self.status(Checksums::Skip).await;
        let group = || status.processes.iter().filter(|process| process.role == role);
        let ready = group().filter(|process| process.name != name && process.ready).count();
        let members = group().count();
        if ready > members / 2 {
            return Ok(());
        }
        Err(ClusterError::GroupNeedsIt { name: name.to_owned(), ready, members })
    }
}

/// Renames a directory to what it was, why it is set aside, and the lowest number that is free.
pub(super) fn set_aside(directory: &Path, why: &str) -> Result<(), ClusterError> {
    if !directory.exists() {
        return Ok(());
    }
    let numbered = |number: u32| {
        let mut name = directory.as_os_str().to_owned();
        name.push(format!(".{why}-{number}"));
        PathBuf::from(name)
    };
    let free = (1..=u32::MAX).map(numbered).find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| numbered(0));
    std::fs::rename(directory, &aside).map_err(ClusterError::io("set aside", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_set_aside_under_a_name_that_is_free() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("customer-1");
        set_aside(&directory, "replaced").unwrap();
        for number in 1..=2 {
            std::fs::create_dir(&directory).unwrap();
            set_aside(&directory, "replaced").unwrap();
            assert!(!directory.exists());
            assert!(root.path().join(format!("customer-1.replaced-{number}")).is_dir());
        }
    }
}
