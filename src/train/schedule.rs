//! Learning-rate schedules, as functions of the step and of the epochs so far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Epoch;
use crate::train::stopping::Monitor;

/// How the learning rate changes while a stage trains.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// Half a cosine from the optimizer's rate to 0 over all steps of the stage (Loshchilov & Hutter
    /// 2017, <https://arxiv.org/abs/1608.03983>); PyTorch's `CosineAnnealingLR` stepped every batch.
    Cosine,
    /// It falls when the monitored value stops improving, as in Keras's `ReduceLROnPlateau`.
    Plateau(Plateau),
}

/// The `schedule = { plateau = { … } }` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// What has to improve.
    pub monitor: Monitor,
    /// What the rate is multiplied by.
    pub factor: f64,
    /// Epochs without improvement after which it falls. (PyTorch's falls one epoch later.)
    pub patience: usize,
    /// How much better than the best a value must be to count; absolute, as in Keras.
    pub min_delta: f64,
    /// Epochs after a fall in which none counts as bad.
    pub cooldown: usize,
    /// The rate never falls below.
    pub min_lr: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            monitor: Monitor::ValidLoss,
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
        }
    }
}

impl Schedule {
    /// What cannot be right.
    pub fn check(&self) -> Vec<Problem> {
        let Self::Plateau(plateau) = self else { return Vec::new() };
        let factor = 0.0 < plateau.factor && plateau.factor < 1.0;
        let positive = |it: f64| it >= 0.0 && it.is_finite();
        [
            Problem::unless(factor, "factor", "must be above 0 and below 1"),
            Problem::unless(plateau.patience >= 1, "patience", "must be at least 1"),
            Problem::unless(
                positive(plateau.min_delta),
                "min_delta",
                "must be 0 or a positive number",
            ),
            Problem::unless(positive(plateau.min_lr), "min_lr", "must be 0 or a positive number"),
        ]
        .into_iter()
        .flatten()
        .map(|it| it.within("plateau"))
        .collect()
    }

    /// The rate of step `step` of `steps` (from 0, over all epochs), after the epochs `before`.
    pub fn lr(&self, base: f64, [step, steps]: [usize; 2], before: &[Epoch]) -> f64 {
        match self {
            Self::Constant => base,
            Self::Cosine => {
                let done = step as f64 / steps.max(1) as f64;
                base * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Self::Plateau(plateau) => plateau.lr(base, before),
        }
    }
}

impl Plateau {
    fn lr(&self, base: f64, epochs: &[Epoch]) -> f64 {
        let (mut lr, mut best) = (base, self.monitor.worst());
        let (mut waited, mut cooling) = (0, 0_usize);
        for epoch in epochs {
            let value = self.monitor.of(epoch);
            if cooling > 0 {
                (cooling, waited) = (cooling - 1, 0);
            }
            if self.monitor.improves(value, best, self.min_delta) {
                (best, waited) = (value, 0);
            } else if cooling == 0 {
                waited += 1;
                if waited >= self.patience && lr > self.min_lr {
                    lr = (lr * self.factor).max(self.min_lr);
                    (waited, cooling) = (0, self.cooldown);
                }
            }
        }
        lr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::stopping::tests::epochs;

    fn plateau(patience: usize, cooldown: usize) -> Schedule {
        let plateau = Plateau { factor: 0.5, patience, cooldown, ..Plateau::default() };
        Schedule::Plateau(plateau)
    }

    #[test]
    fn a_plateau_halves_the_rate_once_patience_is_out() {
        let lr = |losses: &[f64]| plateau(2, 0).lr(1.0, [0, 1], &epochs(losses));
        assert_eq!(lr(&[]), 1.0);
        assert_eq!(lr(&[0.5, 0.5]), 1.0);
        assert_eq!(lr(&[0.5, 0.5, 0.5]), 0.5);
        assert_eq!(lr(&[0.5, 0.5, 0.5, 0.5, 0.5]), 0.25);
        assert_eq!(lr(&[0.5, 0.5, 0.4, 0.4]), 1.0);
    }

    #[test]
    fn a_cosine_begins_at_the_rate_and_ends_at_zero() {
        let lr = |step| Schedule::Cosine.lr(0.2, [step, 100], &[]);
        assert_eq!(lr(0), 0.2);
        assert!((lr(50) - 0.1).abs() < 1e-12);
        assert!(lr(100).abs() < 1e-12);
    }
}
