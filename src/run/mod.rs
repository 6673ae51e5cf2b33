//! One trial, carried out step by step in this process.
//!
//! Each step's result lies under its key, so that what is there is taken and not made again. What happens
//! goes to the run's log and to whoever listens.

mod environment;
mod evaluation;
mod evidence;
mod features;
mod origin;
mod stage;

use std::path::Path;
use std::time::Instant;

use crate::data::dataset;
use crate::data::dataset::Dataset;
use crate::data::decode::decode;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::event::failure::Failure;
use crate::event::{
    Dataset as DatasetEvent, FORMAT, Kind as Event, Noise as NoiseEvent, Progress, Sink,
    StageStart, Start,
};
use crate::fault::{Work, caught};
use crate::forward::network::{Network, NoiseStd};
use crate::model::trainable::resolve;
use crate::plan::{Kind, Trial};
use crate::precision::Precision;
use crate::random::{Random, Use};
use crate::run::origin::Begun;
use crate::settings::Stage;
use crate::store::folder::{RunFolder, files};
use crate::store::lock::Caller;
use crate::store::read::{Last, last};
use crate::store::record::State;
use crate::store::{Store, Wanted, clear};
use crate::torch::precision::{bfloat16_on, has_bfloat16};
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

/// Whoever listens, before there is a log.
struct Listener<'a>(&'a mut (dyn FnMut(&Event) + Send));

impl Sink for Listener<'_> {
    fn emit(&mut self, kind: Event) -> Result<()> {
        (self.0)(&kind);
        Ok(())
    }
}

/// Carries out `trial`: what is finished is taken, what was interrupted goes on, the rest is done.
///
/// # Errors
/// Whatever stops it; the run's log says so too.
pub fn run(trial: &Trial, context: Context<'_>) -> Result<()> {
    let started = Instant::now();
    let resumed = context.store.root.join(trial.name()).join(files::EVENTS).exists();
    let mut listener = Listener(context.listener);
    let mut caller = Caller { sink: &mut listener, interrupted: context.interrupted };
    let mut folder = RunFolder::own(context.store, &trial.name(), &mut caller)?;
    // Another sweep may have done it while this one waited for the folder.
    let last = last(context.store, &trial.name());
    let finished = |it: &Last| it.state == State::Finished && it.key.as_ref() == Some(&trial.key);
    if let Some(last) = last.filter(finished) {
        let damages = last.damages(context.store, &trial.name())?;
        if damages.is_empty() {
            return Ok(());
        }
        folder.set_aside(&damages)?;
    }
    folder.write(files::TRIAL, trial.to_toml().as_bytes())?;
    let environment = environment::describe(context.device, context.threads);
    folder.write(files::ENVIRONMENT, environment.as_bytes())?;
    let aside = folder.take_aside();
    let mut log = Log { folder, listener: listener.0 };
    let precisions = trial.settings.model.precisions(context.device, bfloat16_on(context.device));
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
    aside.into_iter().try_for_each(|it| log.emit(Event::SetAside(it)))?;
    let (store, device) = (context.store, context.device);
    let mut runner = Runner { trial, store, device, log, interrupted: context.interrupted };
    // LibTorch's wrapper panics where an operation fails, e.g. when memory runs out.
    let result = caught(Work::Training, || runner.steps());
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(()) => {
            let files = runner.log.folder.written();
            runner.log.emit(Event::RunEnded { seconds, files })?;
        }
        Err(Error::Interrupted) => runner.log.emit(Event::RunInterrupted)?,
        Err(error) => runner.log.emit(Event::RunFailed(Failure::from(error)))?,
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
        let Begun { mut network, origin } = self.begin(&dataset)?;
        for stage in &self.trial.settings.stages {
            self.stage(stage, &mut network, &dataset, &images)?;
        }
        self.evaluate(&mut network, &dataset, &images, &origin)
    }

    fn key(&self, kind: Kind, stage: &str) -> &str {
        let step = self.trial.step(kind, stage);
        step.map(|it| it.key.as_str()).expect("the plan has every step that a run asks for")
    }

    fn dataset(&mut self) -> Result<Dataset> {
        let started = Instant::now();
        let settings = &self.trial.settings.data;
        let key = self.key(Kind::Dataset, "").to_owned();
        let check = |folder: &Path| dataset::open(settings, folder).map(|_| ());
        let wanted = Wanted { kind: Kind::Dataset.name(), key: &key, check: &check };
        let mut caller = Caller { sink: &mut self.log, interrupted: self.interrupted };
        let (folder, reused) = self.store.step(&wanted, &mut caller, |folder, caller| {
            let sink = std::sync::Mutex::new(&mut *caller.sink);
            let progress = |done: usize, of: usize| {
                if let Ok(mut sink) = sink.try_lock() {
                    // Progress is shown and not recorded, which cannot fail.
                    let _ = sink.emit(waiting("images", done, of, started));
                }
            };
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
