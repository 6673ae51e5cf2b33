//! Runs read back from their folders.
//!
//! **Invariant:** a damaged folder is named and never hides the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;
use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::event::{Epoch, Event, Kind};
use crate::metrics::Prediction;
use crate::store::Store;
use crate::store::artifact::damaged;
use crate::store::description::Description;
use crate::store::folder::files;
use crate::store::health::damages;
use crate::store::lock::is_locked;
use crate::store::log::events;
use crate::store::record::{Facts, Record, State, Work};

/// Every run, and the folders that could not be read with the reason.
#[derive(Debug, Default)]
pub struct Runs {
    /// Sorted by experiment and trial.
    pub records: Vec<Record>,
    /// Damaged folders.
    pub damaged: Vec<Error>,
}

/// Files that only a run's folder has. One of them is enough to tell it, since others may be lost.
const OF_A_RUN: [&str; 4] = [files::TRIAL, files::EVENTS, files::PREDICTIONS, files::MODEL];

/// Every run below the store.
pub fn all(store: &Store) -> Runs {
    all_by(store, &record)
}

/// The same without predictions, which take longer to read than all else and which few need.
pub fn heads(store: &Store) -> Runs {
    all_by(store, &head)
}

/// Every run below the store, as `read` reads the folder of one.
pub fn all_by(store: &Store, read: &(dyn Fn(&Store, &Path) -> Result<Record> + Sync)) -> Runs {
    let mut runs = Runs::default();
    let mut folders = BTreeSet::new();
    // No run lies below a dot, nor among figures, of which there are more than of all other files.
    let passed =
        |name: &std::ffi::OsStr| name == files::PLOTS || name.to_string_lossy().starts_with('.');
    let walk = WalkDir::new(&store.root).min_depth(1).into_iter();
    for entry in walk.filter_entry(|it| !passed(it.file_name())) {
        match entry {
            Ok(it) => {
                let of_a_run = OF_A_RUN.iter().any(|name| it.file_name() == *name);
                folders.extend(
                    it.path().parent().filter(|_| of_a_run && it.depth() > 1).map(Path::to_owned),
                );
            }
            Err(error) => {
                let path = error.path().unwrap_or(&store.root).to_owned();
                let source = error.into_io_error();
                let source = source.unwrap_or_else(|| std::io::Error::other("it leads to itself"));
                runs.damaged.push(Error::file("cannot read", path)(source));
            }
        }
    }
    let folders: Vec<PathBuf> = folders.into_iter().collect();
    let read: Vec<_> = folders.par_iter().map(|it| read(store, it)).collect();
    for result in read {
        match result {
            Ok(record) => runs.records.push(record),
            Err(error) => runs.damaged.push(error),
        }
    }
    describe(store, &mut runs);
    runs
}

/// Reads what is said of each experiment, once.
fn describe(store: &Store, runs: &mut Runs) {
    let mut known = BTreeMap::<String, Description>::new();
    for record in &mut runs.records {
        let description = known.entry(record.experiment.clone()).or_insert_with(|| {
            let read = Description::read(&store.root.join(&record.experiment));
            read.unwrap_or_else(|error| {
                runs.damaged.push(error);
                Description::default()
            })
        });
        record.description = description.clone();
    }
}

/// The run in `folder`, without what is said of its experiment. One that has no log yet has just been made, or was
/// stopped before it could begin.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::File`], naming the file that cannot be read or is not what was written.
pub fn record(store: &Store, folder: &Path) -> Result<Record> {
    let mut record = head(store, folder)?;
    if record.state == State::Finished {
        let classes = record.facts.dataset.as_ref().map(|it| it.classes.len());
        record.predictions = predictions(&folder.join(files::PREDICTIONS), classes)?;
    }
    record.facts.count_predictions(&record.predictions);
    Ok(record)
}

/// The same without its predictions.
///
/// # Errors
/// As of [`record`].
pub fn head(store: &Store, folder: &Path) -> Result<Record> {
    let below = folder.strip_prefix(&store.root).unwrap_or(folder);
    let experiment = below.parent().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let trial = below.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let events = events_so_far(folder)?;
    let state = if is_locked(&folder.join(files::LOCK)) { State::Running } else { state(&events) };
    if state == State::Finished
        && let Some(damage) = damages(folder, &events)?.into_iter().next()
    {
        return Err(damage);
    }
    let settings = settings(&folder.join(files::TRIAL))?;
    let began_ms = events.first().map_or_else(|| made_ms(folder), |it| it.at_ms);
    let seconds = busy_seconds(&events);
    let mut facts = Facts { work: Work::of(&events), ..Facts::default() };
    for event in events {
        facts.fold(event.kind);
    }
    let (folder, description) = (folder.to_owned(), Description::default());
    Ok(Record {
        experiment,
        trial,
        description,
        folder,
        settings,
        state,
        began_ms,
        seconds,
        facts,
        predictions: Vec::new(),
        folds: Vec::new(),
    })
}

/// The settings in the `trial.toml` at `path`.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::File`] if they cannot be read.
pub fn settings(path: &Path) -> Result<toml::Table> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged(path, "it is missing"));
        }
        text => text.map_err(Error::file("cannot read", path))?,
    };
    let text = String::from_utf8(text).map_err(|it| damaged(path, &it.to_string()))?;
    let settings: toml::Table =
        text.parse().map_err(|it: toml::de::Error| damaged(path, it.message()))?;
    if settings.is_empty() { Err(damaged(path, "it holds no settings")) } else { Ok(settings) }
}

/// The events of the run in `folder`; none if it has no log.
pub(in crate::store) fn events_so_far(folder: &Path) -> Result<Vec<Event>> {
    match events(&folder.join(files::EVENTS)) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        events => events,
    }
}

/// When the folder of a run without a log was made, in milliseconds since 1970.
fn made_ms(folder: &Path) -> u64 {
    let changed = std::fs::metadata(folder.join(files::TRIAL)).and_then(|it| it.modified()).ok();
    let since = changed.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |it| it.as_millis() as u64)
}

/// The key of the run called `name`, if it is finished.
pub fn finished_key(store: &Store, name: &str) -> Option<String> {
    last(store, name).filter(|it| it.state == State::Finished)?.key
}

/// How the last process left a run.
#[derive(Debug)]
pub struct Last {
    /// The state, whoever may be at it now.
    pub state: State,
    /// The key under which it was begun last: that of the settings which its results come from.
    pub key: Option<String>,
    events: Vec<Event>,
}

/// How the last process left the run called `name`; none if there is no run whose log can be read.
pub fn last(store: &Store, name: &str) -> Option<Last> {
    let events = events(&store.root.join(name).join(files::EVENTS)).ok();
    let events = events.filter(|it| !it.is_empty())?;
    let key = events.iter().rev().find_map(|it| match &it.kind {
        Kind::RunStarted(start) => Some(start.key.clone()),
        _ => None,
    });
    Some(Last { state: state(&events), key, events })
}

impl Last {
    /// The epochs of `stage` that its processes told of, in order, and whether the stage is over. Whoever goes on tells them
    /// again, from the first on, and may be killed while it does: what was told before counts as well.
    pub fn epochs(&self, stage: &str) -> (Vec<Epoch>, bool) {
        let mut epochs = BTreeMap::new();
        let mut is_over = false;
        for event in &self.events {
            match &event.kind {
                Kind::EpochEnded(it) if it.stage == stage => drop(epochs.insert(it.epoch, it)),
                Kind::StageEnded(it) if it.stage == stage => is_over = true,
                _ => {}
            }
        }
        let in_a_row = (1..).zip(epochs).take_while(|(at, (epoch, _))| at == epoch);
        (in_a_row.map(|(_, (_, it))| it.clone()).collect(), is_over)
    }

    /// What is wrong with the files of the run called `name`, which is finished.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be read.
    pub fn damages(&self, store: &Store, name: &str) -> Result<Vec<Error>> {
        damages(&store.root.join(name), &self.events)
    }
}

fn state(events: &[Event]) -> State {
    let end = events.iter().rev().find_map(|it| match &it.kind {
        Kind::RunEnded { .. } => Some(State::Finished),
        Kind::RunFailed(failure) => Some(State::Failed(failure.clone())),
        Kind::RungEnded(rung) => Some(State::Stopped(rung.clone())),
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
    // A column of groups stands where images were kept together by them.
    let grouped = rows.iter().any(|it| !it.group.is_empty());
    let group = grouped.then_some("group");
    let known = ["id", "truth", "prediction"].into_iter().chain(group);
    let header = known.chain(classes.iter().map(String::as_str));
    writer.write_record(header).map_err(|it| damaged(path, &it.to_string()))?;
    for row in rows {
        let names = [&row.id, &classes[row.truth], &classes[row.predicted]].map(String::clone);
        let group = grouped.then(|| row.group.clone());
        let probabilities = row.probabilities.iter().map(|it| format!("{it:.6}"));
        writer
            .write_record(names.into_iter().chain(group).chain(probabilities))
            .map_err(|it| damaged(path, &it.to_string()))?;
    }
    writer.into_inner().map_err(|it| damaged(path, &it.to_string()))
}

/// Where the classes' columns begin in `predictions.csv`, or the column of groups in front of them.
const CLASSES_FROM: usize = 3;

/// Reads the predictions at `path`, which are of so many classes, if that is known. A class may be called `group`, so it is
/// their number that tells whether there is a column of groups.
fn predictions(path: &Path, classes: Option<usize>) -> Result<Vec<Prediction>> {
    let wrong = |error: &dyn std::fmt::Display| damaged(path, &error.to_string());
    let mut reader = csv::Reader::from_path(path).map_err(|it| wrong(&it))?;
    let columns = reader.headers().map_err(|it| wrong(&it))?.clone();
    let grouped = classes.is_some_and(|it| columns.len() == CLASSES_FROM + it + 1);
    let from = CLASSES_FROM + usize::from(grouped);
    let classes: Vec<&str> = columns.iter().skip(from).collect();
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
            probabilities: (from..row.len()).map(probability).collect::<Result<_>>()?,
            group: if grouped { cell(CLASSES_FROM).to_owned() } else { String::new() },
        });
    }
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_entered_is_named() {
        let root = tempfile::tempdir().unwrap().path().join("gone");
        let runs = all(&Store { root: root.clone() });
        let [Error::File { path, .. }] = &runs.damaged[..] else { panic!("{:?}", runs.damaged) };
        assert_eq!(*path, root);
    }

    #[test]
    fn every_number_of_settings_is_read_with_the_bits_that_it_was_written_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(files::TRIAL);
        let special = [0.0, -0.0, 4.0 / 17.0, 5e-324, f64::MAX, 1e17, 3e-5, f64::INFINITY];
        let more = (1..2000_u64).map(|it| f64::from_bits(it.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let numbers: Vec<f64> = special.into_iter().chain(more.filter(|it| !it.is_nan())).collect();
        let mut table = toml::Table::new();
        table.insert("numbers".into(), numbers.clone().into());
        std::fs::write(&path, toml::to_string(&table).unwrap()).unwrap();
        let there = settings(&path).unwrap();
        let there = there["numbers"].as_array().unwrap();
        assert_eq!(there.len(), numbers.len());
        for (there, number) in there.iter().zip(numbers) {
            assert_eq!(there.as_float().unwrap().to_bits(), number.to_bits(), "{number:e}");
        }
    }

    #[test]
    fn predictions_are_read_as_they_were_written_and_written_as_they_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(files::PREDICTIONS);
        let classes = ["group", "a, \"quoted\" class"].map(str::to_owned);
        for groups in [["", ""], ["Anna", "no, 2"]] {
            let row = |it: u64| {
                let draw = (it as f64 * 0.618_033_988_749_895).fract();
                let probabilities = vec![draw, 1.0 - draw];
                let (truth, predicted) = ((it % 2) as usize, usize::from(draw < 0.5));
                let group = groups[it as usize / 3 % 2].to_owned();
                Prediction { id: format!("{it},\n"), truth, predicted, probabilities, group }
            };
            let rows: Vec<Prediction> = (0..200).map(row).collect();
            let written = predictions_csv(&classes, &rows).unwrap();
            std::fs::write(&path, &written).unwrap();
            let there = predictions(&path, Some(2)).unwrap();
            assert_eq!(there.len(), rows.len());
            for (there, row) in there.iter().zip(&rows) {
                assert_eq!(
                    (&there.id, there.truth, &there.group),
                    (&row.id, row.truth, &row.group)
                );
                for (a, b) in there.probabilities.iter().zip(&row.probabilities) {
                    assert!((a - b).abs() <= 0.5e-6, "{a} and {b}");
                }
            }
            assert_eq!(predictions_csv(&classes, &there).unwrap(), written);
        }
    }
}
