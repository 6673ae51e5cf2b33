//! Locks on folders: one process at a time. Whoever waits is told for whom, and can give up.
//!
//! The operating system gives a lock back when its process ends, however it ends. The number of the process in
//! the lock file is for messages only.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::event::Sink;
use crate::event::disk::Waiting;
use crate::files::output::Output;
use crate::files::remove_file;
use crate::pulse::beat;

/// How often a lock is tried that another process holds.
const POLL: Duration = Duration::from_millis(50);

/// A shorter wait is not worth a word: `status` looks at a lock for an instant.
const WORTH_SAYING: Duration = Duration::from_millis(500);

/// A lock that ends with its value.
#[derive(Debug)]
pub struct Lock {
    file: Output,
    path: PathBuf,
}

/// A lock that another process holds, as whoever waits for it hears of it again and again.
#[derive(Debug)]
pub struct Held<'a> {
    /// The lock file.
    pub path: &'a Path,
    /// The process that holds it, if it says so.
    pub process: Option<u32>,
    /// Whether this is the moment to tell the user.
    pub worth_saying: bool,
}

/// On whose behalf a folder is asked for: who hears what happens meanwhile, and who may stop it.
pub struct Caller<'a> {
    /// Hears of waiting and of damage.
    pub sink: &'a mut (dyn Sink + Send),
    /// Says whether the user wants to stop.
    pub interrupted: &'a dyn Fn() -> bool,
}

impl Caller<'_> {
    /// Tells that `held` is waited for, once.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the user wants to stop.
    pub fn wait(&mut self, held: &Held<'_>) -> Result<()> {
        if (self.interrupted)() {
            return Err(Error::Interrupted);
        }
        if !held.worth_saying {
            return Ok(());
        }
        let path = held.path.to_string_lossy().into_owned();
        self.sink.emit(crate::event::Kind::Waiting(Waiting { path, process: held.process }))
    }
}

impl Lock {
    /// Gives the lock back and takes its file away.
    pub fn discard(self) {
        // Those who wait for it see that the file is gone. If it cannot be removed, it does no harm.
        let _ = remove_file(&self.path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only the message of whoever looks at it next would be wrong.
        let _ = self.file.cut(0);
    }
}

/// Holds the lock file at `path`. While another process does, `wait` is called again and again; its error
/// ends the attempt.
///
/// # Errors
/// [`Error::File`] if it cannot be created or locked; what `wait` fails with.
pub fn lock(path: &Path, wait: &mut dyn FnMut(&Held<'_>) -> Result<()>) -> Result<Lock> {
    let since = Instant::now();
    let mut said = false;
    loop {
        let mut file = Output::open(path).map_err(Error::file("cannot create", path))?;
        match file.file().try_lock() {
            // Its last holder may have taken the file away meanwhile; then others hold another one.
            Ok(()) if !is_at(file.file(), path) => continue,
            Ok(()) => {
                // On a full disk nobody reads whose lock it is, and it holds all the same.
                let _ = file.cut(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                return Ok(Lock { file, path: path.to_owned() });
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(Error::file("cannot lock", path)(error));
            }
        }
        // Whoever waits does what it should.
        beat();
        let worth_saying = !said && since.elapsed() >= WORTH_SAYING;
        said |= worth_saying;
        wait(&Held { path, process: holder(path), worth_saying })?;
        std::thread::sleep(POLL);
    }
}

/// Whether `file` is what lies at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let here = file.metadata().ok();
    let there = std::fs::metadata(path).ok();
    here.zip(there).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Whether a process holds the lock file at `path`. Looking does not hold it: others who look see the same.
pub fn is_locked(path: &Path) -> bool {
    let would_block = |it: File| matches!(it.try_lock_shared(), Err(TryLockError::WouldBlock));
    File::open(path).is_ok_and(would_block)
}

/// The process that holds the lock file at `path`, if it wrote its number and still runs.
pub fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|it| is_running(*it))
}

/// Whether a process of this number runs, or runs as far as can be seen.
pub(in crate::store) fn is_running(process: u32) -> bool {
    let processes = Path::new("/proc");
    processes.join(process.to_string()).exists() || !processes.join("self").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never(_: &Held<'_>) -> Result<()> {
        panic!("there is nobody to wait for")
    }

    #[test]
    fn whoever_waits_hears_for_whom_and_can_give_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let held = lock(&path, &mut never).unwrap();
        let mut said = Vec::new();
        let error = lock(&path, &mut |held| {
            if held.worth_saying {
                said.push(held.process);
            }
            if said.is_empty() { Ok(()) } else { Err(Error::Interrupted) }
        });
        assert!(matches!(error, Err(Error::Interrupted)));
        assert_eq!(said, [Some(std::process::id())]);
        assert!(is_locked(&path));
        drop(held);
        assert!(!is_locked(&path));
        assert_eq!(holder(&path), None);
        lock(&path, &mut never).unwrap();
    }

    #[test]
    fn looking_at_a_lock_does_not_look_like_holding_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        drop(lock(&path, &mut never).unwrap());
        let looks = File::open(&path).unwrap();
        looks.try_lock_shared().unwrap();
        assert!(!is_locked(&path));
    }

    #[test]
    fn a_lock_whose_file_was_taken_away_is_asked_for_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = std::sync::Mutex::new(Some(lock(&path, &mut never).unwrap()));
        let second = lock(&path, &mut |_| {
            first.lock().unwrap().take().map_or(Ok(()), |it| {
                it.discard();
                Ok(())
            })
        });
        let second = second.unwrap();
        assert!(is_locked(&path), "the lock is on the file that others see");
        second.discard();
        assert!(!path.exists());
    }
}
