//! The `faces` setting: faces are found in the pictures, and cut out or aligned. What was found is in [`found`], what
//! became of each picture in [`placed`]; `ferrite-detect` does both.

pub(in crate::data) mod counted;
pub mod found;
pub mod placed;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::remote::{Checksum, Remote};

/// Sides of YuNet's input, in pixels, that are sensible: its strides are up to 32, and beyond the last it takes seconds.
const SIDES: [usize; 2] = [32, 4096];

/// YuNet, in the version of March 2023 that OpenCV publishes under the MIT licence
/// (<https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet>).
pub const YUNET: Remote<'static> = Remote {
    url: "https://github.com/opencv/opencv_zoo/raw/47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    checksum: Checksum::Sha256("8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"),
    bytes: 232_589,
};

/// The `[data.faces]` table: faces are found in the pictures, and what a network sees is the face, turned upright and
/// brought to one place and size. Left out: pictures are used as they are.
///
/// A face is sampled from the original picture once, at `image_size`: bilinear, averaged where it shrinks, with the
/// picture's edge repeated beyond it. No image is lost in silence: the report counts for each class and split how many
/// faces were found, and shows pictures before and after.
///
/// ```toml
/// [data.faces]
/// detector = { yunet = {} }
/// align    = "landmarks"
/// margin   = 0.1                         # a tenth of the side more of hair and background
/// missing  = "drop"
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faces {
    /// What finds faces: `{ yunet = {} }` or `{ haar = {} }`.
    pub detector: Detector,
    /// Which face of several is taken.
    pub choose: Choice,
    /// How a face is brought into place.
    pub align: Align,
    /// How much more of the surroundings is seen on each side, as a share of the side, -0.25 to 1; negative sees less.
    #[schemars(extend("x-unit" = "share of the side"))]
    pub margin: f64,
    /// Where in the picture the parts of an aligned face come to lie. Left out: where they lie in FER2013 on average.
    pub template: Template,
    /// What is done with pictures in which no face is found.
    #[schemars(extend("x-off" = "keep", "x-judges" = "always"))]
    pub missing: Missing,
}

/// What finds faces.
///
/// ```toml
/// [data.faces]
/// detector = { yunet = { score = 0.7 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Detector {
    /// A small convolutional network that finds faces with five landmarks: both eyes, the nose and the corners of the
    /// mouth. Its file (233 kB) is downloaded once.
    Yunet(Yunet),
    /// OpenCV's cascades of Haar features, which find faces and eyes. They need OpenCV, and an engine that was built with
    /// it: `make build FEATURES=opencv`.
    Haar(Haar),
}

/// The `yunet` detector (Wu et al. 2023, <https://doi.org/10.1007/s11633-023-1423-y>), in the version of March 2023 that
/// OpenCV publishes.
///
/// ```toml
/// [data.faces]
/// detector = { yunet = { score = 0.7, sizes = [224, 640] } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Yunet {
    /// The least score of a face, 0.05 to 1. OpenCV's own default of 0.9 misses a quarter of FER2013.
    pub score: f64,
    /// Of two faces that overlap by more than this (intersection over union), the one with the lower score is dropped.
    pub overlap: f64,
    /// The sizes at which each picture is looked at: the picture is enlarged or shrunk until its longer side has so many
    /// pixels, 32 to 4096. Small sizes find faces that fill the picture, large ones those that are small in it; a face that is
    /// found at several sizes counts once. Empty: 224, for pictures of more than 320 pixels also 640, and for those of more
    /// than 1280 also 1600.
    #[schemars(extend("x-unit" = "pixels"))]
    pub sizes: Vec<usize>,
    /// How many times the landmarks of a face are looked for at most, 1 to 8. YuNet's landmarks are less turned than the
    /// face. So a face that is turned by more than 8 degrees, or had fewer than 150 pixels at the first of the sizes, is
    /// turned upright by the landmarks that were found and looked at again, until it stays upright. If a picture has many
    /// faces, this is done for the 50 with the highest scores.
    #[schemars(extend("x-unit" = "looks"))]
    pub looks: usize,
}

/// The `haar` detector (Viola & Jones 2001, <https://doi.org/10.1109/CVPR.2001.990517>): OpenCV's
/// `haarcascade_frontalface_default`, and for the eyes its three eye cascades.
///
/// ```toml
/// [data.faces]
/// detector = { haar = { min_neighbors = 3 } }
/// align    = "eyes"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Haar {
    /// By how much the window grows from one look to the next: OpenCV's `scaleFactor`.
    pub scale_factor: f64,
    /// How many overlapping windows make a face: OpenCV's `minNeighbors`.
    pub min_neighbors: u32,
    /// How many pixels the picture's edge is repeated by on each side before the search, as a share of its longer side. Faces
    /// that fill the picture, as in FER2013, are not found without.
    #[schemars(extend("x-unit" = "share of the longer side"))]
    pub padding: f64,
    /// Pictures whose longer side has fewer pixels are enlarged to it before the search, larger ones are not changed. The
    /// cascade's window has 24 pixels and faces of 48 are found poorly.
    #[schemars(extend("x-unit" = "pixels"))]
    pub enlarge_to: usize,
}

/// Which face of several in a picture is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The one with the largest area.
    #[default]
    Largest,
    /// The one whose middle is nearest to the picture's.
    Central,
}

/// How a face is brought into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Turned, scaled and shifted so that its landmarks come as near to the template as they can (least squares; Umeyama
    /// 1991, <https://doi.org/10.1109/34.88573>): all five, or the eyes where the detector finds no more. A face without
    /// landmarks is cropped.
    #[default]
    Landmarks,
    /// Turned, scaled and shifted so that both eyes lie on the template. A face without eyes is cropped.
    Eyes,
    /// Not turned: a square around the face is cut out, as large as the longer side of the rectangle that was found.
    Off,
}

/// Where the parts of an aligned face come to lie: shares of the side, from the left and from the top. Left and right are
/// those of the picture.
///
/// ```toml
/// [data.faces.template]                  # smaller faces, higher in the picture
/// left_eye    = [0.35, 0.38]
/// right_eye   = [0.65, 0.38]
/// nose        = [0.50, 0.54]
/// left_mouth  = [0.38, 0.68]
/// right_mouth = [0.62, 0.68]
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-unit" = "share of the side"))]
pub struct Template {
    /// The eye on the left.
    pub left_eye: [f64; 2],
    /// The eye on the right.
    pub right_eye: [f64; 2],
    /// The tip of the nose.
    pub nose: [f64; 2],
    /// The corner of the mouth on the left.
    pub left_mouth: [f64; 2],
    /// The corner of the mouth on the right.
    pub right_mouth: [f64; 2],
}

/// What is done with pictures in which no face is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// They are used whole, as without `faces`.
    #[default]
    Keep,
    /// They are left out. The splits are drawn before, so that the other images stay in their splits; the report counts
    /// what was left out. Faces are found less often in some classes than in others, so this changes how frequent the
    /// classes are.
    Drop,
}

impl Default for Detector {
    fn default() -> Self {
        Self::Yunet(Yunet::default())
    }
}

impl Detector {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Yunet(_) => "YuNet",
            Self::Haar(_) => "Haar cascades",
        }
    }

    /// The file that it needs, if it needs one.
    pub fn model(&self) -> Option<Remote<'static>> {
        match self {
            Self::Yunet(_) => Some(YUNET),
            Self::Haar(_) => None,
        }
    }
}

impl Default for Yunet {
    fn default() -> Self {
        Self { score: 0.6, overlap: 0.3, sizes: Vec::new(), looks: 4 }
    }
}

impl Default for Haar {
    fn default() -> Self {
        Self { scale_factor: 1.1, min_neighbors: 5, padding: 0.25, enlarge_to: 192 }
    }
}

impl Default for Template {
    /// The means of what YuNet finds in FER2013.
    fn default() -> Self {
        Self {
            left_eye: [0.313, 0.394],
            right_eye: [0.682, 0.393],
            nose: [0.494, 0.601],
            left_mouth: [0.355, 0.759],
            right_mouth: [0.645, 0.759],
        }
    }
}

impl Template {
    /// The five points in the order of a detector's landmarks.
    pub fn points(&self) -> [[f64; 2]; 5] {
        let Self { left_eye, right_eye, nose, left_mouth, right_mouth } = *self;
        [left_eye, right_eye, nose, left_mouth, right_mouth]
    }

    fn check(&self) -> Option<Problem> {
        let is_inside = |it: &f64| (0.0..=1.0).contains(it);
        let inside = self.points().iter().flatten().all(is_inside);
        let right_way = self.left_eye[0] + 0.05 <= self.right_eye[0];
        Problem::unless(
            inside && right_way,
            "template",
            "must be shares of the side between 0 and 1, with the left eye left of the right one by 0.05 or more",
        )
    }
}

impl Yunet {
    fn check(&self) -> Vec<Problem> {
        let share = |key, value: f64| {
            Problem::unless((0.0..1.0).contains(&value), key, "must be between 0 and 1, below 1")
        };
        let [least, most] = SIDES;
        let fine = self.sizes.iter().all(|it| (least..=most).contains(it));
        let sizes = Problem::unless(
            fine,
            "sizes",
            "must be pixels of the longer side, 32 to 4096, like `[224, 640]`",
        );
        let looks =
            Problem::unless((1..=8).contains(&self.looks), "looks", "must be between 1 and 8");
        let scored = (0.05..1.0).contains(&self.score);
        let score = Problem::unless(scored, "score", "must be between 0.05 and 1, below 1");
        [score, share("overlap", self.overlap), sizes, looks].into_iter().flatten().collect()
    }
}

impl Haar {
    fn check(&self) -> Vec<Problem> {
        let Self { scale_factor, min_neighbors: _, padding, enlarge_to } = *self;
        [
            Problem::unless(
                scale_factor > 1.0 && scale_factor <= 2.0,
                "scale_factor",
                "must be above 1 and at most 2, like `1.1`",
            ),
            Problem::unless((0.0..=1.0).contains(&padding), "padding", "must be between 0 and 1"),
            Problem::unless(enlarge_to <= 4096, "enlarge_to", "must be at most 4096"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Faces {
    /// What cannot be right in this table alone.
    pub(super) fn check(&self) -> Vec<Problem> {
        let detector: Vec<Problem> = match &self.detector {
            Detector::Yunet(it) => it.check().into_iter().map(|it| it.within("yunet")).collect(),
            Detector::Haar(it) => it.check().into_iter().map(|it| it.within("haar")).collect(),
        };
        let fits = (-0.25..=1.0).contains(&self.margin);
        let margin = Problem::unless(fits, "margin", "must be between -0.25 and 1");
        let detector = detector.into_iter().map(|it| it.within("detector"));
        detector.chain(margin).chain(self.template.check()).collect()
    }
}
