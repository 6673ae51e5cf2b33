//! The training loop of one stage.
//!
//! Everything random follows from (seed, epoch, item), so a stage that goes on from a checkpoint does
//! what it would have done undisturbed.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use crate::data::augment::Augment;
use crate::error::{Error, Result};
use crate::event::{Epoch, Kind, Progress, Scores, Sink, StageEnd, Stop};
use crate::model::network::{Network, NoiseStd};
use crate::random::{Random, Use};
use crate::torch;
use crate::torch::loss::{self, Tally};
use crate::torch::update::Optimizer;
use crate::train::Stage;
use crate::train::checkpoint::Checkpoint;
use crate::train::images::{Images, Split};

/// How often progress is said, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

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
pub struct Outside<'a> {
    /// Hears everything.
    pub sink: &'a mut dyn Sink,
    /// Keeps a checkpoint.
    pub save: &'a mut dyn FnMut(&Checkpoint) -> Result<()>,
    /// Whether the user wants to stop.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// Trains `network` through the stage, from its first epoch or from where `checkpoint` stands. At the
/// end the network has the weights that go on.
///
/// # Errors
/// [`Error::Diverged`] when the loss stops being finite, [`Error::Interrupted`], and whatever sink and
/// save fail with.
pub fn fit(
    network: &mut Network,
    job: &Job<'_>,
    checkpoint: Option<Checkpoint>,
    outside: &mut Outside<'_>,
) -> Result<Vec<Epoch>> {
    let mut optimizer = Optimizer::new(job.stage.optimizer.rule(), &network.parameters);
    let mut state = checkpoint.unwrap_or_default();
    if !state.epochs.is_empty() {
        network.parameters.restore(&state.current);
        optimizer.restore((state.steps, std::mem::take(&mut state.moments)));
        for epoch in &state.epochs {
            outside.sink.emit(Kind::EpochEnded(epoch.clone()))?;
        }
    }
    let why = loop {
        if let Some(why) = ends(job.stage, &state.epochs) {
            break why;
        }
        if (outside.interrupted)() {
            return Err(Error::Interrupted);
        }
        let epoch = train_epoch(network, &mut optimizer, job, &state.epochs, outside.sink)?;
        state.epochs.push(epoch.clone());
        state.current = network.parameters.snapshot();
        if keeps_best(job.stage, &state.epochs) == Some(epoch.epoch) {
            state.best = Some(state.current.clone());
        }
        if ends(job.stage, &state.epochs).is_none() {
            (state.steps, state.moments) = optimizer.snapshot();
            (outside.save)(&state)?;
        }
        outside.sink.emit(Kind::EpochEnded(epoch))?;
    };
    let kept_epoch = keeps_best(job.stage, &state.epochs).unwrap_or(state.epochs.len());
    if let Some(best) = state.best.filter(|_| kept_epoch < state.epochs.len()) {
        network.parameters.restore(&best);
    }
    let (name, epochs) = (job.stage.name.clone(), state.epochs.len());
    outside.sink.emit(Kind::StageEnded(StageEnd { stage: name, why, epochs, kept_epoch }))?;
    Ok(state.epochs)
}

/// Why a stage is over after `epochs`, if it is.
fn ends(stage: &Stage, epochs: &[Epoch]) -> Option<Stop> {
    let early = stage.early_stopping.as_ref().and_then(|it| it.stop(epochs));
    early.or_else(|| (epochs.len() >= stage.epochs).then_some(Stop::Completed))
}

/// The epoch whose weights are to go on, if early stopping restores the best.
fn keeps_best(stage: &Stage, epochs: &[Epoch]) -> Option<usize> {
    let stopping = stage.early_stopping.as_ref().filter(|it| it.restore_best)?;
    Some(stopping.standing(epochs).best_epoch).filter(|it| *it > 0)
}

fn train_epoch(
    network: &mut Network,
    optimizer: &mut Optimizer,
    job: &Job<'_>,
    before: &[Epoch],
    sink: &mut dyn Sink,
) -> Result<Epoch> {
    let started = Instant::now();
    let epoch = before.len() + 1;
    let order = shuffled(job.train.rows.len(), job.seed, epoch);
    let batches = batches(&order, job.stage.batch_size);
    let steps = batches.len();
    let base = job.stage.optimizer.lr();
    let mut tally = Tally::new(network.parameters.device());
    let mut lr = base;
    let mut said = started;
    for (index, positions) in batches.into_iter().enumerate() {
        let step = (epoch - 1) * steps + index;
        lr = job.stage.schedule.lr(base, [step, steps * job.stage.epochs], before);
        train_step(network, optimizer, job, (epoch, step, positions), (lr, &mut tally));
        let last = index + 1 == steps;
        if last || said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            let progress = progress(job, (epoch, index + 1, steps), &tally, started);
            if !progress.loss.is_finite() {
                let (stage, loss) = (job.stage.name.clone(), progress.loss);
                return Err(Error::Diverged { stage, epoch, step: index + 1, loss });
            }
            sink.emit(Kind::StepEnded(progress))?;
        }
    }
    let [loss, accuracy] = tally.means();
    let trained_in = started.elapsed().as_secs_f64();
    let (valid, _) = job.valid.evaluate(network, job.images);
    if !valid.loss.is_finite() {
        // The last step broke the weights; no training loss has seen them yet.
        let (stage, loss) = (job.stage.name.clone(), valid.loss);
        return Err(Error::Diverged { stage, epoch, step: steps, loss });
    }
    Ok(Epoch {
        stage: job.stage.name.clone(),
        epoch,
        lr,
        train: Scores { loss, accuracy },
        valid,
        seconds: started.elapsed().as_secs_f64(),
        images_per_second: order.len() as f64 / trained_in,
    })
}

fn train_step(
    network: &mut Network,
    optimizer: &mut Optimizer,
    job: &Job<'_>,
    (epoch, step, positions): (usize, usize, &[u32]),
    (lr, tally): (f64, &mut Tally),
) {
    torch::seed_layers(Random::at(job.seed, Use::Layers, epoch as u64, step as u64).bits());
    let rows = job.train.at(positions);
    let labels = job.images.labels(&rows);
    let logits = match &job.train.features {
        Some(features) => network.train_on_features(features.at(positions), job.noise),
        None => network.train_on_pixels(pixels(network, job, epoch, &rows), job.noise),
    };
    let loss = loss::cross_entropy(&logits, &labels);
    tally.add(&loss, &logits, &labels);
    let gradient = network.parameters.gradient(loss);
    optimizer.step(&mut network.parameters, gradient, lr);
}

/// Training images, changed and scaled.
fn pixels(network: &Network, job: &Job<'_>, epoch: usize, rows: &[u32]) -> Tensor<4> {
    torch::without_gradients(|| {
        let x = if job.augment.acts() {
            let draw = |row: &u32| job.augment.draw(job.seed, epoch, *row);
            let changes: Vec<_> = rows.iter().map(draw).collect();
            job.images.changed(rows, job.augment, &changes)
        } else {
            job.images.plain(rows)
        };
        network.scale_pixels(x)
    })
}

fn progress(
    job: &Job<'_>,
    (epoch, step, steps): (usize, usize, usize),
    tally: &Tally,
    started: Instant,
) -> Progress {
    let [loss, accuracy] = tally.means();
    Progress {
        stage: job.stage.name.clone(),
        epoch,
        epochs: job.stage.epochs,
        step,
        steps,
        loss,
        accuracy,
        images_per_second: tally.images() as f64 / started.elapsed().as_secs_f64(),
    }
}

/// The positions of a split in the order in which `epoch` sees them.
fn shuffled(images: usize, seed: u64, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..images as u32).collect();
    Random::at(seed, Use::Shuffle, epoch as u64, 0).shuffle(&mut order);
    order
}

/// Steps of an epoch over `images` images.
pub fn steps_per_epoch(images: usize, batch_size: usize) -> usize {
    let positions = vec![0; images];
    batches(&positions, batch_size).len()
}

/// Batches of `size`; a last one of a single image joins the one before, since a batch norm cannot
/// learn a variance from it.
fn batches(order: &[u32], size: usize) -> Vec<&[u32]> {
    let lonely = order.len() > size && order.len() % size == 1;
    let (most, last) = order.split_at(if lonely { order.len() - size - 1 } else { order.len() });
    most.chunks(size).chain((!last.is_empty()).then_some(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_batch_and_none_is_alone() {
        for (images, expected) in
            [(8, vec![4, 4]), (9, vec![4, 5]), (10, vec![4, 4, 2]), (3, vec![3])]
        {
            let order = shuffled(images, 1, 1);
            let sizes: Vec<usize> = batches(&order, 4).iter().map(|it| it.len()).collect();
            assert_eq!(sizes, expected, "{images} images");
            assert_eq!(batches(&order, 4).concat(), order);
        }
    }
}
