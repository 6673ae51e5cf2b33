//! The picture files below a folder, with their splits, classes and groups. A file is opened only where its name
//! does not tell what it is.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;
use walkdir::WalkDir;

use crate::data::beside::Beside;
use crate::data::broken::{self, Broken};
use crate::data::picture::kind::{FORMATS, Verdict, is_left_behind, judge};
use crate::error::{Error, Result};

/// The setting that names the folder.
const KEY: &str = "data.source.folder.path";

/// All picture files of a source.
#[derive(Debug, Default)]
pub(in crate::data) struct List {
    /// Files to decode, sorted by id.
    pub files: Vec<Found>,
    /// What cannot be read as far as can be told without decoding.
    pub broken: Vec<Broken>,
    /// What lies beside them and is no picture.
    pub beside: Beside,
}

/// One picture file.
#[derive(Debug)]
pub(in crate::data) struct Found {
    /// Path below the source's folder.
    pub id: String,
    /// Path to open.
    pub path: PathBuf,
    /// Name of the split, or empty.
    pub split: String,
    /// Name of the folder below the class folder, e.g. of a person, or empty.
    pub group: String,
    /// Position of the class.
    pub label: u8,
}

impl Found {
    /// The file as a picture that cannot be used.
    pub(super) fn broken(&self, message: String) -> Broken {
        let (path, name) = (self.path.clone(), self.id.clone());
        Broken { path, place: String::new(), name, message }
    }
}

/// Lists what lies in and below `path/<split>/<class>` for every name in `splits`. Without names it is what lies
/// below `path/<class>`, or, where the class folders lie one level deeper, below them in all folders of `path`.
pub(in crate::data) fn list(path: &Path, classes: &[String], splits: &[&str]) -> Result<List> {
    let mut list = List::default();
    let found = folders(path)?;
    if splits.is_empty() {
        let pooled = pooled(path, &found, classes);
        if pooled.is_empty() {
            list.add_classes(path, "", classes)?;
        }
        for split in pooled {
            list.add_classes(path, &split, classes)?;
        }
    }
    for split in splits {
        let Some(split) = found.iter().find(|it| same(it, split)) else {
            return Err(no_such_split(path, split, &found, classes));
        };
        list.add_classes(path, split, classes)?;
    }
    list.files.sort_by(|a, b| a.id.cmp(&b.id));
    if list.files.is_empty() && list.broken.is_empty() {
        let help = format!("put pictures into its class folders: {FORMATS} are read");
        return Err(refused(path, "its class folders hold no picture".into(), help));
    }
    Ok(list)
}

/// The folders among `found` in `path` that hold class folders, if none of `found` is one itself.
fn pooled(path: &Path, found: &[String], classes: &[String]) -> Vec<String> {
    let is_class = |it: &String| classes.iter().any(|class| same(it, class));
    if found.iter().any(is_class) {
        return Vec::new();
    }
    let holds_classes =
        |it: &&String| folders(&path.join(it)).is_ok_and(|below| below.iter().any(is_class));
    found.iter().filter(holds_classes).cloned().collect()
}

impl List {
    /// Adds what lies in the class folders of one split. A class without a folder has no picture there.
    fn add_classes(&mut self, root: &Path, split: &str, classes: &[String]) -> Result<()> {
        let path = if split.is_empty() { root.to_owned() } else { root.join(split) };
        let found = folders(&path)?;
        let strange: Vec<&String> =
            found.iter().filter(|it| !classes.iter().any(|class| same(it, class))).collect();
        let missing: Vec<&String> =
            classes.iter().filter(|class| !found.iter().any(|it| same(it, class))).collect();
        if !strange.is_empty() || missing.len() == classes.len() {
            return Err(other_classes(&path, &strange, &missing));
        }
        for folder in &found {
            let label = classes.iter().position(|class| same(folder, class)).unwrap_or_default();
            self.add_files([root, &path.join(folder)], split, label as u8)?;
        }
        Ok(())
    }

    /// Adds the files in and below one class folder.
    fn add_files(&mut self, [root, folder]: [&Path; 2], split: &str, label: u8) -> Result<()> {
        folder.read_dir().map_err(|it| broken::unreadable(folder, KEY, it))?;
        for (path, judged) in walk(folder) {
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let group = below.parent().and_then(|it| it.iter().next());
            let group = group.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
            let id = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let found = Found { id, path, split: split.to_owned(), group, label };
            match judged {
                Verdict::Picture => self.files.push(found),
                Verdict::Broken(message) => self.broken.push(found.broken(message)),
                Verdict::Other => self.beside.add(&found.id),
            }
        }
        Ok(())
    }
}

/// The files in and below `folder`, links followed, without what systems leave behind, by name; and what each is taken
/// for.
pub(in crate::data) fn walk(folder: &Path) -> impl Iterator<Item = (PathBuf, Verdict)> {
    let walk = WalkDir::new(folder).min_depth(1).follow_links(true).sort_by_file_name();
    let walk = walk.into_iter().filter_entry(|it| it.depth() == 0 || !is_left_behind(it.path()));
    walk.filter_map(|entry| match entry {
        Ok(it) if it.file_type().is_dir() => None,
        Ok(it) if it.file_type().is_file() => Some((it.path().to_owned(), judge(it.path()))),
        // Opening a pipe would wait for whoever writes into it.
        Ok(it) => Some((it.path().to_owned(), Verdict::Other)),
        Err(error) => {
            let path = error.path().unwrap_or(folder).to_owned();
            Some((path, Verdict::Broken(unwalked(&error))))
        }
    })
}

/// Why a walk could not go on at a place, as a fragment of a sentence that begins with "it".
fn unwalked(error: &walkdir::Error) -> String {
    match (error.loop_ancestor(), error.io_error()) {
        (Some(above), _) => format!("it is a link to `{}`, in which it lies", above.display()),
        (None, Some(error)) => format!("it cannot be read: {error}"),
        (None, None) => format!("it cannot be read: {error}"),
    }
}

/// The names of the folders in `path`, sorted; those that systems leave behind are left out.
pub(in crate::data) fn folders(path: &Path) -> Result<Vec<String>> {
    let cannot = |it| broken::unreadable(path, KEY, it);
    let mut names = Vec::new();
    for entry in path.read_dir().map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if entry.path().is_dir() && !is_left_behind(&entry.path()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether two names look the same: Macs write an umlaut as a letter and its dots, others as one character.
pub(in crate::data) fn same(a: &str, b: &str) -> bool {
    a == b || a.nfc().eq(b.nfc())
}

fn no_such_split(path: &Path, split: &str, folders: &[String], classes: &[String]) -> Error {
    let message = match folders {
        [] => format!("it has no folder `{split}`; it has no folder at all"),
        _ => format!("it has no folder `{split}`, only {}", quoted(folders)),
    };
    let are_classes = folders.iter().any(|it| classes.iter().any(|class| same(it, class)));
    let help = if are_classes {
        "its folders are the classes themselves: write fractions, \
         `split = { train = 0.7, valid = 0.15, test = 0.15 }`"
    } else {
        "name folders that are there under `data.split`. Where there are none to validate on, take the validation \
         images out of the training ones: `valid = 0.15`"
    };
    refused(path, message, help.into())
}

fn other_classes(path: &Path, strange: &[&String], missing: &[&String]) -> Error {
    let mut wrong = Vec::new();
    if !strange.is_empty() {
        wrong.push(format!("not listed: {}", quoted(strange)));
    }
    if !missing.is_empty() {
        wrong.push(format!("listed without a folder: {}", quoted(missing)));
    }
    let message = format!("its folders are not those of `classes` ({})", wrong.join("; "));
    let help = "list every class folder in `data.source.folder.classes`, in label order: the first is label 0. \
                Other programs often number them alphabetically";
    refused(path, message, help.into())
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|it| format!("`{}`", it.as_ref())).collect::<Vec<_>>().join(", ")
}

fn refused(path: &Path, message: String, help: String) -> Error {
    Error::Data { path: path.to_owned(), place: String::new(), message, help }
}
