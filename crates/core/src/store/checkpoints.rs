//! Where finished stages leave what a longer one goes on from: weights, what the optimizer remembers, and their epochs.
//!
//! They lie beside the results and are no part of them: whoever takes one away loses time, and no result. The stages of
//! one lineage differ in nothing but how many epochs they have, so that a folder of it has what any of them can begin with.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::files::{create_folder, rename};
use crate::store::Store;

/// The folder below `.store`.
const FOLDER: &str = "checkpoint";

/// A finished stage after its last epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many epochs it has.
    pub epochs: usize,
    /// The file.
    pub path: PathBuf,
}

impl Store {
    /// The checkpoints of `lineage` in this precision with at most so many epochs, the longest first.
    pub fn checkpoints(&self, lineage: &str, precision: &str, most: usize) -> Vec<Checkpoint> {
        let entries = std::fs::read_dir(self.of_lineage(lineage, precision)).into_iter().flatten();
        let epochs = |it: &Path| it.file_stem()?.to_str()?.parse::<usize>().ok();
        let mut found: Vec<Checkpoint> = entries
            .filter_map(std::result::Result::ok)
            .map(|it| it.path())
            .filter(|it| it.extension().is_some_and(|it| it == "safetensors"))
            .filter_map(|path| Some(Checkpoint { epochs: epochs(&path)?, path }))
            .filter(|it| it.epochs <= most)
            .collect();
        found.sort_by_key(|it| std::cmp::Reverse(it.epochs));
        found
    }

    /// Keeps the file at `written`, which is a checkpoint of `lineage` after so many epochs: it is moved.
    ///
    /// # Errors
    /// [`Error::File`](crate::error::Error::File) if it cannot be moved.
    pub fn keep_checkpoint(
        &self,
        (lineage, precision): (&str, &str),
        epochs: usize,
        written: &Path,
    ) -> Result<()> {
        let folder = self.of_lineage(lineage, precision);
        create_folder(&folder)?;
        let path = folder.join(format!("{epochs}.safetensors"));
        rename(written, &path)
    }

    fn of_lineage(&self, lineage: &str, precision: &str) -> PathBuf {
        let plain = |it: char| if it.is_ascii_alphanumeric() { it } else { '-' };
        let precision: String = precision.chars().map(plain).collect();
        self.root.join(".store").join(FOLDER).join(lineage).join(precision.replace("--", "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_checkpoint_that_is_not_too_long_comes_first() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let epochs = |precision: &str, most| -> Vec<usize> {
            store.checkpoints("a", precision, most).iter().map(|it| it.epochs).collect()
        };
        assert!(epochs("f32", 9).is_empty());
        for count in [3, 12, 6] {
            let written = root.path().join("checkpoint.safetensors");
            std::fs::write(&written, count.to_string()).unwrap();
            store.keep_checkpoint(("a", "f32"), count, &written).unwrap();
            assert!(!written.exists());
        }
        std::fs::write(root.path().join(".store/checkpoint/a/f32/7.damaged.safetensors"), "")
            .unwrap();
        assert_eq!(epochs("f32", 12), [12, 6, 3]);
        assert_eq!(epochs("f32", 11), [6, 3]);
        assert!(epochs("f32", 2).is_empty() && epochs("f32, bf16 where frozen", 12).is_empty());
    }
}
