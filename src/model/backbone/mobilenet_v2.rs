//! MobileNetV2 (Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>), equal to torchvision's
//! `mobilenet_v2` in layer names, padding, `ReLU6` and batch-norm constants.

use crate::model::Input;
use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Described};
use crate::model::layer::{Builder, Layer};
use crate::torch::ops::ConvShape;

/// Expansion, output channels, repetitions and first stride of each row of the paper's table 2.
const ROWS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

/// Channels behind the first convolution, and behind the last.
const ENDS: [usize; 2] = [32, 1280];

/// torchvision's files.
pub(super) const PUBLISHED: &[Published] = &[
    Published {
        name: "imagenet",
        url: "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
        sha256: "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        bytes: 14_212_972,
        input: Input::Torchvision,
    },
    Published {
        name: "imagenet-v2",
        url: "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
        sha256: "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",
        bytes: 14_258_573,
        input: Input::Torchvision,
    },
];

/// The network without its classifier.
pub(super) fn build(builder: &mut Builder) -> Described {
    let [mut channels, last] = ENDS;
    let mut blocks = vec![Block {
        name: "features.0".into(),
        alias: "Conv1".into(),
        layers: conv_norm_relu6(builder, "features.0", [3, channels], (3, 2, 1)),
    }];
    for [expansion, output, repeats, first_stride] in ROWS {
        for repeat in 0..repeats {
            let index = blocks.len();
            let stride = if repeat == 0 { first_stride } else { 1 };
            blocks.push(Block {
                name: format!("features.{index}"),
                // Keras counts the inverted residuals from 0 and calls the first one expanded_conv.
                alias: if index == 1 {
                    "expanded_conv".into()
                } else {
                    format!("block_{}", index - 1)
                },
                layers: inverted_residual(builder, index, [channels, output], (expansion, stride)),
            });
            channels = output;
        }
    }
    blocks.push(Block {
        name: "features.18".into(),
        alias: "Conv_1".into(),
        layers: conv_norm_relu6(builder, "features.18", [channels, last], (1, 1, 1)),
    });
    Described { blocks, channels: last, least_image_size: 32, stride: 32 }
}

fn inverted_residual(
    builder: &mut Builder,
    index: usize,
    [input, output]: [usize; 2],
    (expansion, stride): (usize, usize),
) -> Vec<Layer> {
    let name = format!("features.{index}.conv");
    let hidden = input * expansion;
    let mut layers = Vec::new();
    let mut position = 0;
    if expansion != 1 {
        layers.extend(conv_norm_relu6(builder, &format!("{name}.0"), [input, hidden], (1, 1, 1)));
        position = 1;
    }
    let depthwise = format!("{name}.{position}");
    layers.extend(conv_norm_relu6(builder, &depthwise, [hidden, hidden], (3, stride, hidden)));
    let project = ConvShape { stride: 1, padding: 0, groups: 1 };
    layers.push(builder.conv(&format!("{name}.{}", position + 1), [hidden, output], 1, project));
    layers.push(Layer::Norm(builder.norm(&format!("{name}.{}", position + 2), output)));
    if stride == 1 && input == output { vec![Layer::Residual(layers)] } else { layers }
}

/// `shape` is kernel, stride, groups.
fn conv_norm_relu6(
    builder: &mut Builder,
    name: &str,
    channels: [usize; 2],
    (kernel, stride, groups): (usize, usize, usize),
) -> Vec<Layer> {
    let shape = ConvShape { stride, padding: (kernel - 1) / 2, groups };
    vec![
        builder.conv(&format!("{name}.0"), channels, kernel, shape),
        Layer::Norm(builder.norm(&format!("{name}.1"), channels[1])),
        Layer::Relu6,
    ]
}
