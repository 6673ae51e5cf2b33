//! Whose network of a name it is: libraries publish networks of one name that compute different things.
//!
//! What they differ in belongs to the weights, which were trained with it, as the scaling of pixels does
//! ([`crate::model::Input`]): constants of batch norms, where a window of an even side begins, which convolution has the
//! stride, whether convolutions in front of a batch norm have biases. Each backbone says in its own file what its
//! implementations differ in; everybody else only hands on which one is meant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::layer::NormConstants;

/// Whose network of the backbone's name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Implementation {
    /// torchvision's; for Xception timm's.
    #[default]
    Pytorch,
    /// Keras's, `keras.applications`: batch norms add 1e-3 to the variance (ResNet50 1.001e-5) and move by 0.01 (MobileNetV2
    /// 0.001), windows with a stride begin at the first pixel where the side is even (MobileNetV2, Xception), ResNet50 has
    /// the stride of a stage in its first 1x1 convolution and biases in all of them. VGG16 and VGG19 compute the same as
    /// torchvision's. Keras's EfficientNet and ConvNeXt are not known here.
    Keras,
}

impl Implementation {
    /// Its name in experiment files and in the headers of weight files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytorch => "pytorch",
            Self::Keras => "keras",
        }
    }

    /// The constants of batch norms for which nothing else is said.
    pub(in crate::model) fn norms(self) -> NormConstants {
        match self {
            Self::Pytorch => NormConstants::default(),
            Self::Keras => NormConstants { eps: 1e-3, momentum: 0.01 },
        }
    }
}
