//! Whoever starts, watches and stops workers: the seam between the schedule and the machines that carry it out.

pub mod local;
pub mod mps;
pub mod patience;

use std::path::PathBuf;
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::disk::SetAside;
use ferrite_core::event::failure::Failure;
use ferrite_core::files::{create_folder, write_whole};
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::{Job, Until};
use ferrite_core::store::Store;
use ferrite_core::store::artifact::set_aside;
use ferrite_core::store::folder::files;
use ferrite_core::store::read::{Last, last};
use ferrite_core::store::record::State;
use ferrite_core::store::stop;

use crate::sweep::Outcome;

/// What is heard of a worker. Trials are named by their position in the sweep.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of the large one, and few wait at a time"
)]
pub enum Message {
    /// Something happened in this trial.
    Happened(usize, Kind),
    /// The worker of this trial has given no sign of life for so long. If none comes, it will be ended.
    Silent(usize, Duration),
    /// The worker of this trial ended.
    Ended(usize, Outcome),
}

/// Starts workers, one for each trial that it is given, and hears of them.
///
/// A worker is known by its trial, and a trial has one worker at most. Whatever a launcher is told to start ends in
/// one [`Message::Ended`], however it ends.
pub trait Launcher {
    /// Starts a worker on the trial at this position, which carries it to its end, or to the rung where it stops.
    ///
    /// # Errors
    /// Whatever keeps it from starting: it fails that trial alone.
    fn start(&mut self, trial: usize, until: Option<Until>) -> Result<()>;

    /// Asks the worker of this trial to stop at the end of its epoch, or while it waits.
    fn stop(&mut self, trial: usize);

    /// The next message; none if nothing happens for as long as `patience`.
    fn hear(&mut self, patience: Duration) -> Option<Message>;

    /// Whether a process of somebody else is at this trial, or at the step under `next`, so that a worker could only
    /// wait for it.
    fn is_busy(&self, trial: usize, next: Option<Node<'_>>) -> bool;
}

/// Writes what a worker is to do about `trial`, to its end or to where it stops, into the folder of its run, and returns the
/// file.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn write_job(store: &Store, trial: &Trial, until: Option<Until>) -> Result<PathBuf> {
    let folder = store.root.join(trial.name());
    create_folder(&folder)?;
    let path = folder.join(files::JOB);
    write_whole(&path, &Job::new(trial, until).to_json())?;
    Ok(path)
}

/// Writes the `trial.toml` of a run, whose folder is there. That of a finished run stays if it is whole; else it is set
/// aside. What else is damaged the worker finds, but its settings must be there before it starts.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn write_settings(store: &Store, trial: &Trial) -> Result<Option<SetAside>> {
    let path = store.root.join(trial.name()).join(files::TRIAL);
    let finished = |it: &Last| it.state == State::Finished && it.key.as_ref() == Some(&trial.key);
    let mut aside = None;
    if let Some(last) = last(store, &trial.name()).filter(finished) {
        let damages = last.damages(store, &trial.name())?;
        let message = damages.into_iter().find_map(|it| match it {
            Error::Damaged { path: it, message, .. } if it == path => Some(message),
            _ => None,
        });
        let Some(message) = message else { return Ok(None) };
        aside = Some(set_aside(&path, &path, &message)?);
    }
    write_whole(&path, trial.settings.to_toml().as_bytes())?;
    Ok(aside)
}

/// What became of `trial`, whose worker ended with `outcome`: one that was stopped by itself, with `ferrite stop RUN`, is not
/// done, and the others go on.
pub fn by_itself(store: &Store, trial: &Trial, outcome: Outcome) -> Outcome {
    let folder = store.root.join(trial.name());
    if outcome != Outcome::Interrupted || !stop::is_asked(&folder) {
        return outcome;
    }
    stop::forget(&folder);
    Outcome::Died(Failure {
        message: "it was stopped by `ferrite stop`".into(),
        help: "the next sweep goes on from its last checkpoint".into(),
        exit_code: Error::Interrupted.exit_code(),
    })
}

/// A step, as a launcher looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    /// The name of its kind.
    pub kind: &'a str,
    /// Its key.
    pub key: &'a str,
}
