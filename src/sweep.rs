//! The scheduler: trials that are not finished, in worker processes, a few at a time.
//!
//! A worker is `ferrite-engine run` on the trial's folder: a crash or a kill costs one epoch of one trial. Its
//! standard output is the run's events as JSON lines; its standard input is a lifeline: when it closes,
//! because this process is gone, the worker stops.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::{Failure, Kind};
use crate::fault::{Work, exhausted, no_thread};
use crate::plan::Trial;
use crate::plan::cost::multiplications_of;
use crate::store::folder::files;
use crate::store::read::last_state;
use crate::store::record::State;
use crate::store::{Store, write_whole};

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

/// What is to be done about `trial`.
pub fn standing(store: &Store, trial: &Trial) -> Standing {
    match last_state(store, &trial.name()) {
        Some((State::Finished, Some(key))) if key == trial.key => Standing::Finished,
        None | Some((State::Finished, _)) => Standing::New,
        Some((State::Failed(failure), _)) => Standing::Failed(failure),
        Some((State::Interrupted | State::Running, _)) => Standing::Interrupted,
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

/// A line of a worker, or its end.
enum Message {
    Line(usize, String),
    Ended(usize),
}

struct Worker {
    trial: usize,
    child: Child,
    lifeline: Option<ChildStdin>,
    /// What it said last about its own end.
    failure: Option<Failure>,
    complaints: std::thread::JoinHandle<String>,
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
/// [`Error::Interrupted`] if the user stopped it, [`Error::File`] if a worker cannot be started. Failed
/// trials are no error here: see [`Summary`].
pub fn sweep(
    store: &Store,
    trials: &[Trial],
    settings: &Settings,
    say: &mut dyn FnMut(Said<'_>),
    interrupted: &dyn Fn() -> bool,
) -> Result<Summary> {
    let (sender, receiver) = channel();
    let mut sweep = Sweep {
        store,
        trials,
        settings,
        waiting: Vec::new(),
        workers: Vec::new(),
        summary: Summary::default(),
        say,
        sender,
        stopping: false,
    };
    sweep.sort_out();
    sweep.run(&receiver, interrupted)?;
    // A worker that was stopped by itself leaves trials undone, too. After a failure that stopped the
    // others, the failure is what there is to tell.
    let stopped = sweep.stopping && (interrupted() || sweep.summary.failed.is_empty());
    if stopped { Err(Error::Interrupted) } else { Ok(sweep.summary) }
}

impl Sweep<'_> {
    fn sort_out(&mut self) {
        for (index, trial) in self.trials.iter().enumerate() {
            match standing(self.store, trial) {
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

    fn run(&mut self, receiver: &Receiver<Message>, interrupted: &dyn Fn() -> bool) -> Result<()> {
        loop {
            if interrupted() && !self.stopping {
                self.stop();
            }
            if !self.stopping {
                self.start_some()?;
            }
            if self.workers.is_empty() {
                return Ok(());
            }
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Line(trial, line)) => self.hear(trial, &line),
                Ok(Message::Ended(trial)) => self.finish(trial)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Asks every worker to stop at the end of its epoch.
    fn stop(&mut self) {
        self.stopping = true;
        self.waiting.clear();
        for worker in &mut self.workers {
            if let Some(lifeline) = &mut worker.lifeline {
                // A worker that cannot hear has ended already.
                let _ = writeln!(lifeline, "stop").and_then(|()| lifeline.flush());
            }
        }
    }

    fn start_some(&mut self) -> Result<()> {
        self.give_up_orphans();
        while self.workers.len() < self.settings.jobs {
            let ready = self.waiting.iter().position(|it| self.is_ready(&self.trials[*it]));
            let Some(position) = ready else { return Ok(()) };
            let trial = self.waiting.remove(position);
            self.start(trial)?;
        }
        Ok(())
    }

    /// Whether the run that `trial` starts from is there.
    fn is_ready(&self, trial: &Trial) -> bool {
        let Some(needs) = &trial.needs else { return true };
        let known = self.trials.iter().any(|it| it.name() == *needs);
        !known || self.summary.found.contains(needs) || self.summary.done.contains(needs)
    }

    /// Trials whose source failed cannot run.
    fn give_up_orphans(&mut self) {
        let (trials, failed) = (self.trials, self.summary.failed.clone());
        let orphaned =
            |it: &usize| trials[*it].needs.as_ref().is_some_and(|needs| failed.contains(needs));
        let orphans: Vec<usize> = self.waiting.iter().copied().filter(|it| orphaned(it)).collect();
        self.waiting.retain(|it| !orphans.contains(it));
        for orphan in orphans {
            let trial = &trials[orphan];
            let needs = trial.needs.as_deref().unwrap_or_default();
            let failure = Failure {
                message: format!("`{needs}`, which it starts from, failed"),
                help: "mend that run first, then sweep again".into(),
                exit_code: 1,
            };
            self.summary.failed.push(trial.name());
            (self.say)(Said::Ended(trial, &Outcome::Failed(failure)));
        }
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let trial = &self.trials[index];
        let folder = self.store.root.join(trial.name());
        fs_err::create_dir_all(&folder).map_err(Error::file("cannot create", &folder))?;
        let path = folder.join(files::TRIAL);
        write_whole(&path, trial.to_toml().as_bytes())?;
        let program = &self.settings.engine;
        let mut child = Command::new(program)
            .arg("run")
            .arg(&path)
            .args(["--events", "--device", &self.settings.device])
            .args(["--threads", &self.settings.threads.to_string()])
            .arg("--runs")
            .arg(&self.store.root)
            .env("OMP_NUM_THREADS", self.settings.threads.to_string())
            .env("GOMP_SPINCOUNT", spins())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::file("cannot start", program))?;
        let lines = child.stdout.take().map(BufReader::new);
        let sender = self.sender.clone();
        let listen = move || {
            for line in
                lines.into_iter().flat_map(BufRead::lines).map_while(std::result::Result::ok)
            {
                let _ = sender.send(Message::Line(index, line));
            }
            let _ = sender.send(Message::Ended(index));
        };
        let mut errors = child.stderr.take();
        let collect = move || {
            let mut text = String::new();
            if let Some(errors) = &mut errors {
                let _ = errors.read_to_string(&mut text);
            }
            text
        };
        // A worker that nobody listens to ends with its lifeline.
        let thread = std::thread::Builder::new;
        thread().spawn(listen).map_err(no_thread(Work::Training))?;
        let complaints = thread().spawn(collect).map_err(no_thread(Work::Training))?;
        let lifeline = child.stdin.take();
        self.workers.push(Worker { trial: index, child, lifeline, failure: None, complaints });
        (self.say)(Said::Started(trial));
        Ok(())
    }

    fn hear(&mut self, trial: usize, line: &str) {
        let Ok(kind) = serde_json::from_str::<Kind>(line) else { return };
        let worker = self.workers.iter_mut().find(|it| it.trial == trial);
        if let (Kind::RunFailed(failure), Some(worker)) = (&kind, worker) {
            worker.failure = Some(failure.clone());
        }
        (self.say)(Said::Happened(&self.trials[trial], &kind));
    }

    fn finish(&mut self, index: usize) -> Result<()> {
        let Some(position) = self.workers.iter().position(|it| it.trial == index) else {
            return Ok(());
        };
        let mut worker = self.workers.remove(position);
        let status = worker.child.wait().map_err(Error::file("cannot wait for", "a worker"))?;
        let complaints = worker.complaints.join().unwrap_or_default();
        let trial = &self.trials[index];
        let outcome = if status.success() {
            Outcome::Finished
        } else if status.code() == Some(i32::from(Error::Interrupted.exit_code())) {
            Outcome::Interrupted
        } else {
            Outcome::Failed(worker.failure.unwrap_or_else(|| died(status, &complaints)))
        };
        match &outcome {
            Outcome::Finished => self.summary.done.push(trial.name()),
            Outcome::Interrupted => self.stopping = true,
            Outcome::Failed(_) => {
                self.summary.failed.push(trial.name());
                if self.settings.fail_fast {
                    self.stop();
                }
            }
        }
        (self.say)(Said::Ended(trial, &outcome));
        Ok(())
    }
}

/// How long LibTorch's threads spin for each other before they sleep, unless the user says so.
///
/// OpenMP's default is long: on a machine that does anything else, the thread that is waited for cannot run
/// meanwhile, and training crawls. Never spinning costs a fifth of the speed of an idle machine.
fn spins() -> String {
    /// Some tens of microseconds, about what waking a thread up costs.
    const SPINS: &str = "20000";
    std::env::var("GOMP_SPINCOUNT").unwrap_or_else(|_| SPINS.into())
}

/// Why a worker that said nothing is gone.
fn died(status: ExitStatus, complaints: &str) -> Failure {
    if let Some(error) = exhausted(complaints, Work::Training) {
        return Failure::of(&error);
    }
    let last: Vec<&str> = complaints.lines().rev().take(3).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join(" ");
    Failure {
        message: format!("its process died ({status}) {last}").trim().to_owned(),
        help:
            "sweep again: it goes on from its last checkpoint. If it was killed for memory, lower \
               `--jobs` or `batch_size`"
                .into(),
        exit_code: 70,
    }
}
