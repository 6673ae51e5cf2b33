//! What a stage does besides its steps: rates, stopping, noise, and the cache of the frozen prefix.

use std::path::{Path, PathBuf};

use ferrite_core::data::Data;
use ferrite_core::data::augment::Augment;
use ferrite_core::data::dataset::{self, Dataset};
use ferrite_core::data::decode::decode;
use ferrite_core::data::source::Source;
use ferrite_core::device::Device;
use ferrite_core::event::{Epoch, NullSink};
use ferrite_core::model::trainable::{Trainable, resolve};
use ferrite_core::model::{FrozenNorm, GaussianNoise, Head, Input, Model};
use ferrite_core::settings::Stage;
use ferrite_core::settings::stopping::EarlyStopping;
use ferrite_engine::forward::network::NoiseStd;
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Features, Images, Split, compute_features};
use ferrite_faces::Synthetic;
use ferrite_torch::ops;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result, all_images, feature_maps};
use crate::network::{epoch_with, load};

/// Loss and accuracy in training, loss and accuracy in validation, of each epoch.
pub(crate) type History = Vec<[f64; 4]>;

fn epochs(history: &History) -> Vec<Epoch> {
    history.iter().enumerate().map(|(index, it)| epoch_with(index + 1, *it)).collect()
}

/// The rate of every step, and of each epoch's first.
pub(crate) fn rates(stage: &Stage, steps_per_epoch: usize, history: &History) -> Output {
    let (epochs, steps) = (epochs(history), steps_per_epoch * stage.epochs);
    let rate = |step: usize| stage.lr([step, steps], &epochs[..step / steps_per_epoch]);
    let mut output = Output::default();
    output.numbers("rates", &(0..steps).map(rate).collect::<Vec<_>>());
    output
}

/// The epoch after which each case stops (0: none), and the one that it then keeps.
pub(crate) fn stop(cases: &[(EarlyStopping, History)]) -> Output {
    let ends = cases.iter().flat_map(|(stopping, history)| {
        let all = epochs(history);
        let stopped = (1..=all.len()).find(|it| stopping.stop(&all[..*it]).is_some());
        let seen = &all[..stopped.unwrap_or(all.len())];
        [stopped.unwrap_or(0), stopping.standing(seen).best_epoch].map(|it| it as f64)
    });
    let mut output = Output::default();
    output.numbers("ends", &ends.collect::<Vec<_>>());
    output
}

/// What noise adds to scaled pixels whose standard deviation is `signal` gray levels, and to features that
/// a head which changes nothing then shows as logits: in training, and in inference.
pub(crate) fn add_noise(
    weights: &Path,
    input: &SafeTensors<'_>,
    (noise, scaling, signal): (GaussianNoise, Input, f64),
) -> Result<Output> {
    let features = input.tensor("features")?;
    let channels = features.shape()[3];
    let model = Model::default();
    let how = (scaling, FrozenNorm::Inference);
    let mut network = load(weights, &model, how, [48, channels])?;
    network.train(&resolve(&model, &Trainable::default()).map_err(|problem| problem.message)?);
    ferrite_torch::seed_layers(11);
    let x = network.scale_pixels(all_images(input)?);
    let strength = network.input_noise(noise, signal);
    let mut output = Output::default();
    output.numbers("strength", &strength);
    output.tensor("pixels", ops::add_noise_to_channels(x.clone(), strength) - x);
    let table = feature_maps(&features);
    let rows: Vec<u32> = (0..features.shape()[0] as u32).collect();
    let noise = NoiseStd { input: [0.0; 3], features: noise.std };
    output.tensor("trained", network.train_on_features(table.features(&rows), noise));
    let infer = || network.infer(table.features(&rows), network.blocks());
    output.tensor("inferred", ferrite_torch::without_gradients(infer));
    Ok(output)
}

#[derive(Deserialize)]
pub(crate) struct Cached {
    weights: PathBuf,
    head: Head,
    image_size: usize,
    faces: usize,
    stage: Stage,
}

pub(crate) fn compare_cached(folder: &Path, name: &str, cached: &Cached) -> Result<Output> {
    let synthetic = Synthetic { faces: cached.faces, ..Synthetic::default() };
    let data = Data { source: Source::Synthetic(synthetic), ..Data::default() };
    let decoded = folder.join(format!("{name}.faces"));
    fs_err::create_dir_all(&decoded)?;
    decode(&data, &decoded, &|_, _| {})?;
    let faces = dataset::open(&data, &decoded)?;
    let mut output = Output::default();
    output.numbers("cached", &history(folder, cached, &faces, Prefix::Once)?);
    output.numbers("uncached", &history(folder, cached, &faces, Prefix::EveryStep)?);
    Ok(output)
}

/// When the frozen prefix runs.
#[derive(Clone, Copy, PartialEq)]
enum Prefix {
    Once,
    EveryStep,
}

/// Training and validation loss of every epoch of a stage.
fn history(folder: &Path, cached: &Cached, dataset: &Dataset, prefix: Prefix) -> Result<Vec<f64>> {
    let sizes = [cached.image_size, dataset.classes.len()];
    let model = Model { head: cached.head.clone(), ..Model::default() };
    let how = (Input::PlusMinusOne, FrozenNorm::Inference);
    let mut network = load(&folder.join(&cached.weights), &model, how, sizes)?;
    let trained = resolve(&model, &cached.stage.trainable).map_err(|problem| problem.message)?;
    network.train(&trained);
    let images = Images::new(dataset, cached.image_size, Device::Cpu);
    let split = |rows| -> Result<Split<'_>> {
        let blocks = network.frozen_blocks();
        let features = || compute_features(&network, &images, (rows, None), blocks, &mut |_| true);
        let bytes = (prefix == Prefix::Once).then(features).transpose()?;
        let features = bytes.map(|it| Features::new(it, blocks, Device::Cpu));
        Ok(Split { rows, features })
    };
    let job = Job {
        stage: &cached.stage,
        seed: 0,
        images: &images,
        train: split(&dataset.train)?,
        valid: split(&dataset.valid)?,
        augment: &Augment::default(),
        noise: NoiseStd::default(),
    };
    let callbacks =
        &mut Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
    let epochs = fit(&mut network, &job, None, callbacks)?.epochs;
    let losses = |it: &Epoch| [it.train.loss, it.valid.loss];
    Ok(epochs.iter().flat_map(losses).collect())
}
