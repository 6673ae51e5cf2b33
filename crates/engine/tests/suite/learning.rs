//! Every backbone of the registry: its shapes, its gradients, and that it learns.

use ferrite_core::data::augment::Augment;
use ferrite_core::data::dataset;
use ferrite_core::data::decode::decode;
use ferrite_core::device::Device;
use ferrite_core::event::{Epoch, NullSink};
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::layer::Builder;
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{FrozenNorm, Head, Input, Model, Pool};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::settings::Stage;
use ferrite_core::settings::optimizer::{Optimizer, Sgd};
use ferrite_core::settings::schedule::Schedule;
use ferrite_engine::forward::network::{Network, NoiseStd, Plan};
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Images, Split};
use ferrite_testing::Place;
use ferrite_torch::loss::{Labels, cross_entropy};
use ferrite_torch::tensor::{from_floats, to_floats};
use ferrite_torch::update;

const CLASSES: usize = 2;

fn model_of(backbone: Backbone) -> Model {
    Model { backbone, ..Model::default() }
}

/// A fresh network of `backbone` for images of `size` pixels a side.
fn network(backbone: Backbone, pool: Pool, size: usize) -> Network {
    ferrite_torch::start(1, Device::Cpu);
    let model = Model { backbone, head: Head { pool, ..Head::default() }, ..Model::default() };
    let plan = Plan {
        model: &model,
        input: Input::default(),
        frozen_norm: FrozenNorm::Inference,
        image_size: size,
        classes: CLASSES,
        seed: 1,
        precisions: Precisions::all(Precision::F32),
    };
    Network::new(&plan, Device::Cpu)
}

/// `count` images of `size` pixels a side, scaled: waves of another length in each.
fn waves(count: usize, size: usize) -> burn::tensor::Tensor<4> {
    let value = |it: usize| ((it % (3 * size * size)) as f32 * (0.01 + it as f32 * 1e-6)).sin();
    let values: Vec<f32> = (0..count * 3 * size * size).map(value).collect();
    from_floats(&values, [count, 3, size, size], Device::Cpu)
}

#[test]
fn every_backbone_keeps_its_shape_promise() {
    for &backbone in Backbone::ALL {
        let described = backbone.build(Implementation::default(), &mut Builder::default());
        let least = described.least_image_size;
        for size in [least, 2 * least - 1] {
            let network = network(backbone, Pool::Flatten, size);
            let x = waves(2, size);
            let [batch, channels, height, width] =
                network.frozen_prefix(x.clone(), described.blocks.len()).dims();
            let side = described.side(size);
            let promised = [2, described.channels, side, side];
            assert_eq!([batch, channels, height, width], promised, "{backbone:?} at {size}");
            assert_eq!(network.infer(x, 0).dims(), [2, CLASSES], "{backbone:?} at {size}");
        }
    }
}

#[test]
fn every_backbone_feeds_gradients_to_each_of_its_tensors() {
    for &backbone in Backbone::ALL {
        let size = backbone
            .build(Implementation::default(), &mut Builder::default())
            .least_image_size
            .max(48);
        let mut network = network(backbone, Pool::Avg, size);
        network.train(&resolve(&model_of(backbone), &"all".into()).unwrap());
        // So many that no residual is left out for all of them.
        let logits = network.train_on_pixels(waves(8, size), NoiseStd::default());
        let labels = Labels::new(&[0, 1, 1, 0, 1, 0, 0, 1], Device::Cpu);
        let gradient = network.parameters.gradient(cross_entropy(&logits, &labels));
        for (slot, spec) in network.parameters.specs().filter(|(_, it)| it.learns) {
            let values = network.parameters.gradient_of(&gradient, slot);
            assert_eq!(values.len(), spec.len());
            let fine = values.iter().all(|it| it.is_finite());
            let flows = values.iter().any(|it| *it != 0.0);
            assert!(fine && flows, "no gradient reaches `{}` of {backbone:?}", spec.name);
        }
    }
}

#[test]
fn residuals_are_left_out_in_training_alone_and_never_in_a_frozen_prefix() {
    let backbone = Backbone::EfficientNetB0;
    let mut network = network(backbone, Pool::Avg, 32);
    let train = |network: &mut Network, trainable: &str| {
        network.train(&resolve(&model_of(backbone), &trainable.into()).unwrap());
        let pass = || to_floats(network.train_on_pixels(waves(32, 32), NoiseStd::default()));
        [pass(), pass()]
    };
    for (trainable, random) in [("head", false), ("features.7", false), ("features.6", true)] {
        let [a, b] = train(&mut network, trainable);
        assert_eq!(a != b, random, "{trainable}");
        network.rest();
    }
    let infer = || to_floats(network.infer(waves(4, 32), 0));
    assert_eq!(infer(), infer());
}

/// The class scores of a network with the same numbers that has computed nothing yet.
fn scores_afresh(network: &Network) -> Vec<f32> {
    let mut other = self::network(Backbone::MobileNetV2, Pool::Avg, 48);
    let slots: Vec<_> = network.parameters.specs().map(|(slot, _)| slot).collect();
    for slot in slots {
        other.parameters.set(slot, &network.parameters.values(slot));
    }
    to_floats(other.infer(waves(4, 48), 0))
}

#[test]
fn convolutions_with_folded_norms_follow_every_change() {
    let backbone = Backbone::MobileNetV2;
    let mut network = network(backbone, Pool::Avg, 48);
    let scores = |network: &Network| to_floats(network.infer(waves(4, 48), 0));
    let mut before = scores(&network);
    let mut check = |network: &Network, change: &str| {
        let after = scores(network);
        assert_ne!(before, after, "{change} changes nothing");
        assert_eq!(after, scores_afresh(network), "{change}");
        before = after;
    };
    for trainable in ["all", "features.17"] {
        network.train(&resolve(&model_of(backbone), &trainable.into()).unwrap());
        let rule = Optimizer::Sgd(Sgd { lr: 0.1, ..Sgd::default() }).rule();
        let mut optimizer = update::Optimizer::new(rule, &network.parameters);
        let logits = network.train_on_pixels(waves(4, 48), NoiseStd::default());
        check(&network, "what batch norms saw");
        let labels = Labels::new(&[0, 1, 1, 0], Device::Cpu);
        let gradient = network.parameters.gradient(cross_entropy(&logits, &labels));
        optimizer.advance(0.1);
        optimizer.apply(&mut network.parameters, gradient);
        check(&network, "a step");
        network.rest();
    }
    let (slot, spec) = network.parameters.specs().nth(4).unwrap();
    assert!(spec.name.ends_with("running_var"), "{}", spec.name);
    let doubled: Vec<f32> = network.parameters.values(slot).iter().map(|it| 2.0 * it).collect();
    network.parameters.set(slot, &doubled);
    check(&network, "a value that is set");
}

/// Trains all of a fresh network to tell images with light from the left from those with light from the
/// right.
fn learn(backbone: Backbone, size: usize) -> Vec<Epoch> {
    let place = Place::with(&[]);
    for index in 0..48_u32 {
        for (class, from_left) in [("left", true), ("right", false)] {
            let picture = image::GrayImage::from_fn(size as u32, size as u32, |x, y| {
                let along = x * 160 / size as u32;
                let lit = if from_left { 200 - along } else { 40 + along };
                image::Luma([(lit + (x * 7 + y * 13 + index * 29) % 41) as u8])
            });
            let path = place.path(&format!("images/{class}/{index}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save(path).unwrap();
        }
    }
    let data = toml::from_str(&format!(
        "image_size = {size}\nsplit = {{ train = 0.67, valid = 0.33 }}\n\
         source.folder = {{ path = {:?}, classes = [\"left\", \"right\"] }}",
        place.path("images")
    ))
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    decode(&data, folder.path(), &|_, _| {}).unwrap();
    let dataset = dataset::open(&data, folder.path()).unwrap();
    let images = Images::new(&dataset, size, Device::Cpu);
    let mut network = network(backbone, Pool::Avg, size);
    network.train(&resolve(&model_of(backbone), &"all".into()).unwrap());
    let (augment, noise) = (Augment::default(), NoiseStd::default());
    // With so few images a constant rate leaves the last epoch to chance.
    let schedule = Schedule::Cosine;
    let trainable = "all".into();
    // Without batch norms a network learns nothing at the rate that is right for those with them.
    let has_norms = !matches!(backbone, Backbone::Vgg16 | Backbone::Vgg19);
    let lr = if has_norms { 0.003 } else { 0.01 };
    let sgd = Sgd { lr, momentum: 0.9, ..Sgd::default() };
    let optimizer = Optimizer::Sgd(sgd);
    let stage =
        Stage { trainable, epochs: 9, batch_size: 8, optimizer, schedule, ..Stage::default() };
    let train = Split { rows: &dataset.train, features: None };
    let valid = Split { rows: &dataset.valid, features: None };
    let job =
        Job { stage: &stage, seed: 0, images: &images, train, valid, augment: &augment, noise };
    let mut callbacks = Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
    fit(&mut network, &job, None, &mut callbacks).unwrap().epochs
}

#[test]
fn every_backbone_learns_to_tell_light_from_the_left_and_from_the_right() {
    for &backbone in Backbone::ALL {
        let size =
            backbone.build(Implementation::default(), &mut Builder::default()).least_image_size;
        let epochs = learn(backbone, size);
        let (first, last) = (epochs.first().unwrap(), epochs.last().unwrap());
        let seen: Vec<_> = epochs.iter().map(|it| (it.train, it.valid.accuracy)).collect();
        assert!(last.train.accuracy >= 0.9, "{backbone:?} learns nothing: {seen:#?}");
        assert!(last.train.loss < 0.5 * first.train.loss, "{backbone:?}: {seen:#?}");
        assert!(last.valid.accuracy >= 0.8, "{backbone:?} learns by heart: {seen:#?}");
    }
}
