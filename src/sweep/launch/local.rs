//! Workers as processes of this machine.
//!
//! A worker is `ferrite-engine job` on the job's file. What happens is read from the run's log; its standard output has as
//! JSON lines what stands in no log: progress, and what keeps a run from having one. Its standard input is a lifeline: when
//! it closes, because this process is gone, the worker stops.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::fault::{Work, exhausted, no_thread};
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use ferrite_core::store::log::Follower;
use ferrite_core::store::read::{Last, last};
use ferrite_core::store::record::State;

use crate::sweep::launch::patience::{Patience, Silence, Verdict};
use crate::sweep::launch::{Launcher, Message, Node, by_itself, write_job, write_settings};
use crate::sweep::{Outcome, TrialState, state_of};

/// How often the logs of runs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often the silence of workers is counted.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that carries out a job.
    pub engine: PathBuf,
    /// CPU threads of each worker.
    pub threads: usize,
    /// Where they train.
    pub device: String,
    /// How long one may give no sign of life.
    pub patience: Patience,
    /// What leads them to the server that they share a GPU by.
    pub variables: Vec<(&'static str, PathBuf)>,
}

/// Starts workers on this machine.
pub struct Local<'a> {
    store: &'a Store,
    trials: &'a [Trial],
    settings: Settings,
    workers: Vec<Worker>,
    /// What was heard and is not passed on yet.
    heard: VecDeque<Message>,
    sender: Sender<FromPipe>,
    receiver: Receiver<FromPipe>,
    looked: Instant,
    /// When silence was counted last.
    counted: Instant,
}

/// What a worker's threads tell: a line of its standard output, or that there is no more.
enum FromPipe {
    Line(usize, String),
    Closed(usize),
}

/// A worker that runs.
struct Worker {
    /// The position of its trial.
    trial: usize,
    /// What it said last about its own end, where no log says it.
    failure: Option<Failure>,
    log: Follower,
    child: Child,
    lifeline: Option<ChildStdin>,
    complaints: JoinHandle<String>,
    silence: Silence,
    /// Whether it was ended because it gave no sign of life any more.
    given_up: bool,
}

impl<'a> Local<'a> {
    /// A launcher of workers on these trials, whose results lie in `store`.
    pub fn new(store: &'a Store, trials: &'a [Trial], settings: Settings) -> Self {
        let (sender, receiver) = channel();
        let (workers, heard, now) = (Vec::new(), VecDeque::new(), Instant::now());
        let (looked, counted) = (now, now);
        Self { store, trials, settings, workers, heard, sender, receiver, looked, counted }
    }

    /// Looks into the logs of all runs.
    fn look(&mut self) {
        self.looked = Instant::now();
        for Worker { trial, log, silence, .. } in &mut self.workers {
            let (trial, news) = (*trial, log.news());
            if !news.is_empty() {
                silence.broken();
            }
            self.heard.extend(news.into_iter().map(|it| Message::Happened(trial, it)));
        }
    }

    /// Counts the silence of workers, tells it where it is long, and ends those of whom nothing is to be hoped.
    fn count_silence(&mut self) {
        // What is longer, this process slept through, with the machine or alone: it heard nobody.
        let time = self.counted.elapsed().min(2 * COUNT_EVERY);
        self.counted = Instant::now();
        for worker in self.workers.iter_mut().filter(|it| !it.is_held_up()) {
            match worker.silence.goes_on(time, self.settings.patience) {
                Verdict::Wait => {}
                Verdict::Tell => {
                    let silent = Message::Silent(worker.trial, worker.silence.lasts());
                    self.heard.push_back(silent);
                }
                Verdict::End => worker.give_up(),
            }
        }
    }

    fn hear_line(&mut self, trial: usize, line: &str) {
        let Some(worker) = self.workers.iter_mut().find(|it| it.trial == trial) else { return };
        worker.silence.broken();
        // What is no event only says that the worker gets on.
        let Ok(kind) = serde_json::from_str::<Kind>(line) else { return };
        if let Kind::RunFailed(failure) = &kind {
            worker.failure = Some(failure.clone());
        }
        self.heard.push_back(Message::Happened(trial, kind));
    }

    fn end(&mut self, trial: usize) {
        self.look();
        let Some(position) = self.workers.iter().position(|it| it.trial == trial) else { return };
        let worker = self.workers.remove(position);
        let outcome = worker.outcome(&mut || last(self.store, &self.trials[trial].name()));
        let outcome = by_itself(self.store, &self.trials[trial], outcome);
        self.heard.push_back(Message::Ended(trial, outcome));
    }
}

impl Launcher for Local<'_> {
    fn start(&mut self, at: usize, until: Option<Until>) -> Result<()> {
        let trial = &self.trials[at];
        // Another sweep may have done it since this one began.
        if state_of(self.store, trial) == TrialState::Finished {
            self.heard.push_back(Message::Ended(at, Outcome::Finished));
            return Ok(());
        }
        let job = write_job(self.store, trial, until)?;
        let aside = write_settings(self.store, trial)?;
        let log = Follower::from_its_end(&job.with_file_name(files::EVENTS));
        let started = Started { trial: at, job: &job, runs: &self.store.root };
        self.workers.push(Worker::start(&started, log, &self.settings, &self.sender)?);
        self.heard.extend(aside.map(|it| Message::Happened(at, Kind::SetAside(it))));
        Ok(())
    }

    fn stop(&mut self, trial: usize) {
        if let Some(worker) = self.workers.iter_mut().find(|it| it.trial == trial) {
            worker.stop();
        }
    }

    fn hear(&mut self, patience: Duration) -> Option<Message> {
        let until = Instant::now() + patience;
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Some(message);
            }
            if self.looked.elapsed() >= LOOK_EVERY {
                self.look();
                continue;
            }
            if self.counted.elapsed() >= COUNT_EVERY {
                self.count_silence();
                continue;
            }
            let now = Instant::now();
            if now >= until {
                return None;
            }
            match self.receiver.recv_timeout(LOOK_EVERY.min(until - now)) {
                Ok(FromPipe::Line(trial, line)) => self.hear_line(trial, &line),
                Ok(FromPipe::Closed(trial)) => self.end(trial),
                // This launcher holds a sender itself, so that nothing is ever disconnected.
                Err(_) => {}
            }
        }
    }

    fn is_busy(&self, trial: usize, next: Option<Node<'_>>) -> bool {
        let run = self.store.root.join(self.trials[trial].name()).join(files::LOCK);
        let step = next.map(|it| self.store.lock_file(it.kind, it.key));
        is_locked(&run) || step.is_some_and(|it| is_locked(&it))
    }
}

/// What a worker is started on.
struct Started<'a> {
    /// The position of its trial.
    trial: usize,
    /// The file of its job.
    job: &'a Path,
    /// The folder of runs.
    runs: &'a Path,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be started, or what the lack of a thread is told as.
    fn start(
        &Started { trial, job, runs }: &Started<'_>,
        log: Follower,
        settings: &Settings,
        sender: &Sender<FromPipe>,
    ) -> Result<Self> {
        let mut child = Command::new(&settings.engine)
            .arg("job")
            .arg(job)
            .args(["--events", "--device", &settings.device])
            .args(["--threads", &settings.threads.to_string()])
            .arg("--runs")
            .arg(runs)
            .env("OMP_NUM_THREADS", settings.threads.to_string())
            .env("GOMP_SPINCOUNT", spins())
            .envs(settings.variables.iter().map(|(name, path)| (name, path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::file("cannot start", &settings.engine))?;
        // Where a thread cannot be had, the lifeline closes here and the worker ends by itself.
        let lifeline = child.stdin.take();
        let (lines, errors) = (child.stdout.take(), child.stderr.take());
        let complaints = std::thread::Builder::new().spawn(move || {
            let mut text = Vec::new();
            if let Some(mut errors) = errors {
                let _ = errors.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let complaints = complaints.map_err(no_thread(Work::Training))?;
        let sender = sender.clone();
        let listening = std::thread::Builder::new().spawn(move || {
            let lines = lines.map(BufReader::new).into_iter().flat_map(BufRead::lines);
            for line in lines.map_while(std::result::Result::ok) {
                let _ = sender.send(FromPipe::Line(trial, line));
            }
            let _ = sender.send(FromPipe::Closed(trial));
        });
        listening.map_err(no_thread(Work::Training))?;
        let (failure, silence, given_up) = (None, Silence::default(), false);
        Ok(Self { trial, failure, log, child, lifeline, complaints, silence, given_up })
    }

    /// Whether it cannot give a sign of life for a reason that passes: it is stopped, or waits for a disk.
    fn is_held_up(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = threads.into_iter().flatten().filter_map(std::result::Result::ok);
        let states = threads.filter_map(|it| std::fs::read_to_string(it.path().join("stat")).ok());
        let mut states = states.filter_map(|it| state_in(&it));
        states.any(|it| matches!(it, 'T' | 't' | 'D'))
    }

    /// Ends it.
    fn give_up(&mut self) {
        self.given_up = true;
        // One that is gone already is what was wanted.
        let _ = self.child.kill();
    }

    /// Asks it to stop at the end of its epoch.
    fn stop(&mut self) {
        if let Some(lifeline) = &mut self.lifeline {
            // A worker that cannot hear has ended already.
            let _ = writeln!(lifeline, "stop").and_then(|()| lifeline.flush());
        }
    }

    /// Waits for its end and says what became of it: what the run's log says, where the worker came so far.
    fn outcome(mut self, last: &mut dyn FnMut() -> Option<Last>) -> Outcome {
        let status = self.child.wait();
        let complaints = self.complaints.join().unwrap_or_default();
        match status {
            Ok(it) if it.success() => Outcome::Finished,
            Ok(_) if self.given_up => Outcome::Died(hung(self.silence.lasts())),
            Ok(it) if was_stopped(it) => Outcome::Interrupted,
            Ok(it) => match (self.failure, last().map(|it| it.state)) {
                (Some(failure), _) | (None, Some(State::Failed(failure))) => {
                    Outcome::Failed(failure)
                }
                _ => Outcome::Died(died(it, &complaints)),
            },
            Err(error) => {
                let error = Error::file("cannot wait for", "ferrite-engine")(error);
                Outcome::Failed(Failure::from(&error))
            }
        }
    }
}

/// Whether a worker ended because it was asked to: it says so, or was still loading LibTorch and heard nothing yet.
fn was_stopped(status: ExitStatus) -> bool {
    let said = status.code() == Some(i32::from(Error::Interrupted.exit_code()));
    said || matches!(status.signal(), Some(libc::SIGINT | libc::SIGTERM))
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

/// The state of a thread, as a letter, in what the system says of it: it stands behind the name, which may hold anything.
fn state_in(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Why a worker was ended.
fn hung(silent: Duration) -> Failure {
    Failure {
        message: format!(
            "its process gave no sign of life for {:.0} s and was ended",
            silent.as_secs_f64()
        ),
        help: "the next sweep goes on from its last checkpoint. If one step may take so long here, grant more with \
               `--patience`"
            .into(),
        exit_code: 70,
    }
}

/// Why a worker that said nothing is gone.
fn died(status: ExitStatus, complaints: &str) -> Failure {
    if let Some(error) = exhausted(complaints, Work::Training) {
        return Failure::from(&error);
    }
    let last: Vec<&str> = complaints.lines().rev().take(3).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join(" ");
    let help = if status.signal().is_some() {
        "the next sweep goes on from its last checkpoint. If it was killed for memory, lower \
         `--jobs` or `batch_size`"
    } else {
        "the next sweep goes on from its last checkpoint"
    };
    Failure {
        message: format!("its process died ({status}) {last}").trim().to_owned(),
        help: help.into(),
        exit_code: 70,
    }
}
