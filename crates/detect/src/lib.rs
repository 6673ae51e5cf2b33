//! Finds faces in pictures ([`Detector`]) and brings them into place ([`placed`]), as the `faces` setting says.
//!
//! It knows nothing of images, splits and trials: both are functions of one picture and the settings.
//!
//! **Invariant:** what is found and placed does not depend on the number of threads, nor on pictures seen before.

mod align;
mod candidates;
#[cfg(feature = "opencv")]
mod haar;
#[cfg(not(feature = "opencv"))]
#[path = "without_haar.rs"]
mod haar;
mod network;
mod sample;
#[cfg(test)]
mod tiny;
mod yunet;

use std::path::Path;

use ferrite_core::data::faces::found::Face;
use ferrite_core::data::faces::placed::How;
use ferrite_core::data::faces::{self, Faces};
use ferrite_core::data::picture::Picture;
use ferrite_core::error::Result;

use crate::haar::Haar;
use crate::yunet::Yunet;

/// Finds faces in pictures. Many threads may use one at the same time.
#[derive(Debug)]
pub struct Detector(Kind);

#[derive(Debug)]
enum Kind {
    Yunet(Box<Yunet>),
    Haar(Haar),
}

impl Detector {
    /// Makes the detector that the settings name. `model` is the file of [`YUNET`](ferrite_core::data::faces::YUNET); cascades do without.
    ///
    /// # Errors
    /// [`Error::Damaged`](ferrite_core::error::Error::Damaged) if `model` is not that network,
    /// [`Error::File`](ferrite_core::error::Error::File) if it cannot be read, and
    /// [`Error::Usage`](ferrite_core::error::Error::Usage) where cascades are asked for and OpenCV or its files are missing.
    pub fn open(settings: &faces::Detector, model: &Path) -> Result<Self> {
        Ok(Self(match settings {
            faces::Detector::Yunet(settings) => {
                Kind::Yunet(Box::new(Yunet::open(settings, model)?))
            }
            faces::Detector::Haar(settings) => Kind::Haar(Haar::open(settings)?),
        }))
    }

    /// Finds the faces in a picture, those with the highest scores first.
    ///
    /// # Errors
    /// An [`Error`](ferrite_core::error::Error) that says what the detector cannot do; a picture without a face is none.
    pub fn find(&self, picture: &Picture) -> Result<Vec<Face>> {
        if picture.pixels.is_empty() {
            return Ok(Vec::new());
        }
        match &self.0 {
            Kind::Yunet(detector) => detector.find(picture),
            Kind::Haar(detector) => detector.find(picture),
        }
    }
}

/// What [`placed`] made of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The image.
    pub picture: Picture,
    /// How the picture became it.
    pub how: How,
}

/// Brings a face of a picture into place: an image of `side` pixels a side in the picture's channels.
///
/// A face whose landmarks cannot be brought onto the template, because they are not known or all in one place, is cut out as
/// it is. Without a face, or one whose rectangle is empty, it is the whole picture as
/// [`Picture::fitted`] makes it, which leaves smaller square pictures as they are.
pub fn placed(picture: &Picture, face: Option<&Face>, settings: &Faces, side: usize) -> Placed {
    match face.and_then(|it| align::window(it, settings, side)) {
        Some((window, how)) => Placed { picture: sample::image(picture, &window, side), how },
        None => Placed { picture: picture.clone().fitted(side), how: How::Whole },
    }
}
