//! Weights that others trained on ImageNet and publish: where each file is, and what belongs to it.

use crate::model::Input;

/// A published weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What `model.weights` calls it.
    pub name: &'static str,
    /// Where it is published.
    pub url: &'static str,
    /// The sha256 of the file in hexadecimal digits, or the first of them where no more is published.
    pub sha256: &'static str,
    /// About how many bytes it has.
    pub bytes: u64,
    /// How it wants pixels to be scaled.
    pub input: Input,
}

impl Published {
    /// One of torchvision's, whose networks all have the same input.
    pub(super) const fn torchvision(
        name: &'static str,
        url: &'static str,
        sha256: &'static str,
        bytes: u64,
    ) -> Self {
        Self { name, url, sha256, bytes, input: Input::Torchvision }
    }
}
