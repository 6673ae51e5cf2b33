//! ConvNeXt-Tiny (Liu et al. 2022, <https://arxiv.org/abs/2201.03545>), equal to torchvision's `convnext_tiny` in layer
//! names, layer scale and stochastic depth.
//!
//! torchvision's classifier begins with a layer norm of the pooled features, `classifier.0`. It was trained with the
//! backbone and belongs to it here, so that the head sees what the pretrained classifier saw; Keras's network without its
//! classifier ends with it, too. Differs from Keras's `ConvNeXtTiny` as torchvision does: Keras leaves out no residuals.

use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::ConvShape;
use crate::model::layer::{Builder, Layer};
use crate::model::spec::Init;

/// Channels and blocks of each stage.
const STAGES: [[usize; 2]; 4] = [[96, 3], [192, 3], [384, 9], [768, 3]];

/// Hidden channels of a block for each one of its own.
const EXPANSION: usize = 4;

/// What a block's output is multiplied with at first.
const LAYER_SCALE: f32 = 1e-6;

/// The probability of leaving a residual out in training: 0 for the first block, this for the last, by equal steps between.
const STOCHASTIC_DEPTH: f64 = 0.1;

/// How weights begin. torchvision also cuts the distribution off at a hundred standard deviations.
const INIT: Init = Init::Normal { std: 0.02 };

/// torchvision's weights of `convnext_tiny`.
pub(super) const PUBLISHED_TINY: &[Published] = &[Published::torchvision(
    "imagenet",
    "https://download.pytorch.org/models/convnext_tiny-983f1562.pth",
    "983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d",
    114_419_221,
)];

/// `convnext_tiny` without its classifier's linear layer.
pub(super) fn build_tiny(builder: &mut Builder, _: Implementation) -> Described {
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer", "convnext_tiny_prestem_normalization"]);
    let mut blocks = Vec::new();
    let (mut channels, mut index) = (3, 0_usize);
    let all: usize = STAGES.iter().map(|[_, depth]| depth).sum();
    for (stage, [width, depth]) in STAGES.into_iter().enumerate() {
        // torchvision counts the way into a stage and the stage as two parts.
        let name = format!("features.{}", 2 * stage);
        let layers = entry(builder, &name, [channels, width]);
        let keras_name = match stage {
            0 => "convnext_tiny_stem".to_owned(),
            _ => format!("convnext_tiny_downsampling_block_{}", stage - 1),
        };
        keras.add(&keras_name, &layers.iter().collect::<Vec<_>>());
        blocks.push(Block { name, layers });
        for repeat in 0..depth {
            let left_out = STOCHASTIC_DEPTH * index as f64 / (all - 1) as f64;
            let name = format!("features.{}.{repeat}", 2 * stage + 1);
            let keras_name = format!("convnext_tiny_stage_{stage}_block_{repeat}");
            let body = body(builder, &mut keras, [&name, &keras_name], width);
            let body =
                body.into_iter().chain((index > 0).then_some(Layer::StochasticDepth(left_out)));
            let layers = vec![Layer::Residual { body: body.collect(), shortcut: Vec::new() }];
            blocks.push(Block { name, layers });
            index += 1;
        }
        channels = width;
    }
    let norm = builder.layer_norm("classifier.0", channels);
    keras.add("layer_normalization", &[&Layer::LayerNorm(norm)]);
    Described {
        blocks,
        channels,
        least_image_size: 32,
        classifier: Classifier::BehindNorm(norm),
        keras: keras.layers,
    }
}

/// The way into a stage: windows side by side, and a layer norm, which stands behind them at the network's begin and before
/// them elsewhere.
fn entry(builder: &mut Builder, name: &str, channels: [usize; 2]) -> Vec<Layer> {
    let [first, second] = [0, 1].map(|it| format!("{name}.{it}"));
    let patches = |kernel| ConvShape { kernel, stride: kernel, padding: 0, groups: 1 };
    if name == "features.0" {
        let conv = builder.conv_from(&first, channels, patches(4), INIT);
        return vec![conv, Layer::LayerNorm(builder.layer_norm(&second, channels[1]))];
    }
    let norm = Layer::LayerNorm(builder.layer_norm(&first, channels[0]));
    vec![norm, builder.conv_from(&second, channels, patches(2), INIT)]
}

/// What a block adds to its input of `width` channels.
fn body(
    builder: &mut Builder,
    keras: &mut KerasLayers,
    [name, keras_name]: [&str; 2],
    width: usize,
) -> Vec<Layer> {
    let part = |position: usize| format!("{name}.block.{position}");
    let in_keras = |part: &str| format!("{keras_name}_{part}");
    let window = ConvShape { kernel: 7, stride: 1, padding: 3, groups: width };
    let hidden = width * EXPANSION;
    let layers = vec![
        builder.conv_from(&part(0), [width, width], window, INIT),
        Layer::LayerNorm(builder.layer_norm(&part(2), width)),
        builder.linear(&part(3), [width, hidden], INIT),
        Layer::Gelu,
        builder.linear(&part(5), [hidden, width], INIT),
        Layer::Scale(builder.weight(
            format!("{name}.layer_scale"),
            &[width, 1, 1],
            Init::Constant(LAYER_SCALE),
        )),
    ];
    let names = [
        "depthwise_conv",
        "layernorm",
        "pointwise_conv_1",
        "gelu",
        "pointwise_conv_2",
        "layer_scale",
    ];
    for (name, layer) in names.into_iter().zip(&layers) {
        keras.add(&in_keras(name), &[layer]);
    }
    keras.plain([&in_keras("identity")]);
    layers
}
