//! Convolutions against LibTorch's own.

use ferrite_core::kernels::Algorithm;

use super::*;

/// What [`ROUNDING`] is where LibTorch imitates bfloat16 and rounds sums more than once.
const IMITATED: f64 = 3e-2;

/// What a convolution of bfloat16 and its gradients may be off by on this processor.
fn of_bfloat16() -> f64 {
    if Processor::this().avx512_bf16 { ROUNDING } else { IMITATED }
}

/// The same where windows and weights are transformed for fewer products, and rounded once more behind that.
const TRANSFORMED: f64 = 7e-3;

/// LibTorch's own convolution.
fn plain_convolution(tensors: ConvolutionTensors<'_>, shape: ConvShape) -> Tensor {
    let ConvolutionTensors { x, weight, bias } = tensors;
    let [stride, padding] = [shape.stride, shape.padding].map(|it| [it as i64; 2]);
    x.conv2d(weight, bias, stride, padding, [1; 2], shape.groups as i64)
}

/// The window `[kernel, stride, padding, groups]`.
fn window([kernel, stride, padding, groups]: [usize; 4]) -> ConvShape {
    ConvShape { kernel, stride, padding, groups }
}

/// Values of the weight of `output` channels that see `input` ones.
fn weights([input, output]: [i64; 2], shape: ConvShape) -> Tensor {
    let kernel = shape.kernel as i64;
    values([output, input / shape.groups as i64, kernel, kernel], true)
}

/// Checks a convolution and all its gradients against LibTorch's own, for `images` images of
/// `channels[0]` channels and `side` pixels.
#[track_caller]
fn check_convolution(images: i64, channels: [i64; 2], side: i64, numbers: [usize; 4]) {
    let ([input, output], shape) = (channels, window(numbers));
    let x = values([images, input, side, side], true);
    let weight = weights(channels, shape);
    for bias in [None, Some(vector(output, true))] {
        let bias = bias.as_ref();
        let tensors = ConvolutionTensors { x: &x, weight: &weight, bias };
        let ours = convolution(tensors, shape, NONE);
        let theirs = plain_convolution(tensors, shape);
        same("output", &ours, &theirs);
        let leaves: Vec<&Tensor> = [Some(&x), Some(&weight), bias].into_iter().flatten().collect();
        let shares = ours.randn_like();
        let ours = gradients(&ours, &shares, &leaves);
        let theirs = gradients(&theirs, &shares, &leaves);
        for (name, (ours, theirs)) in ["x", "weight", "bias"].iter().zip(ours.iter().zip(&theirs)) {
            same(&format!("gradient of {name}"), ours, theirs);
        }
    }
}

/// Our products for all three passes where they can be computed so, on the matrix unit or by what stands for it on
/// processors without one.
fn our_products(shape: ConvShape) -> Algorithms {
    let backwards = shape.stride == 1 || (shape.kernel == 1 && shape.padding == 0);
    Algorithms {
        forward: Algorithm::MatrixUnit,
        input_gradient: if backwards { Algorithm::MatrixUnit } else { Algorithm::LibTorch },
        weight_gradient: Algorithm::MatrixUnit,
    }
}

/// Winograd's transforms where there are any, with our products.
const FEWER_PRODUCTS: Algorithms = Algorithms {
    forward: Algorithm::Winograd,
    input_gradient: Algorithm::Winograd,
    weight_gradient: Algorithm::MatrixUnit,
};

/// Checks a convolution of bfloat16 and its gradients against LibTorch's own of the same values in 32 bits: as it is
/// computed on this processor, and by our products.
#[track_caller]
fn check_rounded_convolution(images: i64, channels: [i64; 2], side: i64, numbers: [usize; 4]) {
    let shape = window(numbers);
    let limit = of_bfloat16();
    let images = [images, channels[0], side, side];
    let case = Rounded { images, output: channels[1], shape, limit };
    check_rounded_by(convolution, case);
    if shape.groups == 1 {
        let algorithms = our_products(shape);
        let by_libtorch = algorithms.input_gradient == Algorithm::LibTorch;
        let limit = if by_libtorch { limit } else { ROUNDING };
        let ours = |tensors: ConvolutionTensors<'_>, shape, bounds| {
            convolution_by(algorithms, tensors, shape, bounds)
        };
        check_rounded_by(ours, Rounded { limit, ..case });
    }
}

/// A convolution of bfloat16.
#[derive(Clone, Copy)]
struct Rounded {
    /// The sizes of its input.
    images: [i64; 4],
    /// Channels of its output.
    output: i64,
    /// Its window.
    shape: ConvShape,
    /// What it may be off by.
    limit: f64,
}

/// Checks a convolution of bfloat16 that is computed by `convolve`.
#[track_caller]
fn check_rounded_by(
    convolve: impl Fn(ConvolutionTensors<'_>, ConvShape, Bounds) -> Tensor,
    case: Rounded,
) {
    let Rounded { images, output, shape, limit } = case;
    let x = rounded(&values(images, true));
    let weight = weights([images[1], output], shape);
    let bias = vector(output, true);
    let ours =
        convolve(ConvolutionTensors { x: &x, weight: &weight, bias: Some(&bias) }, shape, NONE);
    assert_eq!(ours.kind(), Kind::BFloat16);
    let [exact_x, exact_weight, exact_bias] = [&x, &rounded(&weight), &rounded(&bias)]
        .map(|it| it.detach().to_kind(Kind::Float).set_requires_grad(true));
    let (x_of, bias_of) = (&exact_x, Some(&exact_bias));
    let exact = ConvolutionTensors { x: x_of, weight: &exact_weight, bias: bias_of };
    let theirs = plain_convolution(exact, shape);
    near("output", &ours, &theirs, limit);
    let shares = rounded(&ours.randn_like());
    let ours = gradients(&ours, &shares, &[&x, &weight, &bias]);
    let theirs =
        gradients(&theirs, &shares.to_kind(Kind::Float), &[&exact_x, &exact_weight, &exact_bias]);
    let kinds: Vec<Kind> = ours.iter().map(Tensor::kind).collect();
    assert_eq!(kinds, [Kind::BFloat16, Kind::Float, Kind::Float]);
    for (name, (ours, theirs)) in ["x", "weight", "bias"].iter().zip(ours.iter().zip(&theirs)) {
        near(&format!("gradient of {name}"), ours, theirs, limit);
    }
}

#[test]
fn the_matrix_unit_is_there_or_its_tests_are_said_to_be_those_of_what_stands_for_it() {
    if !Processor::this().amx_bf16 {
        skipped("products on the matrix unit", "there is no AMX, or it may not be used");
    }
}

#[test]
fn convolutions_of_bfloat16_are_right_but_for_rounding() {
    check_rounded_convolution(3, [32, 24], 5, [1, 1, 0, 1]);
    check_rounded_convolution(3, [128, 24], 9, [1, 2, 0, 1]);
    // Several products for one gradient, and one.
    check_rounded_convolution(80, [32, 48], 7, [3, 1, 1, 1]);
    check_rounded_convolution(5, [16, 16], 8, [3, 2, 1, 1]);
    // In several parts: of the positions, of the windows, of the input's channels, of the output's. Channels that
    // fill no tile, and more images than a block of rows.
    check_rounded_convolution(70, [40, 72], 3, [3, 1, 1, 1]);
    check_rounded_convolution(2, [160, 24], 4, [5, 1, 2, 1]);
    check_rounded_convolution(3, [1100, 40], 2, [1, 1, 0, 1]);
    check_rounded_convolution(3, [24, 600], 3, [1, 1, 0, 1]);
    check_rounded_convolution(2, [256, 520], 3, [3, 1, 1, 1]);
    check_rounded_convolution(40, [48, 64], 7, [3, 2, 1, 1]);
    check_rounded_convolution(40, [48, 64], 7, [1, 2, 0, 1]);
    check_rounded_convolution(5, [32, 32], 5, [3, 1, 0, 1]);
    // Many images, whose windows at one place stand together: in several chunks, in more images than a chunk takes, with
    // offsets at which nothing is seen.
    check_rounded_convolution(64, [32, 24], 4, [5, 1, 2, 1]);
    check_rounded_convolution(64, [32, 24], 5, [3, 2, 1, 1]);
    check_rounded_convolution(64, [32, 32], 5, [3, 1, 0, 1]);
    check_rounded_convolution(600, [16, 40], 2, [3, 1, 1, 1]);
    check_rounded_convolution(64, [300, 32], 1, [3, 1, 1, 1]);
    // A linear layer.
    check_rounded_convolution(64, [320, 100], 1, [1, 1, 0, 1]);
    // Left to LibTorch.
    check_rounded_convolution(2, [16, 16], 12, [3, 1, 1, 1]);
    check_rounded_convolution(4, [3, 16], 12, [3, 2, 1, 1]);
    check_rounded_convolution(4, [32, 32], 12, [3, 1, 1, 32]);
}

/// Whole numbers of at most `most`, times `unit`.
fn whole(shape: [i64; 4], most: i64, unit: f64) -> Tensor {
    let numbers = Tensor::randint_low(-most, most + 1, shape, (Kind::Float, tch::Device::Cpu));
    (numbers * unit).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[test]
fn convolutions_with_fewer_products_are_exact_where_all_their_numbers_are() {
    // Transformed weights are quarters of sums of nine. Sides that leave parts of windows over, any padding,
    // channels that fill no tile, several strips of columns, several groups of windows.
    for (images, [input, output], [height, width], padding) in [
        (3, [256, 64], [7, 5], 1),
        (2, [136, 130], [6, 8], 0),
        (1, [128, 128], [4, 4], 2),
        (40, [256, 520], [6, 6], 1),
        (33, [512, 40], [4, 4], 1),
    ] {
        let x = whole([images, input, height, width], 2, 1.0);
        let weight = whole([output, input, 3, 3], 2, 4.0);
        let bias = (vector(output, false) * 8.0).round();
        let [ours, theirs] = [Kind::BFloat16, Kind::Float].map(|kind| {
            let x = x.to_kind(kind).set_requires_grad(true);
            let bias = bias.detach().set_requires_grad(true);
            let weight = weight.detach().set_requires_grad(true);
            (x, weight, bias)
        });
        let [own, exact] = [&ours, &theirs].map(|(x, weight, bias)| ConvolutionTensors {
            x,
            weight,
            bias: Some(bias),
        });
        let shape = window([3, 1, padding, 1]);
        let out = convolution_by(FEWER_PRODUCTS, own, shape, RELU);
        let plain = plain_convolution(exact, shape);
        // A gradient is passed where the sum is not 0, which is on neither side.
        let shares = whole(<[i64; 4]>::try_from(out.size()).unwrap(), 2, 1.0)
            .masked_fill(&plain.eq(0.0), 0.0);
        let ours = gradients(&out, &shares.to_kind(Kind::BFloat16), &[&ours.0]).remove(0);
        let theirs = gradients(&plain.relu(), &shares, &[&theirs.0]).remove(0);
        assert!(out.equal(&plain.relu().to_kind(Kind::BFloat16)), "{height}x{width}");
        assert!(ours.equal(&theirs.to_kind(Kind::BFloat16)), "gradient of {height}x{width}");
    }
}

#[test]
fn convolutions_with_fewer_products_are_right_but_for_rounding() {
    let fewer = |tensors: ConvolutionTensors<'_>, shape, bounds| {
        convolution_by(FEWER_PRODUCTS, tensors, shape, bounds)
    };
    let chosen = of_bfloat16().max(TRANSFORMED);
    for (images, output, numbers) in [
        ([3, 128, 9, 9], 144, [3, 1, 1, 1]),
        ([2, 256, 6, 6], 520, [3, 1, 1, 1]),
        ([2, 160, 12, 12], 128, [3, 1, 0, 1]),
    ] {
        let case = Rounded { images, output, shape: window(numbers), limit: chosen };
        check_rounded_by(convolution, case);
        check_rounded_by(fewer, Rounded { limit: TRANSFORMED, ..case });
    }
}

#[test]
fn convolutions_and_their_gradients_are_libtorchs() {
    // One position at a time; every second one; one image after the other and many at once.
    check_convolution(3, [32, 24], 9, [1, 1, 0, 1]);
    check_convolution(3, [32, 24], 9, [1, 2, 0, 1]);
    check_convolution(2, [64, 16], 60, [3, 1, 1, 1]);
    check_convolution(37, [32, 48], 5, [3, 1, 1, 1]);
    check_convolution(5, [16, 16], 8, [3, 2, 1, 1]);
    check_convolution(5, [16, 16], 7, [5, 2, 2, 1]);
    check_convolution(5, [16, 16], 9, [3, 1, 0, 1]);
    check_convolution(2, [16, 16], 2, [3, 1, 1, 1]);
    // Left to LibTorch.
    check_convolution(4, [3, 16], 12, [3, 2, 1, 1]);
    check_convolution(4, [32, 32], 12, [3, 1, 1, 32]);
}

/// The weight gradient of a depthwise convolution by sums of its channels.
const DEPTHWISE: Algorithms =
    Algorithms { weight_gradient: Algorithm::Depthwise, ..Algorithms::LIBTORCH };

#[test]
fn weight_gradients_of_depthwise_convolutions_are_libtorchs() {
    // Channels that fill no block, or several; images that are smaller than the window; steps; no padding, and much.
    for (images, channels, [height, width], [kernel, stride, padding]) in [
        (3, 96, [12, 12], [7, 1, 3]),
        (16, 40, [3, 2], [7, 1, 3]),
        (2, 33, [1, 1], [7, 1, 3]),
        (2, 7, [9, 11], [5, 1, 0]),
        (2, 64, [6, 5], [5, 1, 4]),
        (5, 144, [12, 7], [5, 2, 2]),
        (2, 32, [9, 9], [3, 1, 1]),
    ] {
        let shape = window([kernel, stride, padding, channels as usize]);
        let x = values([images, channels, height, width], true);
        let (weight, bias) = (weights([channels; 2], shape), vector(channels, true));
        let tensors = ConvolutionTensors { x: &x, weight: &weight, bias: Some(&bias) };
        let ours = convolution_by(DEPTHWISE, tensors, shape, NONE);
        let theirs = plain_convolution(tensors, shape);
        same("output", &ours, &theirs);
        let shares = ours.randn_like();
        let ours = gradients(&ours, &shares, &[&x, &weight, &bias]);
        let theirs = gradients(&theirs, &shares, &[&x, &weight, &bias]);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            same(&format!("a gradient of {height}x{width}, {kernel}x{kernel}"), ours, theirs);
        }
    }
}

#[test]
fn weight_gradients_of_depthwise_convolutions_of_bfloat16_are_right_but_for_rounding() {
    let ours = |tensors: ConvolutionTensors<'_>, shape, bounds| {
        convolution_by(DEPTHWISE, tensors, shape, bounds)
    };
    for (images, numbers) in [([3, 96, 12, 12], [7, 1, 3, 96]), ([9, 40, 3, 3], [5, 1, 2, 40])] {
        let (output, shape, limit) = (images[1], window(numbers), of_bfloat16());
        check_rounded_by(ours, Rounded { images, output, shape, limit });
    }
}

#[test]
fn a_convolution_with_its_activation_is_both_one_after_the_other() {
    let transformed = of_bfloat16().max(TRANSFORMED);
    for (kind, limit) in [(Kind::Float, 1e-5), (Kind::BFloat16, transformed)] {
        for bounds in [NONE, RELU, RELU6] {
            for (channels, numbers) in
                [(16, [1, 1, 0, 1]), (16, [3, 2, 1, 1]), (16, [3, 1, 1, 16]), (512, [3, 1, 1, 1])]
            {
                let shape = window(numbers);
                let x = (values([3, channels, 5, 5], false).to_kind(kind)).set_requires_grad(true);
                let weight = weights([channels, 32], shape);
                let bias = (vector(32, false) * 4).set_requires_grad(true);
                let tensors = ConvolutionTensors { x: &x, weight: &weight, bias: Some(&bias) };
                let ours = convolution(tensors, shape, bounds);
                assert_eq!(ours.kind(), kind);
                let exact = [&x, &weight, &bias].map(|it| {
                    it.detach().to_kind(kind).to_kind(Kind::Float).set_requires_grad(true)
                });
                let [x_of, weight_of, bias_of] = &exact;
                let tensors =
                    ConvolutionTensors { x: x_of, weight: weight_of, bias: Some(bias_of) };
                let sums = plain_convolution(tensors, shape);
                let theirs = clamped(&sums, bounds);
                near("output", &ours, &theirs, limit);
                let shares = away_from(bounds, &sums, &theirs.randn_like(), 0.1).to_kind(kind);
                let ours = gradients(&ours, &shares, &[&x, &weight, &bias]);
                let theirs = gradients(&theirs, &shares.to_kind(Kind::Float), &exact.each_ref());
                for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                    near(&format!("gradient {index}"), ours, theirs, limit);
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_goes_two_ways_is_not_changed_on_one_of_them() {
    let x = values([3, 16, 5, 5], true);
    let weights = [(); 2].map(|()| values([16, 16, 3, 3], true));
    // Behind the sum, so that its gradient has the channels last and need not be copied.
    let behind = values([16, 16, 1, 1], false);
    let shares = values([3, 16, 5, 5], false);
    let (shape, point) = (window([3, 1, 1, 1]), window([1, 1, 0, 1]));
    let run = |convolve: &dyn Fn(ConvolutionTensors<'_>) -> Tensor| {
        let each = weights.each_ref();
        let [a, b] = each.map(|weight| convolve(ConvolutionTensors { x: &x, weight, bias: None }));
        let sum = a + b;
        let out = ConvolutionTensors { x: &sum, weight: &behind, bias: None };
        gradients(&plain_convolution(out, point), &shares, &[&x, &weights[0], &weights[1]])
    };
    let ours = run(&|it| convolution(it, shape, RELU));
    let theirs = run(&|it| plain_convolution(it, shape).relu());
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        // A sum at zero may round to either side.
        near(&format!("gradient {index}"), ours, theirs, 1e-2);
    }
}

#[test]
fn a_gradient_that_somebody_asked_for_is_not_changed_behind_it() {
    let x = values([3, 16, 5, 5], true);
    let weight = values([16, 16, 3, 3], true);
    let behind = values([16, 16, 1, 1], false);
    let shares = values([3, 16, 5, 5], false);
    let shape = window([3, 1, 1, 1]);
    let out = convolution(ConvolutionTensors { x: &x, weight: &weight, bias: None }, shape, RELU);
    let last = ConvolutionTensors { x: &out, weight: &behind, bias: None };
    let last = plain_convolution(last, window([1, 1, 0, 1]));
    // LibTorch holds the gradient of `out` for the caller while the convolution goes on with it.
    let [of_out, ..] = &gradients(&last, &shares, &[&out, &x, &weight])[..] else { unreachable!() };
    let turned = behind.permute([1, 0, 2, 3]);
    let point = window([1, 1, 0, 1]);
    let expected =
        plain_convolution(ConvolutionTensors { x: &shares, weight: &turned, bias: None }, point);
    same("gradient of the output", of_out, &expected);
}

#[test]
fn what_libtorch_refuses_is_told_in_its_words() {
    for (channels, kind) in [([3, 5], Kind::Float), ([32, 48], Kind::BFloat16)] {
        let message = refused(|| {
            let (x, weight) =
                (values([1, channels[0], 8, 8], false), values([32, channels[1], 3, 3], false));
            let tensors = ConvolutionTensors { x: &x.to_kind(kind), weight: &weight, bias: None };
            convolution(tensors, window([3, 1, 1, 1]), NONE)
        });
        assert!(message.contains("channels"), "{message}");
    }
}
