//! The pieces of a step and of a sweep, each by itself: `cargo bench`, or `cargo bench -- NAME` for some.
//!
//! What a user waits for is measured beside PyTorch (`make bench`). This is for whoever changes a piece: Criterion
//! compares with the last time on the same machine. One thread computes, as in a sweep on a processor.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferrite_core::config::read::read;
use ferrite_core::data::augment::Augment;
use ferrite_core::data::dataset::{self, Dataset};
use ferrite_core::data::decode::decode;
use ferrite_core::device::Device;
use ferrite_core::error::Result;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::layer::ConvShape;
use ferrite_core::model::layer::{Builder, Layer};
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{FrozenNorm, Input, Model, WeightFile};
use ferrite_core::plan::{FinishedRun, Lookup, trials};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::settings::rule::{AdamRule, Decay, Rule};
use ferrite_engine::forward::layer::{Pass, forward_all};
use ferrite_engine::forward::network::{Network, Plan};
use ferrite_engine::forward::weights::write;
use ferrite_engine::train::images::{Augmented, Images};
use ferrite_torch::ops::average_pool;
use ferrite_torch::parameters::Parameters;
use ferrite_torch::precision::{cast, has_bfloat16};
use ferrite_torch::tensor::from_floats;
use ferrite_torch::update::Optimizer;

const BATCH: usize = 64;

/// Layers with numbers and what they read.
struct Piece {
    layers: Vec<Layer>,
    parameters: Parameters,
    x: Tensor<4>,
}

impl Piece {
    /// Layers on a batch of `channels` channels at `side` positions a side.
    fn new(build: impl Fn(&mut Builder) -> Vec<Layer>, channels: usize, side: usize) -> Self {
        let mut builder = Builder::default();
        let layers = build(&mut builder);
        let parameters = Parameters::new(builder.specs, 0, Device::Cpu);
        let values: Vec<f32> =
            (0..BATCH * channels * side * side).map(|it| (it as f32 * 0.7).sin()).collect();
        // Channels last in memory, as in a network.
        let x = from_floats(&values, [BATCH, side, side, channels], Device::Cpu);
        Self { layers, parameters, x: x.permute([0, 3, 1, 2]) }
    }

    fn train(&mut self) {
        let learns = self.parameters.specs().filter(|(_, spec)| spec.learns);
        let slots = learns.map(|(slot, _)| slot).collect();
        self.parameters.train(slots);
    }

    fn run(&self, precision: Precision, records: bool) -> Tensor<4> {
        let Self { parameters, x, .. } = self;
        let pass = Pass { parameters, training: records, frozen_norms_see_batch: false, records };
        forward_all(&self.layers, cast(x.clone(), precision), pass)
    }

    /// Forwards and backwards.
    fn step(&self, precision: Precision) {
        black_box(self.parameters.gradient(average_pool(self.run(precision, true)).mean()));
    }
}

fn convolutions(kernel: usize, channels: usize) -> impl Fn(&mut Builder) -> Vec<Layer> {
    convolutions_of(ConvShape { kernel, stride: 1, padding: kernel / 2, groups: 1 }, channels)
}

fn convolutions_of(shape: ConvShape, channels: usize) -> impl Fn(&mut Builder) -> Vec<Layer> {
    // The gradient of the second one's input is asked for.
    move |builder| ["0", "1"].map(|it| builder.conv(it, [channels; 2], shape)).into()
}

/// Two convolutions one behind the other, forwards and backwards, on the image sizes of VGG16 at 48 pixels and on
/// ResNet50's points.
fn convolution(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let mut group = criterion.benchmark_group("convolution");
    for (kernel, channels, side) in
        [(3, 64, 48), (3, 256, 12), (3, 512, 6), (3, 512, 3), (1, 1024, 3)]
    {
        let operations = 5 * 2 * BATCH * side * side * kernel * kernel * channels * channels;
        group.throughput(Throughput::Elements(operations as u64));
        let mut piece = Piece::new(convolutions(kernel, channels), channels, side);
        piece.train();
        for precision in precisions() {
            let name = format!("{kernel}x{kernel} of {channels} on {side}x{side}, {precision:?}");
            group.bench_function(name, |it| it.iter(|| piece.step(precision)));
        }
    }
}

/// The same of depthwise ones, on the image sizes of ConvNeXt-Tiny and EfficientNet-B0 at 96 pixels.
fn depthwise(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let mut group = criterion.benchmark_group("depthwise convolution");
    for (kernel, channels, side) in
        [(7, 96, 24), (7, 384, 6), (7, 768, 3), (5, 240, 12), (5, 672, 6)]
    {
        let operations = 5 * 2 * BATCH * side * side * kernel * kernel * channels;
        group.throughput(Throughput::Elements(operations as u64));
        let shape = ConvShape { kernel, stride: 1, padding: kernel / 2, groups: channels };
        let mut piece = Piece::new(convolutions_of(shape, channels), channels, side);
        piece.train();
        for precision in precisions() {
            let name = format!("{kernel}x{kernel} of {channels} on {side}x{side}, {precision:?}");
            group.bench_function(name, |it| it.iter(|| piece.step(precision)));
        }
    }
}

/// A batch norm with its activation, in training and folded into the convolution in front.
fn norm(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let mut group = criterion.benchmark_group("norm");
    let normed = |builder: &mut Builder| vec![Layer::Norm(builder.norm("0", 96)), Layer::Relu6];
    let mut piece = Piece::new(normed, 96, 24);
    piece.train();
    for precision in precisions() {
        group.bench_function(format!("training, {precision:?}"), |it| {
            it.iter(|| piece.step(precision));
        });
    }
    let points = |builder: &mut Builder| {
        let mut layers = convolutions(1, 96)(builder);
        layers.truncate(1);
        layers.extend(normed(builder));
        layers
    };
    let piece = Piece::new(points, 96, 24);
    for precision in precisions() {
        group.bench_function(format!("behind a convolution, no gradients, {precision:?}"), |it| {
            it.iter(|| ferrite_torch::without_gradients(|| black_box(piece.run(precision, false))));
        });
    }
}

/// The precisions that this processor has instructions for.
fn precisions() -> impl Iterator<Item = Precision> {
    let rounded = has_bfloat16(Device::Cpu).then_some(Precision::Bf16);
    [Precision::F32].into_iter().chain(rounded)
}

/// A step over nineteen million values.
fn optimizer(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let mut piece = Piece::new(convolutions(3, 1024), 1024, 1);
    piece.train();
    let (betas, decay) = ([0.9, 0.999], Decay::L2(0.0));
    let adam = Rule::Adam(AdamRule { betas, eps: 1e-7, decay, rectified: false });
    let sgd = Rule::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-4 };
    let mut group = criterion.benchmark_group("optimizer");
    group.throughput(Throughput::Elements(piece.parameters.trainable_values() as u64));
    for (name, rule) in [("Adam", adam), ("SGD", sgd)] {
        let mut optimizer = Optimizer::new(rule, &piece.parameters);
        group.bench_function(name, |it| {
            it.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let loss = average_pool(piece.run(Precision::F32, true)).mean();
                    let gradient = piece.parameters.gradient(loss);
                    let began = Instant::now();
                    optimizer.advance(1e-6);
                    optimizer.apply(&mut piece.parameters, gradient);
                    taken += began.elapsed();
                }
                taken
            });
        });
    }
}

/// A batch of faces, changed as the study's augmentation does.
fn augmentation(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let faces = faces(BATCH);
    let images = Images::new(&faces, 96, Device::Cpu);
    let augment = "flip = 0.5\nrotation = 10\nshift = 0.1\nzoom = 0.1\nbrightness = [0.8, 1.2]";
    let augment: Augment = toml::from_str(augment).expect("valid settings");
    let rows: Vec<u32> = (0..BATCH as u32).collect();
    let mut group = criterion.benchmark_group("augmentation");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("faces of 48 pixels to 96", |it| {
        let changes = Augmented { augment: &augment, seed: 0, epoch: 1 };
        it.iter(|| black_box(images.seen(&rows, Some(changes))));
    });
}

fn faces(count: usize) -> Dataset {
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("source.synthetic.faces = {count}");
    let data = toml::from_str(&data).expect("valid settings");
    decode(&data, folder.path(), &|_, _| {}).expect("drawn faces");
    dataset::open(&data, folder.path()).expect("drawn faces")
}

/// A table as FER2013's, of two thousand faces.
fn csv(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("faces.csv");
    let pixels: Vec<String> = (0..2304).map(|it| (it * 7 % 256).to_string()).collect();
    let pixels = pixels.join(" ");
    let usage = |row| if row % 10 == 0 { "PublicTest" } else { "Training" };
    let row = |row| format!("{},{pixels},{}\n", row % 7, usage(row));
    let table: String =
        std::iter::once("emotion,pixels,Usage\n".to_owned()).chain((0..2000).map(row)).collect();
    std::fs::write(&path, &table).expect("a written table");
    let data = format!("source.fer2013.csv = '{}'", path.display());
    let data = toml::from_str(&data).expect("valid settings");
    let mut group = criterion.benchmark_group("csv");
    group.sample_size(20).throughput(Throughput::Bytes(table.len() as u64));
    group.bench_function("2,000 faces", |it| {
        it.iter(|| decode(&data, &folder.path().join("decoded"), &|_, _| {}).expect("a table"));
    });
}

/// The bytes of a finished MobileNetV2.
fn weights(criterion: &mut Criterion) {
    ferrite_torch::start(1, Device::Cpu);
    let model = Model::default();
    let plan = Plan {
        model: &model,
        input: Input::default(),
        frozen_norm: FrozenNorm::Inference,
        image_size: 96,
        classes: 7,
        seed: 0,
        precisions: Precisions::all(Precision::F32),
    };
    let mut network = Network::new(&plan, Device::Cpu);
    network.train(&resolve(&model, &"all".into()).expect("a place"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    let mut group = criterion.benchmark_group("weights");
    group.bench_function("MobileNetV2", |it| {
        it.iter(|| write(&network, Default::default(), &path).expect("weights"));
    });
}

/// A disk on which nothing is.
struct Nothing;

impl Lookup for Nothing {
    fn images(&self, _: &ferrite_core::data::Data) -> Result<String> {
        Ok("images".into())
    }

    fn file(&self, _: &Path) -> Result<String> {
        Ok("file".into())
    }

    fn weights(&self, file: &WeightFile, _: Backbone) -> Result<(WeightFile, Implementation)> {
        Ok((file.clone(), Implementation::default()))
    }

    fn run(&self, name: &str) -> Result<FinishedRun> {
        let implementation = Implementation::default();
        Ok(FinishedRun { name: name.into(), key: "run".into(), implementation })
    }
}

/// From a file to its hundred trials and their keys.
fn plan(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hundred.toml");
    let seeds: Vec<String> = (0..100).map(|it| it.to_string()).collect();
    let text = format!("seeds = [{}]\n[data.source.synthetic]\nfaces = 60\n", seeds.join(", "));
    std::fs::write(&path, text).expect("a written file");
    criterion.bench_function("plan/100 trials", |it| {
        it.iter(|| {
            let written = read(std::slice::from_ref(&path), &[]).expect("an experiment");
            assert_eq!(trials(&written, &Nothing).expect("trials").len(), 100);
        });
    });
}

criterion_group!(pieces, convolution, depthwise, norm, optimizer, augmentation, csv, weights, plan);
criterion_main!(pieces);
