//! A sweep: the trials that are not finished, carried out by workers, a few at a time.
//!
//! [`schedule`] decides which trial is worked at next, and [`rungs`] which trials of a search are worth it; they know no process
//! and no file. [`launch`] is what starts, watches and stops workers. A crash or a kill of a worker costs one epoch of one trial.

mod alike;
pub mod cluster;
pub mod launch;
#[cfg(test)]
mod made_up;
pub mod pace;
mod queue;
pub mod rungs;
#[cfg(test)]
mod scale;
pub mod schedule;
#[cfg(test)]
mod simulated_search;
#[cfg(test)]
mod simulation;
mod standing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;
use ferrite_core::plan::search::Halved;
use ferrite_core::store::Store;
use ferrite_core::store::read::last;
use ferrite_core::store::record::State;
use rayon::prelude::*;

use crate::sweep::launch::Launcher;
use crate::sweep::pace::Settled;
use crate::sweep::rungs::Rungs;
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
    /// Nothing unless it is promoted: it is a trial of a search, and came to the end of its rung.
    Stopped,
    /// To go on with it.
    Interrupted,
    /// To do it.
    New,
}

impl TrialState {
    /// Whether a sweep carries the trial out; one that failed earlier only if it is to `retry` it.
    pub fn is_to_do(&self, retry: bool) -> bool {
        match self {
            Self::Finished | Self::Lacking(_) | Self::Stopped => false,
            Self::Failed(_) => retry,
            Self::Interrupted | Self::New => true,
        }
    }
}

/// The position of the trial that each of `trials` starts from, where that is one of them.
fn sources(trials: &[Trial]) -> Vec<Option<usize>> {
    let positions: HashMap<String, usize> =
        trials.iter().enumerate().map(|(at, it)| (it.name(), at)).collect();
    trials.iter().map(|it| positions.get(it.needs.as_ref()?).copied()).collect()
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
        // Where it is of no search any more that stops it, it goes on.
        State::Stopped(_) | State::Interrupted | State::Running => TrialState::Interrupted,
    }
}

/// The trials of a sweep, and what is to be done about them.
#[derive(Debug)]
pub struct Agenda<'a> {
    /// All of them, those that others start from first.
    pub trials: &'a [Trial],
    /// What is to be done about each, in their order.
    pub states: Vec<TrialState>,
    /// How far those of searches may go.
    pub rungs: Rungs<'a>,
}

impl<'a> Agenda<'a> {
    /// Looks at what is there of each of `trials`, of which those of `halved` stop where they are behind.
    pub fn of(store: &'a Store, trials: &'a [Trial], halved: Vec<Halved>) -> Self {
        let states = trials.par_iter().map(|it| state_of(store, it)).collect();
        Self::new(trials, states, Rungs::new(trials, halved, store))
    }

    /// Trials that stand so, but for those of searches that are where they are to stop.
    pub fn new(trials: &'a [Trial], mut states: Vec<TrialState>, rungs: Rungs<'a>) -> Self {
        for (at, state) in states.iter_mut().enumerate() {
            let is_reached = rungs.goal(at).is_some_and(|it| it.is_reached);
            if is_reached && matches!(state, TrialState::Interrupted | TrialState::New) {
                *state = TrialState::Stopped;
            }
        }
        Self { trials, states, rungs }
    }

    /// The trials that are to be tried again: those that failed, those that could not begin because they start from one of them,
    /// and whatever these start from that is not whole. In their order.
    pub fn to_retry(&self) -> Vec<Trial> {
        let sources = sources(self.trials);
        let is_failed = |it: &TrialState| matches!(it, TrialState::Failed(_));
        let mut chosen: Vec<bool> = self.states.iter().map(is_failed).collect();
        // Those that others start from stand before them.
        for at in 0..self.trials.len() {
            let behind = sources[at].is_some_and(|it| chosen[it]);
            chosen[at] |= behind && self.states[at] != TrialState::Finished;
        }
        // Points of a search are held against each other, so it is taken whole.
        let of_searches =
            self.trials.iter().zip(&chosen).filter(|it| it.0.point.is_some() && *it.1);
        let searches: HashSet<&str> = of_searches.map(|it| it.0.experiment.as_str()).collect();
        for (trial, chosen) in self.trials.iter().zip(&mut chosen) {
            *chosen |= trial.point.is_some() && searches.contains(trial.experiment.as_str());
        }
        for at in (0..self.trials.len()).rev() {
            let Some(source) = sources[at].filter(|_| chosen[at]) else { continue };
            chosen[source] |= self.states[source] != TrialState::Finished;
        }
        self.trials.iter().zip(chosen).filter(|it| it.1).map(|it| it.0.clone()).collect()
    }

    /// The trials that a sweep carries out; those that failed earlier only if it is to `retry` them.
    pub fn unfinished(&self, retry: bool) -> Vec<&'a Trial> {
        let all = self.trials.iter().zip(&self.states);
        all.filter(|(_, state)| state.is_to_do(retry)).map(|(trial, _)| trial).collect()
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
    /// The worker of this trial has given no sign of life for so long.
    Silent(&'a Trial, Duration),
    /// This trial of a search goes on with the rung of this number, of so many.
    Promoted(&'a Trial, [usize; 2]),
    /// The worker of this trial ended.
    Ended(&'a Trial, &'a Outcome),
    /// The worker of this trial ended so, which may be the fault of the server of the GPU that it shares with others: it is
    /// tried once more.
    Again(&'a Trial, &'a Failure),
    /// It was found how many workers at once train the most.
    Settled(Settled),
    /// So many trials in a row failed with the same words that the sweep stops.
    NoUse {
        /// How many.
        failures: usize,
    },
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
    /// It came to the end of a rung of its search, and goes on if it is promoted. No launcher tells it: the worker ended as it
    /// was told to.
    Stopped,
}

/// What became of the trials of a sweep.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Names of trials that were finished before.
    pub found: Vec<String>,
    /// Names of trials that were carried out.
    pub done: Vec<String>,
    /// Names of trials that stopped at a rung of their search, now or earlier, and are not promoted.
    pub stopped: Vec<String>,
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
