//! The step that runs the frozen layers of a stage over the images of one split.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::Schema;
use crate::data::augment::Augment;
use crate::event::split::SplitName;
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::{Pool, PrecisionSetting};
use crate::plan::steps::differences::differences;
use crate::plan::steps::rows::Rows;
use crate::plan::steps::{Key, Kind, Settings, digest, json};

/// The output of a frozen prefix for each image of a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// The layers, and the images they see.
    pub prefix: Prefix,
    /// The position of the stage that the layers are frozen in.
    pub stage: usize,
    /// The split.
    pub split: SplitName,
    /// How the images are changed; left out, they are as they are.
    pub view: Option<View>,
}

/// Everything that decides a frozen prefix's output for an image, besides images and weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prefix {
    /// The network.
    pub backbone: Backbone,
    /// How many of its blocks are the prefix.
    pub blocks: usize,
    /// How feature maps become one vector, which is a part of the prefix where that is the whole backbone.
    pub pool: Pool,
    /// The images.
    #[serde(flatten)]
    pub rows: Rows,
    /// The precision where one is asked for. What `auto` means differs from machine to machine; it is recorded with
    /// the result.
    #[serde(default)]
    pub precision: PrecisionSetting,
    /// Whose network of this name it is.
    #[serde(default)]
    pub implementation: Implementation,
}

/// The changes of training images in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct View {
    /// What is drawn.
    pub augment: Augment,
    /// Decides it, with the epoch.
    pub seed: u64,
    /// The epoch, from 1 on.
    pub epoch: usize,
}

impl Settings for Prefix {
    const KIND: Kind = Kind::Features;
    const VERSION: u32 = 1;

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<Prefix>);
        &SCHEMA
    }
}

impl View {
    /// What tells the view from others. In version 1, which had no name for itself, all settings of augmentation stood
    /// in it, so that each new one had every kept view made again; now those do that differ from their defaults.
    fn key(&self) -> Key {
        const VERSION: u32 = 2;
        static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of::<View>);
        let drawn = Augment { cached_views: 0, ..self.augment.clone() };
        let settings = differences(&SCHEMA, &json(&Self { augment: drawn, ..self.clone() }));
        digest(serde_json::json!([VERSION, settings]))[..16].to_owned()
    }
}

impl Features {
    /// The key of the features of `prefix`, whose own key is `of_prefix`.
    pub(in crate::plan) fn key(&self, of_prefix: &str) -> Key {
        let split = self.split;
        match &self.view {
            None => format!("{of_prefix}-{split}"),
            Some(view) => format!("{of_prefix}-{split}-{}", view.key()),
        }
    }

    /// How the split is called in events and reports: a view of it by the key of its changes.
    pub fn split_name(&self) -> String {
        match &self.view {
            None => self.split.to_string(),
            Some(view) => format!("{}-{}", self.split, view.key()),
        }
    }
}
