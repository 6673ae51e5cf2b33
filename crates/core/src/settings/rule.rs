//! What an optimizer does with a gradient, as numbers.

/// How a gradient changes the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam (Kingma & Ba 2015, <https://arxiv.org/abs/1412.6980>), `AdamW` with decoupled decay
    /// (Loshchilov & Hutter 2019, <https://arxiv.org/abs/1711.05101>), or `RAdam` with a rectified rate
    /// (Liu et al. 2020, <https://arxiv.org/abs/1908.03265>).
    Adam {
        /// Decay of the mean of gradients and of their squares.
        betas: [f64; 2],
        /// Added to the root of the second moment.
        eps: f64,
        /// Weight decay.
        decay: Decay,
        /// Whether the rate is rectified.
        rectified: bool,
    },
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

/// How weights are kept small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// Added to the gradient, times the value.
    L2(f64),
    /// Shrinks every value by `lr * decay` a step.
    Decoupled(f64),
}
