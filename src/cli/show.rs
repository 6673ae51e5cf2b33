//! `ferrite show`: what there is to say of a run, or of the runs of an experiment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::acts::Stop;
use ferrite_core::metrics::scores::ClassScores;
use ferrite_core::store::find::runs_of;
use ferrite_core::store::record::{Record, Stage, State};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use ferrite_core::warning::Watch;
use serde_json::{Value, json};

use crate::cli::scores::Board;
use crate::cli::status::json::run_json;
use crate::cli::status::progress::state;
use crate::cli::status::{damaged_json, existing, runs_table, tell_damaged};
use crate::cli::table::{Column, Table, WIDTH, sparkline, wrapped};
use crate::format;
use crate::study::judged::Judged;
use crate::study::{Run, Study, folds};

/// How many characters a curve has.
const CURVE: usize = 24;

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// A run, like `fruit/seed-0`, or an experiment, like `fruit`
    run: PathBuf,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn show_command(arguments: &ShowArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let folders = runs_of(&store, &arguments.run)?;
    let whole = |it: &Path| std::fs::canonicalize(it).unwrap_or_else(|_| it.to_owned());
    let asked: BTreeSet<PathBuf> = folders.iter().map(|it| whole(it)).collect();
    let runs = folds::read(&store);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let mut shown: Vec<&Run<'_>> =
        study.runs().filter(|it| asked.contains(&whole(&it.record.folder))).collect();
    shown.sort_by_key(|it| it.record.name());
    if shown.is_empty() {
        // A run that is there and cannot be read is damaged, and says so itself.
        return Err(runs.damaged.into_iter().next().unwrap_or_else(|| Error::Usage {
            message: format!("`{}` has no run that can be read", arguments.run.display()),
            help: "`ferrite status` lists them".into(),
        }));
    }
    let names: BTreeSet<String> = shown.iter().map(|it| it.record.name()).collect();
    let judged = Judged::new(&study);
    let board = Board::new(&judged, Some(&names));
    if arguments.json {
        return print_json(&documented(json!({
            "runs": shown.iter().map(|it| detailed_json(it)).collect::<Vec<_>>(),
            "configurations": board.to_json(),
            "damaged": damaged_json(&runs),
        })));
    }
    tell_damaged(&runs);
    let mut text = String::new();
    if let [only] = shown[..] {
        text.push_str(&one(only));
    } else {
        if let Some(about) = shown.first().map(|it| it.record.about()).filter(|it| !it.is_empty()) {
            let _ = writeln!(text, "{}", wrapped("", about, WIDTH));
        }
        text.push_str(&runs_table(&shown.iter().map(|it| it.record).collect::<Vec<_>>()));
        text.push_str(&warnings_of(&shown));
    }
    if board.has_scores() {
        let _ = write!(text, "\n{}", board.to_text());
    }
    print(&text)
}

/// Everything about one run that a terminal has room for.
fn one(run: &Run<'_>) -> String {
    let record = run.record;
    let mut text = String::new();
    let _ = writeln!(text, "{}  {}", record.name(), state(record, false));
    if !record.about().is_empty() {
        text.push_str(&wrapped("", record.about(), WIDTH));
    }
    if let State::Failed(failure) = &record.state
        && !failure.help.is_empty()
    {
        let _ = writeln!(text, "{}", failure.help);
    }
    if let Some(start) = &record.facts.start {
        let threads = counted(start.threads, "thread");
        let seconds = format::duration(record.seconds);
        let energy =
            run.joules().map_or_else(String::new, |it| format!(", {}", format::energy(it)));
        let (device, precision) = (&start.device, &start.precision);
        let _ = writeln!(text, "{seconds} on {device}, {threads}, {precision}{energy}");
    }
    text.push_str(&stages(&record.facts.stages));
    if let Some(it) = &record.facts.evaluation {
        let (accuracy, loss) = (format::percent(it.scores.accuracy), format::score(it.scores.loss));
        let images = counted(it.images, "image");
        let _ = writeln!(text, "\n{}: {accuracy} % of {images}, loss {loss}", it.split);
    }
    text.push_str(&classes(run));
    for it in warnings(record) {
        let _ = write!(text, "\n{}", wrapped("warning: ", &it, WIDTH));
    }
    let _ = writeln!(text, "\n{}", record.folder.display());
    text
}

/// A line for each stage.
fn stages(stages: &[Stage]) -> String {
    let mut table = Table::new(vec![
        Column::words("stage", 0).always(),
        Column::numbers("epochs", 4),
        Column::numbers("kept", 3),
        Column::numbers("valid loss", 5),
        Column::numbers("valid %", 6),
        Column::words("valid loss by epoch", 2),
        Column::words("ended", 1),
    ]);
    for it in stages {
        let kept = it.kept().or_else(|| it.epochs.last());
        let losses: Vec<f64> = it.epochs.iter().map(|it| it.valid.loss).collect();
        let ended = it.end.as_ref().map(|it| match &it.why {
            Stop::Completed => "all epochs".to_owned(),
            Stop::Early { monitor, patience, .. } => format!("{monitor} no better for {patience}"),
        });
        table.row(vec![
            it.start.stage.clone(),
            format!("{}/{}", it.epochs.len(), it.start.epochs),
            it.kept().map_or_else(String::new, |it| it.epoch.to_string()),
            kept.map_or_else(String::new, |it| format::score(it.valid.loss)),
            kept.map_or_else(String::new, |it| format::percent(it.valid.accuracy)),
            sparkline(&losses, CURVE),
            ended.unwrap_or_default(),
        ]);
    }
    if stages.is_empty() { String::new() } else { format!("\n{}", table.to_text()) }
}

/// How well each class is told from the others, on the images that the run was tested on.
fn classes(run: &Run<'_>) -> String {
    let Some(confusion) = &run.confusion else { return String::new() };
    let mut table = Table::new(vec![
        Column::words("class", 0).always(),
        Column::numbers("precision", 2),
        Column::numbers("recall", 4),
        Column::numbers("F1", 3),
        Column::numbers("images", 1),
    ]);
    for (name, it) in run.classes(confusion.counts.len()).into_iter().zip(confusion.classes()) {
        let percent =
            |it: Option<f64>| it.map_or_else(|| format::NOTHING.to_owned(), format::percent);
        let ClassScores { precision, recall, f1, support, .. } = it;
        table.row(vec![
            name,
            percent(precision),
            percent(recall),
            percent(f1),
            support.to_string(),
        ]);
    }
    format!("\n{}", table.to_text())
}

/// What should make the reader of a run doubt.
fn warnings(record: &Record) -> Vec<String> {
    let told = record.facts.warnings(&mut Watch::default());
    told.into_iter().map(|it| it.message).collect()
}

/// The same of several runs: each warning once, with the runs that it is about.
fn warnings_of(runs: &[&Run<'_>]) -> String {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for run in runs {
        for message in warnings(run.record) {
            match all.iter_mut().find(|it| it.0 == message) {
                Some(known) => known.1.push(&run.record.trial),
                None => all.push((message, vec![&run.record.trial])),
            }
        }
    }
    let line = |(message, of): &(String, Vec<&str>)| {
        let of = if of.len() == runs.len() { "all runs".into() } else { of.join(", ") };
        format!("\n{}", wrapped("warning: ", &format!("{message} ({of})"), WIDTH))
    };
    all.iter().map(line).collect()
}

fn detailed_json(it: &Run<'_>) -> Value {
    let mut run = run_json(it.record);
    let classes = it.confusion.as_ref().map(|confusion| {
        let class = |(name, it): (String, ClassScores)| {
            json!({
                "class": name,
                "precision": it.precision,
                "recall": it.recall,
                "f1": it.f1,
                "images": it.support,
            })
        };
        let names = it.classes(confusion.counts.len()).into_iter();
        names.zip(confusion.classes()).map(class).collect::<Vec<_>>()
    });
    run["classes"] = json!(classes);
    run["confusion"] = json!(it.confusion.as_ref().map(|it| &it.counts));
    run["warnings"] = json!(warnings(it.record));
    run
}
