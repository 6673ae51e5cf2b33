//! Watching what a cluster does: the logs of runs say what happens, the cluster says which jobs there are.
//!
//! Trials of a search that came to the end of a rung are held against each other here, and those that are promoted are handed to
//! the cluster again.
//!
//! **Invariant:** nothing here changes anything that the cluster has, so that it may end at any moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::fault::{Work, exhausted};
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::log::Follower;
use ferrite_core::store::queued::Queued;
use ferrite_core::store::read::last;
use ferrite_core::store::record::State;

use crate::sweep::cluster::known::{JobState, Known};
use crate::sweep::cluster::{Cluster, Executor, Extent, FOLDER, Submitted, slurm};
use crate::sweep::rungs::Rungs;
use crate::sweep::{Agenda, Outcome, Summary, SweepEvent, TrialState, state_of};

/// How often the logs of runs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long the cluster is left alone between two questions: at first, and where nothing changes.
const ASK_AFTER: Duration = Duration::from_secs(1);
const ASK_AT_LEAST: Duration = Duration::from_secs(15);

/// A job must be missing so many times before it is believed to be gone: other nodes see new files some time later.
const MISSING: u32 = 3;

/// What is watched.
pub struct Watched<'a> {
    /// The trials of the sweep, and what became of those that are not carried out.
    pub agenda: Agenda<'a>,
    /// The jobs of the others.
    pub submitted: Submitted,
    /// Submits trials as far as it is said of each.
    pub submit: &'a mut dyn FnMut(&[Extent]) -> Result<Submitted>,
}

/// A trial that has a job.
struct Followed {
    trial: usize,
    job: String,
    log: Follower,
    started: bool,
    missing: u32,
}

impl Followed {
    fn new(store: &Store, trials: &[Trial], trial: usize, job: &str) -> Self {
        let log = store.root.join(trials[trial].name()).join(files::EVENTS);
        let log = Follower::from_its_end(&log);
        Self { trial, job: job.to_owned(), log, started: false, missing: 0 }
    }
}

/// Watches until all trials with a job have ended, and returns what became of them.
///
/// # Errors
/// [`Error::Interrupted`] if the user does not want to wait any more. The jobs go on. What `submit` fails with.
pub fn follow(
    cluster: &Cluster<'_>,
    store: &Store,
    watched: Watched<'_>,
    interrupted: &dyn Fn() -> bool,
    say: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<Summary> {
    let Watched { agenda, submitted, submit } = watched;
    let Agenda { trials, states, rungs } = agenda;
    let followed = submitted.ends.iter().map(|(at, job)| Followed::new(store, trials, *at, job));
    let mut watch = Watch {
        cluster,
        store,
        trials,
        followed: followed.collect(),
        rungs,
        stopped: BTreeSet::new(),
        promoted: BTreeSet::new(),
        summary: Summary::default(),
        known: Vec::new(),
        busy: HashSet::new(),
        asked: None,
        pause: ASK_AFTER,
        say,
    };
    watch.begin(&states, &submitted);
    while !watch.followed.is_empty() {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        watch.look();
        watch.ask();
        watch.go_on_with_promoted(submit)?;
        std::thread::sleep(LOOK_EVERY);
    }
    watch.summary.stopped = watch.stopped.iter().map(|it| trials[*it].name()).collect();
    Ok(watch.summary)
}

struct Watch<'a> {
    cluster: &'a Cluster<'a>,
    store: &'a Store,
    trials: &'a [Trial],
    followed: Vec<Followed>,
    /// How far the trials of searches may go.
    rungs: Rungs<'a>,
    /// Those of them that stopped at the end of a rung.
    stopped: BTreeSet<usize>,
    /// Those of them that are to go on.
    promoted: BTreeSet<usize>,
    summary: Summary,
    /// What the cluster said last.
    known: Vec<Known>,
    /// The runs that a job is at, whose logs are worth a look.
    busy: HashSet<String>,
    asked: Option<Instant>,
    pause: Duration,
    say: &'a mut dyn FnMut(SweepEvent<'_>),
}

impl Watch<'_> {
    /// Tells what became of the trials that have no job.
    fn begin(&mut self, states: &[TrialState], submitted: &Submitted) {
        for (at, state) in states.iter().enumerate() {
            let name = self.trials[at].name();
            match state {
                TrialState::Finished => self.summary.found.push(name),
                _ if submitted.ends.contains_key(&at) => {}
                TrialState::Stopped => {
                    self.stopped.insert(at);
                }
                _ => self.summary.failed.push(name),
            }
        }
    }

    /// Hands to the cluster again what was promoted.
    fn go_on_with_promoted(
        &mut self,
        submit: &mut dyn FnMut(&[Extent]) -> Result<Submitted>,
    ) -> Result<()> {
        let promoted = std::mem::take(&mut self.promoted);
        if promoted.is_empty() {
            return Ok(());
        }
        let mut todo = vec![Extent::Nothing; self.trials.len()];
        for at in &promoted {
            todo[*at] = extent(&self.rungs, *at);
            self.stopped.remove(at);
        }
        let submitted = submit(&todo)?;
        let jobs = submitted.ends.iter();
        self.followed.extend(jobs.map(|(at, it)| Followed::new(self.store, self.trials, *at, it)));
        for at in promoted {
            let rung = self.rungs.goal(at).map(|it| it.rung).unwrap_or_default();
            (self.say)(SweepEvent::Promoted(&self.trials[at], rung));
        }
        // The new jobs are to be heard of soon.
        self.pause = ASK_AFTER;
        Ok(())
    }

    /// Tells what the logs of the runs say that a job is at.
    fn look(&mut self) {
        let mut ended = Vec::new();
        for followed in &mut self.followed {
            let trial = &self.trials[followed.trial];
            if !self.busy.contains(&trial.name()) {
                continue;
            }
            for kind in followed.log.news() {
                if !std::mem::replace(&mut followed.started, true) {
                    (self.say)(SweepEvent::Started(trial));
                }
                (self.say)(SweepEvent::Happened(trial, &kind));
                match kind {
                    Kind::RunEnded { .. } => ended.push((followed.trial, Outcome::Finished)),
                    Kind::RungEnded(_) => ended.push((followed.trial, Outcome::Stopped)),
                    Kind::RunFailed(it) => ended.push((followed.trial, Outcome::Failed(it))),
                    _ => {}
                }
            }
        }
        for (trial, outcome) in ended {
            self.end(trial, &outcome);
        }
    }

    /// Asks the cluster, if it is time to. What it does not say now it says later: the logs go on.
    fn ask(&mut self) {
        if self.asked.is_some_and(|it| it.elapsed() < self.pause) {
            return;
        }
        self.asked = Some(Instant::now());
        let Ok(known) = self.cluster.known(self.store) else { return };
        let changed = known != self.known;
        self.pause = if changed { ASK_AFTER } else { (self.pause * 2).min(ASK_AT_LEAST) };
        let running = known.iter().filter(|it| it.listed.state == JobState::Running);
        let running: HashSet<String> = running.map(|it| it.run.clone()).collect();
        // The last words of those that were at work stand in their logs as well.
        self.busy.extend(running.iter().cloned());
        self.look();
        self.busy = running;
        let states: HashMap<&str, &JobState> =
            known.iter().map(|it| (it.listed.job.as_str(), &it.listed.state)).collect();
        let mut gone = BTreeMap::new();
        for followed in &mut self.followed {
            let word = match states.get(followed.job.as_str()) {
                Some(JobState::Over(word)) => word.clone(),
                None => String::new(),
                Some(_) => {
                    followed.missing = 0;
                    continue;
                }
            };
            followed.missing += 1;
            // The pauses grow again only when this is settled.
            self.pause = ASK_AFTER;
            let finished =
                state_of(self.store, &self.trials[followed.trial]) == TrialState::Finished;
            if finished || followed.missing >= MISSING {
                gone.insert(followed.trial, (word, followed.started));
            }
        }
        self.known = known;
        for (trial, (word, started)) in gone {
            self.busy.insert(self.trials[trial].name());
            self.look();
            let outcome = self.outcome(trial, &word, started);
            self.end(trial, &outcome);
        }
    }

    /// How a trial ended whose job is gone, as its run says, or else the cluster.
    fn outcome(&self, at: usize, word: &str, started: bool) -> Outcome {
        let trial = &self.trials[at];
        match state_of(self.store, trial) {
            TrialState::Finished => Outcome::Finished,
            TrialState::Failed(failure) if started => Outcome::Failed(failure),
            // Also where it had not begun: its old job was still ending when it was promoted, and so taken for the new one.
            _ if stopped_at_a_rung(self.store, trial) => Outcome::Stopped,
            _ => Outcome::Died(self.died(trial, word, started)),
        }
    }

    /// Why a job is gone that did not say it itself.
    fn died(&self, trial: &Trial, word: &str, started: bool) -> Failure {
        let said = self.last_words(&trial.name());
        if let Some(error) = exhausted(&said, Work::Training) {
            return Failure::from(&error);
        }
        let out_of_memory = said.contains("oom_kill") || said.contains("oom-kill");
        let source = trial.needs.as_ref().is_some_and(|it| self.summary.has_no(it));
        let word = match word {
            _ if out_of_memory => "OUT_OF_MEMORY",
            "CANCELLED" | "ABORTED" | "" if source && !started => "DEPENDENCY_FAILED",
            word => word,
        };
        let title = self.cluster.executor.title();
        let (message, help) = match (self.cluster.executor, slurm::meaning(word)) {
            (Executor::Slurm, Some((message, help))) => (message.to_owned(), help),
            (_, Some((message, help))) if word == "DEPENDENCY_FAILED" => (message.to_owned(), help),
            _ => {
                let word = if word.is_empty() { String::new() } else { format!(" ({word})") };
                (
                    format!("{title} has its job no more{word}"),
                    "the next sweep goes on from its last checkpoint",
                )
            }
        };
        let last: Vec<&str> = said.lines().rev().filter(|it| !it.is_empty()).take(3).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join(" ");
        let message = if last.is_empty() { message } else { format!("{message}; it said: {last}") };
        Failure { message, help: help.into(), exit_code: 70 }
    }

    /// What the last job at a run said, and what the cluster wrote of it.
    fn last_words(&self, run: &str) -> String {
        let folder = self.store.root.join(run);
        let log = std::fs::read(folder.join(files::JOB_LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let last = log.rfind("\n== ").map_or(log.as_str(), |it| &log[it + 1..]);
        let last = last.lines().filter(|it| !it.starts_with("== ")).collect::<Vec<_>>().join("\n");
        let known = self.known.iter().filter(|it| it.run == run);
        let outputs = known.flat_map(|it| outputs(&self.store.root, it));
        let outputs = outputs.filter_map(|it| std::fs::read(it).ok());
        let outputs = outputs.map(|it| String::from_utf8_lossy(&it).into_owned());
        std::iter::once(last).chain(outputs).collect::<Vec<_>>().join("\n")
    }

    fn end(&mut self, at: usize, outcome: &Outcome) {
        let Some(position) = self.followed.iter().position(|it| it.trial == at) else { return };
        let followed = self.followed.remove(position);
        let trial = &self.trials[at];
        // It may say nothing at all while it is watched, if it is quick.
        if !followed.started && *outcome == Outcome::Finished {
            (self.say)(SweepEvent::Started(trial));
        }
        match outcome {
            Outcome::Finished => self.summary.done.push(trial.name()),
            Outcome::Failed(_) => self.summary.failed.push(trial.name()),
            Outcome::Stopped => {
                self.stopped.insert(at);
            }
            Outcome::Died(_) | Outcome::Interrupted => self.summary.died.push(trial.name()),
        }
        // Whether the cluster will ever do it again is asked by the next sweep.
        let _ = Queued::forget(&self.store.root.join(trial.name()));
        (self.say)(SweepEvent::Ended(trial, outcome));
        let of_search = self.rungs.ended(at).map(|it| it.0).unwrap_or_default();
        let promoted =
            of_search.into_iter().filter(|it| self.stopped.contains(it) && self.rungs.goes_on(*it));
        self.promoted.extend(promoted);
    }
}

/// How far a trial is carried out: one of a search as far as it may go.
pub fn extent(rungs: &Rungs<'_>, trial: usize) -> Extent {
    rungs.goal(trial).and_then(|it| it.until).map_or(Extent::End, Extent::Rung)
}

/// Whether the last process at the run of `trial` ended at a rung.
fn stopped_at_a_rung(store: &Store, trial: &Trial) -> bool {
    last(store, &trial.name()).is_some_and(|it| matches!(it.state, State::Stopped(_)))
}

impl Summary {
    /// Whether the run called `name` was to be there and is not.
    fn has_no(&self, name: &str) -> bool {
        self.failed.iter().chain(&self.died).any(|it| it == name)
    }
}

/// The files that the cluster itself wrote of a job.
fn outputs(runs: &Path, known: &Known) -> [PathBuf; 2] {
    let folder = runs.join(FOLDER).join(&known.listed.submission);
    let (list, index) = (known.listed.list, known.listed.index);
    ["out", "err"].map(|it| folder.join(format!("{list}-{index}.{it}")))
}
