//! Pictures that a trained model is asked about: any size, any colour.

use std::path::{Path, PathBuf};

use crate::data::beside::Beside;
use crate::data::folder::list::walk;
use crate::data::picture::kind::{FORMATS, Verdict};
use crate::data::picture::{self, Picture};
use crate::error::{Error, Result};

/// Reads the picture at `path` as a model of `side` pixels a side sees it that was trained on pictures of `channels`
/// channels.
///
/// # Errors
/// [`Error::Data`] if it is no picture, or a damaged one.
pub fn read(path: &Path, channels: usize, side: usize) -> Result<Picture> {
    let picture = picture::read(path).map_err(|message| refused(path, message))?;
    Ok(picture.in_channels(channels).fitted(side))
}

/// The pictures that paths mean.
#[derive(Debug, Default)]
pub struct Photos {
    /// Files to read, in the order of the paths; those of a folder by name.
    pub pictures: Vec<PathBuf>,
    /// Files in folders that should be pictures and cannot be read.
    pub broken: Vec<Error>,
    /// What lies beside them in folders and is no picture.
    pub beside: Beside,
}

/// The pictures that `paths` mean: files as they are, folders as the pictures in and below them, links followed, as the
/// folders that one trains on are read.
///
/// # Errors
/// [`Error::Data`] for a path that is not there, and for a folder without a picture.
pub fn list(paths: &[PathBuf]) -> Result<Photos> {
    let mut all = Photos::default();
    for path in paths {
        if !path.exists() {
            return Err(refused(path, "it does not exist".into()));
        }
        if !path.is_dir() {
            all.pictures.push(path.clone());
            continue;
        }
        let before = all.pictures.len() + all.broken.len();
        for (found, judged) in walk(path) {
            match judged {
                Verdict::Picture => all.pictures.push(found),
                Verdict::Broken(message) => all.broken.push(refused(&found, message)),
                Verdict::Other => all.beside.add(&found.to_string_lossy()),
            }
        }
        if all.pictures.len() + all.broken.len() == before {
            return Err(refused(path, "there is no picture in it".into()));
        }
    }
    Ok(all)
}

fn refused(path: &Path, message: String) -> Error {
    let help = format!("name pictures, or folders of them: {FORMATS} are read");
    Error::Data { path: path.to_owned(), place: String::new(), message, help }
}
