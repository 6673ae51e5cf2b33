//! What a backbone computes in: 32-bit floats, or bfloat16 where the hardware multiplies those faster.
//!
//! Parameters, statistics, sums and the classifier have 32 bits always (mixed precision, Micikevicius et al. 2018,
//! <https://arxiv.org/abs/1710.03740>; bfloat16 has the exponents of 32-bit floats, so no loss is scaled).

use std::fmt;

use serde::{Deserialize, Serialize};

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
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
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

/// How fast a device computes in bfloat16, beside 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bfloat16 {
    /// The device has no instructions for it and imitates them, which is many times slower.
    Imitated,
    /// The device has instructions, and a training step is slower or no faster with them: AVX512-BF16 of Intel's
    /// processors that have no AMX, or hide it.
    NoFaster,
    /// Convolutions are faster, products of small matrices are not: AVX512-BF16 of AMD's processors from Zen 4 on.
    Faster,
    /// Products of matrices are many times as fast: Intel's AMX, and GPUs.
    ManyTimes,
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
