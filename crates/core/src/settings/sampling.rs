//! Which training images an epoch sees: the `sampling` setting of a stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which training images an epoch sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each image once, in random order.
    #[default]
    Shuffle,
    /// An epoch has as many images as there are, but each class equally often: images of rare classes are seen several
    /// times, of frequent classes only a random part is. It is PyTorch's `WeightedRandomSampler` with weights of 1 /
    /// (images of the class), except that no image of a class is repeated before all others of it were seen.
    Balanced,
}
