//! What processes that were killed have left: files under the names that they have while they are written.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use crate::files::remove_file;
use crate::store::lock::is_running;

/// Nobody writes one file for so long. A process of that number, if there is one, is then another one.
const LONGEST_WRITE: Duration = Duration::from_hours(24);

/// Where no lock says that nobody else writes, a file is left alone for so long.
const YOUNG: Duration = Duration::from_hours(1);

/// Takes away what is left in `folder` itself, whose lock this process holds.
pub(in crate::store) fn clear_own(folder: &Path) {
    clear(folder, 1, Duration::ZERO);
}

/// Takes away what is left anywhere below `root`, where it is old.
pub fn clear_old(root: &Path) {
    clear(root, usize::MAX, YOUNG);
}

/// What is left anywhere below `root`, where it is old.
pub fn old(root: &Path) -> Vec<PathBuf> {
    left(root, usize::MAX, YOUNG)
}

/// What cannot be removed is left: it costs its space and nothing else.
fn clear(folder: &Path, depth: usize, least_age: Duration) {
    for path in left(folder, depth, least_age) {
        let _ = remove_file(&path);
    }
}

fn left(folder: &Path, depth: usize, least_age: Duration) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let walk = WalkDir::new(folder).min_depth(1).max_depth(depth).into_iter();
    for entry in walk.filter_map(Result::ok).filter(|it| it.file_type().is_file()) {
        let Some(writer) = writer(&entry.file_name().to_string_lossy()) else { continue };
        let changed = entry.metadata().ok().and_then(|it| it.modified().ok());
        let age = changed.and_then(|it| SystemTime::now().duration_since(it).ok());
        let age = age.unwrap_or_default();
        if age >= LONGEST_WRITE || (age >= least_age && !is_running(writer)) {
            found.push(entry.into_path());
        }
    }
    found
}

/// The process that writes a file of this name, if it is a name that a file has only while it is written.
fn writer(name: &str) -> Option<u32> {
    let number = |it: &str| it.parse().ok().filter(|it| *it > 0);
    let before = name.strip_suffix(".tmp").and_then(|it| number(it.rsplit('.').next()?));
    let probe = name.strip_prefix(".probe-").and_then(number);
    before.or_else(|| number(name.rsplit_once(".tmp-")?.1)).or(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of a process that has ended.
    fn ended() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn only_what_ended_processes_were_writing_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let (gone, here) = (ended(), std::process::id());
        let leftovers = [format!(".model.safetensors.{gone}.tmp"), format!("index.tmp-{gone}")];
        let others = [
            format!(".trial.toml.{here}.tmp"),
            "trial.toml".into(),
            "notes.tmp".into(),
            ".tmp".into(),
        ];
        for name in leftovers.iter().chain(&others) {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        clear_old(folder.path());
        assert_eq!(folder.path().read_dir().unwrap().count(), 6, "young files are left alone");
        clear_own(folder.path());
        for name in &leftovers {
            assert!(!folder.path().join(name).exists(), "{name} is still there");
        }
        for name in &others {
            assert!(folder.path().join(name).exists(), "{name} is gone");
        }
    }

    #[test]
    fn what_is_old_goes_wherever_it_lies_even_if_a_process_has_that_number_again() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("e/t");
        std::fs::create_dir_all(&below).unwrap();
        let path = below.join(format!(".predictions.csv.{}.tmp", std::process::id()));
        std::fs::write(&path, "half").unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - 2 * LONGEST_WRITE).unwrap();
        clear_old(folder.path());
        assert!(!path.exists());
    }
}
