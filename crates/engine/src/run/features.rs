//! The output of frozen layers: computed once per image and kept under its key.

use std::path::Path;
use std::time::Instant;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind as Event;
use ferrite_core::event::disk::Features as FeaturesEvent;
use ferrite_core::event::split::SplitName;
use ferrite_core::files::write_whole;
use ferrite_core::mapped;
use ferrite_core::mapped::Bytes;
use ferrite_core::plan::steps::features::Features as Step;
use ferrite_core::plan::steps::{Key, Kind};
use ferrite_core::precision::Precision;
use ferrite_core::store::clear;
use ferrite_core::store::lock::Caller;
use serde::Deserialize;

use crate::run::advanced;
use crate::run::perform::{Asked, Bench, Perform, carry_out, damaged};
use crate::train::images::{Augmented, FeatureBytes, Features, compute_features};

impl<'a> Perform<Bench<'a>> for Step {
    const KIND: Kind = Kind::Features;

    fn precision(&self, bench: &Bench<'a>) -> Option<String> {
        Some(bench.place.precisions.frozen.name().to_owned())
    }

    /// The network must have the weights that the stage starts from.
    fn perform(&self, bench: &mut Bench<'a>, caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        clear(folder)?;
        let (started, rows) = (Instant::now(), bench.rows(self.split));
        let changes = self.view.as_ref();
        let changes =
            changes.map(|it| Augmented { augment: &it.augment, seed: it.seed, epoch: it.epoch });
        let (network, images) = (&bench.network, bench.images);
        let features =
            compute_features(network, images, (rows, changes), self.prefix.blocks, &mut |done| {
                // Progress is shown and not recorded, which cannot fail.
                let _ = caller.sink.emit(advanced("features", [done, rows.len()], started));
                !(caller.interrupted)()
            })?;
        write_features(folder, &features)
    }

    fn check(&self, folder: &Path) -> Result<()> {
        read_features(folder).map(|_| ())
    }
}

/// The features under `keys`, which are views of the images of one split; none if there is no key. They are found, or
/// computed once.
pub(super) fn features<'k>(
    bench: &mut Bench<'_>,
    caller: &mut Caller<'_>,
    keys: impl IntoIterator<Item = &'k Key>,
) -> Result<Option<Features>> {
    let mut features: Option<Features> = None;
    for key in keys {
        let step = bench.job.features(key)?;
        let bytes = feature_bytes(Asked { key, step }, bench, caller)?;
        features = Some(match features {
            Some(others) => others.with_view(bytes, bench.place.device),
            None => Features::new(bytes, step.prefix.blocks, bench.place.device),
        });
    }
    Ok(features)
}

fn feature_bytes(
    asked: Asked<'_, Step>,
    bench: &mut Bench<'_>,
    caller: &mut Caller<'_>,
) -> Result<FeatureBytes> {
    let Asked { key, step } = asked;
    let started = Instant::now();
    let (folder, reused) = carry_out(asked, bench.place.store, bench, caller)?;
    let features = read_features(&folder)?;
    let [images, height, width, channels] = features.shape;
    if images != bench.rows(step.split).len() {
        return Err(not_of_every_image(&folder));
    }
    let (_, stage) = bench.job.stage(step.stage)?;
    caller.sink.emit(Event::FeaturesReady(FeaturesEvent {
        stage: stage.settings.stage.name.clone(),
        key: key.to_owned(),
        split: step.split_name(),
        images,
        shape: vec![channels, height, width],
        reused,
        seconds: started.elapsed().as_secs_f64(),
    }))?;
    Ok(features)
}

impl<'a> Bench<'a> {
    /// The rows of a split.
    pub(super) fn rows(&self, split: SplitName) -> &'a [u32] {
        match split {
            SplitName::Train => &self.dataset.train,
            SplitName::Valid => &self.dataset.valid,
            SplitName::Test => &self.dataset.test,
        }
    }
}

/// The content of `shape.json`. Older versions wrote the shape alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Layout {
    Whole { shape: [usize; 4], precision: Precision },
    Shape([usize; 4]),
}

fn write_features(folder: &Path, features: &FeatureBytes) -> Result<()> {
    let FeatureBytes { bytes, precision, shape } = features;
    let layout = serde_json::json!({ "shape": shape, "precision": precision });
    write_whole(&folder.join("shape.json"), layout.to_string().as_bytes())?;
    write_whole(&folder.join("features.bin"), bytes)
}

/// The features in `folder`. Where older versions did not say their precision, which is that of the machine that
/// wrote them, their size tells it.
fn read_features(folder: &Path) -> Result<FeatureBytes> {
    let path = folder.join("shape.json");
    let layout = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
    let layout: Layout = serde_json::from_slice(&layout).map_err(|_| not_of_every_image(&path))?;
    let path = folder.join("features.bin");
    let bytes = mapped::map(&path).map_err(Error::file("cannot read", &path))?;
    let (shape, precisions) = match layout {
        Layout::Whole { shape, precision } => (shape, vec![precision]),
        Layout::Shape(shape) => (shape, vec![Precision::F32, Precision::Bf16]),
    };
    // Numbers of a damaged file may be of any size.
    let numbers = shape.iter().try_fold(1_usize, |all, it| all.checked_mul(*it));
    let of_size = |it: &Precision| {
        numbers.and_then(|numbers| it.bytes().checked_mul(numbers)) == Some(bytes.len())
    };
    let precision = precisions.into_iter().find(of_size);
    let precision = precision.ok_or_else(|| not_of_every_image(&path))?;
    Ok(FeatureBytes { bytes: Bytes::File(bytes), precision, shape })
}

fn not_of_every_image(path: &Path) -> Error {
    damaged(path, "it does not hold the features of every image")
}
