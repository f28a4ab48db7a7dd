//! Completion: commands as the first word, and after it the options of the command and the values that can be foreseen: words
//! of a choice, and the ids of items that were shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};
use serde_json::Value;

/// What helps an editor.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub(super) struct Assistant {
    pub words: Arc<Words>,
    pub items: ItemIds,
}

/// The ids of the items that were listed last, and of those that were shown one by one since.
#[derive(Clone, Default)]
pub(super) struct ItemIds(BTreeSet<String>);

impl ItemIds {
    /// Takes note of what a command has shown.
    pub fn note(&mut self, shown: &Value) {
        let ids = item_ids(shown);
        let is_list = shown.get("item_id").is_none() && !ids.is_empty();
        if is_list {
            self.0.clear();
        }
        self.0.extend(ids);
    }
}

fn item_ids(shown: &Value) -> Vec<String> {
    match shown {
        Value::Array(entries) => entries.iter().flat_map(item_ids).collect(),
        Value::Object(fields) => {
            let own = fields.get("item_id").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(item_ids)).collect()
        }
        _ => Vec::new(),
    }
}

/// The words that may stand in a line.
pub(super) struct Words {
    commands: Vec<Command>,
}

struct Command {
    name: String,
    /// Those with a name: each takes the word after it, or none.
    options: Vec<Argument>,
    /// Those without, in their order.
    positionals: Vec<Argument>,
}

#[derive(Clone)]
struct Argument {
    /// As it is typed: `--limit`. Empty without a name.
    long: String,
    short: Option<String>,
    takes_value: bool,
    values: Values,
}

/// What can be foreseen of an argument's value.
#[derive(Clone)]
enum Values {
    /// One of these; nothing, if there is none.
    Words(Vec<String>),
    ItemId,
}

impl Argument {
    fn of(argument: &clap::Arg) -> Self {
        let words = argument.get_possible_values().into_iter().map(|value| value.get_name().to_owned());
        Argument {
            long: argument.get_long().map(|long| format!("--{long}")).unwrap_or_default(),
            short: argument.get_short().map(|short| format!("-{short}")),
            takes_value: argument.get_action().takes_values(),
            values: match argument.get_id().as_str() {
                "item_id" => Values::ItemId,
                _ => Values::Words(words.collect()),
            },
        }
    }

    fn is_called(&self, word: &str) -> bool {
        self.long == word || self.short.as_deref() == Some(word)
    }

    fn values<'a>(&'a self, items: &'a ItemIds) -> Vec<&'a str> {
        match &self.values {
            Values::Words(words) => words.iter().map(String::as_str).collect(),
            Values::ItemId => items.0.iter().map(String::as_str).collect(),
        }
    }
}

impl Command {
    /// What may follow these words.
    fn next<'a>(&'a self, given: &[String], items: &'a ItemIds) -> Vec<&'a str> {
        let mut positionals = self.positionals.iter();
        let mut open = None;
        for word in given {
            if open.take().is_some() {
                continue;
            }
            let option = self.options.iter().find(|option| option.is_called(word));
            open = option.filter(|option| option.takes_value);
            if !word.starts_with('-') {
                positionals.next();
            }
        }
        if let Some(option) = open {
            return option.values(items);
        }
        let values = positionals.next().map(|positional| positional.values(items)).unwrap_or_default();
        values.into_iter().chain(self.options.iter().map(|option| option.long.as_str())).collect()
    }
}

impl Words {
    /// Those of a command with subcommands.
    pub fn of(command: &clap::Command) -> Self {
        let mut command = command.clone();
        // Options for all commands are passed on to each when it is built.
        command.build();
        let names = |command: &clap::Command| {
            std::iter::once(command.get_name())
                .chain(command.get_visible_aliases())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let commands = command.get_subcommands().flat_map(|command| {
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            let (options, positionals): (Vec<_>, Vec<_>) =
                shown.map(Argument::of).partition(|argument| !argument.long.is_empty());
            names(command).into_iter().map(move |name| Command {
                name,
                options: options.clone(),
                positionals: positionals.clone(),
            })
        });
        Words { commands: commands.collect() }
    }

    /// Where the word at the end of this text begins, and what it may become.
    fn candidates<'a>(&'a self, text: &str, items: &'a ItemIds) -> (usize, Vec<&'a str>) {
        let start = text
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + text[space..].chars().next().map_or(1, char::len_utf8));
        let (before, word) = text.split_at(start);
        // Within quotation marks nothing can be foreseen.
        let before = before.replace(char::is_whitespace, " ");
        let Some(before) = shlex::split(&before) else { return (start, Vec::new()) };
        let candidates = match before.split_first() {
            None => self.commands.iter().map(|command| command.name.as_str()).collect(),
            Some((first, _)) if first == "help" => {
                self.commands.iter().map(|command| command.name.as_str()).collect()
            }
            Some((first, given)) => {
                let command = self.commands.iter().find(|command| command.name == *first);
                command.map(|command| command.next(given, items)).unwrap_or_default()
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
        let (start, candidates) = self.words.candidates(line.get(..position).unwrap_or(line), &self.items);
        let pair =
            |candidate: &str| Pair { display: candidate.to_owned(), replacement: format!("{candidate} ") };
        Ok((start, candidates.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};
    use serde_json::json;

    use super::*;

    fn words() -> Words {
        let search = Command::new("search")
            .arg(Arg::new("keywords").num_args(0..))
            .arg(Arg::new("category").long("category").short('c'))
            .arg(Arg::new("condition").long("condition").value_parser(["new", "used"]))
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue))
            .disable_help_flag(true);
        let feedback = Command::new("feedback")
            .arg(Arg::new("item_id"))
            .arg(Arg::new("vote").value_parser(["up", "down"]))
            .disable_help_flag(true);
        Words::of(&Command::new("shop").subcommands([search, feedback, Command::new("save")]))
    }

    fn candidates(text: &str) -> (usize, Vec<String>) {
        let mut items = ItemIds::default();
        items.note(&json!({"items": [{"item_id": "3-1"}, {"item_id": "4-2"}]}));
        let words = words();
        let (start, candidates) = words.candidates(text, &items);
        (start, candidates.into_iter().map(str::to_owned).collect())
    }

    #[track_caller]
    fn completes(text: &str, start: usize, candidates: &[&str]) {
        assert_eq!(self::candidates(text), (start, candidates.iter().map(|&it| it.to_owned()).collect()));
    }

    #[test]
    fn the_first_word_is_a_command_and_later_ones_are_its_options() {
        completes("s", 0, &["search", "save"]);
        completes("sea", 0, &["search"]);
        completes("search --ca", 7, &["--category"]);
        completes("help sa", 5, &["save"]);
        completes("nonsense --", 9, &[]);
        completes("search\u{3000}--ca", 9, &["--category"]);
    }

    #[test]
    fn a_choice_is_completed_where_it_stands() {
        completes("feedback 3-1 u", 13, &["up"]);
        completes("feedback 3-1 ", 13, &["up", "down"]);
        completes("feedback u", 9, &[]);
        completes("search --condition ", 19, &["new", "used"]);
        completes("search \"a lamp\" -c 3 --all --condition u", 39, &["used"]);
        completes("search --category n", 18, &[]);
        completes("search \"a lamp --condition u", 27, &[]);
    }

    #[test]
    fn an_item_is_completed_from_those_that_were_shown() {
        completes("feedback ", 9, &["3-1", "4-2"]);
        completes("feedback 4", 9, &["4-2"]);
        completes("search 4", 7, &[]);
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_shown_and_a_single_item_does_not() {
        let mut items = ItemIds::default();
        let mut noted = |shown: Value| {
            items.note(&shown);
            items.0.iter().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(noted(json!({"lines": [{"item_id": "3-1", "price": "1.00"}], "total": "1.00"})), "3-1");
        assert_eq!(noted(json!({"item_id": "5-7", "quantity": 2})), "3-1 5-7");
        assert_eq!(noted(json!({"username": "ada"})), "3-1 5-7");
        assert_eq!(noted(json!({"purchases": [{"lines": [{"item_id": "9-1"}]}]})), "9-1");
    }
}
