//! The schedule: which trial is worked at next, so that every step is made once.
//!
//! Trials are chains of the nodes of one graph. A worker carries a trial through, since handing a network from process to
//! process costs more than its small steps; but what it makes on the way belongs to all trials that need it, and a trial
//! waits, without a worker, for a node that another one is making. **Invariant:** at no time two workers make one node.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;
use ferrite_core::plan::graph::Graph;

use crate::sweep::launch::{Launcher, Message, Node};
use crate::sweep::{Agenda, Outcome, Summary, SweepEvent, TrialState};

/// How long the schedule waits for news before it looks around by itself.
const TICK: Duration = Duration::from_millis(100);

/// What bounds a sweep.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Workers at once.
    pub jobs: usize,
    /// Whether trials that failed earlier are tried again.
    pub retry: bool,
    /// Whether the first failure stops the sweep.
    pub fail_fast: bool,
}

/// What a schedule asks before it begins.
pub struct Known<'a> {
    /// Whether the result of a step is there; it is asked of those that several trials need.
    pub is_made: &'a dyn Fn(Node<'_>) -> bool,
    /// What each step of a trial costs, in any unit.
    pub costs: &'a mut dyn FnMut(&Trial) -> Vec<f64>,
}

/// Where a trial stands in this sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is finished.
    Finished,
    /// It failed or its worker died, or so did what it starts from.
    Failed,
    /// It waits for a worker.
    Waiting,
    /// It has a worker.
    Running,
    /// It has a worker that was asked to stop, because it only waited for somebody else's.
    Recalled,
}

/// The state of a sweep. It knows no process and no file.
pub struct Schedule<'a> {
    trials: &'a [Trial],
    limits: Limits,
    graph: Graph,
    /// What each node costs.
    costs: Vec<f64>,
    /// Whether the result of a node lies under its key.
    made: Vec<bool>,
    /// The trial whose worker makes a node.
    makers: Vec<Option<usize>>,
    /// The trial that a trial starts from, where it is one of this sweep.
    needs: Vec<Option<usize>>,
    /// What the trials that start from a trial cost, along the dearest way.
    behind: Vec<f64>,
    places: Vec<Place>,
    summary: Summary,
    stopping: bool,
    say: &'a mut dyn FnMut(SweepEvent<'_>),
}

impl<'a> Schedule<'a> {
    /// The schedule of what is to be done.
    pub fn new(
        agenda: &Agenda<'a>,
        limits: Limits,
        known: Known<'_>,
        say: &'a mut dyn FnMut(SweepEvent<'_>),
    ) -> Self {
        let trials = agenda.trials;
        let place = |it: &TrialState| match it {
            TrialState::Finished => Place::Finished,
            TrialState::Failed(_) if !limits.retry => Place::Failed,
            TrialState::Lacking(_) => Place::Failed,
            TrialState::Failed(_) | TrialState::Interrupted | TrialState::New => Place::Waiting,
        };
        let places: Vec<Place> = agenda.states.iter().map(place).collect();
        let positions: HashMap<String, usize> =
            trials.iter().enumerate().map(|(at, it)| (it.name(), at)).collect();
        let needs = |it: &Trial| positions.get(it.needs.as_ref()?).copied();
        let todo = |(trial, place): (&'a Trial, &Place)| match place {
            Place::Waiting => trial.steps.as_slice(),
            _ => &[],
        };
        let graph = Graph::new(trials.iter().zip(&places).map(todo));
        let mut schedule = Self {
            trials,
            limits,
            costs: vec![0.0; graph.nodes.len()],
            made: vec![false; graph.nodes.len()],
            makers: vec![None; graph.nodes.len()],
            graph,
            needs: trials.iter().map(needs).collect(),
            behind: vec![0.0; trials.len()],
            places,
            summary: Summary::default(),
            stopping: false,
            say,
        };
        schedule.count_costs(known);
        schedule.begin();
        schedule
    }

    /// Counts what is to be computed, so that the longest trial is started first and no core waits at the end for
    /// one that began late (Graham 1969, <https://doi.org/10.1137/0117039>).
    fn count_costs(&mut self, known: Known<'_>) {
        for (at, trial) in self.trials.iter().enumerate() {
            if self.places[at] != Place::Waiting {
                continue;
            }
            for (node, cost) in self.graph.chains[at].iter().zip((known.costs)(trial)) {
                self.costs[*node] = cost;
            }
        }
        for (node, made) in self.graph.nodes.iter().zip(&mut self.made) {
            *made = node.trials.len() > 1 && (known.is_made)(Node::of(node));
        }
        // Those that others start from stand before them.
        for at in (0..self.trials.len()).rev() {
            if let Some(source) = self.needs[at] {
                let way = self.left(at) + self.behind[at];
                self.behind[source] = self.behind[source].max(way);
            }
        }
    }

    /// What is left to compute, by the keys of the steps.
    fn costs_left(&self) -> BTreeMap<&'a str, f64> {
        let trials = self.trials.iter().zip(&self.graph.chains);
        let steps = trials.flat_map(|(trial, chain)| trial.steps.iter().zip(chain));
        let left = steps.filter(|(_, node)| !self.made[**node]);
        left.map(|(step, node)| (step.key.as_str(), self.costs[*node])).collect()
    }

    fn begin(&mut self) {
        for (trial, place) in self.trials.iter().zip(&self.places) {
            match place {
                Place::Finished => self.summary.found.push(trial.name()),
                Place::Failed => self.summary.failed.push(trial.name()),
                Place::Waiting | Place::Running | Place::Recalled => {}
            }
        }
        let todo = self.count(Place::Waiting);
        let costs = self.costs_left();
        (self.say)(SweepEvent::Planned { todo, costs });
        for at in 0..self.trials.len() {
            if self.places[at] == Place::Failed {
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
            if self.workers() == 0 {
                return (self.summary, self.stopping);
            }
            match launcher.hear(TICK) {
                Some(Message::Happened(trial, kind)) => self.hear(trial, &kind, launcher),
                Some(Message::Ended(trial, outcome)) => self.end(trial, &outcome, launcher),
                None => {}
            }
        }
    }

    /// Asks every worker to stop at the end of its epoch.
    fn stop(&mut self, launcher: &mut dyn Launcher) {
        self.stopping = true;
        let running = |place: &Place| matches!(place, Place::Running | Place::Recalled);
        for (trial, _) in self.places.iter().enumerate().filter(|it| running(it.1)) {
            launcher.stop(trial);
        }
        (self.say)(SweepEvent::Stopping);
    }

    /// Starts as many as may run at once. One that cannot be started fails, and the others go on.
    fn start_some(&mut self, launcher: &mut dyn Launcher) {
        while !self.stopping && self.workers() < self.limits.jobs {
            let Some(trial) = self.next(launcher) else { return };
            self.places[trial] = Place::Running;
            for node in self.graph.chains[trial].iter().filter(|it| !self.made[**it]) {
                self.makers[*node] = Some(trial);
            }
            match launcher.start(trial) {
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
        let mut ready: Vec<usize> =
            (0..self.trials.len()).filter(|it| self.is_ready(*it)).collect();
        let way = |it: usize| self.left(it) + self.behind[it];
        ready.sort_by(|a, b| way(*b).total_cmp(&way(*a)));
        let free = ready.iter().copied().find(|it| !self.is_busy(*it, launcher));
        free.or_else(|| ready.first().copied().filter(|_| self.workers() == 0))
    }

    /// Whether a trial waits, the run that it starts from is there, and none of its nodes is being made.
    fn is_ready(&self, trial: usize) -> bool {
        let source = self.needs[trial].map(|it| self.places[it]);
        let nobody_at = || self.graph.chains[trial].iter().all(|it| self.makers[*it].is_none());
        self.places[trial] == Place::Waiting
            && source.is_none_or(|it| it == Place::Finished)
            && nobody_at()
    }

    fn is_busy(&self, trial: usize, launcher: &dyn Launcher) -> bool {
        let next = self.graph.chains[trial].iter().find(|it| !self.made[**it]);
        launcher.is_busy(trial, next.map(|it| Node::of(&self.graph.nodes[*it])))
    }

    /// What a trial has left to compute.
    fn left(&self, trial: usize) -> f64 {
        let left = self.graph.chains[trial].iter().filter(|it| !self.made[**it]);
        left.map(|it| self.costs[*it]).sum()
    }

    fn hear(&mut self, trial: usize, kind: &Kind, launcher: &mut dyn Launcher) {
        (self.say)(SweepEvent::Happened(&self.trials[trial], kind));
        match kind {
            Kind::StepReady(it) => {
                let mut chain = self.graph.chains[trial].iter();
                if let Some(node) = chain.find(|node| self.graph.nodes[**node].key == it.key) {
                    self.made[*node] = true;
                    self.makers[*node] = None;
                }
            }
            // A place is worth more to a trial that can go on.
            Kind::Waiting(_) if self.places[trial] == Place::Running && !self.stopping => {
                let free = |it: usize| self.is_ready(it) && !self.is_busy(it, launcher);
                if (0..self.trials.len()).any(free) {
                    self.places[trial] = Place::Recalled;
                    launcher.stop(trial);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, at: usize, outcome: &Outcome, launcher: &mut dyn Launcher) {
        let (trial, place) = (&self.trials[at], self.places[at]);
        self.makers.iter_mut().filter(|it| **it == Some(at)).for_each(|it| *it = None);
        self.places[at] = match outcome {
            Outcome::Finished => Place::Finished,
            Outcome::Failed(_) | Outcome::Died(_) => Place::Failed,
            Outcome::Interrupted => Place::Waiting,
        };
        match outcome {
            Outcome::Finished => self.summary.done.push(trial.name()),
            Outcome::Interrupted if place == Place::Recalled && !self.stopping => {
                (self.say)(SweepEvent::Recalled(trial));
                return;
            }
            // Somebody else stopped it, and means the sweep.
            Outcome::Interrupted => self.stopping = true,
            Outcome::Failed(_) => self.summary.failed.push(trial.name()),
            Outcome::Died(_) => self.summary.died.push(trial.name()),
        }
        (self.say)(SweepEvent::Ended(trial, outcome));
        if matches!(outcome, Outcome::Failed(_) | Outcome::Died(_)) {
            if self.limits.fail_fast && !self.stopping {
                self.stop(launcher);
            }
            self.give_up_those_behind(at);
        }
    }

    /// Trials cannot run that start from the one at `failed`, nor those that start from them.
    fn give_up_those_behind(&mut self, failed: usize) {
        let waits = |it: &usize| self.places[*it] == Place::Waiting;
        let orphans: Vec<usize> = (0..self.trials.len())
            .filter(|it| waits(it) && self.needs[*it] == Some(failed))
            .collect();
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
            self.places[orphan] = Place::Failed;
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

    fn workers(&self) -> usize {
        self.count(Place::Running) + self.count(Place::Recalled)
    }

    fn count(&self, place: Place) -> usize {
        self.places.iter().filter(|it| **it == place).count()
    }
}

impl<'a> Node<'a> {
    fn of(node: &'a ferrite_core::plan::graph::Node) -> Self {
        Self { kind: node.kind.name(), key: &node.key }
    }
}
