//! What techniques of training did: in an epoch, and to the weights that are kept.

use serde::{Deserialize, Serialize};

/// What techniques of training did in an epoch; each part is absent where its technique is off.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Acts {
    /// Gradient clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped: Option<Clipped>,
    /// Mixup and cutmix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// Images of each class that the epoch saw, where they were drawn by class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Vec<usize>>,
}

/// What gradient clipping did in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clipped {
    /// Share of steps whose gradient was changed.
    pub share: f64,
    /// Mean L2 norm of the gradients before.
    pub norm: f64,
}

/// How much of the images of an epoch came from other images of their batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixed {
    /// Mean share of the other image's pixels, 0-1.
    pub other: f64,
    /// Share of the batches in which a rectangle was taken (cutmix); the others were blended (mixup).
    pub cut: f64,
}

impl Acts {
    pub(in crate::event) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Weights that a stage keeps because they were the best under one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The metric, e.g. `valid_accuracy`; the weights' name in files.
    pub monitor: String,
    /// The epoch they are from.
    pub epoch: usize,
    /// The metric in that epoch.
    pub value: f64,
}
