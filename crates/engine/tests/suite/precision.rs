//! Networks that compute in bfloat16.

use ferrite_core::data::augment::Augment;
use ferrite_core::device::Device;
use ferrite_core::event::{Epoch, NullSink};
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{Head, Model, PrecisionSetting};
use ferrite_core::precision::{Bfloat16, Precision, Precisions};
use ferrite_core::settings::Stage;
use ferrite_engine::forward::network::NoiseStd;
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Images, Split};
use ferrite_testing::{Place, SMALL};
use ferrite_torch::loss::cross_entropy;
use ferrite_torch::precision::{bfloat16_on, cast, has_bfloat16};
use ferrite_torch::tensor::to_floats;

use crate::small::{faces, network};

/// Two epochs of a whole network that computes in `precision`.
fn train(precision: Precision) -> Vec<Epoch> {
    ferrite_torch::start(1, Device::Cpu);
    let device = Device::Cpu;
    let dataset = faces(60);
    let images = Images::new(&dataset, 32, device);
    let model = Model::default();
    let mut network = network(&model, &dataset, 32, Precisions::all(precision));
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
    let callbacks =
        &mut Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
    fit(&mut network, &job, None, callbacks).unwrap().epochs
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
fn the_frozen_and_the_trained_part_compute_each_in_its_own_precision() {
    ferrite_torch::start(1, Device::Cpu);
    let (dataset, model) = (faces(60), Model::default());
    let images = Images::new(&dataset, 32, Device::Cpu);
    let of = |frozen, trained| {
        let mut network =
            network(&model, &dataset, 32, Precisions { frozen, trained, head: Precision::F32 });
        network.train(&resolve(&model, &"features.14".into()).unwrap());
        network
    };
    let (exact, rounded) = (Precision::F32, Precision::Bf16);
    let [mixed, both, none] = [of(rounded, exact), of(rounded, rounded), of(exact, exact)];
    let blocks = mixed.frozen_blocks();
    ferrite_torch::without_gradients(|| {
        let x = mixed.scale_pixels(images.plain(&[0, 1, 2, 3]));
        let prefix = mixed.frozen_prefix(x.clone(), blocks);
        let floats = |x: &_| to_floats(cast(Clone::clone(x), exact));
        assert_eq!(floats(&prefix), floats(&both.frozen_prefix(x.clone(), blocks)));
        assert_ne!(floats(&prefix), floats(&none.frozen_prefix(x.clone(), blocks)));
        let whole = to_floats(mixed.infer(x, 0));
        assert_eq!(whole, to_floats(mixed.infer(prefix.clone(), blocks)));
        assert_eq!(whole, to_floats(none.infer(cast(prefix.clone(), exact), blocks)));
        assert_ne!(whole, to_floats(both.infer(prefix, blocks)));
    });
}

#[test]
fn hidden_layers_in_bfloat16_are_those_of_32_bits_but_for_rounding() {
    ferrite_torch::start(1, Device::Cpu);
    // No batch norm: random features of few faces are nearly equal, and it would enlarge what rounding does to them.
    let head = Head { layers: vec![64, 48], ..Head::default() };
    let (dataset, model) = (faces(60), Model { head, ..Model::default() });
    let images = Images::new(&dataset, 32, Device::Cpu);
    let rows: Vec<u32> = (0..24).collect();
    let labels = images.labels(&rows);
    let of = |head| {
        let precisions = Precisions { head, ..Precisions::all(Precision::F32) };
        let mut network = network(&model, &dataset, 32, precisions);
        network.train(&resolve(&model, &"head".into()).unwrap());
        let x = network.scale_pixels(images.plain(&rows));
        let logits = network.train_on_pixels(x, NoiseStd::default());
        let loss = cross_entropy(&logits, &labels);
        let gradient = network.parameters.gradient(loss);
        let slots: Vec<_> = network.parameters.specs().map(|(slot, _)| slot).collect();
        let trains = slots.into_iter().filter(|it| network.parameters.trains(*it));
        let gradients = trains.flat_map(|it| network.parameters.gradient_of(&gradient, it));
        (to_floats(logits), gradients.collect::<Vec<_>>())
    };
    let ((exact, exact_gradients), (rounded, gradients)) =
        (of(Precision::F32), of(Precision::Bf16));
    assert_ne!(exact, rounded);
    for (what, exact, rounded) in
        [("logits", exact, rounded), ("gradients", exact_gradients, gradients)]
    {
        let norm = |it: &mut dyn Iterator<Item = f32>| it.map(|it| it * it).sum::<f32>().sqrt();
        let difference = norm(&mut exact.iter().zip(&rounded).map(|(a, b)| a - b));
        let relative = difference / norm(&mut exact.iter().copied());
        assert!(relative < 0.05, "{what} differ by {relative}");
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
    let best = Model::default().precisions(Device::Cpu, bfloat16_on(Device::Cpu)).to_string();
    assert_eq!((start("plain").precision, start("plain").imitated), (best, false));
    let asked = start("bf16");
    assert_eq!((asked.precision.as_str(), asked.imitated), ("bf16", !has_bfloat16(Device::Cpu)));
}

#[test]
fn auto_is_bfloat16_only_where_it_is_faster() {
    for backbone in ferrite_core::model::backbone::Backbone::ALL {
        let model = Model { backbone: *backbone, ..Model::default() };
        assert_eq!(model.precision, PrecisionSetting::Auto);
        let rounds =
            model.precisions(Device::Cpu, bfloat16_on(Device::Cpu)).include(Precision::Bf16);
        let faster = matches!(bfloat16_on(Device::Cpu), Bfloat16::Faster | Bfloat16::ManyTimes);
        assert_eq!(rounds, faster, "{}", backbone.name());
    }
}

#[test]
fn a_processor_that_is_held_back_from_bfloat16_is_not_taken_for_one_that_has_it() {
    let with = format!("{SMALL}\n[model]\nprecision = \"bf16\"\n");
    let place = Place::with(&[("auto", SMALL), ("bf16", &with)]);
    for (name, value) in [("ONEDNN_MAX_CPU_ISA", "avx512_core"), ("ATEN_CPU_CAPABILITY", "avx2")] {
        place.ferrite_with(&[(name, value)], &["sweep", "--threads", "1"]).ends_with(0);
        let start = |it| place.run(it).facts.start.unwrap();
        assert_eq!((start("auto").precision.as_str(), start("auto").imitated), ("f32", false));
        assert_eq!((start("bf16").precision.as_str(), start("bf16").imitated), ("bf16", true));
        std::fs::remove_dir_all(place.path("runs")).unwrap();
    }
}
