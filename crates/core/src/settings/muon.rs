//! Muon, the optimizer that orthogonalises its steps, with the `AdamW` beside it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::settings::optimizer::{AdamW, check_eps, check_lengths, check_moments, check_share};
use crate::settings::rule::MuonRule;

/// Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>) for the hidden layers, and `AdamW` for the
/// rest. Formulas, names and defaults are those of `torch.optim.Muon` and `torch.optim.AdamW`; Jordan's own program has
/// other ones: `lr = 0.02` and no decay here, `lr = 3e-4`, `betas = [0.9, 0.95]`, `eps = 1e-10` and no decay in `adamw`.
///
/// Muon trains the kernels of convolutions but the first one, and the hidden layers of the head, as Jordan recommends. A
/// kernel is seen as a matrix with a row for each filter. `AdamW` trains the rest: the first convolution, the classifier,
/// biases, the scales and shifts of norms, and the kernels of depthwise convolutions, whose filters see one channel each
/// and have nothing to be made orthogonal to. A step of Muon is as long whatever the gradient is, so that `lr` alone, and
/// not `clip`, says how far it goes.
///
/// ```toml
/// [[stages]]
/// trainable = "all"
/// optimizer = { muon = { lr = 0.02, weight_decay = 0.01, adamw = { lr = 3e-4 } } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Muon {
    /// Learning rate of the matrices. A schedule and a warm-up change that of `adamw` by the same factor.
    #[schemars(extend("x-technique" = "learning rate"))]
    pub lr: f64,
    /// Shrinks every weight of the matrices by `lr * weight_decay` a step.
    #[schemars(extend("x-technique" = "weight decay", "x-off" = 0.0))]
    pub weight_decay: f64,
    /// Decay of the mean of gradients.
    #[schemars(extend("x-technique" = "momentum", "x-off" = 0.0))]
    pub momentum: f64,
    /// Whether the momentum looks ahead (Nesterov).
    #[schemars(extend("x-technique" = "Nesterov momentum", "x-off" = false))]
    pub nesterov: bool,
    /// What the first, third and fifth power of a matrix are multiplied with in each iteration of Newton and Schulz, which
    /// brings its singular values near 1.
    #[schemars(extend("x-technique" = "Newton-Schulz coefficients"))]
    pub ns_coefficients: [f64; 3],
    /// How many such iterations a step has.
    #[schemars(extend("x-technique" = "Newton-Schulz steps"))]
    pub ns_steps: usize,
    /// The least norm by which a matrix is divided before them.
    #[schemars(extend("x-technique" = "epsilon"))]
    pub eps: f64,
    /// How the rate follows from the shape of a matrix.
    #[schemars(extend("x-technique" = "rate by shape"))]
    pub adjust_lr_fn: AdjustLr,
    /// `AdamW` for what is no hidden matrix.
    pub adamw: AdamW,
}

/// How Muon's rate follows from the shape of a matrix: PyTorch's `adjust_lr_fn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdjustLr {
    /// It is multiplied by the root of rows over columns, where there are more rows. Of a convolution the columns are the
    /// values of a filter; Jordan's program takes height and width of the kernel, and so a factor of 1 where they are equal.
    #[default]
    Original,
    /// It is multiplied by 0.2 times the root of the longer side, so that a step is as large as one of `AdamW`, whose rate
    /// and decay can be taken over (Liu et al. 2025, <https://arxiv.org/abs/2502.16982>).
    MatchRmsAdamw,
}

impl AdjustLr {
    /// What the rate is multiplied with.
    pub fn factor(self, [rows, columns]: [usize; 2]) -> f64 {
        match self {
            Self::Original => (rows as f64 / columns as f64).max(1.0).sqrt(),
            Self::MatchRmsAdamw => 0.2 * (rows.max(columns) as f64).sqrt(),
        }
    }
}

impl Default for Muon {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            weight_decay: 0.1,
            momentum: 0.95,
            nesterov: true,
            ns_coefficients: [3.4445, -4.7750, 2.0315],
            ns_steps: 5,
            eps: 1e-7,
            adjust_lr_fn: AdjustLr::default(),
            adamw: AdamW::default(),
        }
    }
}

impl Muon {
    pub(super) fn check(&self) -> Vec<Option<Problem>> {
        /// PyTorch refuses more.
        const MOST_STEPS: usize = 99;
        let Self { momentum, ns_coefficients, ns_steps, eps, adamw, .. } = self;
        let finite = ns_coefficients.iter().all(|it| it.is_finite());
        let steps = (1..=MOST_STEPS).contains(ns_steps);
        let own = [
            check_share("momentum", *momentum),
            Problem::unless(finite, "ns_coefficients", "must be three finite numbers"),
            Problem::unless(steps, "ns_steps", "must be from 1 to 99"),
            check_eps(*eps),
        ];
        let rest = check_lengths(adamw.lr, adamw.weight_decay).into_iter();
        let rest = rest.chain(check_moments(adamw.betas, adamw.eps)).flatten();
        own.into_iter().chain(rest.map(|it| Some(it.within("adamw")))).collect()
    }

    pub(super) fn rule(&self) -> MuonRule {
        MuonRule {
            momentum: self.momentum,
            nesterov: self.nesterov,
            weight_decay: self.weight_decay,
            coefficients: self.ns_coefficients,
            iterations: self.ns_steps,
            eps: self.eps,
            adjust: self.adjust_lr_fn,
            rest: self.adamw.rule(),
            rest_lr: self.adamw.lr / self.lr,
        }
    }
}
