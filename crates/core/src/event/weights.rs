//! First weights: where they are from, what of a file was taken, whose images they were trained on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the backbone has its first weights from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The file or run they come from, or `random`.
    pub from: String,
    /// Tensors that were set from it.
    pub loaded: usize,
    /// Tensors of the backbone that it does not have and that were drawn at random.
    pub missing: Vec<String>,
    /// Tensors in it that the backbone has no place for.
    pub unexpected: Vec<String>,
    /// What of the file was taken, and what else is in it.
    #[serde(default, skip_serializing_if = "Taken::is_nothing")]
    pub taken: Taken,
    /// The images that they were trained on; none where that is no question, as of random ones, and in older logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors: Option<Ancestors>,
}

/// What of a weight file was taken, and what else is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// The state dict that was taken, by the keys that lead to it; none if the file is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dict: Option<String>,
    /// The other state dicts of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Whether the one that was taken is a moving average.
    #[serde(skip_serializing_if = "is_false")]
    pub averaged: bool,
    /// Whether another one would have done as well, and nobody said which is meant.
    #[serde(skip_serializing_if = "is_false")]
    pub ambiguous: bool,
    /// What stood before every name and was taken off.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Classes and functions that the file asks for beside its tensors, with how many objects of each; none of
    /// them was imported or called.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, usize>,
    /// Tensors of the file that cannot be read, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, String>,
}

impl Taken {
    pub(in crate::event) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(it: &bool) -> bool {
    !it
}

/// The images that a run's first weights were trained on, and all weights before them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ancestors {
    /// Whether all of them are known; if not, those of some weights are not written down anywhere.
    pub known: bool,
    /// Whether what is not known was trained by Ferrite, before it wrote this down.
    #[serde(default)]
    pub older: bool,
    /// How many different images are known.
    pub images: usize,
    /// Images of the splits that judge this run (`valid`, `test`) which are among them.
    pub seen: BTreeMap<String, Seen>,
}

/// How many images of a split the first weights have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Images that they were trained on.
    pub images: usize,
    /// Images of the split.
    pub of: usize,
}
