//! Early stopping, as Keras's `EarlyStopping` does it, folded from the epochs so far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Epoch;
use crate::event::acts::{Kept, Stop};
use crate::settings::is_default;

/// The `early_stopping` table of a stage: it works as `EarlyStopping` of Keras 3, epoch for epoch, but two defaults are
/// others, because Keras's own stop at the first epoch without improvement and go on with its weights.
///
/// ```toml
/// [[stages]]
/// epochs         = 100
/// early_stopping = { monitor = "valid_accuracy", patience = 8, min_delta = 0.001 }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// What has to improve.
    pub monitor: Monitor,
    /// Which way it improves.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "auto"))]
    pub mode: Mode,
    /// The stage stops after so many epochs without improvement.
    #[schemars(extend("x-unit" = "epochs", "x-keras" = 0))]
    pub patience: usize,
    /// How much better than the best value so far a value must be to count as an improvement. An equal value is none.
    pub min_delta: f64,
    /// So many epochs at the beginning are ignored: none of them can be the best one, and none counts as waiting.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0, "x-unit" = "epochs"))]
    pub start_from_epoch: usize,
    /// A value to beat: as long as no value is better than it, improvements do not reset `patience`. Left out: every
    /// improvement does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Whether the stage ends with the weights of its best epoch, even if all epochs were trained (as in Keras 3), or with
    /// those of its last epoch: Keras's `restore_best_weights`.
    #[schemars(extend("x-keras" = false))]
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            monitor: Monitor::ValidLoss,
            mode: Mode::Auto,
            patience: 10,
            min_delta: 0.0,
            start_from_epoch: 0,
            baseline: None,
            restore_best: true,
        }
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
    /// What training minimised, as it was while training; less is better.
    TrainLoss,
    /// Accuracy on the training images, as they were while training; more is better.
    TrainAccuracy,
}

/// Which way a watched value improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Losses by falling, accuracies by rising.
    #[default]
    Auto,
    /// By falling.
    Min,
    /// By rising.
    Max,
}

/// A direction in which values improve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::settings) enum Direction {
    Down,
    Up,
}

impl Direction {
    /// Whether `value` is better than `best` by more than `min_delta`. Never true of NaN.
    pub(in crate::settings) fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Down => value < best - min_delta,
            Self::Up => value > best + min_delta,
        }
    }

    /// Worse than every value.
    pub(in crate::settings) fn worst(self) -> f64 {
        match self {
            Self::Down => f64::INFINITY,
            Self::Up => f64::NEG_INFINITY,
        }
    }
}

impl Monitor {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::ValidLoss => "valid_loss",
            Self::ValidAccuracy => "valid_accuracy",
            Self::TrainLoss => "train_loss",
            Self::TrainAccuracy => "train_accuracy",
        }
    }

    /// The value in `epoch`.
    pub fn of(self, epoch: &Epoch) -> f64 {
        match self {
            Self::ValidLoss => epoch.valid.loss,
            Self::ValidAccuracy => epoch.valid.accuracy,
            Self::TrainLoss => epoch.train.loss,
            Self::TrainAccuracy => epoch.train.accuracy,
        }
    }

    /// The value in `epoch`, turned so that less is better.
    pub fn cost(self, epoch: &Epoch) -> f64 {
        match self.direction(Mode::Auto) {
            Direction::Down => self.of(epoch),
            Direction::Up => -self.of(epoch),
        }
    }

    /// The way it improves.
    pub(in crate::settings) fn direction(self, mode: Mode) -> Direction {
        match (mode, self) {
            (Mode::Min, _) | (Mode::Auto, Self::ValidLoss | Self::TrainLoss) => Direction::Down,
            (Mode::Max, _) | (Mode::Auto, Self::ValidAccuracy | Self::TrainAccuracy) => {
                Direction::Up
            }
        }
    }

    /// The first epoch with the best value, as Keras's `ModelCheckpoint(save_best_only=True)` keeps
    /// it; none before the first.
    pub fn best(self, epochs: &[Epoch]) -> Option<Kept> {
        let direction = self.direction(Mode::Auto);
        let better = |best: Option<Kept>, epoch: &Epoch| {
            let value = self.of(epoch);
            let old = best.as_ref().map_or(direction.worst(), |it| it.value);
            let new = || Kept { monitor: self.name().into(), epoch: epoch.epoch, value };
            if direction.improves(value, old, 0.0) { Some(new()) } else { best }
        };
        epochs.iter().fold(None, better)
    }
}

/// Where early stopping stands after some epochs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The best epoch so far, counted from 1; 0 while none was looked at.
    pub best_epoch: usize,
    /// Its value.
    pub best: f64,
    /// Epochs since, or since the baseline was beaten.
    pub waited: usize,
    /// Whether the last epoch says to stop.
    pub stops: bool,
}

impl EarlyStopping {
    /// What cannot be right in this table, in a stage of `epochs` epochs.
    pub fn check(&self, epochs: usize) -> Vec<Problem> {
        let delta = self.min_delta >= 0.0 && self.min_delta.is_finite();
        let baseline = self.baseline.is_none_or(f64::is_finite);
        [
            Problem::unless(self.patience >= 1, "patience", "must be at least 1"),
            Problem::unless(delta, "min_delta", "must be 0 or a positive number"),
            Problem::unless(
                self.start_from_epoch < epochs,
                "start_from_epoch",
                "must be below the stage's `epochs`, or nothing is ever looked at",
            ),
            Problem::unless(baseline, "baseline", "must be a finite number"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Where it stands after `epochs`.
    pub fn standing(&self, epochs: &[Epoch]) -> Standing {
        let best = self.monitor.direction(self.mode).worst();
        let start = Standing { best_epoch: 0, best, waited: 0, stops: false };
        let looked_at = epochs.iter().filter(|it| it.epoch > self.start_from_epoch);
        looked_at.fold(start, |standing, epoch| self.after(standing, epoch))
    }

    fn after(&self, before: Standing, epoch: &Epoch) -> Standing {
        let direction = self.monitor.direction(self.mode);
        let value = self.monitor.of(epoch);
        let waited = before.waited + 1;
        if direction.improves(value, before.best, self.min_delta) {
            let beats =
                self.baseline.is_none_or(|it| direction.improves(value, it, self.min_delta));
            let waited = if beats { 0 } else { waited };
            return Standing { best_epoch: epoch.epoch, best: value, waited, stops: false };
        }
        // The first one looked at is the best until there is a better one, whatever it is.
        let best_epoch = if before.best_epoch == 0 { epoch.epoch } else { before.best_epoch };
        let stops = waited >= self.patience && epoch.epoch > 1;
        Standing { best_epoch, waited, stops, ..before }
    }

    /// Why to stop after `epochs`, if so.
    pub fn stop(&self, epochs: &[Epoch]) -> Option<Stop> {
        let Standing { best, best_epoch, stops, .. } = self.standing(epochs);
        stops.then(|| Stop::Early {
            monitor: self.monitor.name().into(),
            patience: self.patience,
            best,
            best_epoch,
            last: epochs.last().map(|it| self.monitor.of(it)),
            baseline: self.baseline,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::Scores;
    use crate::event::acts::TechniqueEvidence;

    /// Epochs with these validation losses.
    pub(in crate::settings) fn epochs(losses: &[f64]) -> Vec<Epoch> {
        let scores = |loss| Scores { loss, accuracy: 1.0 - loss };
        let epoch = |(index, loss): (usize, &f64)| Epoch {
            stage: "s".into(),
            epoch: index + 1,
            lr: 0.1,
            train: scores(*loss),
            valid: scores(*loss),
            seconds: 1.0,
            images_per_second: 1.0,
            acts: TechniqueEvidence::default(),
            confusion: Vec::new(),
            gradient: None,
            energy: None,
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

    #[test]
    fn stops_and_best_epochs_are_kerass() {
        // EarlyStopping(restore_best_weights=True) of Keras 3.15.1 on `val_loss`: how many epochs ran,
        // whether it stopped, and the epoch whose weights it restored, counted from 1; 0 for none.
        let losses = [
            [0.9, 0.8, 0.85, 0.7, 0.7, 0.71, 0.72, 0.6, 0.65, 0.66, 0.67, 0.68],
            [0.5, 0.6, 0.55, 0.52, 0.51, 0.50, 0.49, 0.48, 0.47, 0.46, 0.45, 0.44],
            [0.9, 0.89, 0.885, 0.88, 0.87, 0.865, 0.8, 0.79, 0.795, 0.79, 0.7, 0.69],
        ];
        for (settings, sequence, expected) in [
            ("patience = 3", 0, (7, true, 4)),
            ("patience = 2\nmin_delta = 0.02", 0, (6, true, 4)),
            ("patience = 3\nstart_from_epoch = 4", 0, (11, true, 8)),
            ("patience = 4\nbaseline = 0.6", 0, (5, true, 4)),
            ("patience = 3\nbaseline = 0.75\nstart_from_epoch = 2", 0, (7, true, 4)),
            ("patience = 3\nmode = 'max'", 0, (4, true, 1)),
            ("patience = 1", 0, (3, true, 2)),
            ("patience = 3", 1, (4, true, 1)),
            ("patience = 2\nmin_delta = 0.02", 1, (3, true, 1)),
            ("patience = 3\nstart_from_epoch = 4", 1, (12, false, 12)),
            ("patience = 4\nbaseline = 0.6", 1, (5, true, 1)),
            ("patience = 3\nbaseline = 0.75\nstart_from_epoch = 2", 1, (12, false, 12)),
            ("patience = 3\nmode = 'max'", 1, (5, true, 2)),
            ("patience = 1", 1, (2, true, 1)),
            ("patience = 3", 2, (12, false, 12)),
            ("patience = 2\nmin_delta = 0.02", 2, (3, true, 1)),
            ("patience = 3\nstart_from_epoch = 4", 2, (12, false, 12)),
            ("patience = 4\nbaseline = 0.6", 2, (9, true, 8)),
            ("patience = 3\nbaseline = 0.75\nstart_from_epoch = 2", 2, (9, true, 8)),
            ("patience = 3\nmode = 'max'", 2, (4, true, 1)),
            ("patience = 1", 2, (9, true, 8)),
        ] {
            let stopping: EarlyStopping = toml::from_str(settings).unwrap();
            let all = epochs(&losses[sequence]);
            let stop = (1..=all.len()).find(|it| stopping.stop(&all[..*it]).is_some());
            let ran = stop.unwrap_or(all.len());
            let best = stopping.standing(&all[..ran]).best_epoch;
            assert_eq!((ran, stop.is_some(), best), expected, "{settings} {sequence}");
        }
    }

    #[test]
    fn the_first_of_equal_best_epochs_is_kept() {
        let all = epochs(&[0.5, 0.25, 0.25, 0.5]);
        let kept = Monitor::ValidAccuracy.best(&all).unwrap();
        assert_eq!((kept.epoch, kept.value, kept.monitor.as_str()), (2, 0.75, "valid_accuracy"));
        assert_eq!(Monitor::TrainLoss.best(&[]), None);
    }

    #[test]
    fn the_log_says_why_it_stopped_and_with_which_numbers() {
        let stopping = EarlyStopping { patience: 1, ..EarlyStopping::default() };
        let Some(Stop::Early { best, best_epoch, last, baseline, .. }) =
            stopping.stop(&epochs(&[0.5, 0.4, 0.6]))
        else {
            panic!("did not stop")
        };
        assert_eq!((best, best_epoch, last, baseline), (0.4, 2, Some(0.6), None));
    }
}
