//! Files as memory: the one place of this module that needs `unsafe`.

use std::path::Path;

use memmap2::Mmap;

/// The content of the file at `path`, read as it is looked at.
pub(super) fn map(path: &Path) -> std::io::Result<Mmap> {
    map_file(fs_err::File::open(path)?.file())
}

#[expect(
    unsafe_code,
    reason = "a mapped file can be changed by others, which no type can rule out"
)]
fn map_file(file: &std::fs::File) -> std::io::Result<Mmap> {
    // SAFETY: the mapping is read-only and nothing of ours writes to the file while it lives:
    // decoded folders are never changed once written, and a source is only read. A user who
    // truncates a file in that moment stops this process with SIGBUS; it reads no foreign memory.
    unsafe { Mmap::map(file) }
}
