//! The schedule: which trial is worked at next, so that every step is made once.
//!
//! A worker carries a trial through, since handing a network from process to process costs more than its small steps; but
//! what it makes on the way belongs to all trials that need it, and a trial waits, without a worker, for a node that another
//! one is making. Where trials stand, and which of them can begin, is in [`standing`](super::standing).

use std::collections::BTreeSet;
use std::time::Duration;

use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;

use crate::sweep::alike::Alike;
use crate::sweep::launch::{Launcher, Message, Node};
use crate::sweep::pace::Pace;
use crate::sweep::rungs::Rungs;
use crate::sweep::standing::{Place, Standing};
use crate::sweep::{Agenda, Outcome, Summary, SweepEvent, TrialState};

/// How long the schedule waits for news before it looks around by itself.
const TICK: Duration = Duration::from_millis(100);

/// What bounds a sweep.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Workers at once.
    pub pace: Pace,
    /// Whether all workers use one server of a GPU, so that what one of them does to it ends others. Who dies or fails by the
    /// GPU is then tried once more.
    pub shares_server: bool,
    /// Whether trials that failed earlier are tried again.
    pub retry: bool,
    /// Whether the first failure stops the sweep.
    pub fail_fast: bool,
    /// After so many failures in a row with the same words, and no success between, the sweep stops: then it is not the
    /// trials that are at fault.
    pub most_alike: Option<usize>,
}

/// What a schedule asks before it begins.
pub struct Known<'a> {
    /// Whether the result of a step is there; it is asked of those that several trials need.
    pub is_made: &'a dyn Fn(Node<'_>) -> bool,
    /// What each step of a trial costs, in any unit.
    pub costs: &'a mut dyn FnMut(&Trial) -> Vec<f64>,
}

/// The state of a sweep. It knows no process and no file.
pub struct Schedule<'a> {
    trials: &'a [Trial],
    limits: Limits,
    standing: Standing,
    rungs: Rungs<'a>,
    summary: Summary,
    alike: Alike,
    /// The trials that have a worker.
    running: BTreeSet<usize>,
    /// Those that are tried again because the server that they share may have been at fault.
    again: BTreeSet<usize>,
    stopping: bool,
    say: &'a mut dyn FnMut(SweepEvent<'_>),
}

impl<'a> Schedule<'a> {
    /// The schedule of what is to be done.
    pub fn new(
        agenda: Agenda<'a>,
        limits: Limits,
        known: Known<'_>,
        say: &'a mut dyn FnMut(SweepEvent<'_>),
    ) -> Self {
        let trials = agenda.trials;
        let place = |it: &TrialState| match it {
            TrialState::Finished => Place::Finished,
            TrialState::Failed(_) if !limits.retry => Place::Failed,
            TrialState::Lacking(_) => Place::Failed,
            TrialState::Stopped => Place::Stopped,
            TrialState::Failed(_) | TrialState::Interrupted | TrialState::New => Place::Waiting,
        };
        let places: Vec<Place> = agenda.states.iter().map(place).collect();
        let standing = Standing::new(trials, places, known);
        let mut schedule = Self {
            trials,
            limits,
            standing,
            rungs: agenda.rungs,
            summary: Summary::default(),
            alike: Alike::default(),
            running: BTreeSet::new(),
            again: BTreeSet::new(),
            stopping: false,
            say,
        };
        schedule.begin();
        schedule
    }

    fn begin(&mut self) {
        for (trial, place) in self.trials.iter().zip(self.standing.places()) {
            match place {
                Place::Finished => self.summary.found.push(trial.name()),
                Place::Failed => self.summary.failed.push(trial.name()),
                Place::Waiting | Place::Running | Place::Recalled | Place::Stopped => {}
            }
        }
        let todo = self.standing.places().iter().filter(|it| **it == Place::Waiting).count();
        let costs = self.standing.costs_left(self.trials);
        (self.say)(SweepEvent::Planned { todo, costs });
        for at in 0..self.trials.len() {
            if self.standing.place(at) == Place::Failed {
                self.give_up_those_behind(at);
            }
        }
    }

    /// Carries it out. Returns what became of the trials, and whether the sweep was stopped.
    pub(super) fn run(
        mut self,
        launcher: &mut dyn Launcher,
        interrupted: &dyn Fn() -> bool,
    ) -> (Summary, bool) {
        loop {
            if interrupted() && !self.stopping {
                self.stop(launcher);
            }
            if !self.stopping {
                self.start_some(launcher);
            }
            if self.standing.workers() == 0 {
                let places = self.trials.iter().zip(self.standing.places());
                let stopped = places.filter(|it| *it.1 == Place::Stopped);
                self.summary.stopped = stopped.map(|it| it.0.name()).collect();
                return (self.summary, self.stopping);
            }
            match launcher.hear(TICK) {
                Some(Message::Happened(trial, kind)) => self.hear(trial, &kind, launcher),
                Some(Message::Silent(trial, time)) => {
                    (self.say)(SweepEvent::Silent(&self.trials[trial], time));
                }
                Some(Message::Ended(trial, outcome)) => self.end(trial, &outcome, launcher),
                None => {}
            }
        }
    }

    /// Asks every worker to stop at the end of its epoch.
    fn stop(&mut self, launcher: &mut dyn Launcher) {
        self.stopping = true;
        let running = |place: &Place| matches!(place, Place::Running | Place::Recalled);
        for (trial, _) in self.standing.places().iter().enumerate().filter(|it| running(it.1)) {
            launcher.stop(trial);
        }
        (self.say)(SweepEvent::Stopping);
    }

    /// Starts as many as may run at once. One that cannot be started fails, and the others go on.
    fn start_some(&mut self, launcher: &mut dyn Launcher) {
        while !self.stopping && self.standing.workers() < self.limits.pace.workers() {
            let Some(trial) = self.next(launcher) else { return };
            self.standing.start(trial);
            self.running.insert(trial);
            self.limits.pace.changed();
            let until = self.rungs.goal(trial).and_then(|it| it.until);
            match launcher.start(trial, until) {
                Ok(()) => (self.say)(SweepEvent::Started(&self.trials[trial])),
                Err(error) => {
                    let failure = Failure::from(&error);
                    self.end(trial, &Outcome::Failed(failure), launcher);
                }
            }
        }
    }

    /// The trial to start next: of those that can begin, the one that has the most left to do. One that somebody else is
    /// at is left to them, unless nothing else is to be done.
    fn next(&self, launcher: &dyn Launcher) -> Option<usize> {
        let free = self.standing.ready().find(|it| !self.is_busy(*it, launcher));
        free.or_else(|| self.standing.ready().next().filter(|_| self.standing.workers() == 0))
    }

    fn is_busy(&self, trial: usize, launcher: &dyn Launcher) -> bool {
        launcher.is_busy(trial, self.standing.next_step(trial))
    }

    fn hear(&mut self, trial: usize, kind: &Kind, launcher: &mut dyn Launcher) {
        (self.say)(SweepEvent::Happened(&self.trials[trial], kind));
        match kind {
            Kind::StepReady(it) => self.standing.made(trial, &it.key),
            Kind::EpochEnded(epoch) if !self.limits.pace.is_settled() => {
                let kind = kind_of(&self.trials[trial], &epoch.stage);
                let speed = epoch.images_per_second;
                if let Some(it) = self.limits.pace.hear((trial, &kind), speed, &self.running) {
                    (self.say)(SweepEvent::Settled(it));
                }
            }
            // A place is worth more to a trial that can go on.
            Kind::Waiting(_)
                if self.standing.place(trial) == Place::Running
                    && !self.stopping
                    && self.standing.ready().any(|it| !self.is_busy(it, launcher)) =>
            {
                self.standing.put(trial, Place::Recalled);
                launcher.stop(trial);
            }
            _ => {}
        }
    }

    fn end(&mut self, at: usize, outcome: &Outcome, launcher: &mut dyn Launcher) {
        self.running.remove(&at);
        self.limits.pace.changed();
        if let Some(failure) = self.is_of_server(outcome)
            && !self.stopping
            && self.again.insert(at)
        {
            self.standing.end(at, Place::Waiting);
            (self.say)(SweepEvent::Again(&self.trials[at], failure));
            return;
        }
        let of_search = self.rungs.ended(at);
        let stopped = of_search.as_ref().is_some_and(|it| !it.1);
        let outcome =
            if stopped && *outcome == Outcome::Finished { &Outcome::Stopped } else { outcome };
        let (trial, place) = (&self.trials[at], self.standing.place(at));
        let now = match outcome {
            Outcome::Finished => Place::Finished,
            Outcome::Failed(_) | Outcome::Died(_) => Place::Failed,
            Outcome::Interrupted => Place::Waiting,
            Outcome::Stopped => Place::Stopped,
        };
        self.standing.end(at, now);
        match outcome {
            Outcome::Finished => self.summary.done.push(trial.name()),
            Outcome::Interrupted if place == Place::Recalled && !self.stopping => {
                (self.say)(SweepEvent::Recalled(trial));
                return;
            }
            // Somebody else stopped it, and means the sweep.
            Outcome::Interrupted => self.stopping = true,
            Outcome::Stopped => {}
            Outcome::Failed(_) => self.summary.failed.push(trial.name()),
            Outcome::Died(_) => self.summary.died.push(trial.name()),
        }
        (self.say)(SweepEvent::Ended(trial, outcome));
        self.alike.see(&trial.name(), outcome);
        if matches!(outcome, Outcome::Failed(_) | Outcome::Died(_)) {
            if (self.limits.fail_fast || self.is_no_use()) && !self.stopping {
                self.stop(launcher);
            }
            self.give_up_those_behind(at);
        }
        self.promote(of_search.map(|it| it.0).unwrap_or_default());
    }

    /// Why a worker ended, if that may be the fault of the server that it shares with others.
    fn is_of_server<'o>(&self, outcome: &'o Outcome) -> Option<&'o Failure> {
        let failure = match outcome {
            Outcome::Died(it) => Some(it),
            // LibTorch's word for whatever the GPU or its driver does wrong.
            Outcome::Failed(it) => Some(it).filter(|it| it.message.contains("CUDA")),
            _ => None,
        };
        failure.filter(|_| self.limits.shares_server)
    }

    /// Those of `trials`, which are of one search, go on that stopped at a rung and may go further.
    fn promote(&mut self, trials: Vec<usize>) {
        for at in trials {
            let goes_on = self.rungs.goes_on(at) && self.standing.place(at) == Place::Stopped;
            if let Some(goal) = self.rungs.goal(at).filter(|_| goes_on) {
                self.standing.put(at, Place::Waiting);
                (self.say)(SweepEvent::Promoted(&self.trials[at], goal.rung));
            }
        }
    }

    /// Whether so many failed alike that the others would, too; then it is said.
    fn is_no_use(&mut self) -> bool {
        let failures = self.alike.count();
        let enough = self.limits.most_alike.is_some_and(|it| failures >= it);
        if enough && !self.stopping {
            (self.say)(SweepEvent::NoUse { failures });
        }
        enough
    }

    /// Trials cannot run that start from the one at `failed`, nor those that start from them.
    fn give_up_those_behind(&mut self, failed: usize) {
        let waits = |it: &usize| self.standing.place(*it) == Place::Waiting;
        let behind = self.standing.starting_from(failed).iter().copied();
        let orphans: Vec<usize> = behind.filter(waits).collect();
        for orphan in orphans {
            let source = self.trials[failed].name();
            let died = self.summary.died.contains(&source);
            let (what, help) = if died {
                ("was interrupted", "the next sweep goes on with both")
            } else {
                ("failed", "mend that run first, then sweep again")
            };
            let failure = Failure {
                message: format!("`{source}`, which it starts from, {what}"),
                help: help.into(),
                exit_code: 1,
            };
            self.standing.put(orphan, Place::Failed);
            let (names, outcome) = if died {
                (&mut self.summary.died, Outcome::Died(failure))
            } else {
                (&mut self.summary.failed, Outcome::Failed(failure))
            };
            names.push(self.trials[orphan].name());
            (self.say)(SweepEvent::Ended(&self.trials[orphan], &outcome));
            self.give_up_those_behind(orphan);
        }
    }
}

/// What decides how fast a stage of `trial` trains: trainings for which it is the same are equally fast.
fn kind_of(trial: &Trial, stage: &str) -> String {
    let settings = &trial.settings;
    let (model, size) = (&settings.model, settings.data.image_size);
    let stage = settings.stages.iter().find(|it| it.name == stage);
    let stage = stage.map(|it| (&it.trainable, it.batch_size));
    format!("{:?} {:?} {size} {stage:?}", model.backbone, model.precision)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::slice;

    use ferrite_core::error::Result;
    use ferrite_core::plan::job::Until;
    use ferrite_core::plan::steps::Kind as StepKind;

    use super::*;
    use crate::sweep::made_up::{limits, step, trial};
    use crate::sweep::rungs::Nothing;

    /// Ends each worker at once as the trial's own list says, and well when that is empty.
    struct Scripted {
        ends: Vec<VecDeque<Outcome>>,
        heard: VecDeque<Message>,
    }

    impl Launcher for Scripted {
        fn start(&mut self, trial: usize, _: Option<Until>) -> Result<()> {
            let outcome = self.ends[trial].pop_front().unwrap_or(Outcome::Finished);
            self.heard.push_back(Message::Ended(trial, outcome));
            Ok(())
        }

        fn stop(&mut self, _: usize) {}

        fn hear(&mut self, _: Duration) -> Option<Message> {
            self.heard.pop_front()
        }

        fn is_busy(&self, _: usize, _: Option<Node<'_>>) -> bool {
            false
        }
    }

    fn failure(message: &str) -> Failure {
        Failure { message: message.into(), help: String::new(), exit_code: 70 }
    }

    /// Trials that end so, with or without a server that they share. Returns what became of them, and how many were tried again.
    fn swept(ends: &[&[Outcome]], shares_server: bool) -> (Summary, usize) {
        let of = |at: usize| trial(at, vec![step(StepKind::Stage, at.to_string())]);
        let trials: Vec<Trial> = (0..ends.len()).map(of).collect();
        let states = vec![TrialState::New; trials.len()];
        let agenda = Agenda::new(&trials, states, Rungs::new(&trials, Vec::new(), &Nothing));
        let limits = Limits { shares_server, ..limits(2) };
        let mut again = 0;
        let say =
            &mut |it: SweepEvent<'_>| again += usize::from(matches!(it, SweepEvent::Again(..)));
        let costs = &mut |it: &Trial| vec![1.0; it.steps.len()];
        let known = Known { is_made: &|_| false, costs };
        let ends = ends.iter().map(|it| it.iter().cloned().collect()).collect();
        let mut launcher = Scripted { ends, heard: VecDeque::new() };
        let (summary, _) = Schedule::new(agenda, limits, known, say).run(&mut launcher, &|| false);
        (summary, again)
    }

    #[test]
    fn who_fails_by_a_server_that_all_share_is_tried_once_more() {
        let gone = Outcome::Died(failure("its process died"));
        let cuda = Outcome::Failed(failure("CUDA error: an illegal memory access was encountered"));
        let own = Outcome::Failed(failure("the loss is not a number"));
        let once = [gone.clone()];
        let ends: [&[Outcome]; 4] =
            [&once, slice::from_ref(&cuda), slice::from_ref(&own), &[gone.clone(), gone]];
        let (summary, again) = swept(&ends, true);
        assert_eq!((summary.done.len(), summary.failed.len(), summary.died.len()), (2, 1, 1));
        assert_eq!(again, 3, "each of those at most once");
        let (summary, again) = swept(&ends, false);
        assert_eq!((summary.done.len(), summary.failed.len(), summary.died.len()), (0, 2, 2));
        assert_eq!(again, 0);
    }
}
