//! Event files for TensorBoard: one a run, in a folder of the run's name.
//!
//! The bytes of a file follow from the run alone, in the order in which a run tells things: what it was set to, epoch by epoch,
//! scores, figures, its end. So a run that has gone on begins with the same bytes, and what is new is appended, where a
//! TensorBoard that is open reads on. A run that is another one now, or tells its epochs otherwise, gets a file with the
//! next number, whose beginning tells such readers to forget what they had; the old one goes.
//!
//! **Invariant:** no clock; no step twice in a file.

mod frame;
mod message;
#[cfg(test)]
mod tests;
mod values;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ferrite_core::digits::hex;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::Event as Told;
use ferrite_core::files::output::Output;
use ferrite_core::files::{create_folder, remove_file};
use ferrite_core::metrics::Prediction;
use ferrite_core::store::folder::files;
use ferrite_core::store::record::State;
use sha2::{Digest, Sha256};

use crate::export::history::{Point, last_ms, last_step, points, settings};
use crate::export::tensorboard::message::{
    Event, HparamsStatus, HparamsWhat, SessionEnd, SessionLog, SessionStart, SessionStatus,
    Summary, Value, What,
};
use crate::report::files::is_drawn;
use crate::study::Run;

/// What readers of event files look for at their beginning.
const VERSION: &str = "brain.Event:2";

/// What the names of files begin with. Readers know an event file by `tfevents`.
const BEGIN: &str = "events.out.tfevents.";

/// What stands behind the time in a name, so that no file of another program is taken for one of these.
const OWN: &str = ".ferrite.";

/// What became of the file of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It says all that there is already.
    Nothing,
    /// There was none.
    Written,
    /// The run has gone on, and what is new stands behind what was there.
    Appended,
    /// The run tells other things than before, so that another file took its place.
    Replaced,
}

/// Whether figures are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figures {
    /// Those of a run that is over, once the report has been written.
    Drawn,
    /// None: while a sweep runs, they are drawn again and again.
    Left,
}

/// Writes what `run`, whose log has these `events`, has to show into its folder below `out`.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or written.
pub(crate) fn write(
    run: &Run<'_>,
    events: &[Told],
    figures: Figures,
    out: &Path,
) -> Result<Change> {
    let folder = out.join(&run.record.experiment).join(&run.record.trial);
    create_folder(&folder)?;
    let bytes = file(run, events, figures);
    let seconds = run.record.began_ms / 1000;
    let old = own_files(&folder)?;
    let Some((last, rest)) = old.split_last() else {
        append(&folder.join(name(seconds, 1)), &bytes)?;
        return Ok(Change::Written);
    };
    // Left by whoever was cut off between the new file and the old one's removal.
    rest.iter().try_for_each(|it| remove_file(&folder.join(&it.0)))?;
    let path = folder.join(&last.0);
    let there = fs::read(&path).map_err(Error::file("cannot read", &path))?;
    // While a run goes on from a checkpoint, it has told fewer epochs than before it was killed.
    let is_behind = there.starts_with(&bytes) && run.record.state == State::Running;
    if there == bytes || is_behind {
        return Ok(Change::Nothing);
    }
    if let Some(news) = bytes.strip_prefix(&there[..]) {
        append(&path, news)?;
        return Ok(Change::Appended);
    }
    // Readers that are open go on to files whose names come later.
    let seconds = seconds.max(last.1);
    append(&folder.join(name(seconds, last.2 + 1)), &bytes)?;
    remove_file(&path)?;
    Ok(Change::Replaced)
}

/// Writes `bytes` behind what is in the file at `path`. Nothing is written under another name first: readers take whatever
/// has `tfevents` in its name for an event file, and wait for the rest of one that is not whole.
fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = Output::append(path).and_then(|mut it| it.write_all(bytes));
    written.map_err(Error::file("cannot write", path))
}

/// What a file is called, by the second in which its run began and the number of the file.
fn name(seconds: u64, number: u32) -> String {
    format!("{BEGIN}{seconds:010}{OWN}{number:06}")
}

/// The files of earlier exports in `folder`, each with what its name says, the last one last.
fn own_files(folder: &Path) -> Result<Vec<(String, u64, u32)>> {
    let entries = fs::read_dir(folder).map_err(Error::file("cannot read", folder))?;
    let mut own: Vec<_> = entries
        .flatten()
        .filter_map(|it| {
            let name = it.file_name().into_string().ok()?;
            let (seconds, number) = name.strip_prefix(BEGIN)?.split_once(OWN)?;
            let (seconds, number) = (seconds.parse().ok()?, number.parse().ok()?);
            Some((name, seconds, number))
        })
        .collect();
    own.sort();
    Ok(own)
}

/// The whole file.
fn file(run: &Run<'_>, events: &[Told], figures: Figures) -> Vec<u8> {
    let mut file = File::default();
    let began = run.record.began_ms;
    file.push(began, 0, What::FileVersion(VERSION.to_owned()));
    let start = SessionLog { status: SessionStatus::Start.into() };
    file.push(began, 0, What::SessionLog(start));
    file.values(began, 0, beginning(run));
    for epoch in points(run, events).chunk_by(|a, b| (a.step, a.at_ms) == (b.step, b.at_ms)) {
        let Point { step, at_ms, .. } = epoch[0];
        let scalars = epoch.iter().map(|it| values::scalar(&it.name, it.value));
        file.values(at_ms, step, scalars.collect());
    }
    let (at_ms, step) = (last_ms(events).max(began), last_step(run));
    file.values(at_ms, step, of_predictions(run));
    let Some(end) = end(run, at_ms) else { return file.0 };
    file.values(at_ms, step, vec![end]);
    let figures = if figures == Figures::Drawn { pictures(&run.record.folder) } else { Vec::new() };
    for path in figures {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // One that goes while the report is written anew comes with the next export.
        let Ok(png) = fs::read(&path) else { continue };
        file.values(
            at_ms,
            step,
            values::picture(&format!("plots/{name}"), png).into_iter().collect(),
        );
    }
    file.0
}

/// The bytes of a file.
#[derive(Default)]
struct File(Vec<u8>);

impl File {
    fn values(&mut self, at_ms: u64, step: usize, value: Vec<Value>) {
        if !value.is_empty() {
            self.push(at_ms, step, What::Summary(Summary { value }));
        }
    }

    fn push(&mut self, at_ms: u64, step: usize, what: What) {
        let wall_time = at_ms as f64 / 1000.0;
        frame::push(&mut self.0, &Event { wall_time, step: step as i64, what: Some(what) });
    }
}

/// What a run is set to, as a text and as hyperparameters. Seeds and folds of a configuration are one group.
fn beginning(run: &Run<'_>) -> Vec<Value> {
    let path = run.record.folder.join(files::TRIAL);
    let toml = fs::read_to_string(path).unwrap_or_else(|_| run.record.settings.to_string());
    // Four blanks make a block of code of it, whatever stands in it.
    let code: String = toml.lines().map(|it| format!("    {it}\n")).collect();
    let flat = settings(run);
    let digest = Sha256::digest(format!("{flat:?}"));
    let start = SessionStart {
        hparams: flat.iter().map(|(key, it)| (key.clone(), values::setting(it))).collect(),
        group: format!("{}/{}", run.record.experiment, hex(&digest[..4])),
        start_seconds: run.record.began_ms as f64 / 1000.0,
    };
    let mut all = vec![values::text("settings", &code)];
    if !run.record.about().is_empty() {
        all.push(values::text("about", run.record.about()));
    }
    all.push(values::hparams("_hparams_/session_start_info", HparamsWhat::Start(start)));
    all
}

/// Curves of precision and recall, and how sure the network was.
fn of_predictions(run: &Run<'_>) -> Vec<Value> {
    let predictions = &run.record.predictions;
    let classes = run.classes(run.confusion.as_ref().map_or(0, |it| it.counts.len()));
    let judged_by = run.judged_by().unwrap_or_default();
    let curve = |(class, name): (usize, &String)| {
        let description = format!("`{name}` against all other classes, on {judged_by}");
        let tag = format!("precision_recall/{name}");
        values::precision_recall(&tag, &description, predictions, class)
    };
    if predictions.is_empty() {
        return Vec::new();
    }
    let of = |class: &dyn Fn(&Prediction) -> usize| -> Vec<f64> {
        let probability = |it: &Prediction| it.probabilities.get(class(it)).copied();
        predictions.iter().filter_map(probability).collect()
    };
    let confidence = values::distribution("evaluation/confidence", &of(&|it| it.predicted));
    let truth = values::distribution("evaluation/probability_of_truth", &of(&|it| it.truth));
    classes.iter().enumerate().filter_map(curve).chain(confidence).chain(truth).collect()
}

/// That a run is over, and how.
fn end(run: &Run<'_>, at_ms: u64) -> Option<Value> {
    let status = match run.record.state {
        State::Finished => HparamsStatus::Success,
        State::Failed(_) => HparamsStatus::Failure,
        State::Running | State::Stopped(_) | State::Interrupted => return None,
    };
    let end = SessionEnd { status: status.into(), end_seconds: at_ms as f64 / 1000.0 };
    Some(values::hparams("_hparams_/session_end_info", HparamsWhat::End(end)))
}

/// The figures in the `folder` of a run whose page was written, in the order of their names.
fn pictures(folder: &Path) -> Vec<PathBuf> {
    if !is_drawn(folder) {
        return Vec::new();
    }
    let entries = fs::read_dir(folder.join(files::PLOTS)).into_iter().flatten();
    let paths = entries.flatten().map(|it| it.path());
    // A name that begins with a dot is of a file that is being written.
    let is_hidden =
        |it: &PathBuf| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with('.'));
    let mut all: Vec<_> =
        paths.filter(|it| it.extension().is_some_and(|it| it == "png") && !is_hidden(it)).collect();
    all.sort();
    all
}
