//! What a backbone computes in: 32-bit floats, or bfloat16 where the hardware multiplies those faster.
//!
//! Parameters, statistics, sums and the head have 32 bits always (mixed precision, Micikevicius et al. 2018,
//! <https://arxiv.org/abs/1710.03740>; bfloat16 has the exponents of 32-bit floats, so no loss is scaled).

use burn::tensor::Tensor;
use tch::Kind;

use crate::torch::tensor::map;
use crate::torch::{Device, native};

/// What a backbone's activations are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16: 8 bits of exponent as a 32-bit float, 8 of fraction.
    Bf16,
}

impl Precision {
    /// What experiment files and events call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// `x` in this precision, with a record for gradients.
    pub fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let kind = match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        };
        map(x, |x| x.to_kind(kind))
    }
}

/// Whether `device` has instructions for bfloat16; without them it is many times slower than 32 bits.
pub fn has_bfloat16(device: Device) -> bool {
    match device {
        Device::Cpu => native::processor_has_bfloat16(),
        Device::Cuda(_) => native::gpus_have_bfloat16(),
    }
}
