//! Operations on batches of pictures: resize, affine sampling, gray levels, erasing.

use burn::tensor::Tensor;
use tch::Kind;

use crate::torch::tensor::{close, map, open};

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

/// Swaps left and right.
pub fn mirror(x: Tensor<4>) -> Tensor<4> {
    close(open(x).flip([3]))
}

/// Multiplies each image by its factor and clips to 0-255.
pub fn brighten(x: Tensor<4>, factors: &[f32]) -> Tensor<4> {
    map(x, |x| (x * one_each(factors, x)).clamp_(0.0, 255.0))
}

/// Multiplies the distance of each image's values from its mean gray level by its factor and clips to
/// 0-255: torchvision's `adjust_contrast`.
pub fn change_contrast(x: Tensor<4>, factors: &[f32]) -> Tensor<4> {
    /// Shares of red, green and blue in torchvision's gray; their sum is its own, too.
    const GRAY: [f32; 3] = [0.2989, 0.587, 0.114];
    map(x, |x| {
        let factors = one_each(factors, x);
        let means = x.mean_dim([2, 3].as_slice(), true, None::<Kind>);
        let gray = if x.size()[1] == 3 {
            let shares = tch::Tensor::from_slice(&GRAY).to(x.device()).reshape([1, 3, 1, 1]);
            (means * shares).sum_dim_intlist([1].as_slice(), true, None::<Kind>)
        } else {
            means
        };
        (x * &factors).g_add_(&(gray * (1.0 - factors))).clamp_(0.0, 255.0)
    })
}

/// A number for each image of `x`, shaped to be combined with it.
fn one_each(numbers: &[f32], x: &tch::Tensor) -> tch::Tensor {
    tch::Tensor::from_slice(numbers).to(x.device()).reshape([-1, 1, 1, 1])
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
