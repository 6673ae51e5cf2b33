//! Which images of a data set a step sees, and what is seen of them.

use ferrite_faces::SIZE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::faces::Missing;
use crate::data::labels::{Labels, Rule};
use crate::data::source::Source;
use crate::data::split::Split;
use crate::data::{Data, Leakage};

/// The part of `[data]` that decides which of the decoded images there are, what they are called and what is seen of
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rows {
    split: Split,
    limit: Option<usize>,
    image_size: usize,
    #[serde(default)]
    labels: LabelsByContent,
    #[serde(default)]
    leakage: Leakage,
    #[serde(default)]
    drawn: Drawn,
    #[serde(default)]
    shrunk: Shrunk,
    #[serde(default)]
    missing: Missing,
}

/// Whose labels the images have, where votes are known by their content.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelsByContent {
    /// The source's own.
    #[default]
    Source,
    /// FER+ votes: the rule, and what identifies the table.
    Ferplus(Rule, String),
}

/// By what images are drawn into splits and by `limit`. Rows of a table were drawn by their numbers once; results of
/// both are told apart by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Drawn {
    /// By what has always identified them, or none is drawn.
    #[default]
    AsAlways,
    /// By what a picture shows.
    ByPicture,
}

/// How images that are stored larger than the network's input are shrunk. That was done without antialiasing once;
/// results of both are told apart by this. Pictures of files are shrunk when they are decoded, and their fingerprint
/// says how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Shrunk {
    /// Nothing is shrunk, or by its decoder.
    #[default]
    Nothing,
    /// With antialiasing.
    Antialiased,
}

impl Rows {
    /// The rows of `data`, whose votes are identified by `votes` if its labels come from such.
    pub(in crate::plan) fn new(data: &Data, votes: Option<&str>) -> Self {
        let labels = match (&data.labels, votes) {
            (Labels::Ferplus(it), Some(votes)) => {
                LabelsByContent::Ferplus(it.rule, votes.to_owned())
            }
            _ => LabelsByContent::Source,
        };
        let (drawn, shrunk) = (Drawn::of(data), Shrunk::of(data));
        // Decoding depends on the source and on what is done about broken images. A setting that has no place here
        // would have none in a key.
        let Data { source: _, split, image_size, limit, labels: _, leakage, on_error: _, faces } =
            data.clone();
        // How faces are found and placed decides the images themselves, which are another step's result.
        let missing = faces.map(|it| it.missing).unwrap_or_default();
        Self { split, limit, image_size, labels, leakage, drawn, shrunk, missing }
    }
}

impl Rows {
    /// Pixels a side of what the network sees.
    pub fn image_size(&self) -> usize {
        self.image_size
    }
}

impl Drawn {
    fn of(data: &Data) -> Self {
        let draws = data.split.draws() || data.limit.is_some();
        if draws && matches!(data.source, Source::Fer2013 { .. }) {
            Self::ByPicture
        } else {
            Self::AsAlways
        }
    }
}

impl Shrunk {
    fn of(data: &Data) -> Self {
        let stored = match &data.source {
            Source::Fer2013 { .. } => SIZE,
            Source::Synthetic(it) => it.size(),
            Source::Folder { .. } | Source::Manifest(_) => 0,
        };
        if data.image_size < stored { Self::Antialiased } else { Self::Nothing }
    }
}
