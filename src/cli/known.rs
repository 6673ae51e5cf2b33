//! Runs that are looked at again and again, read anew only where their logs have changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ferrite_core::error::Result;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::read::{Runs, all_by, head};
use ferrite_core::store::record::{Record, State};

/// When a log was written last, and how long it is.
pub(super) type Stamp = (SystemTime, u64);

/// Finished runs, which are read once: whether they are damaged, `ferrite status` says when it is asked again.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<PathBuf, (Stamp, Record)>>);

/// The stamp of the log in the `folder` of a run; none if it has none.
pub(super) fn stamp(folder: &Path) -> Option<Stamp> {
    let log = std::fs::metadata(folder.join(files::EVENTS));
    log.and_then(|it| Ok((it.modified()?, it.len()))).ok()
}

impl Known {
    /// Every run of `store`, without predictions.
    pub(super) fn runs(&self, store: &Store) -> Runs {
        all_by(store, &|store, folder| self.run(store, folder))
    }

    fn run(&self, store: &Store, folder: &Path) -> Result<Record> {
        let stamp = stamp(folder);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, record)) = known().get(folder).filter(|it| Some(it.0) == stamp) {
            return Ok(record.clone());
        }
        let record = head(store, folder)?;
        if let Some(stamp) = stamp.filter(|_| record.state == State::Finished) {
            known().insert(folder.to_owned(), (stamp, record.clone()));
        }
        Ok(record)
    }
}
