//! The chain of steps that makes a trial, each with everything that it does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Experiment;
use crate::event::split::SplitName;
use crate::model::trainable::resolve;
use crate::plan::Trial;
use crate::plan::steps::dataset::Dataset;
use crate::plan::steps::detections::{DetectionSettings, Detections};
use crate::plan::steps::evaluate::{Evaluate, EvaluateSettings};
use crate::plan::steps::faces::{FaceSettings, Faces};
use crate::plan::steps::features::{Features, Prefix, View};
use crate::plan::steps::rows::Rows;
use crate::plan::steps::stage::{Stage, StageFeatures, StageSettings, draws};
use crate::plan::steps::{Key, Settings, Step};
use crate::settings;

/// What identifies the content that a trial begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The decoded images.
    pub images: Arc<str>,
    /// The votes that labels come from, if they do.
    pub votes: Option<Arc<str>>,
    /// The first weights.
    pub weights: String,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Names its result.
    pub key: Key,
    /// What it does.
    pub step: Step,
}

/// Puts the steps of one trial together.
struct Builder<'a> {
    settings: &'a Experiment,
    seed: u64,
    rows: Rows,
    /// The images that the network sees.
    images: Key,
    /// What the next step starts from.
    weights: String,
    links: Vec<Link>,
}

impl Trial {
    /// Its steps in order, in full.
    pub fn chain(&self) -> Vec<Link> {
        chain(&self.settings, self.seed, &self.inputs)
    }
}

/// The steps of the trial with these settings and this seed, in order. Features stand before the first step that uses
/// them.
pub(super) fn chain(settings: &Experiment, seed: u64, inputs: &Inputs) -> Vec<Link> {
    let dataset = Dataset { data: settings.data.clone() };
    let key = dataset.key_of(&inputs.images);
    let mut builder = Builder {
        settings,
        seed,
        rows: Rows::new(&settings.data, inputs.votes.as_deref()),
        images: key.clone(),
        weights: inputs.weights.clone(),
        links: vec![Link { key, step: Step::Dataset(dataset) }],
    };
    builder.faces();
    for (position, stage) in settings.stages.iter().enumerate() {
        builder.stage(position, stage);
    }
    builder.links
}

impl Builder<'_> {
    /// The images of faces, if such are looked for, and what was found before.
    fn faces(&mut self) {
        let data = &self.settings.data;
        let Some(settings) = &data.faces else { return };
        let detector = settings.detector.clone();
        let detections =
            Detections { data: data.clone(), settings: DetectionSettings { detector } };
        let found = detections.key(&self.images);
        let settings = FaceSettings::new(settings, data.image_size);
        let faces = Faces { data: data.clone(), settings };
        let placed = faces.key([&self.images, &found]);
        self.images.clone_from(&placed);
        self.links.push(Link { key: found, step: Step::Detections(detections) });
        self.links.push(Link { key: placed, step: Step::Faces(faces) });
    }

    /// A stage, behind the features that it trains on; behind the last stage its evaluation.
    fn stage(&mut self, position: usize, stage: &settings::Stage) {
        let prefix = self.prefix(stage);
        let kept = prefix.map(|it| (it.key(&[&self.images, &self.weights]), it));
        let mut keep = |split, view| {
            let (of_prefix, prefix) = kept.as_ref()?;
            let step = Features { prefix: prefix.clone(), stage: position, split, view };
            let key = step.key(of_prefix);
            self.links.push(Link { key: key.clone(), step: Step::Features(step) });
            Some(key)
        };
        let views = views(self.settings, self.seed, (position, stage));
        let train = views.into_iter().filter_map(|it| keep(SplitName::Train, it)).collect();
        let features = StageFeatures { train, valid: keep(SplitName::Valid, None) };
        let is_last = position + 1 == self.settings.stages.len();
        let tests = self.settings.data.split.tests();
        let tested =
            if is_last && tests { keep(SplitName::Test, None) } else { features.valid.clone() };
        let settings = StageSettings::new(self.settings, &self.rows, stage);
        let inputs = [self.images.as_str(), &self.weights];
        let (key, lineage) = settings.key_and_lineage(&inputs);
        self.weights.clone_from(&key);
        let stage = Stage { settings, position, features, lineage };
        self.links.push(Link { key, step: Step::Stage(Box::new(stage)) });
        if is_last {
            self.evaluate(position, tested);
        }
    }

    fn evaluate(&mut self, stage: usize, features: Option<Key>) {
        let (rows, evaluate) = (self.rows.clone(), self.settings.evaluate);
        let settings = EvaluateSettings { rows, evaluate };
        let key = settings.key(&[&self.images, &self.weights]);
        let step = Step::Evaluate(Evaluate { settings, stage, features });
        self.links.push(Link { key, step });
    }

    /// The frozen layers of `stage`, if their output for an image depends on nothing else and can be kept.
    fn prefix(&self, stage: &settings::Stage) -> Option<Prefix> {
        let Experiment { model, batch_norm, .. } = self.settings;
        let blocks = resolve(model, &stage.trainable).map_or(0, |it| it.frozen_blocks);
        (blocks > 0 && batch_norm.frozen_layers.sees_one_image()).then(|| Prefix {
            backbone: model.backbone,
            blocks,
            pool: model.head.pool,
            rows: self.rows.clone(),
            precision: model.precision,
            implementation: model.implementation(),
        })
    }
}

/// The views of the training images that a stage trains on: none if there is a new one in every epoch, one that is not
/// changed if nothing changes images.
fn views(
    settings: &Experiment,
    seed: u64,
    (position, stage): (usize, &settings::Stage),
) -> Vec<Option<View>> {
    let augment = &settings.augment;
    if settings.noise.input.is_some() || stage.mixes() {
        return Vec::new();
    }
    if !augment.acts() {
        return vec![None];
    }
    let seed = draws(seed, position);
    let view = |epoch| Some(View { augment: augment.clone(), seed, epoch });
    (1..=augment.cached_views.min(stage.epochs)).map(view).collect()
}
