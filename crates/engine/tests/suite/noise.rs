//! Noise layers: as strong as they were asked to be, whatever the input's scaling, and in training only.

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{FrozenNorm, GaussianNoise, Input, Model, Unit};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_engine::forward::network::{Network, NoiseStd, Plan};
use ferrite_testing::{Place, SMALL};
use ferrite_torch::ops;
use ferrite_torch::tensor::{from_floats, to_floats};

const INPUTS: [Input; 3] = [Input::PlusMinusOne, Input::Torchvision, Input::Caffe];
const SIZE: usize = 32;
const IMAGES: usize = 128;

fn network(input: Input) -> Network {
    ferrite_torch::start(1, Device::Cpu);
    ferrite_torch::seed_layers(7);
    let plan = Plan {
        model: &Model::default(),
        input,
        frozen_norm: FrozenNorm::Inference,
        image_size: SIZE,
        classes: 7,
        seed: 1,
        precisions: Precisions::all(Precision::F32),
    };
    Network::new(&plan, Device::Cpu)
}

/// Images of one channel whose gray levels have a standard deviation near 60.
fn faces(count: usize) -> Tensor<4> {
    let level = |it: usize| 128.0 + 85.0 * ((it % 4099) as f32 * 0.37).sin();
    let pixels: Vec<f32> = (0..count * SIZE * SIZE).map(level).collect();
    from_floats(&pixels, [count, 1, SIZE, SIZE], Device::Cpu)
}

/// Mean and standard deviation.
fn moments(values: &[f32]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().map(|it| f64::from(*it)).sum::<f64>() / n;
    let squares = values.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum::<f64>();
    [mean, (squares / n).sqrt()]
}

/// The values of each of the three channels.
fn channels(x: Tensor<4>) -> [Vec<f32>; 3] {
    let values = to_floats(x);
    let planes: Vec<&[f32]> = values.chunks(SIZE * SIZE).collect();
    [0, 1, 2].map(|it| planes.iter().skip(it).step_by(3).flat_map(|it| it.to_vec()).collect())
}

#[test]
fn input_noise_has_mean_0_and_the_strength_that_was_asked_for_in_every_unit_and_scaling() {
    let [_, pixels] = moments(&to_floats(faces(IMAGES)));
    for input in INPUTS {
        let network = network(input);
        let scaled = network.scale_pixels(faces(IMAGES));
        // What a channel's values become for one more gray level.
        let one_more = channels(network.scale_pixels(faces(IMAGES) + 1.0));
        for (unit, std) in [(Unit::Layer, 0.1), (Unit::Gray, 12.75), (Unit::InputStd, 0.1)] {
            let asked = network.input_noise(GaussianNoise { std, unit }, pixels);
            let changed = channels(ops::add_noise_to_channels(scaled.clone(), asked));
            for (channel, (changed, plain)) in
                changed.iter().zip(channels(scaled.clone())).enumerate()
            {
                let noise: Vec<f32> = changed.iter().zip(&plain).map(|(a, b)| a - b).collect();
                let [mean, measured] = moments(&noise);
                let expected = match unit {
                    Unit::Layer => 0.1,
                    Unit::Gray => 12.75 * f64::from(one_more[channel][0] - plain[0]),
                    Unit::InputStd => 0.1 * moments(&plain)[1],
                };
                let place = format!("{input:?}, {unit:?}, channel {channel}");
                // Other tests draw from the same generator meanwhile, so the draws are never the same. Of 131,072 values
                // the deviation scatters by 0.2 %, and the mean by 0.28 % of it: seven times that are never reached.
                let off = measured / expected - 1.0;
                assert!(off.abs() < 0.014, "{place}: {measured} for {expected}");
                assert!(mean.abs() < 0.02 * expected, "{place}: a mean of {mean}");
            }
        }
    }
}

#[test]
fn keras_tenth_is_much_within_one_and_nothing_within_255() {
    let [_, pixels] = moments(&to_floats(faces(4)));
    let tenth = GaussianNoise { std: 0.1, unit: Unit::Layer };
    let share = |input| {
        let network = network(input);
        network.input_noise(tenth, pixels)[0] / (pixels * network.gray_level(pixels)[0])
    };
    assert!(share(Input::PlusMinusOne) > 0.2);
    assert!(share(Input::Torchvision) > 0.05);
    assert!(share(Input::Caffe) < 0.002);
}

#[test]
fn noise_acts_in_training_and_not_in_inference() {
    for input in INPUTS {
        let mut network = network(input);
        network.train(&resolve(&Model::default(), &"head".into()).unwrap());
        let x = || network.scale_pixels(faces(8));
        let plain = to_floats(network.infer(x(), 0));
        let differs = |noise: NoiseStd| {
            let trained = to_floats(network.train_on_pixels(x(), noise));
            let difference = plain.iter().zip(&trained).map(|(a, b)| (a - b).abs());
            difference.fold(0.0, f32::max)
        };
        let signal = 60.0 * network.gray_level(60.0)[0];
        let (input_noise, features) = ([signal; 3], 1.0);
        let without = differs(NoiseStd::default());
        for noise in
            [NoiseStd { input: input_noise, features: 0.0 }, NoiseStd { input: [0.0; 3], features }]
        {
            let with = differs(noise);
            assert!(with > 100.0 * without.max(1e-6), "{input:?}: {with} with, {without} without");
        }
        assert_eq!(plain, to_floats(network.infer(x(), 0)), "inference is not the same twice");
    }
}

#[test]
fn noise_of_features_has_the_strength_that_was_asked_for() {
    ferrite_torch::seed_layers(3);
    let features: Tensor<2> = from_floats(&vec![2.0; 300 * 400], [300, 400], Device::Cpu);
    let std = GaussianNoise { std: 0.2, unit: Unit::InputStd }.in_layer_units(1.5, 1.0);
    let [mean, measured] = moments(&to_floats(ops::add_noise(features, std)));
    // Seven times what mean and deviation of so many values scatter by.
    let off = [(mean - 2.0).abs(), (measured / 0.3 - 1.0).abs()];
    assert!(off[0] < 0.0061 && off[1] < 0.0143, "{mean} {measured}");
}

#[test]
fn noise_too_weak_to_matter_is_warned_of_on_the_terminal_and_on_the_pages() {
    let weak = "noise = { input = { std = 0.001, unit = \"layer\" } }\n";
    let strong = "noise = { input = { std = 0.1, unit = \"layer\" } }\n";
    let place = Place::with(&[
        ("weak", &format!("{weak}{SMALL}")),
        ("strong", &format!("{strong}{SMALL}")),
    ]);
    let told = place.sweep_well();
    let warned: Vec<&str> =
        told.err.lines().filter(|it| it.contains("warning: the noise")).collect();
    assert!(warned.len() == 1 && warned[0].starts_with("weak/"), "{warned:?}");
    assert!(warned[0].contains("expect no effect"), "{warned:?}");
    let study = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    assert_eq!(study.matches("expect no effect").count(), 1);
    for record in place.runs() {
        let page = std::fs::read_to_string(record.folder.join("index.html")).unwrap();
        let warns = page.contains("expect no effect");
        assert_eq!(warns, record.experiment == "weak", "{}", record.experiment);
    }
}

#[test]
fn behind_a_batch_norm_on_the_input_noise_is_counted_in_what_the_norm_gives() {
    let model = Model { input_norm: true, ..Model::default() };
    let plan = Plan {
        model: &model,
        input: Input::Caffe,
        frozen_norm: FrozenNorm::Inference,
        image_size: SIZE,
        classes: 7,
        seed: 1,
        precisions: Precisions::all(Precision::F32),
    };
    let mut network = Network::new(&plan, Device::Cpu);
    let [_, pixels] = moments(&to_floats(faces(8)));
    let of = |std, unit| network.input_noise(GaussianNoise { std, unit }, pixels)[0];
    assert_eq!(of(0.1, Unit::Layer), 0.1);
    assert!((of(0.1, Unit::InputStd) - 0.1).abs() < 1e-12);
    assert!((of(pixels, Unit::Gray) - 1.0).abs() < 1e-12);
    // The norm trains, so nothing of the backbone is a frozen prefix, and its statistics follow the pixels.
    network.train(&resolve(&model, &"head".into()).unwrap());
    assert_eq!(network.frozen_blocks(), 0);
    let norm = |network: &Network, name: &str| {
        let (slot, _) = network.parameters.specs().find(|(_, it)| it.name == name).unwrap();
        network.parameters.values(slot)
    };
    let before = norm(&network, "input_norm.running_mean");
    network.train_on_pixels(network.scale_pixels(faces(8)), NoiseStd::default());
    assert_ne!(norm(&network, "input_norm.running_mean"), before);
}
