//! Operations that LibTorch's own interface does not offer, written against it in C++ (`*.cpp` beside this
//! file): they take part in its automatic differentiation.

#![expect(unsafe_code, reason = "calls of C++ functions")]

pub(super) mod gpu;

use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use ferrite_core::fault::TorchRefused;
use ferrite_core::kernels::{Algorithms, Convolution};
use ferrite_core::model::layer::{Activation, ConvShape, PoolShape};
use ferrite_core::processor::Processor;
use torch_sys::C_tensor;

use crate::ops::NormMode;
use crate::precision::precision_of;

unsafe extern "C" {
    fn ferrite_gpus_have_bfloat16() -> bool;

    fn ferrite_reserve_memory(bytes: usize);

    fn ferrite_convolution(call: *const ConvolutionCall, error: *mut *mut c_char) -> *mut C_tensor;

    fn ferrite_max_pool(call: *const PoolCall, error: *mut *mut c_char) -> *mut C_tensor;

    fn ferrite_norm(call: *const NormCall, error: *mut *mut c_char) -> *mut C_tensor;
}

/// What `ferrite_convolution` reads; `ConvolutionCall` of convolution.cpp.
#[repr(C)]
struct ConvolutionCall {
    x: *const C_tensor,
    weight: *const C_tensor,
    bias: *const C_tensor,
    stride: i64,
    padding: i64,
    groups: i64,
    bounds: Bounds,
    algorithms: Algorithms,
}

/// What `ferrite_max_pool` reads; `PoolCall` of pool.cpp.
#[repr(C)]
struct PoolCall {
    x: *const C_tensor,
    kernel: i64,
    stride: i64,
    padding: i64,
}

/// What `ferrite_norm` reads; `NormCall` of norm.cpp.
#[repr(C)]
struct NormCall {
    x: *const C_tensor,
    other: *const C_tensor,
    weight: *const C_tensor,
    bias: *const C_tensor,
    mean: *const C_tensor,
    variance: *const C_tensor,
    momentum: f64,
    eps: f64,
    bounds: Bounds,
    takes_batch_statistics: bool,
}

/// The bounds of an activation: what lies outside becomes the bound and has no gradient. `Bounds` of shared.h.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(super) struct Bounds {
    /// The smallest value that passes.
    pub(super) low: f32,
    /// The largest value that passes.
    pub(super) high: f32,
}

impl Bounds {
    /// What bounds the values behind `activation`.
    pub(super) fn of(activation: Activation) -> Self {
        let [low, high] = activation.bounds();
        Self { low, high }
    }
}

/// Whether the first GPU multiplies bfloat16.
pub(super) fn gpus_have_bfloat16() -> bool {
    // SAFETY: asks LibTorch, and touches no memory.
    unsafe { ferrite_gpus_have_bfloat16() }
}

/// From now on LibTorch refuses a tensor of a mebibyte or more unless `bytes` are there beside it, which are left to whoever
/// can be refused nothing: Rust, and oneDNN's code and its small things. To be called once, before there are tensors.
pub(super) fn reserve_memory(bytes: usize) {
    // SAFETY: the function takes any number of bytes.
    unsafe { ferrite_reserve_memory(bytes) }
}

/// The tensors of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvolutionTensors<'a> {
    /// The input, `[batch, in, h, w]` of 32-bit floats or bfloat16.
    pub(super) x: &'a tch::Tensor,
    /// The weight, `[out, in / groups, kernel, kernel]` of 32-bit floats.
    pub(super) weight: &'a tch::Tensor,
    /// The shift of each output channel, 32-bit floats.
    pub(super) bias: Option<&'a tch::Tensor>,
}

impl ConvolutionTensors<'_> {
    /// The algorithms that are chosen for it on this processor. What LibTorch refuses, or finds empty, is left to LibTorch.
    fn algorithms(&self, shape: ConvShape) -> Algorithms {
        let (x, weight) = (counts(self.x), counts(self.weight));
        let ([_, input, height, width], [output, seen, ..]) = (&x[..], &weight[..]) else {
            return Algorithms::LIBTORCH;
        };
        if x.contains(&0) || *input != seen * shape.groups {
            return Algorithms::LIBTORCH;
        }
        let (input, output, height, width) = (*input, *output, *height, *width);
        let ConvShape { kernel, stride, padding, groups } = shape;
        let precision = precision_of(self.x);
        let convolution = Convolution {
            input,
            output,
            height,
            width,
            kernel,
            stride,
            padding,
            groups,
            precision,
        };
        Algorithms::of(&convolution, &Processor::this())
    }
}

/// The sizes of a tensor.
fn counts(x: &tch::Tensor) -> Vec<usize> {
    x.size().into_iter().map(|it| it as usize).collect()
}

/// A two-dimensional convolution and then an activation on the processor, in the type of the input. LibTorch can
/// differentiate it.
pub(super) fn convolution(
    tensors: ConvolutionTensors<'_>,
    shape: ConvShape,
    bounds: Bounds,
) -> tch::Tensor {
    convolution_by(tensors.algorithms(shape), tensors, shape, bounds)
}

/// A [`convolution`] by algorithms that fit it.
fn convolution_by(
    algorithms: Algorithms,
    tensors: ConvolutionTensors<'_>,
    shape: ConvShape,
    bounds: Bounds,
) -> tch::Tensor {
    let [stride, padding, groups] = [shape.stride, shape.padding, shape.groups].map(|it| it as i64);
    let ConvolutionTensors { x, weight, bias } = tensors;
    let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), pointer(bias));
    let call = ConvolutionCall { x, weight, bias, stride, padding, groups, bounds, algorithms };
    // SAFETY: the tensors outlive the call, which keeps references of its own.
    called(|error| unsafe { ferrite_convolution(&raw const call, error) })
}

/// The largest value of each window on the processor. LibTorch can differentiate it; gradients go to the first of several.
///
/// - x and output: `[batch, channels, h, w]` of 32-bit floats or bfloat16; the output's channels are last in memory
pub(super) fn max_pool(x: &tch::Tensor, shape: PoolShape) -> tch::Tensor {
    let [kernel, stride, padding] = [shape.kernel, shape.stride, shape.padding].map(|it| it as i64);
    let call = PoolCall { x: x.as_ptr(), kernel, stride, padding };
    // SAFETY: the tensor outlives the call, which keeps a reference of its own.
    called(|error| unsafe { ferrite_max_pool(&raw const call, error) })
}

/// The tensors of a batch norm and of the sum behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormTensors<'a> {
    /// The input, `[batch, channels, h, w]` of 32-bit floats or bfloat16.
    pub(super) x: &'a tch::Tensor,
    /// What is added to what was normalised.
    pub(super) other: Option<&'a tch::Tensor>,
    /// Scale.
    pub(super) weight: &'a tch::Tensor,
    /// Shift.
    pub(super) bias: &'a tch::Tensor,
    /// Running mean.
    pub(super) mean: &'a tch::Tensor,
    /// Running variance.
    pub(super) variance: &'a tch::Tensor,
}

/// The numbers of a batch norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormConstants {
    /// Weight of the batch in the running statistics.
    pub(super) momentum: f64,
    /// Added to the variance.
    pub(super) eps: f64,
}

/// Batch norm, then the sum with `other`, then an activation, on the processor. LibTorch can differentiate it. The batch's
/// statistics, where they are used, move the running ones.
///
/// - output: as the input, with the channels last in memory
pub(super) fn norm(
    tensors: NormTensors<'_>,
    mode: NormMode,
    constants: NormConstants,
    bounds: Bounds,
) -> tch::Tensor {
    let call = NormCall {
        x: tensors.x.as_ptr(),
        other: pointer(tensors.other),
        weight: tensors.weight.as_ptr(),
        bias: tensors.bias.as_ptr(),
        mean: tensors.mean.as_ptr(),
        variance: tensors.variance.as_ptr(),
        momentum: constants.momentum,
        eps: constants.eps,
        bounds,
        takes_batch_statistics: mode == NormMode::Batch,
    };
    // SAFETY: the tensors outlive the call, which keeps references of its own.
    called(|error| unsafe { ferrite_norm(&raw const call, error) })
}

fn pointer(tensor: Option<&tch::Tensor>) -> *const C_tensor {
    tensor.map_or(null(), tch::Tensor::as_ptr)
}

/// The tensor that `call` gives.
///
/// # Panics
/// With LibTorch's message where it fails, as all of tch does.
fn called(call: impl FnOnce(*mut *mut c_char) -> *mut C_tensor) -> tch::Tensor {
    let mut tensor = null_mut();
    checked(|error| tensor = call(error));
    // SAFETY: without an error the function gives a new tensor away.
    unsafe { tch::Tensor::from_ptr(tensor) }
}

/// Does `call`.
///
/// # Panics
/// As [`called`].
fn checked(call: impl FnOnce(*mut *mut c_char)) {
    let mut error = null_mut();
    call(&raw mut error);
    if error.is_null() {
        return;
    }
    // SAFETY: an error is a C string on C's heap, and nobody else frees it.
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        libc::free(error.cast());
        message
    };
    std::panic::panic_any(TorchRefused(message));
}

#[cfg(test)]
mod tests;
