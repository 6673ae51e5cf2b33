//! Files as memory: the one place that maps them, and one of the few with `unsafe`.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// Bytes that nobody changes: on the heap, or a file's, read as they are looked at.
#[derive(Debug)]
pub enum Bytes {
    /// On the heap.
    Heap(Vec<u8>),
    /// Of a file.
    File(Mmap),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::File(bytes) => bytes,
        }
    }
}

/// The content of the file at `path`, read as it is looked at.
///
/// # Errors
/// What the operating system says; of a folder too, which is no file.
pub fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    // Linux opens folders too, and then speaks of devices.
    if file.metadata()?.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { map_file(&file) }
}

#[expect(
    unsafe_code,
    reason = "a mapped file can be changed by others, which no type can rule out"
)]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the mapping is read-only and nothing of ours writes to the file while it lives:
    // decoded folders are never changed once written, and a source is only read. A user who
    // truncates a file in that moment stops this process with SIGBUS; it reads no foreign memory.
    unsafe { Mmap::map(file) }
}
