//! The steps of a switch to a new generation, so that tests can see what a crash or a failing disk at each of them leaves.

use std::io;

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// There is a directory for the new generation.
    Begun,
    /// Some of the records are written.
    Piece,
    /// All is written and durable.
    Durable,
    /// The new identity file is there, beside the old one.
    Prepared,
    /// It has taken the old one's place.
    Current,
    /// The old generation is gone.
    Removed,
}

/// Called after each of them. An error is as good as one of the disk.
#[cfg(not(test))]
pub(super) fn reached(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
type Watcher = Box<dyn FnMut(Step) -> io::Result<()>>;

#[cfg(test)]
thread_local! {
    static WATCHER: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
}

#[cfg(test)]
pub(super) fn reached(step: Step) -> io::Result<()> {
    WATCHER.with_borrow_mut(|watcher| watcher.as_mut().map_or(Ok(()), |watcher| watcher(step)))
}

/// Has this thread's steps watched, until the returned value is dropped.
#[cfg(test)]
pub(super) fn watch(watcher: impl FnMut(Step) -> io::Result<()> + 'static) -> Watching {
    WATCHER.set(Some(Box::new(watcher)));
    Watching
}

#[cfg(test)]
pub(super) struct Watching;

#[cfg(test)]
impl Drop for Watching {
    fn drop(&mut self) {
        WATCHER.set(None);
    }
}
