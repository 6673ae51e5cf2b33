//! ResNet50 (He et al. 2015, <https://arxiv.org/abs/1512.03385>), equal to torchvision's `resnet50` in
//! layer names and arithmetic.
//!
//! Differs from the paper and from Keras's `ResNet50` as torchvision does (v1.5): the stride of a
//! bottleneck is in its 3x3 convolution, not in the first 1x1, and its convolutions have no biases.

use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer};
use crate::model::layer::{ConvShape, PoolShape};

/// Inner width, number of bottlenecks and first stride of each stage.
const STAGES: [[usize; 3]; 4] = [[64, 3, 1], [128, 4, 2], [256, 6, 2], [512, 3, 2]];

/// Output channels for each inner one.
const EXPANSION: usize = 4;

/// Channels behind the first convolution.
const STEM: usize = 64;

/// torchvision's weights, of two ways of training.
pub(super) const PUBLISHED: &[Published] = &[
    Published::torchvision(
        "imagenet",
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        102_530_333,
    ),
    Published::torchvision(
        "imagenet-v2",
        "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
        102_540_417,
    ),
];

/// The network without its classifier.
pub(super) fn build(builder: &mut Builder) -> Described {
    let mut keras = KerasLayers::default();
    let mut blocks = vec![stem(builder, &mut keras)];
    let mut channels = STEM;
    for (stage, [width, repeats, first_stride]) in STAGES.into_iter().enumerate() {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let name = format!("layer{}.{repeat}", stage + 1);
            let names = Names { keras: format!("conv{}_block{}", stage + 2, repeat + 1), name };
            let shape = Bottleneck { input: channels, width, stride };
            let layers = bottleneck(builder, &mut keras, &names, shape);
            let name = names.name;
            blocks.push(Block { name, layers });
            channels = width * EXPANSION;
        }
    }
    Described {
        blocks,
        channels,
        least_image_size: 32,
        classifier: Classifier::Fc,
        keras: keras.layers,
    }
}

fn stem(builder: &mut Builder, keras: &mut KerasLayers) -> Block {
    let shape = ConvShape { kernel: 7, stride: 2, padding: 3, groups: 1 };
    let conv = builder.conv("conv1", [3, STEM], shape);
    let norm = Layer::Norm(builder.norm("bn1", STEM));
    keras.plain(["input_layer", "conv1_pad"]);
    keras.add_with_biases("conv1_conv", &[&conv], STEM);
    keras.add("conv1_bn", &[&norm]);
    keras.plain(["conv1_relu", "pool1_pad", "pool1_pool"]);
    let pool = Layer::MaxPool(PoolShape { kernel: 3, stride: 2, padding: 1 });
    Block { name: "conv1".into(), layers: vec![conv, norm, Layer::Relu, pool] }
}

/// What a bottleneck is called in weight files, and by Keras.
struct Names {
    name: String,
    keras: String,
}

/// The convolutions of a bottleneck, each with its norm.
struct Ways<'a> {
    body: &'a [[Layer; 2]],
    shortcut: Option<&'a [Layer; 2]>,
}

/// What a bottleneck takes in, its inner width, and its stride.
#[derive(Clone, Copy)]
struct Bottleneck {
    input: usize,
    width: usize,
    stride: usize,
}

/// 1x1, 3x3, 1x1 around a shortcut, which is a convolution where the shape changes.
fn bottleneck(
    builder: &mut Builder,
    keras: &mut KerasLayers,
    names: &Names,
    Bottleneck { input, width, stride }: Bottleneck,
) -> Vec<Layer> {
    let name = &names.name;
    let output = width * EXPANSION;
    let point = |stride| ConvShape { kernel: 1, stride, padding: 0, groups: 1 };
    let wide = ConvShape { kernel: 3, stride, padding: 1, groups: 1 };
    let sizes = [([input, width], point(1)), ([width, width], wide), ([width, output], point(1))];
    let pairs: Vec<[Layer; 2]> = (1..)
        .zip(sizes)
        .map(|(index, (channels, shape))| {
            let conv = builder.conv(&format!("{name}.conv{index}"), channels, shape);
            [conv, Layer::Norm(builder.norm(&format!("{name}.bn{index}"), channels[1]))]
        })
        .collect();
    let reshapes = stride != 1 || input != output;
    let shortcut: Option<[Layer; 2]> = reshapes.then(|| {
        let conv = builder.conv(&format!("{name}.downsample.0"), [input, output], point(stride));
        [conv, Layer::Norm(builder.norm(&format!("{name}.downsample.1"), output))]
    });
    let ways = Ways { body: &pairs, shortcut: shortcut.as_ref() };
    note_keras(keras, &names.keras, ways, [width, output]);
    let mut body = Vec::new();
    for pair in pairs {
        body.extend(pair);
        body.push(Layer::Relu);
    }
    // The last ReLU stands behind the sum.
    body.pop();
    let shortcut = shortcut.into_iter().flatten().collect();
    vec![Layer::Residual { body, shortcut }, Layer::Relu]
}

/// Keras sorts layers by their distance from the end, so the shortcut's two stand among the last ones.
fn note_keras(
    keras: &mut KerasLayers,
    name: &str,
    Ways { body, shortcut }: Ways<'_>,
    [width, output]: [usize; 2],
) {
    let layer = |part: &str| format!("{name}_{part}");
    for (index, [conv, norm]) in (1..).zip(&body[..2]) {
        keras.add_with_biases(&layer(&format!("{index}_conv")), &[conv], width);
        keras.add(&layer(&format!("{index}_bn")), &[norm]);
        keras.plain([&layer(&format!("{index}_relu"))]);
    }
    let [conv, norm] = &body[2];
    if let Some([shortcut, _]) = shortcut {
        keras.add_with_biases(&layer("0_conv"), &[shortcut], output);
    }
    keras.add_with_biases(&layer("3_conv"), &[conv], output);
    if let Some([_, shortcut]) = shortcut {
        keras.add(&layer("0_bn"), &[shortcut]);
    }
    keras.add(&layer("3_bn"), &[norm]);
    keras.plain([&layer("add"), &layer("out")]);
}
