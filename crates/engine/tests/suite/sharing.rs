//! Work that is done once: stages that experiments share, and frozen layers that run once per image.

use std::path::PathBuf;

use ferrite_core::data::augment::Augment;
use ferrite_core::device::Device;
use ferrite_core::event::{Epoch, Kind, NullSink};
use ferrite_core::model::Model;
use ferrite_core::model::trainable::resolve;
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::settings::Stage;
use ferrite_engine::forward::network::NoiseStd;
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Features, Images, Split, compute_features};
use ferrite_testing::{Place, SMALL, events, logs};

use crate::small::{faces, network};

#[test]
fn a_stage_that_two_experiments_share_is_trained_once() {
    let longer = format!("{SMALL}\n[[stages]]\nname = \"more\"\nepochs = 1\n");
    let place = Place::with(&[("a", SMALL), ("b", SMALL), ("longer", &longer)]);
    place.sweep_well();
    assert_eq!(place.steps("stage").len(), 2, "one shared, one of its own");
    assert_eq!(place.steps("dataset").len(), 1);
    let [a, b, longer] = ["a", "b", "longer"].map(|it| place.run(it));
    assert_eq!(a.facts.stages[0].epochs.len(), 2);
    // Equal durations: the same training, told three times.
    assert_eq!(a.facts.stages[0].epochs, b.facts.stages[0].epochs);
    assert_eq!(a.facts.stages[0].epochs, longer.facts.stages[0].epochs);
    assert_eq!(a.predictions, b.predictions);
    assert_ne!(a.predictions, longer.predictions);
}

/// How many stages were trained, over all runs.
fn trained_stages(place: &Place) -> usize {
    let happened = logs(&place.path("runs")).into_iter().flat_map(|it| events(&it));
    let trained = happened
        .filter(|it| matches!(&it.kind, Kind::StepReady(it) if it.step == "stage" && !it.reused));
    trained.count()
}

#[test]
fn a_grid_over_the_second_stage_trains_the_first_once_a_seed_in_one_sweep_or_two_at_once() {
    let grid = format!(
        "seeds = [0, 1, 2]\n{SMALL}\n[[stages]]\nname = \"more\"\nepochs = 1\n[grid]\n\
         \"stages.more.optimizer.adam.lr\" = [1e-2, 1e-3, 1e-4, 1e-5]\n"
    );
    let together = ["sweep", "--threads", "1", "--jobs", "2"];
    let one = Place::with(&[("e", &grid)]);
    one.ferrite(&together).ends_with(0).says("12 trials finished in");
    let two = Place::with(&[("e", &grid)]);
    let sweeps = [two.start(&together), two.start(&together)];
    for sweep in sweeps {
        sweep.end().ends_with(0);
    }
    for place in [&one, &two] {
        assert_eq!(place.runs().len(), 12);
        assert_eq!(place.steps("stage").len(), 3 + 12);
        assert_eq!(trained_stages(place), 3 + 12);
    }
    for (a, b) in one.runs().iter().zip(two.runs()) {
        assert_eq!((&a.trial, &a.predictions), (&b.trial, &b.predictions));
        // What the shared stage did is told in every run.
        assert_eq!(a.facts.stages.len(), 2);
        assert_eq!(a.facts.stages[0].epochs.len(), 2);
        assert!(a.facts.stages[0].end.is_some() && !a.facts.stages[0].features.is_empty());
    }
}

#[test]
fn the_longest_trial_is_started_first_with_those_that_start_from_it() {
    let next = format!("{SMALL}\n[model]\nweights = {{ experiment = \"base\" }}\n");
    // The frozen layers run in every epoch instead of once.
    let noisy = format!("{SMALL}\n[noise]\ninput = {{ std = 0.1 }}\n");
    let place = Place::with(&[("a", SMALL), ("base", SMALL), ("next", &next), ("z", &noisy)]);
    let told = place.ferrite(&["sweep", "--threads", "1", "--jobs", "1", "--set", "seeds=[1]"]);
    assert_eq!(told.code, Some(0), "{told:#?}");
    let begin = |log: &PathBuf| events(log).first().map(|it| it.at_ms);
    let mut logs = logs(&place.path("runs"));
    logs.sort_by_key(begin);
    let name = |log: &PathBuf| log.ancestors().nth(2).unwrap().file_name().unwrap().to_owned();
    let started: Vec<_> = logs.iter().map(name).collect();
    // Nothing is left of `a`, of which `base` has made every step.
    assert_eq!(started, ["base", "z", "next", "a"]);
}

/// Trains a small network from the layer `trainable` on, with the frozen layers' output computed once or
/// in every step.
fn train(trainable: &str, cached: bool) -> Vec<Epoch> {
    ferrite_torch::start(1, Device::Cpu);
    let device = Device::Cpu;
    let dataset = faces(80);
    let images = Images::new(&dataset, 48, device);
    let model = Model::default();
    let mut network = network(&model, &dataset, 48, Precisions::all(Precision::F32));
    network.train(&resolve(&model, &trainable.into()).unwrap());
    let blocks = network.frozen_blocks();
    assert!(blocks > 10, "{trainable} leaves {blocks} blocks frozen");
    let split = |rows| {
        let features = || {
            let bytes =
                compute_features(&network, &images, (rows, None), blocks, &mut |_| true).unwrap();
            Features::new(bytes, blocks, device)
        };
        Split { rows, features: cached.then(features) }
    };
    let (train, valid) = (split(&dataset.train), split(&dataset.valid));
    let stage =
        Stage { trainable: trainable.into(), epochs: 2, batch_size: 16, ..Stage::default() };
    let (augment, noise) = (Augment::default(), NoiseStd::default());
    let job =
        Job { stage: &stage, seed: 3, images: &images, train, valid, augment: &augment, noise };
    let mut callbacks = Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
    fit(&mut network, &job, None, &mut callbacks).unwrap().epochs
}

#[test]
fn frozen_layers_that_run_once_give_the_losses_of_those_that_run_in_every_step() {
    for trainable in ["head", "features.17"] {
        let (cached, every_step) = (train(trainable, true), train(trainable, false));
        assert_eq!(cached.len(), 2);
        for (a, b) in cached.iter().zip(&every_step) {
            for (a, b) in [(a.train.loss, b.train.loss), (a.valid.loss, b.valid.loss)] {
                assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{trainable}: {a} and {b}");
            }
        }
    }
}

#[test]
fn views_that_are_kept_are_those_of_the_first_epochs_and_return_in_turn() {
    let with = |views: usize, epochs: usize| {
        let changes = "flip = 0.5\nrotation = 20\nbrightness = [0.6, 1.4]";
        let small = SMALL.replace("epochs = 2", &format!("epochs = {epochs}"));
        format!("{small}\n[augment]\n{changes}\ncached_views = {views}\n")
    };
    let [fresh, kept, one] = [with(0, 3), with(3, 3), with(1, 2)];
    let place = Place::with(&[("fresh", &fresh), ("kept", &kept), ("one", &one)]);
    place.sweep_well();
    let [fresh, kept, one] = ["fresh", "kept", "one"].map(|it| place.run(it).facts);
    let losses = |epochs: &[Epoch]| epochs.iter().map(|it| it.train.loss).collect::<Vec<_>>();
    let all = [&fresh, &kept, &one].map(|it| losses(&it.stages[0].epochs));
    for (a, b) in all[0].iter().zip(&all[1]) {
        assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{a} and {b}");
    }
    // Its second epoch sees the first one's images again.
    assert!((all[0][1] - all[2][1]).abs() > 1e-4, "{all:?}");
    let start = |it: &ferrite_core::store::record::Facts| {
        (it.stages[0].start.prefix_cached, it.stages[0].start.prefix_views)
    };
    assert_eq!([&fresh, &kept, &one].map(start), [(false, 0), (true, 3), (true, 1)]);
    let views = kept.stages[0].features.iter().filter(|it| it.split.starts_with("train-"));
    assert_eq!(views.count(), 3);
}
