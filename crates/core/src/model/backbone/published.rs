//! Weights that others trained on ImageNet and publish: where each file is, and what belongs to it.

use crate::model::Input;
use crate::remote::Remote;

/// A published weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What `model.weights` calls it.
    pub name: &'static str,
    /// Where it is published, and what it holds.
    pub remote: Remote<'static>,
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
        Self { name, remote: Remote { url, sha256, bytes }, input: Input::Torchvision }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::model::backbone::Backbone;

    /// Every line of the registry. The digits in the files' names are PyTorch's own check, `torch.hub` uses
    /// them: a digest that was copied wrongly would not begin with them.
    #[test]
    fn every_backbone_has_published_weights_whose_digest_is_in_their_name() {
        let mut urls = BTreeSet::new();
        for backbone in Backbone::ALL {
            let published = backbone.published();
            assert_eq!(published[0].name, "imagenet", "{backbone:?}");
            for it in published {
                let digits =
                    it.remote.url.rsplit_once('-').and_then(|(_, it)| it.strip_suffix(".pth"));
                let digits = digits.unwrap();
                assert!(digits.len() >= 8 && it.remote.sha256.starts_with(digits), "{it:?}");
                assert!([digits.len(), 64].contains(&it.remote.sha256.len()), "{it:?}");
                let hexadecimal = it.remote.sha256.chars().all(|it| it.is_ascii_hexdigit());
                assert!(hexadecimal && it.remote.url.starts_with("https://"), "{it:?}");
                assert!(urls.insert(it.remote.url), "{it:?} is published twice");
            }
        }
    }
}
