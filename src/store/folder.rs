//! The folder of one run, while a process writes it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use crate::error::{Error, Result};
use crate::event::{Event, Kind};
use crate::store::read::events;
use crate::store::{Lock, Store, lock, write_whole, write_whole_by};

/// Names of the files in a run's folder.
pub mod files {
    use crate::event::FINAL;

    /// Held by the process that writes the folder.
    pub const LOCK: &str = ".lock";
    /// Resolved settings.
    pub const TRIAL: &str = "trial.toml";
    /// What happened.
    pub const EVENTS: &str = "events.jsonl";
    /// A log that could not be read, set aside.
    pub const DAMAGED: &str = "events.damaged.jsonl";
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
    events: File,
    _lock: Lock,
}

impl RunFolder {
    /// Makes the folder or goes on with it; waits while another process owns it. A log that cannot be
    /// read is set aside: what it told lies in the steps' results, too.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn own(store: &Store, name: &str) -> Result<Self> {
        let path = store.root.join(name);
        let plots = path.join(files::PLOTS);
        fs::create_dir_all(&plots).map_err(Error::file("cannot create", &plots))?;
        let lock = lock(&path.join(files::LOCK))?;
        let log = path.join(files::EVENTS);
        mend(&log)?;
        if log.exists()
            && let Err(Error::Damaged { .. }) = events(&log)
        {
            let aside = path.join(files::DAMAGED);
            fs::rename(&log, &aside).map_err(Error::file("cannot rename", &log))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&log);
        Ok(Self { events: file.map_err(Error::file("cannot write", &log))?, _lock: lock, path })
    }

    /// Appends what happened to the log.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn append(&mut self, kind: Kind) -> Result<()> {
        let event = Event { at_ms: now_ms(), kind };
        let mut line = serde_json::to_string(&event).expect("events are plain JSON");
        line.push('\n');
        let log = self.path.join(files::EVENTS);
        self.events.write_all(line.as_bytes()).map_err(Error::file("cannot write", log))
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), bytes)
    }

    /// As [`RunFolder::write`], where `write` writes the file that it is given.
    ///
    /// # Errors
    /// As there.
    pub fn write_by(&self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        write_whole_by(&self.path.join(name), write)
    }
}

/// Ends a last line that a killed process left without its end, so that the next event stands alone.
fn mend(log: &Path) -> Result<()> {
    let Ok(text) = std::fs::read(log) else { return Ok(()) };
    if text.is_empty() || text.ends_with(b"\n") {
        return Ok(());
    }
    let whole = text.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let file =
        OpenOptions::new().write(true).open(log).map_err(Error::file("cannot write", log))?;
    file.set_len(whole as u64).map_err(Error::file("cannot write", log))
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_off_and_what_came_before_stays() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let mut folder = RunFolder::own(&store, "e/t").unwrap();
        folder.append(Kind::RunInterrupted).unwrap();
        let log = folder.path.join(files::EVENTS);
        drop(folder);
        let whole = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, format!("{whole}{{\"at_ms\":1,\"eve")).unwrap();
        RunFolder::own(&store, "e/t").unwrap().append(Kind::RunInterrupted).unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.starts_with(&whole) && text.lines().count() == 2, "{text}");
    }
}
