//! EfficientNet-B0 (Tan & Le 2019, <https://arxiv.org/abs/1905.11946>), equal to torchvision's `efficientnet_b0` in layer
//! names, padding, batch-norm constants and stochastic depth.
//!
//! Differs from Keras's `EfficientNetB0` as torchvision does: batch norms add 1e-5 to the variance (Keras 1e-3), and
//! convolutions with a stride pad both sides (Keras only the right and the lower one of images with an even side).

use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::ConvShape;
use crate::model::layer::{Builder, Layer};

/// Expansion, window, first stride, output channels and repetitions of each row of the paper's table 1.
const ROWS: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];

/// Channels behind the first convolution, and behind the last.
const ENDS: [usize; 2] = [32, 1280];

/// The squeezed channels of a block are those of its input divided by this.
const SQUEEZE: usize = 4;

/// The probability of leaving a residual out in training grows with its place from 0 for the first block by equal steps,
/// and would be this for one behind the last.
const STOCHASTIC_DEPTH: f64 = 0.2;

/// torchvision's weights of `efficientnet_b0`.
pub(super) const PUBLISHED_B0: &[Published] = &[Published::torchvision(
    "imagenet",
    "https://download.pytorch.org/models/efficientnet_b0_rwightman-7f5810bc.pth",
    "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
    21_444_401,
)];

/// `efficientnet_b0` without its classifier.
pub(super) fn build_b0(builder: &mut Builder, _: Implementation) -> Described {
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer", "rescaling", "normalization", "stem_conv_pad"]);
    let [mut channels, last] = ENDS;
    let stem = Unit { channels: [3, channels], shape: window(3, 2, 1) };
    let stem = unit(builder, "features.0", stem);
    note_keras(&mut keras, ["stem_conv", "stem_bn", "stem_activation"], &stem);
    let mut blocks = vec![Block { name: "features.0".into(), layers: stem }];
    let all: usize = ROWS.iter().map(|it| it[4]).sum();
    for (row, [expansion, kernel, first_stride, output, repeats]) in (1..).zip(ROWS) {
        for (repeat, letter) in (0..repeats).zip('a'..) {
            let inverted = Inverted {
                channels: [channels, output],
                expansion,
                kernel,
                stride: if repeat == 0 { first_stride } else { 1 },
                left_out: STOCHASTIC_DEPTH * (blocks.len() - 1) as f64 / all as f64,
            };
            let name = format!("features.{row}.{repeat}");
            let names =
                Names { layers: format!("{name}.block"), keras: format!("block{row}{letter}") };
            let layers = inverted_residual(builder, &mut keras, &names, inverted);
            blocks.push(Block { name, layers });
            channels = output;
        }
    }
    let exit = unit(builder, "features.8", Unit { channels: [channels, last], shape: POINT });
    note_keras(&mut keras, ["top_conv", "top_bn", "top_activation"], &exit);
    blocks.push(Block { name: "features.8".into(), layers: exit });
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

/// A window with its own size around.
fn window(kernel: usize, stride: usize, groups: usize) -> ConvShape {
    ConvShape { kernel, stride, padding: kernel / 2, groups }
}

/// What a block is called in weight files, and by Keras.
struct Names {
    layers: String,
    keras: String,
}

/// What an inverted residual takes in and gives out, how much wider it is inside, its window and stride, and with how much
/// probability it is left out.
#[derive(Clone, Copy)]
struct Inverted {
    channels: [usize; 2],
    expansion: usize,
    kernel: usize,
    stride: usize,
    left_out: f64,
}

fn inverted_residual(
    builder: &mut Builder,
    keras: &mut KerasLayers,
    names: &Names,
    Inverted { channels: [input, output], expansion, kernel, stride, left_out }: Inverted,
) -> Vec<Layer> {
    let hidden = input * expansion;
    let in_keras = |part: &str| format!("{}_{part}", names.keras);
    let mut layers = Vec::new();
    let mut positions = (0..).map(|it| format!("{}.{it}", names.layers));
    let mut next = || positions.next().unwrap_or_default();
    if expansion != 1 {
        let expand = unit(builder, &next(), Unit { channels: [input, hidden], shape: POINT });
        let own = ["expand_conv", "expand_bn", "expand_activation"].map(in_keras);
        note_keras(keras, own.each_ref().map(String::as_str), &expand);
        layers.extend(expand);
    }
    if stride == 2 {
        keras.plain([&in_keras("dwconv_pad")]);
    }
    let shape = window(kernel, stride, hidden);
    let depthwise = unit(builder, &next(), Unit { channels: [hidden, hidden], shape });
    let own = ["dwconv", "bn", "activation"].map(in_keras);
    note_keras(keras, own.each_ref().map(String::as_str), &depthwise);
    layers.extend(depthwise);
    layers.push(excite(builder, keras, [&next(), &names.keras], [hidden, input / SQUEEZE]));
    let mut project = unit(builder, &next(), Unit { channels: [hidden, output], shape: POINT });
    // It has no activation.
    project.pop();
    keras.add(&in_keras("project_conv"), &[&project[0]]);
    keras.add(&in_keras("project_bn"), &[&project[1]]);
    layers.extend(project);
    if stride != 1 || input != output {
        return layers;
    }
    if left_out > 0.0 {
        keras.plain([&in_keras("drop")]);
        layers.push(Layer::StochasticDepth(left_out));
    }
    keras.plain([&in_keras("add")]);
    vec![Layer::Residual { body: layers, shortcut: Vec::new() }]
}

/// Factors for `channels` that follow from fewer, `squeezed` ones.
fn excite(
    builder: &mut Builder,
    keras: &mut KerasLayers,
    [name, keras_name]: [&str; 2],
    [channels, squeezed]: [usize; 2],
) -> Layer {
    let reduce = builder.conv_with_bias(&format!("{name}.fc1"), [channels, squeezed], POINT);
    let expand = builder.conv_with_bias(&format!("{name}.fc2"), [squeezed, channels], POINT);
    let in_keras = |part: &str| format!("{keras_name}_se_{part}");
    keras.plain([&in_keras("squeeze"), &in_keras("reshape")]);
    keras.add(&in_keras("reduce"), &[&reduce]);
    keras.add(&in_keras("expand"), &[&expand]);
    keras.plain([&in_keras("excite")]);
    Layer::Excite(vec![reduce, Layer::Silu, expand])
}

/// A convolution, the channels that it takes in and gives out, and its window.
struct Unit {
    channels: [usize; 2],
    shape: ConvShape,
}

/// A convolution with its batch norm and activation.
fn unit(builder: &mut Builder, name: &str, Unit { channels, shape }: Unit) -> Vec<Layer> {
    vec![
        builder.conv(&format!("{name}.0"), channels, shape),
        Layer::Norm(builder.norm(&format!("{name}.1"), channels[1])),
        Layer::Silu,
    ]
}

/// Keras's names for a convolution, the batch norm and the activation behind it.
fn note_keras(keras: &mut KerasLayers, [conv, norm, activation]: [&str; 3], layers: &[Layer]) {
    keras.add(conv, &[&layers[0]]);
    keras.add(norm, &[&layers[1]]);
    keras.plain([activation]);
}
