//! Operations that Burn does not have as one LibTorch call, or that must choose their mode explicitly.

use burn::tensor::Tensor;
use tch::{Kind, Reduction};

use crate::torch::Device;
use crate::torch::parameters::{Parameters, Slot};
use crate::torch::tensor::{close, map, map_in_place, open, read_floats};

/// A two-dimensional convolution's geometry.
#[derive(Debug, Clone, Copy)]
pub struct ConvShape {
    /// Step between output positions.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// A convolution's parameters.
#[derive(Debug, Clone, Copy)]
pub struct ConvSlots {
    /// Kernels, `[out, in / groups, h, w]`.
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

/// - input: `[batch, in, h, w]`
/// - output: `[batch, out, h', w']`
pub fn conv2d(
    x: Tensor<4>,
    parameters: &Parameters,
    slots: ConvSlots,
    shape: ConvShape,
) -> Tensor<4> {
    let bias = slots.bias.map(|it| parameters.view(it));
    map(x, |x| convolve(x, parameters.view(slots.weight), bias, shape))
}

/// A convolution and the batch norm behind it as one convolution; without gradients only.
///
/// `norm(conv(x)) = conv'(x)` with the norm's scale multiplied into the weight and its shift as bias.
pub fn conv2d_with_norm(
    x: Tensor<4>,
    parameters: &Parameters,
    slots: ConvSlots,
    shape: ConvShape,
    (norm, eps): (NormSlots, f64),
) -> Tensor<4> {
    let scale = parameters.view(norm.weight) / (parameters.view(norm.variance) + eps).sqrt();
    let mean = match slots.bias {
        Some(bias) => parameters.view(norm.mean) - parameters.view(bias),
        None => parameters.view(norm.mean).shallow_clone(),
    };
    let shift = parameters.view(norm.bias) - mean * &scale;
    let weight = parameters.view(slots.weight) * scale.reshape([-1, 1, 1, 1]);
    map(x, |x| convolve(x, &weight, Some(&shift), shape))
}

fn convolve(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: Option<&tch::Tensor>,
    shape: ConvShape,
) -> tch::Tensor {
    let (stride, padding) = (shape.stride as i64, shape.padding as i64);
    x.conv2d(weight, bias, [stride, stride], [padding, padding], [1, 1], shape.groups as i64)
}

/// Batch norm over the channels, the second dimension, in one LibTorch call.
///
/// - input and output: `[batch, channels, …]`
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    parameters: &Parameters,
    slots: NormSlots,
    mode: NormMode,
    (momentum, eps): (f64, f64),
) -> Tensor<D> {
    let batch = mode == NormMode::Batch;
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

/// - input: `[batch, in]`
/// - output: `[batch, out]`
pub fn linear(x: Tensor<2>, parameters: &Parameters, weight: Slot, bias: Slot) -> Tensor<2> {
    map(x, |x| x.linear(parameters.view(weight), Some(parameters.view(bias))))
}

/// `min(max(x, 0), 6)`, in place where nobody else holds `x`.
pub fn relu6<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map_in_place(x, |mut x| x.relu6_(), tch::Tensor::relu6)
}

/// `max(x, 0)`, in place where nobody else holds `x`.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    map_in_place(x, |mut x| x.relu_(), tch::Tensor::relu)
}

/// `x + y`, never in place: LibTorch may have kept either for the backward pass.
pub fn add(x: Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    close(open(x) + open(y))
}

/// The mean over height and width.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels]`
pub fn average_pool(x: Tensor<4>) -> Tensor<2> {
    close(open(x).mean_dim([2, 3].as_slice(), false, None::<Kind>))
}

/// Zeroes each value with probability `p` and scales the others by `1 / (1 - p)`.
pub fn dropout(x: Tensor<2>, p: f64) -> Tensor<2> {
    map(x, |x| x.dropout(p, true))
}

/// Adds independent normal noise of mean 0 and the given standard deviation.
pub fn add_noise<const D: usize>(x: Tensor<D>, std: f64) -> Tensor<D> {
    map(x, |x| x + x.randn_like() * std)
}

/// Standard deviation over all values.
pub fn std_of<const D: usize>(x: Tensor<D>) -> f64 {
    open(x).std(true).double_value(&[])
}

/// Bilinear resize with half-pixel centres (`align_corners = false`), as in PyTorch and `OpenCV`.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, size, size]`
pub fn resize(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == [size, size] {
        return x;
    }
    let size = size as i64;
    close(open(x).upsample_bilinear2d([size, size], false, None, None))
}

/// Samples each image through its own affine map; bilinear, edges replicated.
///
/// `maps` holds, per image, the two rows of the matrix that takes an output position to an input
/// position, both in -1..1 across the image (`torch.nn.functional.affine_grid`).
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, size, size]`
pub fn sample_affine(x: Tensor<4>, maps: &[[f32; 6]], size: usize) -> Tensor<4> {
    /// `grid_sampler`'s numbers for its modes.
    const BILINEAR: i64 = 0;
    const BORDER: i64 = 1;
    let x = open(x).contiguous();
    let channels = x.size()[1];
    let (batch, size) = (maps.len() as i64, size as i64);
    let theta = tch::Tensor::from_slice(maps.as_flattened()).to(x.device()).reshape([batch, 2, 3]);
    let grid = tch::Tensor::affine_grid_generator(&theta, [batch, channels, size, size], false);
    close(x.grid_sampler(&grid, BILINEAR, BORDER, false))
}

/// A rectangle in fractions of the image, 0-1 from the left and the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

/// Multiplies each image by its factor and clips to 0-255.
pub fn brighten(x: Tensor<4>, factors: &[f32]) -> Tensor<4> {
    map(x, |x| {
        let factors = tch::Tensor::from_slice(factors).to(x.device()).reshape([-1, 1, 1, 1]);
        (x * factors).clamp_(0.0, 255.0)
    })
}

/// Fills each image's rectangle, if it has one, with `fill`; positions whose centre lies inside count.
pub fn erase(x: Tensor<4>, rectangles: &[Option<Rectangle>], fill: f64) -> Tensor<4> {
    map(x, |x| {
        let device = x.device();
        let edges = |edge: fn(&Rectangle) -> f64| {
            let edges: Vec<f64> =
                rectangles.iter().map(|it| it.as_ref().map_or(-1.0, edge)).collect();
            tch::Tensor::from_slice(&edges).to(device).reshape([-1, 1, 1, 1])
        };
        let centres = |size: i64, dims: [i64; 4]| {
            let steps = tch::Tensor::arange(size, (Kind::Double, device));
            ((steps + 0.5) / size as f64).reshape(dims)
        };
        let (height, width) = (x.size()[2], x.size()[3]);
        let (down, along) = (centres(height, [1, 1, -1, 1]), centres(width, [1, 1, 1, -1]));
        let inside = along.ge_tensor(&edges(|it| it.left)).logical_and(
            &along.lt_tensor(&edges(|it| it.right)).logical_and(
                &down
                    .ge_tensor(&edges(|it| it.top))
                    .logical_and(&down.lt_tensor(&edges(|it| it.bottom))),
            ),
        );
        x.masked_fill(&inside, fill)
    })
}

/// Mean cross-entropy against class indices.
///
/// - input: `[batch, classes]`
pub fn cross_entropy(logits: &Tensor<2>, labels: &Labels) -> Tensor<1> {
    let loss = open(logits.clone()).cross_entropy_loss(
        &labels.indices,
        None::<&tch::Tensor>,
        Reduction::Mean,
        IGNORE_NONE,
        0.0,
    );
    close(loss.reshape([1]))
}

/// LibTorch's default for "no class is ignored".
const IGNORE_NONE: i64 = -100;

/// The true classes of a batch, on the device.
#[derive(Debug)]
pub struct Labels {
    indices: tch::Tensor,
}

impl Labels {
    /// Labels from class indices.
    pub fn new(classes: &[u8], device: Device) -> Self {
        let classes: Vec<i64> = classes.iter().map(|it| i64::from(*it)).collect();
        Self { indices: tch::Tensor::from_slice(&classes).to(device.torch()) }
    }
}

/// Sums of loss and right answers that stay on the device until they are asked for.
#[derive(Debug)]
pub struct Tally {
    /// Sum of losses, sum of right answers.
    sums: tch::Tensor,
    images: usize,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(device: Device) -> Self {
        Self { sums: tch::Tensor::zeros([2], (Kind::Double, device.torch())), images: 0 }
    }

    /// Counts a batch with its mean loss.
    pub fn add(&mut self, loss: &Tensor<1>, logits: &Tensor<2>, labels: &Labels) {
        let logits = open(logits.clone()).detach();
        let images = logits.size()[0];
        let loss = open(loss.clone()).detach().to_kind(Kind::Double).reshape([1]) * images as f64;
        let right = logits.argmax(1, false).eq_tensor(&labels.indices).sum(Kind::Double);
        let _ = self.sums.g_add_(&tch::Tensor::cat(&[loss, right.reshape([1])], 0));
        self.images += images as usize;
    }

    /// Mean loss and accuracy; waits for the device.
    pub fn means(&self) -> [f64; 2] {
        let sums = self.sums.to_device(tch::Device::Cpu);
        let images = self.images.max(1) as f64;
        [sums.double_value(&[0]) / images, sums.double_value(&[1]) / images]
    }

    /// How many images were counted.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// Class probabilities, row by row.
///
/// - input: `[batch, classes]`
pub fn probabilities(logits: Tensor<2>) -> Vec<f32> {
    read_floats(&open(logits).softmax(1, Kind::Double))
}
