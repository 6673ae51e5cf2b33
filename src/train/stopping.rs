//! Early stopping, as Keras's `EarlyStopping` does it, folded from the epochs so far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::{Epoch, Stop};

/// The `early_stopping` table of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// What has to improve.
    pub monitor: Monitor,
    /// Epochs without improvement after which the stage stops.
    pub patience: usize,
    /// How much better than the best a value must be to count. An equal value is none.
    pub min_delta: f64,
    /// Whether the best epoch's weights go on, also when all epochs were trained (as in Keras 3);
    /// otherwise the last epoch's.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { monitor: Monitor::ValidLoss, patience: 10, min_delta: 0.0, restore_best: true }
    }
}

/// A value of an epoch that can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Loss on the validation images; less is better.
    #[default]
    ValidLoss,
    /// Accuracy on the validation images; more is better.
    ValidAccuracy,
}

impl Monitor {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValidLoss => "valid_loss",
            Self::ValidAccuracy => "valid_accuracy",
        }
    }

    /// The value in `epoch`.
    pub fn of(self, epoch: &Epoch) -> f64 {
        match self {
            Self::ValidLoss => epoch.valid.loss,
            Self::ValidAccuracy => epoch.valid.accuracy,
        }
    }

    /// Whether `value` is better than `best` by more than `min_delta`. Never true of NaN.
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::ValidLoss => value < best - min_delta,
            Self::ValidAccuracy => value > best + min_delta,
        }
    }

    /// Worse than every value.
    pub fn worst(self) -> f64 {
        match self {
            Self::ValidLoss => f64::INFINITY,
            Self::ValidAccuracy => f64::NEG_INFINITY,
        }
    }
}

/// Where early stopping stands after some epochs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The best epoch so far, counted from 1; 0 if none was a number.
    pub best_epoch: usize,
    /// Its value.
    pub best: f64,
    /// Epochs since.
    pub waited: usize,
}

impl EarlyStopping {
    /// What cannot be right in this table.
    pub fn check(&self) -> Vec<Problem> {
        let delta = self.min_delta >= 0.0 && self.min_delta.is_finite();
        [
            Problem::unless(self.patience >= 1, "patience", "must be at least 1"),
            Problem::unless(delta, "min_delta", "must be 0 or a positive number"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Where it stands after `epochs`.
    pub fn standing(&self, epochs: &[Epoch]) -> Standing {
        let start = Standing { best_epoch: 0, best: self.monitor.worst(), waited: 0 };
        epochs.iter().fold(start, |standing, epoch| {
            let value = self.monitor.of(epoch);
            if self.monitor.improves(value, standing.best, self.min_delta) {
                return Standing { best_epoch: epoch.epoch, best: value, waited: 0 };
            }
            Standing { waited: standing.waited + 1, ..standing }
        })
    }

    /// Why to stop after `epochs`, if so.
    pub fn stop(&self, epochs: &[Epoch]) -> Option<Stop> {
        let Standing { best, waited, .. } = self.standing(epochs);
        (waited >= self.patience).then(|| Stop::Early {
            monitor: self.monitor.name().into(),
            patience: self.patience,
            best,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::Scores;

    /// Epochs with these validation losses.
    pub(in crate::train) fn epochs(losses: &[f64]) -> Vec<Epoch> {
        let scores = |loss| Scores { loss, accuracy: 1.0 - loss };
        let epoch = |(index, loss): (usize, &f64)| Epoch {
            stage: "s".into(),
            epoch: index + 1,
            lr: 0.1,
            train: scores(*loss),
            valid: scores(*loss),
            seconds: 1.0,
            images_per_second: 1.0,
        };
        losses.iter().enumerate().map(epoch).collect()
    }

    #[test]
    fn patience_counts_from_the_last_best_and_ties_are_no_improvement() {
        let stopping = EarlyStopping { patience: 2, ..EarlyStopping::default() };
        assert_eq!(stopping.stop(&epochs(&[0.5, 0.4, 0.4])), None);
        let Some(Stop::Early { best, .. }) = stopping.stop(&epochs(&[0.5, 0.4, 0.4, 0.6])) else {
            panic!("did not stop")
        };
        assert_eq!(best, 0.4);
        assert_eq!(stopping.standing(&epochs(&[0.5, 0.4, 0.4, 0.6])).best_epoch, 2);
    }

    #[test]
    fn a_change_below_min_delta_does_not_count() {
        let stopping = EarlyStopping { patience: 1, min_delta: 0.1, ..EarlyStopping::default() };
        assert!(stopping.stop(&epochs(&[0.5, 0.45])).is_some());
        assert!(stopping.stop(&epochs(&[0.5, 0.35])).is_none());
    }

    #[test]
    fn accuracy_is_better_when_it_grows() {
        let monitor = Monitor::ValidAccuracy;
        let stopping = EarlyStopping { monitor, patience: 1, ..EarlyStopping::default() };
        assert!(stopping.stop(&epochs(&[0.5, 0.4])).is_none());
        assert!(stopping.stop(&epochs(&[0.5, 0.6])).is_some());
    }

    #[test]
    fn a_loss_that_is_no_number_never_is_the_best() {
        let standing = EarlyStopping::default().standing(&epochs(&[0.5, f64::NAN, 0.6]));
        assert_eq!((standing.best_epoch, standing.waited), (1, 2));
    }
}
