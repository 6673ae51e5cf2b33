//! Views of a test image, over which the final evaluation averages.
//!
//! Validation while training is always plain: it chooses epochs, and a plain look is enough for that.

use std::fmt;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::augment::Window;
use crate::error::Problem;
use crate::event::{Scores, Viewed};
use crate::model::network::Network;
use crate::torch::loss;
use crate::torch::picture;
use crate::train::images::{Images, Split};

/// The `[evaluate]` table: how the final weights are tested. Training and its validation know nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// The views of each test image. The network sees every one, and a class's probability is the mean of
    /// its probabilities; the report shows the plain scores beside it. All views need the pixels, so that
    /// features of a frozen prefix that lie on disk are of use for the plain scores only.
    pub views: Views,
}

/// Views of a test image (test-time augmentation).
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenCrop {
    /// Side of a window as a fraction of the picture's.
    pub size: f64,
}

impl Default for TenCrop {
    fn default() -> Self {
        Self { size: 0.9 }
    }
}

/// What the final weights are worth on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Loss and accuracy over all views.
    pub scores: Scores,
    /// Each image's class probabilities, image by image.
    pub probabilities: Vec<f32>,
    /// What the views were and what a plain look gives; none if the look was plain.
    pub viewed: Option<Viewed>,
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

    /// Logarithms of the class probabilities of images, averaged over the views.
    ///
    /// - output: `[rows, classes]`
    fn infer(self, network: &Network, images: &Images<'_>, rows: &[u32]) -> Tensor<2> {
        let infer = |x| network.infer(network.scale_pixels(x), 0);
        let views = self.windows().into_iter().flat_map(|window| {
            let x = images.window(rows, window);
            let mirrored = (self != Self::Plain).then(|| picture::mirror(x.clone()));
            std::iter::once(x).chain(mirrored)
        });
        loss::log_mean_probability(views.map(infer).collect())
    }
}

/// Tests `network` on a split. `progress` hears how many images are done where there is more than one view.
pub fn judge(
    split: &Split<'_>,
    network: &Network,
    images: &Images<'_>,
    views: Views,
    progress: &mut dyn FnMut(usize),
) -> Judged {
    let (plain, probabilities) = split.evaluate(network, images);
    if views == Views::Plain {
        return Judged { scores: plain, probabilities, viewed: None };
    }
    let mut done = 0;
    let (scores, probabilities) = split.score(images, &mut |positions| {
        done += positions.len();
        let logits = views.infer(network, images, &split.at(positions));
        progress(done);
        logits
    });
    let viewed = Viewed { name: views.to_string(), count: views.count(), plain };
    Judged { scores, probabilities, viewed: Some(viewed) }
}
