//! The step that makes images of faces out of pictures and of the faces that were found in them.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::Schema;
use crate::data::Data;
use crate::data::faces::{self, Align, Choice, Template};
use crate::plan::steps::{Key, Kind, Settings};

/// The faces of the pictures of a source, aligned or cropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faces {
    /// Where the pictures come from, and how their faces are placed.
    pub data: Data,
    /// What of it decides the images.
    pub settings: FaceSettings,
}

/// Everything that decides the image of a face that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaceSettings {
    choose: Choice,
    align: Align,
    margin: f64,
    template: Template,
    image_size: usize,
}

impl FaceSettings {
    /// What of `faces` decides the images, at `image_size` pixels a side.
    pub(in crate::plan) fn new(faces: &faces::Faces, image_size: usize) -> Self {
        // The detector is in the key of what it found, and what is missing is decided when images are split.
        let faces::Faces { detector: _, choose, align, margin, template, missing: _ } =
            faces.clone();
        Self { choose, align, margin, template, image_size }
    }
}

impl Settings for FaceSettings {
    const KIND: Kind = Kind::Faces;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<FaceSettings>);
        &SCHEMA
    }
}

impl Faces {
    /// The key of the images that are made of the decoded images `dataset` and of what was found in them.
    pub(in crate::plan) fn key(&self, [dataset, detections]: [&str; 2]) -> Key {
        self.settings.key(&[dataset, detections])
    }
}
