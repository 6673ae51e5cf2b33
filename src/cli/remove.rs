//! Taking folders and files away from the folder of runs, so that nobody ever sees half of one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::files::{create_folder, remove_file, remove_folder, rename};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::{Lock, lock};
use ferrite_core::store::log::events;
use serde::Deserialize;
use serde_json::Value;
use walkdir::WalkDir;

/// Where folders lie while they are removed. What is there was not wanted any more.
pub(super) fn removed(store: &Store) -> PathBuf {
    store.root.join(".store/removed")
}

/// Removes the folder or file at `path`: it is out of sight at once, and then gone.
///
/// # Errors
/// [`Error::File`] if it cannot be removed.
pub(super) fn remove(store: &Store, path: &Path) -> Result<()> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    if !path.is_dir() {
        return remove_file(path);
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = removed(store).join(format!("{}-{count}", std::process::id()));
    create_folder(&removed(store))?;
    // A process of this number may have been killed here before.
    let _ = remove_folder(&aside);
    rename(path, &aside)?;
    remove_folder(&aside)?;
    forget_removed(store);
    Ok(())
}

/// Takes away the folder in which others are removed, if nobody is removing one.
pub(super) fn forget_removed(store: &Store) {
    if is_empty_but_for(&removed(store), None) {
        let _ = remove_folder(&removed(store));
    }
}

/// Removes the run in `folder`, and the folders above it that hold nothing else.
///
/// # Errors
/// [`Error::File`] if it cannot be removed.
pub(super) fn remove_run(store: &Store, folder: &Path) -> Result<()> {
    remove(store, folder)?;
    let mut above = folder.parent();
    while let Some(it) = above.filter(|it| *it != store.root && it.starts_with(&store.root)) {
        // What is said of an experiment without runs says nothing.
        if !is_empty_but_for(it, Some(&it.join(files::EXPERIMENT))) {
            break;
        }
        remove_folder(it)?;
        above = it.parent();
    }
    Ok(())
}

/// Whether a folder that is there holds nothing else than `path`.
fn is_empty_but_for(folder: &Path, path: Option<&Path>) -> bool {
    let entries = std::fs::read_dir(folder);
    entries.is_ok_and(|mut it| it.all(|it| it.is_ok_and(|it| Some(it.path().as_path()) == path)))
}

/// The lock at `path`, if nobody holds it.
///
/// # Errors
/// [`Error::File`] if it cannot be made.
pub(super) fn try_lock(path: &Path) -> Result<Option<Lock>> {
    match lock(path, &mut |_| Err(Error::Interrupted)) {
        Ok(lock) => Ok(Some(lock)),
        Err(Error::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of all files at `path` and below.
pub(super) fn size(path: &Path) -> u64 {
    let files = WalkDir::new(path).into_iter().flatten().filter(|it| it.file_type().is_file());
    files.filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum()
}

/// What is read of `job.json`.
#[derive(Deserialize)]
struct Job {
    chain: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    key: String,
    #[serde(default)]
    step: Value,
}

/// The keys of the steps that the run in `folder` needs or has taken: what its job asks for, and what its log tells of.
pub(super) fn keys_of(folder: &Path) -> BTreeSet<String> {
    let job = std::fs::read(folder.join(files::JOB)).ok();
    let job = job.and_then(|it| serde_json::from_slice::<Job>(&it).ok());
    let asked = job.into_iter().flat_map(|it| it.chain).flat_map(|it| {
        // What its checkpoints lie under, too.
        let lineage = it.step["stage"]["lineage"].as_str().map(str::to_owned);
        std::iter::once(it.key).chain(lineage)
    });
    let told = events(&folder.join(files::EVENTS)).unwrap_or_default();
    let told = told.into_iter().filter_map(|it| match it.kind {
        Kind::StepReady(it) => Some(it.key),
        _ => None,
    });
    asked.chain(told).collect()
}

/// The folders of all runs of `store`, whatever state they are in, sorted.
pub(super) fn run_folders(store: &Store) -> Vec<PathBuf> {
    let passed = |it: &walkdir::DirEntry| {
        let name = it.file_name().to_string_lossy();
        name.starts_with('.') || name == files::PLOTS
    };
    let of_a_run = [files::TRIAL, files::JOB, files::EVENTS, files::MODEL];
    let walk = WalkDir::new(&store.root).min_depth(2).into_iter().filter_entry(|it| !passed(it));
    let found = walk.flatten().filter(|it| of_a_run.iter().any(|name| it.file_name() == *name));
    let folders = found.filter_map(|it| it.path().parent().map(Path::to_owned));
    folders.collect::<BTreeSet<_>>().into_iter().collect()
}
