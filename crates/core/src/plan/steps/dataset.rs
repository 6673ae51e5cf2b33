//! The step that decodes images.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::schema::Schema;
use crate::data::Data;
use crate::plan::steps::{Key, Kind, Settings};

/// The images of a source, decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dataset {
    /// Where they come from, and which of them train, validate and test.
    pub data: Data,
}

impl Settings for Dataset {
    const KIND: Kind = Kind::Dataset;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Dataset>);
        &SCHEMA
    }

    /// Nothing: the fingerprint of the images, which is the step's input, is made of the settings that decoding depends
    /// on, beside the content. Splits are drawn when decoded images are opened.
    fn hashed(&self) -> Json {
        Json::Null
    }
}

impl Dataset {
    /// The key of the decoded images which `Lookup::images` has identified.
    pub fn key_of(&self, images: &str) -> Key {
        self.key(&[images])
    }
}
