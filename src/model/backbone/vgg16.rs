//! VGG16 (Simonyan & Zisserman 2014, <https://arxiv.org/abs/1409.1556>), configuration D, equal to
//! torchvision's `vgg16` and `vgg16_bn` in layer names and to Keras's `VGG16` in what it computes.
//!
//! Differs from torchvision: no pooling to 7x7 positions in front of the classifier. Keras has none either.

use crate::model::backbone::{Block, Classifier, Described};
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer};
use crate::torch::ops::{ConvShape, PoolShape};

/// Channels and number of the convolutions between two poolings.
const GROUPS: [[usize; 2]; 5] = [[64, 2], [128, 2], [256, 3], [512, 3], [512, 3]];

/// Three by three, the size stays.
const CONV: ConvShape = ConvShape { kernel: 3, stride: 1, padding: 1, groups: 1 };

/// Halves the size.
const POOL: PoolShape = PoolShape { kernel: 2, stride: 2, padding: 0 };

/// `vgg16` without its classifier.
pub(super) fn build(builder: &mut Builder) -> Described {
    build_as(builder, Norms::Without)
}

/// `vgg16_bn` without its classifier.
pub(super) fn build_with_norms(builder: &mut Builder) -> Described {
    build_as(builder, Norms::With)
}

#[derive(Clone, Copy, PartialEq)]
enum Norms {
    With,
    Without,
}

fn build_as(builder: &mut Builder, norms: Norms) -> Described {
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer"]);
    let mut blocks: Vec<Block> = Vec::new();
    // torchvision counts every module of its sequence, poolings and activations too.
    let (mut channels, mut position) = (3, 0);
    for (group, [output, convolutions]) in GROUPS.into_iter().enumerate() {
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
