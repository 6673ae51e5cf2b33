//! A backbone and a head as one trainable network.
//!
//! **Invariant:** what trains is a tail of the network: from one layer on, everything does, head included.

use burn::tensor::Tensor;

use crate::error::Problem;
use crate::event::Layer as LayerCount;
use crate::model::backbone::Described;
use crate::model::head::Head;
use crate::model::layer::{Builder, Pass, forward_all};
use crate::model::{FrozenNorm, GaussianNoise, Input, Model};
use crate::torch::Device;
use crate::torch::ops;
use crate::torch::parameters::{Parameters, Slot};
use crate::torch::tensor::from_floats;

/// Everything that decides a network's shape and first values.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Backbone and head.
    pub model: &'a Model,
    /// How pixels are scaled.
    pub input: Input,
    /// What batch norms of frozen layers do in training.
    pub frozen_norm: FrozenNorm,
    /// Pixels a side of the network's input.
    pub image_size: usize,
    /// How many classes.
    pub classes: usize,
    /// Decides the first values of what is not loaded.
    pub seed: u64,
}

/// A network with its numbers.
#[derive(Debug)]
pub struct Network {
    backbone: Described,
    head: Head,
    input: Input,
    frozen_norm: FrozenNorm,
    /// The numbers.
    pub parameters: Parameters,
    /// Where the head's slots begin.
    head_from: usize,
    trainable_from: usize,
}

/// Noise added in a training pass, in the units of what it is added to; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NoiseStd {
    /// On each channel of the scaled pixels.
    pub input: [f64; 3],
    /// On the pooled features.
    pub features: f64,
}

/// The names of a backbone's blocks and layers, in forward order, with the slot each begins at.
fn places(backbone: &Described, builder: &Builder) -> Vec<(String, usize)> {
    let mut places = Vec::new();
    let mut slot = 0;
    for block in &backbone.blocks {
        places.push((block.name.clone(), slot));
        places.push((block.alias.clone(), slot));
        block.layers.iter().for_each(|layer| layer.each_slot(&mut |_| slot += 1));
    }
    let layers = builder.specs[..slot].iter().enumerate().filter(|(_, spec)| spec.learns);
    places.extend(layers.map(|(slot, spec)| (layer_of(&spec.name).to_owned(), slot)));
    places
}

/// The layer that a tensor belongs to: its name without the last part.
fn layer_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer)
}

/// The first slot that trains when a stage says `trainable`.
///
/// # Errors
/// A problem with the key `trainable` if the backbone has no such block or layer.
pub fn resolve_trainable(model: &Model, trainable: &str) -> Result<usize, Problem> {
    let mut builder = Builder::default();
    let backbone = model.backbone.build(&mut builder);
    match trainable {
        "head" => return Ok(builder.specs.len()),
        "all" => return Ok(0),
        _ => {}
    }
    let places = places(&backbone, &builder);
    match places.iter().find(|(name, _)| name == trainable) {
        Some((_, slot)) => Ok(*slot),
        None => Err(no_place(&backbone, &places, trainable)),
    }
}

/// How many blocks lie wholly before what trains, if the backbone has `trainable` at all.
pub fn frozen_blocks(model: &Model, trainable: &str) -> usize {
    let backbone = model.backbone.build(&mut Builder::default());
    resolve_trainable(model, trainable).map_or(0, |from| blocks_before(&backbone, from))
}

fn blocks_before(backbone: &Described, slot: usize) -> usize {
    let mut end = 0;
    let whole = backbone.blocks.iter().take_while(|block| {
        block.layers.iter().for_each(|layer| layer.each_slot(&mut |_| end += 1));
        end <= slot
    });
    whole.count()
}

fn no_place(backbone: &Described, places: &[(String, usize)], trainable: &str) -> Problem {
    let names = places.iter().map(|(name, _)| name.as_str()).chain(["head", "all"]);
    let nearest = names.max_by(|a, b| {
        strsim::jaro_winkler(a, trainable).total_cmp(&strsim::jaro_winkler(b, trainable))
    });
    Problem::new(
        "trainable",
        format!(
            "the backbone has no block or layer `{trainable}`; did you mean `{}`? (blocks: {} to {})",
            nearest.unwrap_or_default(),
            backbone.blocks.first().map(|it| it.name.as_str()).unwrap_or_default(),
            backbone.blocks.last().map(|it| it.name.as_str()).unwrap_or_default(),
        ),
    )
}

impl Network {
    /// A network whose every value follows from the plan's seed.
    pub fn new(plan: &Plan<'_>, device: Device) -> Self {
        let mut builder = Builder::default();
        let backbone = plan.model.backbone.build(&mut builder);
        let head_from = builder.specs.len();
        let side = plan.image_size.div_ceil(backbone.stride);
        let features = [backbone.channels, side * side];
        let head = Head::build(&mut builder, &plan.model.head, features, plan.classes);
        Self {
            backbone,
            head,
            input: plan.input,
            frozen_norm: plan.frozen_norm,
            parameters: Parameters::new(builder.specs, plan.seed, device),
            head_from,
            trainable_from: usize::MAX,
        }
    }

    /// From now on everything from `slot` on trains.
    pub fn train_from(&mut self, slot: usize) {
        let slots = self.parameters.specs().skip(slot).filter(|(_, spec)| spec.learns);
        let slots: Vec<Slot> = slots.map(|(slot, _)| slot).collect();
        self.parameters.train(slots);
        self.trainable_from = slot;
    }

    /// Blocks that lie wholly before the first trainable slot.
    pub fn frozen_blocks(&self) -> usize {
        blocks_before(&self.backbone, self.trainable_from)
    }

    /// How many blocks the backbone has.
    pub fn blocks(&self) -> usize {
        self.backbone.blocks.len()
    }

    /// Name of block `index`, or `head` behind the last.
    pub fn block_name(&self, index: usize) -> &str {
        self.backbone.blocks.get(index).map_or("head", |it| it.name.as_str())
    }

    /// Layers with learnable parameters, in forward order: those that train and those that do not.
    pub fn layers(&self) -> (Vec<LayerCount>, Vec<LayerCount>) {
        let (mut trainable, mut frozen) = (Vec::<LayerCount>::new(), Vec::<LayerCount>::new());
        for (slot, spec) in self.parameters.specs().filter(|(_, spec)| spec.learns) {
            let layers = if self.parameters.trains(slot) { &mut trainable } else { &mut frozen };
            let name = layer_of(&spec.name);
            match layers.last_mut() {
                Some(last) if last.name == name => last.parameters += spec.len(),
                _ => layers.push(LayerCount { name: name.into(), parameters: spec.len() }),
            }
        }
        (trainable, frozen)
    }

    /// Whether `slot` belongs to the head.
    pub fn is_head(&self, index: usize) -> bool {
        index >= self.head_from
    }

    /// What a gray level is worth in each channel of the scaled pixels.
    pub fn pixel_scale(&self) -> [f64; 3] {
        self.input.scaling().0.map(f64::from)
    }

    /// The strength of `noise` on each channel of the scaled pixels; `pixels` is the standard deviation of
    /// the training pixels in gray levels.
    pub fn input_noise(&self, noise: GaussianNoise, pixels: f64) -> [f64; 3] {
        self.pixel_scale().map(|gray| noise.in_layer_units(pixels * gray, gray))
    }

    /// Scales gray levels 0-255 to what the weights were trained with; one channel becomes three.
    ///
    /// - input: `[batch, 1 or 3, h, w]`
    /// - output: `[batch, 3, h, w]`, channels last in memory
    pub fn scale_pixels(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let (scale, shift, reversed) = self.input.scaling();
        let device = self.parameters.device();
        let x = if reversed && channels == 3 { x.flip([1]) } else { x };
        let x = x.expand([batch, 3, height, width]);
        let scaled = x * from_floats(&scale, [1, 3, 1, 1], device);
        ops::channels_last(scaled + from_floats(&shift, [1, 3, 1, 1], device))
    }

    /// Runs the first `blocks` blocks in inference mode, without a graph.
    ///
    /// Behind the last block, average pooling is done as well: it is all that the head asks for.
    ///
    /// - input: `[batch, 3, h, w]`, scaled
    /// - output: `[batch, channels, h', w']`
    pub fn frozen_prefix(&self, x: Tensor<4>, blocks: usize) -> Tensor<4> {
        let x = self.run_blocks(x, 0..blocks, self.pass(false, false));
        if blocks < self.blocks() || !self.head.averages() {
            return x;
        }
        let pooled = ops::average_pool(x);
        let [batch, channels] = pooled.dims();
        pooled.reshape([batch, channels, 1, 1])
    }

    /// A training pass over scaled pixels.
    ///
    /// The frozen blocks run without a graph; noise is added where it is asked for.
    pub fn train_on_pixels(&self, x: Tensor<4>, noise: NoiseStd) -> Tensor<2> {
        let x = ops::add_noise_to_channels(x, noise.input);
        let frozen = self.frozen_blocks();
        let quiet = self.pass(true, false);
        let x = crate::torch::without_gradients(|| self.run_blocks(x, 0..frozen, quiet));
        self.train_on_features(x, noise)
    }

    /// A training pass over the output of the frozen blocks.
    pub fn train_on_features(&self, x: Tensor<4>, noise: NoiseStd) -> Tensor<2> {
        let pass = self.pass(true, true);
        let x = self.run_blocks(x, self.frozen_blocks()..self.blocks(), pass);
        let x = self.head.pool(x);
        let x = if noise.features > 0.0 { ops::add_noise(x, noise.features) } else { x };
        self.head.forward(x, pass)
    }

    /// Pooled features in inference mode, from the output of the first `done` blocks.
    pub fn infer_features(&self, x: Tensor<4>, done: usize) -> Tensor<2> {
        self.head.pool(self.run_blocks(x, done..self.blocks(), self.pass(false, false)))
    }

    /// Class scores in inference mode, from the output of the first `done` blocks.
    pub fn infer(&self, x: Tensor<4>, done: usize) -> Tensor<2> {
        self.head.forward(self.infer_features(x, done), self.pass(false, false))
    }

    fn run_blocks(&self, x: Tensor<4>, range: std::ops::Range<usize>, pass: Pass<'_>) -> Tensor<4> {
        let blocks = &self.backbone.blocks[range];
        blocks.iter().fold(x, |x, block| forward_all(&block.layers, x, pass))
    }

    fn pass(&self, training: bool, records: bool) -> Pass<'_> {
        let frozen_norms_see_batch = self.frozen_norm == FrozenNorm::BatchStatistics;
        Pass { parameters: &self.parameters, training, frozen_norms_see_batch, records }
    }
}
