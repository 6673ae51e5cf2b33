//! What networks see of a picture: the whole of it, or each of its faces, at the size and in the channels of each.
//!
//! Networks that see a picture in one way share what is made of it, and detectors with equal settings are one: the seeds of an
//! experiment look for faces once.

use std::path::PathBuf;

use ferrite_core::data::faces::found::Face;
use ferrite_core::data::faces::{self, Faces};
use ferrite_core::data::photo;
use ferrite_core::data::picture::Picture;
use ferrite_core::error::Result;
use ferrite_core::remote::Remote;
use ferrite_detect::Detector;

use crate::predict::overlap::pairs;

/// How networks see pictures.
#[derive(Debug, Default)]
pub(super) struct Sight {
    framings: Vec<Framing>,
    finders: Vec<Finder>,
}

/// What of a picture a network sees, and in how many channels and pixels a side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Framing {
    pub(super) channels: usize,
    pub(super) image_size: usize,
    /// How faces are found and placed; none where it sees whole pictures.
    pub(super) faces: Option<Faces>,
}

/// How faces are found.
#[derive(Debug)]
struct Finder {
    settings: faces::Detector,
    detector: Detector,
}

/// What is seen of a picture.
#[derive(Debug)]
pub(super) struct Seen {
    /// The faces, or once none, which is the whole picture.
    pub(super) faces: Vec<Option<Face>>,
    /// Of each framing, what it sees of each of these; none where its detector did not find the face.
    pub(super) images: Vec<Vec<Option<Picture>>>,
}

/// A face: by each detector the one that it found there, if it did.
type Found = Vec<Option<Face>>;

impl Sight {
    /// The number of `framing`, which is added if no network sees pictures so far as this one does. Where its detector needs a
    /// file that is not there yet, `fetch` gets it.
    ///
    /// # Errors
    /// Whatever opening the detector fails with.
    pub(super) fn add(
        &mut self,
        framing: Framing,
        fetch: &dyn Fn(Remote<'_>) -> Result<PathBuf>,
    ) -> Result<usize> {
        if let Some(known) = self.framings.iter().position(|it| *it == framing) {
            return Ok(known);
        }
        if let Some(faces) = &framing.faces
            && self.finder(&faces.detector).is_none()
        {
            let model = faces.detector.model().map(fetch).transpose()?;
            let detector = Detector::open(&faces.detector, &model.unwrap_or_default())?;
            self.finders.push(Finder { settings: faces.detector.clone(), detector });
        }
        self.framings.push(framing);
        Ok(self.framings.len() - 1)
    }

    /// Whether faces are looked for.
    pub(super) fn finds_faces(&self) -> bool {
        !self.finders.is_empty()
    }

    /// What each framing sees of a picture.
    ///
    /// # Errors
    /// Whatever a detector fails with.
    pub(super) fn see(&self, picture: Picture) -> Result<Seen> {
        if !self.finds_faces() {
            let whole = |framing: &Framing, picture| {
                vec![Some(photo::seen(picture, framing.channels, framing.image_size))]
            };
            return Ok(Seen { faces: vec![None], images: self.framed(picture, whole) });
        }
        let found = self.find(&picture)?;
        let images = self.framed(picture, |framing, picture| {
            let settings = framing.faces.as_ref().expect("all look for faces, or none does");
            let finder = self.finder(&settings.detector).expect("it was added with its framing");
            let picture = picture.in_channels(framing.channels);
            let place = |face: &Face| {
                ferrite_detect::placed(&picture, Some(face), settings, framing.image_size).picture
            };
            found.iter().map(|it| it[finder].as_ref().map(place)).collect()
        });
        // A face is told as the first detector that found it sees it.
        let faces = found.into_iter().map(|it| it.into_iter().flatten().next()).collect();
        Ok(Seen { faces, images })
    }

    /// What `frame` makes of `picture` for each framing; the last one gets it without a copy, since pictures may be large.
    fn framed<T>(&self, picture: Picture, frame: impl Fn(&Framing, Picture) -> T) -> Vec<T> {
        let Some((last, others)) = self.framings.split_last() else { return Vec::new() };
        let mut all: Vec<T> = others.iter().map(|it| frame(it, picture.clone())).collect();
        all.push(frame(last, picture));
        all
    }

    /// The faces of a picture: those of the first detector, then those that only others find. Faces that two detectors find
    /// are one where they lie over each other.
    fn find(&self, picture: &Picture) -> Result<Vec<Found>> {
        let mut all: Vec<Found> = Vec::new();
        for (number, finder) in self.finders.iter().enumerate() {
            let bounds = |it: &Found| it.iter().flatten().next().map_or([0.0; 4], |it| it.bounds);
            let before: Vec<[f32; 4]> = all.iter().map(bounds).collect();
            let faces = finder.detector.find(picture)?;
            let now: Vec<[f32; 4]> = faces.iter().map(|it| it.bounds).collect();
            let pairs = pairs(&before, &now);
            for it in &mut all {
                it.push(None);
            }
            for (at, face) in faces.into_iter().enumerate() {
                match pairs.iter().find(|it| it[1] == at) {
                    Some([known, _]) => all[*known][number] = Some(face),
                    None => all.push([vec![None; number], vec![Some(face)]].concat()),
                }
            }
        }
        Ok(all)
    }

    fn finder(&self, settings: &faces::Detector) -> Option<usize> {
        self.finders.iter().position(|it| it.settings == *settings)
    }
}
