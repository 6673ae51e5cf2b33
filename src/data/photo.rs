//! Pictures that a trained model is asked about: any size, any colour.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::data::folder::picture;
use crate::error::{Error, Result};

/// Endings of files that are taken for pictures in a folder.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Row after row, channels together.
    pub pixels: Vec<u8>,
    /// Height, width and channels.
    pub size: [usize; 3],
}

/// Reads the picture at `path` as a model sees it that was trained on pictures of `channels` channels.
///
/// A square one that is no larger than `side` stays as it is, and the network enlarges it as it enlarges
/// training images; every other is brought to `side` squared with a triangle filter, as folders of images are.
///
/// # Errors
/// [`Error::Data`] if it is no picture.
pub fn read(path: &Path, channels: usize, side: usize) -> Result<Photo> {
    let picture = picture::read(path).map_err(|message| Error::Data {
        path: path.to_owned(),
        place: String::new(),
        message,
        help: "name PNG or JPEG files, or folders of them".into(),
    })?;
    let (pixels, shape) = picture.seen(channels, side as u32);
    Ok(Photo { pixels, size: shape })
}

/// The pictures that `paths` mean: files as they are, folders as the pictures in and below them, by name.
///
/// # Errors
/// [`Error::Data`] for a path that is not there, and for a folder without a picture.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        let refused = |message: &str| Error::Data {
            path: path.clone(),
            place: String::new(),
            message: message.to_owned(),
            help: "name PNG or JPEG files, or folders of them".into(),
        };
        if path.is_file() {
            all.push(path.clone());
            continue;
        }
        if !path.is_dir() {
            return Err(refused("it does not exist"));
        }
        let walk = WalkDir::new(path).sort_by_file_name().into_iter().filter_map(Result::ok);
        let before = all.len();
        all.extend(walk.map(|it| it.path().to_owned()).filter(|it| it.is_file() && is_picture(it)));
        if all.len() == before {
            return Err(refused("there is no picture in it"));
        }
    }
    Ok(all)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|it| it.to_string_lossy().to_lowercase());
    ending.is_some_and(|it| ENDINGS.contains(&it.as_str()))
}
