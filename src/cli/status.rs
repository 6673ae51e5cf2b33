//! `ferrite status`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result, printable, printable_lines};
use ferrite_core::event::Epoch;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::holder;
use ferrite_core::store::read::{Runs, all};
use ferrite_core::store::record::{Record, State};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::notes::waits_for;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::{Value, json};

use crate::cli::table::{Column, Table, sparkline};
use crate::format;

/// How many characters a curve has.
const CURVE: usize = 16;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn status_command(arguments: &StatusArguments) -> Result<()> {
    let runs = all(&existing(&arguments.place)?);
    if arguments.json {
        return print_json(&documented(json!({
            "runs": runs.records.iter().map(run_json).collect::<Value>(),
            "damaged": damaged_json(&runs),
        })));
    }
    let mut text = runs_table(&runs.records.iter().collect::<Vec<_>>());
    for error in &runs.damaged {
        let _ = writeln!(text, "{error}");
    }
    let _ = writeln!(text, "{}", summary(&runs));
    print(&text)
}

/// The runs as a table.
pub(super) fn runs_table(records: &[&Record]) -> String {
    let mut table = Table::new(vec![
        Column::words("run", 0).always(),
        Column::numbers("valid %", 5),
        Column::numbers("test %", 6),
        Column::numbers("epochs", 2),
        Column::numbers("time", 1),
        Column::words("valid loss", 3),
        Column::words("state", 0).always(),
    ]);
    for it in records {
        let percent = |it: Option<f64>| it.map_or_else(String::new, format::percent);
        table.row(vec![
            it.name(),
            percent(it.facts.kept_epoch().map(|it| it.valid.accuracy)),
            percent(it.facts.tested().map(|it| it.scores.accuracy)),
            epochs(it).count().to_string(),
            format::duration(it.seconds),
            sparkline(&epochs(it).map(|it| it.valid.loss).collect::<Vec<_>>(), CURVE),
            state(it),
        ]);
    }
    if records.is_empty() { String::new() } else { table.to_text() }
}

/// How many runs there are in each state.
fn summary(runs: &Runs) -> String {
    let states = ["finished", "running", "failed", "interrupted"];
    let of = |word: &str| runs.records.iter().filter(|it| it.state.word() == word).count();
    let counts = states.map(|word| (word, of(word)));
    let mut told: Vec<String> =
        counts.iter().filter(|it| it.1 > 0).map(|(word, n)| format!("{n} {word}")).collect();
    if !runs.damaged.is_empty() {
        told.push(format!("{} damaged", runs.damaged.len()));
    }
    let all = counted(runs.records.len(), "run");
    if told.is_empty() { all } else { format!("{all}: {}", told.join(", ")) }
}

/// A run for programs.
pub(super) fn run_json(it: &Record) -> Value {
    let stage = |stage: &ferrite_core::store::record::Stage| {
        json!({
            "name": stage.start.stage,
            "planned_epochs": stage.start.epochs,
            "kept_epoch": stage.end.as_ref().map(|it| it.kept_epoch),
            "epochs": stage.epochs.iter().map(epoch_json).collect::<Vec<_>>(),
        })
    };
    let (failure, evaluation) = (
        match &it.state {
            State::Failed(failure) => json!({
                "message": failure.message,
                "help": failure.help,
                "exit_code": failure.exit_code,
            }),
            _ => Value::Null,
        },
        it.facts.evaluation.as_ref(),
    );
    json!({
        "run": it.name(),
        "experiment": it.experiment,
        "folder": it.folder,
        "about": it.about(),
        "state": it.state.word(),
        "failure": failure,
        "began_ms": it.began_ms,
        "seconds": it.seconds,
        "valid_accuracy": it.facts.kept_epoch().map(|it| it.valid.accuracy),
        "split": evaluation.map(|it| it.split.as_str()),
        "accuracy": evaluation.map(|it| it.scores.accuracy),
        "loss": evaluation.map(|it| it.scores.loss),
        "stages": it.facts.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

pub(super) fn epoch_json(it: &Epoch) -> Value {
    json!({
        "epoch": it.epoch,
        "learning_rate": it.lr,
        "loss": it.train.loss,
        "accuracy": it.train.accuracy,
        "valid_loss": it.valid.loss,
        "valid_accuracy": it.valid.accuracy,
        "seconds": it.seconds,
    })
}

/// Says on stderr what could not be read.
pub(super) fn tell_damaged(runs: &Runs) {
    for error in &runs.damaged {
        let line = format!("warning: {error}");
        // Nothing can be done if stderr is closed.
        drop(writeln!(std::io::stderr(), "{}", printable_lines(&line)));
    }
}

/// What could not be read, for programs.
pub(super) fn damaged_json(runs: &Runs) -> Value {
    runs.damaged.iter().map(ToString::to_string).collect()
}

/// The epochs of all stages.
pub(super) fn epochs(it: &Record) -> impl Iterator<Item = &Epoch> {
    it.facts.stages.iter().flat_map(|it| &it.epochs)
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

/// How far a run is, and whom it waits for.
pub(super) fn state(record: &Record) -> String {
    let word = record.state.word();
    match &record.state {
        State::Running => {
            let process = holder(&record.folder.join(files::LOCK));
            let said = process.map_or_else(String::new, |it| format!(", process {it}"));
            // It may hold by now what it waited for, and have nothing new to tell yet.
            let waits = record.facts.waiting.as_ref();
            let waits =
                waits.filter(|it| process.is_none() || holder(Path::new(&it.path)) != process);
            let waits = waits.map_or_else(String::new, |it| format!(", {}", waits_for(it)));
            format!("{word}{said}{waits}")
        }
        State::Failed(failure) => format!("{word}: {}", printable(&failure.message)),
        State::Finished | State::Interrupted => word.to_owned(),
    }
}
