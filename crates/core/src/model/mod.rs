//! What is trained: backbone, head, noise, weights; and the tables that describe them.
//!
//! **Invariant:** knows nothing of data sets, files of runs or optimizers.

pub mod backbone;
mod check;
pub mod convolutions;
pub mod head;
pub mod implementation;
pub mod keras;
pub mod layer;
pub mod spec;
pub mod summary;
pub mod trainable;
pub mod weights;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::model::backbone::published::Published;
use crate::model::backbone::{Backbone, Description};
use crate::model::implementation::Implementation;
use crate::precision::{Bfloat16, Precision, Precisions};

/// The `[model]` table: backbone, its first weights, and the head on top.
///
/// ```toml
/// [model]
/// backbone = "resnet50"
/// weights  = "imagenet-v2"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// The network without its classifier.
    #[schemars(extend("x-technique" = "backbone"))]
    pub backbone: Backbone,
    /// Where the backbone's first weights come from. Without this setting nothing is transferred: the network is trained
    /// from random weights.
    #[schemars(extend("x-technique" = "first weights", "x-off" = "none", "x-keras" = "imagenet", "x-follows-backbone-unless" = ["none", "imagenet", "imagenet-v2", "keras-imagenet"]))]
    pub weights: Weights,
    /// Whose network of the backbone's name it is. It belongs to the weights. Left out: the one that they were trained in,
    /// which a Keras file is, and what a run ended with says; random weights are PyTorch's.
    #[schemars(extend("x-technique" = "implementation", "x-off" = null))]
    pub implementation: Option<Implementation>,
    /// A batch norm in front of the backbone, over the three channels of the scaled pixels and before any
    /// noise. It is trained like the head; therefore the output of frozen layers changes from step to step and cannot be
    /// computed once and kept.
    #[schemars(extend("x-technique" = "input norm", "x-off" = false))]
    pub input_norm: bool,
    /// What the backbone and the head's hidden layers compute in. Parameters, batch statistics, classifier and loss
    /// are 32-bit floats always.
    #[schemars(extend("x-technique" = "precision"))]
    pub precision: PrecisionSetting,
    /// What is put on top of the backbone.
    #[schemars(extend("x-group" = "head"))]
    pub head: Head,
}

/// What the backbone computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionSetting {
    /// bfloat16 where it is faster, 32-bit floats elsewhere. It is faster on GPUs that have it, on processors with
    /// Intel's AMX and on AMD's from Zen 4 on; on processors without AMX the head stays in 32 bits, and on every processor the
    /// layers of MobileNetV2 and EfficientNet-B0 that train. Intel's AVX512-BF16 without AMX (Cooper Lake, or a virtual machine that
    /// hides AMX) is slower than 32 bits and not used. Finished work stays finished on a machine that would choose
    /// otherwise.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16 (mixed precision): activations and products with 8 significant bits, half the memory.
    /// Where the hardware has no instructions for it, it is imitated and slow.
    Bf16,
}

/// Where the backbone's first weights come from.
///
/// ```toml
/// [model]
/// backbone = "mobilenet_v2"
/// weights  = "imagenet"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Drawn at random from the seed.
    #[default]
    None,
    /// Trained on ImageNet: the official file of torchvision (`IMAGENET1K_V1`), for Xception timm's. It is
    /// downloaded once, verified and kept in the user's cache folder; `ferrite weights list` says where.
    Imagenet,
    /// As `imagenet`, from torchvision's newer training (`IMAGENET1K_V2`). ResNet50 and MobileNetV2 have it.
    ImagenetV2,
    /// Trained on ImageNet: Keras's own file, in Keras's network (`model.implementation`) and with Keras's scaling of
    /// pixels. VGG16, VGG19, ResNet50 and Xception have it; of MobileNetV2's file Keras publishes no checksum.
    KerasImagenet,
    /// The weights that another experiment ends with. It is named by the path of its file, relative to this file and
    /// without `.toml`, and is run first. If it has several seeds, each seed here begins with the weights of the equal
    /// seed there, or of the first one if there is no equal seed.
    Experiment(String),
    /// The weights of a finished run, by its folder below `runs/`, e.g. `pretrain/seed-0-1a2b3c4d`.
    Run(String),
    /// A file of yours with torchvision's tensor names (timm's for Xception): safetensors, or a state dict
    /// that PyTorch saved, alone or in a checkpoint with other things. A prefix that all names have, such as `module.`, is
    /// removed. Or a file of Keras's, `.keras`, `.h5` or `.weights.h5`, in which the backbone is found by the names and
    /// shapes of its layers, also within a model of yours. The file is read as data; no code in it is run.
    File(WeightFile),
}

/// A weight file and the input it was trained with.
///
/// ```toml
/// [model]
/// backbone = "resnet50"
/// weights  = { file = { path = "data/mine.pth", input = "torchvision", state_dict = "model" } }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeightFile {
    /// The file. It must hold every tensor of the backbone; a classifier in it is not used.
    pub path: PathBuf,
    /// How pixels are scaled for this network. Left out: as the header of the file says; files that Ferrite or
    /// `ferrite weights import` wrote say it. For a file of Keras's it is what Keras's `preprocess_input` does for this
    /// backbone.
    pub input: Option<Input>,
    /// Which state dict is taken if the file holds more than one: its key, e.g. `"state_dict"`, keys joined by dots if it
    /// lies deeper, or the prefix of its tensors' names, e.g. `"teacher"`; `"."` is the top of the file. Left out: the
    /// averaged weights if there are any (`state_dict_ema`, `model_ema`, `ema`), otherwise `state_dict`,
    /// `model_state_dict`, `model`, `net` and the like.
    pub state_dict: Option<String>,
}

/// How gray levels 0-255 become the network's input. It belongs to the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// `x / 127.5 - 1`, the scaling of Keras's MobileNetV2 and Xception and of timm's Xception.
    #[default]
    PlusMinusOne,
    /// `(x / 255 - mean) / std` with torchvision's ImageNet means and standard deviations.
    Torchvision,
    /// BGR minus ImageNet means, not scaled: Keras's VGG16 and ResNet50.
    Caffe,
}

/// The `[model.head]` table: pooling, hidden layers, classifier.
///
/// ```toml
/// [model.head]
/// pool       = "avg"
/// layers     = [256, 128]
/// batch_norm = true
/// dropout    = 0.5
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Head {
    /// How feature maps become one vector.
    #[schemars(extend("x-technique" = "pooling"))]
    pub pool: Pool,
    /// Width of each hidden layer: linear, ReLU, batch norm if asked for, dropout. Empty: the classifier
    /// sits on the pooled features.
    #[schemars(extend("x-technique" = "head layers", "x-unit" = "width", "x-off" = []))]
    pub layers: Vec<usize>,
    /// Whether each hidden layer has a batch norm behind its ReLU.
    #[schemars(extend("x-technique" = "head batch norm", "x-off" = false))]
    pub batch_norm: bool,
    /// Probability of dropping a value behind each hidden layer, or before the classifier if there is none.
    #[schemars(extend("x-technique" = "dropout", "x-unit" = "probability", "x-off" = 0.0))]
    pub dropout: f64,
}

impl Default for Head {
    fn default() -> Self {
        Self { pool: Pool::Avg, layers: vec![], batch_norm: false, dropout: 0.0 }
    }
}

/// How feature maps become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The mean over all positions (global average pooling).
    #[default]
    Avg,
    /// Every position by itself.
    Flatten,
}

/// The `[noise]` table: Gaussian noise layers, active in training only.
///
/// ```toml
/// [noise]
/// input    = { std = 0.1, unit = "input-std" }
/// features = { std = 0.1, unit = "input-std" }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Noise on the scaled pixels, before the backbone. Left out: none.
    #[schemars(extend("x-technique" = "noise on the input", "x-off" = null))]
    pub input: Option<GaussianNoise>,
    /// Noise on the pooled features, before the head. Left out: none.
    #[schemars(extend("x-technique" = "noise on the features", "x-off" = null))]
    pub features: Option<GaussianNoise>,
}

/// Normal noise with mean 0.
///
/// ```toml
/// [noise]
/// input = { std = 12.75, unit = "gray" } # on pixels of 0 to 255
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GaussianNoise {
    /// Standard deviation, in `unit`.
    pub std: f64,
    /// What `std` is counted in.
    pub unit: Unit,
}

impl Default for GaussianNoise {
    fn default() -> Self {
        Self { std: 0.1, unit: Unit::InputStd }
    }
}

/// What a noise's standard deviation is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Standard deviations of what the noise is added to, measured on the training images: 0.1 is a
    /// tenth of the signal whatever its scaling. On the input, channel by channel: what scales a channel
    /// scales its noise.
    #[default]
    InputStd,
    /// Gray levels 0-255. For noise on the input only.
    Gray,
    /// The layer's own numbers, as in Keras's `GaussianNoise`: 0.1 is much for an input within ±1 and
    /// nothing for one within 0-255.
    Layer,
}

/// The `[batch_norm]` table: what freezing does to batch norm. Layers that are trained always use the statistics of the
/// batch. Batch norms have PyTorch's epsilon of 1e-5 and momentum of 0.1, which Keras would call 0.9; those of a backbone
/// that is Keras's (`model.implementation`) have Keras's.
///
/// ```toml
/// [batch_norm]
/// frozen_layers = "batch-statistics"     # as PyTorch does if only requires_grad is off
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNorm {
    /// What batch norms of frozen layers do in training.
    #[schemars(extend("x-technique" = "frozen batch norm", "x-off" = "inference"))]
    pub frozen_layers: FrozenNorm,
}

/// What batch norms of frozen layers do in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrozenNorm {
    /// They use their running statistics and do not update them, as in Keras with `trainable = False`.
    #[default]
    Inference,
    /// They use the batch's statistics and update the running ones, as in PyTorch if only `requires_grad` is off and
    /// the model is in training mode. The output of frozen layers can then not be computed once and kept.
    BatchStatistics,
}

impl FrozenNorm {
    /// Whether what a frozen layer gives for an image depends on that image alone, so that it can be kept.
    pub fn sees_one_image(self) -> bool {
        self == Self::Inference
    }
}

impl Model {
    /// Whose network of the backbone's name it is, as far as it is said.
    pub fn implementation(&self) -> Implementation {
        let of_weights = || self.published().map(|it| it.implementation);
        self.implementation.or_else(of_weights).unwrap_or_default()
    }

    /// Whether the network computes what `implementation`'s of its name does.
    pub fn computes_as(&self, implementation: Implementation) -> bool {
        self.implementation() == implementation || self.backbone.is_the_same_everywhere()
    }

    /// The backbone's blocks and tensors.
    pub fn description(&self) -> &'static Description {
        self.backbone.description(self.implementation())
    }

    /// What the parts of the network compute in on `device`, which is as fast in bfloat16 as `bfloat16` says.
    pub fn precisions(&self, device: Device, bfloat16: Bfloat16) -> Precisions {
        match self.precision {
            PrecisionSetting::F32 => Precisions::all(Precision::F32),
            PrecisionSetting::Bf16 => Precisions::all(Precision::Bf16),
            PrecisionSetting::Auto => self.fastest(device, bfloat16),
        }
    }

    /// What `device` is fastest in.
    fn fastest(&self, device: Device, bfloat16: Bfloat16) -> Precisions {
        let [exact, rounded] = [Precision::F32, Precision::Bf16].map(Precisions::all);
        let on_processor = self.backbone.best_with_bfloat16();
        match (bfloat16, device) {
            (Bfloat16::Imitated | Bfloat16::NoFaster, _) => exact,
            (Bfloat16::Faster, _) => Precisions { head: Precision::F32, ..on_processor },
            (Bfloat16::ManyTimes, Device::Cpu) => on_processor,
            (Bfloat16::ManyTimes, Device::Cuda(_)) => rounded,
        }
    }

    /// The published weights that the backbone begins with, if it is to begin with such.
    pub fn published(&self) -> Option<Published> {
        let name = match self.weights {
            Weights::Imagenet => "imagenet",
            Weights::ImagenetV2 => "imagenet-v2",
            Weights::KerasImagenet => "keras-imagenet",
            _ => return None,
        };
        self.backbone.published().iter().find(|it| it.name == name).copied()
    }
}

impl GaussianNoise {
    /// Its standard deviation in the units of what it is added to, whose signal has the standard deviation
    /// `signal` in these units, and in which a gray level is worth `gray`.
    pub fn in_layer_units(self, signal: f64, gray: f64) -> f64 {
        match self.unit {
            Unit::InputStd => self.std * signal,
            Unit::Gray => self.std * gray,
            Unit::Layer => self.std,
        }
    }
}

impl Input {
    /// Factor and summand of each of the three channels, and whether they are in BGR order.
    pub fn scaling(self) -> ([f32; 3], [f32; 3], bool) {
        match self {
            Self::PlusMinusOne => ([1.0 / 127.5; 3], [-1.0; 3], false),
            Self::Torchvision => {
                let (mean, std) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
                let scale = std.map(|it| 1.0 / (255.0 * it));
                (scale, [0, 1, 2].map(|it| -mean[it] / std[it]), false)
            }
            Self::Caffe => ([1.0; 3], [-103.939, -116.779, -123.68], true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_what_each_kind_of_device_is_fastest_in() {
        let [vgg, mobile] = [Backbone::Vgg16, Backbone::MobileNetV2]
            .map(|backbone| Model { backbone, ..Model::default() });
        let (cpu, gpu) = (Device::Cpu, Device::Cuda(0));
        for (device, bfloat16, of_vgg, of_mobile) in [
            (cpu, Bfloat16::Imitated, "f32", "f32"),
            (cpu, Bfloat16::NoFaster, "f32", "f32"),
            (cpu, Bfloat16::Faster, "bf16, f32 in the head", "f32, bf16 where frozen"),
            (cpu, Bfloat16::ManyTimes, "bf16", "f32, bf16 where frozen, bf16 in the head"),
            (gpu, Bfloat16::Imitated, "f32", "f32"),
            (gpu, Bfloat16::ManyTimes, "bf16", "bf16"),
        ] {
            let found = [&vgg, &mobile].map(|it| it.fastest(device, bfloat16).to_string());
            assert_eq!(found, [of_vgg, of_mobile], "{bfloat16:?} on {device}");
        }
    }

    #[test]
    fn a_precision_that_is_asked_for_is_taken_on_every_device() {
        for (precision, expected) in
            [(PrecisionSetting::F32, Precision::F32), (PrecisionSetting::Bf16, Precision::Bf16)]
        {
            let model = Model { precision, ..Model::default() };
            assert_eq!(
                model.precisions(Device::Cpu, Bfloat16::NoFaster),
                Precisions::all(expected)
            );
        }
    }
}
