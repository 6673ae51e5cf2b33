//! MobileNetV2 (Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>), equal to torchvision's
//! `mobilenet_v2` in layer names, padding, `ReLU6` and batch-norm constants, or to Keras's `MobileNetV2` in what it computes.

use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer, NormConstants};
use crate::model::layer::{ConvShape, PaddingValue, SamePadding};

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

/// torchvision's weights, of two ways of training. Of Keras's file no checksum is published.
pub(super) const PUBLISHED: &[Published] = &[
    Published::torchvision(
        "imagenet",
        "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        14_212_972,
    ),
    Published::torchvision(
        "imagenet-v2",
        "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
        "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",
        14_258_573,
    ),
];

/// The network without its classifier.
pub(super) fn build(builder: &mut Builder, implementation: Implementation) -> Described {
    if implementation == Implementation::Keras {
        builder.norms = NormConstants { eps: 1e-3, momentum: 0.001 };
    }
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer"]);
    let [mut channels, last] = ENDS;
    let (padding, shape) = spatial(2, 1, implementation);
    let stem = conv_norm_relu6(builder, "features.0", [3, channels], shape);
    note_keras(&mut keras, ["Conv1", "bn_Conv1", "Conv1_relu"], &stem);
    let stem = padding.into_iter().chain(stem).collect();
    let mut blocks = vec![Block { name: "features.0".into(), layers: stem }];
    for [expansion, output, repeats, first_stride] in ROWS {
        for repeat in 0..repeats {
            let index = blocks.len();
            let stride = if repeat == 0 { first_stride } else { 1 };
            let ends = [channels, output];
            let shape = Inverted { channels: ends, expansion, stride, implementation };
            let layers = inverted_residual(builder, index, shape, &mut keras);
            blocks.push(Block { name: format!("features.{index}"), layers });
            channels = output;
        }
    }
    let exit = conv_norm_relu6(builder, "features.18", [channels, last], POINT);
    note_keras(&mut keras, ["Conv_1", "Conv_1_bn", "out_relu"], &exit);
    blocks.push(Block { name: "features.18".into(), layers: exit });
    Described {
        blocks,
        channels: last,
        least_image_size: 32,
        classifier: Classifier::Sequence,
        keras: keras.layers,
    }
}

/// One position at a time.
const POINT: ConvShape = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };

/// Three by three. What is put around the input is a layer of its own where both sides do not get the same.
fn spatial(stride: usize, groups: usize, whose: Implementation) -> (Option<Layer>, ConvShape) {
    let shape = ConvShape { kernel: 3, stride, padding: 1, groups };
    if whose == Implementation::Pytorch || stride == 1 {
        return (None, shape);
    }
    let same = SamePadding { kernel: 3, stride, value: PaddingValue::Zero };
    (Some(Layer::Same(same)), ConvShape { padding: 0, ..shape })
}

/// What an inverted residual takes in and gives out, how much wider it is inside, its stride, and whose it is.
#[derive(Clone, Copy)]
struct Inverted {
    channels: [usize; 2],
    expansion: usize,
    stride: usize,
    implementation: Implementation,
}

fn inverted_residual(
    builder: &mut Builder,
    index: usize,
    Inverted { channels: [input, output], expansion, stride, implementation }: Inverted,
    keras: &mut KerasLayers,
) -> Vec<Layer> {
    let name = format!("features.{index}.conv");
    // Keras counts the inverted residuals from 0 and calls the first one expanded_conv.
    let keras_name =
        if index == 1 { "expanded_conv".to_owned() } else { format!("block_{}", index - 1) };
    let keras_names =
        |part: &str| ["", "_BN", "_relu"].map(|it| format!("{keras_name}_{part}{it}"));
    let hidden = input * expansion;
    let mut layers = Vec::new();
    let mut position = 0;
    if expansion != 1 {
        let expand = conv_norm_relu6(builder, &format!("{name}.0"), [input, hidden], POINT);
        note_keras(keras, keras_names("expand").each_ref().map(String::as_str), &expand);
        layers.extend(expand);
        position = 1;
    }
    if stride == 2 {
        keras.plain([&format!("{keras_name}_pad")]);
    }
    let depthwise = format!("{name}.{position}");
    let (padding, shape) = spatial(stride, hidden, implementation);
    let depthwise = conv_norm_relu6(builder, &depthwise, [hidden, hidden], shape);
    note_keras(keras, keras_names("depthwise").each_ref().map(String::as_str), &depthwise);
    layers.extend(padding.into_iter().chain(depthwise));
    let project = [
        builder.conv(&format!("{name}.{}", position + 1), [hidden, output], POINT),
        Layer::Norm(builder.norm(&format!("{name}.{}", position + 2), output)),
    ];
    let [conv, norm, _] = keras_names("project");
    keras.add(&conv, &[&project[0]]);
    keras.add(&norm, &[&project[1]]);
    layers.extend(project);
    if stride != 1 || input != output {
        return layers;
    }
    keras.plain([&format!("{keras_name}_add")]);
    vec![Layer::Residual { body: layers, shortcut: Vec::new() }]
}

fn conv_norm_relu6(
    builder: &mut Builder,
    name: &str,
    channels: [usize; 2],
    shape: ConvShape,
) -> Vec<Layer> {
    vec![
        builder.conv(&format!("{name}.0"), channels, shape),
        Layer::Norm(builder.norm(&format!("{name}.1"), channels[1])),
        Layer::Relu6,
    ]
}

/// Keras's names for a convolution, the batch norm and the activation behind it.
fn note_keras(keras: &mut KerasLayers, [conv, norm, relu]: [&str; 3], layers: &[Layer]) {
    keras.add(conv, &[&layers[0]]);
    keras.add(norm, &[&layers[1]]);
    keras.plain([relu]);
}
