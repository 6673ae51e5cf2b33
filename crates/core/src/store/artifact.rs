//! What files held when they were written, and whether they still do.
//!
//! A step's folder has it in its [`MANIFEST`], a run's in the event that ends it. Folders of older versions have
//! neither: there only what their readers check is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::disk::{Artifact, SetAside};
use crate::files::{rename, write_whole};
use crate::pulse::beat;

/// The name of the file in a step's folder that says what the others held.
pub const MANIFEST: &str = "manifest.json";

/// Version of the manifest. Version 2 says what the result was computed in.
const FORMAT: u32 = 2;

/// How well a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Whether it is there and has its size.
    Size,
    /// Every byte.
    Content,
}

/// The content of a step's manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct Manifest {
    format: u32,
    /// What the result was computed in; none where nothing is computed, and in older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) precision: Option<String>,
    files: BTreeMap<String, Artifact>,
}

/// What these bytes are as a file.
pub fn of_bytes(bytes: &[u8]) -> Artifact {
    Artifact { bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
}

/// What the file at `path` holds.
///
/// # Errors
/// [`Error::File`] if it cannot be read.
pub fn of_file(path: &Path) -> Result<Artifact> {
    let read = || -> std::io::Result<Artifact> {
        let mut file = File::open(path)?;
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        // A larger buffer would be new memory for each file, which takes longer to get than a small file to read.
        let mut buffer = [0; 1 << 14];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Artifact { bytes, crc32: hasher.finalize() }),
                Ok(count) => {
                    beat();
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    read().map_err(Error::file("cannot read", path))
}

/// Holds the file at `path` against what it held when it was `written`.
///
/// # Errors
/// [`Error::Damaged`] if it is not the same; [`Error::File`] if it cannot be read.
pub fn check(path: &Path, written: &Artifact, care: Care) -> Result<()> {
    let bytes = match std::fs::metadata(path) {
        Ok(it) if it.is_file() => it.len(),
        Ok(_) => return Err(damaged(path, "it is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(path, "it is missing"));
        }
        Err(error) => return Err(Error::file("cannot read", path)(error)),
    };
    if bytes != written.bytes {
        let message = format!("it has {bytes} bytes, and was written with {}", written.bytes);
        return Err(damaged(path, &message));
    }
    if care == Care::Content && of_file(path)?.crc32 != written.crc32 {
        return Err(damaged(path, "its bytes are not those that were written"));
    }
    Ok(())
}

/// Writes the manifest of a step's `folder`, of all files that are in it, and what they were computed in.
pub(in crate::store) fn write_manifest(folder: &Path, precision: Option<&str>) -> Result<()> {
    let mut files = BTreeMap::new();
    let entries = fs_err::read_dir(folder).map_err(Error::file("cannot read", folder))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("cannot read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name != MANIFEST {
            files.insert(name, of_file(&entry.path())?);
        }
    }
    let precision = precision.map(str::to_owned);
    let manifest = Manifest { format: FORMAT, precision, files };
    let text = serde_json::to_vec_pretty(&manifest).expect("counts are plain JSON");
    write_whole(&folder.join(MANIFEST), &text)
}

/// The manifest of a step's `folder`; none in a folder of an older version.
pub(in crate::store) fn manifest(folder: &Path) -> Result<Option<Manifest>> {
    let path = folder.join(MANIFEST);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("cannot read", &path)(error)),
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        // A newer version may say more, and nothing that it made is damaged for that.
        match serde_json::from_slice::<Format>(&text) {
            Ok(Format { format }) if format > FORMAT => newer(&path, format),
            _ => damaged(&path, &error.to_string()),
        }
    })?;
    if manifest.format > FORMAT { Err(newer(&path, manifest.format)) } else { Ok(Some(manifest)) }
}

/// The one thing that is read of the manifest of whatever version.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The error of a step that a newer version made: an older one neither takes nor touches it.
fn newer(path: &Path, format: u32) -> Error {
    let path = path.display();
    Error::Usage {
        message: format!("`{path}` has format {format}, newer than this Ferrite's {FORMAT}"),
        help: "use the newer Ferrite, or another folder with `--runs`".into(),
    }
}

impl Manifest {
    /// Whether `name` is a file of the result.
    pub(in crate::store) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Holds the files of a step's `folder` against what they held.
    pub(in crate::store) fn check(&self, folder: &Path, care: Care) -> Result<()> {
        self.files.iter().try_for_each(|(name, it)| check(&folder.join(name), it, care))
    }
}

/// Renames what is damaged at `path` to a free name: `name.damaged.ext`, or `name.damaged-2.ext`, in the folder
/// of `like`, after which it is called.
///
/// # Errors
/// [`Error::File`] if it cannot be renamed.
pub fn set_aside(path: &Path, like: &Path, message: &str) -> Result<SetAside> {
    let mut told = SetAside {
        path: path.to_string_lossy().into_owned(),
        message: message.to_owned(),
        aside: String::new(),
    };
    if path.symlink_metadata().is_err() {
        return Ok(told);
    }
    let aside = free_name(like);
    rename(path, &aside)?;
    told.aside = aside.to_string_lossy().into_owned();
    Ok(told)
}

fn free_name(like: &Path) -> PathBuf {
    let part = |it: Option<&std::ffi::OsStr>| it.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(like.file_stem()), part(like.extension()));
    let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
    let mut name = like.with_file_name(format!("{stem}.damaged{extension}"));
    let mut count = 1;
    while name.symlink_metadata().is_ok() {
        count += 1;
        name = like.with_file_name(format!("{stem}.damaged-{count}{extension}"));
    }
    name
}

/// The error of a file under `runs/` that is not what it was.
pub(in crate::store) fn damaged(path: &Path, message: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
        help: "sweep again: what is damaged is set aside and made again; the other runs are not touched"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step's folder with two files and its manifest.
    fn step() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.bin"), b"some bytes").unwrap();
        std::fs::write(folder.path().join("b.json"), b"[1, 2]").unwrap();
        write_manifest(folder.path(), Some("bf16")).unwrap();
        folder
    }

    fn check_step(folder: &tempfile::TempDir, care: Care) -> Result<()> {
        manifest(folder.path())?.unwrap().check(folder.path(), care)
    }

    #[test]
    fn every_flipped_byte_and_every_other_length_of_a_step_is_noticed() {
        let folder = step();
        check_step(&folder, Care::Content).unwrap();
        for name in ["a.bin", "b.json"] {
            let path = folder.path().join(name);
            let whole = std::fs::read(&path).unwrap();
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                std::fs::write(&path, flipped).unwrap();
                let error = check_step(&folder, Care::Content).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
                check_step(&folder, Care::Size).unwrap();
                std::fs::write(&path, &whole[..at]).unwrap();
                let error = check_step(&folder, Care::Size).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
            }
            std::fs::remove_file(&path).unwrap();
            let error = check_step(&folder, Care::Size).unwrap_err();
            assert!(error.to_string().ends_with("it is missing"), "{error}");
            std::fs::write(&path, whole).unwrap();
        }
    }

    #[test]
    fn a_manifest_that_is_damaged_vouches_for_nothing() {
        let folder = step();
        let path = folder.path().join(MANIFEST);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            // A byte between the values may change without another meaning. Another precision is one that nobody asks for.
            let files = |it: &[u8]| {
                let json = serde_json::from_slice::<serde_json::Value>(it).ok()?;
                json.get("files").cloned()
            };
            let changed = files(&flipped).is_none_or(|it| Some(it) != files(&whole));
            if changed && check_step(&folder, Care::Content).is_ok() {
                let text = String::from_utf8_lossy(&whole[at.saturating_sub(9)..=at]).into_owned();
                panic!("byte {at} after {text} may be anything");
            }
        }
    }

    #[test]
    fn what_a_newer_version_made_is_neither_believed_nor_called_damaged() {
        let folder = step();
        let path = folder.path().join(MANIFEST);
        let text = std::fs::read_to_string(&path).unwrap();
        let next = text.replace("\"format\": 2", "\"format\": 3");
        for newer in [&next, &next.replace("\"precision\"", "\"a new word\": 1, \"precision\"")] {
            std::fs::write(&path, newer).unwrap();
            let error = manifest(folder.path()).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }), "{error}");
            assert!(error.to_string().contains("newer than this Ferrite's 2"), "{error}");
        }
    }

    #[test]
    fn what_is_set_aside_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        for name in ["predictions.damaged.csv", "predictions.damaged-2.csv"] {
            std::fs::write(&path, name).unwrap();
            let told = set_aside(&path, &path, "it is short").unwrap();
            assert!(told.aside.ends_with(name), "{}", told.aside);
            assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), name);
        }
        assert!(!path.exists());
        assert_eq!(set_aside(&path, &path, "it is missing").unwrap().aside, "");
    }
}
