//! Gives a database node an empty disk, as after the old one was lost; its group takes it in as a new node.
//!
//! For a while the group then lives with one voter fewer. So nothing is done unless all others of the group are ready, and
//! what the node had is moved aside rather than removed.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use agora_process::Role;
use futures::future::join_all;

use crate::cluster::Cluster;
use crate::error::ClusterError;

/// Fewer than these have no majority left without one of them.
const MEMBERS_MIN: usize = 3;

/// A node that starts with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Its name.
    pub name: String,
    /// Where its data are now, if it had any.
    pub moved_to: Option<PathBuf>,
}

impl Cluster {
    /// Stops a node of the product database, moves its data aside, and starts it without any. Does not wait until the
    /// group has taken it in, which is when it is ready: [`Cluster::wait_ready_of`] waits.
    ///
    /// # Errors
    /// There is no such node, another one of its group is not ready, or the file system refused.
    pub async fn replace_node(&self, name: &str) -> Result<Replaced, ClusterError> {
        let name = self.resolve(name).await?;
        let file = self.file();
        let is_member = file.product.iter().any(|member| member.name == name);
        if !is_member || file.product.len() < MEMBERS_MIN {
            return Err(ClusterError::NotReplaceable { name });
        }
        let others = file.product.iter().filter(|member| member.name != name);
        let asked = join_all(others.map(async |other| {
            self.ask_ready(Role::Product, other.address).await.map_err(|why| format!("{}: {why}", other.name))
        }));
        let missing: Vec<String> = asked.await.into_iter().filter_map(Result::err).collect();
        if !missing.is_empty() {
            return Err(ClusterError::UnsafeToReplace { name, missing });
        }
        self.stop_one(&name).await?;
        let data = file.data_of(&name);
        let moved_to = data.exists().then(|| aside(&data));
        if let Some(aside) = &moved_to {
            std::fs::rename(&data, aside).map_err(ClusterError::io("move", &data))?;
        }
        self.restart(&name).await?;
        Ok(Replaced { name, moved_to })
    }
}

/// A name beside the old one that nothing has.
fn aside(data: &std::path::Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let named = |number: u64| data.with_extension(format!("replaced-{number}"));
    (now..).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(now))
}
