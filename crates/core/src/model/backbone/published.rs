//! Weights that others trained on ImageNet and publish: where each file is, and what belongs to it.

use crate::model::Input;
use crate::model::implementation::Implementation;
use crate::remote::{Checksum, Remote};

/// A published weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What `model.weights` calls it.
    pub name: &'static str,
    /// Where it is published, and what it holds.
    pub remote: Remote<'static>,
    /// How it wants pixels to be scaled.
    pub input: Input,
    /// Whose network it was trained in.
    pub implementation: Implementation,
}

impl Published {
    /// One of torchvision's, whose networks all have the same input.
    pub(super) const fn torchvision(
        name: &'static str,
        url: &'static str,
        sha256: &'static str,
        bytes: u64,
    ) -> Self {
        let checksum = Checksum::Sha256(sha256);
        Self {
            name,
            remote: Remote { url, checksum, bytes },
            input: Input::Torchvision,
            implementation: Implementation::Pytorch,
        }
    }

    /// Keras's, without the classifier. Keras publishes MD5 sums.
    pub(super) const fn keras(
        url: &'static str,
        md5: &'static str,
        bytes: u64,
        input: Input,
    ) -> Self {
        let checksum = Checksum::Md5(md5);
        Self {
            name: "keras-imagenet",
            remote: Remote { url, checksum, bytes },
            input,
            implementation: Implementation::Keras,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::model::backbone::Backbone;
    use crate::model::implementation::Implementation;
    use crate::remote::Checksum;

    /// Every line of the registry. The digits in the names of PyTorch's files are its own check, `torch.hub` uses
    /// them: a digest that was copied wrongly would not begin with them.
    #[test]
    fn every_backbone_has_published_weights_whose_digest_is_in_their_name() {
        let mut urls = BTreeSet::new();
        for backbone in Backbone::ALL {
            let published = backbone.published();
            assert_eq!(published[0].name, "imagenet", "{backbone:?}");
            for it in published {
                let digits = it.remote.checksum.digits();
                match (it.implementation, it.remote.checksum) {
                    (Implementation::Pytorch, Checksum::Sha256(sha256)) => {
                        let named = it.remote.url.rsplit_once('-');
                        let named = named.and_then(|(_, it)| it.strip_suffix(".pth")).unwrap();
                        assert!(named.len() >= 8 && sha256.starts_with(named), "{it:?}");
                        assert!([named.len(), 64].contains(&sha256.len()), "{it:?}");
                    }
                    (Implementation::Keras, Checksum::Md5(md5)) => {
                        assert_eq!((md5.len(), it.name), (32, "keras-imagenet"), "{it:?}");
                        assert!(it.remote.url.ends_with("_notop.h5"), "{it:?}");
                        assert_eq!(Some(it.input), backbone.keras_input(), "{it:?}");
                    }
                    (_, other) => panic!("{it:?} has {other:?}"),
                }
                assert!(digits.chars().all(|it| it.is_ascii_hexdigit()), "{it:?}");
                assert!(it.remote.url.starts_with("https://"), "{it:?}");
                assert!(urls.insert(it.remote.url), "{it:?} is published twice");
            }
        }
    }
}
