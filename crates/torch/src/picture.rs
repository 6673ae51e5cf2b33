//! Operations on batches of pictures: resize, affine sampling, gray levels, erasing.

use burn::tensor::Tensor;
use ferrite_core::data::augment::Rectangle;
use ferrite_core::device::Device;
use tch::Kind;

use crate::OnDevice;
use crate::tensor::{close, map, open};

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
    close(x.grid_sampler(&affine_grid(maps, size as i64, Device::of(&x)), BILINEAR, BORDER, false))
}

/// The input position of each output pixel: what LibTorch's `affine_grid_generator` gives, four times as
/// fast, since what an output column and what an output row contribute are computed once each.
///
/// - output: `[maps, size, size, 2]`, x before y
fn affine_grid(maps: &[[f32; 6]], size: i64, device: Device) -> tch::Tensor {
    let maps = device.tensor_of(maps.as_flattened()).reshape([-1, 1, 2, 3]);
    let [along, down, shift] = [0, 1, 2].map(|it| maps.select(3, it));
    let steps = tch::Tensor::arange(size, (Kind::Float, device.torch())).reshape([1, -1, 1]);
    let centres = (steps * 2.0 + 1.0) / size as f64 - 1.0;
    let (columns, rows) = (along * &centres, down * &centres + shift);
    columns.unsqueeze(1) + rows.unsqueeze(2)
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
            let shares = Device::of(x).tensor_of(&GRAY).reshape([1, 3, 1, 1]);
            (means * shares).sum_dim_intlist([1].as_slice(), true, None::<Kind>)
        } else {
            means
        };
        (x * &factors).g_add_(&(gray * (1.0 - factors))).clamp_(0.0, 255.0)
    })
}

/// A number for each image of `x`, shaped to be combined with it.
fn one_each(numbers: &[f32], x: &tch::Tensor) -> tch::Tensor {
    Device::of(x).tensor_of(numbers).reshape([-1, 1, 1, 1])
}

/// Fills each image's rectangle, if it has one, with `fill`; positions whose centre lies inside count.
pub fn erase(x: Tensor<4>, rectangles: &[Option<Rectangle>], fill: f64) -> Tensor<4> {
    map(x, |x| {
        let device = Device::of(x);
        let edges = |edge: fn(&Rectangle) -> f64| {
            let edges: Vec<f64> =
                rectangles.iter().map(|it| it.as_ref().map_or(-1.0, edge)).collect();
            device.tensor_of(&edges).reshape([-1, 1, 1, 1])
        };
        let centres = |size: i64, dims: [i64; 4]| {
            let steps = tch::Tensor::arange(size, (Kind::Double, device.torch()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{from_floats, to_floats};

    /// Checks the contrast of a picture whose pixel in channel k, row y, column x is
    /// (37 y + 23 x + 5 x y + 70 k) mod `levels`. The expected numbers are those of torchvision 0.24,
    /// `transforms.v2.functional.adjust_contrast(picture / 255, factor) * 255`.
    #[track_caller]
    fn check_contrast(
        [channels, height, width]: [usize; 3],
        levels: usize,
        factor: f32,
        expected: &[f32],
    ) {
        let pixel = |it: usize| {
            let (k, y, x) = (it / (height * width), it / width % height, it % width);
            ((37 * y + 23 * x + 5 * x * y + 70 * k) % levels) as f32
        };
        let pixels: Vec<f32> = (0..channels * height * width).map(pixel).collect();
        let other = vec![7.0; pixels.len()];
        let x = from_floats(&[pixels, other].concat(), [2, channels, height, width], Device::Cpu);
        let got = to_floats(change_contrast(x, &[factor, 1.0]));
        let (got, untouched) = got.split_at(expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < 0.01, "{a} for {b} in {got:?}");
        }
        assert!(untouched.iter().all(|it| (it - 7.0).abs() < 1e-4), "{untouched:?}");
    }

    #[test]
    fn contrast_of_gray_pictures_is_that_of_torchvision() {
        let less = [
            44.38, 55.88, 67.38, 78.88, 62.88, 76.88, 90.88, 104.87, 81.38, 97.87, 114.38, 130.88,
            99.87, 118.88, 137.88, 56.88,
        ];
        check_contrast([1, 4, 4], 200, 0.5, &less);
        let more = [
            0.0, 0.0, 20.35, 57.15, 5.95, 50.75, 95.55, 140.35, 65.15, 117.95, 170.75, 223.55,
            124.35, 185.15, 245.95, 0.0,
        ];
        check_contrast([1, 4, 4], 200, 1.6, &more);
    }

    #[test]
    fn contrast_of_colour_pictures_is_that_of_torchvision() {
        let less = [
            50.52, 62.02, 73.52, 69.02, 83.02, 97.02, 85.52, 97.02, 108.52, 104.02, 118.02, 132.02,
            120.52, 132.02, 143.52, 139.02, 153.02, 167.02,
        ];
        check_contrast([3, 2, 3], 256, 0.5, &less);
        let more = [
            0.0, 0.0, 12.97, 0.0, 43.37, 88.17, 51.37, 88.17, 124.97, 110.57, 155.37, 200.17,
            163.37, 200.17, 236.97, 222.57, 255.0, 255.0,
        ];
        check_contrast([3, 2, 3], 256, 1.6, &more);
    }
}
