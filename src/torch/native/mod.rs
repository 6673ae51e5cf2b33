//! Operations that LibTorch's own interface does not offer, written against it in C++ (`*.cpp` beside this
//! file): they take part in its automatic differentiation.

#![expect(unsafe_code, reason = "calls of C++ functions")]

pub(super) mod gpu;

use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use torch_sys::C_tensor;

use crate::fault::TorchRefused;

unsafe extern "C" {
    fn ferrite_processor(processor: *mut Processor);

    fn ferrite_gpus_have_bfloat16() -> bool;

    fn ferrite_convolution(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        stride: i64,
        padding: i64,
        groups: i64,
        low: f64,
        high: f64,
        error: *mut *mut c_char,
    ) -> *mut C_tensor;

    fn ferrite_max_pool(
        x: *const C_tensor,
        kernel: i64,
        stride: i64,
        padding: i64,
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

/// What a processor says of itself, as far as it decides how fast bfloat16 is on it. The instructions count only where
/// nobody held LibTorch or oneDNN back from using them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(super) struct Processor {
    /// The maker's twelve letters.
    pub(super) vendor: [u8; 12],
    /// The maker's number of the design, the extended family included.
    pub(super) family: u32,
    /// Whether it multiplies pairs of bfloat16 (AVX512-BF16).
    pub(super) avx512_bf16: bool,
    /// Whether it has a unit for products of matrices of bfloat16 (AMX) that the system lets this process use.
    pub(super) amx_bf16: bool,
}

/// The processor that this runs on.
pub(super) fn processor() -> Processor {
    let mut processor = Processor::default();
    // SAFETY: the function fills a structure of the same layout.
    unsafe { ferrite_processor(&raw mut processor) };
    processor
}

/// Whether the first GPU multiplies bfloat16.
pub(super) fn gpus_have_bfloat16() -> bool {
    // SAFETY: asks LibTorch, and touches no memory.
    unsafe { ferrite_gpus_have_bfloat16() }
}

/// A two-dimensional convolution and then the bounds `low` and `high` on the processor, in the type of `x`, with a record
/// for gradients.
///
/// - x: `[batch, in, h, w]`
/// - weight: `[out, in / groups, kernel, kernel]` of 32-bit floats, as `bias`
pub(super) fn convolution(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: Option<&tch::Tensor>,
    [stride, padding, groups]: [i64; 3],
    [low, high]: [f64; 2],
) -> tch::Tensor {
    // SAFETY: the tensors outlive the call, which keeps references of its own.
    called(|error| unsafe {
        let (x, weight, bias) = (x.as_ptr(), weight.as_ptr(), pointer(bias));
        ferrite_convolution(x, weight, bias, stride, padding, groups, low, high, error)
    })
}

/// The largest value of each window on the processor, with a record for gradients, which go to the first of several.
///
/// - x and output: `[batch, channels, h, w]` of 32-bit floats or bfloat16; the output's channels are last in memory
pub(super) fn max_pool(x: &tch::Tensor, [kernel, stride, padding]: [i64; 3]) -> tch::Tensor {
    // SAFETY: the tensor outlives the call, which keeps a reference of its own.
    called(|error| unsafe { ferrite_max_pool(x.as_ptr(), kernel, stride, padding, error) })
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
/// - x, other and output: `[batch, channels, h, w]` of 32-bit floats or bfloat16; the output's channels are last in memory
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
