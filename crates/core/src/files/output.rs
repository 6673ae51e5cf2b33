//! A file that is written piece by piece.

use std::fs::{File, OpenOptions};
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::files::injected::{Operation, may};

/// A file that this process writes. Errors are the system's, without the file's name, as formats' writers want them.
#[derive(Debug)]
pub struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    /// Begins the file at `path`, which is emptied if it is there.
    ///
    /// # Errors
    /// Those of the operating system, as in all functions here.
    pub fn create(path: &Path) -> Result<Self> {
        may(Operation::Create, path)?;
        Ok(Self { file: File::create(path)?, path: path.to_owned() })
    }

    /// Begins the file at `path`, which must not be there.
    ///
    /// # Errors
    /// [`std::io::ErrorKind::AlreadyExists`] if it is there.
    pub fn create_new(path: &Path) -> Result<Self> {
        may(Operation::Create, path)?;
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Opens the file at `path`, or makes it. What is in it stays; writing begins at its end.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn append(path: &Path) -> Result<Self> {
        Self::open_or_create(path, OpenOptions::new().append(true).create(true))
    }

    /// Opens the file at `path`, or makes it. What is in it stays; writing begins at its beginning.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        Self::open_or_create(path, options.create(true).truncate(false).read(true).write(true))
    }

    /// The file at `path`, which somebody else has written, to be put on the disk.
    pub(in crate::files) fn existing(path: &Path) -> Result<Self> {
        Ok(Self { file: File::open(path)?, path: path.to_owned() })
    }

    fn open_or_create(path: &Path, options: &OpenOptions) -> Result<Self> {
        if !path.exists() {
            may(Operation::Create, path)?;
        }
        Ok(Self { file: options.open(path)?, path: path.to_owned() })
    }

    /// The file itself, to be locked or looked at.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Cuts the file off, or lengthens it with zeros, so that it has `bytes` bytes, and goes on writing there.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn cut(&mut self, bytes: u64) -> Result<()> {
        may(Operation::Write, &self.path)?;
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn sync(&self) -> Result<()> {
        may(Operation::Sync, &self.path)?;
        self.file.sync_data()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        may(Operation::Write, &self.path).inspect_err(|_| {
            // A disk that becomes full takes what still fits.
            let _ = self.file.write_all(&bytes[..bytes.len() / 2]);
        })?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}
