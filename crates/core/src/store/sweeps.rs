//! Sweeps that run in a folder, whichever terminal and machine they run on: each has a file there that says what it is at.
//!
//! A sweep is believed to run while it holds the lock beside its file, which the operating system gives back however it ends.
//! Some shared file systems keep locks to one machine; so a sweep of another machine is believed as well while it goes on to
//! touch its file. The number of a process alone is never believed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{create_folder, remove_file, write_derived};
use crate::store::Store;
use crate::store::lock::{Lock, is_locked, lock};
use crate::store::stop::Watch;

/// How often a sweep touches its file.
const TOUCH_EVERY: Duration = Duration::from_secs(20);

/// A sweep of another machine that has not touched its file for so long has ended.
const SILENT: Duration = Duration::from_mins(2);

/// What a sweep says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sweep {
    /// The machine it runs on.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Trials at once.
    pub jobs: usize,
    /// The names of the trials that it was to carry out.
    pub trials: Vec<String>,
    /// The keys of the steps of all its trials, which nobody may take away meanwhile.
    pub keys: Vec<String>,
}

/// The file of this process's sweep, which goes when the value does.
#[derive(Debug)]
pub struct Registered {
    path: PathBuf,
    text: Vec<u8>,
    stop: Watch,
    touched: std::cell::Cell<Instant>,
    lock: Option<Lock>,
}

/// A sweep that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its file.
    pub path: PathBuf,
    /// What it says.
    pub sweep: Sweep,
}

impl Registered {
    /// Says that this process carries out `trials`, whose steps have these `keys`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn new(store: &Store, jobs: usize, trials: Vec<String>, keys: Vec<String>) -> Result<Self> {
        let folder = folder(store);
        create_folder(&folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (host, process, began_ms) = (host(), std::process::id(), now.as_millis() as u64);
        let path = folder.join(format!("{process}-{began_ms}.json"));
        // Nobody else has a file of this name.
        let lock = lock(&path.with_extension("lock"), &mut |_| Ok(()))?;
        let sweep = Sweep { host, process, began_ms, jobs, trials, keys };
        let text = serde_json::to_vec(&sweep).expect("names are plain JSON");
        write_derived(&path, &text)?;
        let stop = Watch::at(path.with_extension("stop"));
        Ok(Self { path, text, stop, touched: Instant::now().into(), lock: Some(lock) })
    }

    /// Whether somebody asked this sweep to stop. It is called again and again, and says that the sweep still runs.
    pub fn is_asked_to_stop(&self) -> bool {
        if self.touched.get().elapsed() >= TOUCH_EVERY {
            self.touched.set(Instant::now());
            // On this machine the lock says it as well.
            let _ = write_derived(&self.path, &self.text);
        }
        self.stop.is_asked()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        remove(&self.path);
        self.lock.take().into_iter().for_each(Lock::discard);
    }
}

impl Running {
    /// Asks it to stop at the end of each running epoch, as Ctrl-C in its terminal would.
    ///
    /// # Errors
    /// [`Error::File`] if the request cannot be written.
    pub fn ask_to_stop(&self) -> Result<()> {
        write_derived(&self.path.with_extension("stop"), b"")
    }

    /// Whether it still runs.
    pub fn still_runs(&self) -> bool {
        runs(&self.path, &self.sweep)
    }

    /// Where it runs, in words: its process, and its machine where that is another one.
    pub fn place(&self) -> String {
        let Sweep { process, host: there, .. } = &self.sweep;
        let other = *there != host() && !there.is_empty();
        let on = if other { format!(" on {there}") } else { String::new() };
        format!("process {process}{on}")
    }
}

/// The sweeps that run in `store`, the oldest first.
///
/// # Errors
/// [`Error::File`] if the folder cannot be read.
pub fn running(store: &Store) -> Result<Vec<Running>> {
    let mut all = files(store)?;
    all.retain(|it| runs(&it.path, &it.sweep));
    all.sort_by_key(|it| (it.sweep.began_ms, it.sweep.process));
    Ok(all)
}

/// Takes away what sweeps have left that were killed.
pub fn forget_dead(store: &Store) {
    for it in files(store).unwrap_or_default() {
        if !runs(&it.path, &it.sweep) {
            remove(&it.path);
            let _ = remove_file(&it.path.with_extension("lock"));
        }
    }
}

fn runs(path: &Path, sweep: &Sweep) -> bool {
    if is_locked(&path.with_extension("lock")) {
        return true;
    }
    let touched = std::fs::metadata(path).and_then(|it| it.modified()).ok();
    let silent = touched.and_then(|it| SystemTime::now().duration_since(it).ok());
    sweep.host != host() && touched.is_some() && silent.unwrap_or_default() < SILENT
}

/// What sweeps say of themselves, whether they run or not.
fn files(store: &Store) -> Result<Vec<Running>> {
    let folder = folder(store);
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("cannot read", &folder))?,
    };
    let paths = entries.flatten().map(|it| it.path());
    let paths = paths.filter(|it| it.extension().is_some_and(|it| it == "json"));
    let read = |path: PathBuf| {
        // One that ended meanwhile, or cannot be read, says nothing.
        let text = std::fs::read(&path).ok()?;
        Some(Running { sweep: serde_json::from_slice(&text).unwrap_or_default(), path })
    };
    Ok(paths.filter_map(read).collect())
}

/// Where they lie.
fn folder(store: &Store) -> PathBuf {
    store.root.join(".store/sweep")
}

fn remove(path: &Path) {
    // What is left is seen to be dead.
    let _ = remove_file(&path.with_extension("stop"));
    let _ = remove_file(path);
}

/// This machine's name; empty where the system does not say it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_found_while_it_runs_and_can_be_asked_to_stop() {
        let root = tempfile::tempdir().unwrap();
        let store = Store { root: root.path().to_owned() };
        assert_eq!(running(&store).unwrap(), []);
        let own = Registered::new(&store, 2, vec!["a/seed-0".into()], vec!["k".into()]).unwrap();
        let all = running(&store).unwrap();
        let [only] = &all[..] else { panic!("{all:?}") };
        assert_eq!((only.sweep.process, only.sweep.jobs), (std::process::id(), 2));
        assert_eq!(only.place(), format!("process {}", std::process::id()));
        only.ask_to_stop().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(own.is_asked_to_stop() && only.still_runs());
        drop(own);
        assert!(!only.still_runs());
        assert_eq!(folder(&store).read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_sweep_left_is_not_believed_whoever_has_its_number_now() {
        let root = tempfile::tempdir().unwrap();
        let store = Store { root: root.path().to_owned() };
        fs_err::create_dir_all(folder(&store)).unwrap();
        let write = |name: &str, host: &str| {
            let sweep =
                Sweep { host: host.into(), process: std::process::id(), ..Sweep::default() };
            let path = folder(&store).join(name);
            fs_err::write(&path, serde_json::to_vec(&sweep).unwrap()).unwrap();
            path
        };
        write("1-1.json", &host());
        let elsewhere = write("2-2.json", "another machine");
        let names = || running(&store).unwrap().into_iter().map(|it| it.path).collect::<Vec<_>>();
        assert_eq!(names(), std::slice::from_ref(&elsewhere), "it was touched just now");
        let file = std::fs::File::options().append(true).open(&elsewhere).unwrap();
        file.set_modified(SystemTime::now() - 2 * SILENT).unwrap();
        assert_eq!(names(), [] as [PathBuf; 0]);
        forget_dead(&store);
        assert_eq!(folder(&store).read_dir().unwrap().count(), 0);
    }
}
