//! The folder of one run, while a process writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::event::Kind;
use crate::event::disk::{Artifact, SetAside};
use crate::files::{create_folder, write_whole, write_whole_by};
use crate::store::artifact::{of_bytes, of_file, set_aside};
use crate::store::lock::{Caller, Lock, lock};
use crate::store::log::{Log, events};
use crate::store::{Store, leftovers, stop};

/// Names of the files in a run's folder.
pub mod files {
    use crate::event::FINAL;

    /// Held by the process that writes the folder.
    pub const LOCK: &str = ".lock";
    /// What is said of an experiment, in its folder.
    pub const EXPERIMENT: &str = "experiment.toml";
    /// Resolved settings.
    pub const TRIAL: &str = "trial.toml";
    /// Asks the process that holds the folder to stop.
    pub const STOP: &str = ".stop";
    /// What a worker is to do. Two sweeps may hand the same to a worker each, so nobody takes it away.
    pub const JOB: &str = "job.json";
    /// The job that a cluster has for it.
    pub const QUEUED: &str = "queued.json";
    /// Who is at it on a cluster.
    pub const ATTEMPT: &str = "attempt.json";
    /// What the jobs of a cluster said that were at it.
    pub const JOB_LOG: &str = "job.log";
    /// What happened.
    pub const EVENTS: &str = "events.jsonl";
    /// Where it happened.
    pub const ENVIRONMENT: &str = "environment.json";
    /// Predictions of the final weights.
    pub const PREDICTIONS: &str = "predictions.csv";
    /// The final weights.
    pub const MODEL: &str = "model.safetensors";
    /// Figures.
    pub const PLOTS: &str = "plots";

    /// What `file` is called for the weights of this name: of the final ones as it is, of others
    /// `model.<weights>.safetensors`.
    pub fn of_weights(file: &str, weights: &str) -> String {
        match file.split_once('.') {
            Some((stem, kind)) if weights != FINAL => format!("{stem}.{weights}.{kind}"),
            _ => file.to_owned(),
        }
    }
}

/// A run's folder, owned by this process.
#[derive(Debug)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    log: Log,
    written: BTreeMap<String, Artifact>,
    aside: Vec<SetAside>,
    _lock: Lock,
}

impl RunFolder {
    /// Makes the folder or goes on with it; waits while another process owns it. A log that is damaged is set
    /// aside: what it told lies in the steps' results, too.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; [`Error::Interrupted`] if the user ends the wait.
    pub fn own(store: &Store, name: &str, caller: &mut Caller<'_>) -> Result<Self> {
        let path = store.root.join(name);
        let plots = path.join(files::PLOTS);
        create_folder(&plots)?;
        let lock = lock(&path.join(files::LOCK), &mut |held| caller.wait(held))?;
        // It asked whoever held the folder before.
        stop::forget(&path);
        leftovers::clear_own(&path);
        leftovers::clear_own(&plots);
        let log = path.join(files::EVENTS);
        let mut aside = Vec::new();
        if log.exists()
            && let Err(error) = events(&log)
        {
            let Error::Damaged { message, .. } = error else { return Err(error) };
            aside.push(set_aside(&log, &log, &message)?);
        }
        let log = Log::open(&log)?;
        Ok(Self { path, log, written: BTreeMap::new(), aside, _lock: lock })
    }

    /// Sets those files aside that are not what the finished run wrote, so that they are made again.
    ///
    /// # Errors
    /// [`Error::File`] if one cannot be renamed.
    pub fn set_aside(&mut self, damages: &[Error]) -> Result<()> {
        for damage in damages {
            if let Error::Damaged { path, message, .. } = damage {
                self.aside.push(set_aside(path, path, message)?);
            }
        }
        Ok(())
    }

    /// What was set aside and is not told yet.
    pub fn take_aside(&mut self) -> Vec<SetAside> {
        std::mem::take(&mut self.aside)
    }

    /// Appends what happened to the log.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn append(&mut self, kind: Kind) -> Result<()> {
        self.log.append(kind)
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), bytes)?;
        self.written.insert(name.to_owned(), of_bytes(bytes));
        Ok(())
    }

    /// Writes a file as [`RunFolder::write`] does, where `write` writes the file that it is given.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; what `write` fails with.
    pub fn write_by(&mut self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let path = self.path.join(name);
        write_whole_by(&path, write)?;
        self.written.insert(name.to_owned(), of_file(&path)?);
        Ok(())
    }

    /// What this process wrote into the folder, by file.
    pub fn written(&self) -> BTreeMap<String, Artifact> {
        self.written.clone()
    }
}
