//! The schedule, driven by workers that are scripted and a clock that is not real: thousands of sweeps a second, each
//! from a seed, with workers that do not start, fail, die, say nothing for a long time or for ever, or talk nonsense, beside
//! another sweep that holds steps of its own.
//!
//! Safety: no step is made by two workers at once or made twice, nothing finished is lost, a failed trial blocks nobody
//! but those behind it. Liveness: when faults stop, the sweep ends, with everything done.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::disk::{StepReady, Waiting};
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::plan::steps::Kind as StepKind;
use ferrite_random::{Random, Use};

use crate::sweep::launch::patience::{Patience, Silence, Verdict};
use crate::sweep::launch::{Launcher, Message, Node};
use crate::sweep::made_up::{limits, step, trial};
use crate::sweep::rungs::{Nothing, Rungs};
use crate::sweep::schedule::{Known, Schedule};
use crate::sweep::{Agenda, Outcome, SweepEvent, TrialState};

/// A sweep that has not ended by then, in milliseconds of its own clock, never will.
const FOREVER: u64 = 100 * LONG;
const LONG: u64 = 60_000;

/// A worker that will go on is silent for less long than that.
const PATIENCE: Patience = Patience(Some(Duration::from_millis(LONG)));

/// What a worker is to suffer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Nothing.
    None,
    /// It cannot be started.
    NotStarted,
    /// It fails before the step at this position.
    Fails(usize),
    /// Its process dies before the step at this position.
    Dies(usize),
    /// It says nothing for a long time, there, and then goes on.
    Silence(usize),
    /// It says nothing any more from there on, and never ends.
    Hangs(usize),
    /// It tells what makes no sense, there.
    Nonsense(usize),
}

struct Worker {
    /// When its silence was counted last.
    counted: u64,
    silence: Silence,
    position: usize,
    /// When it does something next.
    wakes: u64,
    fate: Fate,
    is_making: bool,
    has_said_waiting: bool,
    is_asked_to_stop: bool,
}

/// The machine, the disk and the other sweep.
struct World<'a> {
    trials: &'a [Trial],
    draws: u64,
    count: u64,
    clock: u64,
    workers: BTreeMap<usize, Worker>,
    most_workers: usize,
    faults_left: usize,
    /// Trials whose worker's silence was told.
    told: BTreeSet<usize>,
    made: BTreeSet<String>,
    /// Steps that the other sweep makes, and until when.
    others: HashMap<String, u64>,
    finished: BTreeSet<usize>,
}

impl World<'_> {
    fn draw(&mut self, below: u64) -> u64 {
        self.count += 1;
        Random::at(self.draws, Use::Stage, self.count, 0).bits() % below
    }

    fn fate(&mut self, trial: usize) -> Fate {
        if self.faults_left == 0 || self.draw(3) > 0 {
            return Fate::None;
        }
        self.faults_left -= 1;
        let at = self.draw(self.trials[trial].steps.len() as u64) as usize;
        let fates = [
            Fate::NotStarted,
            Fate::Fails(at),
            Fate::Dies(at),
            Fate::Silence(at),
            Fate::Nonsense(at),
            Fate::Hangs(at),
        ];
        fates[self.draw(6) as usize]
    }

    /// What comes of the silence of workers until now: the same as on a real machine, with another clock.
    fn count_silence(&mut self) -> Option<Message> {
        let clock = self.clock;
        let mut end = None;
        for (trial, worker) in &mut self.workers {
            let time = Duration::from_millis(clock - worker.counted);
            worker.counted = clock;
            match worker.silence.goes_on(time, PATIENCE) {
                Verdict::Wait => {}
                Verdict::Tell => {
                    self.told.insert(*trial);
                }
                Verdict::End => end = Some(*trial),
            }
        }
        let trial = end?;
        assert!(self.told.remove(&trial), "{trial} was ended before that was threatened");
        let worker = self.workers.remove(&trial);
        assert!(
            matches!(worker, Some(Worker { fate: Fate::Hangs(_), .. })),
            "{trial} was not hung"
        );
        let failure = Failure { message: "it hung".into(), help: String::new(), exit_code: 70 };
        Some(Message::Ended(trial, Outcome::Died(failure)))
    }

    /// The other sweep's steps that are over by now are made.
    fn others_go_on(&mut self) {
        let over = self.others.iter().filter(|it| *it.1 <= self.clock);
        let over: Vec<String> = over.map(|it| it.0.clone()).collect();
        for key in over {
            self.others.remove(&key);
            self.made.insert(key);
        }
    }

    /// What the worker of `trial` does now.
    fn act(&mut self, trial: usize) -> Option<Message> {
        let steps = &self.trials[trial].steps;
        let mut worker = self.workers.remove(&trial).unwrap();
        if worker.is_making {
            worker.is_making = false;
            let key = steps[worker.position].key.clone();
            assert!(self.made.insert(key.clone()), "{key} was made twice");
            worker.position += 1;
            self.workers.insert(trial, worker);
            return Some(Message::Happened(trial, ready(key, false)));
        }
        if worker.is_asked_to_stop {
            return Some(Message::Ended(trial, Outcome::Interrupted));
        }
        match worker.fate {
            Fate::Fails(at) | Fate::Dies(at) if at == worker.position => {
                let failure =
                    Failure { message: "it fails".into(), help: String::new(), exit_code: 70 };
                let outcome = match worker.fate {
                    Fate::Dies(_) => Outcome::Died(failure),
                    _ => Outcome::Failed(failure),
                };
                return Some(Message::Ended(trial, outcome));
            }
            Fate::Hangs(at) if at == worker.position => {
                worker.wakes = FOREVER;
                self.workers.insert(trial, worker);
                return None;
            }
            Fate::Silence(at) if at == worker.position => {
                worker.fate = Fate::None;
                worker.wakes = self.clock + LONG;
                self.workers.insert(trial, worker);
                return None;
            }
            Fate::Nonsense(at) if at == worker.position => {
                worker.fate = Fate::None;
                self.workers.insert(trial, worker);
                let foreign = ready("of nobody".into(), true);
                return Some(Message::Happened(trial, foreign));
            }
            _ => {}
        }
        let Some(step) = steps.get(worker.position) else {
            assert!(self.finished.insert(trial), "trial {trial} was finished twice");
            return Some(Message::Ended(trial, Outcome::Finished));
        };
        let key = step.key.clone();
        if self.made.contains(&key) {
            worker.position += 1;
            worker.wakes = self.clock + 1;
            self.workers.insert(trial, worker);
            return Some(Message::Happened(trial, ready(key, true)));
        }
        if self.others.contains_key(&key) {
            worker.wakes = self.clock + 50;
            let said = std::mem::replace(&mut worker.has_said_waiting, true);
            self.workers.insert(trial, worker);
            let waiting = Kind::Waiting(Waiting { path: key, process: None });
            return (!said).then_some(Message::Happened(trial, waiting));
        }
        let makes_it = |it: (&usize, &Worker)| {
            it.1.is_making && self.trials[*it.0].steps[it.1.position].key == key
        };
        assert!(!self.workers.iter().any(makes_it), "{key} is being made by two");
        worker.is_making = true;
        worker.wakes = self.clock + 10 + self.draw(500);
        self.workers.insert(trial, worker);
        None
    }
}

impl Launcher for World<'_> {
    fn start(&mut self, trial: usize, until: Option<Until>) -> Result<()> {
        assert_eq!(until, None, "no search stops anyone here");
        let source = self.trials[trial].needs.as_ref();
        let source =
            source.map(|name| self.trials.iter().position(|it| it.name() == *name).unwrap());
        assert!(source.is_none_or(|it| self.finished.contains(&it)), "{trial} began too early");
        assert!(!self.finished.contains(&trial), "trial {trial} was finished already");
        assert!(!self.workers.contains_key(&trial), "trial {trial} has two workers");
        let fate = self.fate(trial);
        if fate == Fate::NotStarted {
            return Err(Error::Internal {
                message: "it does not start".into(),
                place: String::new(),
            });
        }
        let wakes = self.clock + 400;
        let worker = Worker {
            counted: self.clock,
            silence: Silence::default(),
            position: 0,
            wakes,
            fate,
            is_making: false,
            has_said_waiting: false,
            is_asked_to_stop: false,
        };
        self.workers.insert(trial, worker);
        assert!(self.workers.len() <= self.most_workers, "too many workers");
        Ok(())
    }

    fn stop(&mut self, trial: usize) {
        if let Some(worker) = self.workers.get_mut(&trial) {
            worker.is_asked_to_stop = true;
        }
    }

    fn hear(&mut self, patience: Duration) -> Option<Message> {
        let until = self.clock + patience.as_millis() as u64;
        loop {
            assert!(self.clock < FOREVER, "the sweep does not end");
            let next = self.workers.iter().map(|(trial, it)| (it.wakes, *trial)).min();
            let Some((wakes, trial)) = next.filter(|it| it.0 <= until) else {
                self.clock = until;
                self.others_go_on();
                return self.count_silence();
            };
            self.clock = self.clock.max(wakes);
            self.others_go_on();
            if let Some(worker) = self.workers.get_mut(&trial) {
                // Whatever it does is a sign of life, but for hanging.
                worker.counted = self.clock;
                worker.silence.broken();
            }
            if let Some(message) = self.act(trial) {
                return Some(message);
            }
        }
    }

    fn is_busy(&self, _: usize, next: Option<Node<'_>>) -> bool {
        next.is_some_and(|it| self.others.contains_key(it.key))
    }
}

fn ready(key: String, reused: bool) -> Kind {
    Kind::StepReady(StepReady { step: "stage".into(), key, reused, seconds: 0.0 })
}

/// Trials of which some share their first steps, and some start from others.
pub(super) fn trials(draw: &mut impl FnMut(u64) -> u64) -> Vec<Trial> {
    let count = 1 + draw(7) as usize;
    let mut trials: Vec<Trial> = Vec::new();
    for at in 0..count {
        let needs = (at > 0 && draw(4) == 0).then(|| trials[draw(at as u64) as usize].name());
        let family = draw(3);
        let start = needs.clone().unwrap_or_else(|| format!("seed {}", draw(2)));
        let mut path = format!("{family} {start}");
        let mut steps = vec![step(StepKind::Stage, "images")];
        for _ in 0..=draw(3) {
            path = format!("{path}/{}", draw(2));
            steps.push(step(StepKind::Stage, path.as_str()));
        }
        steps.push(step(StepKind::Stage, format!("{path} of {at}")));
        trials.push(Trial { needs, ..trial(at, steps) });
    }
    trials
}

/// One sweep from its seed, with so many faults at most. Returns the trials, where they stood and what was said to have
/// become of each.
fn simulate(seed: u64, faults: usize) {
    let mut count = 0;
    let mut draw = |below: u64| {
        count += 1;
        Random::at(seed, Use::Augment, count, 0).bits() % below
    };
    let trials = trials(&mut draw);
    let jobs = 1 + draw(4) as usize;
    // The other sweep makes some of the first steps, and some are there from the beginning.
    let others = trials.iter().filter(|_| draw(4) == 0).map(|it| it.steps[1].key.clone());
    let others: HashMap<String, u64> = others.map(|it| (it, 1000)).collect();
    let others: HashMap<String, u64> =
        others.into_keys().map(|it| (it, 100 + draw(5000))).collect();
    let mut world = World {
        trials: &trials,
        draws: seed,
        count: 0,
        clock: 0,
        workers: BTreeMap::new(),
        most_workers: jobs,
        faults_left: faults,
        told: BTreeSet::new(),
        made: BTreeSet::new(),
        others,
        finished: BTreeSet::new(),
    };
    let states = trials.iter().map(|_| TrialState::New).collect();
    let agenda = Agenda::new(&trials, states, Rungs::new(&trials, Vec::new(), &Nothing));
    let limits = limits(jobs);
    let ended = RefCell::new(BTreeMap::<String, Outcome>::new());
    let say = &mut |it: SweepEvent<'_>| {
        if let SweepEvent::Ended(trial, outcome) = it {
            let before = ended.borrow_mut().insert(trial.name(), outcome.clone());
            assert_eq!(before, None, "{} ended twice", trial.name());
        }
    };
    let costs = &mut |it: &Trial| vec![1.0; it.steps.len()];
    let schedule = Schedule::new(agenda, limits, Known { is_made: &|_| false, costs }, say);
    let (summary, stopped) = schedule.run(&mut world, &|| false);
    assert!(!stopped && world.workers.is_empty());
    let ended_somehow = summary.done.len() + summary.failed.len() + summary.died.len();
    assert_eq!(ended_somehow, trials.len(), "some are left");
    assert_eq!(summary.done.len(), world.finished.len(), "what is finished is told");
    let failed = |name: &String| summary.failed.contains(name) || summary.died.contains(name);
    if faults == 0 {
        assert_eq!((&summary.failed, &summary.died), (&Vec::new(), &Vec::new()));
    }
    for trial in &trials {
        // Whoever fails for another's sake starts from one that failed.
        let message = match &ended.borrow()[&trial.name()] {
            Outcome::Failed(it) | Outcome::Died(it) => it.message.clone(),
            _ => String::new(),
        };
        let for_another = message.contains("which it starts from");
        assert_eq!(for_another, trial.needs.as_ref().is_some_and(failed), "{}", trial.name());
    }
}

#[test]
fn sweeps_with_faults_make_every_step_once_and_lose_nothing() {
    (0..3000).for_each(|seed| simulate(seed, 3));
}

#[test]
fn sweeps_end_with_everything_done_when_there_are_no_faults() {
    (0..3000).for_each(|seed| simulate(seed, 0));
}
