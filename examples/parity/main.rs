//! Ferrite's side of `make parity`: computes what `tools/parity.py` asks for, which then compares.
//!
//! `job.json` in the folder named on the command line lists the cases. Case `name` reads its tensors
//! from `name.in.safetensors` and leaves its results in `name.out.safetensors`.
//!
//! **Invariant:** knows no expected value, and uses nothing but the crate's public functions.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use ferrite::data::augment::{Augment, Change};
use ferrite::data::dataset::{self, Dataset};
use ferrite::data::decode::decode;
use ferrite::data::{Data, source::Source, synthetic::Synthetic};
use ferrite::event::{Epoch, Kind, Sink};
use ferrite::model::network::{Network, NoiseStd, Plan};
use ferrite::model::trainable::{Trainable, resolve};
use ferrite::model::weights::{self, Part};
use ferrite::model::{FrozenNorm, Head, Input, Model};
use ferrite::report::metrics::Confusion;
use ferrite::store::record::Prediction;
use ferrite::torch::loss::{self, Labels};
use ferrite::torch::picture;
use ferrite::torch::tensor::{Table, to_floats, to_scalar};
use ferrite::torch::update::Optimizer;
use ferrite::torch::{self, Device};
use ferrite::train::Stage;
use ferrite::train::fit::{Job, Outside, fit};
use ferrite::train::images::{Features, Images, Split, compute_features};
use ferrite::train::optimizer::Optimizer as OptimizerTable;
use ferrite::train::schedule::Schedule;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One thing to compute.
#[derive(Deserialize)]
struct Case {
    name: String,
    work: Work,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// Trains a network if it is told to, then gives its logits.
    Network(Setup),
    /// Trains on synthetic faces with the frozen prefix computed once, and in every step.
    Cached(Box<Cached>),
    /// Applies the affine part of augmentation.
    Affine { size: usize, changes: Vec<Geometry> },
    /// Brings images to another size.
    Resize { size: usize },
    /// Scales gray levels for a network.
    Scale { input: Input },
    /// Lists the learning rates of a cosine schedule.
    Cosine { lr: f64, steps: usize },
    /// Scores predictions.
    Scores { classes: usize },
}

#[derive(Deserialize)]
struct Setup {
    /// The file of its weights, head included.
    weights: PathBuf,
    head: Head,
    image_size: usize,
    classes: usize,
    train: Option<Training>,
    /// Where to save the network at the end.
    save: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Training {
    trainable: Trainable,
    frozen_layers: FrozenNorm,
    optimizer: OptimizerTable,
    /// Images a step; all images are seen once, in their order.
    batch_size: usize,
}

#[derive(Deserialize)]
struct Cached {
    weights: PathBuf,
    head: Head,
    image_size: usize,
    faces: usize,
    stage: Stage,
}

#[derive(Deserialize)]
struct Geometry {
    flip: bool,
    rotation: f64,
    shift: [f64; 2],
    zoom: [f64; 2],
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: parity FOLDER")?);
    torch::start(std::thread::available_parallelism()?.get());
    let cases: Vec<Case> = serde_json::from_slice(&fs_err::read(folder.join("job.json"))?)?;
    for Case { name, work } in cases {
        let bytes = fs_err::read(folder.join(format!("{name}.in.safetensors")))?;
        let input = SafeTensors::deserialize(&bytes)?;
        let output = match work {
            Work::Network(setup) => run_network(&folder, &setup, &input)?,
            Work::Cached(cached) => compare_cached(&folder, &name, &cached)?,
            Work::Affine { size, changes } => change(&input, size, &changes)?,
            Work::Resize { size } => resize(&input, size)?,
            Work::Scale { input: scaling } => scale(&input, scaling)?,
            Work::Cosine { lr, steps } => cosine(lr, steps),
            Work::Scores { classes } => score(&input, classes)?,
        };
        output.write(&folder.join(format!("{name}.out.safetensors")))?;
    }
    Ok(())
}

/// A network whose every value comes from the file `weights`.
fn network(
    weights: &Path,
    head: &Head,
    frozen_norm: FrozenNorm,
    [image_size, classes]: [usize; 2],
) -> Result<(Network, Model)> {
    let model = Model { head: head.clone(), ..Model::default() };
    let input = Input::PlusMinusOne;
    let plan = Plan { model: &model, input, frozen_norm, image_size, classes, seed: 0 };
    let mut network = Network::new(&plan, Device::Cpu);
    weights::load(&mut network, weights, Part::Whole)?;
    Ok((network, model))
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
            return Ok(Self::Images(images(input)?, image_size));
        };
        let table = Table::of_float_bytes(features.data(), features.shape(), Device::Cpu);
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

    fn infer(&self, network: &Network, rows: &[u32]) -> Tensor<2> {
        torch::without_gradients(|| match self {
            Self::Images(table, size) => {
                let x = picture::resize(table.images(rows), *size);
                network.infer(network.scale_pixels(x), 0)
            }
            Self::Features(table) => network.infer(table.features(rows), network.blocks()),
        })
    }
}

fn images(input: &SafeTensors<'_>) -> Result<Table> {
    let images = input.tensor("images")?;
    let shape: [usize; 4] = images.shape().try_into()?;
    Ok(Table::of_bytes(images.data(), shape, Device::Cpu))
}

fn all_images(input: &SafeTensors<'_>) -> Result<Tensor<4>> {
    let count = input.tensor("images")?.shape()[0] as u32;
    Ok(images(input)?.images(&(0..count).collect::<Vec<_>>()))
}

fn run_network(folder: &Path, setup: &Setup, input: &SafeTensors<'_>) -> Result<Output> {
    let frozen_norm = setup.train.as_ref().map_or_else(Default::default, |it| it.frozen_layers);
    let sizes = [setup.image_size, setup.classes];
    let weights = folder.join(&setup.weights);
    let (mut network, model) = network(&weights, &setup.head, frozen_norm, sizes)?;
    let labels = input.tensor("labels")?.data().to_vec();
    let rows = Rows::read(input, setup.image_size)?;
    let mut output = Output::default();
    if let Some(training) = &setup.train {
        network.train(&resolve(&model, &training.trainable).map_err(|problem| problem.message)?);
        train(&mut network, training, (&rows, &labels), &mut output);
    }
    let every: Vec<u32> = (0..labels.len() as u32).collect();
    output.tensor("logits", rows.infer(&network, &every));
    if let Some(file) = &setup.save {
        fs_err::write(folder.join(file), weights::serialize(&network, BTreeMap::new())?)?;
    }
    Ok(output)
}

/// One epoch in the order of the rows: the losses, the first gradient, and every value afterwards.
fn train(
    network: &mut Network,
    training: &Training,
    (rows, labels): (&Rows, &[u8]),
    output: &mut Output,
) {
    let mut optimizer = Optimizer::new(training.optimizer.rule(), &network.parameters);
    let mut losses = Vec::new();
    let positions: Vec<u32> = (0..labels.len() as u32).collect();
    for (batch, labels) in
        positions.chunks(training.batch_size).zip(labels.chunks(training.batch_size))
    {
        let logits = rows.train(network, batch);
        let loss = loss::cross_entropy(&logits, &Labels::new(labels, Device::Cpu));
        let value = to_scalar(loss.clone());
        let gradient = network.parameters.gradient(loss);
        if losses.is_empty() {
            for (slot, spec) in network.parameters.specs() {
                if network.parameters.trains(slot) {
                    let values = network.parameters.gradient_of(&gradient, slot);
                    output.floats(&format!("gradient.{}", spec.name), &spec.shape, &values);
                }
            }
        }
        losses.push(value);
        optimizer.step(&mut network.parameters, gradient, training.optimizer.lr());
    }
    output.numbers("losses", &losses);
    for (slot, spec) in network.parameters.specs() {
        let values = network.parameters.values(slot);
        output.floats(&format!("after.{}", spec.name), &spec.shape, &values);
    }
}

fn compare_cached(folder: &Path, name: &str, cached: &Cached) -> Result<Output> {
    let synthetic = Synthetic { faces: cached.faces, ..Synthetic::default() };
    let data = Data { source: Source::Synthetic(synthetic), ..Data::default() };
    let decoded = folder.join(format!("{name}.faces"));
    fs_err::create_dir_all(&decoded)?;
    decode(&data, &decoded, &|_, _| {})?;
    let faces = dataset::open(&data, &decoded)?;
    let mut output = Output::default();
    output.numbers("cached", &history(folder, cached, &faces, Prefix::Once)?);
    output.numbers("uncached", &history(folder, cached, &faces, Prefix::EveryStep)?);
    Ok(output)
}

/// When the frozen prefix runs.
#[derive(Clone, Copy, PartialEq)]
enum Prefix {
    Once,
    EveryStep,
}

/// Training and validation loss of every epoch of a stage.
fn history(folder: &Path, cached: &Cached, dataset: &Dataset, prefix: Prefix) -> Result<Vec<f64>> {
    let sizes = [cached.image_size, dataset.classes.len()];
    let weights = folder.join(&cached.weights);
    let (mut network, model) = network(&weights, &cached.head, FrozenNorm::Inference, sizes)?;
    let trained = resolve(&model, &cached.stage.trainable).map_err(|problem| problem.message)?;
    network.train(&trained);
    let images = Images::new(dataset, cached.image_size, Device::Cpu);
    let split = |rows| -> Result<Split<'_>> {
        let blocks = network.frozen_blocks();
        let features = || compute_features(&network, &images, rows, blocks, &mut |_| true);
        let bytes = (prefix == Prefix::Once).then(features).transpose()?;
        let features = bytes.map(|it| Features::new(&it, blocks, Device::Cpu));
        Ok(Split { rows, features })
    };
    let job = Job {
        stage: &cached.stage,
        seed: 0,
        images: &images,
        train: split(&dataset.train)?,
        valid: split(&dataset.valid)?,
        augment: &Augment::default(),
        noise: NoiseStd::default(),
    };
    let outside = &mut Outside { sink: &mut Nobody, save: &mut |_| Ok(()), interrupted: &|| false };
    let epochs = fit(&mut network, &job, None, outside)?.epochs;
    let losses = |it: &Epoch| [it.train.loss, it.valid.loss];
    Ok(epochs.iter().flat_map(losses).collect())
}

/// A listener that keeps nothing.
struct Nobody;

impl Sink for Nobody {
    fn emit(&mut self, _: Kind) -> ferrite::error::Result<()> {
        Ok(())
    }
}

fn change(input: &SafeTensors<'_>, size: usize, changes: &[Geometry]) -> Result<Output> {
    let changes: Vec<Change> = changes
        .iter()
        .map(|&Geometry { flip, rotation, shift, zoom }| Change {
            flip,
            rotation,
            shift,
            zoom,
            ..Change::NONE
        })
        .collect();
    let mut output = Output::default();
    let maps: Vec<_> = changes.iter().flat_map(Change::map).collect();
    output.floats("maps", &[changes.len(), 2, 3], &maps);
    output.tensor("images", Augment::default().apply(all_images(input)?, &changes, size, 0.0));
    Ok(output)
}

fn resize(input: &SafeTensors<'_>, size: usize) -> Result<Output> {
    let mut output = Output::default();
    output.tensor("images", picture::resize(all_images(input)?, size));
    Ok(output)
}

fn scale(images: &SafeTensors<'_>, input: Input) -> Result<Output> {
    let model = Model::default();
    let frozen_norm = FrozenNorm::Inference;
    let plan = Plan { model: &model, input, frozen_norm, image_size: 32, classes: 2, seed: 0 };
    let network = Network::new(&plan, Device::Cpu);
    let mut output = Output::default();
    output.tensor("images", network.scale_pixels(all_images(images)?));
    Ok(output)
}

fn cosine(lr: f64, steps: usize) -> Output {
    let rates: Vec<f64> =
        (0..steps).map(|step| Schedule::Cosine.lr(lr, [step, steps], &[])).collect();
    let mut output = Output::default();
    output.numbers("rates", &rates);
    output
}

fn score(input: &SafeTensors<'_>, classes: usize) -> Result<Output> {
    let (truths, guesses) = (input.tensor("truths")?, input.tensor("guesses")?);
    let predictions: Vec<Prediction> = truths
        .data()
        .iter()
        .zip(guesses.data())
        .map(|(truth, guess)| Prediction {
            truth: usize::from(*truth),
            predicted: usize::from(*guess),
            id: String::new(),
            probabilities: Vec::new(),
        })
        .collect();
    let confusion = Confusion::count(classes, &predictions);
    let mut output = Output::default();
    for (name, score) in [
        ("accuracy", confusion.accuracy()),
        ("macro_f1", confusion.macro_f1()),
        ("balanced_accuracy", confusion.balanced_accuracy()),
    ] {
        output.numbers(name, &[score.ok_or("there are no predictions")?]);
    }
    let classes: Vec<f64> =
        confusion.classes().iter().flat_map(|it| [it.precision, it.recall, it.f1]).collect();
    output.numbers("classes", &classes);
    Ok(output)
}

/// Results on their way into a file.
#[derive(Default)]
struct Output {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Output {
    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.tensors.push((name.to_owned(), Dtype::F32, shape.to_vec(), bytes));
    }

    fn numbers(&mut self, name: &str, values: &[f64]) {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.tensors.push((name.to_owned(), Dtype::F64, vec![values.len()], bytes));
    }

    fn tensor<const D: usize>(&mut self, name: &str, x: Tensor<D>) {
        let shape = x.dims();
        self.floats(name, &shape, &to_floats(x));
    }

    fn write(&self, path: &Path) -> Result<()> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        fs_err::write(path, safetensors::serialize(views, None)?)?;
        Ok(())
    }
}
