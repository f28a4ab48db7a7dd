//! Lines on standard output. That nobody reads them any more, because a terminal or a pipe is gone, is no reason to fall over: there
//! is a cluster to be stopped.

use std::fmt::Arguments;
use std::io::Write;

/// As `println!`, but for that.
macro_rules! say {
    ($($what:tt)*) => { $crate::say::line(format_args!($($what)*)) };
}
pub(crate) use say;

pub(crate) fn line(what: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{what}").and_then(|()| out.flush()));
}
