//! The steps of a trial, each under the key of what decides its result.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::config::Experiment;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::data::synthetic::SIZE;
use crate::data::{Data, Leakage};
use crate::digits::hex;
use crate::model::trainable::{Trainable, resolve};
use crate::model::{Model, Noise, PrecisionSetting, Unit};
use crate::plan::{Kind, Step};
use crate::settings::Stage;
use crate::settings::evaluate::Evaluate;

/// Versions of the steps' code: raised when a step would give other results for the same settings.
const VERSIONS: [(Kind, u32); 4] =
    [(Kind::Dataset, 1), (Kind::Features, 1), (Kind::Stage, 1), (Kind::Evaluate, 1)];

/// What identifies the content that a trial begins with.
pub(super) struct Inputs {
    /// The decoded images.
    pub images: String,
    /// The votes that labels come from, if they do.
    pub votes: Option<String>,
    /// The first weights.
    pub weights: String,
}

/// The steps of a trial with their keys.
pub(super) fn steps(settings: &Experiment, inputs: Inputs) -> Vec<Step> {
    let Inputs { images, votes, mut weights } = inputs;
    let rows = rows_settings(&settings.data, votes.as_deref());
    let step = |kind, stage: &str, settings: Json, inputs: &[&str]| Step {
        kind,
        stage: stage.to_owned(),
        key: key(kind, &settings, inputs),
    };
    let dataset = step(Kind::Dataset, "", Json::Null, &[&images]);
    let dataset_key = dataset.key.clone();
    let mut steps = vec![dataset];
    for stage in &settings.stages {
        let name = stage.name.as_str();
        if frozen_blocks(&settings.model, &stage.trainable) > 0 {
            let what = with(features_settings(settings, &stage.trainable), &rows);
            steps.push(step(Kind::Features, name, what, &[&dataset_key, &weights]));
        }
        let what = with(stage_settings(settings, stage), &rows);
        let stage = step(Kind::Stage, name, what, &[&dataset_key, &weights]);
        weights.clone_from(&stage.key);
        steps.push(stage);
    }
    let what = with(evaluate_settings(settings), &rows);
    steps.push(step(Kind::Evaluate, "", what, &[&dataset_key, &weights]));
    steps
}

/// What decides, beside splits and limit, which images there are, what they are called and what is seen of them.
/// Nothing by default.
fn rows_settings(data: &Data, votes: Option<&str>) -> Map<String, Json> {
    let mut settings = Map::new();
    if let (Labels::Ferplus(it), Some(votes)) = (&data.labels, votes) {
        settings.insert("labels".into(), serde_json::json!({ "ferplus": [it.rule, votes] }));
    }
    if data.leakage != Leakage::default() {
        settings.insert("leakage".into(), serde_json::json!(data.leakage));
    }
    // Rows of a table were drawn by their numbers once; the mark tells the results apart.
    let draws = data.split.draws() || data.limit.is_some();
    if draws && matches!(data.source, Source::Fer2013 { .. }) {
        settings.insert("drawn".into(), "by-picture".into());
    }
    // Images were shrunk without antialiasing once. Pictures of files are shrunk when they are decoded, and their key
    // says how.
    let stored = match data.source {
        Source::Fer2013 { .. } | Source::Synthetic(_) => SIZE,
        Source::Folder { .. } | Source::Manifest(_) => 0,
    };
    if data.image_size < stored {
        settings.insert("shrunk".into(), "antialiased".into());
    }
    settings
}

/// The table `settings` with `more` in it.
fn with(mut settings: Json, more: &Map<String, Json>) -> Json {
    if let Json::Object(fields) = &mut settings {
        fields.extend(more.clone());
    }
    settings
}

/// What decides the test of the final weights, besides these and the images.
fn evaluate_settings(settings: &Experiment) -> Json {
    let split = different(&settings.data.split);
    if settings.evaluate == Evaluate::default() {
        return split;
    }
    serde_json::json!({ "split": split, "evaluate": different(&settings.evaluate) })
}

/// How many blocks lie wholly before what trains.
fn frozen_blocks(model: &Model, trainable: &Trainable) -> usize {
    resolve(model, trainable).map_or(0, |it| it.frozen_blocks)
}

/// What decides a frozen prefix's output, besides images and weights.
fn features_settings(settings: &Experiment, trainable: &Trainable) -> Json {
    let what = serde_json::json!({
        "backbone": settings.model.backbone,
        "blocks": frozen_blocks(&settings.model, trainable),
        "pool": settings.model.head.pool,
        "image_size": settings.data.image_size,
        "split": different(&settings.data.split),
        "limit": settings.data.limit,
    });
    with(what, &precision_settings(&settings.model))
}

/// The precision where one is asked for. What `auto` means differs from machine to machine, and finished work
/// stays finished.
fn precision_settings(model: &Model) -> Map<String, Json> {
    let asked = model.precision != PrecisionSetting::Auto;
    asked.then(|| ("precision".into(), serde_json::json!(model.precision))).into_iter().collect()
}

/// What decides a stage's result, besides images and first weights.
fn stage_settings(settings: &Experiment, stage: &Stage) -> Json {
    let mut what = serde_json::json!({
        "seed": settings.seeds,
        "split": different(&settings.data.split),
        "limit": settings.data.limit,
        "image_size": settings.data.image_size,
        "augment": different(&settings.augment),
        "backbone": settings.model.backbone,
        "head": different(&settings.model.head),
        "noise": noise_settings(&settings.noise),
        "batch_norm": different(&settings.batch_norm),
        "stage": different(stage),
    });
    if settings.model.input_norm {
        what["input_norm"] = true.into();
    }
    with(what, &precision_settings(&settings.model))
}

/// What decides the noise. On the input, in units that the channel decides, it had once one strength for all
/// three channels; the mark tells the results apart.
fn noise_settings(noise: &Noise) -> Json {
    let mut settings = different(noise);
    if noise.input.is_some_and(|it| it.unit != Unit::Layer) {
        settings["input_by_channel"] = true.into();
    }
    settings
}

/// The key of the step that decodes the images which `Lookup::images` has identified.
pub fn dataset_key(images: &str) -> String {
    key(Kind::Dataset, &Json::Null, &[images])
}

/// The fields of `value` that differ from their default.
fn different<T: Serialize + Default>(value: &T) -> Json {
    let json = |it: &T| serde_json::to_value(it).expect("settings are plain JSON");
    let (value, default) = (json(value), json(&T::default()));
    let (Json::Object(fields), Json::Object(defaults)) = (&value, &default) else { return value };
    let fields = fields.iter().filter(|(name, value)| defaults.get(*name) != Some(value));
    Json::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn key(kind: Kind, settings: &Json, inputs: &[&str]) -> String {
    let version = VERSIONS.iter().find(|(it, _)| *it == kind).map_or(0, |(_, version)| *version);
    // serde_json keeps the keys of objects sorted, so equal settings are equal text.
    let text = serde_json::json!([kind.name(), version, settings, inputs]).to_string();
    hex(&Sha256::digest(text))
}
