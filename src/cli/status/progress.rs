//! How far a run is: its state in words, its epochs, and how long it will take.

use std::path::Path;

use ferrite_core::digits::counted;
use ferrite_core::error::printable;
use ferrite_core::event::Epoch;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::holder;
use ferrite_core::store::queued::{Attempt, Queued};
use ferrite_core::store::record::{Record, State};
use ferrite_core::terminal::notes::waits_for;
use toml::Value;

/// The epochs of all stages.
pub(in crate::cli) fn epochs(it: &Record) -> impl Iterator<Item = &Epoch> {
    it.facts.stages.iter().flat_map(|it| &it.epochs)
}

/// The epochs of each stage that its settings ask for.
fn asked(record: &Record) -> Vec<usize> {
    let stages = record.settings.get("stages").and_then(Value::as_array);
    let epochs = |it: &Value| it.get("epochs")?.as_integer()?.try_into().ok();
    stages.into_iter().flatten().filter_map(epochs).collect()
}

/// How many epochs it is to have at most: stages may end early.
pub(super) fn planned(record: &Record) -> usize {
    asked(record).iter().sum()
}

/// `3/10`: how many epochs it has, of how many at most.
pub(super) fn epochs_of(record: &Record) -> String {
    match (epochs(record).count(), planned(record)) {
        (done, 0) => done.to_string(),
        (done, planned) => format!("{done}/{planned}"),
    }
}

/// Seconds that a running run will take, if no stage ends early, at the speed of its last epoch; none before that.
pub(super) fn left(record: &Record) -> Option<f64> {
    if record.state != State::Running {
        return None;
    }
    let last = epochs(record).last()?.seconds;
    let of_stage = |(at, asked): (usize, usize)| match record.facts.stages.get(at) {
        Some(it) if it.end.is_some() => 0,
        Some(it) => asked.saturating_sub(it.epochs.len()),
        None => asked,
    };
    let epochs: usize = asked(record).into_iter().enumerate().map(of_stage).sum();
    Some(epochs as f64 * last)
}

/// The state of a run in a word: what its folder says, and whether it was stopped or killed, and waits for somebody: for the job
/// that a cluster has for it, as long as nobody is seen at it, or for its turn. `in_line` says that a sweep that runs will come
/// to it.
pub(super) fn word(record: &Record, in_line: bool) -> &'static str {
    match &record.state {
        State::Running if waits(record).is_some() => "waiting",
        State::Interrupted if in_line || job(record).is_some() => "waiting",
        State::Interrupted if record.facts.stopped => "stopped",
        other => other.word(),
    }
}

/// The job that a cluster has for a run that is not over, and the computer on which it was at work last.
pub(super) fn job(record: &Record) -> Option<(Queued, Option<String>)> {
    if !matches!(record.state, State::Running | State::Interrupted) {
        return None;
    }
    let queued = Queued::of(&record.folder)?;
    let name = format!("{} {}", queued.executor, queued.job);
    let attempt = Attempt::of(&record.folder).filter(|it| it.job == name);
    Some((queued, attempt.map(|it| it.node)))
}

/// How far a run is, by whom it is being carried out, and whom it waits for.
pub(in crate::cli) fn state(record: &Record, in_line: bool) -> String {
    let word = word(record, in_line);
    if let Some((queued, node)) = job(record) {
        let node = node.map_or_else(String::new, |it| match record.state {
            State::Running => format!(" on {it}"),
            // It was queued again, or is at work where its lock is not seen from here.
            _ => format!(", last on {it}"),
        });
        return format!("{word}, {} {}{node}", queued.executor, queued.job);
    }
    match &record.state {
        State::Running => {
            let process = holder(&record.folder.join(files::LOCK));
            let said = process.map_or_else(String::new, |it| format!(", process {it}"));
            let waits = waits(record).map_or_else(String::new, |it| format!(", {it}"));
            format!("{word}{said}{waits}")
        }
        State::Failed(failure) => format!("{word}: {}", printable(&failure.message)),
        State::Stopped(it) => {
            let (epochs, stage) = (counted(it.epochs, "epoch"), printable(&it.stage));
            format!("{word} at a rung, after {epochs} of {stage}")
        }
        State::Interrupted if in_line => format!("{word}: a sweep will go on with it"),
        State::Finished | State::Interrupted => word.to_owned(),
    }
}

/// Whom a running run waits for.
fn waits(record: &Record) -> Option<String> {
    let waits = record.facts.waiting.as_ref()?;
    // It may hold by now what it waited for, and have nothing new to tell yet.
    let process = holder(&record.folder.join(files::LOCK));
    let still = process.is_none() || holder(Path::new(&waits.path)) != process;
    still.then(|| waits_for(waits))
}
