//! Asking a process of anywhere to stop: a file in the folder that it looks at.
//!
//! A file and not a signal, because it reaches processes of other terminals, users and machines that share the folder, and never
//! a stranger whose number a process that ended once had.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::files::{remove_file, write_derived};
use crate::store::folder::files;

/// How often a process looks whether it is asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Asks the process that holds the `folder` of a run to stop at the end of its epoch.
///
/// # Errors
/// [`crate::error::Error::File`] if the request cannot be written.
pub fn ask(folder: &Path) -> Result<()> {
    write_derived(&folder.join(files::STOP), b"")
}

/// Whether the process at the run in `folder` is asked to stop, or was when it ended.
pub fn is_asked(folder: &Path) -> bool {
    folder.join(files::STOP).exists()
}

/// Takes a request back.
pub fn forget(folder: &Path) {
    // Where it cannot be taken back, the next process stops as well, and says so.
    let _ = remove_file(&folder.join(files::STOP));
}

/// Looks for a request again and again, but not more often than costs anything.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    looked: Cell<Instant>,
    asked: Cell<bool>,
}

impl Watch {
    /// A watch for a request at `path`.
    pub fn at(path: PathBuf) -> Self {
        Self { path, looked: Cell::new(Instant::now()), asked: Cell::new(false) }
    }

    /// A watch for a request to the process that is at the run in `folder`.
    pub fn over(folder: &Path) -> Self {
        Self::at(folder.join(files::STOP))
    }

    /// Whether a request was seen.
    pub fn is_asked(&self) -> bool {
        if !self.asked.get() && self.looked.get().elapsed() >= LOOK_EVERY {
            self.looked.set(Instant::now());
            self.asked.set(self.path.exists());
        }
        self.asked.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let long_ago = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        let watch = Watch::over(folder.path());
        watch.looked.set(long_ago);
        assert!(!watch.is_asked() && !is_asked(folder.path()));
        ask(folder.path()).unwrap();
        assert!(!watch.is_asked(), "it looked just now");
        watch.looked.set(long_ago);
        assert!(watch.is_asked() && is_asked(folder.path()));
        forget(folder.path());
        assert!(watch.is_asked() && !is_asked(folder.path()), "who saw it stops");
    }
}
