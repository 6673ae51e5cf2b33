//! One trial, carried out step by step in this process.
//!
//! Each step's result lies under its key, so that what is there is taken and not made again. What happens
//! goes to the run's log and to whoever listens.

mod environment;
mod evaluation;
mod evidence;
mod features;
mod stage;

use std::path::PathBuf;
use std::time::Instant;

use crate::data::dataset;
use crate::data::dataset::Dataset;
use crate::data::decode::decode;
use crate::error::{Error, Result};
use crate::event::{
    Dataset as DatasetEvent, FORMAT, Failure, Kind as Event, Noise as NoiseEvent, Progress, Sink,
    StageStart, Start, Weights as WeightsEvent,
};
use crate::fault::{Work, caught};
use crate::fetch::{self, Cache, Remote};
use crate::model::network::{Network, NoiseStd, Plan};
use crate::model::summary::summarize;
use crate::model::trainable::resolve;
use crate::model::weights::file::TensorFile;
use crate::model::weights::{self, Part};
use crate::model::{Input, Weights};
use crate::plan::{Kind, Trial};
use crate::random::{Random, Use};
use crate::store::Store;
use crate::store::clear;
use crate::store::folder::{RunFolder, files};
use crate::store::read::finished_key;
use crate::torch::Device;
use crate::torch::precision::{Precision, has_bfloat16};
use crate::train::Stage;
use crate::train::fit::Job;
use crate::train::images::{Images, Split};
use crate::train::order::steps_per_epoch;

/// Images whose features are measured to know how strong noise on them is.
const MEASURED_FEATURES: usize = 512;

/// Where and how a trial is carried out.
pub struct Context<'a> {
    /// The folders.
    pub store: &'a Store,
    /// Where it trains.
    pub device: Device,
    /// CPU threads of LibTorch.
    pub threads: usize,
    /// Hears everything, progress included.
    pub listener: &'a mut (dyn FnMut(&Event) + Send),
    /// Whether the user wants to stop.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// The log of the run and whoever listens.
struct Log<'a> {
    folder: RunFolder,
    listener: &'a mut (dyn FnMut(&Event) + Send),
}

impl Sink for Log<'_> {
    fn emit(&mut self, kind: Event) -> Result<()> {
        (self.listener)(&kind);
        if matches!(kind, Event::StepEnded(_)) { Ok(()) } else { self.folder.append(kind) }
    }
}

/// Carries out `trial`: what is finished is taken, what was interrupted goes on, the rest is done.
///
/// # Errors
/// Whatever stops it; the run's log says so too.
pub fn run(trial: &Trial, context: Context<'_>) -> Result<()> {
    let started = Instant::now();
    let resumed = context.store.root.join(trial.name()).join(files::EVENTS).exists();
    let folder = RunFolder::own(context.store, &trial.name())?;
    // Another sweep may have done it while this one waited for the folder.
    if finished_key(context.store, &trial.name()).as_ref() == Some(&trial.key) {
        return Ok(());
    }
    folder.write(files::TRIAL, trial.to_toml().as_bytes())?;
    let environment = environment::describe(context.device, context.threads);
    folder.write(files::ENVIRONMENT, environment.as_bytes())?;
    let mut log = Log { folder, listener: context.listener };
    let precisions = trial.settings.model.precisions(context.device);
    log.emit(Event::RunStarted(Start {
        format: FORMAT,
        ferrite: env!("CARGO_PKG_VERSION").into(),
        key: trial.key.clone(),
        device: context.device.to_string(),
        threads: context.threads,
        precision: precisions.to_string(),
        imitated: precisions.include(Precision::Bf16) && !has_bfloat16(context.device),
        resumed,
    }))?;
    let (store, device) = (context.store, context.device);
    let mut runner = Runner { trial, store, device, log, interrupted: context.interrupted };
    // LibTorch's wrapper panics where an operation fails, e.g. when memory runs out.
    let result = caught(Work::Training, || runner.steps());
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(()) => runner.log.emit(Event::RunEnded { seconds })?,
        Err(Error::Interrupted) => runner.log.emit(Event::RunInterrupted)?,
        Err(error) => runner.log.emit(Event::RunFailed(Failure::of(error)))?,
    }
    result
}

struct Runner<'a> {
    trial: &'a Trial,
    store: &'a Store,
    device: Device,
    log: Log<'a>,
    interrupted: &'a dyn Fn() -> bool,
}

impl Runner<'_> {
    fn steps(&mut self) -> Result<()> {
        let dataset = self.dataset()?;
        let images = Images::new(&dataset, self.trial.settings.data.image_size, self.device);
        let (mut network, input) = self.network(&dataset)?;
        for stage in &self.trial.settings.stages {
            self.stage(stage, &mut network, &dataset, &images)?;
        }
        self.evaluate(&mut network, &dataset, &images, input)
    }

    fn key(&self, kind: Kind, stage: &str) -> &str {
        let step = self.trial.step(kind, stage);
        step.map(|it| it.key.as_str()).expect("the plan has every step that a run asks for")
    }

    fn dataset(&mut self) -> Result<Dataset> {
        let started = Instant::now();
        let settings = &self.trial.settings.data;
        let key = self.key(Kind::Dataset, "").to_owned();
        let listener = std::sync::Mutex::new(&mut self.log.listener);
        let progress = |done: usize, of: usize| {
            if let Ok(mut listener) = listener.try_lock() {
                listener(&waiting("images", done, of, started));
            }
        };
        let (folder, reused) = self.store.step(Kind::Dataset.name(), &key, |folder| {
            clear(folder)?;
            decode(settings, folder, &progress)
        })?;
        let dataset = dataset::open(settings, &folder)?;
        let splits =
            [("train", &dataset.train), ("valid", &dataset.valid), ("test", &dataset.test)];
        let counts = splits
            .into_iter()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(name, rows)| (name.to_owned(), dataset.counts(rows)));
        self.log.emit(Event::DatasetReady(DatasetEvent {
            key,
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
        Ok(dataset)
    }

    fn network(&mut self, dataset: &Dataset) -> Result<(Network, Input)> {
        let settings = &self.trial.settings;
        let file = match &settings.model.weights {
            Weights::None => None,
            Weights::Imagenet | Weights::ImagenetV2 => Some(self.published()?),
            Weights::File(file) => Some((file.path.clone(), file.input.unwrap_or_default())),
            Weights::Run(run) => {
                let path = self.store.root.join(run).join(files::MODEL);
                let input = weights::input_of(&TensorFile::open(&path)?)?;
                Some((path, input.unwrap_or_default()))
            }
            Weights::Experiment(_) => unreachable!("the plan resolves experiments to runs"),
        };
        let input = file.as_ref().map_or(Input::default(), |(_, input)| *input);
        let plan = Plan {
            model: &settings.model,
            input,
            frozen_norm: settings.batch_norm.frozen_layers,
            image_size: settings.data.image_size,
            classes: dataset.classes.len(),
            seed: self.trial.seed,
            precisions: settings.model.precisions(self.device),
        };
        let mut network = Network::new(&plan, self.device);
        let summary = summarize(&settings.model, plan.image_size, plan.classes);
        self.log.emit(Event::NetworkReady(summary))?;
        let account = if let Some((path, _)) = file {
            weights::load(&mut network, &path, Part::Backbone)?
        } else {
            let (loaded, missing, unexpected) = (0, Vec::new(), Vec::new());
            WeightsEvent { from: "random".into(), loaded, missing, unexpected }
        };
        self.log.emit(Event::WeightsLoaded(account))?;
        Ok((network, input))
    }

    /// The file of the published weights that the trial begins with, downloaded if it is not there yet.
    fn published(&mut self) -> Result<(PathBuf, Input)> {
        let published = self.trial.settings.model.published();
        let published = published.expect("the settings were checked");
        let started = Instant::now();
        let listener = &mut self.log.listener;
        let mut say = |it: fetch::Progress| {
            let of = it.of.unwrap_or(published.bytes);
            listener(&waiting("weights", it.done as usize, of as usize, started));
        };
        let remote = Remote { url: published.url, sha256: published.sha256 };
        let path = Cache::of_user()?.fetch(remote, &mut say, self.interrupted)?;
        Ok((path, published.input))
    }

    fn stage(
        &mut self,
        stage: &Stage,
        network: &mut Network,
        dataset: &Dataset,
        images: &Images<'_>,
    ) -> Result<()> {
        let model = &self.trial.settings.model;
        let trained = resolve(model, &stage.trainable).expect("the settings were checked");
        network.train(&trained);
        let augment = &self.trial.settings.augment;
        let caches = self.caches_features(network);
        let views = self.trial.settings.views(stage).filter(|_| caches);
        let (trainable, frozen) = network.layers();
        let prefix = network.frozen_blocks();
        self.log.emit(Event::StageStarted(StageStart {
            stage: stage.name.clone(),
            epochs: stage.epochs,
            steps_per_epoch: steps_per_epoch(dataset.train.len(), stage.batch_size),
            trainable,
            frozen,
            keras_parameters: Some(trained.keras_parameters),
            prefix_until: (prefix > 0).then(|| network.block_name(prefix).to_owned()),
            prefix_cached: views.is_some(),
            prefix_views: views.unwrap_or_default(),
        }))?;
        let key = self.key(Kind::Stage, &stage.name).to_owned();
        let valid_name = "valid";
        let train_features =
            views.map(|it| self.train_features(stage, network, images, (&dataset.train, it)));
        let valid_features =
            caches.then(|| self.features(stage, network, images, (valid_name, &dataset.valid)));
        let train = Split { rows: &dataset.train, features: train_features.transpose()? };
        let valid = Split { rows: &dataset.valid, features: valid_features.transpose()? };
        let noise = self.noise(network, images, &train)?;
        if augment.acts() {
            let shown =
                evidence::augmentation(stage, augment, self.seed_of(stage), (images, &train));
            let name = format!("{}/augmented-{}.png", files::PLOTS, stage.name);
            self.log.folder.write(&name, &shown.sheet)?;
            self.log.emit(Event::AugmentationMeasured(shown.measured))?;
        }
        let seed = self.seed_of(stage);
        let job = Job { stage, seed, images, train, valid, augment, noise };
        self.train(&key, network, &job)
    }

    /// The noise layers in the units of what they are added to.
    fn noise(
        &mut self,
        network: &Network,
        images: &Images<'_>,
        train: &Split<'_>,
    ) -> Result<NoiseStd> {
        let settings = &self.trial.settings.noise;
        let mut std = NoiseStd::default();
        if let Some(noise) = settings.input {
            std.input = network.input_noise(noise, images.pixels.std);
            let mean = |it: [f64; 3]| it.iter().sum::<f64>() / 3.0;
            let pixels = images.pixels.std;
            let signal = pixels * mean(network.gray_level(pixels));
            self.say_noise("input", mean(std.input), signal)?;
        }
        if let Some(noise) = settings.features {
            let signal = train.features_std(network, images, MEASURED_FEATURES);
            std.features = noise.in_layer_units(signal, 1.0);
            self.say_noise("features", std.features, signal)?;
        }
        Ok(std)
    }

    fn say_noise(&mut self, layer: &str, std: f64, signal_std: f64) -> Result<()> {
        self.log.emit(Event::NoiseMeasured(NoiseEvent { layer: layer.into(), std, signal_std }))
    }

    /// What decides everything random in a stage: the trial's seed and the stage's position.
    fn seed_of(&self, stage: &Stage) -> u64 {
        let stages = &self.trial.settings.stages;
        let index = stages.iter().position(|it| it.name == stage.name).unwrap_or_default();
        Random::at(self.trial.seed, Use::Stage, index as u64, 0).bits()
    }
}

/// Progress of work that is not training.
fn waiting(what: &str, done: usize, of: usize, started: Instant) -> Event {
    Event::StepEnded(Progress {
        stage: what.to_owned(),
        epoch: 1,
        epochs: 1,
        step: done,
        steps: of,
        loss: f64::NAN,
        accuracy: f64::NAN,
        images_per_second: done as f64 / started.elapsed().as_secs_f64().max(1e-9),
    })
}
