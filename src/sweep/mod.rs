//! A sweep: the trials that are not finished, carried out by workers, a few at a time.
//!
//! [`schedule`] decides which trial is worked at next, and knows no process and no file; [`launch`] is what starts,
//! watches and stops workers. A crash or a kill of a worker costs one epoch of one trial.

pub mod launch;
pub mod schedule;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::read::last;
use ferrite_core::store::record::State;
use rayon::prelude::*;

use crate::sweep::launch::Launcher;
use crate::sweep::schedule::Schedule;

/// What is to be done about a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialState {
    /// Nothing: it is finished.
    Finished,
    /// Nothing unless asked: it failed earlier.
    Failed(Failure),
    /// Nothing: something that it needs cannot be had now.
    Lacking(Failure),
    /// To go on with it.
    Interrupted,
    /// To do it.
    New,
}

/// What is to be done about `trial`. A finished run of which a file is damaged is gone on with: what is whole of it
/// is taken, and the rest made again.
pub fn state_of(store: &Store, trial: &Trial) -> TrialState {
    let name = trial.name();
    let Some(last) = last(store, &name) else { return TrialState::New };
    match &last.state {
        State::Finished if last.key.as_ref() != Some(&trial.key) => TrialState::New,
        // What cannot be looked at is told by the worker.
        State::Finished => match last.damages(store, &name) {
            Ok(damages) if damages.is_empty() => TrialState::Finished,
            _ => TrialState::Interrupted,
        },
        State::Failed(failure) => TrialState::Failed(failure.clone()),
        State::Interrupted | State::Running => TrialState::Interrupted,
    }
}

/// The trials of a sweep, and what is to be done about them.
#[derive(Debug)]
pub struct Agenda<'a> {
    /// All of them, those that others start from first.
    pub trials: &'a [Trial],
    /// What is to be done about each, in their order.
    pub states: Vec<TrialState>,
}

impl<'a> Agenda<'a> {
    /// Looks at what is there of each of `trials`.
    pub fn of(store: &Store, trials: &'a [Trial]) -> Self {
        let states = trials.par_iter().map(|it| state_of(store, it)).collect();
        Self { trials, states }
    }

    /// The trials that a sweep carries out; those that failed earlier only if it is to `retry` them.
    pub fn unfinished(&self, retry: bool) -> Vec<&'a Trial> {
        let all = self.trials.iter().zip(&self.states);
        let unfinished = |it: &TrialState| match it {
            TrialState::Finished | TrialState::Lacking(_) => false,
            TrialState::Failed(_) => retry,
            TrialState::Interrupted | TrialState::New => true,
        };
        all.filter(|(_, state)| unfinished(state)).map(|(trial, _)| trial).collect()
    }
}

/// What a sweep says while it runs.
#[derive(Debug)]
pub enum SweepEvent<'a> {
    /// So many trials are to be carried out.
    Planned {
        /// How many.
        todo: usize,
        /// What their steps that are not there yet cost, in any unit, by the steps' keys.
        costs: BTreeMap<&'a str, f64>,
    },
    /// A worker began with this trial.
    Started(&'a Trial),
    /// Something happened in this trial.
    Happened(&'a Trial, &'a Kind),
    /// The worker of this trial was called back, since it only waited for somebody else's; the trial waits for another.
    Recalled(&'a Trial),
    /// The worker of this trial ended.
    Ended(&'a Trial, &'a Outcome),
    /// Every worker was asked to stop at the end of its epoch.
    Stopping,
}

/// How a trial's worker ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The trial is finished.
    Finished,
    /// It failed.
    Failed(Failure),
    /// Its worker died, or that of the trial that it starts from: the next sweep goes on with it.
    Died(Failure),
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
    /// Names of trials whose worker died, or that need one whose worker did.
    pub died: Vec<String>,
}

/// Carries out `schedule` with the workers of `launcher`. `interrupted` says whether the user wants to stop.
///
/// # Errors
/// [`Error::Interrupted`] if the user stopped it. Failed trials are no error here, nor are those whose worker
/// cannot be started: see [`Summary`].
pub fn sweep(
    schedule: Schedule<'_>,
    launcher: &mut dyn Launcher,
    interrupted: &dyn Fn() -> bool,
) -> Result<Summary> {
    let (summary, stopped) = schedule.run(launcher, interrupted);
    // A worker that was stopped by itself leaves trials undone, too. After a failure that stopped the
    // others, the failure is what there is to tell.
    let failed = !(summary.failed.is_empty() && summary.died.is_empty());
    let stopped = stopped && (interrupted() || !failed);
    if stopped { Err(Error::Interrupted) } else { Ok(summary) }
}
