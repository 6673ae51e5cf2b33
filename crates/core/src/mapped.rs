//! Files as memory: the one place that maps them, and one of the few with `unsafe`.

use std::fs::File;
use std::io::{Error, ErrorKind};
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
/// What the operating system says; of a folder, a pipe or a device too, which are no files.
pub fn map(path: &Path) -> std::io::Result<Mmap> {
    map_file(&open_file(path)?)
}

/// Opens the file at `path` for reading.
///
/// # Errors
/// What the operating system says; of a folder, a pipe or a device too. These are not opened: a pipe would wait for
/// whoever writes into it, and a device may have no end.
pub fn open_file(path: &Path) -> std::io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        // Linux opens folders too, and then speaks of devices.
        return Err(ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, not a file"));
    }
    File::open(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_opened() {
        assert_eq!(open_file(Path::new("/")).unwrap_err().kind(), ErrorKind::IsADirectory);
        let error = open_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is a pipe or a device, not a file");
        assert_eq!(open_file(Path::new("/no/such")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
