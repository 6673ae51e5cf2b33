//! What became of each picture when its face was cut out or aligned, and the table that keeps it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_whole;

/// The table of a folder with images of faces: a line for each image, in their order.
pub const PLACED: &str = "faces.csv";

/// How a picture became an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its face was turned, scaled and shifted onto the template.
    Aligned,
    /// Its face was cut out as it is.
    Cropped,
    /// No face was found, and it was used whole.
    Whole,
}

/// What became of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The picture's id.
    pub id: String,
    /// How it became an image.
    pub how: How,
    /// How many faces were found in it.
    pub faces: usize,
    /// The score of the face that was taken.
    pub score: Option<f32>,
    /// The angle by which its eyes are turned, in degrees clockwise, where they are known.
    pub roll: Option<f32>,
    /// Mean absolute difference of the image from the whole picture at the same size, in gray levels 0-255.
    pub difference: f32,
}

/// Writes what became of the pictures into `folder`.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn write(folder: &Path, all: &[Placed]) -> Result<()> {
    let path = folder.join(PLACED);
    let failed = |error: std::io::Error| Error::file("cannot write", &path)(error);
    let mut table = csv::Writer::from_writer(Vec::new());
    for it in all {
        table.serialize(it).map_err(|it| failed(it.into()))?;
    }
    let bytes = table.into_inner().map_err(|it| failed(it.into_error()))?;
    write_whole(&path, &bytes)
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`Error::Damaged`] if it does not hold what it should, or not for `images` images.
pub fn read(folder: &Path, images: usize) -> Result<Vec<Placed>> {
    let path = folder.join(PLACED);
    let damaged = |message: String| Error::Damaged {
        path: path.clone(),
        message,
        help: "delete its folder; the next sweep places the faces again".into(),
    };
    let bytes = std::fs::read(&path).map_err(Error::file("cannot read", &path))?;
    let mut table = csv::Reader::from_reader(&bytes[..]);
    let all: std::result::Result<Vec<Placed>, _> = table.deserialize().collect();
    let all = all.map_err(|it| damaged(it.to_string()))?;
    if all.len() == images {
        return Ok(all);
    }
    Err(damaged(format!("it is of {} images, not of {images}", all.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back_and_must_be_of_every_image() {
        let folder = tempfile::tempdir().unwrap();
        let aligned = Placed {
            id: "a,b".into(),
            how: How::Aligned,
            faces: 2,
            score: Some(0.75),
            roll: Some(-12.5),
            difference: 3.25,
        };
        let whole = Placed {
            id: "c".into(),
            how: How::Whole,
            faces: 0,
            score: None,
            roll: None,
            difference: 0.0,
        };
        let all = [aligned, whole];
        write(folder.path(), &all).unwrap();
        assert_eq!(read(folder.path(), 2).unwrap(), all);
        let error = read(folder.path(), 3).unwrap_err().to_string();
        assert!(error.contains("faces.csv"), "{error}");
    }
}
