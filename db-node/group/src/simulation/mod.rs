//! A simulation of whole openraft groups: the real members, on simulated networks, disks, clocks and threads.
//!
//! A seed decides in which order tasks run, how long messages and disks take, and who is cut off, paused, killed,
//! loses a disk, is added or removed, and when. A killed member loses what it has not synced, or some of it. Clients add to counters and read them
//! at all members meanwhile. What is checked:
//!
//! - histories are linearizable (`history`): nothing acknowledged is lost, nothing refused has happened, no read is stale;
//! - members that have applied the same part of the log have the same state;
//! - when the faults are over all members serve, and become equal.
//!
//! A failure names its seed. `AGORA_SEED=n` replays it, `AGORA_SEEDS=n` tries so many:
//!
//! ```sh
//! AGORA_SEEDS=2000 cargo test -p agora-group --lib simulation::tests::groups -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod disks;
pub(crate) mod executor;
mod faults;
mod history;
pub(crate) mod log_writer;
#[path = "../../tests/support/mod.rs"]
mod machine;
mod network;
mod tests;
mod world;
