//! Whoever starts, watches and stops workers: the seam between the schedule and the machines that carry it out.

pub mod local;

use std::path::PathBuf;
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::files::write_whole;
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Job;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;

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
    /// The worker of this trial ended.
    Ended(usize, Outcome),
}

/// Starts workers, one for each trial that it is given, and hears of them.
///
/// A worker is known by its trial, and a trial has one worker at most. Whatever a launcher is told to start ends in
/// one [`Message::Ended`], however it ends.
pub trait Launcher {
    /// Starts a worker on the trial at this position.
    ///
    /// # Errors
    /// Whatever keeps it from starting: it fails that trial alone.
    fn start(&mut self, trial: usize) -> Result<()>;

    /// Asks the worker of this trial to stop at the end of its epoch, or while it waits.
    fn stop(&mut self, trial: usize);

    /// The next message; none if nothing happens for as long as `patience`.
    fn hear(&mut self, patience: Duration) -> Option<Message>;

    /// Whether a process of somebody else is at this trial, or at the step under `next`, so that a worker could only
    /// wait for it.
    fn is_busy(&self, trial: usize, next: Option<Node<'_>>) -> bool;
}

/// Writes what a worker is to do about `trial` into the folder of its run, and returns the file.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn write_job(store: &Store, trial: &Trial) -> Result<PathBuf> {
    let folder = store.root.join(trial.name());
    fs_err::create_dir_all(&folder).map_err(Error::file("cannot create", &folder))?;
    let path = folder.join(files::JOB);
    write_whole(&path, &Job::new(trial).to_json())?;
    Ok(path)
}

/// A step, as a launcher looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a> {
    /// The name of its kind.
    pub kind: &'a str,
    /// Its key.
    pub key: &'a str,
}
