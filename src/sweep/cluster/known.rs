//! The jobs that a cluster has or had, and what each of them does.
//!
//! **Invariant:** what a job does stands in the list of its submission, and a job that no list has is none of ours.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ferrite_core::error::Result;
use ferrite_core::plan::Trial;
use ferrite_core::plan::steps::Key;
use ferrite_core::store::Store;

use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::tasks::Task;
use crate::sweep::cluster::{Executor, FOLDER, hyperqueue, slurm};

/// A job that a cluster has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The submission that it belongs to.
    pub(super) submission: String,
    /// The number of the list in the submission that it belongs to.
    pub(super) list: usize,
    /// Its place in that list.
    pub(super) index: usize,
    /// Its number, for the cluster's programs.
    pub(super) job: String,
    /// How far it is.
    pub(super) state: JobState,
}

/// How far a job is, as the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobState {
    /// It waits, for this reason.
    Waiting(String),
    /// It runs, or is about to begin or to end.
    Running,
    /// It is over, as this word says.
    Over(String),
}

/// A job of which it is known what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The run.
    pub(super) run: String,
    /// The step that it ends with; none where it carries the run to its end, or to that of a rung.
    pub(super) until: Option<Key>,
    /// What the cluster says of it.
    pub(super) listed: Listed,
}

/// The jobs of this store that the cluster has or had, as far as it remembers.
///
/// # Errors
/// [`Error::Usage`](ferrite_core::error::Error::Usage) with what the cluster said.
pub(super) fn known(executor: Executor, programs: &Programs, store: &Store) -> Result<Vec<Known>> {
    let folder = |submission: &str| store.root.join(FOLDER).join(submission);
    let listed = match executor {
        Executor::Slurm => slurm::list(programs)?,
        Executor::HyperQueue => hyperqueue::list(programs, &|it| folder(it).is_dir())?,
    };
    let mut lists: HashMap<PathBuf, Vec<(String, Option<Key>)>> = HashMap::new();
    let known = listed.into_iter().filter_map(|listed| {
        let path = folder(&listed.submission).join(format!("{}.tasks", listed.list));
        let list = lists.entry(path).or_insert_with_key(|path| read_list(path));
        let (run, until) = list.get(listed.index)?.clone();
        Some(Known { run, until, listed })
    });
    Ok(known.collect())
}

/// What the jobs of a list do; nothing where it is another store's.
fn read_list(path: &Path) -> Vec<(String, Option<Key>)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let parts = text.lines().filter_map(|it| it.split_once('\t'));
    let until = |it: &str| (!it.is_empty()).then(|| it.to_owned());
    parts.map(|(run, key)| (run.to_owned(), until(key))).collect()
}

impl Known {
    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.listed.state, JobState::Over(_))
    }
}

/// The jobs that a cluster has already, by what they do.
pub(super) struct Jobs<'a> {
    /// Those that carry a run to its end.
    ends: HashMap<&'a str, &'a str>,
    /// Those that end with a step.
    steps: HashMap<&'a str, &'a str>,
    /// Those that make a step on the way to the end of a run.
    on_the_way: HashMap<&'a str, &'a str>,
}

impl<'a> Jobs<'a> {
    /// Those of `known` that are not over; `trials` say what each makes on its way.
    pub(super) fn of(known: &'a [Known], trials: &'a [Trial]) -> Self {
        let there = || known.iter().filter(|it| !it.is_over());
        let job = |it: &'a Known| it.listed.job.as_str();
        let ends = there().filter(|it| it.until.is_none()).map(|it| (it.run.as_str(), job(it)));
        let ends: HashMap<&str, &str> = ends.collect();
        let steps = there().filter_map(|it| Some((it.until.as_deref()?, job(it)))).collect();
        let ways = trials.iter().filter_map(|it| Some((it, *ends.get(it.name().as_str())?)));
        let keys =
            ways.flat_map(|(trial, job)| trial.steps.iter().map(move |it| (it.key.as_str(), job)));
        let on_the_way = keys.collect();
        Self { ends, steps, on_the_way }
    }

    /// The job that does what `task` is to do. A step that several trials need may also be made by one that carries one of
    /// them to its end.
    pub(super) fn of_task(&self, trials: &[Trial], task: &Task) -> Option<String> {
        let found = match task.until.as_deref() {
            None => self.ends.get(trials[task.trial].name().as_str()),
            Some(key) => self.steps.get(key).or_else(|| self.on_the_way.get(key)),
        };
        found.map(|it| (*it).to_owned())
    }
}
