//! One trained stage under its key: made, or taken from where it lies.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::split::SplitName;
use ferrite_core::event::{Epoch, FINAL, Kind as Event, Noise as NoiseEvent, StageEnd, StageStart};
use ferrite_core::files::{write_whole, write_whole_by};
use ferrite_core::model::trainable::{Trained as Trainable, resolve};
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::steps::stage::{Stage, StageSettings, draws};
use ferrite_core::store::Store;
use ferrite_core::store::artifact::set_aside;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::Caller;

use crate::forward::network::{Network, NoiseStd};
use crate::forward::weights::{self, Part};
use crate::run::evidence::augmentation;
use crate::run::features::features;
use crate::run::perform::{Bench, Perform, damaged};

use ferrite_core::settings;

use crate::train::checkpoint::Checkpoint;
use crate::train::fit::{Callbacks, Job, Trained, fit};
use crate::train::images::Split;
use crate::train::order::steps_per_epoch;

/// Images whose features are measured to know how strong noise on them is.
const MEASURED_FEATURES: usize = 512;

impl<'a> Perform<Bench<'a>> for Stage {
    const KIND: Kind = Kind::Stage;

    fn precision(&self, bench: &Bench<'a>) -> Option<String> {
        Some(bench.place.precisions.to_string())
    }

    fn perform(&self, bench: &mut Bench<'a>, caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        let job = prepare(self, bench, caller, folder)?;
        let stage = job.stage;
        let path = folder.join("checkpoint.safetensors");
        let lineage = (self.lineage.as_str(), &*bench.place.precisions.to_string());
        let checkpoint =
            match read_checkpoint(&path, &folder.with_extension("safetensors"), caller)? {
                None => of_shorter(bench.place.store, lineage, stage.epochs, caller)?,
                own => own,
            };
        let mut save = |it: &Checkpoint| write_whole_by(&path, |path| it.write(path));
        let Caller { sink, interrupted } = caller;
        let rung = bench.job.rung.filter(|it| it.stage == self.position);
        let stops = |epochs| interrupted() || rung.is_some_and(|it| epochs >= it.epochs);
        let mut callbacks = Callbacks { sink: *sink, save: &mut save, stops: &stops };
        let trained = fit(&mut bench.network, &job, checkpoint, &mut callbacks)?;
        write_stage(folder, &mut bench.network, &trained)?;
        // There is none where the stage had ended already where it went on from.
        if path.exists() {
            bench.place.store.keep_checkpoint(lineage, trained.epochs.len(), &path)?;
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<()> {
        read_history(folder)?;
        let named = self.settings.stage.checkpoints.iter().map(|it| it.name());
        for name in std::iter::once(FINAL).chain(named) {
            let path = folder.join(stage_weights(name));
            TensorFile::open(&path).map_err(|error| damaged(&path, &error.to_string()))?;
        }
        Ok(())
    }

    fn take(&self, bench: &mut Bench<'a>, folder: &Path) -> Result<()> {
        bench.network.train(&trainable(&self.settings)?);
        load_stage(&mut bench.network, folder, FINAL)
    }

    fn tell_of_older(
        &self,
        bench: &mut Bench<'a>,
        caller: &mut Caller<'_>,
        folder: &Path,
    ) -> Result<()> {
        prepare(self, bench, caller, folder)?;
        let (epochs, end) = read_history(folder)?;
        epochs.into_iter().try_for_each(|it| caller.sink.emit(Event::EpochEnded(it)))?;
        caller.sink.emit(Event::StageEnded(end))
    }
}

/// From now on the network trains what the stage says.
fn start(step: &Stage, bench: &mut Bench<'_>, caller: &mut Caller<'_>) -> Result<()> {
    let stage = &step.settings.stage;
    let trained = trainable(&step.settings)?;
    let network = &mut bench.network;
    network.train(&trained);
    let (trainable, frozen) = network.layers();
    let (prefix, views) = (network.frozen_blocks(), step.features.train.len());
    caller.sink.emit(Event::StageStarted(StageStart {
        stage: stage.name.clone(),
        epochs: stage.epochs,
        steps_per_epoch: steps_per_epoch(bench.dataset.train.len(), stage.batch_size),
        trainable,
        frozen,
        keras_parameters: trained.keras_parameters,
        prefix_until: (prefix > 0).then(|| network.block_name(prefix).to_owned()),
        prefix_cached: views > 0,
        prefix_views: views,
        groups: network.trained_groups().into_iter().map(|it| it.0).collect(),
    }))
}

/// The noise layers in the units of what they are added to.
fn measured_noise(
    step: &Stage,
    bench: &Bench<'_>,
    caller: &mut Caller<'_>,
    train: &Split<'_>,
) -> Result<NoiseStd> {
    let (network, images) = (&bench.network, bench.images);
    let mut std = NoiseStd::default();
    let mut tell = |layer: &str, std, signal_std| {
        let layer = layer.to_owned();
        caller.sink.emit(Event::NoiseMeasured(NoiseEvent { layer, std, signal_std }))
    };
    if let Some(noise) = step.settings.noise.layers.input {
        std.input = network.input_noise(noise, images.pixels.std);
        let mean = |it: [f64; 3]| it.iter().sum::<f64>() / 3.0;
        let pixels = images.pixels.std;
        tell("input", mean(std.input), pixels * mean(network.gray_level(pixels)))?;
    }
    if let Some(noise) = step.settings.noise.layers.features {
        let signal = train.features_std(network, images, MEASURED_FEATURES);
        std.features = noise.in_layer_units(signal, 1.0);
        tell("features", std.features, signal)?;
    }
    Ok(std)
}

/// Makes everything ready for the stage's training, and tells what that will be. A sheet of what augmentation does
/// is put into `folder`.
fn prepare<'a: 'b, 'b>(
    step: &'b Stage,
    bench: &mut Bench<'a>,
    caller: &mut Caller<'_>,
    folder: &Path,
) -> Result<Job<'b>> {
    let StageSettings { stage, augment, .. } = &step.settings;
    start(step, bench, caller)?;
    let train_features = features(bench, caller, &step.features.train)?;
    let valid_features = features(bench, caller, &step.features.valid)?;
    let train = Split { rows: bench.rows(SplitName::Train), features: train_features };
    let valid = Split { rows: bench.rows(SplitName::Valid), features: valid_features };
    let noise = measured_noise(step, bench, caller, &train)?;
    let (images, seed) = (bench.images, draws(bench.job.seed, step.position));
    if augment.acts() {
        let shown = augmentation(stage, augment, seed, (images, &train));
        write_whole(&folder.join(format!("augmented-{}.png", stage.name)), &shown.sheet)?;
        caller.sink.emit(Event::AugmentationMeasured(shown.measured))?;
    }
    Ok(Job { stage, seed, images, train, valid, augment, noise })
}

/// The tensors that a stage with these settings trains.
pub(super) fn trainable(settings: &StageSettings) -> Result<Trainable> {
    let settings::Stage { name, trainable, .. } = &settings.stage;
    resolve(&settings.model(), trainable).map_err(|it| Error::Usage {
        message: format!("`{}` of stage `{name}` {}", it.key, it.message),
        help: "correct it in the experiment's file".into(),
    })
}

/// The end of the longest stage that is the same but for having fewer epochs, or as many, if there is one.
fn of_shorter(
    store: &Store,
    (lineage, precision): (&str, &str),
    most: usize,
    caller: &mut Caller<'_>,
) -> Result<Option<Checkpoint>> {
    for there in store.checkpoints(lineage, precision, most) {
        if let Some(found) = read_checkpoint(&there.path, &there.path, caller)? {
            return Ok(Some(Checkpoint { continued: found.epochs.len(), ..found }));
        }
    }
    Ok(None)
}

/// The checkpoint at `path`, if there is one. A damaged one is set aside, beside `like`, and the stage begins again.
fn read_checkpoint(
    path: &Path,
    like: &Path,
    caller: &mut Caller<'_>,
) -> Result<Option<Checkpoint>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(Error::file("cannot read", path))?,
    };
    match Checkpoint::from_bytes(&bytes, path) {
        Err(Error::Damaged { message, .. }) => {
            let told = set_aside(path, like, &message)?;
            caller.sink.emit(Event::SetAside(told))?;
            Ok(None)
        }
        checkpoint => checkpoint.map(Some),
    }
}

/// What a stage that an older version finished in `folder` says of its epochs and its end.
fn read_history(folder: &Path) -> Result<(Vec<Epoch>, StageEnd)> {
    let path = folder.join("history.json");
    let text = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
    serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))
}

/// The name of a stage's weights in its folder.
fn stage_weights(weights: &str) -> String {
    files::of_weights("weights.safetensors", weights)
}

/// Writes the result of a stage into its folder: the weights that go on, and those kept under other metrics.
fn write_stage(folder: &Path, network: &mut Network, trained: &Trained) -> Result<()> {
    let write = |network: &Network, name: &str| {
        let path = folder.join(stage_weights(name));
        write_whole_by(&path, |path| weights::write(network, BTreeMap::new(), path))
    };
    write(network, FINAL)?;
    if !trained.named.is_empty() {
        let last = network.parameters.snapshot();
        for (name, snapshot) in &trained.named {
            network.parameters.restore(snapshot);
            write(network, name)?;
        }
        network.parameters.restore(&last);
    }
    Ok(())
}

/// Gives `network` the weights of this name that a finished stage left in `folder`. Nothing of it trains
/// afterwards.
pub(super) fn load_stage(network: &mut Network, folder: &Path, name: &str) -> Result<()> {
    network.rest();
    let path = folder.join(stage_weights(name));
    let loaded = weights::load(network, &path, Part::Whole);
    loaded.map(|_| ()).map_err(|error| damaged(&path, &error.to_string()))
}
