//! The schedule of a study as large as a cluster: what it costs to decide, with machines that are simulated and a clock that
//! is not real. `make scale` runs it in full and prints what docs/clusters.md says; the test suite runs it in small.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io::Write as _;
use std::time::{Duration, Instant};

use ferrite_core::error::Result;
use ferrite_core::event::Kind;
use ferrite_core::event::disk::StepReady;
use ferrite_core::plan::Trial;
use ferrite_core::plan::job::Until;
use ferrite_core::plan::steps::Kind as StepKind;
use ferrite_random::{Random, Use};

use crate::sweep::launch::{Launcher, Message, Node};
use crate::sweep::made_up::{limits, step, trial};
use crate::sweep::rungs::{Nothing, Rungs};
use crate::sweep::schedule::{Known, Schedule};
use crate::sweep::{Agenda, Outcome, SweepEvent, TrialState};

/// Machines that carry out trials, each step in its time, and never fail.
struct Machines<'a> {
    trials: &'a [Trial],
    /// In milliseconds.
    clock: u64,
    /// When the worker of a trial has done the step at a position.
    next: BinaryHeap<Reverse<(u64, usize, usize)>>,
    made: BTreeSet<&'a str>,
    messages: usize,
    /// Time spent here and not in the schedule.
    spent: Duration,
}

impl Machines<'_> {
    /// The worker of `trial` begins with the first step from `position` on that is not there.
    fn begin(&mut self, trial: usize, position: usize) {
        let steps = &self.trials[trial].steps;
        let rest = steps.iter().enumerate().skip(position);
        let missing =
            rest.filter(|it| !self.made.contains(it.1.key.as_str())).map(|it| it.0).next();
        let position = missing.unwrap_or(steps.len());
        let seconds = 5 + Random::at(0, Use::Stage, trial as u64, position as u64).bits() % 600;
        let takes = if position < steps.len() { 1000 * seconds } else { 1 };
        self.next.push(Reverse((self.clock + takes, trial, position)));
    }
}

impl Launcher for Machines<'_> {
    fn start(&mut self, trial: usize, _: Option<Until>) -> Result<()> {
        let began = Instant::now();
        self.begin(trial, 0);
        self.spent += began.elapsed();
        Ok(())
    }

    fn stop(&mut self, _: usize) {}

    fn hear(&mut self, _: Duration) -> Option<Message> {
        let began = Instant::now();
        self.messages += 1;
        let Reverse((clock, trial, position)) = self.next.pop()?;
        self.clock = clock;
        let message = match self.trials[trial].steps.get(position) {
            None => Message::Ended(trial, Outcome::Finished),
            Some(step) => {
                assert!(self.made.insert(&step.key), "{} was made twice", step.key);
                self.begin(trial, position + 1);
                let (step, key) = (step.kind.name().to_owned(), step.key.clone());
                let ready = StepReady { step, key, reused: false, seconds: 1.0 };
                Message::Happened(trial, Kind::StepReady(ready))
            }
        };
        self.spent += began.elapsed();
        Some(message)
    }

    fn is_busy(&self, _: usize, _: Option<Node<'_>>) -> bool {
        false
    }
}

/// So many trials of five seeds: one data set, features of each of ten networks, a head for each seed and tenth rate that
/// the ten fine-tunings behind it share.
fn study(count: usize) -> Vec<Trial> {
    let of = |at: usize| {
        let (seed, point) = (at % 5, at / 5);
        let network = point % 10;
        let head = format!("head {network} {seed} {}", point / 100);
        let steps = [
            (StepKind::Dataset, "images".to_owned()),
            (StepKind::Features, format!("features {network}")),
            (StepKind::Stage, head),
            (StepKind::Stage, format!("fine-tuning {at}")),
            (StepKind::Evaluate, format!("scores {at}")),
        ];
        let steps = steps.map(|(kind, key)| step(kind, key)).to_vec();
        let id = format!("point-{point}_seed-{seed}");
        Trial { seed: seed as u64, ..trial(id, steps) }
    };
    (0..count).map(of).collect()
}

/// Carries out a study of so many trials on so many machines, and says what the schedule cost.
fn measure(count: usize, jobs: usize) -> String {
    let trials = study(count);
    let states = trials.iter().map(|_| TrialState::New).collect();
    let agenda = Agenda::new(&trials, states, Rungs::new(&trials, Vec::new(), &Nothing));
    let mut machines = Machines {
        trials: &trials,
        clock: 0,
        next: BinaryHeap::new(),
        made: BTreeSet::new(),
        messages: 0,
        spent: Duration::ZERO,
    };
    let limits = limits(jobs);
    let costs = &mut |it: &Trial| vec![1.0; it.steps.len()];
    let say = &mut |_: SweepEvent<'_>| {};
    let began = Instant::now();
    let schedule = Schedule::new(agenda, limits, Known { is_made: &|_| false, costs }, say);
    let to_begin = began.elapsed();
    let (summary, _) = schedule.run(&mut machines, &|| false);
    let decided = began.elapsed().saturating_sub(to_begin + machines.spent);
    assert_eq!(summary.done.len(), count);
    let steps: BTreeSet<&str> =
        trials.iter().flat_map(|it| &it.steps).map(|it| it.key.as_str()).collect();
    assert_eq!(machines.made, steps);
    format!(
        "{count} trials with {} steps on {jobs} machines: {:.1} ms to begin, {:.1} us for each of {} messages, {:.1} days of \
         machines in {:.1} hours",
        steps.len(),
        to_begin.as_secs_f64() * 1e3,
        decided.as_secs_f64() * 1e6 / machines.messages as f64,
        machines.messages,
        steps.len() as f64 * 305.0 / 86_400.0,
        machines.clock as f64 / 3.6e6,
    )
}

#[test]
fn a_study_of_ten_thousand_trials_is_scheduled_on_a_thousand_machines() {
    let in_full = std::env::var_os("FERRITE_SCALE").is_some();
    let sizes: &[(usize, usize)] =
        if in_full { &[(1_000, 100), (10_000, 1_000), (50_000, 1_000)] } else { &[(500, 50)] };
    for (count, jobs) in sizes {
        let _ = writeln!(std::io::stderr(), "{}", measure(*count, *jobs));
    }
}
