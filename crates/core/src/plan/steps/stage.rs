//! The step that trains one stage.

use std::sync::LazyLock;

use ferrite_random::{Random, Use};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::Experiment;
use crate::config::schema::Schema;
use crate::data::augment::Augment;
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::{BatchNorm, Head, Model, Noise, PrecisionSetting, Unit, Weights};
use crate::plan::steps::rows::Rows;
use crate::plan::steps::{Key, Kind, Settings, digest, key};
use crate::settings;

/// One trained stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What decides its result.
    pub settings: StageSettings,
    /// Its position among the stages of the trial, which together with the seed decides what is random in it. It is no
    /// part of the key by itself: the weights that a stage starts from are those of the stage before it.
    pub position: usize,
    /// The kept output of its frozen prefix.
    pub features: StageFeatures,
    /// Names the stages that train the same epochs as this one, as far as both go: see [`StageSettings::key_and_lineage`].
    pub lineage: Key,
}

/// The kept output of a stage's frozen prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageFeatures {
    /// The keys of that for the training images, one for each view of them; empty where they run through the prefix in
    /// every epoch.
    pub train: Vec<Key>,
    /// The key of that for the validation images, if it is kept.
    pub valid: Option<Key>,
}

/// Everything that decides a stage's result, besides images and first weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageSettings {
    /// The trial's seed, as the list of one that its settings have.
    pub seed: Vec<u64>,
    /// The images.
    #[serde(flatten)]
    pub rows: Rows,
    /// Changes of training images.
    pub augment: Augment,
    /// The network without its classifier.
    pub backbone: Backbone,
    /// What is put on top of it.
    pub head: Head,
    /// Noise layers.
    pub noise: StageNoise,
    /// What batch norms of frozen layers do.
    pub batch_norm: BatchNorm,
    /// The stage.
    pub stage: settings::Stage,
    /// Whether a batch norm stands in front of the backbone.
    #[serde(default)]
    pub input_norm: bool,
    /// The precision where one is asked for. What `auto` means differs from machine to machine; it is recorded with
    /// the result.
    #[serde(default)]
    pub precision: PrecisionSetting,
    /// Whose network of the backbone's name it is.
    #[serde(default)]
    pub implementation: Implementation,
}

/// Noise layers, and how their strength is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageNoise {
    /// The layers.
    #[serde(flatten)]
    pub layers: Noise,
    /// Whether noise on the input is counted in units that each channel decides for itself. It had one strength for
    /// all three channels once; results of both are told apart by this.
    #[serde(default)]
    input_by_channel: bool,
}

impl Settings for StageSettings {
    const KIND: Kind = Kind::Stage;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<StageSettings>);
        &SCHEMA
    }
}

impl StageSettings {
    /// What decides the result of `stage` in the trial with these settings.
    pub(in crate::plan) fn new(
        settings: &Experiment,
        rows: &Rows,
        stage: &settings::Stage,
    ) -> Self {
        // A setting of the model that has no place here would have none in a key.
        let implementation = settings.model.implementation();
        let Model { backbone, weights: _, implementation: _, input_norm, precision, head } =
            settings.model.clone();
        Self {
            seed: settings.seeds.clone(),
            rows: rows.clone(),
            augment: settings.augment.clone(),
            backbone,
            head,
            noise: StageNoise::new(&settings.noise),
            batch_norm: settings.batch_norm,
            stage: stage.clone(),
            input_norm,
            precision,
            implementation,
        }
    }

    /// Its key, and its lineage: what this stage shares with those that differ from it in nothing but how many epochs they
    /// have, so that a longer one can go on where a shorter one ended. Where the schedule spreads the rates over all epochs,
    /// other lengths are other trainings from the first step on, and share nothing.
    pub(in crate::plan) fn key_and_lineage(&self, inputs: &[&str]) -> (Key, Key) {
        let mut hashed = self.hashed();
        let own = key(Self::KIND, Self::VERSION, &hashed, inputs);
        let stage = hashed.get_mut("stage").and_then(Json::as_object_mut);
        if let Some(stage) = stage.filter(|_| !self.stage.schedule.spans_the_stage()) {
            stage.remove("epochs");
        }
        (own, digest(serde_json::json!(["lineage", Self::VERSION, hashed, inputs])))
    }

    /// The network that is trained, without the first weights, which are an input of the step.
    pub fn model(&self) -> Model {
        Model {
            backbone: self.backbone,
            weights: Weights::None,
            implementation: Some(self.implementation),
            input_norm: self.input_norm,
            precision: self.precision,
            head: self.head.clone(),
        }
    }
}

/// What decides everything random in the stage at `position` of a trial with this seed.
pub fn draws(seed: u64, position: usize) -> u64 {
    Random::at(seed, Use::Stage, position as u64, 0).bits()
}

impl StageNoise {
    fn new(layers: &Noise) -> Self {
        let input_by_channel = layers.input.is_some_and(|it| it.unit != Unit::Layer);
        Self { layers: layers.clone(), input_by_channel }
    }
}
