//! Training: stages, optimizers, schedules, early stopping, features of frozen prefixes, evaluation.
//!
//! **Invariant:** says what happens to a [`crate::event::Sink`] and hands checkpoints out; reads and
//! writes no file itself.

pub mod checkpoint;
pub mod fit;
pub mod images;
pub mod optimizer;
pub mod schedule;
pub mod stopping;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::model::trainable::Trainable;
use crate::train::optimizer::Optimizer;
use crate::train::schedule::Schedule;
use crate::train::stopping::EarlyStopping;

/// One `[[stages]]` table: a phase of training. Stages follow one another with the weights of the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// Its name, for grids, `--set` and the report: letters, digits, `-` and `_`.
    pub name: String,
    /// What trains besides the head: `"head"` for nothing, `"all"`, the name of a block or layer of the
    /// backbone from which on everything does, as in weight files (`"features.16"`, `"layer4"`) or as in
    /// Keras (`"block5"`, `"block4_conv3"`, `"conv5_block1"`), or `{ last = 6 }` for the last layers as
    /// Keras counts them, activations and poolings included. `ferrite plan --layers` lists what it means.
    pub trainable: Trainable,
    /// Passes over the training images, at most.
    pub epochs: usize,
    /// Images per optimizer step; the last batch of an epoch may be smaller, as in Keras.
    pub batch_size: usize,
    /// How gradients change the weights.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// When to stop before the last epoch. Left out: never, and the last epoch's weights go on.
    pub early_stopping: Option<EarlyStopping>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            name: "train".into(),
            trainable: Trainable::default(),
            epochs: 10,
            batch_size: 64,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            early_stopping: None,
        }
    }
}

impl Stage {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let named = !self.name.is_empty()
            && self.name.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it));
        let own = [
            Problem::unless(named, "name", "must be letters, digits, `-` and `_`"),
            Problem::unless(self.epochs >= 1, "epochs", "must be at least 1"),
            Problem::unless(
                (2..=65_536).contains(&self.batch_size),
                "batch_size",
                "must be from 2 to 65536: batch norm needs a variance",
            ),
        ];
        let optimizer = self.optimizer.check().into_iter().map(|it| it.within("optimizer"));
        let schedule = self.schedule.check().into_iter().map(|it| it.within("schedule"));
        let stopping = self.early_stopping.iter().flat_map(EarlyStopping::check);
        let stopping = stopping.map(|it| it.within("early_stopping"));
        own.into_iter().flatten().chain(optimizer).chain(schedule).chain(stopping).collect()
    }
}
