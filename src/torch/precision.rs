//! What a backbone computes in: 32-bit floats, or bfloat16 where the hardware multiplies those faster.
//!
//! Parameters, statistics, sums and the classifier have 32 bits always (mixed precision, Micikevicius et al. 2018,
//! <https://arxiv.org/abs/1710.03740>; bfloat16 has the exponents of 32-bit floats, so no loss is scaled).

use std::fmt;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::torch::tensor::map;
use crate::torch::{Device, native};

/// What a backbone's activations are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// What the parts of a network compute in. Which is faster differs: without gradients a convolution, its norm and its
/// activation are one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precisions {
    /// The blocks before the first that trains, which see no gradient.
    pub frozen: Precision,
    /// The others.
    pub trained: Precision,
    /// The products of the head's hidden layers. The classifier behind them has 32 bits always.
    pub head: Precision,
}

impl Precisions {
    /// One for all.
    pub fn all(precision: Precision) -> Self {
        Self { frozen: precision, trained: precision, head: precision }
    }

    /// Whether one is `precision`.
    pub fn include(self, precision: Precision) -> bool {
        [self.frozen, self.trained, self.head].contains(&precision)
    }
}

impl fmt::Display for Precisions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.trained.name())?;
        let others = [(self.frozen, "where frozen"), (self.head, "in the head")];
        let mut others = others.into_iter().filter(|(it, _)| *it != self.trained);
        others.try_for_each(|(it, place)| write!(out, ", {} {place}", it.name()))
    }
}

/// Whether `device` multiplies matrices of bfloat16 many times as fast as those of 32 bits: GPUs that have it, and
/// processors with a matrix unit.
pub fn has_matrix_unit(device: Device) -> bool {
    match device {
        Device::Cpu => native::processor_has_matrix_unit(),
        Device::Cuda(_) => native::gpus_have_bfloat16(),
    }
}

/// Whether `device` has instructions for bfloat16; without them it is many times slower than 32 bits.
pub fn has_bfloat16(device: Device) -> bool {
    match device {
        Device::Cpu => native::processor_has_bfloat16(),
        Device::Cuda(_) => native::gpus_have_bfloat16(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_compute_in_another_precision_are_named() {
        let [exact, rounded] = [Precision::F32, Precision::Bf16].map(Precisions::all);
        assert_eq!((exact.to_string(), rounded.to_string()), ("f32".into(), "bf16".into()));
        let mixed = Precisions { trained: Precision::F32, ..rounded };
        assert_eq!(mixed.to_string(), "f32, bf16 where frozen, bf16 in the head");
        let frozen = Precisions { frozen: Precision::Bf16, ..exact };
        assert_eq!(frozen.to_string(), "f32, bf16 where frozen");
    }
}
