//! VGG16 and VGG19 (Simonyan & Zisserman 2014, <https://arxiv.org/abs/1409.1556>, configurations D and E),
//! equal to torchvision's `vgg16`, `vgg16_bn` and `vgg19` in layer names and to Keras's in what they compute.
//!
//! Differs from torchvision: no pooling to 7x7 positions in front of the classifier. Keras has none either.

use crate::model::Input;
use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer};
use crate::model::layer::{ConvShape, PoolShape};

/// Channels between two poolings.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

/// Convolutions between two poolings.
type Depths = [usize; 5];
const D: Depths = [2, 2, 3, 3, 3];
const E: Depths = [2, 2, 4, 4, 4];

/// Three by three, the size stays.
const CONV: ConvShape = ConvShape { kernel: 3, stride: 1, padding: 1, groups: 1 };

/// Halves the size.
const POOL: PoolShape = PoolShape { kernel: 2, stride: 2, padding: 0 };

/// torchvision's weights of `vgg16`, and Keras's.
pub(super) const PUBLISHED_16: &[Published] = &[
    Published::torchvision(
        "imagenet",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
    ),
    Published::keras(
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
        58_889_256,
        Input::Caffe,
    ),
];

/// torchvision's weights of `vgg16_bn`.
pub(super) const PUBLISHED_16_WITH_NORMS: &[Published] = &[Published::torchvision(
    "imagenet",
    "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
    "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
    553_507_836,
)];

/// torchvision's weights of `vgg19`, and Keras's.
pub(super) const PUBLISHED_19: &[Published] = &[
    Published::torchvision(
        "imagenet",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        574_673_361,
    ),
    Published::keras(
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "253f8cb515780f3b799900260a226db6",
        80_134_624,
        Input::Caffe,
    ),
];

/// `vgg16` without its classifier.
pub(super) fn build_16(builder: &mut Builder, _: Implementation) -> Described {
    build(builder, D, Norms::Without)
}

/// `vgg16_bn` without its classifier.
pub(super) fn build_16_with_norms(builder: &mut Builder, _: Implementation) -> Described {
    build(builder, D, Norms::With)
}

/// `vgg19` without its classifier.
pub(super) fn build_19(builder: &mut Builder, _: Implementation) -> Described {
    build(builder, E, Norms::Without)
}

#[derive(Clone, Copy, PartialEq)]
enum Norms {
    With,
    Without,
}

fn build(builder: &mut Builder, depths: Depths, norms: Norms) -> Described {
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer"]);
    let mut blocks: Vec<Block> = Vec::new();
    // torchvision counts every module of its sequence, poolings and activations too.
    let (mut channels, mut position) = (3, 0);
    for (group, (output, convolutions)) in WIDTHS.into_iter().zip(depths).enumerate() {
        let keras_block = format!("block{}", group + 1);
        for index in 1..=convolutions {
            let name = format!("features.{position}");
            let mut layers = vec![builder.conv_with_bias(&name, [channels, output], CONV)];
            if norms == Norms::With {
                position += 1;
                layers.push(Layer::Norm(builder.norm(&format!("features.{position}"), output)));
            }
            layers.push(Layer::Relu);
            position += 2;
            let all: Vec<&Layer> = layers.iter().collect();
            keras.add(&format!("{keras_block}_conv{index}"), &all);
            if index == convolutions {
                layers.push(Layer::MaxPool(POOL));
                position += 1;
            }
            blocks.push(Block { name, layers });
            channels = output;
        }
        keras.plain([&format!("{keras_block}_pool")]);
    }
    Described {
        blocks,
        channels,
        least_image_size: 32,
        classifier: Classifier::Sequence,
        keras: keras.layers,
    }
}
