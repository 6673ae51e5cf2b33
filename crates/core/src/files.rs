//! Writing files whole or not at all: under another name, then renamed.
//!
//! **Invariant:** nobody ever reads half a file, whatever ends the process that writes it. What a killed process leaves is
//! called `.<name>.<process>.tmp` and removed by [`crate::store::leftovers`].

use std::fs::{File, remove_file, rename};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file that cannot be had again: whole or not at all, and safely on the disk when this returns.
///
/// # Errors
/// [`Error::File`], e.g. when the disk is full; the old file is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |temporary| write(temporary, bytes))
}

/// Writes a file as [`write_whole`] does, where `write` writes the file that it is given.
///
/// # Errors
/// [`Error::File`], as there; what `write` fails with.
pub fn write_whole_by(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    write_and_rename(path, |temporary| {
        write(temporary)?;
        let synced = File::open(temporary).and_then(|it| it.sync_data());
        synced.map_err(Error::file("cannot write", temporary))
    })
}

/// Writes a file that is made from others and can be made again: whole or not at all, but without waiting for the disk,
/// which takes thirty times as long. After a power failure it may be empty, so whoever reads it has to see that.
///
/// # Errors
/// [`Error::File`], as [`write_whole`].
pub fn write_derived(path: &Path, bytes: &[u8]) -> Result<()> {
    write_derived_by(path, |temporary| write(temporary, bytes))
}

/// Writes a file as [`write_derived`] does, where `write` writes the file that it is given.
///
/// # Errors
/// [`Error::File`], as there; what `write` fails with.
pub fn write_derived_by(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    write_and_rename(path, write)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(Error::file("cannot write", path))
}

fn write_and_rename(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = temporary(path);
    let rename = || rename(&temporary, path).map_err(Error::file("cannot write", path));
    write(&temporary).and_then(|()| rename()).map_err(|error| {
        // It may not even exist; the first error is the one to tell.
        let _ = remove_file(&temporary);
        match error {
            // The other name means nothing to whoever reads this.
            Error::File { action, path: it, source } if it == temporary => {
                Error::File { action, path: path.to_owned(), source }
            }
            other => other,
        }
    })
}

/// What the file at `path` is called while it is written.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies in `folder`, by name.
    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap().map(|it| it.unwrap().file_name());
        entries.map(|it| it.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for (write, bytes) in [(write_whole as fn(&Path, &[u8]) -> _, b"1"), (write_derived, b"2")]
        {
            write(&path, bytes).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(names(folder.path()), ["a.json"]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_whole_is_not_written_and_named_by_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_whole(&path, b"old").unwrap();
        let failed = write_whole_by(&path, |temporary| {
            write(temporary, b"ne")?;
            Err(Error::Interrupted)
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.json"]);
        let error = write_whole(&folder.path().join("none/b.json"), b"").unwrap_err();
        assert!(error.to_string().contains("none/b.json`"), "{error}");
    }
}
