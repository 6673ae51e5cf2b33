//! The step that looks for faces in the pictures of a source.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::Schema;
use crate::data::Data;
use crate::data::faces::Detector;
use crate::plan::steps::{Key, Kind, Settings};

/// The faces in the pictures of a source, all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detections {
    /// Where the pictures come from.
    pub data: Data,
    /// What finds them.
    pub settings: DetectionSettings,
}

/// Everything that decides which faces are found in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DetectionSettings {
    /// What finds them.
    pub detector: Detector,
}

impl Settings for DetectionSettings {
    const KIND: Kind = Kind::Detections;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<DetectionSettings>);
        &SCHEMA
    }
}

impl Detections {
    /// The key of the faces in the decoded images under the key `dataset`.
    pub(in crate::plan) fn key(&self, dataset: &str) -> Key {
        self.settings.key(&[dataset])
    }
}
