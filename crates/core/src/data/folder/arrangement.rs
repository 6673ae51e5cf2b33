//! How the folders of a source lie, found by looking at them: classes alone, or splits above classes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::folder::list::folders;
use crate::data::picture::kind::{FORMATS, Verdict, judge};
use crate::error::{Error, Result};

/// What folders of splits are usually called, in lower case, in the order train, valid, test.
const TRAIN: [&str; 2] = ["train", "training"];
const VALID: [&str; 5] = ["val", "valid", "validation", "dev", "publictest"];
const TEST: [&str; 3] = ["test", "testing", "privatetest"];

/// The folders of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrangement {
    /// The folders of the splits, in the order train, valid, test, as far as they are there; empty if class folders lie
    /// directly in the source.
    pub splits: [Option<String>; 3],
    /// The class folders, sorted: their order is that of the labels.
    pub classes: Vec<String>,
}

/// Looks at the folders in `path`.
///
/// # Errors
/// [`Error::Data`] if it is no folder, or holds no folders with pictures.
pub fn arrangement(path: &Path) -> Result<Arrangement> {
    let found = folders(path)?;
    let splits = [&TRAIN[..], &VALID, &TEST]
        .map(|names| found.iter().find(|it| names.contains(&it.to_lowercase().as_str())).cloned());
    let named = found.len() == splits.iter().flatten().count() && !found.is_empty();
    if named && splits[0].is_none() && found.iter().all(|it| !holds_pictures(&path.join(it))) {
        return Err(Error::Data {
            path: path.to_owned(),
            place: String::new(),
            message: format!("it has no folder `train` beside `{}`", found.join("`, `")),
            help: "name the folder that holds the class folders to train on".into(),
        });
    }
    let are_splits = splits[0].is_some()
        && found.len() == splits.iter().flatten().count()
        && found.iter().all(|it| !holds_pictures(&path.join(it)));
    let mut classes = BTreeSet::new();
    if are_splits {
        for split in splits.iter().flatten() {
            classes.extend(folders(&path.join(split))?);
        }
    } else {
        classes.extend(found);
    }
    let below = |class: &String| {
        let split = splits.iter().flatten().find(|it| path.join(it).join(class).is_dir());
        path.join(split.filter(|_| are_splits).map_or("", String::as_str)).join(class)
    };
    let any = |it: &Path| {
        holds_pictures(it)
            || folders(it).is_ok_and(|all| all.iter().any(|below| holds_pictures(&it.join(below))))
    };
    if !classes.iter().any(|it| any(&below(it))) {
        return Err(Error::Data {
            path: path.to_owned(),
            place: String::new(),
            message: "it has no folders with pictures in them".into(),
            help: format!(
                "make a folder for each class there and put its pictures into it: {FORMATS} are read"
            ),
        });
    }
    let splits = if are_splits { splits } else { [None, None, None] };
    Ok(Arrangement { splits, classes: classes.into_iter().collect() })
}

/// Whether a picture lies directly in `folder`.
fn holds_pictures(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files = entries.map(|it| it.path()).filter(|it| it.is_file());
    files.any(|it| judge(&it) == Verdict::Picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Result<Arrangement> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        arrangement(root.path())
    }

    fn classes(all: &[&str]) -> Vec<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn class_folders_are_told_from_folders_of_splits_and_of_persons() {
        let plain = found(&["sad/1.png", "happy/2.jpg", "readme.txt"]).unwrap();
        assert_eq!(
            plain,
            Arrangement { splits: [None, None, None], classes: classes(&["happy", "sad"]) }
        );
        let split = found(&["Train/a/1.png", "val/b/2.png", "test/a/3.png"]).unwrap();
        let splits = ["Train", "val", "test"].map(|it| Some(it.to_owned()));
        assert_eq!(split, Arrangement { splits, classes: classes(&["a", "b"]) });
        let persons = found(&["sad/anna/1.png", "happy/bert/2.jpg"]).unwrap();
        assert_eq!(persons.classes, ["happy", "sad"]);
        let named_like_splits = found(&["train/1.png", "bus/2.png"]).unwrap();
        assert_eq!(named_like_splits.classes, ["bus", "train"]);
        let both_named_so = found(&["train/1.png", "test/2.png"]).unwrap();
        assert_eq!(both_named_so.classes, ["test", "train"], "pictures lie directly in them");
    }

    #[test]
    fn folders_to_judge_by_without_one_to_train_on_are_no_classes() {
        let error = found(&["val/a/1.png", "test/a/2.png"]).unwrap_err().to_string();
        assert!(error.contains("no folder `train` beside `test`, `val`"), "{error}");
    }

    #[test]
    fn what_holds_no_pictures_is_refused() {
        for files in [&["notes.txt"][..], &["a/notes.txt"], &["1.png"]] {
            assert!(
                found(files).unwrap_err().to_string().contains("no folders with pictures"),
                "{files:?}"
            );
        }
        assert!(
            arrangement(Path::new("not/there"))
                .unwrap_err()
                .to_string()
                .contains("it does not exist")
        );
    }
}
