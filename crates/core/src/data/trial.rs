//! For the tests of this module: decoding in a temporary folder, and complaints as text.

use std::path::PathBuf;

use expect_test::Expect;
use miette::Diagnostic;
use tempfile::TempDir;

use crate::data::Data;
use crate::data::dataset::{self, Dataset};
use crate::data::decode;
use crate::error::{Error, Result};

/// A temporary folder for a source and what is decoded from it.
pub(super) struct Trial(TempDir);

impl Trial {
    pub(super) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, with the folders above it.
    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The `[data]` table in `text`, where `@` stands for the folder.
    pub(super) fn data(&self, text: &str) -> Data {
        toml::from_str(&text.replace('@', self.0.path().to_str().unwrap())).unwrap()
    }

    /// Decodes and opens.
    pub(super) fn open(&self, data: &Data) -> Result<Dataset> {
        let folder = self.path("decoded");
        std::fs::create_dir_all(&folder).unwrap();
        decode::decode(data, &folder, &|_, _| ())?;
        dataset::open(data, &folder)
    }

    /// Checks what a user is told who runs the `[data]` table in `text`.
    #[track_caller]
    pub(super) fn refuses(&self, text: &str, expected: Expect) {
        let told = match self.open(&self.data(text)) {
            Ok(dataset) => format!("accepted, skipping {:#?}\n", dataset.skipped),
            Err(error) => self.told(&error),
        };
        expected.assert_eq(&told);
    }

    /// The error as text, without the folder's own name.
    pub(super) fn told(&self, error: &Error) -> String {
        let text = format!("{error}\n{}\n", error.help().unwrap());
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}
