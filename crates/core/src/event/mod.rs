//! What can happen in a run. The trainer says it; the terminal, the store and the report listen.
//!
//! Events are facts: appended, never changed. Every state is folded from them. One line of
//! `events.jsonl` is one event as JSON; each [`Kind::RunStarted`] carries [`FORMAT`].
//!
//! **Invariant:** no presentation here, only names, counts, seconds and scores.

pub mod acts;
pub mod audit;
pub mod disk;
pub mod energy;
pub mod faces;
pub mod failure;
pub mod gradient;
mod kept;
pub mod memory;
mod number;
mod parse;
pub mod parts;
pub mod progress;
pub mod split;
pub mod weights;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::event::acts::{Kept, Stop, TechniqueEvidence, Viewed};
use crate::event::audit::{Audit, LeakFree};
use crate::event::disk::{Artifact, Features, SetAside, StepReady, Waiting};
use crate::event::energy::Energy;
use crate::event::faces::Faces;
use crate::event::failure::Failure;
use crate::event::gradient::Gradient;
use crate::event::memory::Divided;
use crate::event::parts::{Continued, Rung};
use crate::event::progress::{Advance, Progress};
use crate::event::weights::Weights;

/// Version of the events' format, written into the first event of every run. Version 3 tells of steps, version 4 of batches
/// that did not fit into memory, of stages that go on from shorter ones and of rungs.
pub const FORMAT: u32 = 4;

/// One fact and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Everything that can happen in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Kind {
    /// A process began, or went on with, the run.
    RunStarted(Start),
    /// The images are decoded and split.
    DatasetReady(Dataset),
    /// Faces were looked for in the images.
    FacesReady(Faces),
    /// The network is built.
    NetworkReady(Network),
    /// The backbone has its first weights.
    WeightsLoaded(Weights),
    /// The run waits for a folder that another process holds.
    Waiting(Waiting),
    /// Something that the run needs was damaged; it is made again.
    SetAside(SetAside),
    /// The result of a step lies under its key.
    StepReady(StepReady),
    /// A training stage begins (or goes on).
    StageStarted(StageStart),
    /// A stage goes on from the end of a shorter one with the same settings.
    StageContinued(Continued),
    /// The output of a frozen prefix is at hand for one split.
    FeaturesReady(Features),
    /// How strong a noise layer is against what it is added to, measured on training images.
    NoiseMeasured(Noise),
    /// What augmentation did to the images of the first epoch; the sheet lies beside the events.
    AugmentationMeasured(Augmentation),
    /// A batch did not fit into memory and is computed in parts from now on.
    BatchDivided(Divided),
    /// A step of training; for progress only, never stored.
    StepEnded(Progress),
    /// Some of what must be done besides training is done; for progress only, never stored.
    WorkAdvanced(Advance),
    /// An epoch and its validation are over.
    EpochEnded(Epoch),
    /// A stage is over.
    StageEnded(StageEnd),
    /// Weights were tested: the final ones, and those kept under other metrics.
    Evaluated(Evaluation),
    /// Everything is done.
    RunEnded {
        /// Time of this process, in seconds.
        seconds: f64,
        /// What the files of the run's folder held then, by name; empty in older logs.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        files: BTreeMap<String, Artifact>,
    },
    /// It came to the end of a rung of a search, and goes on if it is promoted.
    RungEnded(Rung),
    /// The run cannot go on.
    RunFailed(Failure),
    /// Stopped by the user; the next sweep goes on from the last epoch.
    RunInterrupted,
}

/// How a process began, or went on with, a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Version of Ferrite.
    pub ferrite: String,
    /// Full key of the trial.
    pub key: String,
    /// Where it trains: `cpu` or `cuda:0`.
    pub device: String,
    /// CPU threads of LibTorch.
    pub threads: usize,
    /// What it computes in: `f32`, which old logs do not say, `bf16`, or e.g. `f32, bf16 where frozen`.
    #[serde(default = "full_precision")]
    pub precision: String,
    /// Whether the device has no instructions for that and imitates them.
    #[serde(default)]
    pub imitated: bool,
    /// Whether an earlier process had begun this run.
    pub resumed: bool,
}

fn full_precision() -> String {
    "f32".into()
}

/// The images of a run, decoded and split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Key of the dataset step.
    pub key: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images of each class, by split (`train`, `valid`, `test`).
    pub counts: BTreeMap<String, Vec<usize>>,
    /// Rows or files left out under `on_error = "skip"`, with the reason.
    pub skipped: Vec<String>,
    /// Images of these splits that have no label under `data.labels`, by the reason.
    #[serde(default)]
    pub unlabelled: BTreeMap<String, usize>,
    /// Training images taken out under `leakage = "drop-from-train"`.
    #[serde(default)]
    pub dropped: usize,
    /// What is wrong with the images as they are used.
    #[serde(default)]
    pub audit: Option<Box<Audit>>,
    /// Height, width and channels of the stored images.
    pub size: [usize; 3],
    /// Mean and standard deviation of the training pixels in gray levels, 0-255.
    pub pixels: Signal,
    /// Whether an earlier run had prepared them.
    pub reused: bool,
    /// Time it took.
    pub seconds: f64,
}

/// What a network is: its backbone and how many numbers it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Name of the backbone.
    pub backbone: String,
    /// Pixels a side of its input.
    pub image_size: usize,
    /// Channels, height and width of the feature maps behind the backbone.
    pub feature_map: [usize; 3],
    /// Numbers that the backbone can learn.
    pub backbone_parameters: usize,
    /// Running statistics of the backbone's batch norms.
    pub backbone_statistics: usize,
    /// Numbers that the head can learn.
    pub head_parameters: usize,
    /// Running statistics of the head's batch norms.
    pub head_statistics: usize,
}

impl Network {
    /// All numbers, running statistics included: what Keras calls the total parameters.
    pub fn total(&self) -> usize {
        let parameters = self.backbone_parameters + self.head_parameters;
        parameters + self.backbone_statistics + self.head_statistics
    }
}

/// What a training stage is going to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStart {
    /// Name of the stage.
    pub stage: String,
    /// Its planned epochs.
    pub epochs: usize,
    /// Optimizer steps in an epoch.
    pub steps_per_epoch: usize,
    /// Layers that train, in forward order.
    pub trainable: Vec<Layer>,
    /// Layers that do not.
    pub frozen: Vec<Layer>,
    /// Parameters of the backbone that Keras's network of the same name would train; none where Keras has no such network,
    /// and in older logs.
    #[serde(default)]
    pub keras_parameters: Option<usize>,
    /// The first layer behind the frozen prefix that runs without a graph; none if there is no prefix.
    pub prefix_until: Option<String>,
    /// Whether the prefix ran once per image (true) or runs in every step (false).
    pub prefix_cached: bool,
    /// How many views of each image it was computed for.
    #[serde(default)]
    pub prefix_views: usize,
    /// The parts of what trains whose gradients are told of each epoch, in forward order: the blocks of the backbone and the
    /// layers of the head, by their names in the weight file. Empty in older logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// How strong a noise layer is against what it is added to, measured on training images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Where the noise is added: `input` or `features`.
    pub layer: String,
    /// Standard deviation of the noise in the layer's own units.
    #[serde(with = "number")]
    pub std: f64,
    /// Standard deviation of the signal in the same units.
    #[serde(with = "number")]
    pub signal_std: f64,
}

/// What augmentation did to the images of the first epoch; the sheet lies beside the events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Name of the stage.
    pub stage: String,
    /// Images looked at.
    pub images: usize,
    /// Share of them that each operation changed, by its name in `[augment]`.
    pub changed: BTreeMap<String, f64>,
    /// Mean absolute difference from the unaugmented image, in gray levels 0-255.
    #[serde(with = "number")]
    pub mean_difference: f64,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageEnd {
    /// Name of the stage.
    pub stage: String,
    /// Why it ended.
    pub why: Stop,
    /// Epochs that were trained.
    pub epochs: usize,
    /// The epoch whose weights go on.
    pub kept_epoch: usize,
    /// The best weights under other metrics, which were kept as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Kept>,
}

/// The test of some weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Which weights: [`FINAL`], or the metric under which a stage kept them.
    #[serde(default = "final_weights", skip_serializing_if = "is_final")]
    pub weights: String,
    /// The split: `test`, or `valid` where the data has no test split.
    pub split: String,
    /// How many images.
    pub images: usize,
    /// Loss and accuracy.
    pub scores: Scores,
    /// How many images were taken for each class, in label order; empty in older logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predicted: Vec<usize>,
    /// The score on images without an exact twin among the training images, its own and those of its first
    /// weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak_free: Option<LeakFree>,
    /// What was averaged over several views of each image; none if it was looked at as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewed: Option<Viewed>,
}

/// The name of the weights that a run ends with.
pub const FINAL: &str = "final";

fn final_weights() -> String {
    FINAL.to_owned()
}

fn is_final(weights: &str) -> bool {
    weights == FINAL
}

/// Mean and standard deviation of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Mean.
    #[serde(with = "number")]
    pub mean: f64,
    /// Standard deviation.
    #[serde(with = "number")]
    pub std: f64,
}

/// One layer that holds parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name in the weight file, e.g. `features.17.conv.2`.
    pub name: String,
    /// How many numbers it learns.
    pub parameters: usize,
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Name of the stage.
    pub stage: String,
    /// Epoch within the stage, counted from 1.
    pub epoch: usize,
    /// Learning rate of its last step.
    #[serde(with = "number")]
    pub lr: f64,
    /// Scores on the training images, as they were while training.
    pub train: Scores,
    /// Scores on the validation images after the epoch.
    pub valid: Scores,
    /// Time it took, validation included.
    pub seconds: f64,
    /// Training images per second, validation excluded.
    #[serde(with = "number")]
    pub images_per_second: f64,
    /// What the techniques of the stage did in it.
    #[serde(default, skip_serializing_if = "TechniqueEvidence::is_nothing")]
    pub acts: TechniqueEvidence,
    /// How many validation images of each class were taken for each class after the epoch: row by row, a row for each true
    /// class, in label order. An image whose label is a distribution over the classes counts as its most probable class.
    /// Empty in older logs, and where there are more than [`MOST_CONFUSED`] classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<u32>,
    /// How large the gradient of its last optimizer step was; none in older logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<Gradient>,
    /// What this process drew in that time, validation included; none where the machine does not tell, and in older logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
}

/// The most classes whose confusion is told after every epoch: a matrix of more is too small to be read, and a log of such
/// matrices too large.
pub const MOST_CONFUSED: usize = 32;

impl Epoch {
    /// The rows of [`Epoch::confusion`], one for each true class; none where it is not told.
    pub fn confusion_rows(&self) -> impl Iterator<Item = &[u32]> {
        self.confusion.chunks(self.confusion.len().isqrt().max(1))
    }
}

/// Mean loss and accuracy over some images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean cross-entropy.
    #[serde(with = "number")]
    pub loss: f64,
    /// Share of right answers, 0-1.
    #[serde(with = "number")]
    pub accuracy: f64,
}

/// Whoever listens to a run.
pub trait Sink {
    /// Takes note of `kind`. Where it cannot be recorded, the run must not go on as if it were.
    ///
    /// # Errors
    /// Whatever kept it from that.
    fn emit(&mut self, kind: Kind) -> Result<()>;
}

/// Takes note of nothing.
#[derive(Debug)]
pub struct NullSink;

impl Sink for NullSink {
    fn emit(&mut self, _: Kind) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_json_object_and_comes_back_equal() {
        let scores = Scores { loss: 1.5, accuracy: 0.25 };
        let (weights, split) = (FINAL.to_owned(), "test".to_owned());
        let (viewed, leak_free, predicted) = (None, None, Vec::new());
        let evaluation =
            Evaluation { weights, split, images: 4, scores, predicted, viewed, leak_free };
        let kind = Kind::Evaluated(evaluation);
        let event = Event { at_ms: 7, kind };
        let line = serde_json::to_string(&event).unwrap();
        expect_test::expect![[r#"{"at_ms":7,"event":"evaluated","split":"test","images":4,"scores":{"loss":1.5,"accuracy":0.25}}"#]]
            .assert_eq(&line);
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), event);
    }

    #[test]
    fn an_epoch_of_an_older_log_says_nothing_of_confusion_and_gradients() {
        let line = r#"{"event":"epoch-ended","stage":"head","epoch":1,"lr":0.1,"train":{"loss":1.5,"accuracy":0.25},"valid":{"loss":1.5,"accuracy":0.25},"seconds":2.0,"images_per_second":50.0}"#;
        let kind = serde_json::from_str::<Kind>(line).unwrap();
        assert_eq!(serde_json::to_string(&kind).unwrap(), line);
        let Kind::EpochEnded(mut epoch) = kind else { panic!("{kind:?}") };
        assert_eq!((epoch.confusion_rows().count(), &epoch.gradient), (0, &None));
        epoch.confusion = vec![3, 1, 0, 2];
        epoch.gradient = Some(Gradient { norm: 0.5, groups: vec![0.3, 0.4] });
        assert_eq!(epoch.confusion_rows().collect::<Vec<_>>(), [[3, 1], [0, 2]]);
        let line = serde_json::to_string(&epoch).unwrap();
        let told = r#""confusion":[3,1,0,2],"gradient":{"norm":0.5,"groups":[0.3,0.4]}}"#;
        assert!(line.ends_with(told), "{line}");
        assert_eq!(serde_json::from_str::<Epoch>(&line).unwrap(), epoch);
    }

    #[test]
    fn weights_kept_under_a_metric_say_so() {
        let scores = Scores { loss: 1.5, accuracy: 0.25 };
        let [weights, split] = ["valid_accuracy", "test"].map(str::to_owned);
        let (viewed, leak_free, predicted) = (None, None, Vec::new());
        let evaluation =
            Evaluation { weights, split, images: 4, scores, predicted, viewed, leak_free };
        let kind = Kind::Evaluated(evaluation);
        let line = serde_json::to_string(&kind).unwrap();
        assert!(line.contains(r#""weights":"valid_accuracy""#), "{line}");
        assert_eq!(serde_json::from_str::<Kind>(&line).unwrap(), kind);
    }
}
