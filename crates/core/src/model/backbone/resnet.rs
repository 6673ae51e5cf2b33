//! ResNet18, ResNet34 and ResNet50 (He et al. 2015, <https://arxiv.org/abs/1512.03385>), equal to torchvision's
//! `resnet18`, `resnet34` and `resnet50` in layer names and arithmetic.
//!
//! torchvision's ResNet50 differs from the paper (v1.5): the stride of a bottleneck is in its 3x3 convolution, not in the
//! first 1x1, and its convolutions have no biases. Keras's (v1) has it as the paper, has biases, and adds 1.001e-5 to
//! variances. Keras has no ResNet18 and no ResNet34.

use crate::model::Input;
use crate::model::backbone::published::Published;
use crate::model::backbone::{Block, Classifier, Described};
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayers;
use crate::model::layer::{Builder, Layer, NormConstants};
use crate::model::layer::{ConvShape, PoolShape};

/// Inner width and first stride of each stage.
const STAGES: [[usize; 2]; 4] = [[64, 1], [128, 2], [256, 2], [512, 2]];

/// Blocks of each stage.
type Depths = [usize; 4];

/// Channels behind the first convolution.
const STEM: usize = 64;

/// torchvision's weights of `resnet18`.
pub(super) const PUBLISHED_18: &[Published] = &[Published::torchvision(
    "imagenet",
    "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    46_830_571,
)];

/// torchvision's weights of `resnet34`.
pub(super) const PUBLISHED_34: &[Published] = &[Published::torchvision(
    "imagenet",
    "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    87_319_819,
)];

/// torchvision's weights of `resnet50`, of two ways of training, and Keras's.
pub(super) const PUBLISHED_50: &[Published] = &[
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
    Published::keras(
        "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
        94_765_736,
        Input::Caffe,
    ),
];

/// `resnet18` without its classifier.
pub(super) fn build_18(builder: &mut Builder, _: Implementation) -> Described {
    build(builder, Kind::Basic, [2, 2, 2, 2], TORCHVISION)
}

/// `resnet34` without its classifier.
pub(super) fn build_34(builder: &mut Builder, _: Implementation) -> Described {
    build(builder, Kind::Basic, [3, 4, 6, 3], TORCHVISION)
}

/// `resnet50` without its classifier.
pub(super) fn build_50(builder: &mut Builder, implementation: Implementation) -> Described {
    let style = match implementation {
        Implementation::Pytorch => TORCHVISION,
        Implementation::Keras => KERAS,
    };
    build(builder, Kind::Bottleneck, [3, 4, 6, 3], style)
}

/// What implementations differ in.
#[derive(Clone, Copy)]
struct Style {
    /// The constants of its batch norms.
    norms: NormConstants,
    /// Whether convolutions have biases, though a batch norm follows.
    biases: bool,
    /// Which convolution of a bottleneck has its stride.
    strided: usize,
}

const TORCHVISION: Style =
    Style { norms: NormConstants { eps: 1e-5, momentum: 0.1 }, biases: false, strided: 1 };
const KERAS: Style =
    Style { norms: NormConstants { eps: 1.001e-5, momentum: 0.01 }, biases: true, strided: 0 };

impl Style {
    fn conv(self, builder: &mut Builder, name: &str, ends: [usize; 2], window: ConvShape) -> Layer {
        if self.biases {
            builder.conv_with_bias(name, ends, window)
        } else {
            builder.conv(name, ends, window)
        }
    }

    /// Biases of `output` channels that Keras's convolution has and this one has not.
    fn lacking(self, output: usize) -> usize {
        if self.biases { 0 } else { output }
    }
}

/// What the blocks of a network are made of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Two 3x3 convolutions.
    Basic,
    /// A 3x3 convolution between two of one position.
    Bottleneck,
}

impl Kind {
    /// Output channels of a block for each inner one.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

fn build(builder: &mut Builder, kind: Kind, depths: Depths, style: Style) -> Described {
    builder.norms = style.norms;
    let mut keras = KerasLayers::default();
    let mut blocks = vec![stem(builder, &mut keras, style)];
    let mut channels = STEM;
    for (stage, ([width, first_stride], repeats)) in STAGES.into_iter().zip(depths).enumerate() {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let name = format!("layer{}.{repeat}", stage + 1);
            let names = Names { keras: format!("conv{}_block{}", stage + 2, repeat + 1), name };
            let shape = Shape { kind, input: channels, width, stride, style };
            let layers = residual(builder, &mut keras, &names, shape);
            let name = names.name;
            blocks.push(Block { name, layers });
            channels = shape.output();
        }
    }
    Described {
        blocks,
        channels,
        least_image_size: 32,
        classifier: Classifier::Fc,
        keras: if kind == Kind::Bottleneck { keras.layers } else { Vec::new() },
    }
}

fn stem(builder: &mut Builder, keras: &mut KerasLayers, style: Style) -> Block {
    let shape = ConvShape { kernel: 7, stride: 2, padding: 3, groups: 1 };
    let conv = style.conv(builder, "conv1", [3, STEM], shape);
    let norm = Layer::Norm(builder.norm("bn1", STEM));
    keras.plain(["input_layer", "conv1_pad"]);
    keras.add_with_biases("conv1_conv", &[&conv], style.lacking(STEM));
    keras.add("conv1_bn", &[&norm]);
    keras.plain(["conv1_relu", "pool1_pad", "pool1_pool"]);
    let pool = Layer::MaxPool(PoolShape { kernel: 3, stride: 2, padding: 1 });
    Block { name: "conv1".into(), layers: vec![conv, norm, Layer::Relu, pool] }
}

/// What a block is called in weight files, and by Keras.
struct Names {
    name: String,
    keras: String,
}

/// The convolutions of a block, each with its norm.
struct Ways<'a> {
    body: &'a [[Layer; 2]],
    shortcut: Option<&'a [Layer; 2]>,
}

/// What a block is made of, what it takes in, its inner width, its stride, and whose it is.
#[derive(Clone, Copy)]
struct Shape {
    kind: Kind,
    input: usize,
    width: usize,
    stride: usize,
    style: Style,
}

impl Shape {
    /// Channels that the block gives.
    fn output(self) -> usize {
        self.width * self.kind.expansion()
    }

    /// Channels in and out of each convolution of its body, and the window.
    fn convolutions(self) -> Vec<([usize; 2], ConvShape)> {
        let Self { kind, input, width, stride, style } = self;
        let step = |index| if index == style.strided { stride } else { 1 };
        match kind {
            Kind::Basic => vec![([input, width], wide(stride)), ([width, width], wide(1))],
            Kind::Bottleneck => vec![
                ([input, width], point(step(0))),
                ([width, width], wide(step(1))),
                ([width, self.output()], point(1)),
            ],
        }
    }

    /// Whether the block gives another shape than it takes in.
    fn reshapes(self) -> bool {
        self.stride != 1 || self.input != self.output()
    }
}

/// One position at a time.
fn point(stride: usize) -> ConvShape {
    ConvShape { kernel: 1, stride, padding: 0, groups: 1 }
}

/// Three by three.
fn wide(stride: usize) -> ConvShape {
    ConvShape { kernel: 3, stride, padding: 1, groups: 1 }
}

/// The convolutions of a block around a shortcut, which is a convolution where the shape changes.
fn residual(
    builder: &mut Builder,
    keras: &mut KerasLayers,
    names: &Names,
    shape: Shape,
) -> Vec<Layer> {
    let name = &names.name;
    let pairs: Vec<[Layer; 2]> = (1..)
        .zip(shape.convolutions())
        .map(|(index, (channels, window))| {
            let conv = shape.style.conv(builder, &format!("{name}.conv{index}"), channels, window);
            [conv, Layer::Norm(builder.norm(&format!("{name}.bn{index}"), channels[1]))]
        })
        .collect();
    let shortcut: Option<[Layer; 2]> = shape.reshapes().then(|| {
        let (ends, window) = ([shape.input, shape.output()], point(shape.stride));
        let conv = shape.style.conv(builder, &format!("{name}.downsample.0"), ends, window);
        [conv, Layer::Norm(builder.norm(&format!("{name}.downsample.1"), shape.output()))]
    });
    if shape.kind == Kind::Bottleneck {
        let ways = Ways { body: &pairs, shortcut: shortcut.as_ref() };
        let lacking = [shape.width, shape.output()].map(|it| shape.style.lacking(it));
        note_keras(keras, &names.keras, ways, lacking);
    }
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

/// Keras sorts layers by their distance from the end, so the shortcut's two stand among the last ones. `inner` and `outer`
/// are the biases that its convolutions have there and not here.
fn note_keras(
    keras: &mut KerasLayers,
    name: &str,
    Ways { body, shortcut }: Ways<'_>,
    [inner, outer]: [usize; 2],
) {
    let layer = |part: &str| format!("{name}_{part}");
    for (index, [conv, norm]) in (1..).zip(&body[..2]) {
        keras.add_with_biases(&layer(&format!("{index}_conv")), &[conv], inner);
        keras.add(&layer(&format!("{index}_bn")), &[norm]);
        keras.plain([&layer(&format!("{index}_relu"))]);
    }
    let [conv, norm] = &body[2];
    if let Some([shortcut, _]) = shortcut {
        keras.add_with_biases(&layer("0_conv"), &[shortcut], outer);
    }
    keras.add_with_biases(&layer("3_conv"), &[conv], outer);
    if let Some([_, shortcut]) = shortcut {
        keras.add(&layer("0_bn"), &[shortcut]);
    }
    keras.add(&layer("3_bn"), &[norm]);
    keras.plain([&layer("add"), &layer("out")]);
}
