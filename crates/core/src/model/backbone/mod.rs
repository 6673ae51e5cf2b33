//! The registry of backbones: pretrained networks without their classifier.
//!
//! A backbone is one file that builds its blocks, and one line in `backbones!`.

mod convnext;
mod efficientnet;
mod mobilenet_v2;
pub mod published;
mod resnet;
mod vgg;
mod xception;

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Input;
use crate::model::backbone::published::Published;
use crate::model::implementation::Implementation;
use crate::model::keras::KerasLayer;
use crate::model::layer::{Builder, Layer, LayerNorm, NormConstants};
use crate::precision::{Precision, Precisions};

/// Names every backbone once: its variant, what a user writes, what builds it, and its published weights.
macro_rules! backbones {
    ($($(#[$meta:meta])* $variant:ident = $name:literal => $build:path, $published:path);+ $(;)?) => {
        /// Which backbone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        pub enum Backbone {
            $($(#[$meta])* #[serde(rename = $name)] $variant),+
        }

        impl Backbone {
            /// Every registered backbone.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name in experiment files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The blocks of one implementation of the network; their tensors go into `builder`.
            pub fn build(self, implementation: Implementation, builder: &mut Builder) -> Described {
                builder.norms = implementation.norms();
                let described = match self {
                    $(Self::$variant => $build(builder, implementation)),+
                };
                // What stands around the backbone is ours.
                builder.norms = NormConstants::default();
                described
            }

            /// The blocks and tensors of one implementation of the network. They are put together once in a process.
            pub fn description(self, implementation: Implementation) -> &'static Description {
                match self {
                    $(Self::$variant => {
                        static ALL: [LazyLock<Description>; 2] = [
                            LazyLock::new(|| Description::of(Backbone::$variant, Implementation::Pytorch)),
                            LazyLock::new(|| Description::of(Backbone::$variant, Implementation::Keras)),
                        ];
                        &ALL[implementation as usize]
                    }),+
                }
            }

            /// The weights that are published for it.
            pub fn published(self) -> &'static [Published] {
                match self { $(Self::$variant => $published),+ }
            }
        }
    };
}

backbones! {
    /// VGG16 as in torchvision and Keras: 14.7 million parameters, 512 features, no batch norm.
    Vgg16 = "vgg16" => vgg::build_16, vgg::PUBLISHED_16;
    /// VGG16 with a batch norm behind every convolution, as torchvision's `vgg16_bn`.
    Vgg16Bn = "vgg16_bn" => vgg::build_16_with_norms, vgg::PUBLISHED_16_WITH_NORMS;
    /// VGG19 as in torchvision and Keras: 20.0 million parameters, 512 features, no batch norm.
    Vgg19 = "vgg19" => vgg::build_19, vgg::PUBLISHED_19;
    /// ResNet18 as in torchvision: 11.2 million parameters, 512 features.
    ResNet18 = "resnet18" => resnet::build_18, resnet::PUBLISHED_18;
    /// ResNet34 as in torchvision: 21.3 million parameters, 512 features.
    ResNet34 = "resnet34" => resnet::build_34, resnet::PUBLISHED_34;
    /// ResNet50 as in torchvision (v1.5: the 3x3 convolution has the stride): 23.5 million parameters,
    /// 2048 features. Keras's (v1) has the stride in the first 1x1 convolution.
    ResNet50 = "resnet50" => resnet::build_50, resnet::PUBLISHED_50;
    /// MobileNetV2 as in torchvision: 2.2 million parameters, 1280 features.
    #[default]
    MobileNetV2 = "mobilenet_v2" => mobilenet_v2::build, mobilenet_v2::PUBLISHED;
    /// EfficientNet-B0 as in torchvision: 4.0 million parameters, 1280 features. In training, its residuals that lie behind the
    /// frozen prefix are left out at random (stochastic depth, up to 0.175), as in torchvision and Keras.
    EfficientNetB0 = "efficientnet_b0" => efficientnet::build_b0, efficientnet::PUBLISHED_B0;
    /// ConvNeXt-Tiny as in torchvision: 27.8 million parameters, 768 features. The layer norm behind the pooling
    /// (torchvision's `classifier.0`) belongs to the backbone; with `pool = "flatten"` it is taken at each position, as in
    /// Keras. In training, its residuals that lie behind the frozen prefix are left out at random (stochastic depth, up to
    /// 0.1), as in torchvision; in Keras none are.
    ConvNeXtTiny = "convnext_tiny" => convnext::build_tiny, convnext::PUBLISHED_TINY;
    /// Xception as timm's `legacy_xception`, whose weights are Keras's: 20.8 million parameters, 2048
    /// features.
    Xception = "xception" => xception::build, xception::PUBLISHED;
}

impl Backbone {
    /// Whether the network of this implementation is known.
    pub fn has(self, implementation: Implementation) -> bool {
        implementation == Implementation::Pytorch || self.keras_input().is_some()
    }

    /// How Keras's network of this name wants pixels to be scaled; none where Keras's is not known here.
    pub fn keras_input(self) -> Option<Input> {
        match self {
            Self::Vgg16 | Self::Vgg19 | Self::ResNet50 => Some(Input::Caffe),
            Self::MobileNetV2 | Self::Xception => Some(Input::PlusMinusOne),
            Self::Vgg16Bn
            | Self::ResNet18
            | Self::ResNet34
            | Self::EfficientNetB0
            | Self::ConvNeXtTiny => None,
        }
    }

    /// Whether all implementations of it compute the same, so that only their weights tell them apart.
    pub fn is_the_same_everywhere(self) -> bool {
        matches!(self, Self::Vgg16 | Self::Vgg19)
    }

    /// What it is fastest in on a processor that is faster in bfloat16 (docs/benchmarks.md).
    pub fn best_with_bfloat16(self) -> Precisions {
        match self {
            // The gradients of their depthwise convolutions of 3x3 are slower with them.
            Self::MobileNetV2 | Self::EfficientNetB0 => {
                Precisions { trained: Precision::F32, ..Precisions::all(Precision::Bf16) }
            }
            _ => Precisions::all(Precision::Bf16),
        }
    }
}

/// A backbone by itself.
#[derive(Debug)]
pub struct Description {
    /// Its blocks.
    pub network: Described,
    /// Its tensors.
    pub tensors: Builder,
}

impl Description {
    fn of(backbone: Backbone, implementation: Implementation) -> Self {
        let mut tensors = Builder::default();
        let network = backbone.build(implementation, &mut tensors);
        Self { network, tensors }
    }
}

/// A backbone's blocks, in forward order.
#[derive(Debug, Clone)]
pub struct Described {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Channels behind the last block.
    pub channels: usize,
    /// The smallest image, in pixels a side, that it takes: Keras's minimum.
    pub least_image_size: usize,
    /// What the classifier's tensors are called in weight files.
    pub classifier: Classifier,
    /// The layers of Keras's network of the same name, without its classifier, in their order there; empty where Keras has
    /// no such network.
    pub keras: Vec<KerasLayer>,
}

/// A part of a backbone, between two of which a frozen prefix can end.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name in weight files.
    pub name: String,
    /// What it does.
    pub layers: Vec<Layer>,
}

/// How torchvision and timm call the classifier of a network.
#[derive(Debug, Clone, Copy)]
pub enum Classifier {
    /// `classifier`, always a sequence of layers.
    Sequence,
    /// The same, which begins with a layer norm over the channels of the pooled features and their flattening. The norm
    /// belongs to the backbone, with which it was trained.
    BehindNorm(LayerNorm),
    /// `fc`, one linear layer; a sequence only where a head has more than one.
    Fc,
}

impl Described {
    /// Pixels a side of the feature maps for an image of `side` pixels.
    pub fn side(&self, side: usize) -> usize {
        self.sides(side).last().copied().unwrap_or(side)
    }

    /// The same behind each block.
    pub fn sides(&self, side: usize) -> Vec<usize> {
        let blocks = self.blocks.iter().scan(side, |side, block| {
            *side = block.layers.iter().fold(*side, |side, it| it.side(side));
            Some(*side)
        });
        blocks.collect()
    }
}
