//! What identifies decoded images: the settings that decoding depends on, and the content.
//!
//! Reading 271 MB only to see that nothing changed takes longer than a whole sweep with nothing to
//! do may take. So the hash of the content is remembered, and holds as long as no file's length, time of change, or
//! time of change as the system itself keeps it differs: the first time can be set back by whoever writes the file.
//!
//! **Invariant:** equal fingerprints, equal decoded folders. Where the files lie, when they were
//! changed, `split` fractions and `limit` make no difference.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::folder::counts::Counts;
use crate::data::folder::list::{List, list};
use crate::data::manifest::table::Tables;
use crate::data::source::Source;
use crate::data::{Data, broken, manifest};
use crate::digits::hex;
use crate::error::{Error, Result};
use crate::files::sealed::{opened, seal};
use crate::files::write_derived;
use crate::mapped;

/// Versions of how drawn faces, FER2013's tables, and pictures of files become decoded images: raised when the same
/// source would give other images. Pictures: 2, since they are read alike wherever they stand, damaged ones are
/// refused, and shrinking is antialiased.
const DRAWN: u32 = 1;
const TABLE: u32 = 1;
const PICTURES: u32 = 2;

/// Bytes hashed at a time, in parallel. Changing it changes every fingerprint.
const BLOCK: usize = 8 << 20;

/// A file that changed this recently may change again within the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Images as they lie on disk, before they are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// A number for what [`crate::data::decode::decode`] would write: sha256 in hex. Equal numbers mean equal decoded
    /// folders.
    pub fingerprint: String,
    /// How many pictures there are of each class, where that can be told without decoding them.
    counts: Option<Counts>,
}

impl Identified {
    /// Refuses data that cannot be split as they say, as far as that can be told by now.
    ///
    /// # Errors
    /// [`Error::Data`], as opening the decoded images would.
    pub fn check(&self, data: &Data) -> Result<()> {
        self.counts.as_ref().map_or(Ok(()), |it| it.check(data))
    }
}

/// What identifies the images of `data`, whatever their split. `cache` is a JSON file that remembers content hashes; it may be missing
/// or deleted. No folder is made for it: where there is none yet, nothing is remembered.
///
/// # Errors
/// [`Error::Data`] if the source is missing or a folder does not have the classes it should.
pub fn identify(data: &Data, cache: &Path) -> Result<Identified> {
    let on_error = data.on_error;
    let mut counts = None;
    let fingerprint = match &data.source {
        Source::Synthetic(synthetic) => hash_of(&((DRAWN, on_error), "synthetic", synthetic)),
        Source::Fer2013 { csv } => {
            let files = [(String::new(), csv.clone())];
            let content = content(&files, "data.source.fer2013.csv", name_of(csv), cache)?;
            hash_of(&((TABLE, on_error), "fer2013", content))
        }
        Source::Folder { path, classes } => {
            let mut splits = data.split.names();
            splits.sort_unstable();
            let List { files, broken, .. } = list(path, classes, &splits)?;
            counts = Some(Counts::of(&files, classes.len()));
            let files: Vec<_> = files.into_iter().map(|it| (it.id, it.path)).collect();
            let broken: Vec<_> = broken.into_iter().map(|it| (it.name, it.message)).collect();
            let key = format!("{}/{}", name_of(path), splits.join("+"));
            let content = content(&files, "data.source.folder.path", key, cache)?;
            let what = (classes, splits, data.image_size, broken, content);
            hash_of(&((PICTURES, on_error), "folder", what))
        }
        Source::Manifest(manifest) => {
            let tables = Tables::open(manifest)?;
            let pictures = manifest::files(&tables)?;
            let tables = tables.files().map(|(path, split)| (split.clone(), path.clone()));
            // A picture that is not there is a broken row, whatever else is said of it.
            let pictures = pictures.into_iter().filter(|it| it.1.is_file());
            let files: Vec<_> = tables.chain(pictures).collect();
            let name = name_of(&manifest.table);
            let content = content(&files, "data.source.manifest.table", name, cache)?;
            let what = (&manifest.classes, &manifest.columns, data.image_size, content);
            hash_of(&((PICTURES, on_error), "manifest", what))
        }
    };
    Ok(Identified { fingerprint, counts })
}

/// What is remembered about the files of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Hash of their paths, lengths and times of change.
    stat: String,
    /// Hash of their ids and contents.
    content: String,
}

/// Hash of the ids and contents of `files`, remembered in `cache`.
fn content(
    files: &[(String, PathBuf)],
    setting: &str,
    name: String,
    cache: &Path,
) -> Result<String> {
    let (stat, newest) = stat(files, setting)?;
    // What an older version wrote, or what is damaged, is found again.
    let mut known: BTreeMap<String, Known> = std::fs::read(cache)
        .ok()
        .and_then(|text| serde_json::from_slice(&opened(&text)?).ok())
        .unwrap_or_default();
    if let Some(same) = known.get(&name).filter(|it| it.stat == stat) {
        return Ok(same.content.clone());
    }
    let hashes: Vec<String> =
        files.par_iter().map(|(_, path)| hash_file(path)).collect::<Result<_>>()?;
    let ids: Vec<&String> = files.iter().map(|(id, _)| id).collect();
    let content = hash_of(&(ids, hashes));
    if newest.elapsed().is_ok_and(|it| it > SETTLED) {
        known.insert(name, Known { stat, content: content.clone() });
        // A cache that cannot be written costs time, not correctness.
        let text = serde_json::to_string(&known).expect("plain values are always JSON");
        let _ = write_derived(cache, seal(text).as_bytes());
    }
    Ok(content)
}

/// Hash of the paths, lengths and times of change of `files`, and the latest of these times.
fn stat(files: &[(String, PathBuf)], setting: &str) -> Result<(String, SystemTime)> {
    let mut newest = UNIX_EPOCH;
    let mut stats = Vec::with_capacity(files.len());
    for (_, path) in files {
        let file = path.metadata().map_err(|it| broken::unreadable(path, setting, it))?;
        let changed = file.modified().map_err(Error::file("cannot read", path))?;
        newest = newest.max(changed);
        let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let system = (file.ctime(), file.ctime_nsec());
        let system_time = Duration::new(system.0.max(0) as u64, system.1.max(0) as u32);
        newest = newest.max(UNIX_EPOCH + system_time);
        stats.push((path.to_string_lossy(), file.len(), since.as_nanos() as u64, system));
    }
    Ok((hash_of(&stats), newest))
}

/// Hash of a file's content: of the hashes of its blocks, because those can be had in parallel.
fn hash_file(path: &Path) -> Result<String> {
    let bytes = mapped::map(path).map_err(Error::file("cannot read", path))?;
    let blocks: Vec<_> = bytes.par_chunks(BLOCK).map(Sha256::digest).collect();
    Ok(hex(&Sha256::digest(blocks.concat())))
}

fn hash_of(value: &impl Serialize) -> String {
    hex(&Sha256::digest(serde_json::to_vec(value).expect("plain values are always JSON")))
}

/// How the source at `path` is called in the cache.
fn name_of(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::data::trial::Trial;

    const TABLE: &str = r#"source = { fer2013 = { csv = "@/fer.csv" } }"#;
    const FOLDER: &str = r#"source = { folder = { path = "@/faces", classes = ["a", "b"] } }"#;

    fn at(trial: &Trial, settings: &str) -> String {
        identify(&trial.data(settings), &trial.path("cache/hashes.json")).unwrap().fingerprint
    }

    /// Sets the time of change of a file to `seconds` ago.
    fn touch(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn content_decides() {
        let trial = Trial::new();
        let path = trial.write("fer.csv", "one");
        trial.write("cache/hashes.json", "");
        touch(&path, 1000);
        let first = at(&trial, TABLE);
        assert_eq!(first.len(), 64);
        touch(&path, 500);
        assert_eq!(at(&trial, TABLE), first);
        trial.write("fer.csv", "two");
        touch(&path, 100);
        let second = at(&trial, TABLE);
        assert_ne!(second, first);
        // The same length, and a time of change that was set back: the system knows better.
        let time = path.metadata().unwrap().modified().unwrap();
        trial.write("fer.csv", "six");
        File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        assert_ne!(at(&trial, TABLE), second);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let trial = Trial::new();
        let path = trial.write("fer.csv", "one");
        let files = [(String::new(), path)];
        let ask = || content(&files, "key", "name".into(), &trial.path("hashes.json")).unwrap();
        std::thread::sleep(SETTLED + Duration::from_millis(50));
        let right = ask();
        let known = opened(&std::fs::read(trial.path("hashes.json")).unwrap()).unwrap();
        let known = String::from_utf8(known).unwrap();
        // What is remembered is believed, even where it is wrong: nothing is read again.
        trial.write("hashes.json", seal(known.replace(&right, "wrong")));
        assert_eq!(ask(), "wrong");
        trial.write("hashes.json", "{ damaged");
        assert_eq!(ask(), right);
    }

    #[test]
    fn a_file_that_changed_just_now_is_not_trusted() {
        let trial = Trial::new();
        trial.write("fer.csv", "one");
        at(&trial, TABLE);
        assert!(!trial.path("cache/hashes.json").exists());
    }

    #[test]
    fn only_settings_that_decoding_depends_on_count() {
        let trial = Trial::new();
        trial.write("fer.csv", "one");
        let table = at(&trial, TABLE);
        let with = |more: &str| at(&trial, &format!("{TABLE}\n{more}"));
        assert_eq!(with("limit = 100\nimage_size = 96\nsplit = { train = 0.5 }"), table);
        assert_ne!(with("on_error = \"skip\""), table);
        let drawn = |faces: usize| at(&trial, &format!("source.synthetic.faces = {faces}"));
        assert_eq!(drawn(10), drawn(10));
        assert_ne!(drawn(10), drawn(11));
    }

    #[test]
    fn a_folder_counts_names_classes_and_contents_but_not_its_place() {
        let trial = Trial::new();
        trial.write("faces/a/1.png", "x");
        trial.write("faces/b/1.png", "");
        let first = at(&trial, FOLDER);
        assert_ne!(at(&trial, &FOLDER.replace(r#""a", "b""#, r#""b", "a""#)), first);
        std::fs::rename(trial.path("faces"), trial.path("moved")).unwrap();
        assert_eq!(at(&trial, &FOLDER.replace("faces", "moved")), first);
        trial.write("moved/a/2.png", "x");
        assert_ne!(at(&trial, &FOLDER.replace("faces", "moved")), first);
    }

    #[test]
    fn a_missing_file_is_named_with_its_setting() {
        let trial = Trial::new();
        let error = identify(&trial.data(TABLE), &trial.path("cache")).unwrap_err();
        expect_test::expect![[r#"
            cannot use `fer.csv`: it does not exist
            check `data.source.fer2013.csv`; the path is relative to the folder you run `ferrite` in
        "#]]
        .assert_eq(&trial.told(&error));
    }
}
