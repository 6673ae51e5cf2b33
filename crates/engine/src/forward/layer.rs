//! Layers as a pass runs them, several as one operation where there is one for them.
//!
//! Burn's own modules ask the device whether they train; ours are told ([`Pass`]), because LibTorch
//! differentiates and the device never knows.

use burn::tensor::Tensor;
use ferrite_core::model::layer::{Activation, Layer, Norm};
use ferrite_torch::ops::{self, AfterNorm, Fused, NormMode, NormPass};
use ferrite_torch::padding::pad;
use ferrite_torch::parameters::Parameters;

/// How a pass through the network is meant.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The numbers.
    pub parameters: &'a Parameters,
    /// Whether dropout, noise and batch statistics act.
    pub training: bool,
    /// Whether batch norms that do not train use the batch's statistics all the same.
    pub frozen_norms_see_batch: bool,
    /// Whether a graph for gradients is recorded.
    pub records: bool,
}

impl Pass<'_> {
    /// Which statistics `norm` uses in this pass.
    pub fn mode(&self, norm: &Norm) -> NormMode {
        let trains = self.frozen_norms_see_batch || self.parameters.trains(norm.slots.weight);
        if self.training && trains { NormMode::Batch } else { NormMode::Running }
    }

    /// What this pass makes of `norm`.
    fn of_norm(&self, norm: &Norm) -> NormPass<'_> {
        NormPass { parameters: self.parameters, norm: *norm, mode: self.mode(norm) }
    }

    /// Whether residuals are left out at random. A frozen prefix, which records nothing, computes as in inference, so that
    /// what it gives can be kept.
    fn leaves_out(&self) -> bool {
        self.training && self.records
    }

    /// Whether `norm` can be a part of the convolution before it.
    fn folds(&self, norm: &Norm) -> bool {
        !self.records && self.mode(norm) == NormMode::Running
    }
}

/// Runs `layers` one after the other, several as one operation where there is one for them: a convolution and the
/// activation behind it, where no gradient is recorded with the batch norm between them; a batch norm and the activation
/// behind it; a residual that ends with a batch norm, its sum and the activation behind it.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels', h', w']`
pub fn forward_all(layers: &[Layer], mut x: Tensor<4>, pass: Pass<'_>) -> Tensor<4> {
    let mut rest = layers;
    while let [layer, behind @ ..] = rest {
        (x, rest) = match layer {
            Layer::Conv(slots, shape) => {
                let (norm, others) = match behind {
                    [Layer::Norm(norm), others @ ..] if pass.folds(norm) => (Some(norm), others),
                    _ => (None, behind),
                };
                let (activation, others) = activation(others);
                // In a training pass only what is frozen folds.
                let fused = Fused { norm: norm.copied(), activation, stays: pass.training };
                (ops::conv2d(x, pass.parameters, *slots, *shape, fused), others)
            }
            Layer::Norm(norm) => {
                let (activation, others) = activation(behind);
                (normalize_maps(norm, x, AfterNorm { other: None, activation }, pass), others)
            }
            Layer::LayerNorm(norm) => (ops::layer_norm(x, pass.parameters, *norm), behind),
            Layer::Scale(factors) => (ops::scale(x, pass.parameters, *factors), behind),
            Layer::Relu => (ops::relu(x), behind),
            Layer::Relu6 => (ops::relu6(x), behind),
            Layer::Silu => (ops::silu(x), behind),
            Layer::Gelu => (ops::gelu(x), behind),
            Layer::MaxPool(shape) => (ops::max_pool(x, *shape), behind),
            Layer::Same(padding) => (pad(x, *padding), behind),
            Layer::Excite(layers) => {
                let factors = forward_all(layers, ops::channel_means(x.clone()), pass);
                (ops::excite(x, factors), behind)
            }
            Layer::StochasticDepth(p) if pass.leaves_out() => {
                (ops::stochastic_depth(x, *p), behind)
            }
            Layer::StochasticDepth(_) => (x, behind),
            // While the shortcut still holds the input, a ReLU at the body's begin does not work in place on
            // what the shortcut's convolution is going to keep.
            Layer::Residual { body, shortcut } => match body.split_last() {
                Some((Layer::Norm(norm), body)) if !pass.folds(norm) => {
                    let (activation, others) = activation(behind);
                    let learned = forward_all(body, x.clone(), pass);
                    let other = Some(forward_all(shortcut, x, pass));
                    (normalize_maps(norm, learned, AfterNorm { other, activation }, pass), others)
                }
                _ => {
                    let learned = forward_all(body, x.clone(), pass);
                    (ops::add(forward_all(shortcut, x, pass), learned), behind)
                }
            },
        };
    }
    x
}

/// The activation that `layers` begin with, and the others.
fn activation(layers: &[Layer]) -> (Activation, &[Layer]) {
    match layers {
        [Layer::Relu, others @ ..] => (Activation::Relu, others),
        [Layer::Relu6, others @ ..] => (Activation::Relu6, others),
        _ => (Activation::None, layers),
    }
}

/// Batch norm in the mode that `pass` asks for, and what comes after it.
pub fn normalize_maps(norm: &Norm, x: Tensor<4>, after: AfterNorm, pass: Pass<'_>) -> Tensor<4> {
    ops::norm_and_activate(x, pass.of_norm(norm), after)
}

/// Batch norm of vectors in the mode that `pass` asks for.
pub fn normalize_vectors(x: Tensor<2>, norm: &Norm, pass: Pass<'_>) -> Tensor<2> {
    ops::batch_norm(x, pass.of_norm(norm))
}
