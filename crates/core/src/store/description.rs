//! What a person says of an experiment and what it is held against. It changes no result, so it lies beside the runs
//! instead of in them, and every sweep writes it anew.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_whole;
use crate::store::artifact::damaged;
use crate::store::folder::files;

/// What is said of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// One sentence: what the experiment shows. Empty where its file says nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Names of the files that it extends, the nearest first; some of them are no experiments of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
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
        let text = toml::to_string(self).expect("texts are plain TOML");
        fs_err::create_dir_all(folder).map_err(Error::file("cannot create", folder))?;
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
        let said = Description { about: "what \"it\" shows".into(), extends: vec!["c".into()] };
        said.write(&folder).unwrap();
        assert_eq!(Description::read(&folder).unwrap(), said);
        std::fs::write(folder.join(files::EXPERIMENT), b"about = ").unwrap();
        let error = Description::read(&folder).unwrap_err();
        assert!(error.to_string().contains("experiment.toml"), "{error}");
        said.write(&folder).unwrap();
        assert_eq!(Description::read(&folder).unwrap(), said);
    }
}
