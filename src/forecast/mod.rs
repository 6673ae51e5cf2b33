//! What trials will cost, in seconds: forecast from what steps took on this machine.
//!
//! A step that was made here before takes what it took. One like others that were made here, with the same network at the same
//! size on the same device, takes the median of their seconds for each unit of work ([`ferrite_core::plan::cost`]). One like
//! none of them takes the median of steps of its kind with other networks, which is a guess; and where nothing was recorded at
//! all, a constant is. Every number says which of these it is.

mod images;
mod recorded;

use std::collections::HashMap;

use ferrite_core::digits::counted;
use ferrite_core::plan::Trial;
use ferrite_core::plan::cost::{Costs, Images, Work};
use ferrite_core::plan::graph::Graph;
use ferrite_core::processor::{Processor, Vectors};
use ferrite_core::store::Store;

use crate::forecast::recorded::Recorded;

/// Multiplications that a GPU with tensor cores does in a second, in networks as small as those on faces.
const OF_A_GPU: f64 = 1e12;

/// What a step's cost was found from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Basis {
    /// This very step was made here before.
    Recorded,
    /// Steps of the same kind, network, size and device were.
    Alike,
    /// Steps of the same kind were, with other networks or sizes.
    Multiplications,
    /// Nothing like it was: a constant for this kind of processor.
    Constant,
}

/// What a step costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Seconds of one worker.
    pub(crate) seconds: f64,
    /// What that was found from.
    pub(crate) basis: Basis,
    /// Whether the number of images was counted, not guessed.
    pub(crate) counted: bool,
}

/// Forecasts what steps cost.
pub(crate) struct Forecast<'a> {
    store: &'a Store,
    device: String,
    recorded: Recorded,
    costs: Costs,
    images: HashMap<String, (Images, bool)>,
}

impl<'a> Forecast<'a> {
    /// Reads what was recorded in `store`. `device` is where trials will be carried out, as recorded; where nobody says it, they
    /// are where the newest run was.
    pub(crate) fn new(store: &'a Store, device: Option<&str>) -> Self {
        let recorded = Recorded::read(store);
        let device = device.map(str::to_owned).or_else(|| recorded.device.clone());
        let device = device.unwrap_or_else(|| "cpu".into());
        Self { store, device, recorded, costs: Costs::default(), images: HashMap::new() }
    }

    /// How many runs it was made from.
    pub(crate) fn runs(&self) -> usize {
        self.recorded.runs
    }

    /// Where trials are believed to be carried out.
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// What each step of `trial` costs, if no stage ends early.
    pub(crate) fn of(&mut self, trial: &Trial) -> Vec<Cost> {
        let data = &trial.settings.data;
        let asked = serde_json::to_string(data).expect("settings are plain JSON");
        let store = self.store;
        let found = self.images.entry(asked).or_insert_with(|| images::count(store, trial));
        let (images, is_counted) = *found;
        let works = self.costs.of(&trial.chain(), &images);
        let steps = trial.steps.iter().zip(works);
        steps.map(|(step, work)| self.step(&step.key, &work, is_counted)).collect()
    }

    fn step(&self, key: &str, work: &Work, counted: bool) -> Cost {
        let known = &self.recorded;
        if let Some(seconds) = known.by_key.get(key) {
            return Cost { seconds: *seconds, basis: Basis::Recorded, counted: true };
        }
        let named = |words: &str| format!("{} {words}", self.device);
        let (seconds, basis) = if let Some(rate) = known.alike.get(&named(&work.alike)) {
            (rate.seconds, Basis::Alike)
        } else if let Some(rate) = known.broad.get(&named(&work.broad)) {
            (rate.seconds, Basis::Multiplications)
        } else {
            (1.0 / multiplications_per_second(&self.device), Basis::Constant)
        };
        Cost { seconds: seconds * work.amount, basis, counted }
    }
}

/// What a device does in a second where nothing was recorded, of processors one core, by its vectors.
fn multiplications_per_second(device: &str) -> f64 {
    match (device, Processor::this().vectors) {
        ("cpu", Vectors::Avx512) => 3e10,
        ("cpu", Vectors::Avx2) => 1.5e10,
        ("cpu", Vectors::Baseline) => 3e9,
        _ => OF_A_GPU,
    }
}

/// What all trials of a plan cost together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bill {
    /// Seconds of all steps that are not there yet, each once.
    pub(crate) seconds: f64,
    /// What they would be if every trial made its steps by itself.
    pub(crate) alone: f64,
    /// What they are with so many workers at once, if none ever waits: at least as long as the longest trial and those that it
    /// starts from, and as all work divided among the workers.
    pub(crate) with_jobs: f64,
    /// The worst basis of any step that is to be made; none if none is.
    pub(crate) basis: Option<Basis>,
    /// Which share of `seconds` is a guess from multiplications.
    pub(crate) guessed: f64,
    /// Whether all images were counted.
    pub(crate) counted: bool,
}

impl Bill {
    /// The bill of the steps that are not `there`, of the trials that are `todo`. `costs` are those of the graph's nodes.
    pub(crate) fn of(
        trials: &[Trial],
        (graph, there, costs): (&Graph, &[bool], &[Cost]),
        todo: &[bool],
        jobs: usize,
    ) -> Self {
        let mut once = vec![false; graph.nodes.len()];
        let mut bill = Self {
            seconds: 0.0,
            alone: 0.0,
            with_jobs: 0.0,
            basis: None,
            guessed: 0.0,
            counted: true,
        };
        let mut guessed = 0.0;
        // Trials that others start from stand before them.
        let mut ends: HashMap<String, f64> = HashMap::new();
        let mut longest = 0.0_f64;
        for (at, trial) in trials.iter().enumerate().filter(|it| todo[it.0]) {
            let begin = trial.needs.as_ref().and_then(|it| ends.get(it)).copied();
            let mut own = 0.0;
            for node in graph.chains[at].iter().copied().filter(|it| !there[*it]) {
                let Cost { seconds, basis, counted } = costs[node];
                own += seconds;
                bill.basis = bill.basis.max(Some(basis));
                bill.counted &= counted;
                if !std::mem::replace(&mut once[node], true) {
                    bill.seconds += seconds;
                    guessed += if basis >= Basis::Multiplications { seconds } else { 0.0 };
                }
            }
            bill.alone += own;
            let end = begin.unwrap_or_default() + own;
            longest = longest.max(end);
            ends.insert(trial.name(), end);
        }
        bill.guessed = if bill.seconds > 0.0 { guessed / bill.seconds } else { 0.0 };
        bill.with_jobs = longest.max(bill.seconds / jobs.max(1) as f64);
        bill
    }

    /// The share of `alone` that sharing saves.
    pub(crate) fn saved(&self) -> f64 {
        if self.alone > 0.0 { 1.0 - self.seconds / self.alone } else { 0.0 }
    }

    /// What it was found from, in words.
    pub(crate) fn origin(&self, runs: usize) -> String {
        /// Less of it makes no difference.
        const WORTH_SAYING: f64 = 0.05;
        let of_runs = format!("{} of this machine", counted(runs, "run"));
        let images = if self.counted { "" } else { "; how many images there are is guessed, too" };
        let what = match self.guessed {
            _ if runs == 0 => {
                "a guess from multiplications, for nothing ran on this machine yet".into()
            }
            ..WORTH_SAYING => format!("from {of_runs}"),
            0.95.. => format!("a guess from multiplications, at the speed of {of_runs}"),
            share => {
                format!(
                    "from {of_runs}, and {:.0} % of it a guess from multiplications",
                    100.0 * share
                )
            }
        };
        format!("{what}{images}")
    }
}
