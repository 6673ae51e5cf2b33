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

pub mod artifact;
pub mod folder;
pub mod health;
pub mod leftovers;
pub mod lock;
pub mod log;
pub mod read;
pub mod record;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::error::{Error, Result};
use crate::event::Kind;
use crate::store::artifact::{Care, damaged, manifest, set_aside, write_manifest};
use crate::store::lock::Caller;

/// The folder of all runs.
#[derive(Debug, Clone)]
pub struct Store {
    /// `runs/`.
    pub root: PathBuf,
}

/// A step whose result is asked for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The name of its kind, which is that of a folder below `.store`.
    pub kind: &'a str,
    /// What names its result.
    pub key: &'a str,
    /// Looks at a result of an older version, which wrote no manifest. [`Error::Damaged`] of a file in it says that
    /// it is to be made again.
    pub check: &'a dyn Fn(&Path) -> Result<()>,
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

    /// Whether a step's result is there, as far as sizes tell. The features of a step lie in a folder for each
    /// split.
    pub fn has(&self, kind: &str, key: &str) -> bool {
        let folder = self.step_folder(kind, key);
        let split = folder.with_file_name(format!("{key}-valid"));
        let whole = |it: &PathBuf| match manifest(it) {
            Ok(manifest) => manifest.is_none_or(|manifest| manifest.check(it, Care::Size).is_ok()),
            Err(_) => false,
        };
        [folder, split].iter().any(|it| it.is_dir() && whole(it))
    }

    /// Where the result of a step lies once it is there.
    pub fn step_folder(&self, kind: &str, key: &str) -> PathBuf {
        self.root.join(".store").join(kind).join(key)
    }

    /// The result of a step: found, or made by `make` in a folder of its own, by one process at a time. A result
    /// that is damaged is set aside, and made again.
    ///
    /// `make` finds there what an interrupted attempt has left. Returns the folder and whether it was found.
    ///
    /// # Errors
    /// Whatever `make` fails with; [`Error::File`] if the folder cannot be made; [`Error::Interrupted`] if the
    /// user ends the wait for another process that makes it.
    pub fn step(
        &self,
        wanted: &Wanted<'_>,
        caller: &mut Caller<'_>,
        make: impl FnOnce(&Path, &mut Caller<'_>) -> Result<()>,
    ) -> Result<(PathBuf, bool)> {
        let folder = self.step_folder(wanted.kind, wanted.key);
        if folder.is_dir() && wanted.look(&folder).is_ok() {
            return Ok((folder, true));
        }
        let steps = self.root.join(".store").join(wanted.kind);
        fs::create_dir_all(&steps).map_err(Error::file("cannot create", &steps))?;
        let lock = steps.join(format!("{}.lock", wanted.key));
        let lock = lock::lock(&lock, &mut |held| caller.wait(held))?;
        let found = find_or_make(&folder, wanted, caller, make);
        lock.discard();
        found.map(|found| (folder, found))
    }
}

impl Wanted<'_> {
    /// Looks at every byte of the result in `folder`.
    fn look(&self, folder: &Path) -> Result<()> {
        let Some(manifest) = manifest(folder)? else {
            return (self.check)(folder).map_err(|error| match error {
                Error::File { path, source, .. }
                    if source.kind() == ErrorKind::NotFound && path.starts_with(folder) =>
                {
                    damaged(&path, "it is missing")
                }
                other => other,
            });
        };
        manifest.check(folder, Care::Content)
    }
}

/// Whether the result in `folder`, whose lock this process holds, was found; if not, it is there now.
fn find_or_make(
    folder: &Path,
    wanted: &Wanted<'_>,
    caller: &mut Caller<'_>,
    make: impl FnOnce(&Path, &mut Caller<'_>) -> Result<()>,
) -> Result<bool> {
    if folder.is_dir() {
        match wanted.look(folder) {
            Ok(()) => return Ok(true),
            Err(Error::Damaged { path, message, .. }) if path.starts_with(folder) => {
                let message = format!("`{}`: {message}", path.display());
                caller.sink.emit(Kind::SetAside(set_aside(folder, folder, &message)?))?;
            }
            Err(error) => return Err(error),
        }
    }
    let partial = folder.with_file_name(format!("{}.partial", wanted.key));
    fs::create_dir_all(&partial).map_err(Error::file("cannot create", &partial))?;
    leftovers::clear_own(&partial);
    make(&partial, caller)?;
    write_manifest(&partial)?;
    fs::rename(&partial, folder).map_err(Error::file("cannot rename", &partial))?;
    Ok(false)
}

/// Takes away what an interrupted attempt at a step has left in its `folder`.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn clear(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).map_err(Error::file("cannot clear", folder))?;
    fs::create_dir_all(folder).map_err(Error::file("cannot create", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Sink;
    use crate::files::write_whole;

    /// Keeps what it hears.
    #[derive(Default)]
    struct Heard(Vec<Kind>);

    impl Sink for Heard {
        fn emit(&mut self, kind: Kind) -> Result<()> {
            self.0.push(kind);
            Ok(())
        }
    }

    /// Asks for the step `k`, and says with what it was set aside if it was.
    fn ask(
        store: &Store,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> (Result<(PathBuf, bool)>, Vec<Kind>) {
        let mut heard = Heard::default();
        let mut caller = Caller { sink: &mut heard, interrupted: &|| false };
        let wanted = Wanted { kind: "stage", key: "k", check: &|_| Ok(()) };
        let result = store.step(&wanted, &mut caller, |folder, _| make(folder));
        (result, heard.0)
    }

    #[test]
    fn a_step_is_made_once_and_an_interrupted_one_finds_what_it_left() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let stop = ask(&store, |folder| {
            write_whole(&folder.join("checkpoint"), b"1")?;
            Err(Error::Interrupted)
        });
        assert!(matches!(stop.0, Err(Error::Interrupted)));
        assert!(!store.has("stage", "k"));
        let made = ask(&store, |folder| {
            assert_eq!(std::fs::read(folder.join("checkpoint")).unwrap(), b"1");
            Ok(())
        });
        assert!(!made.0.unwrap().1);
        let found = ask(&store, |_| panic!("made twice")).0.unwrap();
        assert!(found.1 && store.has("stage", "k"));
        let names = root.path().join(".store/stage").read_dir().unwrap().count();
        assert_eq!(names, 1, "the locks are gone");
    }

    #[test]
    fn a_damaged_step_is_named_and_set_aside_and_made_again() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let make = |folder: &Path| write_whole(&folder.join("weights"), b"1234");
        let (folder, _) = ask(&store, make).0.unwrap();
        for (bytes, sizes_tell) in [(&b"123"[..], true), (b"1235", false)] {
            std::fs::write(folder.join("weights"), bytes).unwrap();
            assert_eq!(store.has("stage", "k"), !sizes_tell);
            let (again, heard) = ask(&store, make);
            assert!(!again.unwrap().1, "it was made again");
            let [Kind::SetAside(told)] = &heard[..] else { panic!("{heard:?}") };
            assert!(told.message.contains("weights`: it"), "{}", told.message);
            assert_eq!(std::fs::read(Path::new(&told.aside).join("weights")).unwrap(), bytes);
            assert!(ask(&store, |_| panic!("made twice")).0.unwrap().1);
        }
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
