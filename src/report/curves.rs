//! Epochs of several seeds laid over each other.

use ferrite_core::event::Epoch;
use ferrite_core::store::record::{Record, Stage};

use crate::report::plot::lines::Mark;

/// What several runs of one configuration did, epoch by epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Curve {
    /// Mean over the runs, as long as all of them trained.
    pub(super) points: Vec<(f64, f64)>,
    /// Mean over those that went on.
    pub(super) tail: Vec<(f64, f64)>,
    /// Lowest and highest of the runs.
    pub(super) band: Vec<(f64, f64, f64)>,
    /// The epoch that each run kept.
    pub(super) kept: Vec<(f64, f64)>,
}

/// `value` of `runs` by epoch. A stage begins for all of them where the longest stage before it ends.
pub(super) fn curve(runs: &[&Record], value: impl Fn(&Epoch) -> f64) -> Curve {
    over(spans(runs), runs, value)
}

/// `value` of `runs` by epoch of one stage.
pub(super) fn curve_of_stage(runs: &[&Record], name: &str, value: impl Fn(&Epoch) -> f64) -> Curve {
    let own = spans(runs).into_iter().filter(|it| it.0 == name);
    over(own.map(|(name, _, epochs)| (name, 0, epochs)).collect(), runs, value)
}

fn over(
    spans: Vec<(String, usize, usize)>,
    runs: &[&Record],
    value: impl Fn(&Epoch) -> f64,
) -> Curve {
    let mut curve = Curve::default();
    for (name, before, epochs) in spans {
        for epoch in 1..=epochs {
            let x = (before + epoch) as f64;
            let found =
                runs.iter().filter_map(|it| stage(it, &name)).filter_map(|it| at(it, epoch));
            curve.push(x, &found.map(&value).collect::<Vec<_>>(), runs.len());
        }
        for stage in runs.iter().filter_map(|it| stage(it, &name)) {
            if let Some(kept) = stage.kept() {
                curve.kept.push(((before + kept.epoch) as f64, value(kept)));
            }
        }
    }
    curve
}

/// Where the stages of `runs` begin; nothing for a single stage.
pub(super) fn marks(runs: &[&Record]) -> Vec<Mark> {
    let spans = spans(runs);
    if spans.len() < 2 {
        return Vec::new();
    }
    // Half an epoch before the first one of the stage, but within the axis.
    let mark = |(label, before, _): (String, usize, usize)| Mark {
        x: (before as f64 + 0.5).max(1.0),
        label,
    };
    spans.into_iter().map(mark).collect()
}

impl Curve {
    /// The mean from the first epoch to the last, over however many runs there were.
    pub(super) fn all(&self) -> Vec<(f64, f64)> {
        let again = usize::from(!self.points.is_empty());
        self.points.iter().chain(self.tail.iter().skip(again)).copied().collect()
    }

    fn push(&mut self, x: f64, values: &[f64], all: usize) {
        if values.is_empty() {
            return;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        if values.len() == all && self.tail.is_empty() {
            self.points.push((x, mean));
        } else {
            if self.tail.is_empty() {
                self.tail.extend(self.points.last().copied());
            }
            self.tail.push((x, mean));
        }
        if all > 1 {
            let low = values.iter().copied().fold(f64::MAX, f64::min);
            let high = values.iter().copied().fold(f64::MIN, f64::max);
            self.band.push((x, low, high));
        }
    }
}

/// Name of each stage, epochs before it, and its epochs in the run that trained longest.
fn spans(runs: &[&Record]) -> Vec<(String, usize, usize)> {
    let mut names = Vec::<&String>::new();
    for name in runs.iter().flat_map(|it| &it.facts.stages).map(|it| &it.start.stage) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut before = 0;
    let span = |name: &String| {
        let lengths = runs.iter().filter_map(|it| stage(it, name)?.epochs.last());
        let longest = lengths.map(|it| it.epoch).max().unwrap_or(0);
        before += longest;
        (name.clone(), before - longest, longest)
    };
    names.into_iter().map(span).filter(|it| it.2 > 0).collect()
}

fn stage<'a>(record: &'a Record, name: &str) -> Option<&'a Stage> {
    record.facts.stages.iter().find(|it| it.start.stage == name)
}

fn at(stage: &Stage, epoch: usize) -> Option<&Epoch> {
    let found = stage.epochs.binary_search_by_key(&epoch, |it| it.epoch).ok()?;
    stage.epochs.get(found)
}
