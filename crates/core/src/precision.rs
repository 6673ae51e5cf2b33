//! What a backbone computes in: 32-bit floats, or bfloat16 where the hardware multiplies those faster.
//!
//! Parameters, statistics, sums and the classifier have 32 bits always (mixed precision, Micikevicius et al. 2018,
//! <https://arxiv.org/abs/1710.03740>; bfloat16 has the exponents of 32-bit floats, so no loss is scaled).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::processor::Processor;

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

impl Bfloat16 {
    /// How fast `processor` is in bfloat16, of which docs/benchmarks.md has the measurements.
    pub fn of_processor(processor: &Processor) -> Self {
        /// Zen 3 and 4; no processor of this family or a later one has AVX512-BF16 that is slow.
        const ZEN_4: u32 = 0x19;
        let amd = &processor.vendor == b"AuthenticAMD" && processor.family >= ZEN_4;
        match processor {
            Processor { amx_bf16: true, .. } => Self::ManyTimes,
            Processor { avx512_bf16: true, .. } if amd => Self::Faster,
            Processor { avx512_bf16: true, .. } => Self::NoFaster,
            _ => Self::Imitated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Vectors;

    #[test]
    fn bfloat16_is_called_faster_only_where_a_processor_was_seen_to_be() {
        let of = |vendor: &[u8; 12], family, avx512_bf16, amx_bf16| {
            let vectors = Vectors::Avx512;
            let vendor = *vendor;
            Bfloat16::of_processor(&Processor { vendor, family, vectors, avx512_bf16, amx_bf16 })
        };
        let (intel, amd) = (b"GenuineIntel", b"AuthenticAMD");
        for (name, found, expected) in [
            ("Sapphire Rapids and later", of(intel, 6, true, true), Bfloat16::ManyTimes),
            ("Cooper Lake, or AMX that is hidden", of(intel, 6, true, false), Bfloat16::NoFaster),
            ("Skylake, or AVX-512 held back", of(intel, 6, false, false), Bfloat16::Imitated),
            ("Zen 4", of(amd, 0x19, true, false), Bfloat16::Faster),
            ("Zen 5", of(amd, 0x1a, true, false), Bfloat16::Faster),
            ("Zen 3", of(amd, 0x19, false, false), Bfloat16::Imitated),
            ("Zen 2", of(amd, 0x17, false, false), Bfloat16::Imitated),
            ("another maker", of(b"HygonGenuine", 0x18, true, false), Bfloat16::NoFaster),
            ("no x86", Bfloat16::of_processor(&Processor::default()), Bfloat16::Imitated),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

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
