//! How memory is taken from the system and given back.
//!
//! **Invariant:** where memory is limited, what is refused is a tensor, which a batch taken in halves answers.

use std::sync::Once;

use ferrite_core::machine;

use crate::native;

/// Prepares how memory is taken and given back: once, before there are tensors and threads.
///
/// Large buffers are kept when they are freed. glibc would give every one of them back to the system and zero it again on
/// the next step, which costs as much as the arithmetic: keeping them makes a training step up to twice as fast.
///
/// Where memory is limited nothing is kept. Limits count addresses, and a heap with holes holds many that fit nobody. Tensors then
/// also leave some to others: a tensor that is refused is a batch taken in halves, and anything else that is refused is the
/// end of the process.
pub(crate) fn prepare() {
    /// More than Rust and oneDNN take between two tensors of a step.
    const RESERVE: usize = 128 << 20;
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        if machine::memory_is_limited() {
            glibc::spare_addresses();
            native::reserve_memory(RESERVE);
        } else {
            glibc::keep_large_buffers();
        }
    });
}

/// Gives the system back what was freed and is kept, once: to be called where memory was refused, so that whoever asks the
/// system itself, as oneDNN does for code and threads for their stacks, finds some.
pub fn give_back() {
    glibc::give_back();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's tuning knobs have no safe wrappers")]
mod glibc {
    use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TOP_PAD, M_TRIM_THRESHOLD, c_int, mallopt};

    /// Large buffers come from the heap, which stays as large as it ever was.
    pub(super) fn keep_large_buffers() {
        set(&[(M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, c_int::MAX), (M_TOP_PAD, 64 << 20)]);
    }

    /// Large buffers are mappings of their own, which glibc would otherwise only do until the first ones are freed, and all
    /// threads take small memory from one place: for each of eight per core 64 MB of addresses would be set aside.
    pub(super) fn spare_addresses() {
        set(&[(M_MMAP_THRESHOLD, 1 << 20), (M_ARENA_MAX, 1)]);
    }

    pub(super) fn give_back() {
        // SAFETY: `malloc_trim` takes a number of bytes to keep and touches free memory alone.
        unsafe { libc::malloc_trim(0) };
    }

    fn set(parameters: &[(c_int, c_int)]) {
        for (parameter, value) in parameters {
            // SAFETY: `mallopt` only sets allocator parameters, under the allocator's own lock.
            unsafe { mallopt(*parameter, *value) };
        }
    }
}

/// Another system's allocator is left as it is.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    pub(super) fn keep_large_buffers() {}
    pub(super) fn spare_addresses() {}
    pub(super) fn give_back() {}
}
