//! Learning-rate schedules and warm-up, as functions of the step and of the epochs so far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Epoch;
use crate::settings::is_default;
use crate::settings::stopping::{Mode, Monitor};

/// How the learning rate changes while a stage trains.
///
/// ```toml
/// [[stages]]
/// schedule = "cosine"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The rate does not change.
    #[default]
    Constant,
    /// Half a cosine from the optimizer's rate to 0 over all steps of the stage (Loshchilov & Hutter
    /// 2017, <https://arxiv.org/abs/1608.03983>); PyTorch's `CosineAnnealingLR` stepped every batch.
    Cosine,
    /// The same as `cosine`, but it ends at a rate above 0.
    CosineAnnealing(CosineAnnealing),
    /// It is multiplied by a factor after so many epochs: PyTorch's `StepLR`, or `MultiStepLR` with `milestones`.
    Step(Step),
    /// It is multiplied by a factor when the monitored value stops improving: Keras's `ReduceLROnPlateau`.
    Plateau(Plateau),
    /// It rises to the optimizer's rate and falls again, over all steps of the stage (Smith & Topin
    /// 2018, <https://arxiv.org/abs/1708.07120>): PyTorch's `OneCycleLR` with `cycle_momentum=False`.
    OneCycle(OneCycle),
}

/// The `schedule = { cosine_annealing = { … } }` table.
///
/// ```toml
/// [[stages]]
/// schedule = { cosine_annealing = { min_lr = 1e-6 } }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CosineAnnealing {
    /// The rate at which it ends, below the optimizer's: PyTorch's `eta_min`.
    pub min_lr: f64,
}

/// The `schedule = { step = { … } }` table.
///
/// ```toml
/// [[stages]]
/// epochs   = 30
/// schedule = { step = { milestones = [15, 25], factor = 0.1 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// The rate falls after every so many epochs. Left out: `milestones` says when it falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-unit" = "epochs"))]
    pub every: Option<usize>,
    /// The epochs after which the rate falls, in ascending order. Left out: `every` says when it falls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-unit" = "epochs"))]
    pub milestones: Vec<usize>,
    /// What the rate is multiplied by.
    pub factor: f64,
}

/// The `schedule = { plateau = { … } }` table.
///
/// ```toml
/// [[stages]]
/// schedule = { plateau = { monitor = "valid_loss", factor = 0.1, patience = 5, min_lr = 1e-6 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// What has to improve.
    pub monitor: Monitor,
    /// Which way it improves.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = "auto"))]
    pub mode: Mode,
    /// What the rate is multiplied by.
    pub factor: f64,
    /// The rate falls after so many epochs without improvement, as in Keras; PyTorch's falls one epoch later.
    #[schemars(extend("x-unit" = "epochs"))]
    pub patience: usize,
    /// How much better than the best value so far a value must be to count as an improvement; an absolute difference, as
    /// in Keras. (PyTorch's `threshold` is relative.)
    pub min_delta: f64,
    /// So many epochs after a fall do not count as epochs without improvement.
    #[schemars(extend("x-unit" = "epochs"))]
    pub cooldown: usize,
    /// The rate never falls below this.
    pub min_lr: f64,
}

/// The `schedule = { one_cycle = { … } }` table. The highest rate is the optimizer's.
///
/// ```toml
/// [[stages]]
/// optimizer = { adamw = { lr = 1e-3 } }   # the highest rate
/// schedule  = { one_cycle = { pct_start = 0.3 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// Share of the steps in which the rate rises.
    #[schemars(extend("x-unit" = "share of the steps"))]
    pub pct_start: f64,
    /// The first rate is the highest one divided by this.
    pub div_factor: f64,
    /// The last rate is the first one divided by this.
    pub final_div_factor: f64,
    /// The shape of both parts.
    pub anneal: Anneal,
}

/// The way from one rate to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

/// The `warmup` table of a stage: the rate rises in a straight line before the schedule begins.
///
/// In step s of the w steps of these epochs the rate is the optimizer's, times `from + (1 - from) s / w`. Then the
/// schedule begins and has the rest of the steps and epochs: PyTorch's
/// `SequentialLR([LinearLR(start_factor=from, total_iters=w), …], milestones=[w])`. A plateau ignores the scores of
/// these epochs.
///
/// ```toml
/// [[stages]]
/// epochs   = 30
/// warmup   = { epochs = 3, from = 0.1 }
/// schedule = "cosine"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    /// How many epochs the rise takes, fewer than the stage has.
    #[schemars(extend("x-unit" = "epochs"))]
    pub epochs: usize,
    /// Share of the optimizer's rate in the first step. PyTorch's `LinearLR` has 1/3.
    #[schemars(extend("x-unit" = "share of the rate"))]
    pub from: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self { every: None, milestones: Vec::new(), factor: 0.1 }
    }
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            monitor: Monitor::ValidLoss,
            mode: Mode::Auto,
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
        }
    }
}

impl Default for OneCycle {
    fn default() -> Self {
        let (pct_start, div_factor, final_div_factor) = (0.3, 25.0, 1e4);
        Self { pct_start, div_factor, final_div_factor, anneal: Anneal::Cosine }
    }
}

impl Default for Warmup {
    fn default() -> Self {
        Self { epochs: 5, from: 0.01 }
    }
}

impl Schedule {
    /// What cannot be right, for an optimizer with the rate `base`.
    pub fn check(&self, base: f64) -> Vec<Problem> {
        let (table, problems) = match self {
            Self::Constant | Self::Cosine => return Vec::new(),
            Self::CosineAnnealing(it) => {
                let fine = (0.0..base).contains(&it.min_lr);
                let message = "must be 0 or above, and below the optimizer's `lr`";
                ("cosine_annealing", vec![Problem::unless(fine, "min_lr", message)])
            }
            Self::Step(it) => ("step", it.check()),
            Self::Plateau(it) => ("plateau", it.check()),
            Self::OneCycle(it) => ("one_cycle", it.check()),
        };
        problems.into_iter().flatten().map(|it| it.within(table)).collect()
    }

    /// Whether the rate at a step depends on how many epochs the stage has.
    pub fn spans_the_stage(&self) -> bool {
        match self {
            Self::Constant | Self::Step(_) | Self::Plateau(_) => false,
            Self::Cosine | Self::CosineAnnealing(_) | Self::OneCycle(_) => true,
        }
    }

    /// The rate of step `step` of `steps` (from 0, over all epochs), after the epochs `before`.
    pub fn lr(&self, base: f64, [step, steps]: [usize; 2], before: &[Epoch]) -> f64 {
        let done = step as f64 / steps.max(1) as f64;
        match self {
            Self::Constant => base,
            Self::Cosine => Anneal::Cosine.between(base, 0.0, done),
            Self::CosineAnnealing(it) => Anneal::Cosine.between(base, it.min_lr, done),
            Self::Step(it) => base * it.factor.powi(it.falls(before.len()) as i32),
            Self::Plateau(plateau) => plateau.lr(base, before),
            Self::OneCycle(it) => it.lr(base, [step, steps]),
        }
    }
}

impl Anneal {
    /// `start` where `done` is 0, `end` where it is 1.
    fn between(self, start: f64, end: f64, done: f64) -> f64 {
        match self {
            Self::Cosine => end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Linear => start + (end - start) * done,
        }
    }
}

impl Step {
    fn check(&self) -> Vec<Option<Problem>> {
        let one = self.every.is_some() == self.milestones.is_empty();
        let ascend = self.milestones.is_sorted_by(|a, b| a < b);
        vec![
            Problem::unless(one, "", "needs either `every` or `milestones`"),
            Problem::unless(self.every != Some(0), "every", "must be at least 1"),
            Problem::unless(
                ascend && self.milestones.first() != Some(&0),
                "milestones",
                "must be at least 1 and ascend",
            ),
            Problem::unless(factor(self.factor), "factor", "must be above 0 and below 1"),
        ]
    }

    /// How often the rate has fallen after `epochs` epochs.
    fn falls(&self, epochs: usize) -> usize {
        let passed = self.milestones.iter().filter(|it| **it <= epochs).count();
        passed + self.every.map_or(0, |it| epochs / it)
    }
}

impl Plateau {
    fn check(&self) -> Vec<Option<Problem>> {
        let positive = |it: f64| it >= 0.0 && it.is_finite();
        let number = "must be 0 or a positive number";
        vec![
            Problem::unless(factor(self.factor), "factor", "must be above 0 and below 1"),
            Problem::unless(self.patience >= 1, "patience", "must be at least 1"),
            Problem::unless(positive(self.min_delta), "min_delta", number),
            Problem::unless(positive(self.min_lr), "min_lr", number),
        ]
    }

    fn lr(&self, base: f64, epochs: &[Epoch]) -> f64 {
        let direction = self.monitor.direction(self.mode);
        let (mut lr, mut best) = (base, direction.worst());
        let (mut waited, mut cooling) = (0, 0_usize);
        for epoch in epochs {
            let value = self.monitor.of(epoch);
            if cooling > 0 {
                (cooling, waited) = (cooling - 1, 0);
            }
            if direction.improves(value, best, self.min_delta) {
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

impl OneCycle {
    fn check(&self) -> Vec<Option<Problem>> {
        let above = |it: f64| it >= 1.0 && it.is_finite();
        vec![
            Problem::unless(factor(self.pct_start), "pct_start", "must be above 0 and below 1"),
            Problem::unless(above(self.div_factor), "div_factor", "must be at least 1"),
            Problem::unless(above(self.final_div_factor), "final_div_factor", "must be at least 1"),
        ]
    }

    fn lr(&self, base: f64, [step, steps]: [usize; 2]) -> f64 {
        let first = base / self.div_factor;
        let (step, last) = (step as f64, steps as f64 - 1.0);
        let top = self.pct_start * steps as f64 - 1.0;
        if step <= top {
            self.anneal.between(first, base, step / top)
        } else {
            self.anneal.between(base, first / self.final_div_factor, (step - top) / (last - top))
        }
    }
}

impl Warmup {
    /// What cannot be right in a stage of `epochs` epochs.
    pub fn check(&self, epochs: usize) -> Vec<Problem> {
        let fewer = (1..epochs).contains(&self.epochs);
        let share = (0.0..=1.0).contains(&self.from);
        [
            Problem::unless(fewer, "epochs", "must be at least 1 and below the stage's `epochs`"),
            Problem::unless(share, "from", "must be from 0 to 1"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Share of the rate in step `step` of the `steps` steps of its epochs.
    pub fn share(&self, [step, steps]: [usize; 2]) -> f64 {
        Anneal::Linear.between(self.from, 1.0, step as f64 / steps.max(1) as f64)
    }
}

/// Whether a rate can be multiplied by `it` and falls.
fn factor(it: f64) -> bool {
    0.0 < it && it < 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Stage;
    use crate::settings::stopping::tests::epochs;

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

    /// Checks every seventh rate of a stage of 10 epochs of 5 steps, at rate 0.2, against the schedulers of
    /// PyTorch 2.9.1 (`param_groups[0]["lr"]` before each of 50 steps).
    #[track_caller]
    fn check(schedule: &str, warmup: Option<Warmup>, expected: [f64; 8]) {
        let stage =
            format!("epochs = 10\nschedule = {schedule}\noptimizer = {{ sgd = {{ lr = 0.2 }} }}");
        let stage = Stage { warmup, ..toml::from_str(&stage).unwrap() };
        assert_eq!(stage.check(), []);
        let all = epochs(&[0.5; 10]);
        let rate = |step: usize| stage.lr([step, 50], &all[..step / 5]);
        for (index, expected) in expected.into_iter().enumerate() {
            let found = rate(7 * index);
            assert!((found - expected).abs() < 1e-8, "{schedule}, step {}: {found}", 7 * index);
        }
    }

    #[test]
    fn one_cycle_is_pytorchs() {
        // OneCycleLR(max_lr=0.2, total_steps=50, cycle_momentum=False), then with pct_start=0.2,
        // div_factor=10, final_div_factor=100, anneal_strategy="linear"
        let cosine =
            [0.008, 0.104, 0.2, 0.180_901_776, 0.130_901_976, 0.069_098_824, 0.019_099_024, 8e-7];
        check("{ one_cycle = {} }", None, cosine);
        let linear = "pct_start = 0.2, div_factor = 10, final_div_factor = 100, anneal = 'linear'";
        let rates = [0.02, 0.16, 0.175_025, 0.140_06, 0.105_095, 0.070_13, 0.035_165, 0.000_2];
        check(&format!("{{ one_cycle = {{ {linear} }} }}"), None, rates);
    }

    #[test]
    fn steps_and_milestones_are_pytorchs() {
        // StepLR(step_size=3, gamma=0.5) and MultiStepLR([2, 6], gamma=0.1), stepped after every epoch
        let every = [0.2, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.025];
        check("{ step = { every = 3, factor = 0.5 } }", None, every);
        let milestones = [0.2, 0.2, 0.02, 0.02, 0.02, 0.002, 0.002, 0.002];
        check("{ step = { milestones = [2, 6], factor = 0.1 } }", None, milestones);
    }

    #[test]
    fn a_cosine_that_ends_above_zero_is_pytorchs() {
        // CosineAnnealingLR(T_max=50, eta_min=0.01)
        let rates = [
            0.2,
            0.190_958_57,
            0.165_555_279,
            0.128_625_539,
            0.087_198_775,
            0.049_160_401,
            0.021_750_865,
            0.010_187_461,
        ];
        check("{ cosine_annealing = { min_lr = 0.01 } }", None, rates);
    }

    #[test]
    fn a_warm_up_before_any_schedule_is_pytorchs() {
        // SequentialLR([LinearLR(start_factor=0.1, total_iters=10), …], milestones=[10]) with
        // ConstantLR(1.0), CosineAnnealingLR(T_max=40) and StepLR(15, gamma=0.5), all stepped every step
        let warmup = || Some(Warmup { epochs: 2, from: 0.1 });
        check("'constant'", warmup(), [0.02, 0.146, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]);
        let cosine = [
            0.02,
            0.146,
            0.195_105_652,
            0.164_944_805,
            0.115_643_447,
            0.061_731_657,
            0.019_098_301,
            0.000_308_267,
        ];
        check("'cosine'", warmup(), cosine);
        let step = [0.02, 0.146, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05];
        check("{ step = { every = 3, factor = 0.5 } }", warmup(), step);
        // A plateau does not look at the two epochs: it falls after the fifth, its third.
        let plateau = [0.02, 0.146, 0.2, 0.2, 0.1, 0.05, 0.05, 0.025];
        check("{ plateau = { patience = 2, factor = 0.5 } }", warmup(), plateau);
    }

    #[test]
    fn plateaus_are_kerass() {
        // ReduceLROnPlateau of Keras 3.15.1: the rates before each epoch and after the last.
        let first = [0.9, 0.8, 0.85, 0.7, 0.7, 0.71, 0.72, 0.6, 0.65, 0.66, 0.67, 0.68];
        let second = [0.5, 0.6, 0.55, 0.52, 0.51, 0.50, 0.49, 0.48, 0.47, 0.46, 0.45, 0.44];
        let rates = |settings: &str, losses: &[f64]| -> Vec<f64> {
            let plateau: Plateau = toml::from_str(settings).unwrap();
            (0..=12).map(|it| plateau.lr(1.0, &epochs(&losses[..it]))).collect()
        };
        for (settings, losses, expected) in [
            (
                "patience = 2\nfactor = 0.5",
                true,
                [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125],
            ),
            (
                "patience = 1\nfactor = 0.5\ncooldown = 2",
                true,
                [
                    1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.062_5, 0.062_5, 0.031_25,
                    0.031_25,
                ],
            ),
            (
                "patience = 2\nfactor = 0.1\nmin_delta = 0.02\nmin_lr = 0.05",
                true,
                [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05],
            ),
            (
                "patience = 2\nfactor = 0.5\nmode = 'max'\ncooldown = 1",
                true,
                [
                    1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.062_5, 0.062_5, 0.031_25,
                    0.031_25,
                ],
            ),
            (
                "patience = 2\nfactor = 0.5",
                false,
                [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25],
            ),
            (
                "patience = 1\nfactor = 0.5\ncooldown = 2",
                false,
                [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125],
            ),
            (
                "patience = 2\nfactor = 0.1\nmin_delta = 0.02\nmin_lr = 0.05",
                false,
                [1.0, 1.0, 1.0, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05],
            ),
            (
                "patience = 2\nfactor = 0.5\nmode = 'max'\ncooldown = 1",
                false,
                [
                    1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.062_5, 0.062_5,
                    0.031_25,
                ],
            ),
        ] {
            let found = rates(settings, if losses { &first } else { &second });
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
                "{settings}: {found:?}"
            );
        }
    }
}
