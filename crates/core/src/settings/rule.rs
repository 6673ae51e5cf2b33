//! What an optimizer does with a gradient, as numbers.

use crate::settings::muon::AdjustLr;

/// How a gradient changes the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam, `AdamW` or `RAdam`.
    Adam(AdamRule),
    /// Muon for the hidden matrices, and `AdamW` for the rest.
    Muon(MuonRule),
    /// `RMSprop` (Hinton 2012, lecture 6e), centered as in Graves 2013
    /// (<https://arxiv.org/abs/1308.0850>).
    RmsProp {
        /// Decay of the mean of squared gradients.
        alpha: f64,
        /// Added to the root of that mean.
        eps: f64,
        /// Share of the last step that goes on.
        momentum: f64,
        /// Whether the mean gradient is taken off.
        centered: bool,
        /// Added to the gradient, times the value.
        weight_decay: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last step that goes on.
        momentum: f64,
        /// Whether the momentum looks ahead.
        nesterov: bool,
        /// Added to the gradient, times the value.
        weight_decay: f64,
    },
}

/// Adam (Kingma & Ba 2015, <https://arxiv.org/abs/1412.6980>), `AdamW` with decoupled decay
/// (Loshchilov & Hutter 2019, <https://arxiv.org/abs/1711.05101>), or `RAdam` with a rectified rate
/// (Liu et al. 2020, <https://arxiv.org/abs/1908.03265>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRule {
    /// Decay of the mean of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub decay: Decay,
    /// Whether the rate is rectified.
    pub rectified: bool,
}

/// Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>) as `torch.optim.Muon` has it: a step goes along
/// the momentum with its singular values brought near 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonRule {
    /// Decay of the mean of gradients.
    pub momentum: f64,
    /// Whether the momentum looks ahead.
    pub nesterov: bool,
    /// Shrinks every value by `lr * weight_decay` a step.
    pub weight_decay: f64,
    /// Factors of the first, third and fifth power in each iteration.
    pub coefficients: [f64; 3],
    /// How many iterations there are.
    pub iterations: usize,
    /// The least norm that a matrix is divided by.
    pub eps: f64,
    /// How the rate follows from the shape of a matrix.
    pub adjust: AdjustLr,
    /// What trains that is no hidden matrix.
    pub rest: AdamRule,
    /// Its learning rate, as a multiple of the matrices'.
    pub rest_lr: f64,
}

/// How weights are kept small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// Added to the gradient, times the value.
    L2(f64),
    /// Shrinks every value by `lr * decay` a step.
    Decoupled(f64),
}
