//! Memory that the system refuses where nobody can be told by an error: the last words of a process that dies of it.
//!
//! An allocation that fails cannot become a panic, since allocators must not unwind. So the allocator remembers what
//! was refused, and the signal that ends the process is answered with a sentence and an exit code.
//!
//! **Invariant:** what runs behind a refusal allocates nothing.

#![expect(unsafe_code, reason = "allocators and signal handlers have no safe interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which remembers the size of the last request that was refused.
#[derive(Debug)]
pub struct Remembering;

/// Bytes of the last request that was refused; 0 while none was.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// What a process says last that has no memory.
pub(super) const LAST_WORDS: &str = "a request for it was refused";

/// The exit code of [`Error::Exhausted`](crate::error::Error::Exhausted).
const EXIT_CODE: i32 = 6;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Remembering {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        noted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        noted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        noted(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(old, layout) }
    }
}

fn noted(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() {
        REFUSED.store(size.max(1), Ordering::Relaxed);
    }
    memory
}

/// What a signal did before this module was asked to answer it.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// From now on an abort or a fault of addresses where memory ran out is told as a lack of memory.
///
/// Rust aborts where an allocation is refused, C++ where nobody catches that, and oneDNN goes on with an address that is none.
pub(super) fn tell_when_it_fails() {
    answer(libc::SIGABRT);
    if let Some(before) = answer(libc::SIGSEGV) {
        // Nobody else sets it: this is called once.
        let _ = BEFORE.set(before);
    }
}

/// Makes [`last_words`] answer `signal`; what answered it before.
fn answer(signal: libc::c_int) -> Option<libc::sigaction> {
    let handler: extern "C" fn(libc::c_int) = last_words;
    // SAFETY: both structures may be all zeros, and the handler only calls functions that a signal handler may call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_ONSTACK;
        (libc::sigaction(signal, &raw const action, &raw mut before) == 0).then_some(before)
    }
}

/// Ends a process that has no memory. What else the signal means goes on as it would have: an abort by itself, and a fault
/// of addresses to who answered it before, when the same instruction runs again.
extern "C" fn last_words(signal: libc::c_int) {
    if REFUSED.load(Ordering::Relaxed) == 0 && memory_is_there() {
        if let Some(before) = BEFORE.get().filter(|_| signal == libc::SIGSEGV) {
            // SAFETY: the structure is what the system gave.
            unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        }
        return;
    }
    let told = b"  x the system gives no more memory: a request for it was refused\n  help: end other programs, train with a \
        lower `batch_size` or fewer `--jobs`, or raise the\n        limit of memory (`ulimit -v`, or the container's)\n";
    // SAFETY: `write` reads the bytes that are there, and `_exit` does not return; both may be called in a handler.
    unsafe {
        libc::write(libc::STDERR_FILENO, told.as_ptr().cast(), told.len());
        libc::_exit(EXIT_CODE);
    }
}

/// Whether the system would give some more memory, of which nothing is touched.
fn memory_is_there() -> bool {
    const SOME: usize = 256 << 20;
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping is made and removed.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), SOME, access, kind, -1, 0);
        memory != libc::MAP_FAILED && libc::munmap(memory, SOME) == 0
    }
}
