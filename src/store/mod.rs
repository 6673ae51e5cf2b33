//! Folders on disk.
//!
//! ```text
//! runs/
//!   <experiment>/<trial>/     trial.toml, events.jsonl, environment.json, predictions.csv,
//!                             model.safetensors, plots/, index.html
//!   .store/<step>/<key>/      the result of a step; complete when the folder has this name
//!   .store/<step>/<key>.partial/   a step that is being done, or was interrupted
//! ```
//!
//! Every file but the log is written under another name and renamed. One process owns a folder, by a
//! lock that the operating system gives back when the process ends, however it ends.

pub mod folder;
pub mod read;
pub mod record;

use std::fs::File;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::error::{Error, Result};

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct Store {
    /// `runs/`.
    pub root: PathBuf,
}

/// A lock that ends with its value.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Store {
    /// Opens, or makes, the folder of runs at `root`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn open(root: &Path) -> Result<Self> {
        let steps = root.join(".store");
        fs::create_dir_all(&steps).map_err(Error::file("cannot create", &steps))?;
        let probe = steps.join(format!(".probe-{}", std::process::id()));
        fs::write(&probe, b"").map_err(Error::file("cannot write in", root))?;
        fs::remove_file(&probe).map_err(Error::file("cannot write in", root))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where fingerprints of data files are kept.
    pub fn fingerprints(&self) -> PathBuf {
        self.root.join(".store/fingerprints.json")
    }

    /// Whether a step's result is there. The features of a step lie in a folder for each split.
    pub fn has(&self, kind: &str, key: &str) -> bool {
        let folder = self.step_folder(kind, key);
        folder.is_dir() || folder.with_file_name(format!("{key}-valid")).is_dir()
    }

    /// Where the result of a step lies once it is there.
    pub fn step_folder(&self, kind: &str, key: &str) -> PathBuf {
        self.root.join(".store").join(kind).join(key)
    }

    /// The result of a step: found, or made by `make` in a folder of its own, by one process at a time.
    ///
    /// `make` finds there what an interrupted attempt has left. Returns the folder and whether it was found.
    ///
    /// # Errors
    /// Whatever `make` fails with; [`Error::File`] if the folder cannot be made.
    pub fn step(
        &self,
        kind: &str,
        key: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(PathBuf, bool)> {
        let folder = self.step_folder(kind, key);
        if folder.is_dir() {
            return Ok((folder, true));
        }
        let partial = folder.with_file_name(format!("{key}.partial"));
        let steps = self.root.join(".store").join(kind);
        fs::create_dir_all(&steps).map_err(Error::file("cannot create", &steps))?;
        let lock_path = folder.with_file_name(format!("{key}.lock"));
        let lock = lock(&lock_path)?;
        if folder.is_dir() {
            return Ok((folder, true));
        }
        fs::create_dir_all(&partial).map_err(Error::file("cannot create", &partial))?;
        make(&partial)?;
        fs::rename(&partial, &folder).map_err(Error::file("cannot rename", &partial))?;
        drop(lock);
        let _ = fs::remove_file(&lock_path);
        Ok((folder, false))
    }
}

/// Takes away what an interrupted attempt at a step has left in its `folder`.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn clear(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(Error::file("cannot clear", folder))?;
    fs::create_dir_all(folder).map_err(Error::file("cannot create", folder))
}

/// Waits until no other process holds the lock file at `path`, then holds it.
///
/// # Errors
/// [`Error::File`] if it cannot be created or locked.
pub fn lock(path: &Path) -> Result<Lock> {
    let file = File::create(path).map_err(Error::file("cannot create", path))?;
    file.lock().map_err(Error::file("cannot lock", path))?;
    Ok(Lock { _file: file })
}

/// Whether another process holds the lock file at `path`.
pub fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|it| matches!(it.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Writes a file whole or not at all: under another name, flushed to disk, renamed.
///
/// # Errors
/// [`Error::File`], e.g. when the disk is full; the old file is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |temporary| {
        std::fs::write(temporary, bytes).map_err(Error::file("cannot write", temporary))
    })
}

/// As [`write_whole`], where `write` writes the file that it is given.
///
/// # Errors
/// As there.
pub fn write_whole_by(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let finish = || {
        File::open(&temporary)?.sync_data()?;
        std::fs::rename(&temporary, path)
    };
    let written =
        write(&temporary).and_then(|()| finish().map_err(Error::file("cannot write", path)));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        match error {
            // The other name means nothing to whoever reads this.
            Error::File { action, path: it, source } if it == temporary => {
                Error::File { action, path: path.to_owned(), source }
            }
            other => other,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_made_once_and_an_interrupted_one_finds_what_it_left() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let stop = store.step("stage", "k", |folder| {
            write_whole(&folder.join("checkpoint"), b"1")?;
            Err(Error::Interrupted)
        });
        assert!(matches!(stop, Err(Error::Interrupted)));
        assert!(!store.has("stage", "k"));
        let made = store.step("stage", "k", |folder| {
            assert_eq!(std::fs::read(folder.join("checkpoint")).unwrap(), b"1");
            Ok(())
        });
        assert!(!made.unwrap().1);
        let found = store.step("stage", "k", |_| panic!("made twice")).unwrap();
        assert!(found.1 && store.has("stage", "k"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("runs");
        std::fs::write(&file, b"").unwrap();
        let error = Store::open(&file).unwrap_err();
        assert!(matches!(error, Error::File { .. }) && error.exit_code() == 5, "{error}");
        assert!(error.to_string().contains("runs"), "{error}");
    }
}
