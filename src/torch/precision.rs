//! Precisions as LibTorch computes in them, and how fast this hardware is in bfloat16.

use burn::tensor::Tensor;
use tch::Kind;

use crate::device::Device;
use crate::precision::{Bfloat16, Precision};
use crate::torch::native::{self, Processor};
use crate::torch::tensor::map;

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
        Device::Cpu => on_processor(native::processor()),
        Device::Cuda(_) if native::gpus_have_bfloat16() => Bfloat16::ManyTimes,
        Device::Cuda(_) => Bfloat16::Imitated,
    }
}

/// How fast `processor` is in bfloat16, which docs/benchmarks.md has the measurements of.
fn on_processor(processor: Processor) -> Bfloat16 {
    /// Zen 3 and 4; no processor of this family or a later one has AVX512-BF16 that is slow.
    const ZEN_4: u32 = 0x19;
    let amd = &processor.vendor == b"AuthenticAMD" && processor.family >= ZEN_4;
    match processor {
        Processor { amx_bf16: true, .. } => Bfloat16::ManyTimes,
        Processor { avx512_bf16: true, .. } if amd => Bfloat16::Faster,
        Processor { avx512_bf16: true, .. } => Bfloat16::NoFaster,
        _ => Bfloat16::Imitated,
    }
}

/// Whether `device` has instructions for bfloat16; without them it is many times slower than 32 bits. Whether it is
/// faster with them is another question, which [`Bfloat16`] answers.
pub fn has_bfloat16(device: Device) -> bool {
    bfloat16_on(device) != Bfloat16::Imitated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_called_faster_only_where_a_processor_was_seen_to_be() {
        let of = |vendor: &[u8; 12], family, avx512_bf16, amx_bf16| {
            on_processor(Processor { vendor: *vendor, family, avx512_bf16, amx_bf16 })
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
            ("no x86", on_processor(Processor::default()), Bfloat16::Imitated),
        ] {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn this_processor_says_who_made_it() {
        let processor = native::processor();
        if cfg!(target_arch = "x86_64") {
            assert!(processor.vendor.iter().all(u8::is_ascii_graphic) && processor.family > 0);
            // The tiles come with the instructions for pairs.
            assert!(processor.avx512_bf16 || !processor.amx_bf16, "{processor:?}");
        } else {
            assert_eq!(processor, Processor::default());
        }
    }
}
