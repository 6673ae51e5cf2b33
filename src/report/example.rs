//! Made-up runs of a believable study, for tests of the report.

mod ends;
pub(super) mod images;

use std::fs;
use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::acts::{Stop, TechniqueEvidence};
use ferrite_core::event::audit::{self, Audit, Duplicates, LeakFree, Shared};
use ferrite_core::event::energy::Energy;
use ferrite_core::event::gradient::Gradient;
use ferrite_core::event::weights::{Taken, Weights};
use ferrite_core::event::{
    Augmentation, Dataset, Epoch, Evaluation, FINAL, Layer, Network, Noise, Scores, Signal,
    StageEnd, StageStart, Start,
};
use ferrite_core::metrics::Prediction;
use ferrite_core::store::description::Description;
use ferrite_core::store::record::{Facts, Record, Stage, State};

use crate::report::example::ends::{confused, fail, interrupt, work};
use crate::report::{Report, Target};
use crate::study::Study;
use crate::study::judged::Judged;

const CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const TEST: [usize; 7] = [491, 55, 528, 879, 594, 416, 626];

/// What is to be made up about one configuration.
pub(crate) struct Shape {
    experiment: &'static str,
    backbone: &'static str,
    lr: f64,
    accuracy: f64,
    fine_tuned: bool,
    seconds: f64,
}

/// Eight configurations with up to three seeds, one run failed, one running and one interrupted.
pub(crate) fn records(runs: &Path) -> Vec<Record> {
    let shape = |experiment, backbone, lr, accuracy, fine_tuned, seconds| Shape {
        experiment,
        backbone,
        lr,
        accuracy,
        fine_tuned,
        seconds,
    };
    let shapes = [
        shape("vgg16-finetune", "vgg16", 1e-2, 0.671, true, 1630.0),
        shape("vgg16-finetune", "vgg16", 1e-3, 0.662, true, 1710.0),
        shape("vgg16-frozen", "vgg16", 1e-4, 0.489, false, 95.0),
        shape("resnet50-finetune", "resnet50", 1e-3, 0.643, true, 1120.0),
        shape("mobilenet_v2-frozen", "mobilenet_v2", 1e-4, 0.528, false, 61.0),
        shape(
            "mobilenet_v2-noise <script>alert(1)</script>",
            "mobilenet_v2",
            1e-4,
            0.517,
            false,
            66.0,
        ),
        shape("xception/augmented", "xception", 1e-3, 0.628, true, 1980.0),
        shape("xception/diverges", "xception", 3e1, f64::NAN, true, 12.0),
    ];
    let seeds = shapes.iter().flat_map(|it| (0..3).map(move |seed| (it, seed)));
    let mut all: Vec<_> = seeds.map(|(it, seed)| record(runs, it, seed)).collect();
    interrupt(&mut all[20]);
    all[11].state = State::Running;
    all[11].predictions.clear();
    all[11].facts.evaluation = None;
    all[11].facts.stages[1].end = None;
    all[11].facts.stages[1].epochs.truncate(9);
    all.truncate(22);
    fail(&mut all[21]);
    all
}

/// `n` small finished runs, three seeds each.
pub(crate) fn many(runs: &Path, n: usize) -> Vec<Record> {
    let run = |at: usize| {
        let accuracy = 0.4 + 0.25 * noise(at as u64 / 3);
        let lr = (at / 3 + 1) as f64 * 1e-4;
        let (experiment, backbone) = ("grid", "mobilenet_v2");
        let shape = Shape { experiment, backbone, lr, accuracy, fine_tuned: false, seconds: 60.0 };
        record(runs, &shape, at % 3)
    };
    (0..n).map(run).collect()
}

/// Writes the report of `records` and of what is `damaged` into `runs`.
pub(super) fn write_all(records: &[Record], damaged: &[Error], runs: &Path) -> Result<PathBuf> {
    Report::of(&Judged::new(&Study::of(records, damaged, runs)), Target::beside(runs)).write()
}

/// The page of a run, as it was written.
pub(super) fn page(record: &Record) -> String {
    fs::read_to_string(record.folder.join("index.html")).unwrap()
}

/// One finished run.
pub(crate) fn record(runs: &Path, shape: &Shape, seed: usize) -> Record {
    let trial =
        format!("lr={}-seed={seed}-{:08x}", shape.lr, hash(&[seed as u64, shape.lr.to_bits()]));
    let folder = runs.join(shape.experiment).join(&trial);
    let salt =
        hash(&[seed as u64, shape.lr.to_bits(), shape.backbone.len() as u64, shape.seconds as u64]);
    let accuracy = shape.accuracy + (noise(salt) - 0.5) * 0.012;
    let mut stages = vec![stage(shape, "head", (2_100_000, 14_714_688), accuracy - 0.09, 14, salt)];
    if shape.fine_tuned {
        let epochs = 22 + (salt % 9) as usize;
        stages.push(stage(shape, "fine-tune", (9_180_000, 7_635_264), accuracy, epochs, salt + 77));
    }
    let predictions = predictions(accuracy, salt);
    let right = predictions.iter().filter(|it| it.truth == it.predicted).count();
    let scores =
        Scores { loss: 1.9 - 1.6 * accuracy, accuracy: right as f64 / predictions.len() as f64 };
    let images = predictions.len();
    let leak_free = Some(LeakFree {
        images: images - 288,
        accuracy: Some(scores.accuracy - 0.011),
        inherited: 0,
        unknown: false,
    });
    let facts = Facts {
        start: Some(start(&trial)),
        dataset: Some(dataset()),
        faces: None,
        network: Some(network()),
        weights: Some(weights(shape)),
        noise: vec![Noise { layer: "input".into(), std: 0.1, signal_std: 64.9 }],
        stages,
        divided: Vec::new(),
        evaluation: Some(Evaluation {
            weights: FINAL.into(),
            split: "test".into(),
            images,
            scores,
            predicted: Vec::new(),
            viewed: None,
            leak_free,
        }),
        others: vec![],
        waiting: None,
        stopped: false,
        work: work(&trial, 1_764_000_000_000 + salt % 10_000_000, shape.seconds),
    };
    Record {
        experiment: shape.experiment.into(),
        trial,
        description: Description::default(),
        folder,
        settings: settings(shape, seed).parse().expect("the settings are TOML"),
        state: State::Finished,
        began_ms: 1_764_000_000_000 + salt % 10_000_000,
        seconds: shape.seconds * (0.95 + 0.1 * noise(salt + 5)),
        facts,
        predictions,
        folds: vec![],
    }
}

fn settings(shape: &Shape, seed: usize) -> String {
    let tune = format!(
        "[[stages]]\nname = \"fine-tune\"\ntrainable = \"block5\"\nepochs = 40\nbatch_size = 64\n\
         optimizer = {{ sgd = {{ lr = {}, momentum = 0.9, nesterov = true }} }}\n\
         schedule = {{ plateau = {{ monitor = \"valid_loss\", factor = 0.1, patience = 5 }} }}\n",
        shape.lr
    );
    let lr = if shape.fine_tuned { 1e-4 } else { shape.lr };
    format!(
        "about = \"{}\"\nseeds = [{seed}]\n[data]\nsource = {{ fer2013 = {{ csv = \"data/fer2013.csv\" }} }}\n\
         image_size = {}\n[augment]\nflip = 0.5\nrotation = 10\n{}[model]\nbackbone = \"{}\"\n\
         weights = \"imagenet\"\n[model.head]\nlayers = [1024, 512]\ndropout = 0.5\n\
         [[stages]]\nname = \"head\"\ntrainable = \"head\"\nepochs = 20\nbatch_size = 64\n\
         optimizer = {{ adam = {{ lr = {lr} }} }}\n{}",
        shape.experiment,
        if shape.backbone == "xception" { 71 } else { 96 },
        if shape.experiment.contains("noise") { "[noise]\nfeatures = 0.1\n" } else { "" },
        shape.backbone,
        if shape.fine_tuned { &tune } else { "" },
    )
}

fn start(key: &str) -> Start {
    let (ferrite, device) = ("0.1.0".into(), "cpu".into());
    Start {
        format: 1,
        ferrite,
        key: key.into(),
        device,
        threads: 2,
        precision: "f32".into(),
        imitated: false,
        resumed: false,
    }
}

fn dataset() -> Dataset {
    let train = vec![3995, 436, 4097, 7215, 4830, 3171, 4965];
    let valid = vec![467, 56, 496, 895, 653, 415, 607];
    let splits = [("train", train), ("valid", valid), ("test", TEST.to_vec())];
    Dataset {
        key: "d41d8cd98f00".into(),
        classes: CLASSES.map(String::from).to_vec(),
        counts: splits.map(|(name, counts)| (name.to_owned(), counts)).into(),
        skipped: vec!["row 6459: all pixels are 0".into(), "row 59: <b>no</b> pixels".into()],
        size: [48, 48, 1],
        unlabelled: [("not a face".to_owned(), 176)].into(),
        dropped: 0,
        audit: Some(Box::new(audit())),
        pixels: Signal { mean: 129.4, std: 64.9 },
        reused: true,
        seconds: 0.02,
    }
}

fn audit() -> Audit {
    let split = |name: &str, images, redundant, constant| {
        let (name, classes, nearly_constant) = (name.to_owned(), Vec::new(), 1);
        audit::Split { name, images, classes, redundant, constant, nearly_constant }
    };
    let shared = |split: &str, with: &str, images, same_label| {
        let (split, with) = (split.to_owned(), with.to_owned());
        Shared { split, with, images, same_label }
    };
    let [groups, images, redundant, largest] = [1516, 3369, 1853, 12];
    let (conflicting_groups, conflicting_images) = (57, 160);
    Audit {
        splits: vec![
            split("train", 28_709, 1236, 11),
            split("valid", 3589, 26, 1),
            split("test", 3589, 17, 0),
        ],
        exact: Duplicates {
            groups,
            images,
            redundant,
            largest,
            conflicting_groups,
            conflicting_images,
        },
        shared: vec![shared("valid", "train", 280, 273), shared("test", "train", 288, 279)],
        near: None,
        groups: None,
    }
}

/// VGG16 with the head of the published study's last networks.
fn network() -> Network {
    Network {
        backbone: "vgg16".into(),
        image_size: 48,
        feature_map: [512, 1, 1],
        backbone_parameters: 14_714_688,
        backbone_statistics: 0,
        head_parameters: 1_056_775,
        head_statistics: 3072,
    }
}

fn weights(shape: &Shape) -> Weights {
    Weights {
        from: format!("weights/{}.safetensors", shape.backbone),
        loaded: 26,
        missing: vec![],
        unexpected: vec!["classifier.6.weight".into(), "classifier.6.bias".into()],
        taken: Taken::default(),
        ancestors: None,
    }
}

fn stage(
    shape: &Shape,
    name: &str,
    (trained, fixed): (usize, usize),
    top: f64,
    n: usize,
    salt: u64,
) -> Stage {
    let first = if name == "head" { 0.24 } else { top - 0.06 };
    let speed = if name == "head" { 5.0 } else { 9.0 };
    let epoch = |epoch: usize| {
        let done = 1.0 - (-(epoch as f64) / speed).exp();
        let over = (epoch as f64 / 22.0).powi(2) * 0.05;
        let wobble = (noise(salt + epoch as u64) - 0.5) * 0.02;
        let accuracy = first + (top - first) * done + wobble;
        let valid = Scores { loss: 2.05 - 1.7 * accuracy + over, accuracy };
        let train_accuracy =
            first + (top + 0.12 - first) * done * (0.9 + 0.01 * epoch as f64).min(1.1);
        let train = Scores { loss: 2.0 - 1.75 * train_accuracy, accuracy: train_accuracy };
        let lr = shape.lr * if epoch > 15 { 0.1 } else { 1.0 };
        Epoch {
            stage: name.into(),
            epoch,
            lr,
            train,
            valid,
            seconds: 41.5,
            images_per_second: 692.0,
            acts: TechniqueEvidence::default(),
            confusion: confused(accuracy),
            gradient: Some(Gradient { norm: 3.0 / epoch as f64, groups: vec![] }),
            energy: Some(Energy { processor: Some(41.5 * 55.0), gpu: Some(41.5 * 310.0) }),
        }
    };
    let epochs: Vec<_> = (1..=n).map(epoch).collect();
    let best = epochs.iter().min_by(|a, b| a.valid.loss.total_cmp(&b.valid.loss));
    let (kept, best) = best.map_or((n, 0.0), |it| (it.epoch, it.valid.loss));
    let why = match n {
        20 => Stop::Completed,
        _ => Stop::Early {
            monitor: "valid_loss".into(),
            patience: 5,
            best,
            best_epoch: kept,
            last: None,
            baseline: None,
        },
    };
    let layer = |name: &str, parameters| Layer { name: name.into(), parameters };
    let changed = [("flip".to_owned(), 0.498), ("rotation".to_owned(), 0.93)].into();
    let augmentation =
        Augmentation { stage: name.into(), images: 28_709, changed, mean_difference: 21.7 };
    Stage {
        start: StageStart {
            stage: name.into(),
            epochs: 40,
            steps_per_epoch: 449,
            trainable: vec![layer("block5.conv1", trained - 7_175), layer("head.out", 7_175)],
            frozen: vec![layer("block1.conv1", 1_792), layer("block4.conv3", fixed - 1_792)],
            prefix_until: Some("block5.conv1".into()),
            prefix_cached: name == "head",
            prefix_views: 1,
            groups: Vec::new(),
            keras_parameters: None,
        },
        features: vec![],
        augmentation: (name != "head").then_some(augmentation),
        continued: None,
        epochs,
        end: Some(StageEnd {
            stage: name.into(),
            why,
            epochs: n,
            kept_epoch: kept,
            checkpoints: vec![],
        }),
    }
}

fn predictions(accuracy: f64, salt: u64) -> Vec<Prediction> {
    const EASE: [f64; 7] = [-0.06, -0.12, -0.16, 0.18, -0.08, 0.12, 0.0];
    const TAKEN_FOR: [usize; 7] = [4, 0, 4, 6, 6, 2, 4];
    let truths = TEST.iter().enumerate().flat_map(|(class, n)| std::iter::repeat_n(class, *n));
    let prediction = |(at, truth): (usize, usize)| {
        let draw = |it: u64| noise(hash(&[salt, at as u64, it]));
        let predicted = match () {
            () if draw(1) < accuracy + EASE[truth] => truth,
            () if draw(2) < 0.4 => TAKEN_FOR[truth],
            () => (draw(3) * 6.99) as usize,
        };
        let rest = 0.06;
        let mut probabilities = vec![rest; 7];
        probabilities[predicted] = 1.0 - 6.0 * rest;
        Prediction {
            id: format!("row {at}"),
            truth,
            predicted,
            probabilities,
            group: String::new(),
        }
    };
    truths.enumerate().map(prediction).collect()
}

/// A number between 0 and 1 that is always the same for `salt`.
fn noise(salt: u64) -> f64 {
    (hash(&[salt]) % 10_007) as f64 / 10_007.0
}

fn hash(words: &[u64]) -> u64 {
    let mix =
        |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    words.iter().fold(0xABCD_EF01, mix).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33
}
