//! Tells the story: chapters, and steps with what came of them and how long they took.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cli::out;

const WIDTH: usize = 84;

/// Tells the story on standard output.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    steps: usize,
}

impl Narrator {
    pub fn chapter(&mut self, title: &str) {
        out::line(&format!("\n{title}"));
    }

    /// A step: done and told, or told as what failed.
    pub async fn step<T, W: Display>(
        &mut self,
        what: W,
        doing: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.step_with(what, doing, |_| String::new()).await
    }

    /// A step that also tells what came of it.
    pub async fn step_with<T, W: Display>(
        &mut self,
        what: W,
        doing: impl Future<Output = anyhow::Result<T>>,
        result: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        match doing.await {
            Ok(value) => {
                let result = result(&value);
                let text = if result.is_empty() { what.to_string() } else { format!("{what}: {result}") };
                self.done(&text, begun.elapsed());
                Ok(value)
            }
            Err(error) => {
                out::line(&format!("  ✗ {what}"));
                Err(error).with_context(|| format!("failed: {what}"))
            }
        }
    }

    /// How many steps were told.
    pub fn steps(&self) -> usize {
        self.steps
    }

    fn done(&mut self, text: &str, took: Duration) {
        self.steps += 1;
        let took = format!("{:.0} ms", took.as_secs_f64() * 1000.0);
        out::line(&format!("  ✓ {text:<WIDTH$} {took:>8}"));
    }
}
