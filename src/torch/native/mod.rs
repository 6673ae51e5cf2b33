//! Operations that LibTorch's own interface does not offer, written against it in C++ (`*.cpp` beside this
//! file): they take part in its automatic differentiation.

#![expect(unsafe_code, reason = "calls of C++ functions")]

use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use torch_sys::C_tensor;

unsafe extern "C" {
    fn ferrite_convolution(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: i64,
        padding: i64,
        groups: i64,
        error: *mut *mut c_char,
    ) -> *mut C_tensor;

    fn ferrite_norm(
        x: *const C_tensor,
        other: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        mean: *const C_tensor,
        variance: *const C_tensor,
        batch: bool,
        momentum: f64,
        eps: f64,
        low: f64,
        high: f64,
        error: *mut *mut c_char,
    ) -> *mut C_tensor;
}

/// A two-dimensional convolution on the processor, with a record for gradients.
///
/// - x: `[batch, in, h, w]`
/// - weight: `[out, in / groups, kernel, kernel]`
pub(super) fn convolution(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: Option<&tch::Tensor>,
    [stride, padding, groups]: [i64; 3],
) -> tch::Tensor {
    // SAFETY: the tensors outlive the call, which keeps references of its own.
    called(|error| unsafe {
        let (x, weight) = (x.as_ptr(), weight.as_ptr());
        ferrite_convolution(x, weight, pointer(bias), stride, padding, groups, error)
    })
}

/// The tensors of a batch norm.
pub(super) struct NormTensors<'a> {
    /// Scale.
    pub(super) weight: &'a tch::Tensor,
    /// Shift.
    pub(super) bias: &'a tch::Tensor,
    /// Running mean.
    pub(super) mean: &'a tch::Tensor,
    /// Running variance.
    pub(super) variance: &'a tch::Tensor,
}

/// Batch norm, then the sum with `other`, then the bounds `low` and `high`, on the processor and with a
/// record for gradients. With `batch` the statistics are those of `x`, which move the running ones.
///
/// - x, other and output: `[batch, channels, h, w]` of 32-bit floats; the output's channels are last in memory
pub(super) fn norm(
    (x, other): (&tch::Tensor, Option<&tch::Tensor>),
    tensors: NormTensors<'_>,
    batch: bool,
    (momentum, eps): (f64, f64),
    [low, high]: [f64; 2],
) -> tch::Tensor {
    let [weight, bias, mean, variance] =
        [tensors.weight, tensors.bias, tensors.mean, tensors.variance].map(tch::Tensor::as_ptr);
    let (x, other) = (x.as_ptr(), pointer(other));
    // SAFETY: the tensors outlive the call, which keeps references of its own.
    called(|error| unsafe {
        ferrite_norm(x, other, weight, bias, mean, variance, batch, momentum, eps, low, high, error)
    })
}

fn pointer(tensor: Option<&tch::Tensor>) -> *const C_tensor {
    tensor.map_or(null(), tch::Tensor::as_ptr)
}

/// The tensor that `call` gives.
///
/// # Panics
/// With LibTorch's message where it fails, as all of tch does.
fn called(call: impl FnOnce(*mut *mut c_char) -> *mut C_tensor) -> tch::Tensor {
    let mut error = null_mut();
    let tensor = call(&raw mut error);
    if error.is_null() {
        // SAFETY: without an error the function gives a new tensor away.
        return unsafe { tch::Tensor::from_ptr(tensor) };
    }
    // SAFETY: an error is a C string on C's heap, and nobody else frees it.
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        message
    };
    panic!("{message}");
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

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

    #[track_caller]
    fn same(what: &str, ours: &Tensor, theirs: &Tensor) {
        assert_eq!(ours.size(), theirs.size(), "{what}");
        let difference = (ours - theirs).norm().double_value(&[]);
        let relative = difference / theirs.norm().double_value(&[]).max(1e-9);
        assert!(relative < 1e-5, "{what}: {relative:.1e}");
    }

    /// Checks a convolution and all its gradients against LibTorch's own, for `images` images of
    /// `channels[0]` channels and `side` pixels.
    #[track_caller]
    fn check_convolution(
        images: i64,
        channels: [i64; 2],
        side: i64,
        [kernel, stride, padding, groups]: [i64; 4],
    ) {
        let [input, output] = channels;
        let x = values([images, input, side, side], true);
        let weight = values([output, input / groups, kernel, kernel], true);
        for bias in [None, Some(vector(output, true))] {
            let bias = bias.as_ref();
            let ours = convolution(&x, &weight, bias, [stride, padding, groups]);
            let theirs =
                x.conv2d(&weight, bias, [stride, stride], [padding, padding], [1, 1], groups);
            same("output", &ours, &theirs);
            let leaves: Vec<&Tensor> =
                [Some(&x), Some(&weight), bias].into_iter().flatten().collect();
            let shares = ours.randn_like();
            let ours = gradients(&ours, &shares, &leaves);
            let theirs = gradients(&theirs, &shares, &leaves);
            for (name, (ours, theirs)) in
                ["x", "weight", "bias"].iter().zip(ours.iter().zip(&theirs))
            {
                same(&format!("gradient of {name}"), ours, theirs);
            }
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

    /// Checks norm, sum and bounds, their gradients and the running statistics against LibTorch's separate
    /// operations.
    #[track_caller]
    fn check_norm(shape: [i64; 4], batch: bool, adds: bool, [low, high]: [f64; 2]) {
        let channels = shape[1];
        let (x, other) = (values(shape, true), values(shape, true));
        let (weight, bias) = (vector(channels, true), vector(channels, true));
        let (mean, variance) = (vector(channels, false), vector(channels, false));
        let (their_mean, their_variance) = (mean.copy(), variance.copy());
        let tensors =
            NormTensors { weight: &weight, bias: &bias, mean: &mean, variance: &variance };
        let ours = norm((&x, adds.then_some(&other)), tensors, batch, (0.1, 1e-5), [low, high]);
        let normed = x.batch_norm(
            Some(&weight),
            Some(&bias),
            Some(&their_mean),
            Some(&their_variance),
            batch,
            0.1,
            1e-5,
            true,
        );
        let sum = if adds { normed + &other } else { normed };
        let theirs = sum.clamp(low, high);
        same("output", &ours, &theirs);
        same("running mean", &mean, &their_mean);
        same("running variance", &variance, &their_variance);
        let leaves = [&x, &weight, &bias, &other];
        let leaves = if adds { &leaves[..] } else { &leaves[..3] };
        // At a bound rounding decides whether a gradient passes.
        let near = |bound: f64| (&sum - bound).abs().lt(1e-4);
        let shares = ours.randn_like().masked_fill(&near(low).logical_or(&near(high)), 0.0);
        let ours = gradients(&ours, &shares, leaves);
        let theirs = gradients(&theirs, &shares, leaves);
        let names = ["x", "weight", "bias", "other"];
        for (name, (ours, theirs)) in names.iter().zip(ours.iter().zip(&theirs)) {
            same(&format!("gradient of {name}"), ours, theirs);
        }
    }

    #[test]
    fn norms_with_sums_and_activations_are_libtorchs_separate_operations() {
        let none = [f64::NEG_INFINITY, f64::INFINITY];
        for shape in [[4, 32, 9, 9], [2, 7, 5, 3], [64, 16, 24, 24], [8, 1280, 1, 1]] {
            for bounds in [none, [0.0, f64::INFINITY], [0.0, 1.5]] {
                for (batch, adds) in [(true, true), (true, false), (false, true), (false, false)] {
                    check_norm(shape, batch, adds, bounds);
                }
            }
        }
    }

    #[test]
    fn statistics_survive_a_mean_far_from_zero() {
        let x = values([16, 8, 12, 12], false) + 1000.0;
        let (mean, variance) = (vector(8, false), vector(8, false));
        let (weight, bias) = (vector(8, false), vector(8, false));
        let tensors =
            NormTensors { weight: &weight, bias: &bias, mean: &mean, variance: &variance };
        let none = [f64::NEG_INFINITY, f64::INFINITY];
        let _ = norm((&x, None), tensors, true, (1.0, 1e-5), none);
        let exact = x.to_kind(Kind::Double).var_dim([0, 2, 3].as_slice(), true, false);
        same("variance", &variance, &exact.to_kind(Kind::Float));
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = values([2, 4, 3, 3], false);
        let _ = x.get(0).get(1).get(0).get(0).fill_(f64::NAN);
        let (mean, variance) = (vector(4, false), vector(4, false));
        let (weight, bias) = (vector(4, false), vector(4, false));
        let tensors =
            NormTensors { weight: &weight, bias: &bias, mean: &mean, variance: &variance };
        let out = norm((&x, None), tensors, true, (0.1, 1e-5), [0.0, f64::INFINITY]);
        let lost = out.isnan().sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Int64);
        assert_eq!(Vec::<i64>::try_from(lost).unwrap(), [0, 18, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "channels")]
    fn what_libtorch_refuses_is_told_in_its_words() {
        let _ = convolution(
            &values([1, 3, 8, 8], false),
            &values([4, 5, 3, 3], false),
            None,
            [1, 1, 1],
        );
    }
}
