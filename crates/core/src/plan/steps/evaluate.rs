//! The step that tests the final weights.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::schema::Schema;
use crate::plan::steps::differences::differences;
use crate::plan::steps::rows::Rows;
use crate::plan::steps::{Key, Kind, Settings, json};
use crate::settings::evaluate;

/// Predictions of the final weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// What decides them.
    pub settings: EvaluateSettings,
    /// The position of the last stage, whose weights are tested.
    pub stage: usize,
    /// The key of the kept output of its frozen prefix; left out where there is none.
    pub features: Option<Key>,
}

/// Everything that decides the test of the final weights, besides these and the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluateSettings {
    /// The images. `limit` and `image_size` are not compared: the weights come from a stage that has them in its key.
    #[serde(flatten)]
    pub rows: Rows,
    /// How they are looked at.
    #[serde(default)]
    pub evaluate: evaluate::Evaluate,
}

impl Settings for EvaluateSettings {
    const KIND: Kind = Kind::Evaluate;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<EvaluateSettings>);
        &SCHEMA
    }

    /// The settings, in the shape that keys have had from the first version on: the split's parts stand by themselves
    /// where the images are looked at as they are.
    fn hashed(&self) -> Json {
        let mut all = differences(Self::schema(), &json(self));
        let Some(fields) = all.as_object_mut() else { return all };
        fields.remove("limit");
        fields.remove("image_size");
        if !fields.contains_key("evaluate")
            && let Some(Json::Object(split)) = fields.remove("split")
        {
            fields.extend(split);
        }
        all
    }
}
