//! Which training images an epoch sees: the `sampling` setting of a stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which training images an epoch sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each once, in random order.
    #[default]
    Shuffle,
    /// As many images, but each class equally often: images of rare classes come several times, of
    /// frequent ones a random part. Like PyTorch's `WeightedRandomSampler` with weights of 1 / images of
    /// the class, except that no image of a class comes again before all of it have come.
    Balanced,
}
