//! Networks: their logits, and their training step by step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::event::acts::TechniqueEvidence;
use ferrite_core::event::gradient::Gradient as GradientNorms;
use ferrite_core::event::{Epoch, Scores};
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{FrozenNorm, Head, Input, Model, PrecisionSetting, backbone::Backbone};
use ferrite_core::settings::{Clip, Stage};
use ferrite_engine::forward::network::{Network, NoiseStd, Plan};
use ferrite_engine::forward::weights::{self, Part};
use ferrite_torch::average::Average;
use ferrite_torch::clip::{Clipper, Limit};
use ferrite_torch::loss::{Labels, Objective};
use ferrite_torch::picture;
use ferrite_torch::precision::bfloat16_on;
use ferrite_torch::tensor::{Table, to_scalar};
use ferrite_torch::update::Optimizer;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result, feature_maps, images};

/// A network and what happens to it.
#[derive(Deserialize)]
pub(crate) struct Setup {
    /// The file of its weights, head included.
    weights: PathBuf,
    backbone: Backbone,
    head: Head,
    image_size: usize,
    classes: usize,
    frozen_layers: FrozenNorm,
    precision: PrecisionSetting,
    /// Trained on all images in their order, epoch by epoch.
    stage: Option<Stage>,
    /// How the labels of each step are mixed.
    mix: Option<Mix>,
    /// Where to save the network at the end.
    save: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Mix {
    partners: Vec<u32>,
    own: f64,
}

/// A network whose every value comes from the file `weights`.
pub(crate) fn load(
    weights: &Path,
    model: &Model,
    (input, frozen_norm): (Input, FrozenNorm),
    [image_size, classes]: [usize; 2],
) -> Result<Network> {
    let precisions = model.precisions(Device::Cpu, bfloat16_on(Device::Cpu));
    let plan = Plan { model, input, frozen_norm, image_size, classes, seed: 0, precisions };
    let mut network = Network::new(&plan, Device::Cpu);
    weights::load(&mut network, weights, Part::Whole)?;
    Ok(network)
}

/// What a network reads, row by row.
enum Rows {
    /// Images as bytes, brought to this size.
    Images(Table, usize),
    /// What the last block of the backbone gave.
    Features(Table),
}

impl Rows {
    fn read(input: &SafeTensors<'_>, image_size: usize) -> Result<Self> {
        let Ok(features) = input.tensor("features") else {
            return Ok(Self::Images(images(input, "images")?, image_size));
        };
        let table = feature_maps(&features);
        Ok(Self::Features(table))
    }

    fn train(&self, network: &Network, rows: &[u32]) -> Tensor<2> {
        let noise = NoiseStd::default();
        match self {
            Self::Images(table, size) => {
                let x = picture::resize(table.images(rows), *size);
                network.train_on_pixels(network.scale_pixels(x), noise)
            }
            Self::Features(table) => network.train_on_features(table.features(rows), noise),
        }
    }

    fn infer(&self, network: &Network, count: usize) -> Tensor<2> {
        let rows: Vec<u32> = (0..count as u32).collect();
        ferrite_torch::without_gradients(|| match self {
            Self::Images(table, size) => {
                let x = picture::resize(table.images(&rows), *size);
                network.infer(network.scale_pixels(x), 0)
            }
            Self::Features(table) => network.infer(table.features(&rows), network.blocks()),
        })
    }
}

/// Logits of `images` (or `features`) as `logits`, after training if there is a stage. Logits of other images,
/// `images.N` at N pixels a side, come before it, as `logits.N`.
pub(crate) fn run(folder: &Path, setup: &Setup, input: &SafeTensors<'_>) -> Result<Output> {
    let Setup { backbone, head, precision, .. } = setup;
    let head = head.clone();
    let model = Model { backbone: *backbone, head, precision: *precision, ..Model::default() };
    let sizes = [setup.image_size, setup.classes];
    let scaling = (Input::PlusMinusOne, setup.frozen_layers);
    let mut network = load(&folder.join(&setup.weights), &model, scaling, sizes)?;
    let mut output = Output::default();
    for name in input.names() {
        if let Some(size) = name.strip_prefix("images.") {
            let rows = Rows::Images(images(input, name)?, size.parse()?);
            let count = input.tensor(name)?.shape()[0];
            output.tensor(&format!("logits.{size}"), rows.infer(&network, count));
        }
    }
    let labels = input.tensor("labels")?.data();
    let rows = Rows::read(input, setup.image_size)?;
    if let Some(stage) = &setup.stage {
        network.train(&resolve(&model, &stage.trainable).map_err(|problem| problem.message)?);
        let shares =
            input.tensor("shares").ok().map(|it| ferrite_torch::tensor::floats_of(it.data()));
        let targets = Targets { labels, shares, mix: setup.mix.as_ref(), classes: setup.classes };
        train(&mut network, stage, (&rows, &targets), &mut output);
    }
    output.tensor("logits", rows.infer(&network, labels.len()));
    if let Some(file) = &setup.save {
        weights::write(&network, BTreeMap::new(), &folder.join(file))?;
    }
    Ok(output)
}

/// What the logits should be.
struct Targets<'a> {
    labels: &'a [u8],
    /// Share of each class in each image, where labels are distributions.
    shares: Option<Vec<f32>>,
    mix: Option<&'a Mix>,
    classes: usize,
}

impl Targets<'_> {
    fn at(&self, rows: &[u32]) -> Labels {
        let range = rows[0] as usize..rows[0] as usize + rows.len();
        let classes = &self.labels[range.clone()];
        let labels = match &self.shares {
            Some(shares) => {
                let shares = &shares[range.start * self.classes..range.end * self.classes];
                Labels::with_probabilities(classes, shares, Device::Cpu)
            }
            None => Labels::new(classes, Device::Cpu),
        };
        match self.mix {
            Some(mix) => labels.mixed(&mix.partners, mix.own, self.classes),
            None => labels,
        }
    }

    fn counts(&self) -> Vec<usize> {
        let count = |class| self.labels.iter().filter(|it| usize::from(**it) == class).count();
        (0..self.classes).map(count).collect()
    }
}

/// The steps of `stage`: losses, rates, the first gradient and how large it was before it was clipped, and every value
/// afterwards.
fn train(
    network: &mut Network,
    stage: &Stage,
    (rows, targets): (&Rows, &Targets<'_>),
    output: &mut Output,
) {
    let mut optimizer = Optimizer::new(stage.optimizer.rule(), &network.parameters);
    let class_weights = stage.loss.class_weights.of(&targets.counts());
    let objective =
        Objective::new(stage.loss.label_smoothing, class_weights.as_deref(), Device::Cpu);
    let mut clipper = stage.clip.map(|it| {
        let limit = match it {
            Clip::Norm(most) => Limit::Norm(most),
            Clip::Value(most) => Limit::Value(most),
        };
        Clipper::new(limit, Device::Cpu)
    });
    let mut average = (stage.ema > 0.0).then(|| Average::new(stage.ema, &network.parameters));
    let positions: Vec<u32> = (0..targets.labels.len() as u32).collect();
    let (mut losses, mut rates, mut before) = (Vec::new(), Vec::new(), Vec::new());
    let steps = positions.chunks(stage.batch_size).len() * stage.epochs;
    for epoch in 1..=stage.epochs {
        for batch in positions.chunks(stage.batch_size) {
            let lr = stage.lr([losses.len(), steps], &before);
            // So is PyTorch's in `tools/parity`.
            ferrite_torch::seed_layers(losses.len() as u64);
            let loss = objective.loss(&rows.train(network, batch), &targets.at(batch));
            let value = to_scalar(loss.clone());
            let mut gradient = network.parameters.gradient(loss);
            if losses.is_empty() {
                let GradientNorms { norm, groups } = network.measure(&gradient);
                let names: Vec<String> =
                    network.trained_groups().into_iter().map(|it| it.0).collect();
                output.text("groups", &names.join("\n"));
                output.numbers("norms", &groups.iter().map(|it| (*it).into()).collect::<Vec<_>>());
                output.numbers("norm", &[norm]);
            }
            if let Some(clipper) = &mut clipper {
                clipper.clip(&mut gradient);
            }
            if losses.is_empty() {
                for (slot, spec) in network.parameters.specs() {
                    if network.parameters.trains(slot) {
                        let values = network.parameters.gradient_of(&gradient, slot);
                        output.floats(&format!("gradient.{}", spec.name), &spec.shape, &values);
                    }
                }
            }
            losses.push(value);
            rates.push(lr);
            optimizer.advance(lr);
            optimizer.apply(&mut network.parameters, gradient);
            if let Some(average) = &mut average {
                average.update(&network.parameters);
            }
        }
        before.push(epoch_with(epoch, [0.0; 4]));
    }
    output.numbers("losses", &losses);
    output.numbers("rates", &rates);
    write_values(network, "after", output);
    if let Some(average) = &mut average {
        average.swap(&mut network.parameters);
        write_values(network, "average", output);
        average.swap(&mut network.parameters);
    }
}

fn write_values(network: &Network, title: &str, output: &mut Output) {
    for (slot, spec) in network.parameters.specs() {
        let values = network.parameters.values(slot);
        output.floats(&format!("{title}.{}", spec.name), &spec.shape, &values);
    }
}

/// An epoch with these scores: loss and accuracy in training, loss and accuracy in validation.
pub(crate) fn epoch_with(
    epoch: usize,
    [loss, accuracy, valid_loss, valid_accuracy]: [f64; 4],
) -> Epoch {
    Epoch {
        stage: String::new(),
        epoch,
        lr: 0.0,
        train: Scores { loss, accuracy },
        valid: Scores { loss: valid_loss, accuracy: valid_accuracy },
        seconds: 0.0,
        images_per_second: 0.0,
        acts: TechniqueEvidence::default(),
        confusion: Vec::new(),
        gradient: None,
        energy: None,
    }
}
