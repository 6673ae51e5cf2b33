//! The rungs of searches: how far each trial of one may go, and who is promoted when another trial has ended.
//!
//! Whatever is decided follows from what the trials reached, as [`Results`] tell it, and from nothing that this sweep remembers:
//! two sweeps at once, and one that goes on for another, come to the same. **Invariant:** no clock, no process, no file.

use std::fmt::Debug;

use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::plan::search::Halved;
use ferrite_core::search::halving::Reached;
use ferrite_core::store::Store;
use ferrite_core::store::read::last;
use ferrite_core::store::record::State;

/// What is known of the trials of searches, wherever that stands.
pub trait Results: Debug {
    /// What `trial` reached in the stage called `stage`.
    fn seen(&self, trial: &Trial, stage: &str) -> Seen;
}

/// What is known of a trial.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// What it reached in the stage that is cut.
    pub reached: Reached,
    /// How its last process ended it.
    pub end: End,
}

/// How the last process of a trial of a search ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// Not at all, or otherwise: it was killed or asked to stop, or it failed.
    #[default]
    Open,
    /// At the end of a rung.
    Stopped,
    /// It came to its end.
    Finished,
}

impl Results for Store {
    fn seen(&self, trial: &Trial, stage: &str) -> Seen {
        let Some(last) = last(self, &trial.name()) else { return Seen::default() };
        let (epochs, is_over) = last.epochs(stage);
        let failed = matches!(last.state, State::Failed(_));
        let end = match &last.state {
            State::Finished if last.key.as_ref() == Some(&trial.key) => End::Finished,
            State::Stopped(_) => End::Stopped,
            _ => End::Open,
        };
        Seen { reached: Reached { epochs, is_over, failed }, end }
    }
}

/// How far a trial of a search may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// Where it stops; none if it may go to its end.
    pub until: Option<Until>,
    /// Whether it has come so far and says so itself. One that was killed between its last epoch and that word goes on once
    /// more, to say it: whoever looks at it would take it for interrupted.
    pub is_reached: bool,
    /// The rung, counted from 1, and how many there are.
    pub rung: [usize; 2],
}

/// The searches of a sweep.
#[derive(Debug)]
pub struct Rungs<'a> {
    trials: &'a [Trial],
    halved: Vec<Halved>,
    results: &'a dyn Results,
    /// What each trial reached; of trials of no search nothing is known.
    reached: Vec<Reached>,
    ends: Vec<End>,
    goals: Vec<Option<Goal>>,
}

impl<'a> Rungs<'a> {
    /// The searches of `trials` that stop those which are behind.
    pub fn new(trials: &'a [Trial], halved: Vec<Halved>, results: &'a dyn Results) -> Self {
        let count = trials.len();
        let (reached, ends) = (vec![Reached::default(); count], vec![End::Open; count]);
        let mut rungs = Self { trials, halved, results, reached, ends, goals: vec![None; count] };
        for search in 0..rungs.halved.len() {
            for trial in rungs.trials_of(search) {
                rungs.look(search, trial);
            }
            rungs.decide(search);
        }
        rungs
    }

    /// How far `trial` may go; none if it is of no search that stops anyone.
    pub fn goal(&self, trial: usize) -> Option<Goal> {
        self.goals.get(trial).copied().flatten()
    }

    /// Whether `trial` may go further than it came, as one that was promoted.
    pub fn goes_on(&self, trial: usize) -> bool {
        self.goal(trial).is_some_and(|it| !it.is_reached)
    }

    /// Looks at what `trial` reached, now that its worker ended, and decides anew. Returns all trials of its search, and whether
    /// it is finished; none if it is of no search that stops anyone.
    pub fn ended(&mut self, trial: usize) -> Option<(Vec<usize>, bool)> {
        let of_it = |it: &Halved| it.points.iter().any(|it| it.contains(&trial));
        let search = self.halved.iter().position(of_it)?;
        self.look(search, trial);
        self.decide(search);
        Some((self.trials_of(search), self.ends[trial] == End::Finished))
    }

    /// The searches.
    pub fn halved(&self) -> &[Halved] {
        &self.halved
    }

    fn trials_of(&self, search: usize) -> Vec<usize> {
        self.halved[search].points.concat()
    }

    fn look(&mut self, search: usize, trial: usize) {
        let of = &self.trials[trial];
        let stage = &of.settings.stages[self.halved[search].stage].name;
        let Seen { reached, end } = self.results.seen(of, stage);
        (self.reached[trial], self.ends[trial]) = (reached, end);
    }

    fn decide(&mut self, search: usize) {
        let halved = &self.halved[search];
        let standings = halved.standings(self.trials, &self.reached);
        for (point, standing) in halved.points.iter().zip(standings) {
            let until = halved.until(standing.rung);
            for trial in point {
                let Reached { epochs, is_over, .. } = &self.reached[*trial];
                let is_there = until.is_some_and(|it| epochs.len() >= it.epochs || *is_over);
                let is_reached = is_there && self.ends[*trial] != End::Open;
                let rung = [standing.rung + 1, halved.rungs.len()];
                self.goals[*trial] = Some(Goal { until, is_reached, rung });
            }
        }
    }
}

/// Of no trial anything is known, as in sweeps without a search.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Nothing;

#[cfg(test)]
impl Results for Nothing {
    fn seen(&self, _: &Trial, _: &str) -> Seen {
        Seen::default()
    }
}
