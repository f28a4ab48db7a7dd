//! Completion: commands as the first word, and the options of a command after it.

use std::sync::Arc;

use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

/// What helps an editor.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub(super) struct Assistant {
    pub words: Arc<Words>,
}

/// The words that may stand in a line.
pub(super) struct Words {
    commands: Vec<Word>,
}

struct Word {
    name: String,
    options: Vec<String>,
}

impl Words {
    /// Those of a command with subcommands.
    pub fn of(command: &clap::Command) -> Self {
        let mut command = command.clone();
        // Options for all commands are passed on to each when it is built.
        command.build();
        let options = |command: &clap::Command| {
            let long = command
                .get_arguments()
                .filter(|argument| !argument.is_hide_set())
                .filter_map(clap::Arg::get_long);
            long.map(|long| format!("--{long}")).collect()
        };
        let names = |command: &clap::Command| {
            std::iter::once(command.get_name())
                .chain(command.get_visible_aliases())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let commands = command
            .get_subcommands()
            .flat_map(|command| {
                names(command).into_iter().map(|name| Word { name, options: options(command) })
            })
            .collect();
        Words { commands }
    }

    /// Where the word at the end of this text begins, and what it may become.
    fn candidates(&self, text: &str) -> (usize, Vec<&str>) {
        let start = text
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + text[space..].chars().next().map_or(1, char::len_utf8));
        let word = &text[start..];
        let candidates = match text[..start].split_whitespace().next() {
            None => self.commands.iter().map(|command| command.name.as_str()).collect(),
            Some("help") => self.commands.iter().map(|command| command.name.as_str()).collect(),
            Some(first) => {
                let command = self.commands.iter().find(|command| command.name == first);
                command
                    .map(|command| command.options.iter().map(String::as_str).collect())
                    .unwrap_or_default()
            }
        };
        let candidates: Vec<&str> = candidates;
        (start, candidates.into_iter().filter(|candidate| candidate.starts_with(word)).collect())
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, candidates) = self.words.candidates(line.get(..position).unwrap_or(line));
        let pair =
            |candidate: &str| Pair { display: candidate.to_owned(), replacement: format!("{candidate} ") };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn words() -> Words {
        let search = Command::new("search")
            .arg(Arg::new("category").long("category"))
            .arg(Arg::new("limit").long("limit"));
        Words::of(&Command::new("shop").subcommand(search).subcommand(Command::new("save")))
    }

    #[test]
    fn the_first_word_is_a_command_and_later_ones_are_its_options() {
        let words = words();
        assert_eq!(words.candidates("s"), (0, vec!["search", "save"]));
        assert_eq!(words.candidates("sea"), (0, vec!["search"]));
        assert_eq!(words.candidates("search --l"), (7, vec!["--limit"]));
        assert_eq!(words.candidates("help sa"), (5, vec!["save"]));
        assert_eq!(words.candidates("nonsense --"), (9, vec![]));
        assert_eq!(words.candidates("search\u{3000}--c"), (9, vec!["--category"]));
    }
}
