//! Layers as data: a network is a tree of them, read and run from the outside in.
//!
//! As values they can be listed, counted, frozen and fused without knowing which network they belong to.
//!
//! **Invariant:** a layer holds slots, never numbers.

use crate::model::spec::{Init, Slot, Spec};

/// One layer, or several as one.
#[derive(Debug, Clone)]
pub enum Layer {
    /// Convolution.
    Conv(ConvSlots, ConvShape),
    /// Batch norm.
    Norm(Norm),
    /// Layer norm.
    LayerNorm(LayerNorm),
    /// Every channel times a factor that learns, `[channels, 1, 1]` (layer scale, Touvron et al. 2021,
    /// <https://arxiv.org/abs/2103.17239>).
    Scale(Slot),
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · sigmoid(x)`, which is also called swish.
    Silu,
    /// `x · Φ(x)`, with the normal distribution itself and no approximation of it.
    Gelu,
    /// The largest value of each window.
    MaxPool(PoolShape),
    /// Values around the input, as many as the windows of the layer behind it need: `padding = "same"` of Keras.
    Same(SamePadding),
    /// Every channel times a factor between 0 and 1 for each image: the sigmoid of what these layers make of the channels'
    /// means (squeeze-and-excitation, Hu et al. 2017, <https://arxiv.org/abs/1709.01507>).
    Excite(Vec<Layer>),
    /// In training, 0 in place of the input for each image with this probability, and the other images divided by what is
    /// left of 1 (stochastic depth, Huang et al. 2016, <https://arxiv.org/abs/1603.09382>). It stands at the end of a
    /// residual's body, which is then left out for the image. In a frozen prefix it does nothing.
    StochasticDepth(f64),
    /// Two ways for the same input, added up.
    Residual {
        /// What is learned.
        body: Vec<Layer>,
        /// What the input goes through on the other way; nothing where it is added as it is.
        shortcut: Vec<Layer>,
    },
}

/// A batch norm with its constants.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    /// Its parameters.
    pub slots: NormSlots,
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the batch in the running statistics, as PyTorch counts it (Keras: one minus this).
    pub momentum: f64,
}

/// A layer norm over the channels of each position, with its constant. It has no running statistics.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// Scale of each channel.
    pub weight: Slot,
    /// Shift of each channel.
    pub bias: Slot,
    /// Added to the variance.
    pub eps: f64,
}

/// A two-dimensional convolution's geometry.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    /// Pixels a side of its window.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// A maximum pooling's geometry.
#[derive(Debug, Clone, Copy)]
pub struct PoolShape {
    /// Pixels a side of its window.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Positions around the input that are below every value.
    pub padding: usize,
}

/// What is put around an input, so that windows at every `stride`-th position reach to its end and there are `side / stride`
/// of them, rounded up. Where that is an odd number of rows, the one more stands behind: unlike a padding of one on both
/// sides, windows of 3 and stride 2 then begin at the first pixel of an even side.
#[derive(Debug, Clone, Copy)]
pub struct SamePadding {
    /// Pixels a side of the windows.
    pub kernel: usize,
    /// Step between them.
    pub stride: usize,
    /// What is put there.
    pub value: PaddingValue,
}

/// What is put around an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaddingValue {
    /// 0, in front of a convolution.
    Zero,
    /// Less than every value, in front of a maximum pooling.
    Lowest,
}

impl SamePadding {
    /// Rows before and behind an input of `side` rows.
    pub fn around(self, side: usize) -> [usize; 2] {
        let Self { kernel, stride, .. } = self;
        let last = side.div_ceil(stride).saturating_sub(1) * stride;
        let all = (last + kernel).saturating_sub(side);
        [all / 2, all - all / 2]
    }
}

/// A convolution's parameters.
#[derive(Debug, Clone, Copy)]
pub struct ConvSlots {
    /// Kernels, `[out, in / groups, h, w]`; `[out, in]` where weight files have a linear layer in place of a window of one
    /// position.
    pub weight: Slot,
    /// Shift of each output channel.
    pub bias: Option<Slot>,
}

/// A batch norm's parameters.
#[derive(Debug, Clone, Copy)]
pub struct NormSlots {
    /// Scale.
    pub weight: Slot,
    /// Shift.
    pub bias: Slot,
    /// Running mean.
    pub mean: Slot,
    /// Running variance.
    pub variance: Slot,
}

/// What bounds an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Activation {
    /// The smallest and the largest value.
    pub fn bounds(self) -> [f32; 2] {
        match self {
            Self::None => [f32::NEG_INFINITY, f32::INFINITY],
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
        }
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
            Self::Same(it) => side + it.around(side).iter().sum::<usize>(),
            Self::Norm(_)
            | Self::LayerNorm(_)
            | Self::Scale(_)
            | Self::Relu
            | Self::Relu6
            | Self::Silu
            | Self::Gelu
            | Self::Excite(_)
            | Self::StochasticDepth(_) => side,
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
            Self::LayerNorm(norm) => [norm.weight, norm.bias].into_iter().for_each(see),
            Self::Scale(factors) => see(*factors),
            Self::Relu
            | Self::Relu6
            | Self::Silu
            | Self::Gelu
            | Self::MaxPool(_)
            | Self::Same(_)
            | Self::StochasticDepth(_) => {}
            Self::Excite(layers) => layers.iter().for_each(|it| it.each_slot(see)),
            Self::Residual { body, shortcut } => {
                for it in body.iter().chain(shortcut) {
                    it.each_slot(see);
                }
            }
        }
    }
}

/// The constants of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConstants {
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the batch in the running statistics, as PyTorch counts it.
    pub momentum: f64,
}

/// PyTorch's.
impl Default for NormConstants {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1 }
    }
}

/// Collects the tensors of a network while its layers are built.
#[derive(Debug, Default)]
pub struct Builder {
    /// What was asked for so far.
    pub specs: Vec<Spec>,
    /// The constants of the batch norms that are asked for next.
    pub norms: NormConstants,
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
        Layer::Conv(ConvSlots { weight, bias: Some(self.bias(name, channels[1])) }, shape)
    }

    /// The same with kernels that begin in another way.
    pub fn conv_from(
        &mut self,
        name: &str,
        channels: [usize; 2],
        shape: ConvShape,
        init: Init,
    ) -> Layer {
        let weight = self.weight(format!("{name}.weight"), &dims(channels, shape), init);
        Layer::Conv(ConvSlots { weight, bias: Some(self.bias(name, channels[1])) }, shape)
    }

    /// A linear layer over the channels of each position, with a bias: a convolution whose window is one position.
    pub fn linear(&mut self, name: &str, [input, output]: [usize; 2], init: Init) -> Layer {
        let weight = self.weight(format!("{name}.weight"), &[output, input], init);
        let point = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };
        Layer::Conv(ConvSlots { weight, bias: Some(self.bias(name, output)) }, point)
    }

    /// Kernels that begin like torchvision's: Kaiming normal over the outputs.
    fn kernels(&mut self, name: &str, channels: [usize; 2], shape: ConvShape) -> Slot {
        let fan = shape.kernel * shape.kernel * channels[1] / shape.groups;
        let init = Init::KaimingNormal { fan };
        self.weight(format!("{name}.weight"), &dims(channels, shape), init)
    }

    fn bias(&mut self, name: &str, size: usize) -> Slot {
        self.weight(format!("{name}.bias"), &[size], Init::Constant(0.0))
    }

    /// A layer norm with ConvNeXt's constant, over `size` channels.
    pub fn layer_norm(&mut self, name: &str, size: usize) -> LayerNorm {
        LayerNorm {
            weight: self.weight(format!("{name}.weight"), &[size], Init::Constant(1.0)),
            bias: self.bias(name, size),
            eps: 1e-6,
        }
    }

    /// A batch norm with the builder's constants, over `size` channels.
    pub fn norm(&mut self, name: &str, size: usize) -> Norm {
        let one = Init::Constant(1.0);
        let slots = NormSlots {
            weight: self.weight(format!("{name}.weight"), &[size], one),
            bias: self.weight(format!("{name}.bias"), &[size], Init::Constant(0.0)),
            mean: self.statistic(format!("{name}.running_mean"), size, 0.0),
            variance: self.statistic(format!("{name}.running_var"), size, 1.0),
        };
        let NormConstants { eps, momentum } = self.norms;
        Norm { slots, eps, momentum }
    }
}

/// The shape of a convolution's kernels.
fn dims([input, output]: [usize; 2], ConvShape { kernel, groups, .. }: ConvShape) -> [usize; 4] {
    [output, input / groups, kernel, kernel]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TensorFlow's table: <https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2>.
    #[test]
    fn the_same_padding_has_the_odd_row_behind() {
        for ([kernel, stride, side], around) in [
            ([3, 2, 48], [0, 1]),
            ([3, 2, 71], [1, 1]),
            ([3, 1, 48], [1, 1]),
            ([1, 2, 5], [0, 0]),
            ([3, 2, 1], [1, 1]),
            ([5, 2, 48], [1, 2]),
            ([2, 3, 7], [0, 1]),
        ] {
            let padding = SamePadding { kernel, stride, value: PaddingValue::Zero };
            assert_eq!(padding.around(side), around, "{kernel} {stride} {side}");
            let padded = Layer::Same(padding).side(side);
            let pool = Layer::MaxPool(PoolShape { kernel, stride, padding: 0 });
            assert_eq!(pool.side(padded), side.div_ceil(stride));
        }
    }
}
