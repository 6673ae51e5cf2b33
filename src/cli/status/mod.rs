//! `ferrite status`: how far every run is, and every sweep.

pub(super) mod json;
pub(super) mod progress;
mod sweeps;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result, printable_lines};
use ferrite_core::store::Store;
use ferrite_core::store::read::{Runs, heads};
use ferrite_core::store::record::Record;
use ferrite_core::store::sweeps::{Running, running};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::{Value, json};

use crate::cli::pick::{SELECT, pick};
use crate::cli::status::json::run_json;
use crate::cli::status::progress::{epochs, epochs_of, left, state, word};
use crate::cli::status::sweeps::Progress;
use crate::cli::status::watch::watch;
use crate::cli::table::{Column, Table, WIDTH, sparkline, wrapped};
use crate::format;

/// How many characters a curve has.
const CURVE: usize = 16;

/// Every state that a run can be in, in the order in which they are counted.
const STATES: [&str; 6] = ["finished", "running", "waiting", "failed", "stopped", "interrupted"];

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[arg(long, value_name = "PATTERN", help = SELECT)]
    select: Vec<String>,
    /// Show it again and again, until Ctrl-C; where there is no terminal, a line for whatever happens
    #[arg(long, short)]
    watch: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn status_command(arguments: &StatusArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    if arguments.watch {
        return watch(&store, &arguments.select);
    }
    let seen = Seen::new(&store, heads(&store), &arguments.select)?;
    if arguments.json { print_json(&seen.to_json()) } else { print(&seen.to_text()) }
}

/// What lies in a folder of runs, and who is at work there.
struct Seen {
    runs: Runs,
    sweeps: Vec<Running>,
}

impl Seen {
    /// The `runs` of `store` that `select` means, all if it is empty.
    fn new(store: &Store, mut runs: Runs, select: &[String]) -> Result<Self> {
        if !select.is_empty() {
            pick(&mut runs, store, select)?;
        }
        Ok(Self { runs, sweeps: running(store)? })
    }

    /// How far each sweep is. A selection may leave out runs of theirs, so it is told only where there is none.
    fn progress(&self) -> Vec<Progress<'_>> {
        let named = self.runs.records.iter().map(|it| (it.name(), it));
        let records: BTreeMap<String, &Record> = named.collect();
        self.sweeps.iter().map(|it| Progress::of(it, &records)).collect()
    }

    /// Names of the runs that a sweep will come to.
    fn in_line(&self) -> BTreeSet<String> {
        let trials = self.sweeps.iter().flat_map(|it| it.sweep.trials.iter());
        trials.cloned().collect()
    }

    fn to_text(&self) -> String {
        let in_line = self.in_line();
        let mut text = table(&self.runs.records.iter().collect::<Vec<_>>(), &in_line);
        for error in &self.runs.damaged {
            text.push_str(&wrapped("", &error.to_string(), WIDTH));
        }
        for it in self.progress() {
            text.push_str(&wrapped("", &it.to_text(), WIDTH));
        }
        text.push_str(&self.summary(&in_line));
        text
    }

    /// How many runs there are in each state.
    fn summary(&self, in_line: &BTreeSet<String>) -> String {
        let records = &self.runs.records;
        let words: Vec<_> =
            records.iter().map(|it| word(it, in_line.contains(&it.name()))).collect();
        let of = |state: &&str| words.iter().filter(|it| *it == state).count();
        let counts = STATES.iter().map(|it| (of(it), *it));
        let counts = counts.chain([(self.runs.damaged.len(), "damaged")]);
        let told: Vec<String> =
            counts.filter(|it| it.0 > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let all = counted(records.len(), "run");
        let text = if told.is_empty() { all } else { format!("{all}: {}", told.join(", ")) };
        format!("{text}\n")
    }

    fn to_json(&self) -> String {
        let sweeps: Vec<Value> = self.progress().iter().map(Progress::to_json).collect();
        documented(json!({
            "runs": self.runs.records.iter().map(run_json).collect::<Value>(),
            "sweeps": sweeps,
            "damaged": damaged_json(&self.runs),
        }))
    }
}

/// The runs as a table.
pub(super) fn runs_table(records: &[&Record]) -> String {
    table(records, &BTreeSet::new())
}

/// The runs as a table, where a sweep will come to those `in_line`.
fn table(records: &[&Record], in_line: &BTreeSet<String>) -> String {
    let mut table = Table::new(vec![
        Column::words("run", 0).always(),
        Column::numbers("valid %", 5),
        Column::numbers("test %", 7),
        Column::numbers("epochs", 6),
        Column::numbers("time", 2),
        Column::words("left", 4),
        Column::words("valid loss", 3),
        Column::words("tags", 1),
        Column::words("state", 0).always(),
    ]);
    for it in records {
        let percent = |it: Option<f64>| it.map_or_else(String::new, format::percent);
        table.row(vec![
            it.name(),
            percent(it.facts.kept_epoch().map(|it| it.valid.accuracy)),
            percent(it.facts.tested().map(|it| it.scores.accuracy)),
            epochs_of(it),
            format::duration(it.seconds),
            left(it).map_or_else(String::new, format::about),
            sparkline(&epochs(it).map(|it| it.valid.loss).collect::<Vec<_>>(), CURVE),
            it.description.tags.join(" "),
            state(it, in_line.contains(&it.name())),
        ]);
    }
    if records.is_empty() { String::new() } else { table.to_text() }
}

/// Says on stderr what could not be read.
pub(super) fn tell_damaged(runs: &Runs) {
    for error in &runs.damaged {
        tell(&format!("warning: {error}"));
    }
}

/// Says a line on stderr.
pub(super) fn tell(line: &str) {
    // Nothing can be done if stderr is closed.
    drop(writeln!(std::io::stderr(), "{}", printable_lines(line)));
}

/// What could not be read, for programs.
pub(super) fn damaged_json(runs: &Runs) -> Value {
    runs.damaged.iter().map(ToString::to_string).collect()
}

/// The folder of runs, which must be there.
pub(super) fn existing(place: &Place) -> Result<Store> {
    let root: PathBuf = place.runs.clone();
    if root.is_dir() {
        return Ok(Store { root });
    }
    Err(Error::Usage {
        message: format!("there is no folder of runs `{}`", root.display()),
        help: "name it with `--runs`, or make one with `ferrite sweep`".into(),
    })
}
