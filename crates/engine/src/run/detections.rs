//! The faces in the pictures of a source: looked for once, and kept under their key.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ferrite_core::data::faces;
use ferrite_core::data::faces::found::{self, Face};
use ferrite_core::data::originals::{Originals, Visit};
use ferrite_core::error::{Error, Result};
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::steps::detections::Detections;
use ferrite_core::store::clear;
use ferrite_core::store::lock::Caller;
use ferrite_detect::Detector;

use crate::run::perform::Perform;
use crate::run::{advanced, fetch};

/// What lies ready for the steps that look for faces and place them.
pub(super) struct Decoded {
    /// The folder of the decoded images.
    pub(super) images: PathBuf,
    /// The folder of the faces that were found in them, once it is there.
    pub(super) found: PathBuf,
}

impl Perform<Decoded> for Detections {
    const KIND: Kind = Kind::Detections;

    fn precision(&self, _: &Decoded) -> Option<String> {
        None
    }

    fn perform(&self, decoded: &mut Decoded, caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        clear(folder)?;
        let detector = detector(&self.settings.detector, caller)?;
        let originals = Originals::open(&self.data, &decoded.images)?;
        let (started, all) = (Instant::now(), originals.count());
        let mut faces: Vec<Vec<Face>> = Vec::with_capacity(all);
        originals.visit(Visit {
            look: &|_, picture| detector.find(&picture),
            take: &mut |_, of_picture| {
                faces.push(of_picture);
                going_on(caller, [faces.len(), all], started)
            },
        })?;
        let ids = originals.ids().iter().map(String::as_str);
        found::write(folder, ids.zip(faces.iter().map(Vec::as_slice)))
    }

    fn check(&self, folder: &Path) -> Result<()> {
        found::read(folder).map(|_| ())
    }
}

/// The detector that the settings name; its file is fetched if it is not there yet.
pub(super) fn detector(settings: &faces::Detector, caller: &mut Caller<'_>) -> Result<Detector> {
    let model = settings.model().map(|it| fetch(it, caller)).transpose()?;
    Detector::open(settings, &model.unwrap_or_default())
}

/// Tells how many pictures are done; an error if the user wants to stop.
pub(super) fn going_on(
    caller: &mut Caller<'_>,
    [done, of]: [usize; 2],
    started: Instant,
) -> Result<()> {
    // Progress is shown and not recorded, which cannot fail.
    let _ = caller.sink.emit(advanced("pictures looked through for faces", [done, of], started));
    if (caller.interrupted)() { Err(Error::Interrupted) } else { Ok(()) }
}
