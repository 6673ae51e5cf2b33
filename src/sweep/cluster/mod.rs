//! A sweep on a cluster: what is to be done is submitted to the schedule of Slurm or `HyperQueue`, which outlives this
//! process, and then only watched.
//!
//! On one machine a launcher's workers live as long as the schedule that started them. Here the schedule is the cluster's
//! own, so what would decide is said in advance: as [`tasks`] that wait for each other. Every submission has a folder below
//! `.cluster`, with the scripts and, in its `.tasks`, what each of its jobs does. **Invariant:** a job is known by its
//! submission, its list and its place in it, never by its number alone, and whether a trial is done stands on the disk.

pub mod follow;
mod hyperqueue;
mod known;
pub mod programs;
pub mod script;
mod slurm;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use ferrite_core::config::clusters::Clusters;
use ferrite_core::error::Result;
use ferrite_core::files::create_folder;
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::plan::steps::Key;
use ferrite_core::store::Store;
use ferrite_core::store::lock::lock;
use ferrite_core::store::queued::Queued;

use crate::sweep::cluster::hyperqueue::HyperQueue;
use crate::sweep::cluster::known::{Jobs, Known, known};
use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::script::Site;
use crate::sweep::cluster::slurm::Slurm;
use crate::sweep::cluster::tasks::tasks;
use crate::sweep::launch::{Node, write_job, write_settings};

/// Where submissions lie, below the runs.
const FOLDER: &str = ".cluster";

/// Who carries out a sweep that this machine does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Executor {
    /// Slurm, by `sbatch`, `squeue`, `scancel`
    Slurm,
    /// `HyperQueue`, by `hq`
    #[value(name = "hyperqueue")]
    HyperQueue,
}

impl Executor {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::HyperQueue => "hyperqueue",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Slurm => "Slurm",
            Self::HyperQueue => "HyperQueue",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Slurm, Self::HyperQueue].into_iter().find(|it| it.name() == name)
    }
}

/// A cluster, and how it is asked.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// What schedules there.
    pub executor: Executor,
    /// What its jobs ask for.
    pub settings: &'a Clusters,
    /// Where its programs are.
    pub programs: Programs,
}

/// What a cluster is asked for.
struct Asked<'a> {
    site: &'a Site,
    /// The submission's folder.
    folder: &'a Path,
    tasks: Vec<AskedTask>,
}

/// A task that is to become a job.
struct AskedTask {
    run: String,
    until: Option<Key>,
    after: Vec<Place>,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Another one that is asked for.
    Asked(usize),
    /// A job that is queued already.
    Queued(String),
}

impl AskedTask {
    /// Its line in a list.
    fn line(&self) -> String {
        format!("{}\t{}\n", self.run, self.until.as_deref().unwrap_or_default())
    }
}

/// What a submission came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Submitted {
    /// The folder with its scripts; none where nothing had to be submitted.
    pub folder: Option<PathBuf>,
    /// The jobs that were submitted, in the order in which they can begin.
    pub jobs: Vec<String>,
    /// How many of them make steps that several trials need.
    pub shared: usize,
    /// How many jobs were queued before.
    pub queued_before: usize,
    /// The job that carries each trial to its end, by the trial's position.
    pub ends: BTreeMap<usize, String>,
}

/// What `ferrite` does in a job that begins when others are over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Afterwards {
    /// What that is called.
    pub name: &'static str,
    /// The words behind the program's name.
    pub words: Vec<String>,
}

impl Afterwards {
    /// What it is called that submits what the results of the others ask for.
    pub const DECISION: &'static str = "decision";
}

/// How far a cluster is to carry out a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It has nothing to do about it.
    Nothing,
    /// To the end of a rung of its search.
    Rung(Until),
    /// To its end.
    End,
}

impl Extent {
    /// Where it stops before its end.
    pub fn until(self) -> Option<Until> {
        match self {
            Self::Rung(until) => Some(until),
            Self::Nothing | Self::End => None,
        }
    }
}

/// What a sweep hands to a cluster.
pub struct Order<'a> {
    /// All trials of the sweep, those that others start from first.
    pub trials: &'a [Trial],
    /// How far each of them is to be carried out.
    pub todo: &'a [Extent],
    /// Whether the result of a step is there.
    pub is_made: &'a dyn Fn(Node<'_>) -> bool,
    /// The programs and folders.
    pub site: &'a Site,
}

impl Cluster<'_> {
    /// Submits what is to be done and is not queued yet.
    ///
    /// # Errors
    /// [`Error::Usage`](ferrite_core::error::Error::Usage) with what the cluster said;
    /// [`Error::File`](ferrite_core::error::Error::File) if a script cannot be written.
    pub fn submit(&self, store: &Store, order: &Order<'_>) -> Result<Submitted> {
        if order.todo.iter().all(|it| *it == Extent::Nothing) {
            return Ok(Submitted::default());
        }
        let root = store.root.join(FOLDER);
        create_folder(&root)?;
        // Two sweeps at once would each find that the other's jobs are missing.
        let _alone = lock(&root.join("lock"), &mut |_| Ok(()))?;
        let known = self.known(store)?;
        let there = Jobs::of(&known, order.trials);
        let tasks = tasks(order.trials, order.todo, order.is_made);
        let queued: Vec<Option<String>> =
            tasks.iter().map(|it| there.of_task(order.trials, it)).collect();
        let folder = root.join(name());
        let mut submitted = Submitted {
            queued_before: queued.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(),
            ..Submitted::default()
        };
        let new: Vec<usize> = (0..tasks.len()).filter(|it| queued[*it].is_none()).collect();
        let places: HashMap<usize, usize> =
            new.iter().enumerate().map(|(at, it)| (*it, at)).collect();
        let place = |it: &usize| match &queued[*it] {
            Some(job) => Place::Queued(job.clone()),
            None => Place::Asked(places[it]),
        };
        let asked = new.iter().map(|it| AskedTask {
            run: order.trials[tasks[*it].trial].name(),
            until: tasks[*it].until.clone(),
            after: tasks[*it].after.iter().map(place).collect(),
        });
        let asked = Asked { site: order.site, folder: &folder, tasks: asked.collect() };
        if !new.is_empty() {
            create_folder(&folder)?;
            for task in new.iter().filter(|it| tasks[**it].until.is_none()) {
                let at = tasks[*task].trial;
                write_job(store, &order.trials[at], order.todo[at].until())?;
                write_settings(store, &order.trials[at])?;
            }
            submitted.jobs = match self.executor {
                Executor::Slurm => self.slurm().submit(&asked)?,
                Executor::HyperQueue => self.hyperqueue().submit(&asked)?,
            };
            submitted.shared = new.iter().filter(|it| tasks[**it].until.is_some()).count();
        }
        for (at, task) in tasks.iter().enumerate().filter(|it| it.1.until.is_none()) {
            let job = queued[at].clone().unwrap_or_else(|| submitted.jobs[places[&at]].clone());
            if queued[at].is_none() {
                let submission =
                    folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let executor = self.executor.name().to_owned();
                let queued = Queued { executor, submission, job: job.clone() };
                queued.write(&store.root.join(order.trials[task.trial].name()))?;
            }
            submitted.ends.insert(task.trial, job);
        }
        submitted.folder = (!new.is_empty()).then_some(folder);
        Ok(submitted)
    }

    /// What would be submitted if nothing were queued: how many jobs, how many of them for what several trials need, and the
    /// first script.
    pub fn preview(&self, store: &Store, order: &Order<'_>) -> (usize, usize, String) {
        let tasks = tasks(order.trials, order.todo, order.is_made);
        let asked = tasks.iter().map(|it| AskedTask {
            run: order.trials[it.trial].name(),
            until: it.until.clone(),
            after: it.after.iter().copied().map(Place::Asked).collect(),
        });
        let folder = store.root.join(FOLDER).join("SUBMISSION");
        let asked = Asked { site: order.site, folder: &folder, tasks: asked.collect() };
        let script = match self.executor {
            Executor::Slurm => self.slurm().first_script(&asked),
            Executor::HyperQueue => self.hyperqueue().script(&asked),
        };
        (tasks.len(), tasks.iter().filter(|it| it.until.is_some()).count(), script)
    }

    /// Submits a job that begins when all of `submitted` are over, however they ended; none where the cluster has no such jobs.
    ///
    /// # Errors
    /// As [`Cluster::submit`].
    pub fn submit_after(
        &self,
        site: &Site,
        submitted: &Submitted,
        what: &Afterwards,
    ) -> Result<Option<String>> {
        match (self.executor, &submitted.folder) {
            (Executor::Slurm, Some(folder)) => {
                self.slurm().submit_after(site, folder, &submitted.jobs, what).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn slurm(&self) -> Slurm<'_> {
        Slurm { programs: &self.programs, settings: &self.settings.slurm }
    }

    fn hyperqueue(&self) -> HyperQueue<'_> {
        HyperQueue { programs: &self.programs, settings: &self.settings.hyperqueue }
    }

    /// The jobs of this store that the cluster has or had, as far as it remembers.
    fn known(&self, store: &Store) -> Result<Vec<Known>> {
        known(self.executor, &self.programs, store)
    }
}

/// A name that no other submission has: when it was made, and by which process.
fn name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis());
    format!("{now:x}-{:x}", std::process::id())
}

/// Cancels the jobs of these runs, and returns the runs that had one. Those that only make a step for one of them go as
/// well, and with them what waits for that step. `HyperQueue` cancels whole submissions alone: there the other runs of
/// theirs are returned as well.
///
/// # Errors
/// [`Error::Usage`](ferrite_core::error::Error::Usage) with what the cluster said.
pub fn cancel(store: &Store, programs: &Programs, runs: &[String]) -> Result<Vec<String>> {
    let mut cancelled = Vec::new();
    for executor in [Executor::Slurm, Executor::HyperQueue] {
        let of = |run: &&String| Queued::of(&store.root.join(run.as_str()));
        let is_there = |it: &Queued| Executor::named(&it.executor) == Some(executor);
        let mine: Vec<&String> =
            runs.iter().filter(|it| of(it).as_ref().is_some_and(is_there)).collect();
        if mine.is_empty() {
            continue;
        }
        let known = known(executor, programs, store)?;
        let mut known: Vec<&Known> = known.iter().filter(|it| !it.is_over()).collect();
        if executor == Executor::HyperQueue {
            let of_mine = known.iter().filter(|it| mine.contains(&&it.run));
            let whole: HashSet<&String> = of_mine.map(|it| &it.listed.submission).collect();
            known.retain(|it| whole.contains(&it.listed.submission));
        } else {
            known.retain(|it| mine.contains(&&it.run));
        }
        let jobs: Vec<&str> = known.iter().map(|it| it.listed.job.as_str()).collect();
        match executor {
            _ if jobs.is_empty() => {}
            Executor::Slurm => {
                // Such a job would submit again what is cancelled here.
                let decisions =
                    slurm::decisions(programs, &|it| store.root.join(FOLDER).join(it).is_dir())?;
                let decisions = decisions.iter().map(String::as_str);
                slurm::cancel(
                    programs,
                    &jobs.iter().copied().chain(decisions).collect::<Vec<_>>(),
                )?;
            }
            Executor::HyperQueue => hyperqueue::cancel(programs, &jobs)?,
        }
        let had: BTreeSet<&String> = known.iter().map(|it| &it.run).collect();
        // Where a job was lost without a word, only its trace goes.
        for run in had.iter().copied().chain(mine) {
            Queued::forget(&store.root.join(run))?;
        }
        cancelled.extend(had.into_iter().cloned());
    }
    Ok(cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use ferrite_core::plan::steps::Kind;

    use crate::sweep::made_up::{step, trial};

    /// Trials whose steps have these keys.
    fn trials(keys: &[&[&str]]) -> Vec<Trial> {
        let of = |(at, keys): (usize, &&[&str])| {
            trial(at, keys.iter().map(|it| step(Kind::Stage, *it)).collect())
        };
        keys.iter().enumerate().map(of).collect()
    }

    /// A Slurm that takes everything, lists what it took as waiting, and notes what is cancelled.
    fn programs(folder: &Path) -> Programs {
        let program = |name: &str, text: &str| {
            let path = folder.join(name);
            let text = format!("#!/bin/bash\ncd \"$(dirname \"$0\")\"\n{text}\n");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        program(
            "sbatch",
            "n=$(($(cat count 2>/dev/null) + 1)); echo $n | tee count\n\
             comment=$(sed -n 's/^#SBATCH --comment=//p' \"${@: -1}\")\n\
             last=$(sed -n 's/^#SBATCH --array=0-//p' \"${@: -1}\")\n\
             for i in $(seq 0 $last); do echo \"${n}_$i|PENDING|Priority|$comment\" >>jobs; done",
        );
        program("squeue", "cat jobs 2>/dev/null; echo '99_0|RUNNING|None|ferrite:of-another:0'");
        program("scancel", "echo \"$@\" >>cancelled; for it; do sed -i \"/^$it|/d\" jobs; done");
        Programs { folder: folder.to_owned() }
    }

    #[test]
    fn what_is_missing_is_submitted_and_what_is_queued_is_known_by_what_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("runs")).unwrap();
        let settings = Clusters::default();
        let programs = programs(folder.path());
        let cluster =
            Cluster { executor: Executor::Slurm, settings: &settings, programs: programs.clone() };
        let path = |it: &str| folder.path().join(it);
        let site = Site {
            engine: path("engine"),
            ferrite: path("ferrite"),
            runs: store.root.clone(),
            here: folder.path().to_owned(),
            device: "auto".into(),
        };
        let submit = |trials: &[Trial]| {
            let todo = vec![Extent::End; trials.len()];
            let order = Order { trials, todo: &todo, is_made: &|_| false, site: &site };
            cluster.submit(&store, &order).unwrap()
        };
        // The first alone makes what others will need on its way.
        let alone = submit(&trials(&[&["a", "b", "c0"]]));
        assert_eq!((alone.jobs, alone.shared), (vec!["1_0".to_owned()], 0));
        let all =
            trials(&[&["a", "b", "c0"], &["a", "b", "c1"], &["a", "d", "e2"], &["a", "d", "e3"]]);
        let more = submit(&all);
        // What they share with the first is left to it, and `d` is made by a job of its own.
        assert_eq!((more.jobs.len(), more.shared, more.queued_before), (4, 1, 1));
        assert_eq!(more.ends[&0], "1_0");
        let script = std::fs::read_to_string(more.folder.unwrap().join("0.sh")).unwrap();
        assert!(script.contains("--dependency=afterok:1_0\n"), "{script}");
        let again = submit(&all);
        assert_eq!((again.jobs.len(), again.queued_before, again.folder), (0, 5, None));
        let job = Queued::of(&store.root.join("e/1")).unwrap();
        assert_eq!((job.executor.as_str(), &job.job), ("slurm", &again.ends[&1]));
        let names = ["e/1", "e/2", "e/7"].map(str::to_owned);
        assert_eq!(cancel(&store, &programs, &names).unwrap(), names[..2]);
        assert_eq!(Queued::of(&store.root.join("e/1")), None);
        let cancelled = std::fs::read_to_string(path("cancelled")).unwrap();
        assert_eq!(cancelled.split_whitespace().count(), 3, "{cancelled}: with the shared step");
        let last = submit(&all);
        // The fourth, which waits, makes on its way what the third needs as well.
        assert_eq!((last.jobs.len(), last.shared, last.queued_before), (2, 0, 2));
        assert_eq!(cancel(&store, &programs, &[]).unwrap(), Vec::<String>::new());
    }
}
