//! What a network is, counted without making it: for plans, logs and reports.

use crate::event::{Layer as Counted, Network};
use crate::model::Model;
use crate::model::backbone::Description;
use crate::model::convolutions::convolutions;
use crate::model::head::Head;
use crate::model::layer::{Builder, Norm};
use crate::model::spec::{Slot, Spec, hidden_matrices};
use crate::model::trainable::{Trained, layer_of};
use crate::precision::{Precision, Precisions};

/// The network that `model` describes, for images of `image_size` pixels a side and `classes` classes.
pub fn summarize(model: &Model, image_size: usize, classes: usize) -> Network {
    let (specs, head_from, feature_map) = build(model, [image_size, classes]);
    let (own, head) = specs.split_at(head_from);
    let [backbone_parameters, backbone_statistics] = counts(own);
    let [head_parameters, head_statistics] = counts(head);
    Network {
        backbone: model.backbone.name().to_owned(),
        image_size,
        feature_map,
        backbone_parameters,
        backbone_statistics,
        head_parameters,
        head_statistics,
    }
}

/// The layers that train, in forward order, with their parameters; `sizes` are pixels a side and classes.
pub fn trained_layers(model: &Model, sizes: [usize; 2], trained: &Trained) -> Vec<Counted> {
    let (specs, head_from, _) = build(model, sizes);
    let head = Slot::nth(head_from);
    let slots = specs.iter().enumerate().map(|(slot, spec)| (Slot::nth(slot), spec));
    layers_of(slots, |slot| slot >= head || trained.slots.binary_search(&slot).is_ok()).0
}

/// How many hidden matrices there are where `trained` trains: kernels of convolutions but the first one, and hidden layers
/// of the head. The numbers of pixels and classes change nothing about that.
pub fn trained_matrices(model: &Model, trained: &Trained) -> usize {
    /// Pixels a side that are enough for every network.
    const SIZE: usize = 224;
    let (specs, head_from, _) = build(model, [SIZE, 2]);
    let trains =
        |slot: usize| slot >= head_from || trained.slots.binary_search(&Slot::nth(slot)).is_ok();
    let matrices = hidden_matrices(&specs).into_iter().enumerate();
    matrices.filter(|(slot, matrix)| matrix.is_some() && trains(*slot)).count()
}

/// Multiplications of a pass for one image where `trained` trains: in the frozen prefix, and in all that is behind it.
pub fn multiplications(model: &Model, image_size: usize, trained: &Trained) -> [f64; 2] {
    let (specs, head_from, _) =
        build(&Model { input_norm: false, ..model.clone() }, [image_size, 1]);
    let of_head: usize = specs[head_from..].iter().map(Spec::len).sum();
    // Hidden layers of the head are no convolutions in 32 bits.
    let all = convolutions(model, image_size, trained, Precisions::all(Precision::F32));
    let of_convolutions = |in_prefix| {
        let those = all.iter().filter(|it| it.is_in_prefix == in_prefix);
        those.map(|it| it.convolution.multiplications()).sum::<f64>()
    };
    [of_convolutions(true), of_convolutions(false) + of_head as f64]
}

/// Layers with parameters that learn, in forward order: those that train and those that do not.
pub fn layers_of<'a>(
    specs: impl Iterator<Item = (Slot, &'a Spec)>,
    trains: impl Fn(Slot) -> bool,
) -> (Vec<Counted>, Vec<Counted>) {
    let (mut trainable, mut frozen) = (Vec::<Counted>::new(), Vec::<Counted>::new());
    for (slot, spec) in specs.filter(|(_, spec)| spec.learns) {
        let layers = if trains(slot) { &mut trainable } else { &mut frozen };
        let name = layer_of(&spec.name);
        match layers.last_mut() {
            Some(last) if last.name == name => last.parameters += spec.len(),
            _ => layers.push(Counted { name: name.into(), parameters: spec.len() }),
        }
    }
    (trainable, frozen)
}

/// The batch norm in front of the backbone, if `model` has one. Its tensors stand behind the head's, so that
/// the others begin with the same values with and without it.
pub fn input_norm(builder: &mut Builder, model: &Model) -> Option<Norm> {
    model.input_norm.then(|| builder.norm("input_norm", COLOURS))
}

/// Channels of an image as a backbone reads it.
const COLOURS: usize = 3;

/// The tensors of a network, where the head's begin, and the shape of its feature maps.
fn build(model: &Model, [image_size, classes]: [usize; 2]) -> (Vec<Spec>, usize, [usize; 3]) {
    let Description { network: backbone, tensors } = model.description();
    let mut builder = Builder { specs: tensors.specs.clone(), ..Builder::default() };
    let head_from = builder.specs.len();
    let side = backbone.side(image_size);
    let sizes = [backbone.channels, side * side, classes];
    Head::build(&mut builder, &model.head, backbone.classifier, sizes);
    input_norm(&mut builder, model);
    (builder.specs, head_from, [backbone.channels, side, side])
}

/// Values that learn, and running statistics.
fn counts(specs: &[Spec]) -> [usize; 2] {
    [true, false].map(|learns| specs.iter().filter(|it| it.learns == learns).map(Spec::len).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::backbone::Backbone;
    use crate::model::implementation::Implementation;
    use crate::model::trainable::{Trainable, resolve};
    use crate::model::{Head as Settings, Pool};

    /// The head of the study's frozen networks, and that of its modified ones.
    fn heads() -> [Settings; 2] {
        let frozen = Settings { layers: vec![1024, 1024], dropout: 0.5, ..Settings::default() };
        let modified = Settings {
            pool: Pool::Flatten,
            layers: vec![1024, 512],
            batch_norm: true,
            dropout: 0.5,
        };
        [frozen, modified]
    }

    /// Checks Keras's totals: all values, and those that train.
    #[track_caller]
    fn check(
        backbone: Backbone,
        size: usize,
        head: Settings,
        trainable: Trainable,
        [all, trained]: [usize; 2],
    ) {
        let model = Model { backbone, head, ..Model::default() };
        let network = summarize(&model, size, 7);
        let keras = resolve(&model, &trainable).unwrap().keras_parameters.unwrap();
        assert_eq!([network.total(), keras + network.head_parameters], [all, trained]);
    }

    #[test]
    fn multiplications_are_the_published_ones() {
        // torchvision's tables, in 10^9: VGG16 15.47, ResNet18 1.81, ResNet34 3.66, ResNet50 4.09, MobileNetV2 0.30,
        // EfficientNet-B0 0.39, ConvNeXt-Tiny 4.46; Xception 8.4 at 299 pixels.
        for (backbone, size, published) in [
            (Backbone::Vgg16, 224, 15.35),
            (Backbone::ResNet18, 224, 1.81),
            (Backbone::ResNet34, 224, 3.66),
            (Backbone::ResNet50, 224, 4.09),
            (Backbone::MobileNetV2, 224, 0.30),
            (Backbone::EfficientNetB0, 224, 0.386),
            (Backbone::ConvNeXtTiny, 224, 4.456),
            (Backbone::Xception, 299, 8.36),
        ] {
            let model = Model { backbone, ..Model::default() };
            let of =
                |it: &str| multiplications(&model, size, &resolve(&model, &it.into()).unwrap());
            let ([frozen, head], [none, all]) = (of("head"), of("all"));
            assert_eq!((none, frozen + head), (0.0, all));
            let found = all / 1e9;
            assert!((found - published).abs() < 0.01 * published + 0.005, "{backbone:?} {found}");
        }
    }

    #[test]
    fn the_published_networks_have_the_published_counts() {
        let [frozen, modified] = heads();
        let head = Trainable::default;
        let last = || Trainable::Last(6);
        check(Backbone::Vgg16, 48, frozen.clone(), head(), [16_296_775, 1_582_087]);
        // Keras's ResNet50 has 26,560 biases in front of its batch norms.
        check(Backbone::ResNet50, 48, frozen.clone(), head(), [26_742_663 - 26_560, 3_154_951]);
        check(Backbone::MobileNetV2, 96, frozen.clone(), head(), [4_626_503, 2_368_519]);
        check(Backbone::Xception, 71, frozen, head(), [24_016_431, 3_154_951]);
        check(Backbone::MobileNetV2, 96, modified.clone(), last(), [14_590_023, 13_048_967]);
        check(Backbone::Vgg16, 48, modified.clone(), last(), [15_774_535, 10_496_007]);
        check(Backbone::Vgg19, 48, modified, last(), [21_084_231, 10_496_007]);
    }

    #[test]
    fn feature_maps_have_the_measured_sizes() {
        let side = |backbone: Backbone, size| {
            backbone.build(Implementation::default(), &mut Builder::default()).side(size)
        };
        for (size, sides) in [
            (48, [1, 2, 2]),
            (96, [3, 3, 3]),
            (112, [3, 4, 4]),
            (128, [4, 4, 4]),
            (160, [5, 5, 5]),
            (197, [6, 7, 7]),
            (224, [7, 7, 7]),
        ] {
            let of = [Backbone::Vgg16, Backbone::ResNet50, Backbone::MobileNetV2];
            assert_eq!(of.map(|it| side(it, size)), sides, "{size}");
        }
        for (size, expected) in [(71, 3), (96, 3), (112, 4), (128, 4), (160, 5), (197, 6), (224, 7)]
        {
            assert_eq!(side(Backbone::Xception, size), expected, "{size}");
        }
    }
}
