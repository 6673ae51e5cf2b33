//! The image files below a folder, with their splits and classes, without opening them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::data::broken::{self, Broken};
use crate::data::prepared::Item;
use crate::error::{Error, Result};

/// The setting that names the folder.
const KEY: &str = "data.source.folder.path";

/// Endings of the files that are read.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];

/// Endings of images that are not read; ignoring them would lose images in silence.
const UNREAD: [&str; 11] =
    ["avif", "bmp", "gif", "heic", "jp2", "pgm", "pnm", "ppm", "tif", "tiff", "webp"];

/// All image files of a source.
#[derive(Debug, Default)]
pub(in crate::data) struct List {
    /// Files to decode, sorted by id.
    pub files: Vec<Found>,
    /// What is no readable image as far as its name tells.
    pub broken: Vec<Broken>,
}

/// One image file.
#[derive(Debug)]
pub(in crate::data) struct Found {
    /// Path below the source's folder.
    pub id: String,
    /// Path to open.
    pub path: PathBuf,
    /// Name of the split, or empty.
    pub split: String,
    /// Position of the class.
    pub label: u8,
}

impl Found {
    /// What is stored about it beside the pixels.
    pub(super) fn item(&self) -> Item<'_> {
        Item { id: &self.id, split: &self.split, label: self.label }
    }

    /// It, as an image that cannot be used.
    pub(super) fn broken(&self, message: String) -> Broken {
        let (path, name) = (self.path.clone(), self.id.clone());
        Broken { path, place: String::new(), name, message }
    }
}

/// Lists `path/<split>/<class>/*` for every name in `splits`; `path/<class>/*` if there is none.
pub(in crate::data) fn list(path: &Path, classes: &[String], splits: &[&str]) -> Result<List> {
    let mut list = List::default();
    if splits.is_empty() {
        list.add_classes(path, "", classes)?;
    } else {
        let folders = folders(path)?;
        for split in splits {
            if !folders.iter().any(|it| it == split) {
                return Err(no_such_split(path, split, &folders));
            }
            list.add_classes(path, split, classes)?;
        }
    }
    list.files.sort_by(|a, b| a.id.cmp(&b.id));
    if list.files.is_empty() && list.broken.is_empty() {
        let help = format!("put files ending in {} into its class folders", READ.join(", "));
        return Err(refused(path, "its class folders hold no image".into(), help));
    }
    Ok(list)
}

impl List {
    /// Adds what lies in the class folders of one split.
    fn add_classes(&mut self, root: &Path, split: &str, classes: &[String]) -> Result<()> {
        let path = if split.is_empty() { root.to_owned() } else { root.join(split) };
        let found = folders(&path)?;
        let strange: Vec<&String> = found.iter().filter(|it| !classes.contains(it)).collect();
        let missing: Vec<&String> = classes.iter().filter(|it| !found.contains(it)).collect();
        if !strange.is_empty() || !missing.is_empty() {
            return Err(other_classes(&path, &strange, &missing));
        }
        for (label, class) in classes.iter().enumerate() {
            self.add_files(root, &path.join(class), split, label as u8)?;
        }
        Ok(())
    }

    /// Adds the files of one class folder.
    fn add_files(&mut self, root: &Path, folder: &Path, split: &str, label: u8) -> Result<()> {
        let cannot = |it| broken::unreadable(folder, KEY, it);
        for entry in folder.read_dir().map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let id = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let found = Found { id, path, split: split.to_owned(), label };
            match judge(&found.path) {
                Verdict::Image => self.files.push(found),
                Verdict::Broken(message) => self.broken.push(found.broken(message)),
                Verdict::Other => {}
            }
        }
        Ok(())
    }
}

/// What a file in a class folder is, by its name.
enum Verdict {
    Image,
    Broken(String),
    Other,
}

fn judge(path: &Path) -> Verdict {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
    if is_hidden(path) {
        Verdict::Other
    } else if path.is_dir() {
        Verdict::Broken("it is a folder inside a class folder; move its images up".into())
    } else if READ.contains(&ending.as_str()) {
        match path.metadata() {
            Ok(_) => Verdict::Image,
            Err(error) => Verdict::Broken(format!("it cannot be read: {error}")),
        }
    } else if UNREAD.contains(&ending.as_str()) {
        Verdict::Broken(format!("`.{ending}` files are not read; convert it to PNG or JPEG"))
    } else {
        Verdict::Other
    }
}

/// The names of the folders in `path`, sorted; hidden ones left out.
fn folders(path: &Path) -> Result<Vec<String>> {
    let cannot = |it| broken::unreadable(path, KEY, it);
    let mut names = Vec::new();
    for entry in path.read_dir().map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if entry.path().is_dir() && !is_hidden(&entry.path()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"."))
}

fn no_such_split(path: &Path, split: &str, folders: &[String]) -> Error {
    let message = match folders {
        [] => format!("it has no folder `{split}`; it has no folder at all"),
        _ => format!("it has no folder `{split}`, only {}", quoted(folders)),
    };
    let help = "change `data.split` to folders that are there; if they are the classes \
                themselves, write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`";
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
    let below =
        strange.iter().any(|it| missing.iter().any(|class| path.join(it).join(class).is_dir()));
    let help = if below {
        "its class folders lie one level deeper: name the splits, like \
         `split = { train = \"train\", valid = \"test\" }`"
    } else {
        "list every class folder in `data.source.folder.classes`, in label order: the first is \
         label 0. Other programs often number them alphabetically"
    };
    refused(path, message, help.into())
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|it| format!("`{}`", it.as_ref())).collect::<Vec<_>>().join(", ")
}

fn refused(path: &Path, message: String, help: String) -> Error {
    Error::Data { path: path.to_owned(), place: String::new(), message, help }
}
