//! Which algorithm computes a convolution on a processor.
//!
//! It follows from the convolution and the processor alone, never from a measurement: timing would make a resumed run
//! differ. Nothing here needs LibTorch, so that a plan can show what is chosen; `native` carries it out. What each algorithm
//! is, and where the limits come from, stands in docs/kernels.md.

use crate::precision::Precision;
use crate::processor::{Processor, Vectors};

/// What a training step asks of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The output is computed from the input.
    Forward,
    /// The gradient of the input is computed from that of the output.
    InputGradient,
    /// The gradient of the weights is computed from that of the output and from the input.
    WeightGradient,
}

/// How a convolution is computed. C++ knows these numbers as `Algorithm` of shared.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// LibTorch decides, which mostly means a kernel of oneDNN.
    LibTorch = 0,
    /// The windows of the input are written out and multiplied as one matrix (im2col), by LibTorch.
    WindowProduct = 1,
    /// The windows are multiplied on the matrix unit (AMX) as they are copied.
    MatrixUnit = 2,
    /// Windows of 3x3 are transformed for fewer products, which the matrix unit makes (Winograd).
    Winograd = 3,
    /// The products of a few channels at a time are summed up in registers, where each channel sees itself alone.
    Depthwise = 4,
}

impl Algorithm {
    /// The name that plans show.
    pub fn name(self) -> &'static str {
        match self {
            Self::LibTorch => "LibTorch",
            Self::WindowProduct => "window product",
            Self::MatrixUnit => "matrix unit",
            Self::Winograd => "Winograd",
            Self::Depthwise => "depthwise",
        }
    }
}

/// A convolution, as far as its algorithm follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// Pixels of the input from top to bottom.
    pub height: usize,
    /// Pixels of the input from left to right.
    pub width: usize,
    /// Pixels a side of its window.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What the input's numbers are.
    pub precision: Precision,
}

impl Convolution {
    /// Multiplications of a forward pass for one image, the zeros around it included.
    pub fn multiplications(&self) -> f64 {
        let weights = self.input / self.groups * self.output * self.kernel * self.kernel;
        (self.positions() * weights) as f64
    }

    /// Positions of an output image.
    fn positions(&self) -> usize {
        let side = |it: usize| {
            (it + 2 * self.padding).checked_sub(self.kernel).map_or(0, |it| it / self.stride + 1)
        };
        side(self.height) * side(self.width)
    }
}

/// The algorithms of a convolution, one for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Algorithms {
    /// The algorithm that computes the output.
    pub forward: Algorithm,
    /// The algorithm that computes the input's gradient.
    pub input_gradient: Algorithm,
    /// The algorithm that computes the weights' gradient.
    pub weight_gradient: Algorithm,
}

impl Algorithms {
    /// LibTorch computes everything.
    pub const LIBTORCH: Self = Self {
        forward: Algorithm::LibTorch,
        input_gradient: Algorithm::LibTorch,
        weight_gradient: Algorithm::LibTorch,
    };

    /// What is chosen for `convolution` on `processor`.
    pub fn of(convolution: &Convolution, processor: &Processor) -> Self {
        let of = |direction| choose(direction, convolution, processor);
        Self {
            forward: of(Direction::Forward),
            input_gradient: of(Direction::InputGradient),
            weight_gradient: of(Direction::WeightGradient),
        }
    }
}

/// The fastest algorithm for `direction` of `convolution` on `processor`, as measured (docs/benchmarks.md).
pub fn choose(direction: Direction, convolution: &Convolution, processor: &Processor) -> Algorithm {
    let matrix_unit = fits_matrix_unit(convolution, processor);
    match direction {
        Direction::Forward if matrix_unit => on_matrix_unit(convolution),
        Direction::InputGradient if matrix_unit && is_a_convolution_backwards(convolution) => {
            on_matrix_unit(convolution)
        }
        Direction::WeightGradient if matrix_unit && sums_few_positions(convolution) => {
            Algorithm::MatrixUnit
        }
        Direction::WeightGradient if is_wide_depthwise(convolution, processor.vectors) => {
            Algorithm::Depthwise
        }
        Direction::WeightGradient if multiplies_windows(convolution, processor.vectors) => {
            Algorithm::WindowProduct
        }
        _ => Algorithm::LibTorch,
    }
}

/// Whether `convolution` is a depthwise one of a window whose weight gradient oneDNN has no good kernel for.
fn is_wide_depthwise(convolution: &Convolution, vectors: Vectors) -> bool {
    /// Of windows of 3x3 oneDNN's is better.
    const NARROWEST: usize = 5;
    let Convolution { input, output, groups, kernel, padding, .. } = *convolution;
    groups > 1
        && groups == input
        && groups == output
        && kernel >= NARROWEST
        && padding < kernel
        && vectors != Vectors::Baseline
}

/// Whether the matrix unit can compute `convolution`.
fn fits_matrix_unit(convolution: &Convolution, processor: &Processor) -> bool {
    /// Fewer channels fill no tile.
    const FEWEST_CHANNELS: usize = 16;
    let Convolution { input, output, groups, precision, .. } = *convolution;
    processor.amx_bf16
        && precision == Precision::Bf16
        && groups == 1
        && input.min(output) >= FEWEST_CHANNELS
}

/// The algorithm of a forward pass or an input gradient where there is a matrix unit. oneDNN's kernels for it are made for
/// large images.
fn on_matrix_unit(convolution: &Convolution) -> Algorithm {
    /// Positions of images for which the unit is always faster by our products.
    const TINY_IMAGE: usize = 16;
    /// Positions of images for which it is where a weight has many channels.
    const SMALL_IMAGE: usize = 36;
    /// So many a weight has then, those of the input times those of the output.
    const MANY_CHANNELS: usize = 1 << 17;
    let positions = convolution.positions();
    let many = convolution.input * convolution.output >= MANY_CHANNELS;
    if needs_fewer_products(convolution) {
        Algorithm::Winograd
    } else if positions <= TINY_IMAGE || (many && positions <= SMALL_IMAGE) {
        Algorithm::MatrixUnit
    } else {
        Algorithm::LibTorch
    }
}

/// Whether Winograd's transforms save more than they cost.
fn needs_fewer_products(convolution: &Convolution) -> bool {
    /// The only window there are transforms for.
    const KERNEL: usize = 3;
    /// Fewer positions leave parts of the transformed windows unused.
    const FEWEST_POSITIONS: usize = 16;
    /// With fewer channels, those of the input times those of the output, the transforms cost more than the products that
    /// they save.
    const FEWEST_CHANNELS: usize = 128 * 128;
    let Convolution { input, output, kernel, stride, padding, .. } = *convolution;
    kernel == KERNEL
        && stride == 1
        && padding < KERNEL
        && convolution.positions() >= FEWEST_POSITIONS
        && input * output >= FEWEST_CHANNELS
}

/// Whether the input's gradient is itself a convolution, of the output's gradient with the weights turned around, or such a
/// one at every second position.
fn is_a_convolution_backwards(convolution: &Convolution) -> bool {
    convolution.stride == 1 || (convolution.kernel == 1 && convolution.padding == 0)
}

/// Whether a weight gradient adds up so few positions of each image that our products on the matrix unit are faster than
/// oneDNN's.
fn sums_few_positions(convolution: &Convolution) -> bool {
    /// Positions of an image up to which they are for windows of several positions; those of one are always faster.
    const MIDDLING_IMAGE: usize = 144;
    convolution.kernel == 1 || convolution.positions() <= MIDDLING_IMAGE
}

/// Whether a weight gradient is faster as a product of matrices than by oneDNN's kernel: it has no good one without AVX-512,
/// and with it none for small images.
fn multiplies_windows(convolution: &Convolution, vectors: Vectors) -> bool {
    /// Input channels from which on it is on AVX2, and with AVX-512 for small images.
    const FEWEST_CHANNELS: usize = 16;
    /// Input channels from which on it is with AVX-512 for windows of one position.
    const FEWEST_CHANNELS_OF_POINTS: usize = 128;
    /// Positions of an output image up to which it is with AVX-512, whatever the window.
    const SMALL_IMAGE: usize = 64;
    let Convolution { input, kernel, groups, precision, .. } = *convolution;
    let enough = groups == 1 && input >= FEWEST_CHANNELS;
    enough
        && match vectors {
            Vectors::Avx512 => {
                let points = kernel == 1 && input >= FEWEST_CHANNELS_OF_POINTS;
                points || convolution.positions() <= SMALL_IMAGE
            }
            Vectors::Avx2 => precision == Precision::F32,
            Vectors::Baseline => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processors by what decides: no vectors, AVX2, AVX-512 with and without bfloat16, AMX.
    fn processors() -> [Processor; 5] {
        let of = |vectors, avx512_bf16, amx_bf16| {
            let (vendor, family) = (*b"GenuineIntel", 6);
            Processor { vendor, family, vectors, avx512_bf16, amx_bf16 }
        };
        [
            of(Vectors::Baseline, false, false),
            of(Vectors::Avx2, false, false),
            of(Vectors::Avx512, false, false),
            of(Vectors::Avx512, true, false),
            of(Vectors::Avx512, true, true),
        ]
    }

    /// A convolution of 32-bit floats on images of `side` pixels a side.
    fn on(side: usize, [input, output]: [usize; 2], window: [usize; 4]) -> Convolution {
        let [kernel, stride, padding, groups] = window;
        let precision = Precision::F32;
        Convolution {
            input,
            output,
            height: side,
            width: side,
            kernel,
            stride,
            padding,
            groups,
            precision,
        }
    }

    /// The algorithms of forward pass, input gradient and weight gradient as letters, `-` for LibTorch's.
    fn letters(convolution: Convolution, processor: &Processor) -> String {
        let it = Algorithms::of(&convolution, processor);
        let letter = |it| match it {
            Algorithm::LibTorch => '-',
            Algorithm::WindowProduct => 'P',
            Algorithm::MatrixUnit => 'M',
            Algorithm::Winograd => 'W',
            Algorithm::Depthwise => 'D',
        };
        [it.forward, it.input_gradient, it.weight_gradient].map(letter).iter().collect()
    }

    /// Checks what is chosen on each of [`processors`]: in 32 bits and in bfloat16.
    #[track_caller]
    fn check(convolution: Convolution, in_32_bits: &str, in_bfloat16: &str) {
        for (precision, expected) in [(Precision::F32, in_32_bits), (Precision::Bf16, in_bfloat16)]
        {
            let convolution = Convolution { precision, ..convolution };
            let found = processors().map(|it| letters(convolution, &it)).join(" ");
            assert_eq!(found, expected, "{convolution:?}");
        }
    }

    #[test]
    fn each_convolution_has_its_algorithms_on_each_processor() {
        // VGG16 at 48 pixels: the first two layers, and the last of each size of image.
        check(on(48, [3, 64], [3, 1, 1, 1]), "--- --- --- --- ---", "--- --- --- --- ---");
        check(on(48, [64, 64], [3, 1, 1, 1]), "--- --P --- --- ---", "--- --- --- --- ---");
        check(on(24, [128, 128], [3, 1, 1, 1]), "--- --P --- --- ---", "--- --- --- --- WW-");
        check(on(12, [256, 256], [3, 1, 1, 1]), "--- --P --- --- ---", "--- --- --- --- WWM");
        check(on(6, [512, 512], [3, 1, 1, 1]), "--- --P --P --P --P", "--- --- --P --P WWM");
        check(on(3, [512, 512], [3, 1, 1, 1]), "--- --P --P --P --P", "--- --- --P --P MMM");
        // ResNet50: the stem, points with and without a step, windows with a step.
        check(on(48, [3, 64], [7, 2, 3, 1]), "--- --- --- --- ---", "--- --- --- --- ---");
        check(on(12, [64, 256], [1, 1, 0, 1]), "--- --P --- --- ---", "--- --- --- --- --M");
        check(on(12, [256, 64], [1, 1, 0, 1]), "--- --P --P --P --P", "--- --- --P --P --M");
        check(on(6, [256, 512], [1, 2, 0, 1]), "--- --P --P --P --P", "--- --- --P --P MMM");
        check(on(6, [128, 128], [3, 2, 1, 1]), "--- --P --P --P --P", "--- --- --P --P M-M");
        check(on(3, [1024, 256], [1, 1, 0, 1]), "--- --P --P --P --P", "--- --- --P --P MMM");
        // MobileNetV2: depthwise windows.
        check(on(12, [96, 96], [3, 1, 1, 96]), "--- --- --- --- ---", "--- --- --- --- ---");
        check(on(3, [960, 960], [3, 1, 1, 960]), "--- --- --- --- ---", "--- --- --- --- ---");
        // EfficientNet-B0 and ConvNeXt-Tiny: depthwise windows of 5x5, with and without a step, and of 7x7.
        check(on(12, [40, 40], [5, 1, 2, 40]), "--- --D --D --D --D", "--- --D --D --D --D");
        check(on(12, [144, 144], [5, 2, 2, 144]), "--- --D --D --D --D", "--- --D --D --D --D");
        check(on(24, [96, 96], [7, 1, 3, 96]), "--- --D --D --D --D", "--- --D --D --D --D");
        // A hidden layer of a head is a convolution of one position.
        check(on(1, [512, 1024], [1, 1, 0, 1]), "--- --P --P --P --P", "--- --- --P --P MMM");
    }

    #[test]
    fn limits_are_where_they_were_measured() {
        let [.., avx512, amx] = processors();
        let exact = |convolution, expected: &str| {
            assert_eq!(letters(convolution, &avx512), expected, "{convolution:?}");
        };
        // Channels, positions, channels of points.
        exact(on(8, [15, 64], [3, 1, 1, 1]), "---");
        exact(on(8, [16, 64], [3, 1, 1, 1]), "--P");
        exact(on(9, [512, 512], [3, 1, 1, 1]), "---");
        exact(on(9, [512, 512], [3, 1, 0, 1]), "--P");
        exact(on(9, [127, 512], [1, 1, 0, 1]), "---");
        exact(on(9, [128, 512], [1, 1, 0, 1]), "--P");
        let rounded = |convolution, expected: &str| {
            let convolution = Convolution { precision: Precision::Bf16, ..convolution };
            assert_eq!(letters(convolution, &amx), expected, "{convolution:?}");
        };
        // Channels of either side, positions of tiny images, of small ones with many channels, of middling ones.
        rounded(on(4, [15, 64], [3, 1, 1, 1]), "---");
        rounded(on(4, [64, 15], [3, 1, 1, 1]), "--P");
        rounded(on(4, [16, 16], [3, 1, 1, 1]), "MMM");
        rounded(on(5, [16, 16], [3, 1, 1, 1]), "--M");
        rounded(on(6, [512, 256], [5, 1, 2, 1]), "MMM");
        rounded(on(6, [512, 255], [5, 1, 2, 1]), "--M");
        rounded(on(7, [512, 256], [5, 1, 2, 1]), "--M");
        rounded(on(12, [16, 16], [5, 1, 2, 1]), "--M");
        rounded(on(13, [16, 16], [5, 1, 2, 1]), "---");
        // Fewer products: windows, steps, padding, positions, channels.
        rounded(on(13, [128, 128], [3, 1, 1, 1]), "WW-");
        rounded(on(13, [128, 127], [3, 1, 1, 1]), "---");
        rounded(on(13, [128, 128], [3, 2, 1, 1]), "--M");
        rounded(on(13, [128, 128], [3, 1, 3, 1]), "---");
        rounded(on(6, [128, 128], [3, 1, 0, 1]), "WWM");
        rounded(on(5, [128, 128], [3, 1, 0, 1]), "MMM");
        // Depthwise windows: their size, groups of several channels, padding.
        exact(on(12, [40, 40], [4, 1, 2, 40]), "---");
        exact(on(12, [40, 40], [5, 1, 2, 20]), "---");
        exact(on(12, [40, 80], [5, 1, 2, 40]), "---");
        exact(on(12, [40, 40], [5, 1, 5, 40]), "---");
        // A window that does not fit.
        rounded(on(2, [64, 64], [5, 1, 0, 1]), "MMM");
    }
}
