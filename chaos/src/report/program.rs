//! Which program a report is of: the same seed draws other faults in another build.

use std::fmt;

use serde::Serialize;

/// A build of chaos, which is also that of all processes of a cluster of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The version of the crate.
    pub version: &'static str,
    /// The commit that it was built from, with `-dirty` if something was changed since; `None` if that was not known.
    pub commit: Option<&'static str>,
    /// Whether it has the feature `sabotage`.
    pub armed: bool,
    /// Whether it is optimised.
    pub release: bool,
}

impl Program {
    /// This one.
    pub const THIS: Program = Program {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("AGORA_COMMIT"),
        armed: agora_sabotage::ARMED,
        release: !cfg!(debug_assertions),
    };

    /// How one like it is started from the sources.
    #[must_use]
    pub fn command(self) -> String {
        let release = if self.release { " --release" } else { "" };
        let armed = if self.armed { " --features sabotage" } else { "" };
        format!("cargo run{release} -p chaos{armed} --")
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self.commit.unwrap_or("unknown");
        let armed = if self.armed { "with" } else { "without" };
        let build = if self.release { "release" } else { "development" };
        write!(f, "chaos {}, commit {commit}, a {build} build {armed} the feature sabotage", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_what_makes_the_build_what_it_is() {
        let command = |armed, release| Program { armed, release, ..Program::THIS }.command();
        assert_eq!(command(false, true), "cargo run --release -p chaos --");
        assert_eq!(command(true, false), "cargo run -p chaos --features sabotage --");
        assert!(Program::THIS.to_string().contains(if agora_sabotage::ARMED {
            "with the"
        } else {
            "without"
        }));
    }
}
