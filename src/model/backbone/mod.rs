//! The registry of backbones: pretrained networks without their classifier.
//!
//! A backbone is one file that builds its blocks, and one line in [`Backbone::build`].

mod mobilenet_v2;
pub mod published;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::backbone::published::Published;
use crate::model::layer::{Builder, Layer};

/// Which backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Backbone {
    /// MobileNetV2 as in torchvision: 2.2 million parameters, 1280 features.
    #[default]
    #[serde(rename = "mobilenet_v2")]
    MobileNetV2,
}

/// A backbone's blocks, in forward order.
#[derive(Debug, Clone)]
pub struct Described {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Channels behind the last block.
    pub channels: usize,
    /// The smallest image, in pixels a side, that leaves every block something to see.
    pub least_image_size: usize,
    /// Input pixels a side for each position behind the last block.
    pub stride: usize,
}

/// A part of a backbone, between two of which a frozen prefix can end.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name in weight files.
    pub name: String,
    /// Its name in Keras.
    pub alias: String,
    /// What it does.
    pub layers: Vec<Layer>,
}

impl Backbone {
    /// Every registered backbone.
    pub const ALL: [Self; 1] = [Self::MobileNetV2];

    /// The network's blocks; their tensors go into `builder`.
    pub fn build(self, builder: &mut Builder) -> Described {
        match self {
            Self::MobileNetV2 => mobilenet_v2::build(builder),
        }
    }

    /// The weights that are published for it.
    pub fn published(self) -> &'static [Published] {
        match self {
            Self::MobileNetV2 => mobilenet_v2::PUBLISHED,
        }
    }
}
