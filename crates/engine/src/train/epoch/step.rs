//! One step: the gradient of a batch, in as many parts as memory asks for, and where it leads.

use burn::tensor::Tensor;
use ferrite_core::error::Result;
use ferrite_core::event::acts::Mixed;
use ferrite_core::event::memory::Divided;
use ferrite_core::event::{Kind, Sink};
use ferrite_core::fault::{Work, refused_by_torch, within_memory};
use ferrite_random::Use;
use ferrite_torch::loss::Labels;
use ferrite_torch::parameters::Gradient;
use ferrite_torch::recording::{self, GraphInput, Recording, detached};

use crate::forward::network::Network;
use crate::train::epoch::{Batch, Counts, Trainer};
use crate::train::fit::Job;
use crate::train::images::Augmented;
use crate::train::mix::{BatchShape, Mix};
use crate::train::order::batches;

/// Steps with a whole batch before one is recorded. In these LibTorch and cuDNN choose their kernels, which they cannot while
/// they record.
const UNRECORDED: usize = 3;

/// A batch norm learns no variance from fewer images.
const FEWEST: usize = 2;

/// A step with a whole batch as a GPU does it from the first few on.
pub(super) struct Recorded {
    input: GraphInput<4>,
    labels: Labels,
    step: Recording<Outcome>,
}

/// What a step gives besides new weights: the loss before, and the class scores.
type Outcome = (Tensor<1>, Tensor<2>);

/// What a step trains on.
struct Seen {
    input: Tensor<4>,
    labels: Labels,
    mixed: Option<Mixed>,
}

/// The gradient of a batch, with what else a step gives.
struct Made {
    outcome: Outcome,
    gradient: Gradient,
    labels: Labels,
    mixed: Option<Mixed>,
}

impl Trainer<'_> {
    /// Does one step.
    ///
    /// # Errors
    /// What a lack of memory is told as, where the smallest part of the batch does not fit; what `sink` fails with.
    pub(super) fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch<'_>,
        counts: &mut Counts,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let job = self.job;
        self.optimizer.advance(batch.lr);
        let device = network.parameters.device();
        let whole = batch.positions.len() == job.stage.batch_size && self.divided.is_none();
        // The last not as a recording: it would measure in every launch, or hold the gradient until the next one.
        let records = whole && !batch.last && recording::is_possible(device);
        let (outcome, labels, mixed) = if records && self.unrecorded >= UNRECORDED {
            let Seen { input, labels, mixed } = self.seen(network, batch);
            (self.launch(network, input, &labels), labels, mixed)
        } else {
            if records {
                self.unrecorded += 1;
            }
            ferrite_torch::try_kernels(records && job.is_long());
            let made = self.made(network, batch, sink);
            ferrite_torch::try_kernels(false);
            let Made { outcome, gradient, labels, mixed } = made?;
            if batch.last {
                counts.gradient = Some(network.measure(&gradient));
            }
            self.apply(network, gradient);
            (outcome, labels, mixed)
        };
        counts.scores.add(&outcome.0, &outcome.1, &labels);
        counts.mixes.extend(mixed);
        if let (Some(ignored), Some(steps)) = (&self.ignored, &mut counts.weightless) {
            let classes = job.images.classes_of(&job.train.at(batch.positions));
            let nothing = classes.iter().all(|it| ignored[usize::from(*it)]);
            *steps += usize::from(nothing && labels.are_classes());
        }
        Ok(())
    }

    /// What a step trains on. All that is random in its layers is drawn after that.
    fn seen(&self, network: &Network, batch: &Batch<'_>) -> Seen {
        let (job, Batch { at, positions, .. }) = (self.job, batch);
        ferrite_torch::seed_layers(at.random(Use::Layers).bits());
        let rows = job.train.at(positions);
        let labels = job.images.labels(&rows);
        if let Some(features) = &job.train.features {
            let input = features.in_epoch(at.epoch, positions);
            return Seen { input, labels, mixed: None };
        }
        let x = pixels(network, job, at.epoch, &rows);
        let shape = BatchShape { images: rows.len(), size: x.dims()[2] };
        let Some(mix) = Mix::draw(job.alphas(), *at, shape) else {
            return Seen { input: x, labels, mixed: None };
        };
        let device = network.parameters.device();
        let input = ferrite_torch::without_gradients(|| mix.images(x, device));
        let labels = labels.mixed(&mix.partners, mix.own, job.images.classes());
        Seen { input, labels, mixed: Some(mix.told()) }
    }

    /// The gradient of a batch: of all its images at once, or where memory does not hold that, of ever fewer at once.
    fn made(&mut self, network: &Network, batch: &Batch<'_>, sink: &mut dyn Sink) -> Result<Made> {
        loop {
            let tried = within_memory(|| {
                let Seen { input, labels, mixed } = self.seen(network, batch);
                let (outcome, gradient) = match &self.divided {
                    None => self.gradient(network, input, &labels),
                    Some(it) => self.gradient_in_parts(network, (&input, &labels), it.at_once),
                };
                Made { outcome, gradient, labels, mixed }
            });
            match tried {
                Ok(made) => return Ok(made),
                Err(message) => self.divide(network, batch, message, sink)?,
            }
        }
    }

    /// From now on half as many images at once.
    ///
    /// # Errors
    /// What the lack of memory is told as, where a batch norm would see a single image.
    fn divide(
        &mut self,
        network: &Network,
        batch: &Batch<'_>,
        message: String,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let (stage, whole) = (&self.job.stage.name, self.job.stage.batch_size);
        let before = self.divided.as_ref().map_or(whole, |it| it.at_once);
        let before = before.min(batch.positions.len());
        if before < 2 * FEWEST {
            return Err(refused_by_torch(&message, Work::Training));
        }
        let divided = Divided {
            stage: stage.clone(),
            epoch: batch.at.epoch,
            step: batch.number,
            batch: whole,
            at_once: before.div_ceil(2),
            norms: network.norms_see_batches(),
            message,
        };
        ferrite_torch::memory::give_back();
        sink.emit(Kind::BatchDivided(divided.clone()))?;
        self.divided = Some(divided);
        Ok(())
    }

    /// The gradient of all images of a batch at once.
    fn gradient(
        &self,
        network: &Network,
        input: Tensor<4>,
        labels: &Labels,
    ) -> (Outcome, Gradient) {
        let logits = self.trained(network, input);
        let loss = self.objective.loss(&logits, labels);
        let outcome = (detached(loss.clone()), detached(logits));
        (outcome, network.parameters.gradient(loss))
    }

    /// The same as the sum over parts of the batch.
    fn gradient_in_parts(
        &self,
        network: &Network,
        (input, labels): (&Tensor<4>, &Labels),
        at_once: usize,
    ) -> (Outcome, Gradient) {
        let positions: Vec<u32> = (0..input.dims()[0] as u32).collect();
        let (mut losses, mut all) = (Vec::new(), Vec::new());
        let mut sum: Option<Gradient> = None;
        for part in batches(&positions, at_once) {
            let range = part[0] as usize..part[0] as usize + part.len();
            let logits = self.trained(network, input.clone().slice([range.clone()]));
            let loss = self.objective.share(&logits, &labels.part(range), labels);
            losses.push(detached(loss.clone()));
            all.push(detached(logits));
            let gradient = network.parameters.gradient(loss);
            match &mut sum {
                Some(sum) => sum.add(gradient),
                None => sum = Some(gradient),
            }
        }
        let loss = Tensor::cat(losses, 0).sum();
        ((loss, Tensor::cat(all, 0)), sum.expect("a batch has images"))
    }

    /// Class scores in a training pass.
    fn trained(&self, network: &Network, input: Tensor<4>) -> Tensor<2> {
        if self.job.train.features.is_some() {
            network.train_on_features(input, self.job.noise)
        } else {
            network.train_on_pixels(input, self.job.noise)
        }
    }

    /// Moves the weights along `gradient`.
    fn apply(&mut self, network: &mut Network, mut gradient: Gradient) {
        if let Some(clipper) = &mut self.clipper {
            clipper.clip(&mut gradient);
        }
        self.optimizer.apply(&mut network.parameters, gradient);
        if let Some(average) = &mut self.average {
            average.update(&network.parameters);
        }
    }

    /// A step on a GPU, which is recorded once and then launched: nothing in it waits for the device or depends on the host.
    fn launch(&mut self, network: &mut Network, input: Tensor<4>, labels: &Labels) -> Outcome {
        let recorded = if let Some(mut recorded) = self.recorded.take() {
            recorded.input.set(input);
            recorded.labels.set(labels);
            recorded
        } else {
            let (input, labels) = (GraphInput::new(input), labels.graph_input());
            let step = Recording::of(|| {
                let (outcome, gradient) = self.gradient(network, input.tensor(), &labels);
                self.apply(network, gradient);
                outcome
            });
            Recorded { input, labels, step }
        };
        let (loss, logits) = recorded.step.launch().clone();
        network.parameters.have_changed();
        self.recorded = Some(recorded);
        (loss, logits)
    }
}

/// Training images, changed and scaled.
fn pixels(network: &Network, job: &Job<'_>, epoch: usize, rows: &[u32]) -> Tensor<4> {
    ferrite_torch::without_gradients(|| {
        let Job { augment, seed, .. } = *job;
        let changes = augment.acts().then_some(Augmented { augment, seed, epoch });
        network.scale_pixels(job.images.seen(rows, changes))
    })
}
