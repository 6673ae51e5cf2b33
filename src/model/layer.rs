//! Layers as data: a network is a tree of them, read and run from the outside in.
//!
//! Burn's own modules ask the device whether they train; ours are told ([`Pass`]), because LibTorch
//! differentiates and the device never knows. As values they can also be listed, counted, frozen and
//! fused without knowing which network they belong to.
//!
//! **Invariant:** a layer holds slots, never numbers.

use burn::tensor::Tensor;

use crate::torch::ops::{
    self, Activation, AfterNorm, ConvShape, ConvSlots, Fused, Norm, NormMode, NormPass, NormSlots,
    PoolShape,
};
use crate::torch::parameters::{Init, Parameters, Slot, Spec};

/// One layer, or several as one.
#[derive(Debug, Clone)]
pub enum Layer {
    /// Convolution.
    Conv(ConvSlots, ConvShape),
    /// Batch norm.
    Norm(Norm),
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// The largest value of each window.
    MaxPool(PoolShape),
    /// Two ways for the same input, added up.
    Residual {
        /// What is learned.
        body: Vec<Layer>,
        /// What the input goes through on the other way; nothing where it is added as it is.
        shortcut: Vec<Layer>,
    },
}

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

    /// Whether `norm` can be a part of the convolution before it.
    fn folds(&self, norm: &Norm) -> bool {
        !self.records && self.mode(norm) == NormMode::Running
    }
}

impl Layer {
    /// Pixels a side of the output for an input of `side` pixels.
    pub fn side(&self, side: usize) -> usize {
        let windows = |kernel: usize, stride: usize, padding: usize| {
            (side + 2 * padding).checked_sub(kernel).map_or(0, |it| it / stride + 1)
        };
        match self {
            Self::Conv(_, it) => windows(it.kernel, it.stride, it.padding),
            Self::MaxPool(it) => windows(it.kernel, it.stride, it.padding),
            Self::Norm(_) | Self::Relu | Self::Relu6 => side,
            Self::Residual { body, .. } => body.iter().fold(side, |side, it| it.side(side)),
        }
    }

    /// Calls `see` with every slot, in the order in which a pass reads them.
    pub fn each_slot(&self, see: &mut impl FnMut(Slot)) {
        match self {
            Self::Conv(slots, _) => {
                see(slots.weight);
                slots.bias.into_iter().for_each(see);
            }
            Self::Norm(Norm { slots, .. }) => {
                [slots.weight, slots.bias, slots.mean, slots.variance].into_iter().for_each(see);
            }
            Self::Relu | Self::Relu6 | Self::MaxPool(_) => {}
            Self::Residual { body, shortcut } => {
                for it in body.iter().chain(shortcut) {
                    it.each_slot(see);
                }
            }
        }
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
                (forward(norm, x, AfterNorm { other: None, activation }, pass), others)
            }
            Layer::Relu => (ops::relu(x), behind),
            Layer::Relu6 => (ops::relu6(x), behind),
            Layer::MaxPool(shape) => (ops::max_pool(x, *shape), behind),
            // While the shortcut still holds the input, a ReLU at the body's begin does not work in place on
            // what the shortcut's convolution is going to keep.
            Layer::Residual { body, shortcut } => match body.split_last() {
                Some((Layer::Norm(norm), body)) if !pass.folds(norm) => {
                    let (activation, others) = activation(behind);
                    let learned = forward_all(body, x.clone(), pass);
                    let other = Some(forward_all(shortcut, x, pass));
                    (forward(norm, learned, AfterNorm { other, activation }, pass), others)
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
pub fn forward(norm: &Norm, x: Tensor<4>, after: AfterNorm, pass: Pass<'_>) -> Tensor<4> {
    ops::norm_and_activate(x, pass.of_norm(norm), after)
}

/// Batch norm of vectors in the mode that `pass` asks for.
pub fn normalize(x: Tensor<2>, norm: &Norm, pass: Pass<'_>) -> Tensor<2> {
    ops::batch_norm(x, pass.of_norm(norm))
}

/// Collects the tensors of a network while its layers are built.
#[derive(Debug, Default)]
pub struct Builder {
    /// What was asked for so far.
    pub specs: Vec<Spec>,
}

impl Builder {
    fn slot(&mut self, spec: Spec) -> Slot {
        self.specs.push(spec);
        Slot::nth(self.specs.len() - 1)
    }

    /// A tensor that learns.
    pub fn weight(&mut self, name: String, shape: &[usize], init: Init) -> Slot {
        self.slot(Spec { name, shape: shape.to_vec(), init, learns: true })
    }

    fn statistic(&mut self, name: String, size: usize, value: f32) -> Slot {
        let init = Init::Constant(value);
        self.slot(Spec { name, shape: vec![size], init, learns: false })
    }

    /// A square convolution without bias, as in front of a batch norm; `name` as in the weight file.
    pub fn conv(&mut self, name: &str, channels: [usize; 2], shape: ConvShape) -> Layer {
        Layer::Conv(ConvSlots { weight: self.kernels(name, channels, shape), bias: None }, shape)
    }

    /// A square convolution with a bias for each output channel, which begins at 0.
    pub fn conv_with_bias(&mut self, name: &str, channels: [usize; 2], shape: ConvShape) -> Layer {
        let weight = self.kernels(name, channels, shape);
        let bias = self.weight(format!("{name}.bias"), &channels[1..], Init::Constant(0.0));
        Layer::Conv(ConvSlots { weight, bias: Some(bias) }, shape)
    }

    /// Kernels that begin like torchvision's: Kaiming normal over the outputs.
    fn kernels(&mut self, name: &str, [input, output]: [usize; 2], shape: ConvShape) -> Slot {
        let ConvShape { kernel, groups, .. } = shape;
        let dims = [output, input / groups, kernel, kernel];
        let fan = kernel * kernel * output / groups;
        self.weight(format!("{name}.weight"), &dims, Init::KaimingNormal { fan })
    }

    /// A batch norm with PyTorch's constants, over `size` channels.
    pub fn norm(&mut self, name: &str, size: usize) -> Norm {
        let one = Init::Constant(1.0);
        let slots = NormSlots {
            weight: self.weight(format!("{name}.weight"), &[size], one),
            bias: self.weight(format!("{name}.bias"), &[size], Init::Constant(0.0)),
            mean: self.statistic(format!("{name}.running_mean"), size, 0.0),
            variance: self.statistic(format!("{name}.running_var"), size, 1.0),
        };
        Norm { slots, eps: 1e-5, momentum: 0.1 }
    }
}
