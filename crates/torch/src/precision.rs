//! Precisions as LibTorch computes in them, and how fast this hardware is in bfloat16.

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::precision::{Bfloat16, Precision};
use ferrite_core::processor::Processor;
use tch::Kind;

use crate::native;
use crate::tensor::map;

/// `x` in `precision`, with a record for gradients.
pub fn cast<const D: usize>(x: Tensor<D>, precision: Precision) -> Tensor<D> {
    map(x, |x| x.to_kind(kind(precision)))
}

/// LibTorch's name for `precision`.
pub(super) fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// What the numbers of `x` are.
pub(super) fn precision_of(x: &tch::Tensor) -> Precision {
    if x.kind() == Kind::BFloat16 { Precision::Bf16 } else { Precision::F32 }
}

/// How fast `device` is in bfloat16.
pub fn bfloat16_on(device: Device) -> Bfloat16 {
    match device {
        Device::Cpu => Bfloat16::of_processor(&Processor::this()),
        Device::Cuda(_) if native::gpus_have_bfloat16() => Bfloat16::ManyTimes,
        Device::Cuda(_) => Bfloat16::Imitated,
    }
}

/// Whether `device` has instructions for bfloat16; without them it is many times slower than 32 bits. Whether it is
/// faster with them is another question, which [`Bfloat16`] answers.
pub fn has_bfloat16(device: Device) -> bool {
    bfloat16_on(device) != Bfloat16::Imitated
}
