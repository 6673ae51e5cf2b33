//! Runs that a cluster has jobs for: what lies in their folders about it, so that it is known without asking the cluster.
//!
//! Whoever submits a job says so (`queued.json`), and whoever begins with it says that as well (`attempt.json`). A job that
//! was queued again while a process of its last attempt still lives is told from that by the latter: **a process whose claim
//! was taken over writes nothing any more.** Locks on the folder say the same, where the file system knows them on all nodes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{create_folder, remove_file, write_whole};
use crate::store::folder::files;

/// The job that a cluster has for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// What runs it: `slurm` or `hyperqueue`.
    pub executor: String,
    /// The submission that it belongs to. A cluster may give a number twice, and this never.
    pub submission: String,
    /// Its number there, such as `4711_3`.
    pub job: String,
}

impl Queued {
    /// The job of the run in `folder`; none if it has none, or if that cannot be read.
    pub fn of(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(files::QUEUED)).ok()?).ok()
    }

    /// Writes it into the folder of its run.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).expect("texts are plain JSON");
        write_whole(&folder.join(files::QUEUED), &text)
    }

    /// The run in `folder` has no job any more.
    ///
    /// # Errors
    /// [`Error::File`] if that cannot be noted.
    pub fn forget(folder: &Path) -> Result<()> {
        let path = folder.join(files::QUEUED);
        match remove_file(&path) {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Who is at a run on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts those who were at this run.
    pub number: u64,
    /// The job, as its script calls it, such as `slurm 4711_3`.
    pub job: String,
    /// The computer.
    pub node: String,
    /// The process there.
    pub process: u32,
}

impl Attempt {
    /// The latest attempt at the run in `folder`; none if no job of a cluster was at it.
    pub fn of(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(files::ATTEMPT)).ok()?).ok()
    }
}

/// The claim of this process on a run.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    attempt: Attempt,
    /// When it was looked at last, and whether it held.
    looked: Mutex<(Instant, bool)>,
}

impl Claim {
    /// Claims the run in `folder` for `job`: whoever claimed it before stops at the end of its epoch.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn take(folder: &Path, job: &str) -> Result<Self> {
        let number = Attempt::of(folder).map_or(1, |it| it.number + 1);
        let (job, process) = (job.to_owned(), std::process::id());
        let attempt = Attempt { number, job, node: node(), process };
        let text = serde_json::to_vec(&attempt).expect("texts are plain JSON");
        create_folder(folder)?;
        write_whole(&folder.join(files::ATTEMPT), &text)?;
        let looked = Mutex::new((Instant::now(), true));
        Ok(Self { folder: folder.to_owned(), attempt, looked })
    }

    /// Whether nobody has claimed the run since, as far as was seen within the last second. What cannot be read says
    /// nothing against it.
    pub fn holds(&self) -> bool {
        const AGAIN: Duration = Duration::from_secs(1);
        let mut looked = self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if looked.1 && looked.0.elapsed() >= AGAIN {
            *looked = (Instant::now(), self.holds_now());
        }
        looked.1
    }

    /// Whether nobody has claimed the run since.
    pub fn holds_now(&self) -> bool {
        Attempt::of(&self.folder).is_none_or(|it| it == self.attempt)
    }
}

/// The name of this computer, as the system says.
fn node() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // Several nodes of a cluster that is tried out may be one computer.
    std::env::var("SLURMD_NODENAME").unwrap_or_else(|_| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Queued::of(folder.path()), None);
        Queued::forget(folder.path()).unwrap();
        let [executor, submission, job] = ["slurm", "a", "1_2"].map(str::to_owned);
        let queued = Queued { executor, submission, job };
        queued.write(folder.path()).unwrap();
        assert_eq!(Queued::of(folder.path()), Some(queued));
        std::fs::write(folder.path().join(files::QUEUED), "{").unwrap();
        assert_eq!(Queued::of(folder.path()), None);
        Queued::forget(folder.path()).unwrap();
        assert!(!folder.path().join(files::QUEUED).exists());
    }

    #[test]
    fn whoever_claims_a_run_takes_it_from_whoever_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Claim::take(folder.path(), "slurm 1_0").unwrap();
        assert!(first.holds() && first.holds_now());
        let second = Claim::take(folder.path(), "slurm 1_0").unwrap();
        assert!(!first.holds_now() && second.holds_now());
        assert_eq!(Attempt::of(folder.path()).unwrap().number, 2);
        let since = Instant::now();
        while first.holds() {
            assert!(since.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(50));
        }
        std::fs::remove_file(folder.path().join(files::ATTEMPT)).unwrap();
        assert!(second.holds_now(), "what is not there says nothing");
    }
}
