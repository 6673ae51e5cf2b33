//! One epoch of a stage: its steps, its validation, and what its techniques did.

mod step;

use std::time::{Duration, Instant};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::acts::{Clipped, Mixed, TechniqueEvidence};
use ferrite_core::event::gradient::Gradient as GradientNorms;
use ferrite_core::event::memory::Divided;
use ferrite_core::event::progress::Progress;
use ferrite_core::event::{Epoch, Kind, Scores, Sink};
use ferrite_core::settings::Clip;
use ferrite_core::settings::sampling::Sampling;
use ferrite_torch::average::Average;
use ferrite_torch::clip::{Clipper, Limit};
use ferrite_torch::loss::{Objective, Tally};
use ferrite_torch::update::{Optimizer, OptimizerState};

use crate::forward::network::Network;
use crate::train::checkpoint::Checkpoint;
use crate::train::energy::Meter;
use crate::train::epoch::step::Recorded;
use crate::train::evidence::Before;
use crate::train::fit::Job;
use crate::train::mix::Alphas;
use crate::train::order::{EpochAt, StepAt, batches, order};

/// How often progress is said, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What a stage keeps from step to step beside the network.
pub(in crate::train) struct Trainer<'a> {
    job: &'a Job<'a>,
    optimizer: Optimizer,
    objective: Objective,
    /// Which classes count nothing in the loss, if any.
    ignored: Option<Vec<bool>>,
    average: Option<Average>,
    clipper: Option<Clipper>,
    recorded: Option<Recorded>,
    /// Steps with a whole batch that were not recorded.
    unrecorded: usize,
    /// What was done last about a batch that did not fit into memory.
    divided: Option<Divided>,
    meter: Meter,
}

/// What a step trains on, and how fast.
struct Batch<'a> {
    at: StepAt,
    /// Within its epoch, counted from 1.
    number: usize,
    /// Of the images in the training split.
    positions: &'a [u32],
    lr: f64,
    /// Whether it is the last of its epoch, whose gradient is measured.
    last: bool,
}

/// What an epoch counts while it runs.
struct Counts {
    scores: Tally,
    steps: usize,
    mixes: Vec<Mixed>,
    /// Steps in which no image counted; none where every class counts.
    weightless: Option<usize>,
    /// How large the gradient of the last step was.
    gradient: Option<GradientNorms>,
}

impl<'a> Trainer<'a> {
    /// At the beginning of the stage.
    pub(in crate::train) fn new(network: &Network, job: &'a Job<'a>) -> Self {
        let (stage, parameters) = (job.stage, &network.parameters);
        let weights = stage.loss.class_weights.of(&job.images.counts(job.train.rows));
        let smoothing = stage.loss.label_smoothing;
        Self {
            job,
            optimizer: Optimizer::new(stage.optimizer.rule(), parameters),
            objective: Objective::new(smoothing, weights.as_deref(), parameters.device()),
            ignored: stage.loss.class_weights.ignored(),
            average: (stage.ema > 0.0).then(|| Average::new(stage.ema, parameters)),
            clipper: stage.clip.map(|it| {
                let limit = match it {
                    Clip::Norm(most) => Limit::Norm(most),
                    Clip::Value(most) => Limit::Value(most),
                };
                Clipper::new(limit, parameters.device())
            }),
            recorded: None,
            unrecorded: 0,
            divided: None,
            meter: Meter::of(parameters.device()),
        }
    }

    /// Goes on from `state`, which forgets what is taken from it.
    pub(in crate::train) fn restore(&mut self, network: &mut Network, state: &mut Checkpoint) {
        network.parameters.restore(&state.current);
        self.divided.clone_from(&state.divided);
        let moments = std::mem::take(&mut state.moments);
        self.optimizer.restore(OptimizerState { steps: state.steps, moments });
        if let Some(average) = &mut self.average {
            average.restore(&state.average);
        }
        state.forget_current();
    }

    /// Puts into `state` what [`Trainer::restore`] reads, without a copy: to be written before the next step.
    pub(in crate::train) fn save(&self, network: &Network, state: &mut Checkpoint) {
        state.current = network.parameters.shared_snapshot();
        let OptimizerState { steps, moments } = self.optimizer.shared_snapshot();
        (state.steps, state.moments) = (steps, moments);
        state.divided.clone_from(&self.divided);
        state.average = self.average.as_ref().map(Average::shared_snapshot).unwrap_or_default();
    }

    /// Gives `network` the weights that are validated and kept, for as long as `look` takes.
    pub(in crate::train) fn with_shown_weights<T>(
        &mut self,
        network: &mut Network,
        look: impl FnOnce(&Network) -> T,
    ) -> T {
        self.show(network);
        let seen = look(network);
        self.show(network);
        seen
    }

    /// Exchanges the weights that train and those that are kept, where they are not the same.
    pub(in crate::train) fn show(&mut self, network: &mut Network) {
        if let Some(average) = &mut self.average {
            average.swap(&mut network.parameters);
        }
    }

    /// Trains one epoch after those in `before`, and validates.
    pub(in crate::train) fn epoch(
        &mut self,
        network: &mut Network,
        before: &[Epoch],
        sink: &mut dyn Sink,
    ) -> Result<Epoch> {
        let (job, started, epoch) = (self.job, Instant::now(), before.len() + 1);
        self.meter.begin();
        let order = job.order(epoch);
        let looked = Before::of(network, job);
        let batches = batches(&order, job.stage.batch_size);
        let steps = batches.len();
        let scores = Tally::new(network.parameters.device());
        let weightless = self.ignored.as_ref().map(|_| 0);
        let mut counts = Counts { scores, steps, mixes: Vec::new(), weightless, gradient: None };
        if let Some(clipper) = &mut self.clipper {
            clipper.reset();
        }
        let mut lr = job.stage.optimizer.lr();
        let mut said = started;
        for (index, positions) in batches.into_iter().enumerate() {
            let step = (epoch - 1) * steps + index;
            lr = job.stage.lr([step, steps * job.stage.epochs], before);
            let (at, last) = (StepAt { seed: job.seed, epoch, step }, index + 1 == steps);
            let batch = Batch { at, number: index + 1, positions, lr, last };
            self.step(network, &batch, &mut counts, sink)?;
            if last || said.elapsed() >= PROGRESS_EVERY {
                said = Instant::now();
                self.meter.look();
                let progress = job.progress([epoch, index + 1, steps], &counts.scores, started);
                job.finite(progress.loss, [epoch, index + 1])?;
                sink.emit(Kind::StepEnded(progress))?;
            }
        }
        let [loss, accuracy] = counts.scores.means();
        let trained_in = started.elapsed().as_secs_f64();
        let first = before.is_empty();
        let ((valid, confusion), dropped) = self.with_shown_weights(network, |network| {
            let valid = job.valid.validate(network, job.images);
            (valid, if first { job.dropped(network) } else { None })
        });
        // The last step may have broken the weights; no training loss has seen them yet.
        job.finite(valid.loss, [epoch, steps])?;
        let seen = TechniqueEvidence {
            dropped,
            least_loss: if first { job.least_loss(&self.objective, &order) } else { None },
            orthogonalized: if first { job.orthogonalized(network) } else { None },
            weighed: job.weighed(&order),
            averaged: self.average.as_ref().map(|it| it.distance(&network.parameters)),
            ..looked.changes(network)
        };
        Ok(Epoch {
            stage: job.stage.name.clone(),
            epoch,
            lr,
            train: Scores { loss, accuracy },
            valid,
            seconds: started.elapsed().as_secs_f64(),
            images_per_second: order.len() as f64 / trained_in,
            acts: counts.acts(job, self.clipper.as_ref(), &order, seen),
            confusion,
            gradient: counts.gradient,
            energy: self.meter.end(),
        })
    }
}

impl Counts {
    /// What the techniques did in an epoch that saw `order`: what was counted beside what was `seen`.
    fn acts(
        &self,
        job: &Job<'_>,
        clipper: Option<&Clipper>,
        order: &[u32],
        seen: TechniqueEvidence,
    ) -> TechniqueEvidence {
        let of_gradients = clipper.map(|it| {
            let [share, norm] = it.means(self.steps);
            Clipped { share, norm }
        });
        let mean = |of: fn(&Mixed) -> f64| {
            self.mixes.iter().map(of).sum::<f64>() / self.mixes.len() as f64
        };
        let mixed = (!self.mixes.is_empty())
            .then(|| Mixed { other: mean(|it| it.other), cut: mean(|it| it.cut) });
        let drawn = job.draws_by_class().then(|| job.images.counts(&job.train.at(order)));
        TechniqueEvidence {
            clipped: of_gradients,
            mixed,
            drawn,
            weightless: self.weightless,
            ..seen
        }
    }
}

impl Job<'_> {
    /// Whether a tenth of the stage's time on a GPU is more than trying kernels takes.
    fn is_long(&self) -> bool {
        const STEPS: usize = 100_000;
        self.stage.epochs * self.train.rows.len() / self.stage.batch_size.max(1) >= STEPS
    }

    fn draws_by_class(&self) -> bool {
        self.stage.sampling == Sampling::Balanced
    }

    fn order(&self, epoch: usize) -> Vec<u32> {
        let labels = self.images.classes_of(self.train.rows);
        let at = EpochAt { seed: self.seed, epoch };
        order(self.stage.sampling, &labels, self.images.classes(), at)
    }

    fn alphas(&self) -> Alphas {
        Alphas { mixup: self.stage.mixup, cutmix: self.stage.cutmix }
    }

    /// # Errors
    /// [`Error::Diverged`] if `loss` is no finite number.
    fn finite(&self, loss: f64, [epoch, step]: [usize; 2]) -> Result<()> {
        let stage = || self.stage.name.clone();
        if loss.is_finite() {
            Ok(())
        } else {
            Err(Error::Diverged { stage: stage(), epoch, step, loss })
        }
    }

    fn progress(
        &self,
        [epoch, step, steps]: [usize; 3],
        scores: &Tally,
        started: Instant,
    ) -> Progress {
        let [loss, accuracy] = scores.means();
        Progress {
            stage: self.stage.name.clone(),
            epoch,
            epochs: self.stage.epochs,
            step,
            steps,
            loss,
            accuracy,
            images_per_second: scores.images() as f64 / started.elapsed().as_secs_f64(),
        }
    }
}
