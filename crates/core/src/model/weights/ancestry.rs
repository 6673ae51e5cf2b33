//! The images that weights were trained on, theirs and those of all weights they began with.
//!
//! They stand in the header of every model that Ferrite writes, as one number for each image, so that whoever
//! begins with it knows which of his test images it has seen. What the numbers are made of, this module does not
//! know.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::digits::hex;
use crate::model::weights::facts;
use crate::model::weights::file::TensorFile;

/// Hexadecimal digits of one image's number.
const DIGITS: usize = 16;

/// The images that weights were trained on, and all weights before them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ancestry {
    /// The images' numbers, ascending, each once.
    images: Vec<u64>,
    /// Why these are not all; none if they are.
    pub gap: Option<Gap>,
}

/// Why training images are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// A model of Ferrite's that does not say, since it is older than that or was changed.
    Unwritten,
    /// Weights that others trained.
    Foreign,
}

impl Gap {
    fn name(self) -> &'static str {
        match self {
            Self::Unwritten => "unwritten",
            Self::Foreign => "foreign",
        }
    }
}

impl Ancestry {
    /// What the header of `file` says.
    pub fn of(file: &TensorFile) -> Self {
        let fact = |name: &str| file.facts.get(name).map(String::as_str);
        let written = fact(facts::TRAINED_ON).and_then(numbers);
        let images = written.filter(|it| fact(facts::TRAINED_ON_DIGEST) == Some(&digest(it)));
        let gap = match (&images, fact(facts::TRAINED_ON_GAP)) {
            (Some(_), None) => None,
            (Some(_), Some("foreign")) => Some(Gap::Foreign),
            (None, _) if fact(facts::FORMAT).is_none() && fact(facts::TRAINED_ON).is_none() => {
                Some(Gap::Foreign)
            }
            _ => Some(Gap::Unwritten),
        };
        Self { images: images.unwrap_or_default(), gap }
    }

    /// These images and `more` of them.
    pub fn with(&self, more: impl Iterator<Item = u64>) -> Self {
        let mut images: Vec<u64> = self.images.iter().copied().chain(more).collect();
        images.sort_unstable();
        images.dedup();
        Self { images, gap: self.gap }
    }

    /// How many different images are known.
    pub fn count(&self) -> usize {
        self.images.len()
    }

    /// Whether the weights were trained on the image with this number, as far as is known.
    pub fn has(&self, image: u64) -> bool {
        self.images.binary_search(&image).is_ok()
    }

    /// What a header says of it.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let mut text = String::with_capacity(DIGITS * self.images.len());
        for image in &self.images {
            // Writing to a string cannot fail.
            let _ = write!(text, "{image:016x}");
        }
        let gap = self.gap.map(|it| (facts::TRAINED_ON_GAP.to_owned(), it.name().to_owned()));
        let digest = (facts::TRAINED_ON_DIGEST.to_owned(), digest(&self.images));
        [(facts::TRAINED_ON.to_owned(), text), digest].into_iter().chain(gap).collect()
    }
}

/// The numbers of a header, which must ascend; none if it says something else.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let chunks = text.as_bytes().chunks(DIGITS).map(|it| std::str::from_utf8(it).ok());
    let number = |it: Option<&str>| {
        let digits =
            it.filter(|it| it.len() == DIGITS && it.bytes().all(|it| it.is_ascii_hexdigit()));
        u64::from_str_radix(digits?, 16).ok()
    };
    let numbers: Vec<u64> = chunks.map(number).collect::<Option<_>>()?;
    numbers.is_sorted_by(|a, b| a < b).then_some(numbers)
}

/// A few words that tell one list of images from another.
fn digest(images: &[u64]) -> String {
    let bytes: Vec<u8> = images.iter().flat_map(|it| it.to_be_bytes()).collect();
    format!("{} images, sha256 {}", images.len(), hex(&Sha256::digest(bytes)[..8]))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::weights::output::write_tensors;

    fn file_with(facts: BTreeMap<String, String>, path: &Path) -> TensorFile {
        let numbers = [0_u8; 4];
        let one = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &numbers);
        write_tensors([("w".to_owned(), one.unwrap())], facts, path).unwrap();
        TensorFile::open(path).unwrap()
    }

    #[test]
    fn what_a_header_says_comes_back_and_grows_from_generation_to_generation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let first = Ancestry::default().with([7, u64::MAX, 7, 0].into_iter());
        assert_eq!((first.count(), first.has(7), first.has(8)), (3, true, false));
        let read = Ancestry::of(&file_with(first.facts(), &path));
        assert_eq!(read, first);
        let second = read.with([8].into_iter());
        assert!(second.has(7) && second.has(8) && second.count() == 4);
        let gap = Ancestry { gap: Some(Gap::Foreign), ..second };
        assert_eq!(Ancestry::of(&file_with(gap.facts(), &path)), gap);
        // The images of FER2013's training split.
        let many = Ancestry::default().with((0..28_709_u64).map(|it| it << 40 | it));
        assert!(many.facts().values().map(String::len).sum::<usize>() < 500_000);
    }

    #[test]
    fn a_header_that_says_nothing_or_something_else_is_never_taken_for_no_images() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let gap = |facts: &[(&str, &str)]| {
            let facts = facts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let ancestry = Ancestry::of(&file_with(facts, &path));
            assert_eq!(ancestry.count(), 0);
            ancestry.gap
        };
        assert_eq!(gap(&[]), Some(Gap::Foreign));
        assert_eq!(gap(&[(facts::INPUT, "torchvision")]), Some(Gap::Foreign));
        assert_eq!(gap(&[(facts::FORMAT, "ferrite-1")]), Some(Gap::Unwritten));
        let good = Ancestry::default().with([1, 2].into_iter()).facts();
        let (list, sum) = (&good[facts::TRAINED_ON], &good[facts::TRAINED_ON_DIGEST]);
        for (list, sum) in [
            (&list[1..], sum.as_str()),
            (&list[..DIGITS], sum),
            ("nonsense", sum),
            ("", sum),
            (list, "other"),
        ] {
            let facts = [(facts::TRAINED_ON, list), (facts::TRAINED_ON_DIGEST, sum)];
            assert_eq!(gap(&facts), Some(Gap::Unwritten), "{list} {sum}");
        }
    }
}
