//! What a node can't go on after: a disk that fails, a state that can't be written.
//!
//! A member that goes on without its disk would promise what it can't keep, so the first such failure ends the node. A thread
//! that panics is one: what it was about to do is done by nobody, and whoever waits for it would wait for ever.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use tokio::sync::watch;

/// Raises the alarm. All clones ring the same bell.
#[derive(Clone)]
pub(super) struct Fatal {
    bell: watch::Sender<Option<String>>,
}

impl Fatal {
    pub(super) fn new() -> (Self, watch::Receiver<Option<String>>) {
        let (bell, heard) = watch::channel(None);
        (Fatal { bell }, heard)
    }

    /// The first failure is the one that is told.
    pub(super) fn raise(&self, why: String) {
        tracing::error!(why, "this node can't go on");
        self.bell.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(why);
            first
        });
    }

    /// Starts a thread that the node can't do without: if it fails or panics, that is fatal.
    pub(super) fn thread(
        &self,
        name: &'static str,
        body: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let fatal = self.clone();
        // Nothing of what the body holds is used again after a panic but to be dropped.
        let run = move || match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => fatal.raise(why),
            Err(panic) => fatal.raise(format!("its {name} thread panicked: {}", message(&*panic))),
        };
        std::thread::Builder::new().name(name.into()).spawn(run)
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_or_panics_is_told_and_one_that_ends_is_not() {
        let (fatal, heard) = Fatal::new();
        fatal.thread("one", || Ok(())).unwrap().join().unwrap();
        assert_eq!(*heard.borrow(), None);
        fatal.thread("two", || panic!("number {}", 2)).unwrap().join().unwrap();
        assert_eq!(heard.borrow().as_deref(), Some("its two thread panicked: number 2"));
        fatal.thread("three", || Err("disk".into())).unwrap().join().unwrap();
        assert!(heard.borrow().as_deref().unwrap().contains("two"), "the first one is told");
    }
}
