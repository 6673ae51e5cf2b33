//! Where a stage is trained in parts: up to the rung of a search, or on from the end of a shorter stage.

use serde::{Deserialize, Serialize};

/// How many of its first epochs a stage did not train: one with the same settings and fewer epochs had trained them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Continued {
    /// Name of the stage.
    pub stage: String,
    /// How many epochs.
    pub epochs: usize,
    /// Time that they had taken, in seconds.
    pub seconds: f64,
}

/// Where a run of a search stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Name of the stage that is cut.
    pub stage: String,
    /// How many of its epochs are trained.
    pub epochs: usize,
    /// Time of this process, in seconds.
    pub seconds: f64,
}
