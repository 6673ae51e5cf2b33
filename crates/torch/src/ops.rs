//! Operations that Burn does not have as one LibTorch call, or that must choose their mode explicitly.

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::model::layer::{Activation, ConvShape, ConvSlots, LayerNorm, Norm, PoolShape};
use ferrite_core::model::spec::Slot;
use ferrite_core::precision::Precision;
use tch::Kind;

use crate::OnDevice;
use crate::folded::Kernels;
use crate::native;
use crate::native::{Bounds, ConvolutionTensors, NormConstants, NormTensors};
use crate::parameters::Parameters;
use crate::precision::cast;
use crate::tensor::{close, map, map_in_place, open};

/// Stride, padding and groups as LibTorch counts.
fn geometry(shape: ConvShape) -> [i64; 3] {
    [shape.stride, shape.padding, shape.groups].map(|it| it as i64)
}

/// Which statistics a batch norm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormMode {
    /// Those of the batch, which also move the running ones.
    Batch,
    /// The running ones, which stay as they are.
    Running,
}

/// Puts the channels last in memory, which LibTorch's convolutions keep up and are fastest with.
pub fn channels_last(x: Tensor<4>) -> Tensor<4> {
    map(x, |x| x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]))
}

/// A batch norm as a pass through the network means it.
#[derive(Debug, Clone, Copy)]
pub struct NormPass<'a> {
    /// The numbers of the network.
    pub parameters: &'a Parameters,
    /// The norm.
    pub norm: Norm,
    /// Which statistics it uses.
    pub mode: NormMode,
}

/// What becomes of a batch norm's output in the same operation.
#[derive(Debug)]
pub struct AfterNorm {
    /// What is added to it.
    pub other: Option<Tensor<4>>,
    /// The activation of the sum.
    pub activation: Activation,
}

/// What is fused with a convolution into one operation.
#[derive(Debug, Clone, Copy)]
pub struct Fused {
    /// The batch norm behind it, which uses its running statistics.
    pub norm: Option<Norm>,
    /// The activation.
    pub activation: Activation,
    /// Whether convolution and norm stay as they are for as long as the same tensors train.
    pub stays: bool,
}

/// A convolution, the batch norm behind it if there is one, and the activation; on a processor as one operation.
///
/// A norm is folded, without a record for gradients: `norm(conv(x)) = conv'(x)` with the norm's scale multiplied into
/// the weight and its shift as bias.
///
/// - input: `[batch, in, h, w]`
/// - output: `[batch, out, h', w']`
pub fn conv2d(
    x: Tensor<4>,
    parameters: &Parameters,
    slots: ConvSlots,
    shape: ConvShape,
    fused: Fused,
) -> Tensor<4> {
    let activation = fused.activation;
    let kernels = |kind| kernels(parameters, slots, fused, kind);
    match parameters.device() {
        // Which casts the kernels as it packs them.
        Device::Cpu => map(x, |x| {
            let Kernels { weight, bias } = kernels(Kind::Float);
            let tensors = ConvolutionTensors { x, weight: &weight, bias: bias.as_ref() };
            native::convolution(tensors, shape, Bounds::of(activation))
        }),
        Device::Cuda(_) => {
            let convolved = map(x, |x| {
                let Kernels { weight, bias } = kernels(x.kind());
                let [stride, padding, groups] = geometry(shape);
                x.conv2d(&weight, bias.as_ref(), [stride; 2], [padding; 2], [1; 2], groups)
            });
            activate(convolved, activation)
        }
    }
}

/// Weight and bias of a convolution with what is folded into it, in a type.
fn kernels(parameters: &Parameters, slots: ConvSlots, fused: Fused, kind: Kind) -> Kernels {
    let plain = || Kernels {
        weight: windows(&parameters.of_kind(slots.weight, kind)),
        bias: slots.bias.map(|it| parameters.of_kind(it, kind)),
    };
    let trains =
        [Some(slots.weight), slots.bias].into_iter().flatten().any(|it| parameters.trains(it));
    match fused.norm {
        Some(norm) => parameters.folds.get((slots.weight, true), fused.stays, || {
            folded(parameters, slots, norm).of_kind(kind)
        }),
        // A cast for each batch would be a launch each.
        None if kind != Kind::Float && !trains => {
            parameters.folds.get((slots.weight, false), true, plain)
        }
        None => plain(),
    }
}

/// A weight as the kernels of a convolution, which a linear layer's is of windows of one position.
///
/// - input: `[out, in / groups, h, w]` or `[out, in]`
fn windows(weight: &tch::Tensor) -> tch::Tensor {
    if weight.dim() == 2 { weight.unsqueeze(-1).unsqueeze(-1) } else { weight.shallow_clone() }
}

/// Weight and bias of a convolution and the batch norm behind it.
fn folded(parameters: &Parameters, slots: ConvSlots, norm: Norm) -> Kernels {
    let Norm { slots: norm, eps, .. } = norm;
    let view = |slot| parameters.view(slot);
    let (weight, bias) = (view(slots.weight), slots.bias.map(view));
    let mean = view(norm.mean);
    let middle = bias.map_or_else(|| mean.shallow_clone(), |it| mean - it);
    let scale = view(norm.weight) / (view(norm.variance) + eps).sqrt();
    let shift = view(norm.bias) - middle * &scale;
    Kernels { weight: weight * scale.reshape([-1, 1, 1, 1]), bias: Some(shift) }
}

/// Batch norm over the channels, the second dimension, in one LibTorch call.
///
/// - input and output: `[batch, channels, …]`
pub fn batch_norm<const D: usize>(x: Tensor<D>, pass: NormPass<'_>) -> Tensor<D> {
    let NormPass { parameters, norm: Norm { slots, eps, momentum }, mode } = pass;
    let batch = mode == NormMode::Batch;
    if batch {
        parameters.folds.forget_passing();
    }
    map(x, |x| {
        x.batch_norm(
            Some(parameters.view(slots.weight)),
            Some(parameters.view(slots.bias)),
            Some(parameters.view(slots.mean)),
            Some(parameters.view(slots.variance)),
            batch,
            momentum,
            eps,
            true,
        )
    })
}

/// Batch norm over the channels, then what comes after it.
///
/// - x, `after.other` and output: `[batch, channels, h, w]`
pub fn norm_and_activate(x: Tensor<4>, pass: NormPass<'_>, after: AfterNorm) -> Tensor<4> {
    let NormPass { parameters, norm: Norm { slots, eps, momentum }, mode } = pass;
    let AfterNorm { other, activation } = after;
    if parameters.device() == Device::Cpu {
        if mode == NormMode::Batch {
            parameters.folds.forget_passing();
        }
        let other = other.map(open);
        return map(x, |x| {
            let tensors = NormTensors {
                x,
                other: other.as_ref(),
                weight: parameters.view(slots.weight),
                bias: parameters.view(slots.bias),
                mean: parameters.view(slots.mean),
                variance: parameters.view(slots.variance),
            };
            native::norm(tensors, mode, NormConstants { momentum, eps }, Bounds::of(activation))
        });
    }
    let normed = batch_norm(x, pass);
    let sum = match other {
        Some(other) => add(other, normed),
        None => normed,
    };
    activate(sum, activation)
}

/// Layer norm over the channels of each position.
///
/// - input and output: `[batch, channels, h, w]`
pub fn layer_norm(x: Tensor<4>, parameters: &Parameters, norm: LayerNorm) -> Tensor<4> {
    map(x, |x| {
        let [weight, bias] = [norm.weight, norm.bias].map(|it| match parameters.device() {
            // Which takes scales and shifts of 32 bits in every case.
            Device::Cpu => parameters.view(it).shallow_clone(),
            Device::Cuda(_) => parameters.of_kind(it, x.kind()),
        });
        let positions = x.permute([0, 2, 3, 1]);
        let normed = positions.layer_norm([x.size()[1]], Some(weight), Some(bias), norm.eps, true);
        normed.permute([0, 3, 1, 2])
    })
}

/// Every channel times its factor.
///
/// - input and output: `[batch, channels, h, w]`
pub fn scale(x: Tensor<4>, parameters: &Parameters, factors: Slot) -> Tensor<4> {
    map(x, |x| x * parameters.of_kind(factors, x.kind()))
}

fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(x),
        Activation::Relu6 => relu6(x),
    }
}

/// A linear layer whose product is of `precision`.
///
/// - input: `[batch, in]`, 32-bit floats
/// - output: `[batch, out]`, 32-bit floats
pub fn linear(
    x: Tensor<2>,
    parameters: &Parameters,
    [weight, bias]: [Slot; 2],
    precision: Precision,
) -> Tensor<2> {
    let view = |slot| parameters.view(slot);
    if precision == Precision::F32 {
        return map(x, |x| x.linear(view(weight), Some(view(bias))));
    }
    let product = map::<2, 2>(cast(x, precision), |x| match parameters.device() {
        // It is a convolution of an image of one position, which has a kernel of ours for the matrix unit.
        Device::Cpu => {
            let [x, weight] = [x, view(weight)].map(|it| it.unsqueeze(-1).unsqueeze(-1));
            let tensors = ConvolutionTensors { x: &x, weight: &weight, bias: Some(view(bias)) };
            let point = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };
            native::convolution(tensors, point, Bounds::of(Activation::None)).flatten(1, 3)
        }
        Device::Cuda(_) => {
            let [weight, bias] = [weight, bias].map(|it| parameters.of_kind(it, x.kind()));
            x.linear(&weight, Some(&bias))
        }
    });
    cast(product, Precision::F32)
}

/// `min(max(x, 0), 6)`, in place where nobody else holds `x`.
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map_in_place(x, |mut x| x.relu6_(), tch::Tensor::relu6)
}

/// `max(x, 0)`, in place where nobody else holds `x`.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map_in_place(x, |mut x| x.relu_(), tch::Tensor::relu)
}

/// `x · sigmoid(x)`, in place where nobody else holds `x` and no gradient is recorded, which would need `x`.
pub fn silu(x: Tensor<4>) -> Tensor<4> {
    let in_place = |mut x: tch::Tensor| if x.requires_grad() { x.silu() } else { x.silu_() };
    map_in_place(x, in_place, tch::Tensor::silu)
}

/// `x · Φ(x)`, in place as [`silu`].
pub fn gelu(x: Tensor<4>) -> Tensor<4> {
    const EXACT: &str = "none";
    let in_place =
        |mut x: tch::Tensor| if x.requires_grad() { x.gelu(EXACT) } else { x.gelu_(EXACT) };
    map_in_place(x, in_place, |x| x.gelu(EXACT))
}

/// The mean of each channel, in the type of the input.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, 1, 1]`
pub fn channel_means(x: Tensor<4>) -> Tensor<4> {
    map(x, |x| x.mean_dim([2, 3].as_slice(), true, x.kind()))
}

/// Each channel times the sigmoid of its number in `factors`.
///
/// - x and output: `[batch, channels, h, w]`
/// - factors: `[batch, channels, 1, 1]`
pub fn excite(x: Tensor<4>, factors: Tensor<4>) -> Tensor<4> {
    let factors = open(factors).sigmoid();
    map(x, |x| x * &factors)
}

/// 0 in place of each image with probability `p`; the others are divided by `1 - p`. Drawn from LibTorch's generator, as
/// torchvision draws.
///
/// - input and output: `[batch, channels, h, w]`
pub fn stochastic_depth(x: Tensor<4>, p: f64) -> Tensor<4> {
    let kept = 1.0 - p;
    map(x, |x| {
        let mut images = tch::Tensor::empty([x.size()[0], 1, 1, 1], (x.kind(), x.device()));
        x * (images.bernoulli_float_(kept) / kept)
    })
}

/// `x + y`, never in place: LibTorch may have kept either for the backward pass.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    close(open(x) + open(y))
}

/// The images at these places of a batch.
pub fn select(x: Tensor<4>, places: &[u32]) -> Tensor<4> {
    let places: Vec<i64> = places.iter().map(|it| i64::from(*it)).collect();
    map(x, |x| x.index_select(0, &Device::of(x).tensor_of(&places)))
}

/// The largest value of each window; windows that do not fit whole are left out, as PyTorch does.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, h', w']`
pub fn max_pool(x: Tensor<4>, shape: PoolShape) -> Tensor<4> {
    map(x, |x| {
        if x.device() == tch::Device::Cpu {
            return native::max_pool(x, shape);
        }
        let numbers = [shape.kernel, shape.stride, shape.padding];
        let [kernel, stride, padding] = numbers.map(|it| [it as i64; 2]);
        x.max_pool2d(kernel, stride, padding, [1, 1], false)
    })
}

/// The mean over height and width, as 32-bit floats.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels]`
pub fn average_pool(x: Tensor<4>) -> Tensor<2> {
    close(open(x).mean_dim([2, 3].as_slice(), false, Kind::Float))
}

/// Zeroes each value with probability `p` and scales the others by `1 / (1 - p)`.
pub fn dropout(x: Tensor<2>, p: f64) -> Tensor<2> {
    map(x, |x| x.dropout(p, true))
}

/// How many values of `before` are not 0, and how many of these are 0 in `after`; waits for the device.
pub fn zeroed(before: Tensor<2>, after: Tensor<2>) -> [usize; 2] {
    let there = open(before).ne(0.0);
    let gone = open(after).eq(0.0).logical_and(&there);
    [there, gone].map(|it| it.sum(Kind::Int64).int64_value(&[]) as usize)
}

/// Adds independent normal noise of mean 0 and the given standard deviation.
pub fn add_noise<const D: usize>(x: Tensor<D>, std: f64) -> Tensor<D> {
    map(x, |x| x + noise_like(x).g_mul_scalar_(std))
}

/// Normal numbers of mean 0 and deviation 1 in the shape of `x`.
///
/// They are drawn in one piece: LibTorch draws those of a tensor with the channels last one by one, and seven times as
/// slowly.
fn noise_like(x: &tch::Tensor) -> tch::Tensor {
    match x.size()[..] {
        [batch, channels, height, width] => {
            let shape = [batch, height, width, channels];
            tch::Tensor::randn(shape, (x.kind(), x.device())).permute([0, 3, 1, 2])
        }
        _ => x.randn_like(),
    }
}

/// [`add_noise`] with a standard deviation for each of three channels; 0 for all is none.
///
/// - input and output: `[batch, 3, h, w]`
pub fn add_noise_to_channels(x: Tensor<4>, stds: [f64; 3]) -> Tensor<4> {
    match stds {
        [0.0, 0.0, 0.0] => x,
        [a, b, c] if a == b && b == c => add_noise(x, a),
        _ => map(x, |x| {
            // Made there: a recorded step reads nothing of the host.
            let stds = stds.map(|it| tch::Tensor::full([1], it, (Kind::Float, x.device())));
            x + noise_like(x).g_mul_(&tch::Tensor::cat(&stds, 0).reshape([1, 3, 1, 1]))
        }),
    }
}

/// Standard deviation over all values.
pub fn std_of<const D: usize>(x: Tensor<D>) -> f64 {
    open(x).std(true).double_value(&[])
}
