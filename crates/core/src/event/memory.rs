//! What was done about a lack of memory.

use serde::{Deserialize, Serialize};

/// A batch did not fit into memory: from this step on the gradients of a stage's batches are computed in parts and added up,
/// which is the same step of the optimizer but for rounding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divided {
    /// Name of the stage.
    pub stage: String,
    /// Epoch within the stage, counted from 1.
    pub epoch: usize,
    /// Step within the epoch, counted from 1.
    pub step: usize,
    /// Images of a whole batch, as the settings ask for.
    pub batch: usize,
    /// Images of which a gradient is computed at once.
    pub at_once: usize,
    /// Whether batch norms compute with the statistics of what they see at once, so that the result is another one.
    pub norms: bool,
    /// What the system said.
    pub message: String,
}
