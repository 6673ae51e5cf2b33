//! What an audit of images found: counts only; `data::audit` counts, `report` and `cli` show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::number;

/// What is wrong with the images of a data set, split by split and between splits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Each split by itself.
    pub splits: Vec<Split>,
    /// All of them together.
    pub exact: Duplicates,
    /// Splits that share images with equal pixels, each way.
    pub shared: Vec<Shared>,
    /// Images that nearly show the same; none where nobody looked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
    /// Persons or videos that images belong to; none where the source does not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
}

/// Groups of images: persons, videos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// How many there are.
    pub count: usize,
    /// How many have images in more than one split.
    pub in_several_splits: usize,
    /// How many each split has, by its name.
    pub by_split: BTreeMap<String, usize>,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Split {
    /// Its name.
    pub name: String,
    /// How many images it has.
    pub images: usize,
    /// How many of each class.
    pub classes: Vec<usize>,
    /// Images minus different images: what could go without losing a picture.
    pub redundant: usize,
    /// Images that are one flat gray or colour.
    pub constant: usize,
    /// Images that are nearly so, the constant ones not counted.
    pub nearly_constant: usize,
}

/// Groups of two or more images that are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Duplicates {
    /// How many groups.
    pub groups: usize,
    /// Images in them.
    pub images: usize,
    /// Images minus groups: what could go without losing a picture.
    pub redundant: usize,
    /// Images of the largest group.
    pub largest: usize,
    /// Groups whose images do not all have the same label.
    pub conflicting_groups: usize,
    /// Images in those.
    pub conflicting_images: usize,
}

/// Images of one split that another one has too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The split whose images are counted.
    pub split: String,
    /// The split that has them too.
    pub with: String,
    /// How many.
    pub images: usize,
    /// How many of them have the same label there, at least once.
    pub same_label: usize,
}

/// Pairs of images that nearly show the same, equal ones not counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Near {
    /// Pairs of different pictures.
    pub pairs: usize,
    /// How many of these pairs show it mirrored.
    pub mirrored: usize,
    /// Groups: pictures that are joined by pairs, with all their exact copies.
    pub groups: Duplicates,
    /// Splits that share nearly equal images, each way; images with an exact twin there not counted.
    pub shared: Vec<Shared>,
}

/// The score on images that no training image is an exact twin of and that the first weights have not seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LeakFree {
    /// How many images.
    pub images: usize,
    /// Share of right answers on them, 0-1; none if there is no such image.
    #[serde(with = "number::optional")]
    pub accuracy: Option<f64>,
    /// Images of the split that the first weights, or weights before them, were trained on.
    #[serde(default, skip_serializing_if = "is_none")]
    pub inherited: usize,
    /// Whether there may be more of these, since the images of some weights are not known.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unknown: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(it: &bool) -> bool {
    !it
}
