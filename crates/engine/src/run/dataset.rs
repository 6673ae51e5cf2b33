//! The images of a run: decoded once, opened from there.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ferrite_core::data::dataset;
use ferrite_core::data::decode::decode;
use ferrite_core::error::Result;
use ferrite_core::event::faces::Faces;
use ferrite_core::event::{Dataset as DatasetEvent, Kind as Event};
use ferrite_core::plan::job::{FaceSteps, Job};
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::steps::dataset::Dataset;
use ferrite_core::store::lock::Caller;
use ferrite_core::store::{Store, clear};

use crate::run::advanced;
use crate::run::detections::Decoded;
use crate::run::perform::{Asked, Perform, carry_out};

impl Perform<()> for Dataset {
    const KIND: Kind = Kind::Dataset;

    fn precision(&self, (): &()) -> Option<String> {
        None
    }

    fn perform(&self, (): &mut (), caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        let started = Instant::now();
        let sink = std::sync::Mutex::new(&mut *caller.sink);
        let progress = |done: usize, of: usize| {
            if let Ok(mut sink) = sink.try_lock() {
                // Progress is shown and not recorded, which cannot fail.
                let _ = sink.emit(advanced("images", [done, of], started));
            }
        };
        clear(folder)?;
        decode(&self.data, folder, &progress)
    }

    fn check(&self, folder: &Path) -> Result<()> {
        dataset::open(&self.data, folder).map(|_| ())
    }
}

/// The images of a job, opened.
pub(super) struct Opened {
    pub(super) dataset: dataset::Dataset,
    /// The folder of the images, if they are of faces: sheets in it show what was done.
    pub(super) faces: Option<PathBuf>,
}

/// Opens the images of a job, and those of the faces in them if such are asked for.
pub(super) fn of_job(job: &Job, store: &Store, caller: &mut Caller<'_>) -> Result<Opened> {
    let started = Instant::now();
    let (key, step) = job.dataset()?;
    let (images, reused) = carry_out(Asked { key, step }, store, &mut (), caller)?;
    let faces = match job.faces() {
        Some(steps) => Some(place_faces(steps, &images, store, caller)?),
        None => None,
    };
    let dataset = dataset::open(&step.data, faces.as_deref().unwrap_or(&images))?;
    let counts =
        dataset.splits().map(|(name, rows)| (name.as_str().to_owned(), dataset.counts(rows)));
    caller.sink.emit(Event::DatasetReady(DatasetEvent {
        key: key.clone(),
        classes: dataset.classes.clone(),
        counts: counts.collect(),
        skipped: dataset.skipped.clone(),
        unlabelled: dataset.unlabelled.clone(),
        dropped: dataset.dropped,
        audit: Some(Box::new(dataset.audit())),
        size: dataset.size,
        pixels: dataset.signal(&dataset.train),
        reused,
        seconds: started.elapsed().as_secs_f64(),
    }))?;
    if let (Some(steps), Some(splits)) = (job.faces(), dataset.faces()) {
        let (key, _) = steps.faces;
        let detector = steps.detections.1.settings.detector.name().to_owned();
        caller.sink.emit(Event::FacesReady(Faces { key: key.clone(), detector, splits }))?;
    }
    Ok(Opened { dataset, faces })
}

/// Looks for faces in the pictures whose decoded images lie in `images`, and returns the folder of the images of them.
fn place_faces(
    steps: FaceSteps<'_>,
    images: &Path,
    store: &Store,
    caller: &mut Caller<'_>,
) -> Result<PathBuf> {
    let mut decoded = Decoded { images: images.to_owned(), found: PathBuf::new() };
    let (key, step) = steps.detections;
    (decoded.found, _) = carry_out(Asked { key, step }, store, &mut decoded, caller)?;
    let (key, step) = steps.faces;
    let (folder, _) = carry_out(Asked { key, step }, store, &mut decoded, caller)?;
    Ok(folder)
}
