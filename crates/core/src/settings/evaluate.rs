//! How final weights are tested: the `[evaluate]` table.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::augment::Window;
use crate::error::Problem;

/// The `[evaluate]` table: how the final weights are tested. It changes neither training nor validation.
///
/// ```toml
/// [evaluate]
/// views = "flip"
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// The views of each test image. The network sees each of them, and the probability of a class is the mean over the
    /// views; the report shows the scores without views too.
    #[schemars(extend("x-technique" = "test-time views", "x-off" = "plain"))]
    pub views: Views,
}

/// Views of a test image (test-time augmentation).
///
/// ```toml
/// [evaluate]
/// views = { ten_crop = { size = 0.9 } }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The image as it is.
    #[default]
    Plain,
    /// The image and its mirror image.
    Flip,
    /// Windows in the four corners and the centre, and their mirror images: torchvision's `TenCrop`, with
    /// each window resized to `image_size`.
    TenCrop(TenCrop),
}

/// The windows of a ten-crop.
///
/// ```toml
/// [evaluate]
/// views = { ten_crop = { size = 0.875 } }   # 224 of 256 pixels
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenCrop {
    /// Side of a window as a fraction of the picture's.
    #[schemars(extend("x-unit" = "share of the side"))]
    pub size: f64,
}

impl Default for TenCrop {
    fn default() -> Self {
        Self { size: 0.9 }
    }
}

impl Evaluate {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let Views::TenCrop(TenCrop { size }) = self.views else { return vec![] };
        let message =
            "is a fraction of the picture's side and must be above 0 and at most 1, e.g. 0.9";
        let fine = 0.0 < size && size <= 1.0;
        Problem::unless(fine, "views.ten_crop.size", message).into_iter().collect()
    }
}

impl fmt::Display for Views {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => write!(out, "plain"),
            Self::Flip => write!(out, "flip"),
            Self::TenCrop(TenCrop { size }) => write!(out, "ten-crop of {size}"),
        }
    }
}

impl Views {
    /// The parts of the picture that are looked at; each one and its mirror image are a view, but for
    /// [`Views::Plain`].
    pub fn windows(self) -> Vec<Window> {
        let Self::TenCrop(TenCrop { size: side }) = self else { return vec![Window::WHOLE] };
        let (near, middle, far) = (0.0, (1.0 - side) / 2.0, 1.0 - side);
        let places = [[near, near], [far, near], [near, far], [far, far], [middle, middle]];
        places.map(|[left, top]| Window { left, top, side }).into()
    }

    /// How many views of an image there are.
    pub fn count(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Flip => 2,
            Self::TenCrop(_) => 10,
        }
    }
}
