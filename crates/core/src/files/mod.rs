//! The one door to the disk for whoever changes it: files are written whole or not at all, folders made, names changed
//! and taken away here and nowhere else. Reading needs no door.
//!
//! **Invariant:** nobody ever reads half a file, whatever ends the process that writes it. What a killed process leaves is
//! called `.<name>.<process>.tmp` and removed by [`crate::store::leftovers`].

mod injected;
pub mod output;
pub mod sealed;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::injected::{Operation, may};
use crate::files::output::Output;

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
        Output::existing(temporary)
            .and_then(|it| it.sync())
            .map_err(Error::file("cannot write", temporary))
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
    let written = Output::create(path).and_then(|mut it| it.write_all(bytes));
    written.map_err(Error::file("cannot write", path))
}

fn write_and_rename(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = temporary(path);
    let put = || move_to(&temporary, path).map_err(Error::file("cannot write", path));
    write(&temporary).and_then(|()| put()).map_err(|error| {
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

/// Makes the folder at `path` and those above it, as far as they are not there.
///
/// # Errors
/// [`Error::File`] if it cannot be made.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let made = may(Operation::Create, path).and_then(|()| std::fs::create_dir_all(path));
    made.map_err(Error::file("cannot create", path))
}

/// Gives what lies at `from` the name `to`, in one moment. What has that name already is replaced if it is a file.
///
/// # Errors
/// [`Error::File`] if it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    move_to(from, to).map_err(Error::file("cannot rename", from))
}

fn move_to(from: &Path, to: &Path) -> std::io::Result<()> {
    may(Operation::Rename, to).and_then(|()| std::fs::rename(from, to))
}

/// Takes away the file at `path`.
///
/// # Errors
/// [`Error::File`] if it cannot be taken away, or is not there.
pub fn remove_file(path: &Path) -> Result<()> {
    let removed = may(Operation::Remove, path).and_then(|()| std::fs::remove_file(path));
    removed.map_err(Error::file("cannot remove", path))
}

/// Takes away the folder at `path` with all that is in it.
///
/// # Errors
/// [`Error::File`] if it cannot be taken away, or is not there.
pub fn remove_folder(path: &Path) -> Result<()> {
    let removed = may(Operation::Remove, path).and_then(|()| std::fs::remove_dir_all(path));
    removed.map_err(Error::file("cannot clear", path))
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
