//! How much a step has to compute: what forecasts of its time are made from.
//!
//! Everything is counted in multiplications of VGG16, and whatever else is done as so many of them as take about as long. Only
//! the ratio within a kind of step has to be right: how long one takes is learned from what was recorded.

use std::collections::HashMap;

use crate::data::source::Source;
use crate::event::split::SplitName;
use crate::model::backbone::Backbone;
use crate::model::summary::multiplications;
use crate::model::trainable::resolve;
use crate::plan::chain::Link;
use crate::plan::steps::stage::StageSettings;
use crate::plan::steps::{Kind, Step};

/// A step's passes over what trains: forward, and backward for gradients of values and of weights.
const PASSES: f64 = 3.0;

/// What a batch costs whatever is in it: a millisecond of a core that does 3e10 multiplications a second, as heads show that
/// train on kept features.
const BATCH: f64 = 3e7;

/// Images in a batch where nothing trains.
const SEEN_AT_ONCE: f64 = 64.0;

/// What it costs to draw a face, to decode a picture, to read a row of a table, to look for faces in a picture, and to place one.
const DRAWN: f64 = 1.5e7;
const DECODED: f64 = 7e6;
const READ: f64 = 1.5e6;
const SEARCHED: f64 = 5e8;
const PLACED: f64 = 3e7;

/// How many images a trial sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Images {
    /// All that are decoded.
    pub all: f64,
    /// Those of each split, in the order train, valid, test.
    pub splits: [f64; 3],
}

/// What a step has to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// How much that is, in multiplications.
    pub amount: f64,
    /// What sets it apart: steps with the same words here differ in their amount alone.
    pub alike: String,
    /// The same without the network and its size.
    pub broad: String,
}

/// Counts the work of steps. Networks that were counted are remembered.
#[derive(Debug, Default)]
pub struct Costs {
    known: HashMap<String, [f64; 2]>,
}

impl Images {
    fn of(&self, split: SplitName) -> f64 {
        let [train, valid, test] = self.splits;
        match split {
            SplitName::Train => train,
            SplitName::Valid => valid,
            SplitName::Test => test,
        }
    }
}

impl Costs {
    /// The work of each step of `chain` on so many `images`, if no stage ends early.
    pub fn of(&mut self, chain: &[Link], images: &Images) -> Vec<Work> {
        // What the prefix of a stage costs is said by the stage that it belongs to.
        let stages: Vec<&StageSettings> = chain
            .iter()
            .filter_map(|it| match &it.step {
                Step::Stage(stage) => Some(&stage.settings),
                _ => None,
            })
            .collect();
        let mut works = Vec::with_capacity(chain.len());
        for link in chain {
            works.push(match &link.step {
                Step::Dataset(it) => {
                    let (each, what) = match it.data.source {
                        Source::Synthetic(_) => (DRAWN, "drawn"),
                        Source::Folder { .. } => (DECODED, "folder"),
                        Source::Fer2013 { .. } => (READ, "table"),
                        Source::Manifest(_) => (DECODED, "manifest"),
                    };
                    plain(Kind::Dataset, each * images.all, what)
                }
                Step::Detections(_) => plain(Kind::Detections, SEARCHED * images.all, ""),
                Step::Faces(_) => plain(Kind::Faces, PLACED * images.all, ""),
                Step::Features(it) => {
                    let [prefix, _] = self.of_network(stages[it.stage]);
                    let images = images.of(it.split);
                    let amount = images * prefix + images / SEEN_AT_ONCE * BATCH;
                    of_network(Kind::Features, amount, stages[it.stage], "")
                }
                Step::Stage(it) => {
                    let counted = self.of_network(&it.settings);
                    let kept = [!it.features.train.is_empty(), it.features.valid.is_some()];
                    let amount = in_epoch(counted, images, kept, it.settings.stage.batch_size)
                        * it.settings.stage.epochs as f64;
                    of_network(Kind::Stage, amount, &it.settings, trains(counted, kept[0]))
                }
                Step::Evaluate(it) => {
                    let [prefix, rest] = self.of_network(stages[it.stage]);
                    let prefix = if it.features.is_some() { 0.0 } else { prefix };
                    let views = it.settings.evaluate.views.count() as f64;
                    let [_, valid, test] = images.splits;
                    let images = views * if test > 0.0 { test } else { valid };
                    let amount = images * (prefix + rest) + images / SEEN_AT_ONCE * BATCH;
                    let what = if it.features.is_some() { "on kept features" } else { "" };
                    of_network(Kind::Evaluate, amount, stages[it.stage], what)
                }
            });
        }
        works
    }

    /// Multiplications for an image in the frozen prefix of a stage, and in all that is behind it.
    fn of_network(&mut self, settings: &StageSettings) -> [f64; 2] {
        let (model, trainable) = (settings.model(), &settings.stage.trainable);
        let image_size = settings.rows.image_size();
        let network = format!("{model:?} {image_size} {trainable:?}");
        *self.known.entry(network).or_insert_with(|| {
            let trained = resolve(&model, trainable);
            let counted = trained.map_or([0.0; 2], |it| multiplications(&model, image_size, &it));
            counted.map(|it| it * dearness(model.backbone))
        })
    }
}

/// How much longer a multiplication of this network takes than one of VGG16: depthwise convolutions multiply little of what they
/// read, and small ones wait for memory. From the training steps of docs/benchmarks.md.
fn dearness(backbone: Backbone) -> f64 {
    match backbone {
        Backbone::Vgg16 | Backbone::Vgg16Bn | Backbone::Vgg19 => 1.0,
        Backbone::ResNet18
        | Backbone::ResNet34
        | Backbone::ResNet50
        | Backbone::Xception
        | Backbone::ConvNeXtTiny => 2.0,
        Backbone::MobileNetV2 | Backbone::EfficientNetB0 => 5.0,
    }
}

/// The work of an epoch: training images forward and backward, validation images forward, through the prefix where its output
/// is not kept.
fn in_epoch([prefix, rest]: [f64; 2], images: &Images, kept: [bool; 2], batch_size: usize) -> f64 {
    let [train, valid] = kept.map(|it| if it { 0.0 } else { prefix });
    let [trained, validated, _] = images.splits;
    let batches = trained / batch_size.max(1) as f64 + validated / SEEN_AT_ONCE;
    trained * (train + PASSES * rest) + validated * (valid + rest) + batches * BATCH
}

/// How much of the network a stage's steps go through: the speed of a multiplication differs between these.
fn trains([prefix, _]: [f64; 2], is_kept: bool) -> &'static str {
    match prefix {
        0.0 => "all trains",
        _ if is_kept => "on kept features",
        _ => "behind frozen layers",
    }
}

fn plain(kind: Kind, amount: f64, what: &str) -> Work {
    let alike = format!("{} {what}", kind.name());
    Work { amount, broad: alike.clone(), alike }
}

fn of_network(kind: Kind, amount: f64, settings: &StageSettings, what: &str) -> Work {
    let (kind, backbone) = (kind.name(), settings.backbone.name());
    let (size, precision) = (settings.rows.image_size(), settings.precision);
    Work {
        amount,
        alike: format!("{kind} {backbone} {size} {precision:?} {what}"),
        broad: format!("{kind} {what}"),
    }
}
