//! The output of frozen layers: computed once per image and kept under its key.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::data::augment::Augment;
use crate::digits::hex;
use crate::error::{Error, Result};
use crate::event::disk::Features as FeaturesEvent;
use crate::event::{Kind as Event, Sink};
use crate::files::write_whole;
use crate::forward::network::Network;
use crate::mapped;
use crate::mapped::Bytes;
use crate::plan::Kind;
use crate::precision::Precision;
use crate::run::{Runner, waiting};
use crate::settings::Stage;
use crate::store::lock::Caller;
use crate::store::{Wanted, clear};
use crate::train::images::{Augmented, FeatureBytes, Features, Images, compute_features};

impl Runner<'_> {
    /// Whether the frozen prefix's output is a function of the image alone.
    pub(super) fn caches_features(&self, network: &Network) -> bool {
        let settings = &self.trial.settings;
        network.frozen_blocks() > 0 && settings.batch_norm.frozen_layers.sees_one_image()
    }

    /// The output of the frozen prefix for one split: found, or computed once.
    pub(super) fn features(
        &mut self,
        stage: &Stage,
        network: &Network,
        images: &Images<'_>,
        (split, rows): (&str, &[u32]),
    ) -> Result<Features> {
        let bytes = self.feature_bytes(stage, network, images, (split, rows, None))?;
        Ok(Features::new(bytes, network.frozen_blocks(), self.device))
    }

    /// The same for the training images: as they are, or as many augmented `views` of them, which are those of
    /// the first epochs.
    pub(super) fn train_features(
        &mut self,
        stage: &Stage,
        network: &Network,
        images: &Images<'_>,
        (rows, views): (&[u32], usize),
    ) -> Result<Features> {
        let augment = &self.trial.settings.augment;
        if !augment.acts() {
            return self.features(stage, network, images, ("train", rows));
        }
        let seed = self.seed_of(stage);
        let mut features: Option<Features> = None;
        for epoch in 1..=views {
            let changes = Augmented { augment, seed, epoch };
            let split = format!("train-{}", view_key(changes));
            let bytes =
                self.feature_bytes(stage, network, images, (&split, rows, Some(changes)))?;
            features = Some(match features {
                Some(others) => others.with_view(bytes, self.device),
                None => Features::new(bytes, network.frozen_blocks(), self.device),
            });
        }
        Ok(features.expect("there is at least one view"))
    }

    fn feature_bytes(
        &mut self,
        stage: &Stage,
        network: &Network,
        images: &Images<'_>,
        (split, rows, changes): (&str, &[u32], Option<Augmented<'_>>),
    ) -> Result<FeatureBytes> {
        let started = Instant::now();
        let blocks = network.frozen_blocks();
        let key = format!("{}-{split}", self.key(Kind::Features, &stage.name));
        let check = |folder: &Path| read_features(folder, rows.len()).map(|_| ());
        let wanted = Wanted { kind: Kind::Features.name(), key: &key, check: &check };
        let mut caller = Caller { sink: &mut self.log, interrupted: self.interrupted };
        let (folder, reused) = self.store.step(&wanted, &mut caller, |folder, caller| {
            clear(folder)?;
            let features =
                compute_features(network, images, (rows, changes), blocks, &mut |done| {
                    // Progress is shown and not recorded, which cannot fail.
                    let _ = caller.sink.emit(waiting("features", done, rows.len(), started));
                    !(caller.interrupted)()
                })?;
            write_features(folder, &features)
        })?;
        let features = read_features(&folder, rows.len())?;
        let [_, height, width, channels] = features.shape;
        self.log.emit(Event::FeaturesReady(FeaturesEvent {
            stage: stage.name.clone(),
            key,
            split: split.to_owned(),
            images: rows.len(),
            shape: vec![channels, height, width],
            reused,
            seconds: started.elapsed().as_secs_f64(),
        }))?;
        Ok(features)
    }
}

/// What tells a view of the training images from others: the changes that are drawn.
fn view_key(Augmented { augment, seed, epoch }: Augmented<'_>) -> String {
    let drawn = Augment { cached_views: 0, ..augment.clone() };
    let text = serde_json::json!([drawn, seed, epoch]).to_string();
    hex(&Sha256::digest(text))[..16].to_owned()
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
fn read_features(folder: &Path, images: usize) -> Result<FeatureBytes> {
    let damaged = |path: &Path| Error::Damaged {
        path: path.to_owned(),
        message: "it does not hold the features of every image".into(),
        help: "delete its folder; the features are then computed again".into(),
    };
    let path = folder.join("shape.json");
    let layout = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
    let layout: Layout = serde_json::from_slice(&layout).map_err(|_| damaged(&path))?;
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
    let precision = precisions.into_iter().find(of_size).filter(|_| shape[0] == images);
    let precision = precision.ok_or_else(|| damaged(&path))?;
    Ok(FeatureBytes { bytes: Bytes::File(bytes), precision, shape })
}
