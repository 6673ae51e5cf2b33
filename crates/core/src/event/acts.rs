//! What techniques did: in an epoch, to the weights that are kept, and why a stage ended.

use serde::{Deserialize, Serialize};

use crate::event::{Scores, Signal, number};

/// What techniques of training did in an epoch; each part is absent where its technique is off.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TechniqueEvidence {
    /// Gradient clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped: Option<Clipped>,
    /// Mixup and cutmix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// Images of each class that the epoch saw, where they were drawn by class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Vec<usize>>,
    /// Steps that learned nothing, because `loss.class_weights` gives 0 to the class of every image of their batch; absent
    /// where every class counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weightless: Option<usize>,
    /// Each class's share of the loss, where classes are weighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighed: Option<Vec<f64>>,
    /// Share of the head's values that dropout set to 0, measured after the first epoch.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub dropped: Option<f64>,
    /// The least loss that the smoothed labels of the first epoch allow: that of answers which are as sure as they.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub least_loss: Option<f64>,
    /// What Muon trains and what it leaves to `AdamW`, told of the first epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orthogonalized: Option<Orthogonalized>,
    /// L2 distance of the moving average from the weights after the epoch, as a share of the weights' norm.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub averaged: Option<f64>,
    /// L2 norm of everything that trains, where weight decay pulls at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// How far the running means of frozen batch norms moved, as a share of their norm then, where they follow the batches.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::optional")]
    pub moved: Option<f64>,
    /// What the batch norm in front of the backbone makes of the pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalized: Option<Normalized>,
}

/// What Muon trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orthogonalized {
    /// Hidden matrices, whose steps are orthogonalised.
    pub matrices: usize,
    /// Values in them.
    pub values: usize,
    /// Values that `AdamW` trains.
    pub others: usize,
}

/// The L2 norm of everything that trains, around an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    /// Before the epoch.
    #[serde(with = "number")]
    pub before: f64,
    /// After it.
    #[serde(with = "number")]
    pub after: f64,
}

/// What a batch norm makes of its input, over all channels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalized {
    /// What comes in, by its running statistics.
    pub from: Signal,
    /// What goes out, by its shift and scale.
    pub to: Signal,
}

/// What gradient clipping did in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clipped {
    /// Share of steps whose gradient was changed.
    #[serde(with = "number")]
    pub share: f64,
    /// Mean L2 norm of the gradients before.
    #[serde(with = "number")]
    pub norm: f64,
}

/// How much of the images of an epoch came from other images of their batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixed {
    /// Mean share of the other image's pixels, 0-1.
    #[serde(with = "number")]
    pub other: f64,
    /// Share of the batches in which a rectangle was taken (cutmix); the others were blended (mixup).
    #[serde(with = "number")]
    pub cut: f64,
}

impl TechniqueEvidence {
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
    #[serde(with = "number")]
    pub value: f64,
}

/// Several views of each image in a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Viewed {
    /// What they are, e.g. `flip`.
    pub name: String,
    /// How many views of an image there are.
    pub count: usize,
    /// Loss and accuracy of the same weights on the images as they are.
    pub plain: Scores,
}

/// Why a stage ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// All planned epochs were trained.
    Completed,
    /// The monitored value did not improve for `patience` epochs.
    Early {
        /// What was monitored, e.g. `valid_loss`.
        monitor: String,
        /// Epochs without improvement.
        patience: usize,
        /// The best value.
        #[serde(with = "number")]
        best: f64,
        /// Its epoch; 0 in logs that do not say.
        #[serde(default)]
        best_epoch: usize,
        /// The value in the last epoch.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional")]
        last: Option<f64>,
        /// What the value had to beat, if anything was set.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "number::optional")]
        baseline: Option<f64>,
    },
}
