//! Runs read back from their folders.
//!
//! **Invariant:** a damaged folder is named and never hides the others.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::event::{Event, FORMAT, Kind};
use crate::store::folder::files;
use crate::store::record::{Facts, Prediction, Record, State};
use crate::store::{Store, is_locked};

/// Every run, and the folders that could not be read with the reason.
#[derive(Debug, Default)]
pub struct Runs {
    /// Sorted by experiment and trial.
    pub records: Vec<Record>,
    /// Damaged folders.
    pub damaged: Vec<Error>,
}

/// Every run below the store.
pub fn all(store: &Store) -> Runs {
    let walk = WalkDir::new(&store.root).min_depth(2).sort_by_file_name().into_iter();
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let folders: Vec<PathBuf> = walk
        .filter_entry(|it| !hidden(it.file_name()))
        .filter_map(Result::ok)
        .filter(|it| it.file_name() == files::TRIAL)
        .filter_map(|it| it.path().parent().map(Path::to_owned))
        .collect();
    let read: Vec<_> = folders.par_iter().map(|it| record(store, it)).collect();
    let mut runs = Runs::default();
    for result in read {
        match result {
            Ok(record) => runs.records.push(record),
            Err(error) => runs.damaged.push(error),
        }
    }
    runs
}

/// The run in `folder`.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::File`], naming the file that cannot be read.
pub fn record(store: &Store, folder: &Path) -> Result<Record> {
    let below = folder.strip_prefix(&store.root).unwrap_or(folder);
    let experiment = below.parent().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let trial = below.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let path = folder.join(files::TRIAL);
    let text = fs_err::read_to_string(&path).map_err(Error::file("cannot read", &path))?;
    let settings = text.parse().map_err(|it: toml::de::Error| damaged(&path, it.message()))?;
    let events = events(&folder.join(files::EVENTS))?;
    let mut facts = Facts::default();
    for event in &events {
        facts.fold(event);
    }
    let state = state(&events, is_locked(&folder.join(files::LOCK)));
    let predictions = match state {
        State::Finished => predictions(&folder.join(files::PREDICTIONS))?,
        _ => Vec::new(),
    };
    let began_ms = events.first().map_or(0, |it| it.at_ms);
    let seconds = busy_seconds(&events);
    let folder = folder.to_owned();
    Ok(Record { experiment, trial, folder, settings, state, began_ms, seconds, facts, predictions })
}

/// The key of the run called `name`, if it is finished.
pub fn finished_key(store: &Store, name: &str) -> Option<String> {
    let events = events(&store.root.join(name).join(files::EVENTS)).ok()?;
    first_key(&events).filter(|_| state(&events, false) == State::Finished)
}

/// How the last process left the run called `name`, and the run's key; none if there is no run.
pub fn last_state(store: &Store, name: &str) -> Option<(State, Option<String>)> {
    let folder = store.root.join(name);
    let events = events(&folder.join(files::EVENTS)).ok().filter(|it| !it.is_empty())?;
    Some((state(&events, is_locked(&folder.join(files::LOCK))), first_key(&events)))
}

fn first_key(events: &[Event]) -> Option<String> {
    events.iter().find_map(|it| match &it.kind {
        Kind::RunStarted(start) => Some(start.key.clone()),
        _ => None,
    })
}

/// The events of the log at `path`, without a last line that was not written to its end.
///
/// # Errors
/// [`Error::File`], or [`Error::Damaged`] with the line that is no event.
pub fn events(path: &Path) -> Result<Vec<Event>> {
    let text = fs_err::read_to_string(path).map_err(Error::file("cannot read", path))?;
    let mut events = Vec::new();
    // A last line without its end was being written when the process was killed.
    let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n')).enumerate();
    for (index, line) in lines {
        let event: Event = serde_json::from_str(line)
            .map_err(|error| damaged(path, &format!("line {} is no event: {error}", index + 1)))?;
        if let Kind::RunStarted(start) = &event.kind
            && start.format > FORMAT
        {
            let message = format!("format {} is newer than this Ferrite's {FORMAT}", start.format);
            return Err(damaged(path, &message));
        }
        events.push(event);
    }
    Ok(events)
}

fn state(events: &[Event], locked: bool) -> State {
    if locked {
        return State::Running;
    }
    let end = events.iter().rev().find_map(|it| match &it.kind {
        Kind::RunEnded { .. } => Some(State::Finished),
        Kind::RunFailed(failure) => Some(State::Failed(failure.clone())),
        Kind::RunStarted(_) | Kind::RunInterrupted => Some(State::Interrupted),
        _ => None,
    });
    end.unwrap_or(State::Interrupted)
}

/// Seconds in which a process was at it: from each start to the last event before the next.
fn busy_seconds(events: &[Event]) -> f64 {
    let mut seconds = 0.0;
    let mut started = None;
    let mut last = 0;
    for event in events {
        if matches!(event.kind, Kind::RunStarted(_)) {
            seconds += started.map_or(0.0, |it| last.max(it) as f64 - it as f64) / 1000.0;
            started = Some(event.at_ms);
        }
        last = event.at_ms;
    }
    seconds + started.map_or(0.0, |it| last.max(it) as f64 - it as f64) / 1000.0
}

/// `predictions.csv`: id, truth, prediction, then a column for each class with its probability.
///
/// # Errors
/// [`Error::Damaged`] if the classes cannot be written as CSV, which they have no reason to.
pub fn predictions_csv(classes: &[String], rows: &[Prediction]) -> Result<Vec<u8>> {
    let path = Path::new(files::PREDICTIONS);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header =
        ["id", "truth", "prediction"].into_iter().chain(classes.iter().map(String::as_str));
    writer.write_record(header).map_err(|it| damaged(path, &it.to_string()))?;
    for row in rows {
        let names = [&row.id, &classes[row.truth], &classes[row.predicted]].map(String::clone);
        let probabilities = row.probabilities.iter().map(|it| format!("{it:.6}"));
        writer
            .write_record(names.into_iter().chain(probabilities))
            .map_err(|it| damaged(path, &it.to_string()))?;
    }
    writer.into_inner().map_err(|it| damaged(path, &it.to_string()))
}

/// Where the classes' columns begin in `predictions.csv`.
const CLASSES_FROM: usize = 3;

fn predictions(path: &Path) -> Result<Vec<Prediction>> {
    let wrong = |error: &dyn std::fmt::Display| damaged(path, &error.to_string());
    let mut reader = csv::Reader::from_path(path).map_err(|it| wrong(&it))?;
    let columns = reader.headers().map_err(|it| wrong(&it))?.clone();
    let classes: Vec<&str> = columns.iter().skip(CLASSES_FROM).collect();
    let mut predictions = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|it| wrong(&it))?;
        let cell = |index: usize| row.get(index).unwrap_or_default();
        let class = |name: &str| {
            let index = classes.iter().position(|it| *it == name);
            index.ok_or_else(|| wrong(&format!("`{name}` is no class of it")))
        };
        let probability = |index: usize| cell(index).parse().map_err(|it| wrong(&it));
        predictions.push(Prediction {
            id: cell(0).to_owned(),
            truth: class(cell(1))?,
            predicted: class(cell(2))?,
            probabilities: (CLASSES_FROM..row.len()).map(probability).collect::<Result<_>>()?,
        });
    }
    Ok(predictions)
}

fn damaged(path: &Path, message: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
        help: "delete the run's folder and sweep again; the other runs are not touched".into(),
    }
}
