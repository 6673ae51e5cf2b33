//! A backbone and a head as one trainable network.
//!
//! **Invariant:** the blocks before the first tensor that trains are a frozen prefix; the head always trains.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::event::acts::Normalized;
use ferrite_core::event::gradient::Gradient as GradientNorms;
use ferrite_core::event::{Layer as LayerCount, Signal};
use ferrite_core::model::backbone::Described;
use ferrite_core::model::head::Head;
use ferrite_core::model::layer::{Activation, Builder, Norm};
use ferrite_core::model::spec::Slot;
use ferrite_core::model::summary::{input_norm, layers_of};
use ferrite_core::model::trainable::Trained;
use ferrite_core::model::{FrozenNorm, GaussianNoise, Input, Model};
use ferrite_core::precision::Precisions;
use ferrite_core::pulse::beat;
use ferrite_torch::attribution::grad_cam;
use ferrite_torch::ops::{self, AfterNorm};
use ferrite_torch::parameters::{Gradient, Parameters};
use ferrite_torch::precision::cast;
use ferrite_torch::tensor::from_floats;

use crate::forward::head;
use crate::forward::layer::{Pass, forward_all, normalize_maps};

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
    /// What its parts compute in.
    pub precisions: Precisions,
}

/// A network with its numbers.
#[derive(Debug)]
pub struct Network {
    backbone: Described,
    head: Head,
    input_norm: Option<Norm>,
    input: Input,
    /// What pixels are multiplied with, and what is added, for each channel.
    scaling: OnceCell<[Tensor<4>; 2]>,
    frozen_norm: FrozenNorm,
    precisions: Precisions,
    /// The numbers.
    pub parameters: Parameters,
    /// Where the head's slots begin.
    head_from: usize,
    frozen_blocks: usize,
}

/// Noise added in a training pass, in the units of what it is added to; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NoiseStd {
    /// On each channel of the scaled pixels.
    pub input: [f64; 3],
    /// On the pooled features.
    pub features: f64,
}

impl Network {
    /// A network whose every value follows from the plan's seed.
    pub fn new(plan: &Plan<'_>, device: Device) -> Self {
        let mut builder = Builder::default();
        let backbone = plan.model.backbone.build(plan.model.implementation(), &mut builder);
        let head_from = builder.specs.len();
        let side = backbone.side(plan.image_size);
        let sizes = [backbone.channels, side * side, plan.classes];
        let head = Head::build(&mut builder, &plan.model.head, backbone.classifier, sizes);
        let input_norm = input_norm(&mut builder, plan.model);
        Self {
            frozen_blocks: backbone.blocks.len(),
            backbone,
            head,
            input_norm,
            input: plan.input,
            scaling: OnceCell::new(),
            frozen_norm: plan.frozen_norm,
            precisions: plan.precisions,
            parameters: Parameters::new(builder.specs, plan.seed, device),
            head_from,
        }
    }

    /// From now on `trained` of the backbone trains, and the head.
    pub fn train(&mut self, trained: &Trained) {
        let head = self.parameters.specs().skip(self.head_from).filter(|(_, spec)| spec.learns);
        let head: Vec<Slot> = head.map(|(slot, _)| slot).collect();
        self.parameters.train([trained.slots.as_slice(), &head].concat());
        self.compute_as_in_training(trained);
    }

    /// From now on each block computes in the precision that it has where `trained` trains.
    pub fn compute_as_in_training(&mut self, trained: &Trained) {
        self.frozen_blocks = trained.frozen_blocks;
    }

    /// From now on nothing trains, and every value can be set. What trained last still computes as it did then.
    pub fn rest(&mut self) {
        self.parameters.train(Vec::new());
    }

    /// Blocks that lie wholly before what trains, or trained last.
    pub fn frozen_blocks(&self) -> usize {
        self.frozen_blocks
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
        let specs = self.parameters.specs();
        layers_of(specs, |slot| self.parameters.trains(slot))
    }

    /// What trains, by the block of the backbone or the layer of the head that it belongs to, in forward order.
    pub fn trained_groups(&self) -> Vec<(String, Vec<Slot>)> {
        let mut blocks = BTreeMap::<Slot, &str>::new();
        for block in &self.backbone.blocks {
            for layer in &block.layers {
                layer.each_slot(&mut |slot| {
                    blocks.insert(slot, &block.name);
                });
            }
        }
        let mut groups: Vec<(String, Vec<Slot>)> = Vec::new();
        for (slot, spec) in self.parameters.specs() {
            if !self.parameters.trains(slot) {
                continue;
            }
            let layer = || spec.name.rsplit_once('.').map_or(spec.name.as_str(), |it| it.0);
            let name = blocks.get(&slot).copied().unwrap_or_else(layer);
            match groups.last_mut() {
                Some((last, slots)) if last == name => slots.push(slot),
                _ => groups.push((name.to_owned(), vec![slot])),
            }
        }
        groups
    }

    /// How large `gradient` is, in all and for each of [`Network::trained_groups`]; waits for the device.
    pub fn measure(&self, gradient: &Gradient) -> GradientNorms {
        let mut norms = self.parameters.gradient_norms(gradient).into_iter();
        let mut squares =
            |slots: &[Slot]| norms.by_ref().take(slots.len()).map(|it| it * it).sum::<f64>();
        let groups = self.trained_groups();
        let squares: Vec<f64> = groups.iter().map(|(_, slots)| squares(slots)).collect();
        GradientNorms {
            norm: squares.iter().sum::<f64>().sqrt(),
            groups: squares.iter().map(|it| it.sqrt() as f32).collect(),
        }
    }

    /// Whether `slot` belongs to the head.
    pub fn is_head(&self, index: usize) -> bool {
        index >= self.head_from
    }

    /// How much a gray level counts in each channel where noise is added to the input: the scaling of the
    /// weights, or behind a batch norm, which brings pixels of standard deviation `pixels` to 1, its inverse.
    pub fn gray_level(&self, pixels: f64) -> [f64; 3] {
        match self.input_norm {
            Some(_) => [1.0 / pixels.max(f64::MIN_POSITIVE); 3],
            None => self.input.scaling().0.map(f64::from),
        }
    }

    /// Standard deviation of `noise` in each channel of the input; that of the pixels is `pixels` gray levels.
    pub fn input_noise(&self, noise: GaussianNoise, pixels: f64) -> [f64; 3] {
        self.gray_level(pixels).map(|gray| noise.in_layer_units(pixels * gray, gray))
    }

    /// Scales gray levels 0-255 to what the weights were trained with; one channel becomes three.
    ///
    /// - input: `[batch, 1 or 3, h, w]`
    /// - output: `[batch, 3, h, w]`, channels last in memory
    pub fn scale_pixels(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let (scale, shift, reversed) = self.input.scaling();
        let device = self.parameters.device();
        let [scale, shift] = self
            .scaling
            .get_or_init(|| [scale, shift].map(|it| from_floats(&it, [1, 3, 1, 1], device)));
        let x = if reversed && channels == 3 { x.flip([1]) } else { x };
        let x = x.expand([batch, 3, height, width]);
        ops::channels_last(x * scale.clone() + shift.clone())
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
        let x = self.normalize_input(x, self.pass(true, true));
        let x = ops::add_noise_to_channels(x, noise.input);
        let frozen = self.frozen_blocks();
        let quiet = self.pass(true, false);
        let x = ferrite_torch::without_gradients(|| self.run_blocks(x, 0..frozen, quiet));
        self.train_on_features(x, noise)
    }

    /// A training pass over the output of the frozen blocks.
    pub fn train_on_features(&self, x: Tensor<4>, noise: NoiseStd) -> Tensor<2> {
        // What was made for validation would lie beside what the step needs.
        self.parameters.have_changed();
        let pass = self.pass(true, true);
        let x = self.run_blocks(x, self.frozen_blocks()..self.blocks(), pass);
        let x = head::pool(&self.head, x, pass);
        let x = if noise.features > 0.0 { ops::add_noise(x, noise.features) } else { x };
        head::classify(&self.head, x, pass, self.precisions.head)
    }

    /// Pooled features in inference mode, from the output of the first `done` blocks.
    pub fn infer_features(&self, x: Tensor<4>, done: usize) -> Tensor<2> {
        let pass = self.pass(false, false);
        // Features that are at hand have it behind them.
        let x = if done == 0 { self.normalize_input(x, pass) } else { x };
        head::pool(&self.head, self.run_blocks(x, done..self.blocks(), pass), pass)
    }

    /// Class scores in inference mode, from the output of the first `done` blocks.
    pub fn infer(&self, x: Tensor<4>, done: usize) -> Tensor<2> {
        let x = self.infer_features(x, done);
        head::classify(&self.head, x, self.pass(false, false), self.precisions.head)
    }

    /// What the first `blocks` blocks make of scaled pixels in inference mode, without a graph.
    ///
    /// - input: `[batch, 3, h, w]`, scaled
    /// - output: `[batch, channels, h', w']`
    pub fn maps(&self, x: Tensor<4>, blocks: usize) -> Tensor<4> {
        let pass = self.pass(false, false);
        ferrite_torch::without_gradients(|| {
            self.run_blocks(self.normalize_input(x, pass), 0..blocks, pass)
        })
    }

    /// Where in its feature maps behind `blocks` blocks the network sees what speaks for class `classes[i]` in image `i`, by
    /// Grad-CAM. Nothing may train ([`Network::rest`]).
    ///
    /// - input: `[batch, 3, h, w]`, scaled
    /// - output: `[batch, 1, h', w']`
    pub fn grad_cam(&self, x: Tensor<4>, blocks: usize, classes: &[usize]) -> Tensor<4> {
        grad_cam(self.maps(x, blocks), classes, |maps| {
            let pass = self.pass(false, true);
            let x = self.run_blocks(maps, blocks..self.blocks(), pass);
            let x = head::pool(&self.head, x, pass);
            head::classify(&self.head, x, pass, self.precisions.head)
        })
    }

    /// Pixels a side of the feature maps behind each block, for images of `side` pixels.
    pub fn sides(&self, side: usize) -> Vec<usize> {
        self.backbone.sides(side)
    }

    /// Share of the head's values that dropout sets to 0, from pooled features; none without dropout.
    pub fn dropped(&self, features: Tensor<2>) -> Option<f64> {
        head::dropped(&self.head, features, self.pass(false, false), self.precisions.head)
    }

    /// The running means of batch norms that do not train, where they follow the batches all the same.
    pub fn moving_means(&self) -> Option<Vec<f32>> {
        if self.frozen_norm != FrozenNorm::BatchStatistics {
            return None;
        }
        let mut means = Vec::new();
        let mut norm: Option<Slot> = None;
        for (slot, spec) in self.parameters.specs() {
            if spec.name.ends_with(".weight") {
                norm = Some(slot);
            }
            let frozen = norm.is_some_and(|it| !self.parameters.trains(it));
            if frozen && spec.name.ends_with(".running_mean") {
                means.extend(self.parameters.values(slot));
            }
        }
        (!means.is_empty()).then_some(means)
    }

    /// Whether batch norms compute with the statistics of what they see in training: they train, or follow the batches all the
    /// same.
    pub fn norms_see_batches(&self) -> bool {
        let mut follows = false;
        self.parameters.specs().any(|(slot, spec)| {
            if spec.name.ends_with(".weight") {
                follows = self.parameters.trains(slot);
            }
            let is_norm = spec.name.ends_with(".running_mean");
            is_norm && (follows || self.frozen_norm == FrozenNorm::BatchStatistics)
        })
    }

    /// What the batch norm in front of the backbone makes of the pixels; none without it.
    pub fn normalized(&self) -> Option<Normalized> {
        let slots = self.input_norm.as_ref()?.slots;
        let mean = |slot: Slot| {
            let values = self.parameters.values(slot);
            values.iter().map(|it| f64::from(*it)).sum::<f64>() / values.len() as f64
        };
        let signal = |center, spread: f64| Signal { mean: mean(center), std: spread };
        Some(Normalized {
            from: signal(slots.mean, mean(slots.variance).sqrt()),
            to: signal(slots.bias, mean(slots.weight).abs()),
        })
    }

    fn normalize_input(&self, x: Tensor<4>, pass: Pass<'_>) -> Tensor<4> {
        match &self.input_norm {
            Some(norm) => {
                let after = AfterNorm { other: None, activation: Activation::None };
                normalize_maps(norm, x, after, pass)
            }
            None => x,
        }
    }

    fn run_blocks(&self, x: Tensor<4>, range: std::ops::Range<usize>, pass: Pass<'_>) -> Tensor<4> {
        let cut = self.frozen_blocks.clamp(range.start, range.end);
        let Precisions { frozen, trained, .. } = self.precisions;
        let parts = [(range.start..cut, frozen), (cut..range.end, trained)];
        parts.into_iter().fold(x, |x, (range, precision)| {
            let blocks = &self.backbone.blocks[range];
            // Pooled features, which no block follows, stay as they are.
            let x = if blocks.is_empty() { x } else { cast(x, precision) };
            blocks.iter().fold(x, |x, block| {
                beat();
                forward_all(&block.layers, x, pass)
            })
        })
    }

    fn pass(&self, training: bool, records: bool) -> Pass<'_> {
        let frozen_norms_see_batch = self.frozen_norm == FrozenNorm::BatchStatistics;
        Pass { parameters: &self.parameters, training, frozen_norms_see_batch, records }
    }
}
