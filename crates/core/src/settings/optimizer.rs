//! The optimizers an experiment can name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::settings::is_default;
use crate::settings::muon::Muon;
use crate::settings::rule::{AdamRule, Decay, Rule};

/// How gradients change the weights. The formulas are PyTorch's.
///
/// ```toml
/// [[stages]]
/// optimizer = { adam = { lr = 1e-4 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    Adamw(AdamW),
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// `RMSprop`.
    Rmsprop(RmsProp),
    /// Rectified Adam.
    Radam(RAdam),
    /// Momentum that is orthogonalised, for the hidden layers.
    Muon(Muon),
}

/// Adam (Kingma & Ba 2015).
///
/// ```toml
/// [[stages]]
/// optimizer = { adam = { lr = 1e-4, eps = 1e-7 } }    # with Keras's epsilon
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    #[schemars(extend("x-technique" = "learning rate"))]
    pub lr: f64,
    /// Decay of the mean of gradients and of their squares.
    #[schemars(extend("x-technique" = "betas"))]
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    #[schemars(extend("x-technique" = "epsilon", "x-keras" = 1e-7))]
    pub eps: f64,
    /// L2 penalty: this times the weight is added to the gradient, as PyTorch's `Adam` does. Keras's `Adam(weight_decay=…)`
    /// is decoupled: write `adamw` for it.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(extend("default" = 0.0, "x-technique" = "weight decay", "x-off" = 0.0))]
    pub weight_decay: f64,
}

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
///
/// ```toml
/// [[stages]]
/// optimizer = { adamw = { lr = 3e-4, weight_decay = 0.05 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate.
    #[schemars(extend("x-technique" = "learning rate"))]
    pub lr: f64,
    /// Decay of the mean of gradients and of their squares.
    #[schemars(extend("x-technique" = "betas"))]
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    #[schemars(extend("x-technique" = "epsilon", "x-keras" = 1e-7))]
    pub eps: f64,
    /// Shrinks every weight by `lr * weight_decay` a step.
    #[schemars(extend("x-technique" = "weight decay", "x-off" = 0.0, "x-keras" = 0.004))]
    pub weight_decay: f64,
}

/// Stochastic gradient descent.
///
/// ```toml
/// [[stages]]
/// optimizer = { sgd = { lr = 0.01, momentum = 0.9, nesterov = true } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    #[schemars(extend("x-technique" = "learning rate"))]
    pub lr: f64,
    /// Share of the last step that is added to this one.
    #[schemars(extend("x-technique" = "momentum", "x-off" = 0.0))]
    pub momentum: f64,
    /// Whether the momentum looks ahead (Nesterov).
    #[schemars(extend("x-technique" = "Nesterov momentum", "x-off" = false))]
    pub nesterov: bool,
    /// L2 penalty: this times the weight is added to the gradient.
    #[schemars(extend("x-technique" = "weight decay", "x-off" = 0.0))]
    pub weight_decay: f64,
}

/// `RMSprop` (Hinton 2012), as PyTorch has it.
///
/// ```toml
/// [[stages]]
/// optimizer = { rmsprop = { lr = 1e-3, alpha = 0.9, eps = 1e-7 } }   # with Keras's defaults
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    #[schemars(extend("x-technique" = "learning rate", "x-keras" = 0.001))]
    pub lr: f64,
    /// Decay of the mean of squared gradients: Keras's `rho`.
    #[schemars(extend("x-technique" = "alpha", "x-keras" = 0.9))]
    pub alpha: f64,
    /// Added to the root of that mean. Keras adds it under the root.
    #[schemars(extend("x-technique" = "epsilon", "x-keras" = 1e-7))]
    pub eps: f64,
    /// Share of the last step that is added to this one.
    #[schemars(extend("x-technique" = "momentum", "x-off" = 0.0))]
    pub momentum: f64,
    /// Whether the mean gradient is subtracted first, so that the root is a standard deviation.
    #[schemars(extend("x-technique" = "centring", "x-off" = false))]
    pub centered: bool,
    /// L2 penalty: this times the weight is added to the gradient.
    #[schemars(extend("x-technique" = "weight decay", "x-off" = 0.0))]
    pub weight_decay: f64,
}

/// Adam with a rectified rate (Liu et al. 2020), which warms up by itself: as long as there were too few steps for the
/// second moment to be trusted, it is not used.
///
/// ```toml
/// [[stages]]
/// optimizer = { radam = { lr = 1e-4, weight_decay = 1e-3 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RAdam {
    /// Learning rate.
    #[schemars(extend("x-technique" = "learning rate"))]
    pub lr: f64,
    /// Decay of the mean of gradients and of their squares.
    #[schemars(extend("x-technique" = "betas"))]
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    #[schemars(extend("x-technique" = "epsilon"))]
    pub eps: f64,
    /// Weight decay; the next setting says which kind.
    #[schemars(extend("x-technique" = "weight decay", "x-off" = 0.0))]
    pub weight_decay: f64,
    /// Whether decay shrinks every weight by `lr * weight_decay` a step, as in AdamW, instead of being an
    /// L2 penalty.
    #[schemars(extend("x-technique" = "decoupled weight decay", "x-off" = false))]
    pub decoupled_weight_decay: bool,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 }
    }
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 1e-2, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Default for RmsProp {
    fn default() -> Self {
        let (lr, alpha, eps) = (1e-2, 0.99, 1e-8);
        Self { lr, alpha, eps, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Default for RAdam {
    fn default() -> Self {
        let (lr, betas, eps) = (1e-3, [0.9, 0.999], 1e-8);
        Self { lr, betas, eps, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

impl AdamW {
    pub(super) fn rule(&self) -> AdamRule {
        let Self { betas, eps, weight_decay, .. } = *self;
        AdamRule { betas, eps, decay: Decay::Decoupled(weight_decay), rectified: false }
    }
}

impl Optimizer {
    /// The learning rate before any schedule.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adam(it) => it.lr,
            Self::Adamw(it) => it.lr,
            Self::Sgd(it) => it.lr,
            Self::Rmsprop(it) => it.lr,
            Self::Radam(it) => it.lr,
            Self::Muon(it) => it.lr,
        }
    }

    /// How much of each weight it takes off, at the most.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Adam(it) => it.weight_decay,
            Self::Adamw(it) => it.weight_decay,
            Self::Sgd(it) => it.weight_decay,
            Self::Rmsprop(it) => it.weight_decay,
            Self::Radam(it) => it.weight_decay,
            Self::Muon(it) => it.weight_decay.max(it.adamw.weight_decay),
        }
    }

    /// What it does to the parameters.
    pub fn rule(&self) -> Rule {
        let adam =
            |betas, eps, decay, rectified| Rule::Adam(AdamRule { betas, eps, decay, rectified });
        match *self {
            Self::Adam(Adam { betas, eps, weight_decay, .. }) => {
                adam(betas, eps, Decay::L2(weight_decay), false)
            }
            Self::Adamw(ref it) => Rule::Adam(it.rule()),
            Self::Sgd(Sgd { momentum, nesterov, weight_decay, .. }) => {
                Rule::Sgd { momentum, nesterov, weight_decay }
            }
            Self::Rmsprop(RmsProp { alpha, eps, momentum, centered, weight_decay, .. }) => {
                Rule::RmsProp { alpha, eps, momentum, centered, weight_decay }
            }
            Self::Radam(RAdam { betas, eps, weight_decay, decoupled_weight_decay, .. }) => {
                let decoupled = decoupled_weight_decay.then_some(Decay::Decoupled(weight_decay));
                adam(betas, eps, decoupled.unwrap_or(Decay::L2(weight_decay)), true)
            }
            Self::Muon(ref it) => Rule::Muon(it.rule()),
        }
    }

    /// What cannot be right.
    pub fn check(&self) -> Vec<Problem> {
        let (decay, own) = match *self {
            Self::Adam(Adam { betas, eps, weight_decay, .. })
            | Self::Adamw(AdamW { betas, eps, weight_decay, .. })
            | Self::Radam(RAdam { betas, eps, weight_decay, .. }) => {
                (weight_decay, check_moments(betas, eps).into())
            }
            Self::Sgd(Sgd { momentum, nesterov, weight_decay, .. }) => {
                let moves = !nesterov || momentum > 0.0;
                let nesterov = Problem::unless(moves, "nesterov", "needs a `momentum` above 0");
                (weight_decay, vec![check_share("momentum", momentum), nesterov])
            }
            Self::Rmsprop(RmsProp { alpha, eps, momentum, weight_decay, .. }) => {
                let shares = [("alpha", alpha), ("momentum", momentum)];
                let [alpha, momentum] = shares.map(|(key, it)| check_share(key, it));
                (weight_decay, vec![alpha, check_eps(eps), momentum])
            }
            Self::Muon(ref it) => (it.weight_decay, it.check()),
        };
        let problems = check_lengths(self.lr(), decay).into_iter().chain(own).flatten();
        problems.map(|it| it.within(self.name())).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::Adamw(_) => "adamw",
            Self::Sgd(_) => "sgd",
            Self::Rmsprop(_) => "rmsprop",
            Self::Radam(_) => "radam",
            Self::Muon(_) => "muon",
        }
    }
}

pub(super) fn check_lengths(lr: f64, decay: f64) -> [Option<Problem>; 2] {
    let fine = lr > 0.0 && lr <= 100.0;
    let lr = Problem::unless(fine, "lr", "must be above 0 and at most 100");
    let fine = decay >= 0.0 && decay.is_finite();
    [lr, Problem::unless(fine, "weight_decay", "must be 0 or a positive number")]
}

pub(super) fn check_moments(betas: [f64; 2], eps: f64) -> [Option<Problem>; 2] {
    let fine = betas.into_iter().all(is_share);
    [Problem::unless(fine, "betas", "must each be at least 0 and below 1"), check_eps(eps)]
}

pub(super) fn check_share(key: &str, value: f64) -> Option<Problem> {
    Problem::unless(is_share(value), key, "must be at least 0 and below 1")
}

fn is_share(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}

pub(super) fn check_eps(eps: f64) -> Option<Problem> {
    Problem::unless(eps > 0.0 && eps.is_finite(), "eps", "must be a positive number")
}
