//! The output of frozen layers: computed once per image and kept under its key.

use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::data::augment::Augment;
use crate::data::fingerprint::hex;
use crate::error::{Error, Result};
use crate::event::{Features as FeaturesEvent, Kind as Event, Sink};
use crate::mapped;
use crate::mapped::Bytes;
use crate::model::network::Network;
use crate::plan::Kind;
use crate::run::{Runner, waiting};
use crate::store::{clear, write_whole};
use crate::torch::precision::Precision;
use crate::train::Stage;
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
        let Self { store, log, interrupted, .. } = self;
        let (folder, reused) = store.step(Kind::Features.name(), &key, |folder| {
            clear(folder)?;
            let features =
                compute_features(network, images, (rows, changes), blocks, &mut |done| {
                    (log.listener)(&waiting("features", done, rows.len(), started));
                    !interrupted()
                })?;
            write_whole(&folder.join("shape.json"), format!("{:?}", features.shape).as_bytes())?;
            write_whole(&folder.join("features.bin"), &features.bytes)
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

/// The features in `folder`. Their size tells their precision, which is that of the machine that wrote them.
fn read_features(folder: &Path, images: usize) -> Result<FeatureBytes> {
    let damaged = |path: &Path| Error::Damaged {
        path: path.to_owned(),
        message: "it does not hold the features of every image".into(),
        help: "delete its folder; the features are then computed again".into(),
    };
    let path = folder.join("shape.json");
    let shape = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
    let shape: [usize; 4] = serde_json::from_slice(&shape).map_err(|_| damaged(&path))?;
    let path = folder.join("features.bin");
    let bytes = mapped::map(&path).map_err(Error::file("cannot read", &path))?;
    let numbers: usize = shape.iter().product();
    let of_size = |it: &Precision| it.bytes() * numbers == bytes.len() && shape[0] == images;
    let precision = [Precision::F32, Precision::Bf16].into_iter().find(of_size);
    let precision = precision.ok_or_else(|| damaged(&path))?;
    Ok(FeatureBytes { bytes: Bytes::File(bytes), precision, shape })
}
