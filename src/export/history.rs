//! What trackers of experiments show of a run: its numbers by epoch, its scores, what it was set to.
//!
//! The step of a number is the epoch over all stages, from 1, as in `epochs.parquet`; scores of the final weights stand at the
//! last one. A run that was killed tells its last epochs again when it goes on. Where it says the same of one but for the time,
//! what was said first counts: so a history that was written down once only grows.

use std::collections::BTreeMap;

use ferrite_core::event::acts::TechniqueEvidence;
use ferrite_core::event::{Epoch, Evaluation, Event, Kind, Scores};
use ferrite_core::metrics::scores::{Confusion, calibration_error};
use ferrite_core::store::record::{Stage, State};

use crate::study::Run;
use ferrite_core::config::flat::{Flat, flatten};

/// A number of a run at a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// What it is: a group and what is held against each other in it, like `loss/train`.
    pub(crate) name: String,
    /// The epoch over all stages, counted from 1.
    pub(crate) step: usize,
    /// When it was said, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// The number.
    pub(crate) value: f64,
}

/// Every number of `run`, whose log has these `events`: epoch by epoch, then the scores of what it ended with.
pub(crate) fn points(run: &Run<'_>, events: &[Event]) -> Vec<Point> {
    let told = tellings(events);
    let mut points = Vec::new();
    let mut step = 0;
    for (at, stage) in run.record.facts.stages.iter().enumerate() {
        for epoch in &stage.epochs {
            step += 1;
            let (at_ms, epoch) = first_telling(&told, epoch);
            let numbers = of_epoch(at + 1, stage, epoch).into_iter();
            points.extend(numbers.map(|(name, value)| Point { name, step, at_ms, value }));
        }
    }
    let step = step.max(1);
    for (name, at_ms, value) in scores(run, events) {
        points.push(Point { name, step, at_ms, value });
    }
    points
}

/// The number of the last epoch that a run has told, over all stages.
pub(crate) fn last_step(run: &Run<'_>) -> usize {
    run.record.facts.stages.iter().map(|it| it.epochs.len()).sum()
}

/// When the run of these `events` said something last, in milliseconds since 1970.
pub(crate) fn last_ms(events: &[Event]) -> u64 {
    events.last().map_or(0, |it| it.at_ms)
}

/// What `run` was set to, by dotted key, each value as TOML.
pub(crate) fn settings(run: &Run<'_>) -> Flat {
    flatten(&run.record.settings)
}

/// Every time that an epoch was told, by stage and number.
type Tellings<'e> = BTreeMap<(&'e str, usize), Vec<(u64, &'e Epoch)>>;

fn tellings(events: &[Event]) -> Tellings<'_> {
    let mut all = Tellings::new();
    for event in events {
        if let Kind::EpochEnded(it) = &event.kind {
            all.entry((&it.stage, it.epoch)).or_default().push((event.at_ms, it));
        }
    }
    all
}

/// When `epoch`, as it was told last, was told first, and the epoch as it was told then.
fn first_telling<'e>(told: &Tellings<'e>, epoch: &'e Epoch) -> (u64, &'e Epoch) {
    let all = told.get(&(epoch.stage.as_str(), epoch.epoch)).map_or(&[][..], Vec::as_slice);
    let timeless = |it: &Epoch| {
        let timeless = Epoch { seconds: 0.0, images_per_second: 0.0, energy: None, ..it.clone() };
        // As text, since what is not a number does not equal itself.
        serde_json::to_string(&timeless).expect("events are plain JSON")
    };
    match all {
        [] => (0, epoch),
        [only] => *only,
        [.., last] => {
            let same = |it: &&(u64, &Epoch)| timeless(it.1) == timeless(last.1);
            *all.iter().find(same).unwrap_or(last)
        }
    }
}

/// The numbers of `epoch`, which is of the stage with this number, counted from 1.
fn of_epoch(number: usize, stage: &Stage, epoch: &Epoch) -> Vec<(String, f64)> {
    let mut all = Numbers::default();
    all.add("loss/train", epoch.train.loss);
    all.add("loss/valid", epoch.valid.loss);
    all.add("accuracy/train", epoch.train.accuracy);
    all.add("accuracy/valid", epoch.valid.accuracy);
    all.add("learning_rate", epoch.lr);
    all.add("stage", number as f64);
    all.add("seconds", epoch.seconds);
    all.add("images_per_second", epoch.images_per_second);
    if let Some(energy) = epoch.energy {
        all.add("joules", energy.joules());
    }
    if let Some(gradient) = &epoch.gradient {
        all.add("gradient_norm/all", gradient.norm);
        for (group, norm) in stage.start.groups.iter().zip(&gradient.groups) {
            all.add(&format!("gradient_norm/{group}"), f64::from(*norm));
        }
    }
    all.add_acts(&epoch.acts);
    all.0
}

/// Numbers by name.
#[derive(Default)]
struct Numbers(Vec<(String, f64)>);

impl Numbers {
    fn add(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    fn add_if(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn add_acts(&mut self, acts: &TechniqueEvidence) {
        let TechniqueEvidence {
            clipped,
            mixed,
            drawn,
            weightless,
            weighed,
            dropped,
            least_loss,
            orthogonalized,
            averaged,
            norm,
            moved,
            normalized,
        } = acts;
        self.add_if("clipping/share_of_steps", clipped.map(|it| it.share));
        self.add_if("clipping/norm_before", clipped.map(|it| it.norm));
        self.add_if("mixing/share_of_others", mixed.map(|it| it.other));
        self.add_if("mixing/share_cut", mixed.map(|it| it.cut));
        for (class, images) in drawn.iter().flatten().enumerate() {
            self.add(&format!("images_drawn/class_{class}"), *images as f64);
        }
        self.add_if("class_weights/steps_without", weightless.map(|it| it as f64));
        for (class, share) in weighed.iter().flatten().enumerate() {
            self.add(&format!("class_weights/share_of_class_{class}"), *share);
        }
        self.add_if("dropout/share", *dropped);
        self.add_if("label_smoothing/least_loss", *least_loss);
        self.add_if("muon/values", orthogonalized.map(|it| it.values as f64));
        self.add_if("muon/values_of_adamw", orthogonalized.map(|it| it.others as f64));
        self.add_if("weight_average/distance", *averaged);
        self.add_if("weight_norm/before", norm.map(|it| it.before));
        self.add_if("weight_norm/after", norm.map(|it| it.after));
        self.add_if("batch_norm/moved", *moved);
        if let Some(it) = normalized {
            self.add("input_norm/mean_before", it.from.mean);
            self.add("input_norm/std_before", it.from.std);
            self.add("input_norm/mean_after", it.to.mean);
            self.add("input_norm/std_after", it.to.std);
        }
    }
}

/// Scores of the weights that the run ended with and of others that it kept, each with when it was said.
fn scores(run: &Run<'_>, events: &[Event]) -> Vec<(String, u64, f64)> {
    let facts = &run.record.facts;
    // Before the run is done, its predictions, by which most scores are counted, are not there.
    let evaluation = facts.evaluation.as_ref().filter(|_| run.record.state == State::Finished);
    let Some(evaluation) = evaluation else { return Vec::new() };
    let Scores { loss, accuracy } = evaluation.scores;
    let mut all = Numbers::default();
    all.add("evaluation/accuracy", run.test_accuracy().unwrap_or(accuracy));
    all.add("evaluation/loss", loss);
    all.add_if("evaluation/macro_f1", run.macro_f1());
    let balanced = run.confusion.as_ref().and_then(Confusion::balanced_accuracy);
    all.add_if("evaluation/balanced_accuracy", balanced);
    all.add_if("evaluation/roc_auc", run.roc_auc());
    all.add_if("evaluation/calibration_error", calibration_error(&run.record.predictions));
    let leak_free = evaluation.leak_free.and_then(|it| it.accuracy);
    all.add_if("evaluation/leak_free_accuracy", leak_free);
    let at_ms = evaluated_ms(events, evaluation);
    let mut told: Vec<_> = all.0.into_iter().map(|(name, value)| (name, at_ms, value)).collect();
    for it in &facts.others {
        let at_ms = evaluated_ms(events, it);
        told.push((format!("evaluation_of_{}/accuracy", it.weights), at_ms, it.scores.accuracy));
        told.push((format!("evaluation_of_{}/loss", it.weights), at_ms, it.scores.loss));
    }
    told
}

/// When `evaluation` was told first.
fn evaluated_ms(events: &[Event], evaluation: &Evaluation) -> u64 {
    let is_it = |it: &&Event| matches!(&it.kind, Kind::Evaluated(it) if it == evaluation);
    events.iter().find(is_it).map_or_else(|| last_ms(events), |it| it.at_ms)
}
