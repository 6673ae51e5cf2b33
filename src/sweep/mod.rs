//! The scheduler: trials that are not finished, in worker processes, a few at a time.
//!
//! A worker is `ferrite-engine run` on the trial's folder: a crash or a kill costs one epoch of one trial. Its
//! standard output is the run's events as JSON lines; its standard input is a lifeline: when it closes,
//! because this process is gone, the worker stops.

mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::event::Kind;
use crate::event::disk::SetAside;
use crate::event::failure::Failure;
use crate::files::write_whole;
use crate::plan::Trial;
use crate::plan::cost::multiplications_of;
use crate::store::Store;
use crate::store::artifact::set_aside;
use crate::store::folder::files;
use crate::store::read::{Last, last};
use crate::store::record::State;
use crate::sweep::worker::{Message, Worker};

/// How a sweep is carried out.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that carries out a trial.
    pub engine: PathBuf,
    /// Workers at once.
    pub jobs: usize,
    /// CPU threads of each worker.
    pub threads: usize,
    /// Where they train.
    pub device: String,
    /// Whether trials that failed earlier are tried again.
    pub retry: bool,
    /// Whether the first failure stops the sweep.
    pub fail_fast: bool,
}

/// What is to be done about a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing: it is finished.
    Finished,
    /// Nothing unless asked: it failed earlier.
    Failed(Failure),
    /// To go on with it.
    Interrupted,
    /// To do it.
    New,
}

/// What is to be done about `trial`. A finished run of which a file is damaged is gone on with: what is whole of it
/// is taken, and the rest made again.
pub fn standing(store: &Store, trial: &Trial) -> Standing {
    let name = trial.name();
    let Some(last) = last(store, &name) else { return Standing::New };
    match &last.state {
        State::Finished if last.key.as_ref() != Some(&trial.key) => Standing::New,
        // What cannot be looked at is told by the worker.
        State::Finished => match last.damages(store, &name) {
            Ok(damages) if damages.is_empty() => Standing::Finished,
            _ => Standing::Interrupted,
        },
        State::Failed(failure) => Standing::Failed(failure.clone()),
        State::Interrupted | State::Running => Standing::Interrupted,
    }
}

/// The trials of a sweep.
#[derive(Debug)]
pub struct Work<'a> {
    /// All of them, those that others start from first.
    pub trials: &'a [Trial],
    /// What is to be done about each, in their order.
    pub standings: Vec<Standing>,
}

impl<'a> Work<'a> {
    /// Looks at what is there of each of `trials`.
    pub fn of(store: &Store, trials: &'a [Trial]) -> Self {
        let standings = trials.par_iter().map(|it| standing(store, it)).collect();
        Self { trials, standings }
    }

    /// The trials that a sweep carries out; those that failed earlier only if it is to `retry` them.
    pub fn unfinished(&self, retry: bool) -> Vec<&'a Trial> {
        let all = self.trials.iter().zip(&self.standings);
        let unfinished = |it: &Standing| match it {
            Standing::Finished => false,
            Standing::Failed(_) => retry,
            Standing::Interrupted | Standing::New => true,
        };
        all.filter(|(_, standing)| unfinished(standing)).map(|(trial, _)| trial).collect()
    }
}

/// What a sweep says while it runs.
#[derive(Debug)]
pub enum Said<'a> {
    /// So many trials are to be carried out.
    Planned(usize),
    /// A worker began with this trial.
    Started(&'a Trial),
    /// Something happened in this trial.
    Happened(&'a Trial, &'a Kind),
    /// The worker of this trial ended.
    Ended(&'a Trial, &'a Outcome),
}

/// How a trial's worker ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The trial is finished.
    Finished,
    /// It failed, or its worker died.
    Failed(Failure),
    /// It was stopped and can go on later.
    Interrupted,
}

/// What became of the trials of a sweep.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Names of trials that were finished before.
    pub found: Vec<String>,
    /// Names of trials that were carried out.
    pub done: Vec<String>,
    /// Names of trials that failed, now or earlier, or that need one that did.
    pub failed: Vec<String>,
}

struct Sweep<'a> {
    store: &'a Store,
    trials: &'a [Trial],
    settings: &'a Settings,
    waiting: Vec<usize>,
    workers: Vec<Worker>,
    summary: Summary,
    say: &'a mut dyn FnMut(Said<'_>),
    sender: Sender<Message>,
    stopping: bool,
}

/// Carries out every trial that is not finished. `interrupted` says whether the user wants to stop.
///
/// # Errors
/// [`Error::Interrupted`] if the user stopped it. Failed trials are no error here, nor are those whose worker
/// cannot be started: see [`Summary`].
pub fn sweep(
    store: &Store,
    work: &Work<'_>,
    settings: &Settings,
    say: &mut dyn FnMut(Said<'_>),
    interrupted: &dyn Fn() -> bool,
) -> Result<Summary> {
    let (sender, receiver) = channel();
    let mut sweep = Sweep {
        store,
        trials: work.trials,
        settings,
        waiting: Vec::new(),
        workers: Vec::new(),
        summary: Summary::default(),
        say,
        sender,
        stopping: false,
    };
    sweep.sort_out(&work.standings);
    sweep.run(&receiver, interrupted);
    // A worker that was stopped by itself leaves trials undone, too. After a failure that stopped the
    // others, the failure is what there is to tell.
    let stopped = sweep.stopping && (interrupted() || sweep.summary.failed.is_empty());
    if stopped { Err(Error::Interrupted) } else { Ok(sweep.summary) }
}

impl Sweep<'_> {
    fn sort_out(&mut self, standings: &[Standing]) {
        for (index, (trial, standing)) in self.trials.iter().zip(standings).enumerate() {
            match standing {
                Standing::Finished => self.summary.found.push(trial.name()),
                Standing::Failed(_) if !self.settings.retry => {
                    self.summary.failed.push(trial.name());
                }
                _ => self.waiting.push(index),
            }
        }
        self.longest_first();
        (self.say)(Said::Planned(self.waiting.len()));
    }

    /// So that at the end no core waits for a long trial that began last (Graham 1969,
    /// <https://doi.org/10.1137/0117039>). A trial is as long as it and the longest of those that start from it.
    fn longest_first(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let trials = self.trials;
        let mut work: Vec<f64> = trials.iter().map(multiplications_of).collect();
        let mut after = BTreeMap::<&str, f64>::new();
        // Those that others start from stand before them.
        for (trial, work) in trials.iter().zip(&mut work).rev() {
            *work += after.get(trial.name().as_str()).copied().unwrap_or_default();
            if let Some(needs) = &trial.needs {
                let longest = after.entry(needs).or_default();
                *longest = longest.max(*work);
            }
        }
        self.waiting.sort_by(|a, b| work[*b].total_cmp(&work[*a]));
    }

    fn run(&mut self, receiver: &Receiver<Message>, interrupted: &dyn Fn() -> bool) {
        loop {
            if interrupted() && !self.stopping {
                self.stop();
            }
            if !self.stopping {
                self.start_some();
            }
            if self.workers.is_empty() {
                return;
            }
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Line(trial, line)) => self.hear(trial, &line),
                Ok(Message::Ended(trial)) => self.finish(trial),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Asks every worker to stop at the end of its epoch.
    fn stop(&mut self) {
        self.stopping = true;
        self.waiting.clear();
        self.workers.iter_mut().for_each(Worker::stop);
    }

    /// Starts as many as may run at once. One that cannot be started fails, and the others go on.
    fn start_some(&mut self) {
        while !self.stopping && self.workers.len() < self.settings.jobs {
            self.give_up_orphans();
            let ready = self.waiting.iter().position(|it| self.is_ready(&self.trials[*it]));
            let Some(position) = ready else { return };
            let trial = self.waiting.remove(position);
            if let Err(error) = self.start(trial) {
                self.end(trial, &Outcome::Failed(Failure::from(&error)));
            }
        }
    }

    /// Whether the run that `trial` starts from is there.
    fn is_ready(&self, trial: &Trial) -> bool {
        let Some(needs) = &trial.needs else { return true };
        let known = self.trials.iter().any(|it| it.name() == *needs);
        !known || self.summary.found.contains(needs) || self.summary.done.contains(needs)
    }

    /// Trials whose source failed cannot run, nor can those that start from them.
    fn give_up_orphans(&mut self) {
        let trials = self.trials;
        let needs = |index: usize| trials[index].needs.as_deref().unwrap_or_default();
        let failed = |it: &Summary, index: usize| it.failed.iter().any(|it| it == needs(index));
        while let Some(at) = self.waiting.iter().position(|it| failed(&self.summary, *it)) {
            let orphan = self.waiting.remove(at);
            let failure = Failure {
                message: format!("`{}`, which it starts from, failed", needs(orphan)),
                help: "mend that run first, then sweep again".into(),
                exit_code: 1,
            };
            self.summary.failed.push(trials[orphan].name());
            (self.say)(Said::Ended(&trials[orphan], &Outcome::Failed(failure)));
        }
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let trial = &self.trials[index];
        let aside = self.write_settings(trial)?;
        let path = self.store.root.join(trial.name()).join(files::TRIAL);
        let root = &self.store.root;
        let worker = Worker::start(index, [&path, root], self.settings, &self.sender)?;
        self.workers.push(worker);
        (self.say)(Said::Started(trial));
        if let Some(told) = aside {
            (self.say)(Said::Happened(trial, &Kind::SetAside(told)));
        }
        Ok(())
    }

    /// Writes the `trial.toml` of a run. That of a finished run stays if it is whole; else it is set aside. What else
    /// is damaged the worker finds, but its settings must be there before it starts.
    fn write_settings(&self, trial: &Trial) -> Result<Option<SetAside>> {
        let folder = self.store.root.join(trial.name());
        fs_err::create_dir_all(&folder).map_err(Error::file("cannot create", &folder))?;
        let path = folder.join(files::TRIAL);
        let finished =
            |it: &Last| it.state == State::Finished && it.key.as_ref() == Some(&trial.key);
        let mut aside = None;
        if let Some(last) = last(self.store, &trial.name()).filter(finished) {
            let message =
                last.damages(self.store, &trial.name())?.into_iter().find_map(|it| match it {
                    Error::Damaged { path: damaged, message, .. } if damaged == path => {
                        Some(message)
                    }
                    _ => None,
                });
            let Some(message) = message else { return Ok(None) };
            aside = Some(set_aside(&path, &path, &message)?);
        }
        write_whole(&path, trial.to_toml().as_bytes())?;
        Ok(aside)
    }

    fn hear(&mut self, trial: usize, line: &str) {
        let Ok(kind) = serde_json::from_str::<Kind>(line) else { return };
        let worker = self.workers.iter_mut().find(|it| it.trial == trial);
        if let (Kind::RunFailed(failure), Some(worker)) = (&kind, worker) {
            worker.failure = Some(failure.clone());
        }
        (self.say)(Said::Happened(&self.trials[trial], &kind));
    }

    fn finish(&mut self, index: usize) {
        let Some(position) = self.workers.iter().position(|it| it.trial == index) else { return };
        let outcome = self.workers.remove(position).outcome();
        self.end(index, &outcome);
    }

    fn end(&mut self, index: usize, outcome: &Outcome) {
        let trial = &self.trials[index];
        match outcome {
            Outcome::Finished => self.summary.done.push(trial.name()),
            Outcome::Interrupted => self.stopping = true,
            Outcome::Failed(_) => {
                self.summary.failed.push(trial.name());
                if self.settings.fail_fast {
                    self.stop();
                }
            }
        }
        (self.say)(Said::Ended(trial, outcome));
    }
}
