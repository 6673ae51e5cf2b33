//! Steps and evaluation of a network.

use std::time::Instant;

use ferrite_core::data::Data;
use ferrite_core::data::augment::Augment;
use ferrite_core::data::dataset::{self, Dataset};
use ferrite_core::data::decode::decode;
use ferrite_core::data::source::Source;
use ferrite_core::device::Device;
use ferrite_core::event::{Kind, NullSink, Sink};
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::trainable::{Trainable, resolve};
use ferrite_core::model::{FrozenNorm, Input, Model, PrecisionSetting};
use ferrite_core::settings::Stage;
use ferrite_core::settings::optimizer::{Adam, Optimizer};
use ferrite_engine::forward::network::{Network, NoiseStd, Plan};
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Augmented, Features, Images, Split, compute_features};
use ferrite_faces::Synthetic;
use ferrite_torch::precision::bfloat16_on;
use serde::Deserialize;
use serde_json::json;

use crate::{Result, done, ready};

/// A network and what it is to do.
#[derive(Deserialize)]
pub(crate) struct Setup {
    backbone: Backbone,
    /// Pixels a side.
    size: usize,
    batch: usize,
    /// Batches a round.
    batches: usize,
    #[serde(default)]
    trainable: Trainable,
    #[serde(default)]
    precision: PrecisionSetting,
    threads: usize,
    /// `cpu` or `cuda`.
    device: String,
}

impl Setup {
    /// The images of a round.
    fn rows(&self) -> Vec<u32> {
        (0..(self.batch * self.batches) as u32).collect()
    }

    /// Prepares this process for the work; where it is to be done.
    fn start(&self) -> Result<Device> {
        let device = ferrite_torch::device_named(&self.device)?;
        ferrite_torch::start(self.threads, device);
        Ok(device)
    }

    fn stage(&self, epochs: usize) -> Stage {
        let optimizer = Optimizer::Adam(Adam { lr: 1e-4, ..Adam::default() });
        let trainable = self.trainable.clone();
        Stage { epochs, batch_size: self.batch, optimizer, trainable, ..Stage::default() }
    }

    fn model(&self) -> Model {
        Model { backbone: self.backbone, precision: self.precision, ..Model::default() }
    }
}

/// Images of a validation that takes next to nothing.
const VALID: usize = 2;

/// A stage on `rows`, which barely validates.
fn job<'a>(
    stage: &'a Stage,
    (images, augment): (&'a Images<'a>, &'a Augment),
    rows: &'a [u32],
    [train, valid]: [Option<Features>; 2],
) -> Job<'a> {
    let train = Split { rows, features: train };
    let valid = Split { rows: &rows[..VALID], features: valid };
    Job { stage, seed: 0, images, train, valid, augment, noise: NoiseStd::default() }
}

/// Rounds of training, each an epoch of as many steps as asked for.
pub(crate) fn train(setup: &Setup) -> Result<()> {
    let device = setup.start()?;
    let faces = faces(setup)?;
    ready(device);
    let mut network = trainable_network(setup, &faces, device)?;
    let images = Images::new(&faces, setup.size, device);
    let stage = setup.stage(usize::MAX >> 32);
    let (rows, augment) = (setup.rows(), Augment::default());
    let job = job(&stage, (&images, &augment), &rows, [None, None]);
    let ended = std::cell::Cell::new(false);
    let mut rounds = Rounds { ended: &ended, device };
    let stops = |_| ended.get();
    let callbacks = &mut Callbacks { sink: &mut rounds, save: &mut |_| Ok(()), stops: &stops };
    match fit(&mut network, &job, None, callbacks) {
        Err(ferrite_core::error::Error::Interrupted) => Ok(()),
        other => Err(format!("training ended by itself: {:?}", other.map(|it| it.end)).into()),
    }
}

/// Tells of every epoch and waits until the next may begin.
struct Rounds<'a> {
    ended: &'a std::cell::Cell<bool>,
    device: Device,
}

impl Sink for Rounds<'_> {
    fn emit(&mut self, kind: Kind) -> ferrite_core::error::Result<()> {
        if let Kind::EpochEnded(it) = kind {
            let figures =
                json!({ "images_per_second": it.images_per_second, "loss": it.train.loss });
            self.ended.set(!done(self.device, figures));
        }
        Ok(())
    }
}

/// Rounds of evaluation.
pub(crate) fn infer(setup: &Setup) -> Result<()> {
    let device = setup.start()?;
    let faces = faces(setup)?;
    ready(device);
    let network = network(setup, &faces, device);
    let images = Images::new(&faces, setup.size, device);
    let rows = setup.rows();
    let split = Split { rows: &rows, features: None };
    loop {
        let began = Instant::now();
        let (scores, _) = split.evaluate(&network, &images);
        let images_per_second = rows.len() as f64 / began.elapsed().as_secs_f64();
        if !done(device, json!({ "images_per_second": images_per_second, "loss": scores.loss })) {
            return Ok(());
        }
    }
}

/// Rounds of a whole stage of twenty epochs that trains the head, the frozen network's part included.
pub(crate) fn frozen_stage(setup: &Setup) -> Result<()> {
    const EPOCHS: usize = 20;
    let device = setup.start()?;
    let faces = faces(setup)?;
    ready(device);
    let images = Images::new(&faces, setup.size, device);
    let stage = setup.stage(EPOCHS);
    let (rows, augment) = (setup.rows(), Augment::default());
    loop {
        let mut network = trainable_network(setup, &faces, device)?;
        let began = Instant::now();
        let blocks = network.frozen_blocks();
        let features = |rows| {
            let bytes = compute_features(&network, &images, (rows, None), blocks, &mut |_| true)?;
            Ok::<_, ferrite_core::error::Error>(Some(Features::new(bytes, blocks, device)))
        };
        let features = [features(&rows)?, features(&rows[..VALID])?];
        let job = job(&stage, (&images, &augment), &rows, features);
        let callbacks =
            &mut Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
        let epochs = fit(&mut network, &job, None, callbacks)?.epochs;
        let images_per_second = (EPOCHS * rows.len()) as f64 / began.elapsed().as_secs_f64();
        let loss = epochs.last().map(|it| it.train.loss);
        if !done(device, json!({ "images_per_second": images_per_second, "loss": loss })) {
            return Ok(());
        }
    }
}

/// Rounds of batches as a stage with the study's augmentation makes them.
pub(crate) fn pipeline(setup: &Setup) -> Result<()> {
    let device = setup.start()?;
    let faces = faces(setup)?;
    ready(device);
    let network = network(setup, &faces, device);
    let images = Images::new(&faces, setup.size, device);
    let augment: Augment = toml::from_str(
        "flip = 0.5\nrotation = 10\nshift = 0.1\nzoom = 0.1\nbrightness = [0.8, 1.2]",
    )?;
    let rows = setup.rows();
    for epoch in 1.. {
        let began = Instant::now();
        let changes = Augmented { augment: &augment, seed: 0, epoch };
        for batch in rows.chunks(setup.batch) {
            ferrite_torch::without_gradients(|| {
                network.scale_pixels(images.seen(batch, Some(changes)))
            });
        }
        let images_per_second = rows.len() as f64 / began.elapsed().as_secs_f64();
        if !done(device, json!({ "images_per_second": images_per_second })) {
            break;
        }
    }
    Ok(())
}

/// As many synthetic faces as a round needs.
fn faces(setup: &Setup) -> Result<Dataset> {
    let synthetic = Synthetic { faces: setup.batch * setup.batches, ..Synthetic::default() };
    let data = Data { source: Source::Synthetic(synthetic), ..Data::default() };
    let folder = tempfile::tempdir()?;
    decode(&data, folder.path(), &|_, _| {})?;
    Ok(dataset::open(&data, folder.path())?)
}

fn network(setup: &Setup, faces: &Dataset, device: Device) -> Network {
    let model = setup.model();
    let plan = Plan {
        model: &model,
        input: Input::default(),
        frozen_norm: FrozenNorm::Inference,
        image_size: setup.size,
        classes: faces.classes.len(),
        seed: 0,
        precisions: model.precisions(device, bfloat16_on(device)),
    };
    Network::new(&plan, device)
}

fn trainable_network(setup: &Setup, faces: &Dataset, device: Device) -> Result<Network> {
    let mut network = network(setup, faces, device);
    let trained = resolve(&setup.model(), &setup.trainable);
    network.train(&trained.map_err(|problem| problem.message)?);
    Ok(network)
}
