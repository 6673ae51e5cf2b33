//! Keys of steps: what decides a result decides its name, and nothing else does.

use ferrite_core::config::read::read;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::{Trial, trials};
use ferrite_testing::{Place, SMALL};

use crate::disk::NamesAsContent;

/// The one trial of `experiment` with these changes.
fn trial(experiment: &str, changes: &[&str]) -> Trial {
    let place = Place::with(&[("e", experiment)]);
    place.write("w.safetensors", "");
    let here = place.path("w.safetensors").display().to_string();
    let changes: Vec<String> = changes.iter().map(|it| it.replace('@', &here)).collect();
    let written = read(&[place.path("experiments/e.toml")], &changes).unwrap();
    let mut trials = trials(&written, &NamesAsContent).unwrap();
    assert_eq!(trials.len(), 1);
    trials.remove(0)
}

const FROM_FILE: &str = "model.weights.file.path=@";

#[test]
fn every_setting_that_decides_a_result_decides_its_key() {
    let plain = trial(SMALL, &[FROM_FILE]);
    for change in [
        "seeds=[1]",
        "data.source.synthetic.seed=1",
        "data.split.train=0.5",
        "data.split.seed=1",
        "data.image_size=48",
        "data.limit=20",
        "data.leakage=drop-from-train",
        "augment.flip=0.5",
        "augment.flip=alternating",
        "augment.brightness=[0.9, 1.1]",
        "augment.shear=5",
        "augment.zoom_axes=joint",
        "augment.contrast=[0.9, 1.1]",
        "augment.crop=0.9",
        "model.weights=none",
        "model.weights=imagenet",
        "model.weights=imagenet-v2",
        "model.weights.file.input=torchvision",
        "model.weights.file.state_dict=model",
        "model.weights.run=e/other",
        "model.head.pool=flatten",
        "model.head.layers=[8]",
        "model.head.dropout=0.5",
        "noise.input={ std = 0.2 }",
        "noise.features={ std = 0.1 }",
        "noise.features={ unit = 'layer' }",
        "batch_norm.frozen_layers=batch-statistics",
        "stages.head.trainable=features.17",
        "stages.head.epochs=3",
        "stages.head.batch_size=8",
        "stages.head.optimizer.adam.lr=0.01",
        "stages.head.optimizer.sgd={}",
        "stages.head.schedule=cosine",
        "stages.head.early_stopping={}",
        "stages.head.early_stopping={ start_from_epoch = 1 }",
        "stages.head.optimizer.adam.weight_decay=0.1",
        "stages.head.warmup={ epochs = 1 }",
        "stages.head.checkpoints=['valid_accuracy']",
        "stages.head.loss.label_smoothing=0.1",
        "stages.head.loss.class_weights=balanced",
        "stages.head.sampling=balanced",
        "stages.head.mixup=0.2",
        "stages.head.cutmix=1.0",
        "stages.head.clip.norm=1.0",
        "stages.head.ema=0.99",
        "evaluate.views=flip",
        "evaluate.views={ ten_crop = { size = 0.8 } }",
    ] {
        let changed = trial(SMALL, &[FROM_FILE, change]);
        assert_ne!(changed.key, plain.key, "`{change}` has no part in the key");
    }
}

#[test]
fn labels_decide_what_is_learnt_but_not_how_images_are_decoded() {
    let place = Place::with(&[("e", SMALL)]);
    place.write("fer.csv", "");
    place.write("one.csv", "");
    place.write("two.csv", "");
    let trial = |labels: Option<(&str, &str)>| {
        let at = |it: &str| place.path(it).display().to_string();
        let mut changes =
            vec![format!("data.source={{ fer2013 = {{ csv = '{}' }} }}", at("fer.csv"))];
        changes.extend(labels.map(|(votes, rule)| {
            format!("data.labels={{ ferplus = {{ votes = '{}', rule = '{rule}' }} }}", at(votes))
        }));
        let written = read(&[place.path("experiments/e.toml")], &changes).unwrap();
        trials(&written, &NamesAsContent).unwrap().remove(0)
    };
    let all: Vec<Trial> = [
        None,
        Some(("one.csv", "majority")),
        Some(("one.csv", "probabilistic")),
        Some(("two.csv", "majority")),
    ]
    .map(trial)
    .into();
    for (at, one) in all.iter().enumerate() {
        for other in &all[..at] {
            assert_eq!(one.steps[0], other.steps[0]);
            for (step, its) in one.steps.iter().zip(&other.steps).skip(1) {
                assert_ne!(step.key, its.key, "{:?}", step.kind);
            }
        }
    }
}

#[test]
fn what_decides_no_result_decides_no_key() {
    let plain = trial(SMALL, &[]);
    for change in
        ["about=why", "model.head.dropout=0", "stages.head.schedule=constant"].into_iter().chain([
            "stages.head.optimizer.adam.weight_decay=0.0",
            "stages.head.mixup=0",
            "stages.head.ema=0",
            "stages.head.sampling=shuffle",
            "stages.head.loss.class_weights=none",
            "stages.head.checkpoints=[]",
            "augment.zoom_axes=independent",
            "evaluate.views=plain",
            "data.leakage=report",
            "data.labels=source",
        ])
    {
        assert_eq!(trial(SMALL, &[change]).steps, plain.steps, "{change}");
    }
}

#[test]
fn what_a_step_does_not_read_is_not_in_its_key() {
    let key = |change: &str, kind, of: &str| {
        let steps = trial(SMALL, &[change]).steps;
        steps.into_iter().find(|it| it.kind == kind && it.of == of).unwrap().key
    };
    let dataset = |change: &str| key(change, Kind::Dataset, "");
    let features = |change: &str| key(change, Kind::Features, "head train");
    let stage = |change: &str| key(change, Kind::Stage, "head");
    assert_eq!(stage("evaluate.views=flip"), stage("about=x"));
    assert_eq!(dataset("stages.head.epochs=3"), dataset("about=x"));
    assert_eq!(dataset("data.image_size=48"), dataset("about=x"));
    assert_eq!(dataset("data.leakage=drop-from-train"), dataset("about=x"));
    assert_ne!(features("data.leakage=drop-from-train"), features("about=x"));
    assert_eq!(features("stages.head.epochs=3"), features("about=x"));
    assert_eq!(features("model.head.layers=[8]"), features("about=x"));
    assert_ne!(features("data.image_size=48"), features("about=x"));
    assert_ne!(features("stages.head.trainable=features.17"), features("about=x"));
}

#[test]
fn the_implementation_of_a_network_goes_with_its_weights_and_decides_every_key() {
    let plain = trial(SMALL, &[]);
    let keras = trial(SMALL, &["model.implementation=keras"]);
    let kinds = [Kind::Features, Kind::Stage, Kind::Evaluate];
    for (one, other) in plain.steps.iter().zip(&keras.steps) {
        assert_eq!(one.key != other.key, kinds.contains(&one.kind), "{:?}", one.kind);
    }
    assert_eq!(trial(SMALL, &["model.implementation=pytorch"]).steps, plain.steps);
    let whose = |it: &Trial| it.settings.model.implementation();
    let vgg = ["model.backbone=vgg16", "model.weights=keras-imagenet"];
    assert_eq!(whose(&trial(SMALL, &vgg)), Implementation::Keras);

    let place = Place::with(&[("e", SMALL), ("f", SMALL)]);
    let from = |changes: &[&str]| {
        let at = [place.path("experiments/e.toml"), place.path("experiments/f.toml")];
        let mut written = read(&at[..1], &["model.implementation=keras".to_owned()]).unwrap();
        let changes: Vec<String> = changes.iter().map(|it| (*it).to_owned()).collect();
        written.extend(read(&at[1..], &changes).unwrap().into_iter().filter(|it| it.name == "f"));
        trials(&written, &NamesAsContent)
    };
    let start = "model.weights.experiment=e";
    assert_eq!(whose(from(&[start]).unwrap().last().unwrap()), Implementation::Keras);
    let error = from(&[start, "model.implementation=pytorch"]).unwrap_err().to_string();
    assert!(error.contains("asks for the `pytorch` implementation"), "{error}");
}
