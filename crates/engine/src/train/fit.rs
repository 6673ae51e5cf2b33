//! The training loop of one stage.
//!
//! Everything random follows from (seed, epoch, item), so a stage that goes on from a checkpoint does
//! what it would have done undisturbed.

use std::time::{Duration, Instant};

use ferrite_core::data::augment::Augment;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::acts::Stop;
use ferrite_core::event::parts::Continued;
use ferrite_core::event::{Epoch, Kind, Sink, StageEnd};
use ferrite_core::settings::Stage;
use ferrite_torch::parameters::Snapshot;

use crate::forward::network::{Network, NoiseStd};
use crate::train::checkpoint::Checkpoint;
use crate::train::epoch::Trainer;
use crate::train::images::{Images, Split};

/// What a stage trains on and how.
#[derive(Debug)]
pub struct Job<'a> {
    /// The stage's settings.
    pub stage: &'a Stage,
    /// Decides everything random in it.
    pub seed: u64,
    /// The images.
    pub images: &'a Images<'a>,
    /// The training split; with features if its frozen prefix ran already.
    pub train: Split<'a>,
    /// The validation split.
    pub valid: Split<'a>,
    /// Changes of training images.
    pub augment: &'a Augment,
    /// Noise in training.
    pub noise: NoiseStd,
}

/// What a stage does to the world: what it says, where checkpoints go, and whether to stop.
pub struct Callbacks<'a> {
    /// Hears everything.
    pub sink: &'a mut dyn Sink,
    /// Keeps a checkpoint.
    pub save: &'a mut dyn FnMut(&Checkpoint) -> Result<()>,
    /// Whether to stop after so many epochs, since the user wants it or the rung of a search ends there.
    pub stops: &'a dyn Fn(usize) -> bool,
}

/// What a stage leaves behind, besides the network with the weights that go on.
#[derive(Debug)]
pub struct Trained {
    /// Its epochs.
    pub epochs: Vec<Epoch>,
    /// How it ended.
    pub end: StageEnd,
    /// The best weights under each metric of `checkpoints`, by its name.
    pub named: Vec<(String, Snapshot)>,
}

/// Trains `network` through the stage, from its first epoch or from where `checkpoint` stands. At the
/// end the network has the weights that go on.
///
/// # Errors
/// [`Error::Diverged`] when the loss stops being finite, [`Error::Usage`] if no training image counts in it,
/// [`Error::Interrupted`] if it is to stop before its end, and whatever sink and save fail with.
pub fn fit(
    network: &mut Network,
    job: &Job<'_>,
    checkpoint: Option<Checkpoint>,
    callbacks: &mut Callbacks<'_>,
) -> Result<Trained> {
    job.something_counts()?;
    let mut trainer = Trainer::new(network, job);
    let mut state = checkpoint.unwrap_or_default();
    if !state.epochs.is_empty() {
        trainer.restore(network, &mut state);
        if let Some(divided) = &state.divided {
            callbacks.sink.emit(Kind::BatchDivided(divided.clone()))?;
        }
        if state.continued > 0 {
            callbacks.sink.emit(Kind::StageContinued(continued(job.stage, &state)))?;
        }
        for epoch in &state.epochs {
            callbacks.sink.emit(Kind::EpochEnded(epoch.clone()))?;
        }
    }
    let mut saves = Saves::new(network, state.epochs.len());
    let why = loop {
        if let Some(why) = ends(job.stage, &state.epochs) {
            break why;
        }
        if (callbacks.stops)(state.epochs.len()) {
            saves.keep(&trainer, network, &mut state, callbacks)?;
            return Err(Error::Interrupted);
        }
        let epoch = trainer.epoch(network, &state.epochs, callbacks.sink)?;
        state.epochs.push(epoch.clone());
        trainer.with_shown_weights(network, |network| keep_best(network, job, &mut state));
        if ends(job.stage, &state.epochs).is_none() && saves.are_due() {
            saves.keep(&trainer, network, &mut state, callbacks)?;
        }
        callbacks.sink.emit(Kind::EpochEnded(epoch))?;
    };
    // A stage with more epochs goes on from it.
    saves.keep(&trainer, network, &mut state, callbacks)?;
    let kept_epoch = job.stage.kept_epoch(&state.epochs);
    trainer.show(network);
    if let Some(best) = state.best.filter(|_| kept_epoch < state.epochs.len()) {
        network.parameters.restore(&best);
    }
    let kept = job.stage.checkpoints.iter().filter_map(|it| it.best(&state.epochs));
    let end = StageEnd {
        stage: job.stage.name.clone(),
        why,
        epochs: state.epochs.len(),
        kept_epoch,
        checkpoints: kept.collect(),
    };
    callbacks.sink.emit(Kind::StageEnded(end.clone()))?;
    Ok(Trained { epochs: state.epochs, end, named: state.named.into_iter().collect() })
}

impl Job<'_> {
    /// # Errors
    /// [`Error::Usage`] if the loss gives every training image the weight 0.
    fn something_counts(&self) -> Result<()> {
        let Some(ignored) = self.stage.loss.class_weights.ignored() else { return Ok(()) };
        let counts = self.images.counts(self.train.rows);
        let names = self.images.class_names().iter().zip(&ignored);
        let weighed: Vec<_> =
            names.filter(|(_, ignored)| !**ignored).map(|(name, _)| format!("`{name}`")).collect();
        let counts = counts.iter().zip(&ignored).any(|(images, ignored)| *images > 0 && !ignored);
        if counts || !self.images.have_classes() {
            return Ok(());
        }
        let (stage, weighed) = (&self.stage.name, weighed.join(" and "));
        Err(Error::Usage {
            message: format!(
                "`loss.class_weights` of stage `{stage}` gives every training image the weight 0: only {weighed} counts, \
                 and no training image is of it"
            ),
            help: "give a class that has training images a weight above 0".into(),
        })
    }
}

/// When checkpoints are kept: as often as costs a hundredth of the time.
///
/// A run that is killed repeats what came after its last checkpoint; one that is asked to stop repeats nothing.
struct Saves {
    /// Epochs in the last checkpoint.
    epochs: usize,
    /// When it was kept, or the stage began.
    at: Instant,
    /// How long that took, or the first is expected to take.
    takes: Duration,
}

impl Saves {
    fn new(network: &Network, epochs: usize) -> Self {
        /// Bytes for each value that trains: the weights now, the best ones, and two moments.
        const BYTES: f64 = 16.0;
        /// Bytes that a disk takes in a second, so far as is known before.
        const SPEED: f64 = 500e6;
        let seconds = BYTES * network.parameters.trainable_values() as f64 / SPEED;
        Self { epochs, at: Instant::now(), takes: Duration::from_secs_f64(seconds) }
    }

    fn are_due(&self) -> bool {
        /// Time spent on training for each time spent on keeping a checkpoint.
        const PATIENCE: u32 = 100;
        self.at.elapsed() >= self.takes * PATIENCE
    }

    /// Keeps a checkpoint, unless the last one is of this epoch.
    fn keep(
        &mut self,
        trainer: &Trainer<'_>,
        network: &Network,
        state: &mut Checkpoint,
        callbacks: &mut Callbacks<'_>,
    ) -> Result<()> {
        let epochs = state.epochs.len();
        if epochs == self.epochs {
            return Ok(());
        }
        let began = Instant::now();
        trainer.save(network, state);
        (callbacks.save)(state)?;
        state.forget_current();
        *self = Self { epochs, at: Instant::now(), takes: began.elapsed() };
        Ok(())
    }
}

/// Keeps the weights of the last epoch where they are the best under a metric that asks for it.
fn keep_best(network: &Network, job: &Job<'_>, state: &mut Checkpoint) {
    let last = state.epochs.len();
    let is_last = |it: Option<usize>| it == Some(last);
    if is_last(job.stage.best_epoch(&state.epochs)) {
        state.best = Some(network.parameters.snapshot());
    }
    for monitor in &job.stage.checkpoints {
        if is_last(monitor.best(&state.epochs).map(|it| it.epoch)) {
            state.named.insert(monitor.name().to_owned(), network.parameters.snapshot());
        }
    }
}

/// What a shorter stage had trained of `checkpoint`.
fn continued(stage: &Stage, checkpoint: &Checkpoint) -> Continued {
    let seconds = checkpoint.epochs.iter().take(checkpoint.continued).map(|it| it.seconds).sum();
    Continued { stage: stage.name.clone(), epochs: checkpoint.continued, seconds }
}

/// Why a stage is over after `epochs`, if it is.
fn ends(stage: &Stage, epochs: &[Epoch]) -> Option<Stop> {
    let early = stage.early_stopping.as_ref().and_then(|it| it.stop(epochs));
    early.or_else(|| (epochs.len() >= stage.epochs).then_some(Stop::Completed))
}
