//! Xception (Chollet 2016, <https://arxiv.org/abs/1610.02357>), equal to timm's `legacy_xception` in
//! layer names and arithmetic; its published weights are Keras's.
//!
//! timm counts the residual blocks 1 to 12, Keras calls the same ones `block2` to `block13`. They differ in two things:
//! timm's batch norms add 1e-5 to the variance (Keras 1e-3), and its pooling pads both sides, which is the same where
//! the map has an odd side, as at 71 pixels.

use crate::model::Input;
use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer};
use crate::model::layer::{ConvShape, PaddingValue, PoolShape, SamePadding};
use crate::remote::{Checksum, Remote};

/// timm's weights of `legacy_xception`, of whose digest only what the file's name says is published, and Keras's.
pub(super) const PUBLISHED: &[Published] = &[
    Published {
        name: "imagenet",
        remote: Remote {
            url: "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
            checksum: Checksum::Sha256("43020ad28"),
            bytes: 91_674_713,
        },
        input: Input::PlusMinusOne,
        implementation: Implementation::Pytorch,
    },
    Published::keras(
        "https://storage.googleapis.com/tensorflow/keras-applications/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "b0042744bf5b25fce3cb969f33bebb97",
        83_683_744,
        Input::PlusMinusOne,
    ),
];

/// The residual blocks.
const BLOCKS: [Residual; 12] = {
    let middle = Residual { channels: [728, 728], inner: 728, separable: 3, stride: 1 };
    let mut blocks = [middle; 12];
    blocks[0] = Residual { channels: [64, 128], inner: 128, separable: 2, stride: 2 };
    blocks[1] = Residual { channels: [128, 256], inner: 256, separable: 2, stride: 2 };
    blocks[2] = Residual { channels: [256, 728], inner: 728, separable: 2, stride: 2 };
    blocks[11] = Residual { channels: [728, 1024], inner: 728, separable: 2, stride: 2 };
    blocks
};

/// Separable convolutions around a shortcut.
#[derive(Clone, Copy)]
struct Residual {
    /// Channels in and out.
    channels: [usize; 2],
    /// Channels between its convolutions.
    inner: usize,
    /// How many separable convolutions it has.
    separable: usize,
    stride: usize,
}

const SHORTCUT: ConvShape = ConvShape { kernel: 1, stride: 2, padding: 0, groups: 1 };

/// The network without its classifier.
pub(super) fn build(builder: &mut Builder, implementation: Implementation) -> Described {
    let mut keras = KerasLayers::default();
    keras.plain(["input_layer"]);
    let mut blocks = vec![
        entry(builder, &mut keras, Entry { index: 1, channels: [3, 32], stride: 2 }),
        entry(builder, &mut keras, Entry { index: 2, channels: [32, 64], stride: 1 }),
    ];
    for (index, block) in (1..).zip(BLOCKS) {
        let pool = pooling(block.stride, implementation);
        let layers = residual(builder, (index, block, pool), &mut keras);
        blocks.push(Block { name: format!("block{index}"), layers });
    }
    blocks.push(exit(builder, 3, [1024, 1536], &mut keras));
    blocks.push(exit(builder, 4, [1536, 2048], &mut keras));
    Described {
        blocks,
        channels: 2048,
        least_image_size: 71,
        classifier: Classifier::Fc,
        keras: keras.layers,
    }
}

/// One of the first two convolutions, which do not pad.
struct Entry {
    index: usize,
    channels: [usize; 2],
    stride: usize,
}

fn entry(builder: &mut Builder, keras: &mut KerasLayers, entry: Entry) -> Block {
    let Entry { index, channels, stride } = entry;
    let name = format!("conv{index}");
    let shape = ConvShape { kernel: 3, stride, padding: 0, groups: 1 };
    let conv = builder.conv(&name, channels, shape);
    let norm = Layer::Norm(builder.norm(&format!("bn{index}"), channels[1]));
    let keras_name = format!("block1_conv{index}");
    keras.add(&keras_name, &[&conv]);
    keras.add(&format!("{keras_name}_bn"), &[&norm]);
    keras.plain([&format!("{keras_name}_act")]);
    Block { name, layers: vec![conv, norm, Layer::Relu] }
}

/// A depthwise 3x3 convolution and a 1x1 convolution, nothing between them.
fn separable(builder: &mut Builder, name: &str, channels: [usize; 2]) -> [Layer; 2] {
    let [input, _] = channels;
    let depthwise = ConvShape { kernel: 3, stride: 1, padding: 1, groups: input };
    let pointwise = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };
    [
        builder.conv(&format!("{name}.conv1"), [input, input], depthwise),
        builder.conv(&format!("{name}.pointwise"), channels, pointwise),
    ]
}

/// The pooling at the end of a block with a stride.
fn pooling(stride: usize, implementation: Implementation) -> Vec<Layer> {
    let shape = PoolShape { kernel: 3, stride, padding: 1 };
    match implementation {
        Implementation::Pytorch => vec![Layer::MaxPool(shape)],
        Implementation::Keras => {
            let same = SamePadding { kernel: 3, stride, value: PaddingValue::Lowest };
            vec![Layer::Same(same), Layer::MaxPool(PoolShape { padding: 0, ..shape })]
        }
    }
}

fn residual(
    builder: &mut Builder,
    (index, block, pool): (usize, Residual, Vec<Layer>),
    keras: &mut KerasLayers,
) -> Vec<Layer> {
    let Residual { channels: [input, output], inner, separable: count, stride } = block;
    let (name, keras_name) = (format!("block{index}"), format!("block{}", index + 1));
    let mut body = Vec::new();
    // The first block's input comes out of a ReLU already; timm then counts one module less.
    let skipped = usize::from(index == 1);
    for step in 0..count {
        let channels =
            [if step == 0 { input } else { inner }, if step + 1 == count { output } else { inner }];
        let keras_step = format!("{keras_name}_sepconv{}", step + 1);
        if step > 0 || skipped == 0 {
            body.push(Layer::Relu);
            keras.plain([&format!("{keras_step}_act")]);
        }
        let position = 3 * step + 1 - skipped;
        let [depthwise, pointwise] =
            separable(builder, &format!("{name}.rep.{position}"), channels);
        let norm = format!("{name}.rep.{}", position + 1);
        let norm = Layer::Norm(builder.norm(&norm, channels[1]));
        keras.add(&keras_step, &[&depthwise, &pointwise]);
        keras.add(&format!("{keras_step}_bn"), &[&norm]);
        body.extend([depthwise, pointwise, norm]);
    }
    if stride == 1 {
        keras.plain([&format!("add_{}", index - 1)]);
        return vec![Layer::Residual { body, shortcut: Vec::new() }];
    }
    body.extend(pool);
    let conv = builder.conv(&format!("{name}.skip"), [input, output], SHORTCUT);
    let norm = Layer::Norm(builder.norm(&format!("{name}.skipbn"), output));
    note_shortcut(keras, index, &keras_name, [&conv, &norm]);
    vec![Layer::Residual { body, shortcut: vec![conv, norm] }]
}

/// Keras names the shortcuts' layers by counting them, and sorts them among the block's last ones.
fn note_shortcut(
    keras: &mut KerasLayers,
    index: usize,
    keras_name: &str,
    [conv, norm]: [&Layer; 2],
) {
    let nth = |name: &str, n: usize| if n == 0 { name.to_owned() } else { format!("{name}_{n}") };
    let shortcut = if index == 12 { 3 } else { index - 1 };
    keras.add(&nth("conv2d", shortcut), &[conv]);
    keras.plain([&format!("{keras_name}_pool")]);
    keras.add(&nth("batch_normalization", shortcut), &[norm]);
    keras.plain([&nth("add", index - 1)]);
}

/// One of the last two convolutions.
fn exit(
    builder: &mut Builder,
    index: usize,
    channels: [usize; 2],
    keras: &mut KerasLayers,
) -> Block {
    let name = format!("conv{index}");
    let [depthwise, pointwise] = separable(builder, &name, channels);
    let norm = Layer::Norm(builder.norm(&format!("bn{index}"), channels[1]));
    let keras_name = format!("block14_sepconv{}", index - 2);
    keras.add(&keras_name, &[&depthwise, &pointwise]);
    keras.add(&format!("{keras_name}_bn"), &[&norm]);
    keras.plain([&format!("{keras_name}_act")]);
    Block { name, layers: vec![depthwise, pointwise, norm, Layer::Relu] }
}
