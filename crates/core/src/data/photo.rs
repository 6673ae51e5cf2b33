//! Pictures that a trained model is asked about: any size, any colour.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::data::beside::Beside;
use crate::data::folder::list::walk;
use crate::data::picture::kind::{FORMATS, Verdict};
use crate::data::picture::{self, Picture};
use crate::error::{Error, Result};

/// Reads the picture at `path` as it is.
///
/// # Errors
/// [`Error::Data`] if it is no picture, or a damaged one.
pub fn open(path: &Path) -> Result<Picture> {
    picture::read(path).map_err(|message| refused(path, message))
}

/// The whole of `picture` as a model of `side` pixels a side sees it that was trained on pictures of `channels` channels.
pub fn seen(picture: Picture, channels: usize, side: usize) -> Picture {
    picture.in_channels(channels).fitted(side)
}

/// The pictures that paths mean.
#[derive(Debug, Default)]
pub struct Photos {
    /// Files to read, in the order of the paths; those of a folder by name.
    pub pictures: Vec<PathBuf>,
    /// Files that should be pictures and cannot be read, or are not there.
    pub broken: Vec<Error>,
    /// What lies beside them in folders and is no picture.
    pub beside: Beside,
}

/// The paths that the lines of the file `list` name; `-` is the standard input. Empty lines name none.
///
/// # Errors
/// [`Error::File`] if it cannot be read; [`Error::Data`] if it names no picture.
pub fn named_in(list: &Path) -> Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    let read = if list == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        File::open(list).and_then(|mut it| it.read_to_end(&mut bytes))
    };
    read.map_err(Error::file("cannot read", list))?;
    // Some editors put a mark in front of UTF-8. Names of files need not be such.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let lines = text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii_end);
    let lines = lines.filter(|it| !it.is_empty());
    let paths: Vec<PathBuf> = lines.map(|it| OsStr::from_bytes(it).into()).collect();
    if paths.is_empty() {
        return Err(refused(list, "it names no picture".into()));
    }
    Ok(paths)
}

/// The files that the pattern `path` stands for, sorted; none if it is no pattern.
///
/// # Errors
/// [`Error::Data`] if nothing is like it, or the pattern is broken.
fn matching(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let pattern = path.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        return Ok(None);
    }
    let found = glob::glob(&pattern).map_err(|it| refused(path, it.to_string()))?;
    let found: Vec<PathBuf> = found.filter_map(std::result::Result::ok).collect();
    if found.is_empty() {
        return Err(refused(path, "no file is like it".into()));
    }
    Ok(Some(found))
}

/// The pictures that `paths` mean: files as they are, patterns as the files and folders like them, folders as the pictures in
/// and below them, links followed, as the folders that one trains on are read.
///
/// # Errors
/// [`Error::Data`] for a folder without a picture, and for a pattern that nothing is like.
pub fn list(paths: &[PathBuf]) -> Result<Photos> {
    let mut all = Photos::default();
    for path in paths {
        // A file may be called like a pattern.
        match if path.exists() { None } else { matching(path)? } {
            Some(found) => found.iter().try_for_each(|it| all.add(it))?,
            None => all.add(path)?,
        }
    }
    Ok(all)
}

impl Photos {
    fn add(&mut self, path: &Path) -> Result<()> {
        if !path.exists() {
            // The others are there.
            self.broken.push(refused(path, "it does not exist".into()));
            return Ok(());
        }
        if !path.is_dir() {
            self.pictures.push(path.to_owned());
            return Ok(());
        }
        let before = self.pictures.len() + self.broken.len();
        for (found, judged) in walk(path) {
            match judged {
                Verdict::Picture => self.pictures.push(found),
                Verdict::Broken(message) => self.broken.push(refused(&found, message)),
                Verdict::Other => self.beside.add(&found.to_string_lossy()),
            }
        }
        if self.pictures.len() + self.broken.len() == before {
            return Err(refused(path, "there is no picture in it".into()));
        }
        Ok(())
    }
}

fn refused(path: &Path, message: String) -> Error {
    let help = format!("name pictures, or folders of them: {FORMATS} are read");
    Error::Data { path: path.to_owned(), place: String::new(), message, help }
}
