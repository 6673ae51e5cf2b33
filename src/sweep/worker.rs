//! A process that carries out one trial.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::event::failure::Failure;
use crate::fault::{Work, exhausted, no_thread};
use crate::sweep::{Outcome, Settings};

/// What a worker's threads tell the scheduler: a line of the trial with this position, or its end.
pub(super) enum Message {
    Line(usize, String),
    Ended(usize),
}

/// A worker that runs.
pub(super) struct Worker {
    /// The position of its trial.
    pub(super) trial: usize,
    /// What it said last about its own end.
    pub(super) failure: Option<Failure>,
    child: Child,
    lifeline: Option<ChildStdin>,
    complaints: JoinHandle<String>,
}

impl Worker {
    /// Starts the worker of the trial at position `trial`, with its `trial.toml` and the folder of runs.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be started, or what the lack of a thread is told as.
    pub(super) fn start(
        trial: usize,
        [path, runs]: [&Path; 2],
        settings: &Settings,
        sender: &Sender<Message>,
    ) -> Result<Self> {
        let mut child = Command::new(&settings.engine)
            .arg("run")
            .arg(path)
            .args(["--events", "--device", &settings.device])
            .args(["--threads", &settings.threads.to_string()])
            .arg("--runs")
            .arg(runs)
            .env("OMP_NUM_THREADS", settings.threads.to_string())
            .env("GOMP_SPINCOUNT", spins())
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
                let _ = sender.send(Message::Line(trial, line));
            }
            let _ = sender.send(Message::Ended(trial));
        });
        listening.map_err(no_thread(Work::Training))?;
        Ok(Self { trial, failure: None, child, lifeline, complaints })
    }

    /// Asks it to stop at the end of its epoch.
    pub(super) fn stop(&mut self) {
        if let Some(lifeline) = &mut self.lifeline {
            // A worker that cannot hear has ended already.
            let _ = writeln!(lifeline, "stop").and_then(|()| lifeline.flush());
        }
    }

    /// Waits for its end and says what became of it.
    pub(super) fn outcome(mut self) -> Outcome {
        let status = self.child.wait();
        let complaints = self.complaints.join().unwrap_or_default();
        match status {
            Ok(it) if it.success() => Outcome::Finished,
            Ok(it) if was_stopped(it) => Outcome::Interrupted,
            Ok(it) => Outcome::Failed(self.failure.unwrap_or_else(|| died(it, &complaints))),
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

/// Why a worker that said nothing is gone.
fn died(status: ExitStatus, complaints: &str) -> Failure {
    if let Some(error) = exhausted(complaints, Work::Training) {
        return Failure::from(&error);
    }
    let last: Vec<&str> = complaints.lines().rev().take(3).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join(" ");
    let help = if status.signal().is_some() {
        "sweep again: it goes on from its last checkpoint. If it was killed for memory, lower \
         `--jobs` or `batch_size`"
    } else {
        "sweep again: it goes on from its last checkpoint"
    };
    Failure {
        message: format!("its process died ({status}) {last}").trim().to_owned(),
        help: help.into(),
        exit_code: 70,
    }
}
