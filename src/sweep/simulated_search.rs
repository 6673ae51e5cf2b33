//! Searches that stop points, driven by workers that are scripted: in whatever order these end, fail, die and are asked to
//! stop, and however often the sweep is begun again, the same points are promoted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use ferrite_core::error::Result;
use ferrite_core::event::Epoch;
use ferrite_core::event::failure::Failure;
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::plan::search::Halved;
use ferrite_core::plan::steps::Kind as StepKind;
use ferrite_core::search::halving::{Halving, Reached};
use ferrite_random::{Random, Use};

use crate::sweep::launch::{Launcher, Message, Node};
use crate::sweep::made_up::{limits, step, trial};
use crate::sweep::rungs::{End, Results, Rungs, Seen};
use crate::sweep::schedule::{Known, Schedule};
use crate::sweep::{Agenda, Outcome, Summary, SweepEvent, TrialState};

const EPOCHS: usize = 18;
const RUNGS: [usize; 3] = [2, 6, EPOCHS];

/// What a simulation is made of.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// Decides what the points are worth and which of them fail or stop early.
    seed: u64,
    points: usize,
    seeds: usize,
}

/// What lies on the disk that is not real.
#[derive(Debug, Default)]
struct Disk {
    reached: BTreeMap<usize, Reached>,
    finished: BTreeSet<usize>,
    /// Those whose last process said that it stopped at a rung.
    stopped: BTreeSet<usize>,
    /// Epochs that were trained, by trial and number: none may come twice.
    trained: BTreeSet<(usize, usize)>,
}

#[derive(Debug)]
struct Shared {
    trials: Vec<Trial>,
    disk: Rc<RefCell<Disk>>,
}

impl Results for Shared {
    fn seen(&self, trial: &Trial, stage: &str) -> Seen {
        assert_eq!(stage, "train");
        let at = self.trials.iter().position(|it| it.name() == trial.name()).unwrap();
        let disk = self.disk.borrow();
        let reached = disk.reached.get(&at).cloned().unwrap_or_default();
        let end = match () {
            () if disk.finished.contains(&at) => End::Finished,
            () if disk.stopped.contains(&at) => End::Stopped,
            () => End::Open,
        };
        Seen { reached, end }
    }
}

impl Search {
    fn draw(self, of: u64, item: usize, below: u64) -> u64 {
        Random::at(self.seed, Use::Search, of, item as u64).bits() % below
    }

    fn loss(self, trial: usize, epoch: usize) -> f64 {
        // Curves cross: what is good after two epochs need not be good in the end.
        let start = self.draw(1, trial, 1000) as f64 / 1000.0;
        let end = self.draw(2, trial / self.seeds, 1000) as f64 / 1000.0;
        let share = epoch as f64 / EPOCHS as f64;
        (1.0 - share) * start + share * end
    }

    /// After how many epochs a trial fails for good, whenever it is tried; none if it does not.
    fn fails(self, trial: usize) -> Option<usize> {
        (self.draw(3, trial, 12) == 0).then(|| 1 + self.draw(4, trial, EPOCHS as u64) as usize)
    }

    /// After how many epochs its stage stops early.
    fn stops_early(self, trial: usize) -> Option<usize> {
        (self.draw(5, trial, 8) == 0).then(|| 1 + self.draw(6, trial, EPOCHS as u64) as usize)
    }

    fn trials(self) -> Vec<Trial> {
        let of = |at: usize| {
            let steps = ["stage", "evaluate"].map(|it| step(StepKind::Stage, format!("{it} {at}")));
            let (point, seed) = (Some(at / self.seeds + 1), (at % self.seeds) as u64);
            Trial { point, seed, ..trial(at, steps.into()) }
        };
        (0..self.points * self.seeds).map(of).collect()
    }

    fn halved(self) -> Halved {
        Halved {
            experiment: "e".into(),
            halving: Halving { min_epochs: RUNGS[0], ..Halving::default() },
            stage: 0,
            rungs: RUNGS.into(),
            points: (0..self.points)
                .map(|it| (it * self.seeds..(it + 1) * self.seeds).collect())
                .collect(),
        }
    }
}

/// How workers behave in one sweep.
struct World<'a> {
    search: Search,
    disk: &'a RefCell<Disk>,
    /// Decides when workers wake, die or are interrupted.
    timing: u64,
    count: u64,
    faults_left: usize,
    workers: BTreeMap<usize, (u64, Option<Until>)>,
    clock: u64,
    stops: bool,
}

impl World<'_> {
    fn draw(&mut self, below: u64) -> u64 {
        self.count += 1;
        Random::at(self.timing, Use::Stage, self.count, 0).bits() % below
    }

    /// Trains one epoch of `trial`, or ends it.
    fn act(&mut self, trial: usize) -> Option<Message> {
        let (_, until) = self.workers[&trial];
        let dies = self.faults_left > 0 && self.draw(30) == 0;
        let mut disk = self.disk.borrow_mut();
        let reached = disk.reached.entry(trial).or_default();
        let epochs = reached.epochs.len();
        let failure =
            |message: &str| Failure { message: message.into(), help: String::new(), exit_code: 70 };
        let outcome = if dies {
            self.faults_left -= 1;
            Some(Outcome::Died(failure("it dies")))
        } else if reached.is_over || until.is_some_and(|it| epochs >= it.epochs) {
            match until {
                None => assert!(disk.finished.insert(trial), "{trial} was finished twice"),
                Some(_) => drop(disk.stopped.insert(trial)),
            }
            Some(Outcome::Finished)
        } else if self.stops {
            Some(Outcome::Interrupted)
        } else if self.search.fails(trial) == Some(epochs + 1) {
            reached.failed = true;
            Some(Outcome::Failed(failure("it diverged")))
        } else {
            let epoch = epochs + 1;
            let loss = self.search.loss(trial, epoch);
            let scores = serde_json::json!({ "loss": loss, "accuracy": 0.5 });
            reached.epochs.push(
                serde_json::from_value::<Epoch>(serde_json::json!({
                    "stage": "train", "epoch": epoch, "lr": 0.1, "train": scores, "valid": scores,
                    "seconds": 1.0, "images_per_second": 1.0,
                }))
                .unwrap(),
            );
            reached.is_over =
                epoch == EPOCHS || self.search.stops_early(trial).is_some_and(|it| it <= epoch);
            assert!(
                disk.trained.insert((trial, epoch)),
                "epoch {epoch} of {trial} was trained twice"
            );
            None
        };
        drop(disk);
        let wakes = self.clock + 1 + self.draw(50);
        if let Some(outcome) = outcome {
            self.workers.remove(&trial);
            return Some(Message::Ended(trial, outcome));
        }
        self.workers.insert(trial, (wakes, until));
        None
    }
}

impl Launcher for World<'_> {
    fn start(&mut self, trial: usize, until: Option<Until>) -> Result<()> {
        let wakes = self.clock + 1 + self.draw(200);
        self.disk.borrow_mut().stopped.remove(&trial);
        assert!(self.workers.insert(trial, (wakes, until)).is_none(), "it has a worker");
        Ok(())
    }

    fn stop(&mut self, _: usize) {
        self.stops = true;
    }

    fn hear(&mut self, patience: Duration) -> Option<Message> {
        let until = self.clock + patience.as_millis() as u64;
        loop {
            let next = self.workers.iter().map(|(trial, it)| (it.0, *trial)).min();
            let Some((wakes, trial)) = next.filter(|it| it.0 <= until) else {
                self.clock = until;
                return None;
            };
            self.clock = self.clock.max(wakes);
            assert!(self.clock < 10_000_000, "the sweep does not end");
            if let Some(message) = self.act(trial) {
                return Some(message);
            }
        }
    }

    fn is_busy(&self, _: usize, _: Option<Node<'_>>) -> bool {
        false
    }
}

/// One sweep over what lies on `disk`, with so many faults at most; it may be interrupted.
fn sweep(search: Search, disk: &Rc<RefCell<Disk>>, timing: u64, faults: usize) -> Summary {
    let trials = search.trials();
    let shared = Shared { trials: trials.clone(), disk: Rc::clone(disk) };
    let states = (0..trials.len()).map(|at| {
        let disk = disk.borrow();
        match disk.reached.get(&at) {
            _ if disk.finished.contains(&at) => TrialState::Finished,
            None => TrialState::New,
            Some(it) if it.failed => TrialState::Failed(Failure {
                message: String::new(),
                help: String::new(),
                exit_code: 70,
            }),
            Some(_) => TrialState::Interrupted,
        }
    });
    let states = states.collect();
    let agenda = Agenda::new(&trials, states, Rungs::new(&trials, vec![search.halved()], &shared));
    let mut world = World {
        search,
        disk,
        timing,
        count: 0,
        faults_left: faults,
        workers: BTreeMap::new(),
        clock: 0,
        stops: false,
    };
    let jobs = 1 + world.draw(6) as usize;
    let limits = limits(jobs);
    let say = &mut |_: SweepEvent<'_>| {};
    let costs = &mut |it: &Trial| vec![1.0; it.steps.len()];
    let interrupted_after = (faults > 0).then(|| world.draw(3000));
    let asked = RefCell::new(0);
    let interrupted = || {
        *asked.borrow_mut() += 1;
        interrupted_after.is_some_and(|it| *asked.borrow() > it)
    };
    let schedule = Schedule::new(agenda, limits, Known { is_made: &|_| false, costs }, say);
    let (summary, _) = schedule.run(&mut world, &interrupted);
    assert!(world.workers.is_empty());
    summary
}

/// How many epochs each trial trained in the end, after sweeps under this timing, and how many of them finished.
fn outcome(search: Search, timing: u64, faults: usize) -> (Vec<usize>, BTreeSet<usize>) {
    let disk = Rc::new(RefCell::new(Disk::default()));
    for again in 0..3 {
        sweep(search, &disk, timing + 1000 * again, faults);
    }
    let summary = sweep(search, &disk, timing, 0);
    let trained = disk.borrow().trained.len();
    let again = sweep(search, &disk, timing + 7, 0);
    assert_eq!(disk.borrow().trained.len(), trained, "nothing was left to do");
    assert!(again.done.is_empty() && again.stopped == summary.stopped);
    let all = search.points * search.seeds;
    assert_eq!(again.found.len() + again.stopped.len() + again.failed.len(), all);
    let disk = disk.borrow();
    // Nobody is left who would be taken for interrupted.
    let said = |it: &usize| disk.finished.contains(it) || disk.stopped.contains(it);
    let open: Vec<_> = (0..all).filter(|it| !said(it)).collect();
    assert!(open.iter().all(|it| disk.reached[it].failed), "{open:?}");
    let epochs = |it| disk.reached.get(&it).map_or(0, |it| it.epochs.len());
    ((0..all).map(epochs).collect(), disk.finished.clone())
}

/// Epochs that a search of 27 points may train at most: all of them 2, 9 of them 6, and 3 of them 18.
const MOST: usize = 27 * 2 + 9 * 4 + 3 * 12;

#[test]
fn the_same_points_are_promoted_whoever_is_first_and_whatever_happens_to_the_workers() {
    for seed in 0..150 {
        let search = Search { seed, points: 27, seeds: 1 };
        let (epochs, finished) = outcome(search, seed, 0);
        assert!(epochs.iter().sum::<usize>() <= MOST && finished.len() <= 3, "{epochs:?}");
        assert_eq!(MOST * 100 / (27 * EPOCHS), 25, "percent of all points to the end");
        for timing in 1..4 {
            let other = outcome(search, seed + 100_000 * timing, 4);
            assert_eq!(other, (epochs.clone(), finished.clone()), "seed {seed}, timing {timing}");
        }
    }
}

#[test]
fn the_seeds_of_a_point_go_together() {
    for seed in 0..40 {
        let search = Search { seed, points: 10, seeds: 3 };
        let first = outcome(search, seed, 0);
        assert_eq!(outcome(search, seed + 100_000, 3), first, "seed {seed}");
        for (point, epochs) in first.0.chunks(3).enumerate() {
            // Those that neither fail nor stop early end at one rung.
            let trials = point * 3..point * 3 + 3;
            let whole = trials
                .filter(|it| search.fails(*it).is_none() && search.stops_early(*it).is_none());
            let whole: BTreeSet<usize> = whole.map(|it| epochs[it - point * 3]).collect();
            assert!(whole.len() <= 1, "{epochs:?}");
            assert!(whole.iter().all(|it| RUNGS.contains(it)), "{epochs:?}");
        }
    }
}
