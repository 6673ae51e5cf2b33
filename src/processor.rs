//! The processor that this runs on: who made it, and which of its instructions LibTorch and oneDNN use.
//!
//! LibTorch is not asked, so that a plan can be shown without it. What is found here is what LibTorch finds, which a test
//! of `native` holds against it.

#![expect(unsafe_code, reason = "one system call has no safe wrapper")]

use std::sync::OnceLock;

/// The vector instructions that LibTorch's own kernels use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vectors {
    /// LibTorch uses the instructions that every processor of this kind has.
    #[default]
    Baseline,
    /// LibTorch uses AVX2, 256 bits wide.
    Avx2,
    /// LibTorch uses AVX-512, 512 bits wide.
    Avx512,
}

/// What a processor says of itself, as far as kernels and precisions are chosen by it. Instructions count only where
/// nobody held LibTorch or oneDNN back from using them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Processor {
    /// The maker's twelve letters.
    pub vendor: [u8; 12],
    /// The maker's number of the design, the extended family included.
    pub family: u32,
    /// The widest vectors that LibTorch computes with.
    pub vectors: Vectors,
    /// Whether the processor multiplies pairs of bfloat16 (AVX512-BF16).
    pub avx512_bf16: bool,
    /// Whether the processor has a unit for products of matrices of bfloat16 (AMX) that the system lets this process use.
    pub amx_bf16: bool,
}

/// How environment variables hold LibTorch and oneDNN back from instructions that the processor has.
#[derive(Debug, Clone, Default)]
struct Limits {
    /// `ATEN_CPU_CAPABILITY`, which LibTorch reads.
    libtorch: Option<String>,
    /// `ONEDNN_MAX_CPU_ISA` in capital letters, or the same under its old name, which oneDNN reads.
    one_dnn: Option<String>,
}

impl Limits {
    fn of_environment() -> Self {
        let read = |name| std::env::var(name).ok();
        let one_dnn = read("ONEDNN_MAX_CPU_ISA").or_else(|| read("DNNL_MAX_CPU_ISA"));
        Self {
            libtorch: read("ATEN_CPU_CAPABILITY"),
            one_dnn: one_dnn.map(|it| it.to_ascii_uppercase()),
        }
    }

    fn are_below_bfloat16(&self) -> bool {
        let names = ["SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"];
        self.one_dnn.as_deref().is_some_and(|it| names.contains(&it))
    }

    fn are_below_tiles(&self) -> bool {
        let names = ["AVX2_VNNI_2", "AVX512_CORE_BF16", "AVX10_1_512", "AVX512_CORE_FP16"];
        self.are_below_bfloat16() || self.one_dnn.as_deref().is_some_and(|it| names.contains(&it))
    }
}

impl Processor {
    /// The processor that this runs on, within what the environment allows LibTorch and oneDNN.
    pub fn this() -> Self {
        static THIS: OnceLock<Processor> = OnceLock::new();
        *THIS.get_or_init(|| {
            let found = found().within(&Limits::of_environment());
            // A process that may not use the unit, or will not, does not ask for it.
            Self { amx_bf16: found.amx_bf16 && is_granted_tiles(), ..found }
        })
    }

    /// What is left of it within `limits`.
    fn within(self, limits: &Limits) -> Self {
        let vectors = match limits.libtorch.as_deref() {
            Some("avx512") => Vectors::Avx512,
            Some("avx2") => Vectors::Avx2,
            Some("default") => Vectors::Baseline,
            // LibTorch warns of other words, and does not heed them.
            _ => self.vectors,
        };
        let wide = vectors == Vectors::Avx512;
        Self {
            vectors,
            avx512_bf16: self.avx512_bf16 && wide && !limits.are_below_bfloat16(),
            amx_bf16: self.amx_bf16 && wide && !limits.are_below_tiles(),
            ..self
        }
    }
}

/// What the processor has. Intel SDM volume 2A and AMD APM volume 3, CPUID: leaf 0 has the vendor, leaf 1 the family, leaf 7
/// AMX-BF16 and AMX-TILE (bits 22 and 24 of EDX).
#[cfg(target_arch = "x86_64")]
fn found() -> Processor {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let names = __cpuid(0);
    let mut vendor = [0; 12];
    for (part, register) in vendor.chunks_exact_mut(4).zip([names.ebx, names.edx, names.ecx]) {
        part.copy_from_slice(&register.to_le_bytes());
    }
    let design = __cpuid(1).eax;
    let base = design >> 8 & 15;
    let features = if names.eax >= 7 { __cpuid_count(7, 0).edx } else { 0 };
    let avx512 = is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    let vectors = match is_x86_feature_detected!("fma") {
        true if avx512 => Vectors::Avx512,
        true if is_x86_feature_detected!("avx2") => Vectors::Avx2,
        _ => Vectors::Baseline,
    };
    let avx512_bf16 = is_x86_feature_detected!("avx512bf16");
    Processor {
        vendor,
        family: if base == 15 { base + (design >> 20 & 255) } else { base },
        vectors,
        avx512_bf16,
        amx_bf16: avx512_bf16 && features >> 22 & 1 == 1 && features >> 24 & 1 == 1,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn found() -> Processor {
    Processor::default()
}

/// Whether the system lets this process use the matrix unit. Linux gives a process the tiles when it asks for them
/// (`ARCH_REQ_XCOMP_PERM` of `XTILEDATA`).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn is_granted_tiles() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: the call reads and writes no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn is_granted_tiles() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what is left of a processor that has everything, where `limits` are LibTorch's and oneDNN's.
    #[track_caller]
    fn check(limits: [&str; 2], expected: (Vectors, bool, bool)) {
        let all = Processor {
            vectors: Vectors::Avx512,
            avx512_bf16: true,
            amx_bf16: true,
            ..Processor::default()
        };
        let [libtorch, one_dnn] = limits.map(|it| (!it.is_empty()).then(|| it.to_owned()));
        let left = all.within(&Limits { libtorch, one_dnn });
        assert_eq!((left.vectors, left.avx512_bf16, left.amx_bf16), expected, "{limits:?}");
    }

    #[test]
    fn what_holds_libtorch_or_onednn_back_counts() {
        check(["", ""], (Vectors::Avx512, true, true));
        check(["avx512", ""], (Vectors::Avx512, true, true));
        check(["avx2", ""], (Vectors::Avx2, false, false));
        check(["default", ""], (Vectors::Baseline, false, false));
        check(["AVX2", ""], (Vectors::Avx512, true, true));
        check(["", "AVX512_CORE_AMX"], (Vectors::Avx512, true, true));
        check(["", "DEFAULT"], (Vectors::Avx512, true, true));
        check(["", "AVX512_CORE_FP16"], (Vectors::Avx512, true, false));
        check(["", "AVX512_CORE_BF16"], (Vectors::Avx512, true, false));
        check(["", "AVX2_VNNI_2"], (Vectors::Avx512, true, false));
        check(["", "AVX512_CORE_VNNI"], (Vectors::Avx512, false, false));
        check(["", "AVX512_CORE"], (Vectors::Avx512, false, false));
        check(["avx2", "AVX2"], (Vectors::Avx2, false, false));
        check(["", "SSE41"], (Vectors::Avx512, false, false));
    }

    #[test]
    fn this_processor_says_who_made_it() {
        let processor = Processor::this();
        if cfg!(target_arch = "x86_64") {
            assert!(processor.vendor.iter().all(u8::is_ascii_graphic) && processor.family > 0);
            // The tiles come with the instructions for pairs.
            assert!(processor.avx512_bf16 || !processor.amx_bf16, "{processor:?}");
        } else {
            assert_eq!(processor, Processor::default());
        }
    }
}
