//! The C++ operations against LibTorch's own.

use tch::{Kind, Tensor};

use super::*;

mod convolution;

/// Normal values with the channels last in memory, and a mean that is not 0.
fn values(shape: [i64; 4], requires: bool) -> Tensor {
    let x = Tensor::randn(shape, (Kind::Float, tch::Device::Cpu)) + 0.5;
    let x = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    x.detach().set_requires_grad(requires)
}

fn vector(size: i64, requires: bool) -> Tensor {
    let x = Tensor::rand([size], (Kind::Float, tch::Device::Cpu)) + 0.5;
    x.set_requires_grad(requires)
}

/// Gradients of the sum of `out` times `shares`.
fn gradients(out: &Tensor, shares: &Tensor, leaves: &[&Tensor]) -> Vec<Tensor> {
    let loss = (out * shares).sum(Kind::Float);
    Tensor::run_backward(&[loss], leaves, false, false)
}

/// Says past the test harness, which swallows what a test prints, that a part of a test was not looked at.
fn skipped(what: &str, why: &str) {
    use std::io::Write;
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Nobody misses the line where there is no terminal.
    let _ = writeln!(std::io::stderr(), "{name}: skipped: {what}, for {why}");
}

/// What LibTorch says when it refuses `operation`.
#[track_caller]
fn refused(operation: impl FnOnce() -> Tensor + std::panic::UnwindSafe) -> String {
    let refused = std::panic::catch_unwind(operation).unwrap_err();
    refused.downcast::<TorchRefused>().unwrap().0
}

#[track_caller]
fn same(what: &str, ours: &Tensor, theirs: &Tensor) {
    near(what, ours, theirs, 1e-5);
}

#[track_caller]
fn near(what: &str, ours: &Tensor, theirs: &Tensor, limit: f64) {
    assert_eq!(ours.size(), theirs.size(), "{what}");
    let difference = (ours - theirs).norm().double_value(&[]);
    let relative = difference / theirs.norm().double_value(&[]).max(1e-9);
    assert!(relative < limit, "{what}: {relative:.1e}");
}

/// Relative error of a sum of products of bfloat16 that is rounded once: half of 2^-8, and to spare.
const ROUNDING: f64 = 4e-3;

/// `x` in bfloat16, as a leaf of its own.
fn rounded(x: &Tensor) -> Tensor {
    x.detach().to_kind(Kind::BFloat16).set_requires_grad(x.requires_grad())
}

/// Bounds of an activation that does nothing, of `ReLU`, and of `ReLU6`.
const NONE: Bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };
const RELU: Bounds = Bounds { low: 0.0, high: f32::INFINITY };
const RELU6: Bounds = Bounds { low: 0.0, high: 6.0 };

/// LibTorch's own activation.
fn clamped(x: &Tensor, bounds: Bounds) -> Tensor {
    x.clamp(f64::from(bounds.low), f64::from(bounds.high))
}

/// Values of which none of `sums` is so near to a bound that rounding decides whether a gradient passes.
fn away_from(bounds: Bounds, sums: &Tensor, values: &Tensor, distance: f64) -> Tensor {
    let near = |it: f32| (sums - f64::from(it)).abs().lt(distance);
    let [low, high] = [bounds.low, bounds.high].map(near);
    values.masked_fill(&low.logical_or(&high), 0.0)
}

#[test]
fn max_pools_and_their_gradients_are_libtorchs() {
    let windows = [[2, 2, 0], [3, 2, 1], [3, 1, 1], [2, 3, 0], [1, 1, 0], [3, 2, 0]];
    for (kind, [kernel, stride, padding]) in
        [Kind::Float, Kind::BFloat16].into_iter().flat_map(|it| windows.map(|window| (it, window)))
    {
        for [channels, height, width] in [[64, 8, 8], [70, 7, 5], [3, 3, 4]] {
            // Few different values, so that several of a window are the largest.
            let x = (values([3, channels, height, width], false) * 2).round().to_kind(kind);
            let [ours, theirs] = [(); 2].map(|()| x.detach().copy().set_requires_grad(true));
            let pooled = max_pool(&ours, PoolShape { kernel, stride, padding });
            let sides = [kernel, stride, padding].map(|it| [it as i64; 2]);
            let expected = theirs.max_pool2d(sides[0], sides[1], sides[2], [1; 2], false);
            assert_eq!((pooled.kind(), pooled.size()), (kind, expected.size()));
            assert!(pooled.equal(&expected), "{kernel} {stride} {padding}");
            let shares = pooled.randn_like();
            let [ours] = &gradients(&pooled, &shares, &[&ours])[..] else { unreachable!() };
            // LibTorch adds up several gradients of a value in bfloat16.
            let exact = x.to_kind(Kind::Float).set_requires_grad(true);
            let expected = exact.max_pool2d(sides[0], sides[1], sides[2], [1; 2], false);
            let theirs = &gradients(&expected, &shares.to_kind(Kind::Float), &[&exact])[0];
            near("gradient", ours, theirs, if kind == Kind::Float { 1e-6 } else { ROUNDING });
        }
    }
}

#[test]
fn max_pools_keep_what_is_not_a_number_and_refuse_images_without_a_window() {
    let x = values([1, 4, 4, 4], false);
    let _ = x.get(0).get(1).get(0).get(0).fill_(f64::NAN);
    let shape = PoolShape { kernel: 2, stride: 2, padding: 0 };
    let lost =
        max_pool(&x, shape).isnan().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Int64);
    assert_eq!(Vec::<i64>::try_from(lost).unwrap(), [0, 1, 0, 0]);
    let message = refused(|| max_pool(&values([1, 4, 1, 1], false), shape));
    assert!(message.contains("images of 1x1 hold no window of 2"), "{message}");
}

/// PyTorch's constants of a batch norm.
const CONSTANTS: NormConstants = NormConstants { momentum: 0.1, eps: 1e-5 };

/// Checks norm, sum and bounds, their gradients and the running statistics against LibTorch's separate
/// operations.
#[track_caller]
fn check_norm(shape: [i64; 4], mode: NormMode, adds: bool, bounds: Bounds) {
    let channels = shape[1];
    let (x, other) = (values(shape, true), values(shape, true));
    let (weight, bias) = (vector(channels, true), vector(channels, true));
    let (mean, variance) = (vector(channels, false), vector(channels, false));
    let (their_mean, their_variance) = (mean.copy(), variance.copy());
    let tensors = NormTensors {
        x: &x,
        other: adds.then_some(&other),
        weight: &weight,
        bias: &bias,
        mean: &mean,
        variance: &variance,
    };
    let ours = norm(tensors, mode, CONSTANTS, bounds);
    let normed = x.batch_norm(
        Some(&weight),
        Some(&bias),
        Some(&their_mean),
        Some(&their_variance),
        mode == NormMode::Batch,
        0.1,
        1e-5,
        true,
    );
    let sum = if adds { normed + &other } else { normed };
    let theirs = clamped(&sum, bounds);
    same("output", &ours, &theirs);
    same("running mean", &mean, &their_mean);
    same("running variance", &variance, &their_variance);
    let leaves = [&x, &weight, &bias, &other];
    let leaves = if adds { &leaves[..] } else { &leaves[..3] };
    let shares = away_from(bounds, &sum, &ours.randn_like(), 1e-4);
    let ours = gradients(&ours, &shares, leaves);
    let theirs = gradients(&theirs, &shares, leaves);
    let names = ["x", "weight", "bias", "other"];
    for (name, (ours, theirs)) in names.iter().zip(ours.iter().zip(&theirs)) {
        same(&format!("gradient of {name}"), ours, theirs);
    }
}

#[test]
fn norms_with_sums_and_activations_are_libtorchs_separate_operations() {
    for shape in [[4, 32, 9, 9], [2, 7, 5, 3], [2, 3, 8, 8], [64, 16, 24, 24], [8, 1280, 1, 1]] {
        for bounds in [NONE, RELU, Bounds { low: 0.0, high: 1.5 }] {
            for mode in [NormMode::Batch, NormMode::Running] {
                check_norm(shape, mode, true, bounds);
                check_norm(shape, mode, false, bounds);
            }
        }
    }
}

#[test]
fn norms_of_bfloat16_are_right_but_for_rounding() {
    for (adds, bounds) in [(false, RELU6), (true, RELU)] {
        let shape = [6, 24, 7, 5];
        let (x, other) = (rounded(&values(shape, true)), rounded(&values(shape, true)));
        let (weight, bias) = (vector(24, true), vector(24, true));
        let statistics = [(); 2].map(|()| vector(24, false));
        let run = |x: &Tensor, other: &Tensor, [mean, variance]: &[Tensor; 2]| {
            let other = adds.then_some(other);
            let tensors = NormTensors { x, other, weight: &weight, bias: &bias, mean, variance };
            norm(tensors, NormMode::Batch, CONSTANTS, bounds)
        };
        let [exact_x, exact_other] =
            [&x, &other].map(|it| it.detach().to_kind(Kind::Float).set_requires_grad(true));
        let theirs_moved = statistics.each_ref().map(Tensor::copy);
        let (ours, theirs) =
            (run(&x, &other, &statistics), run(&exact_x, &exact_other, &theirs_moved));
        assert_eq!(ours.kind(), Kind::BFloat16);
        near("output", &ours, &theirs, ROUNDING);
        same("running mean", &statistics[0], &theirs_moved[0]);
        same("running variance", &statistics[1], &theirs_moved[1]);
        // Where rounding moves a value to a bound, its gradient is gone.
        let moved = ours.le(0.0).logical_or(&ours.ge(f64::from(bounds.high)));
        let shares = rounded(&ours.randn_like().masked_fill(&moved, 0.0));
        let leaves = |x, other| {
            if adds { vec![x, &weight, &bias, other] } else { vec![x, &weight, &bias] }
        };
        let ours = gradients(&ours, &shares, &leaves(&x, &other));
        let theirs =
            gradients(&theirs, &shares.to_kind(Kind::Float), &leaves(&exact_x, &exact_other));
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            near(&format!("gradient {index}"), ours, theirs, ROUNDING);
        }
    }
}

#[test]
fn statistics_survive_a_mean_far_from_zero() {
    let x = values([16, 8, 12, 12], false) + 1000.0;
    let (mean, variance) = (vector(8, false), vector(8, false));
    let (weight, bias) = (vector(8, false), vector(8, false));
    let tensors = NormTensors {
        x: &x,
        other: None,
        weight: &weight,
        bias: &bias,
        mean: &mean,
        variance: &variance,
    };
    let _ = norm(tensors, NormMode::Batch, NormConstants { momentum: 1.0, ..CONSTANTS }, NONE);
    let exact = x.to_kind(Kind::Double).var_dim([0, 2, 3].as_slice(), true, false);
    same("variance", &variance, &exact.to_kind(Kind::Float));
}

#[test]
fn what_is_not_a_number_stays_so() {
    let x = values([2, 4, 3, 3], false);
    let _ = x.get(0).get(1).get(0).get(0).fill_(f64::NAN);
    let (mean, variance) = (vector(4, false), vector(4, false));
    let (weight, bias) = (vector(4, false), vector(4, false));
    let tensors = NormTensors {
        x: &x,
        other: None,
        weight: &weight,
        bias: &bias,
        mean: &mean,
        variance: &variance,
    };
    for x in [&x, &rounded(&x)] {
        let out = norm(NormTensors { x, ..tensors }, NormMode::Batch, CONSTANTS, RELU);
        let lost = out.isnan().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Int64);
        assert_eq!(Vec::<i64>::try_from(lost).unwrap(), [0, 18, 0, 0]);
    }
}

#[test]
fn libtorch_uses_the_vectors_that_are_found_without_it() {
    unsafe extern "C" {
        fn ferrite_vectors() -> u8;
    }
    // SAFETY: asks LibTorch, and touches no memory.
    let used = unsafe { ferrite_vectors() };
    assert_eq!(Processor::this().vectors as u8, used);
}

#[test]
fn tensors_of_another_type_are_copied_each_into_its_place() {
    let whole = Tensor::zeros([6], (Kind::Float, tch::Device::Cpu));
    let places = whole.split_with_sizes([4, 2], 0);
    let parts = [vec![1.5_f32, -2.0, 3.0, 4.0], vec![5.0, 6.0]];
    let parts = parts.map(|it| Tensor::from_slice(&it).to_kind(Kind::BFloat16));
    gpu::copy_all(&places, &parts);
    assert_eq!(Vec::<f32>::try_from(whole).unwrap(), [1.5, -2.0, 3.0, 4.0, 5.0, 6.0]);
}
