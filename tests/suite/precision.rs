//! Networks that compute in bfloat16.

use ferrite::data::augment::Augment;
use ferrite::event::{Deaf, Epoch};
use ferrite::model::network::NoiseStd;
use ferrite::model::trainable::resolve;
use ferrite::model::{Model, PrecisionSetting};
use ferrite::torch;
use ferrite::torch::Device;
use ferrite::torch::precision::{Precision, has_bfloat16};
use ferrite::train::Stage;
use ferrite::train::fit::{Job, Outside, fit};
use ferrite::train::images::{Images, Split};

use crate::place::{Place, SMALL};
use crate::small::{faces, network};

/// Two epochs of a whole network that computes in `precision`.
fn train(precision: Precision) -> Vec<Epoch> {
    torch::start(1);
    let device = Device::Cpu;
    let dataset = faces(60);
    let images = Images::new(&dataset, 32, device);
    let model = Model::default();
    let mut network = network(&model, &dataset, 32, precision);
    network.train(&resolve(&model, &"all".into()).unwrap());
    let stage = Stage { epochs: 2, batch_size: 24, ..Stage::default() };
    let job = Job {
        stage: &stage,
        seed: 0,
        images: &images,
        train: Split { rows: &dataset.train, features: None },
        valid: Split { rows: &dataset.valid, features: None },
        augment: &Augment::default(),
        noise: NoiseStd::default(),
    };
    let outside = &mut Outside { sink: &mut Deaf, save: &mut |_| Ok(()), interrupted: &|| false };
    fit(&mut network, &job, None, outside).unwrap().epochs
}

#[test]
fn losses_in_bfloat16_are_those_of_32_bits_but_for_rounding() {
    let losses = |precision| train(precision).iter().map(|it| it.train.loss).collect::<Vec<_>>();
    let (exact, rounded) = (losses(Precision::F32), losses(Precision::Bf16));
    assert_ne!(exact, rounded);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        // Behind batch norms over two dozen values rounding grows.
        assert!((rounded / exact - 1.0).abs() < 0.05, "{rounded} is not {exact}");
    }
}

#[test]
fn a_run_says_what_it_computed_in_and_only_a_precision_that_was_asked_for_makes_it_another() {
    let with = |precision: &str| format!("{SMALL}\n[model]\nprecision = \"{precision}\"\n");
    let experiments = [("plain", SMALL.to_owned()), ("auto", with("auto")), ("bf16", with("bf16"))];
    let experiments = experiments.each_ref().map(|(name, text)| (*name, text.as_str()));
    let place = Place::with(&experiments);
    place.sweep_well();
    assert_eq!(place.steps("stage").len(), 2, "`auto` is what there is without it");
    let start = |name| place.run(name).facts.start.unwrap();
    assert_eq!((start("plain").precision.as_str(), start("plain").imitated), ("f32", false));
    let asked = start("bf16");
    assert_eq!((asked.precision.as_str(), asked.imitated), ("bf16", !has_bfloat16(Device::Cpu)));
}

#[test]
fn auto_is_bfloat16_only_where_there_are_instructions_for_it() {
    for backbone in ferrite::model::backbone::Backbone::ALL {
        let model = Model { backbone: *backbone, ..Model::default() };
        assert_eq!(model.precision, PrecisionSetting::Auto);
        let chosen = model.precision(Device::Cpu);
        assert!(chosen == Precision::F32 || has_bfloat16(Device::Cpu), "{}", backbone.name());
    }
}
