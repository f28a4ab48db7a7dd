//! Broken promises and bad machines on demand, for tests that show that chaos notices them.
//!
//! Without the feature `armed` all of it is constants that do nothing, and the compiler removes whoever asks them. With it, a
//! release build does not compile. So nothing that anyone deploys can be sabotaged, whatever its environment.
//!
//! An armed process reads the promise that it breaks from the variable `AGORA_SABOTAGE`, and what its machine does wrong from the
//! file `sabotage/NAME` next to its cluster file, or one or two directories above, again and again: so a clock can jump while the
//! process runs.

#[cfg(all(feature = "armed", not(debug_assertions)))]
compile_error!("a release build must not be armed: leave out the feature `sabotage`");

#[cfg(feature = "armed")]
mod armed;

use std::io;

/// Whether processes of this build can be sabotaged.
pub const ARMED: bool = cfg!(feature = "armed");

/// A promise to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Product nodes answer queries from the state that they happen to have: `stale-reads`.
    FreshReads,
    /// The same of customer nodes: `stale-customer-reads`.
    FreshCustomerReads,
    /// Nothing is made durable before it is acknowledged: `no-fsync`.
    Durability,
    /// A repeated command takes effect again: `no-dedup`.
    OnceOnly,
    /// Units of a purchase that fails are not given back: `no-release`.
    UnitsComeBack,
    /// A customer node claims a new epoch before it has all that the epoch begins with: `half-epochs`.
    WholeEpochs,
}

impl Promise {
    /// How the environment calls its breach.
    #[must_use]
    pub fn breach(self) -> &'static str {
        match self {
            Promise::FreshReads => "stale-reads",
            Promise::FreshCustomerReads => "stale-customer-reads",
            Promise::Durability => "no-fsync",
            Promise::OnceOnly => "no-dedup",
            Promise::UnitsComeBack => "no-release",
            Promise::WholeEpochs => "half-epochs",
        }
    }
}

/// Whether this process is to break the promise.
#[must_use]
#[inline]
pub fn breaks(promise: Promise) -> bool {
    #[cfg(feature = "armed")]
    return armed::breaks(promise);
    #[cfg(not(feature = "armed"))]
    {
        let _ = promise;
        false
    }
}

/// The time of this machine's clock, given the true one: both in milliseconds since the Unix epoch.
#[must_use]
#[inline]
pub fn clock_ms(true_ms: u64) -> u64 {
    #[cfg(feature = "armed")]
    return true_ms.saturating_add_signed(armed::machine().clock_ms);
    #[cfg(not(feature = "armed"))]
    true_ms
}

/// Whether the disk has room for something that is to be written.
///
/// # Errors
/// It is full.
#[inline]
pub fn room() -> io::Result<()> {
    #[cfg(feature = "armed")]
    return armed::room();
    #[cfg(not(feature = "armed"))]
    Ok(())
}

/// What the disk does when something is to be made durable: it may take its time, or be full.
///
/// # Errors
/// It is full.
#[inline]
pub fn sync() -> io::Result<()> {
    #[cfg(feature = "armed")]
    return armed::sync();
    #[cfg(not(feature = "armed"))]
    Ok(())
}

/// What the network does to the messages that this process sends to its peers, where they are sent one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// So many of a hundred are lost.
    pub loss_percent: u32,
    /// So many of a hundred are sent twice.
    pub duplication_percent: u32,
    /// Each comes up to so much later, so they overtake each other.
    pub delay_ms: u64,
}

/// What the network does to messages now.
#[must_use]
#[inline]
pub fn messages() -> Messages {
    #[cfg(feature = "armed")]
    return armed::machine().messages;
    #[cfg(not(feature = "armed"))]
    Messages::default()
}
