//! What a person says of an experiment and what it is held against. It changes no result, so it lies beside the runs
//! instead of in them, and every sweep writes it anew.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{create_folder, write_whole};
use crate::store::artifact::damaged;
use crate::store::folder::files;

/// What stands before the checksum in the last line, a comment.
const CHECKSUM: &str = "# crc32 of the lines above: ";

fn checksum(lines: &str) -> String {
    format!("{:08x}", crc32fast::hash(lines.as_bytes()))
}

/// What is said of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// One sentence: what the experiment shows. Empty where its file says nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Words that it is chosen by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Names of the files that it extends, the nearest first; some of them are no experiments of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// The search that its runs are the points of; none where there is none.
    #[serde(skip_serializing_if = "Option::is_none", with = "shared")]
    pub search: Option<Arc<Searched>>,
}

/// A search, and which runs are its points.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// The runs of each point, one for each seed, in the order of the points' numbers.
    pub points: Vec<Vec<String>>,
    /// The `[search]` table.
    pub settings: toml::Table,
}

/// A search has a line for each of its runs, and each of these has its description: it lies in memory once.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Searched;

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(
        it: &Option<Arc<Searched>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        it.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Searched>>, D::Error> {
        Ok(Option::<Searched>::deserialize(deserializer)?.map(Arc::new))
    }
}

impl Description {
    /// The description in the folder of an experiment; one that says nothing if there is none, as older versions
    /// wrote none.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::File`] if it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(files::EXPERIMENT);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(Error::file("cannot read", &path))?,
        };
        let text = String::from_utf8(text).map_err(|it| damaged(&path, &it.to_string()))?;
        // Older versions wrote none.
        if let Some((said, written)) = text.rsplit_once(CHECKSUM)
            && written.trim_end() != checksum(said)
        {
            return Err(damaged(&path, "its bytes are not those that were written"));
        }
        toml::from_str(&text).map_err(|it| damaged(&path, it.message()))
    }

    /// Writes it into the folder of an experiment, unless it stands there already.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        if Self::read(folder).is_ok_and(|it| it == *self) {
            return Ok(());
        }
        let mut text = toml::to_string(self).expect("texts are plain TOML");
        let checksum = checksum(&text);
        let _ = writeln!(text, "{CHECKSUM}{checksum}");
        create_folder(folder)?;
        write_whole(&folder.join(files::EXPERIMENT), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_named_and_written_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        assert_eq!(Description::read(&folder).unwrap(), Description::default());
        let settings = "points = 2\n[halving]\nmin_epochs = 2".parse().unwrap();
        let points = vec![vec!["lr-1_seed-0-0a".into()], vec![]];
        let said = Description {
            about: "what \"it\" shows".into(),
            tags: vec!["night".into()],
            extends: vec!["c".into()],
            search: Some(Searched { points, settings }.into()),
        };
        said.write(&folder).unwrap();
        assert_eq!(Description::read(&folder).unwrap(), said);
        std::fs::write(folder.join(files::EXPERIMENT), b"about = ").unwrap();
        let error = Description::read(&folder).unwrap_err();
        assert!(error.to_string().contains("experiment.toml"), "{error}");
        said.write(&folder).unwrap();
        assert_eq!(Description::read(&folder).unwrap(), said);
    }
}
