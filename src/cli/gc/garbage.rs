//! What nobody refers to, as it lies on disk.

use std::path::{Path, PathBuf};

use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::leftovers::old;
use ferrite_core::store::lock::is_locked;

use crate::cli::gc::referred::Referred;
use crate::cli::remove::{removed, run_folders, size};

/// A sort of what can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The result of a step.
    Step,
    /// A step that was begun.
    Begun,
    /// What was damaged and set aside.
    Damaged,
    /// What a killed process was writing, or removing.
    Temporary,
    /// A run.
    Run,
}

/// Something that can be taken away.
#[derive(Debug)]
pub(super) struct Garbage {
    pub(super) sort: Sort,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// The key of the step that it is of, if it is of one.
    pub(super) key: Option<String>,
    /// What is held by whoever is at it.
    pub(super) lock: Option<PathBuf>,
}

impl Sort {
    pub(super) const ALL: [Self; 5] =
        [Self::Step, Self::Begun, Self::Damaged, Self::Temporary, Self::Run];

    /// What programs call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Step => "steps",
            Self::Begun => "begun",
            Self::Damaged => "damaged",
            Self::Temporary => "temporary",
            Self::Run => "runs",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Step => "results of steps",
            Self::Begun => "steps that were begun and not ended",
            Self::Damaged => "damaged files that were set aside",
            Self::Temporary => "files that killed processes were writing",
            Self::Run => "runs that are no trial of an experiment any more",
        }
    }
}

/// Everything in `store` that nobody refers to; runs only `with_runs`.
pub(super) fn find(store: &Store, referred: &Referred, with_runs: bool) -> Vec<Garbage> {
    let mut found = Vec::new();
    for kind in inside(&store.root.join(".store")).filter(|it| it.is_dir()) {
        // What is said of sweeps is no result.
        if kind.ends_with("sweep") || kind == removed(store) {
            continue;
        }
        found.extend(inside(&kind).filter_map(|it| of_step(it, referred)));
    }
    let runs = run_folders(store);
    let of_runs = runs.iter().flat_map(|it| inside(it)).filter(|it| is_damaged(it));
    found.extend(of_runs.map(|it| plain(Sort::Damaged, it)));
    let temporary = old(&store.root).into_iter().chain(inside(&removed(store)));
    // What lies in a folder that goes as a whole is not told twice.
    let within = |it: &PathBuf| found.iter().any(|folder: &Garbage| it.starts_with(&folder.path));
    let temporary: Vec<PathBuf> = temporary.filter(|it| !within(it)).collect();
    found.extend(temporary.into_iter().map(|it| plain(Sort::Temporary, it)));
    if with_runs {
        let lost = runs.into_iter().filter(|it| is_lost(store, it, referred));
        let run =
            |it: PathBuf| Garbage { lock: Some(it.join(files::LOCK)), ..plain(Sort::Run, it) };
        found.extend(lost.map(run));
    }
    found
}

fn plain(sort: Sort, path: PathBuf) -> Garbage {
    Garbage { sort, bytes: size(&path), path, key: None, lock: None }
}

/// What of a step lies at `path`, if nobody refers to it or holds it.
fn of_step(path: PathBuf, referred: &Referred) -> Option<Garbage> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    // A key has no dot.
    let (key, rest) = name.split_once('.').unwrap_or((&name, ""));
    let sort = match rest {
        _ if is_damaged(&path) => Sort::Damaged,
        "" | "in" => Sort::Step,
        "partial" => Sort::Begun,
        _ => return None,
    };
    let lock = path.with_file_name(format!("{key}.lock"));
    let is_wanted = sort != Sort::Damaged && referred.has(key);
    if !path.is_dir() || is_wanted || is_locked(&lock) {
        return None;
    }
    let key = (sort != Sort::Damaged).then(|| key.to_owned());
    Some(Garbage { key, lock: Some(lock), ..plain(sort, path) })
}

/// Whether it was set aside: `predictions.damaged.csv`, `<key>.damaged-2`.
fn is_damaged(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').skip(1).any(|it| it == "damaged" || it.starts_with("damaged-"))
}

/// Whether the run in `folder` is no trial of its experiment any more, and nobody is at it. Of an experiment that could not be
/// planned nobody knows it.
fn is_lost(store: &Store, folder: &Path, referred: &Referred) -> bool {
    let below = folder.strip_prefix(&store.root).unwrap_or(folder);
    let experiment = below.parent().unwrap_or(below).to_string_lossy();
    !referred.trials.contains(&*below.to_string_lossy())
        && !referred.unknown.contains(&*experiment)
        && !is_locked(&folder.join(files::LOCK))
}

/// What lies in `folder`, sorted; nothing if it is none.
fn inside(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|it| it.path()).collect();
    paths.sort();
    paths.into_iter()
}
