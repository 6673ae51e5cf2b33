//! The optimizers an experiment can name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::torch::update::Rule;

/// How gradients change the weights. The formulas are PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    Adamw(AdamW),
    /// Stochastic gradient descent.
    Sgd(Sgd),
}

/// Adam (Kingma & Ba 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the second moment. PyTorch's default; Keras has 1e-7.
    pub eps: f64,
}

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Shrinks every weight by `lr * weight_decay` a step.
    pub weight_decay: f64,
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last step that goes on.
    pub momentum: f64,
    /// Whether the momentum looks ahead (Nesterov).
    pub nesterov: bool,
    /// L2 penalty: added to the gradient, times the weight.
    pub weight_decay: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8 }
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

impl Optimizer {
    /// The learning rate before any schedule.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Adam(it) => it.lr,
            Self::Adamw(it) => it.lr,
            Self::Sgd(it) => it.lr,
        }
    }

    /// What it does to the parameters.
    pub fn rule(&self) -> Rule {
        match *self {
            Self::Adam(Adam { betas, eps, .. }) => Rule::Adam { betas, eps, decoupled_decay: 0.0 },
            Self::Adamw(AdamW { betas, eps, weight_decay, .. }) => {
                Rule::Adam { betas, eps, decoupled_decay: weight_decay }
            }
            Self::Sgd(Sgd { momentum, nesterov, weight_decay, .. }) => {
                Rule::Sgd { momentum, nesterov, weight_decay }
            }
        }
    }

    /// What cannot be right.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut need = |fine: bool, key: &str, message: &str| {
            problems.extend(Problem::unless(fine, &format!("{}.{key}", self.name()), message));
        };
        let positive = |it: f64| it > 0.0 && it.is_finite();
        let decays = |it: f64| it >= 0.0 && it.is_finite();
        need(positive(self.lr()) && self.lr() <= 100.0, "lr", "must be above 0 and at most 100");
        match *self {
            Self::Adam(Adam { betas, eps, .. }) | Self::Adamw(AdamW { betas, eps, .. }) => {
                let betas = betas.iter().all(|it| (0.0..1.0).contains(it));
                need(betas, "betas", "must each be at least 0 and below 1");
                need(positive(eps), "eps", "must be a positive number");
            }
            Self::Sgd(Sgd { momentum, nesterov, .. }) => {
                let range = (0.0..1.0).contains(&momentum);
                need(range, "momentum", "must be at least 0 and below 1");
                need(!nesterov || momentum > 0.0, "nesterov", "needs a `momentum` above 0");
            }
        }
        if let Self::Adamw(AdamW { weight_decay, .. }) | Self::Sgd(Sgd { weight_decay, .. }) = *self
        {
            need(decays(weight_decay), "weight_decay", "must be 0 or a positive number");
        }
        problems
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Adam(_) => "adam",
            Self::Adamw(_) => "adamw",
            Self::Sgd(_) => "sgd",
        }
    }
}
