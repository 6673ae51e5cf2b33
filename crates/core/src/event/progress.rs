//! How far work is: shown while it goes on, and stored nowhere.

use serde::{Deserialize, Serialize};

use crate::event::number;

/// How far work is that is not training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advance {
    /// What is done: `images` are decoded, `features` computed, `weights` fetched, or `evaluation`.
    pub what: String,
    /// How much of it is done: bytes of weights, else images.
    pub done: usize,
    /// How much there is in all.
    pub of: usize,
    /// Speed since it began.
    #[serde(with = "number")]
    pub per_second: f64,
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Name of the stage.
    pub stage: String,
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Planned epochs.
    pub epochs: usize,
    /// Step within the epoch, counted from 1.
    pub step: usize,
    /// Steps in the epoch.
    pub steps: usize,
    /// Mean training loss of the epoch so far.
    #[serde(with = "number")]
    pub loss: f64,
    /// Training accuracy of the epoch so far.
    #[serde(with = "number")]
    pub accuracy: f64,
    /// Speed of training.
    #[serde(with = "number")]
    pub images_per_second: f64,
}
