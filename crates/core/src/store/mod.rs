//! Folders on disk.
//!
//! ```text
//! runs/
//!   <experiment>/experiment.toml   what is said of it
//!   <experiment>/<trial>/     trial.toml, events.jsonl, environment.json, predictions.csv,
//!                             model.safetensors, plots/, index.html
//!                             queued.json, attempt.json, job.log, where a cluster has a job for it
//!   .store/<step>/<key>/      the result of a step; complete when the folder has this name
//!   .store/<step>/<key>.partial/   a step that is being done, or was interrupted
//!   .store/sweep/             sweeps that run, and what they are asked (`sweeps`)
//!   .store/<step>/<key>.in/<precision>/   the same step, where <key>/ was computed in another precision
//!   .store/checkpoint/<lineage>/<precision>/<epochs>.safetensors   a finished stage, for longer ones to go on from
//! ```
//!
//! Every file but the log is written under another name and renamed. One process owns a folder, by a
//! lock that the operating system gives back when the process ends, however it ends.

pub mod artifact;
pub mod checkpoints;
pub mod description;
pub mod explained;
pub mod find;
pub mod folder;
pub mod health;
pub mod leftovers;
pub mod lock;
pub mod log;
pub mod queued;
pub mod read;
pub mod record;
pub mod stop;
pub mod sweeps;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Kind;
use crate::files::output::Output;
use crate::files::{create_folder, remove_file, remove_folder, rename, write_whole};
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
    /// What the asking process computes in; none where nothing is computed. A result of another precision is left
    /// where it is, and not taken.
    pub precision: Option<&'a str>,
    /// A file without which a result of an older version is of no use: it is then made again in its place.
    pub needs: Option<&'a str>,
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
        create_folder(&steps)?;
        let probe = steps.join(format!(".probe-{}", std::process::id()));
        let cannot = || Error::file("cannot write in", root);
        Output::create(&probe).map_err(cannot())?;
        remove_file(&probe)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where fingerprints of data files are kept.
    pub fn fingerprints(&self) -> PathBuf {
        self.root.join(".store/fingerprints.json")
    }

    /// Whether a step's result is there in whatever precision, as far as sizes tell.
    pub fn has(&self, kind: &str, key: &str) -> bool {
        let folder = self.step_folder(kind, key);
        let others = std::fs::read_dir(others_of(&folder)).into_iter().flatten();
        let others = others.filter_map(std::result::Result::ok).map(|it| it.path());
        let others = others.filter(|it| it.extension().is_none());
        let whole = |it: &Path| match manifest(it) {
            Ok(manifest) => manifest.is_none_or(|manifest| manifest.check(it, Care::Size).is_ok()),
            Err(_) => false,
        };
        std::iter::once(folder).chain(others).any(|it| it.is_dir() && whole(&it))
    }

    /// Where the result of a step lies once it is there, unless a result of another precision lies there.
    pub fn step_folder(&self, kind: &str, key: &str) -> PathBuf {
        self.root.join(".store").join(kind).join(key)
    }

    /// The folder of a step's result in which every byte is as it was written; none if it is not there.
    ///
    /// # Errors
    /// [`Error::Damaged`] if one is not; [`Error::File`] if it cannot be read.
    pub fn found(&self, kind: &str, key: &str) -> Result<Option<PathBuf>> {
        let folder = self.step_folder(kind, key);
        if !folder.is_dir() {
            return Ok(None);
        }
        if let Some(manifest) = manifest(&folder)? {
            manifest.check(&folder, Care::Content)?;
        }
        Ok(Some(folder))
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
        let folder = wanted.place(self)?;
        if folder.is_dir() && wanted.look(&folder).is_ok() {
            return Ok((folder, true));
        }
        let lock = self.lock_file(wanted.kind, wanted.key);
        let steps = lock.parent().unwrap_or(&self.root);
        create_folder(steps)?;
        let lock = lock::lock(&lock, &mut |held| caller.wait(held))?;
        // Whoever held the lock may have made it, in whatever precision.
        let result = wanted.place(self).and_then(|folder| {
            let found = find_or_make(&folder, wanted, caller, make)?;
            Ok((folder, found))
        });
        lock.discard();
        result
    }

    /// The file that is locked by whoever makes a step.
    pub fn lock_file(&self, kind: &str, key: &str) -> PathBuf {
        self.root.join(".store").join(kind).join(format!("{key}.lock"))
    }
}

/// Where results of other precisions lie, if the one in `folder` is not of them.
fn others_of(folder: &Path) -> PathBuf {
    let key = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{key}.in"))
}

/// Where the result that will lie in `folder` is made.
fn partial_of(folder: &Path) -> PathBuf {
    let key = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{key}.partial"))
}

/// What says in a folder in which a result is being made what it is computed in.
const BEGUN: &str = "begun.json";

/// The content of [`BEGUN`].
#[derive(Serialize, Deserialize)]
struct Begun {
    precision: String,
}

impl Wanted<'_> {
    /// Where the result lies, or is to lie: in the folder with the key's name, unless a result of another precision is
    /// there, or is being made there.
    fn place(&self, store: &Store) -> Result<PathBuf> {
        let folder = store.step_folder(self.kind, self.key);
        let Some(precision) = self.precision else { return Ok(folder) };
        let whole = match manifest(&folder) {
            Ok(it) => it.and_then(|it| it.precision),
            // What is damaged is set aside and made again in its place.
            Err(Error::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let begun = std::fs::read(partial_of(&folder).join(BEGUN)).ok();
        let begun = begun.and_then(|it| serde_json::from_slice::<Begun>(&it).ok());
        // Older versions wrote neither; what they left is believed to be of this precision.
        let there = [whole, begun.map(|it| it.precision)];
        if there.iter().flatten().all(|it| it == precision) {
            return Ok(folder);
        }
        let plain = |it: char| if it.is_ascii_alphanumeric() { it } else { '-' };
        let name: String = precision.chars().map(plain).collect();
        Ok(others_of(&folder).join(name.replace("--", "-")))
    }

    /// Whether the result in `folder` lacks a file that older versions did not write.
    fn is_outdated(&self, folder: &Path) -> bool {
        let Some(name) = self.needs else { return false };
        manifest(folder).is_ok_and(|it| it.is_none_or(|it| !it.has(name)))
    }

    /// Looks at every byte of the result in `folder`.
    fn look(&self, folder: &Path) -> Result<()> {
        if self.is_outdated(folder) {
            return Err(damaged(folder, "an older version wrote it"));
        }
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
    if folder.is_dir() && wanted.is_outdated(folder) {
        remove_folder(folder)?;
    }
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
    let partial = partial_of(folder);
    create_folder(&partial)?;
    leftovers::clear_own(&partial);
    let begun = partial.join(BEGUN);
    if let Some(precision) = wanted.precision {
        let text = serde_json::to_vec(&Begun { precision: precision.to_owned() });
        write_whole(&begun, &text.expect("a word is plain JSON"))?;
    }
    make(&partial, caller)?;
    if wanted.precision.is_some() {
        let _ = remove_file(&begun);
    }
    write_manifest(&partial, wanted.precision)?;
    rename(&partial, folder)?;
    Ok(false)
}

/// Takes away what an interrupted attempt at a step has left in its `folder`.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn clear(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    create_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Sink;

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
        ask_in("f32", store, make)
    }

    /// The same for a process that computes in this precision.
    fn ask_in(
        precision: &str,
        store: &Store,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> (Result<(PathBuf, bool)>, Vec<Kind>) {
        let mut heard = Heard::default();
        let mut caller = Caller { sink: &mut heard, interrupted: &|| false };
        let wanted = Wanted {
            kind: "stage",
            key: "k",
            precision: Some(precision),
            needs: None,
            check: &|_| Ok(()),
        };
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
    fn a_result_of_another_precision_is_neither_taken_nor_touched() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let write =
            |text: &'static [u8]| move |folder: &Path| write_whole(&folder.join("weights"), text);
        // One is being made, another is whole.
        let stop = |folder: &Path| {
            write_whole(&folder.join("checkpoint"), b"1").and(Err(Error::Interrupted))
        };
        assert!(ask_in("bf16", &store, stop).0.is_err());
        let mixed = "f32, bf16 where frozen";
        let (other, found) = ask_in(mixed, &store, write(b"mixed")).0.unwrap();
        assert!(!found && other.ends_with("k.in/f32-bf16-where-frozen"), "{}", other.display());
        assert!(store.has("stage", "k"));
        let (own, found) = ask_in("bf16", &store, |folder| {
            assert!(folder.join("checkpoint").exists(), "it goes on with its own");
            write(b"bf16")(folder)
        })
        .0
        .unwrap();
        assert!(!found && own.ends_with("stage/k"), "{}", own.display());
        for (precision, folder) in [("bf16", own), (mixed, other)] {
            let again = ask_in(precision, &store, |_| panic!("made twice")).0.unwrap();
            assert_eq!(again, (folder, true));
        }
        let (third, found) = ask_in("f32", &store, write(b"f32")).0.unwrap();
        assert!(!found && third.ends_with("k.in/f32"), "{}", third.display());
    }

    #[test]
    fn a_result_of_an_older_version_without_what_is_needed_is_made_again_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let old = store.step_folder("stage", "k");
        std::fs::create_dir_all(&old).unwrap();
        std::fs::write(old.join("weights"), "old").unwrap();
        let mut heard = Heard::default();
        let mut caller = Caller { sink: &mut heard, interrupted: &|| false };
        let check = |_: &Path| Ok(());
        let wanted = Wanted {
            kind: "stage",
            key: "k",
            precision: Some("f32"),
            needs: Some("evidence.json"),
            check: &check,
        };
        let make =
            |folder: &Path, _: &mut Caller<'_>| write_whole(&folder.join("evidence.json"), b"[]");
        assert!(!store.step(&wanted, &mut caller, make).unwrap().1);
        assert!(!old.join("weights").exists());
        assert!(store.step(&wanted, &mut caller, make).unwrap().1);
        assert_eq!(heard.0, []);
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
