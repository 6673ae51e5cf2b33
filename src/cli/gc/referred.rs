//! What is referred to: by trials of experiments, by runs that are there, and by sweeps that run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ferrite_core::config::read::{Written, read};
use ferrite_core::error::Result;
use ferrite_core::plan;
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::sweeps::running;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::cli::remove::{keys_of, run_folders};
use crate::cli::select::{Disk, EXPERIMENTS, experiment_at};

/// What is referred to.
pub(super) struct Referred {
    /// The keys of steps of experiments and of runs, and what names the checkpoints of their stages.
    pub(super) keys: BTreeSet<String>,
    /// The keys of steps of sweeps that run.
    pub(super) sweeps: BTreeSet<String>,
    /// The names of the trials of all experiments that could be planned.
    pub(super) trials: BTreeSet<String>,
    /// The names of the experiments that could not be planned: nobody knows what their trials are.
    pub(super) unknown: BTreeSet<String>,
    /// The files of these, with the reason.
    pub(super) unplanned: Vec<(PathBuf, String)>,
}

impl Referred {
    /// What the experiments at `paths` and what lies in `store` refer to.
    pub(super) fn of(store: &Store, paths: &[PathBuf]) -> Result<Self> {
        let runs = run_folders(store);
        let keys: BTreeSet<String> = runs.par_iter().flat_map(|it| keys_of(it)).collect();
        let sweeps = Self::of_sweeps(store)?;
        let (trials, unknown, unplanned) = <_>::default();
        let mut referred = Self { keys, sweeps, trials, unknown, unplanned };
        for file in files(paths)? {
            // One that cannot be read must not hide the others.
            match planned(store, &file) {
                Ok(trials) => {
                    for link in trials.iter().flat_map(Trial::chain) {
                        referred.keys.extend(link.step.lineage().cloned());
                        referred.keys.insert(link.key);
                    }
                    referred.trials.extend(trials.iter().map(Trial::name));
                }
                Err((name, error)) => {
                    referred.unknown.insert(name);
                    referred.unplanned.push((file, error));
                }
            }
        }
        Ok(referred)
    }

    /// What the sweeps refer to that run now.
    pub(super) fn of_sweeps(store: &Store) -> Result<BTreeSet<String>> {
        Ok(running(store)?.into_iter().flat_map(|it| it.sweep.keys).collect())
    }

    /// Whether the step under `key` is referred to.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key) || self.sweeps.contains(key)
    }
}

/// The files of experiments at `paths` and in all folders below.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    for path in paths {
        let path = experiment_at(path)?;
        let walk = WalkDir::new(&path).into_iter().flatten().filter(|it| it.file_type().is_file());
        let named = walk.map(walkdir::DirEntry::into_path);
        let is_experiment = |it: &PathBuf| {
            let hidden = it.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."));
            it.extension().is_some_and(|it| it == "toml") && !hidden
        };
        files.extend(named.filter(is_experiment));
    }
    Ok(files.into_iter().collect())
}

/// The trials of the experiment in `file`, and of those that it starts from; or the experiment's name and what is wrong.
fn planned(store: &Store, file: &Path) -> Result<Vec<Trial>, (String, String)> {
    let written =
        read(&[file.to_owned()], &[]).map_err(|error| (name_of(file), error.to_string()))?;
    let name = |written: &[Written]| {
        let own = written.iter().find(|it| it.path == file).or(written.first());
        own.map_or_else(|| name_of(file), |it| it.name.clone())
    };
    plan::trials(&written, &Disk { store }).map_err(|error| (name(&written), error.to_string()))
}

/// What an experiment in a file that cannot be read is called, as far as its path tells.
fn name_of(file: &Path) -> String {
    let parts: Vec<_> = file.iter().collect();
    let below = parts.iter().rposition(|it| *it == EXPERIMENTS).map_or(0, |it| it + 1);
    parts[below..].iter().collect::<PathBuf>().with_extension("").to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoints_of_the_stages_of_experiments_are_referred_to() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let file = folder.path().join("experiments/a.toml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "seeds = [0, 1]\n").unwrap();
        let trials = planned(&store, &file).unwrap();
        let referred = Referred::of(&store, &[file]).unwrap();
        let lineages: Vec<_> = trials
            .iter()
            .flat_map(Trial::chain)
            .filter_map(|it| it.step.lineage().cloned())
            .collect();
        assert_eq!(lineages.len(), 2);
        assert!(lineages.iter().all(|it| referred.has(it)) && !referred.has("of nobody"));
    }
}
