//! The `labels` setting: whose labels the images have.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::source::Source;
use crate::error::Problem;

/// Whose labels the images have.
///
/// ```toml
/// [data]
/// source = { fer2013 = { csv = "data/fer2013.csv" } }
/// labels = { ferplus = { votes = "data/fer2013new.csv" } }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Labels {
    /// The source's own.
    #[default]
    Source,
    /// The votes of ten people for each image of FER2013 (FER+). For `fer2013` sources only.
    Ferplus(Ferplus),
}

/// The `labels = { ferplus = { … } }` table: FER2013 relabelled by ten people (Barsoum et al. 2016,
/// <https://arxiv.org/abs/1608.01041>).
///
/// There is an eighth class, `contempt`. As in Microsoft's code, a class that only one person named is ignored, and
/// images on which people did not agree are left out; the report says how many and why.
///
/// ```toml
/// [data]
/// source = { fer2013 = { csv = "data/fer2013.csv" } }
/// labels = { ferplus = { votes = "data/fer2013new.csv", rule = "probabilistic" } }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ferplus {
    /// Microsoft's `fer2013new.csv`: a row for each row of `fer2013.csv`, in its order. The path is
    /// relative to the folder you run `ferrite` in.
    pub votes: PathBuf,
    /// How votes become labels.
    #[schemars(extend("x-judges" = "with-limit"))]
    pub rule: Rule,
}

/// How votes become labels.
///
/// The rule is about training images. Under both rules a validation or test image has the class that more than half of
/// the votes name, as in Microsoft's code, so networks trained under either rule are judged by the same images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The class that more than half of the votes name. Images without one, or whose majority says
    /// "unknown" or "not a face", are left out.
    #[default]
    Majority,
    /// The label of a training image is a distribution: the votes for its most named classes, as many as make up three
    /// quarters of all votes, but three at most. Training minimises the cross-entropy to it; accuracy counts the class
    /// with the most votes. Images that need more than three classes, or whose most votes are for "unknown" or "not a
    /// face", are left out. Microsoft's code calls it `crossentropy`.
    Probabilistic,
}

impl Labels {
    /// What cannot be right in this table alone, beside this source.
    pub(super) fn check(&self, source: &Source) -> Option<Problem> {
        let Self::Ferplus(Ferplus { votes, .. }) = self else { return None };
        if !matches!(source, Source::Fer2013 { .. }) {
            let message = "must be `\"source\"`: FER+ has votes for the rows of `fer2013.csv` only";
            return Some(Problem::new("", message));
        }
        let named = !votes.as_os_str().is_empty();
        Problem::unless(named, "ferplus.votes", "must name a file, like `data/fer2013new.csv`")
    }

    /// The names of the classes in label order.
    pub(super) fn classes(&self, source: &Source) -> Vec<String> {
        let mut classes = source.classes();
        if matches!(self, Self::Ferplus(_)) {
            classes.push("contempt".into());
        }
        classes
    }
}
