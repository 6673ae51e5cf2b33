//! What a backbone computes in: 32-bit floats, or bfloat16 where the hardware multiplies those faster.
//!
//! Parameters, statistics, sums and the head have 32 bits always (mixed precision, Micikevicius et al. 2018,
//! <https://arxiv.org/abs/1710.03740>; bfloat16 has the exponents of 32-bit floats, so no loss is scaled).

use std::fmt;

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
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// `x` in this precision, with a record for gradients.
    pub fn of<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        map(x, |x| x.to_kind(self.kind()))
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// LibTorch's name for it.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    /// What the numbers of `x` are.
    pub(super) fn of_numbers(x: &tch::Tensor) -> Self {
        if x.kind() == Kind::BFloat16 { Self::Bf16 } else { Self::F32 }
    }
}

/// What the two parts of a backbone compute in. Which is faster differs: without gradients a convolution, its
/// norm and its activation are one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precisions {
    /// The blocks before the first that trains, which see no gradient.
    pub frozen: Precision,
    /// The others.
    pub trained: Precision,
}

impl Precisions {
    /// One for both.
    pub fn both(precision: Precision) -> Self {
        Self { frozen: precision, trained: precision }
    }

    /// Whether either is `precision`.
    pub fn include(self, precision: Precision) -> bool {
        [self.frozen, self.trained].contains(&precision)
    }
}

impl fmt::Display for Precisions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [frozen, trained] = [self.frozen, self.trained].map(Precision::name);
        write!(out, "{trained}")?;
        if frozen == trained { Ok(()) } else { write!(out, ", {frozen} where frozen") }
    }
}

/// Whether `device` has instructions for bfloat16; without them it is many times slower than 32 bits.
pub fn has_bfloat16(device: Device) -> bool {
    match device {
        Device::Cpu => native::processor_has_bfloat16(),
        Device::Cuda(_) => native::gpus_have_bfloat16(),
    }
}
