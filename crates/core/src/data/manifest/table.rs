//! Rows of a table of pictures, whatever kind of file it lies in.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::broken;
use crate::data::folder::list::same;
use crate::data::manifest::{Columns, Manifest, csv_table, parquet_table};
use crate::error::{Error, Result};
use crate::mapped;

/// The setting that names the table.
const KEY: &str = "data.source.manifest.table";

/// One row, as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::data) struct Row {
    /// The file.
    pub table: PathBuf,
    /// Where in the table it stands, e.g. `row 17`, counted as a spreadsheet counts.
    pub place: String,
    /// The path of its picture.
    pub path: Option<String>,
    /// The bytes of its picture.
    pub bytes: Option<Vec<u8>>,
    /// Its label.
    pub label: String,
    /// Its split; empty for none.
    pub split: String,
    /// Its group; empty for none.
    pub group: String,
    /// Why the row cannot be read, if it cannot.
    pub broken: Option<String>,
}

impl Row {
    /// What identifies it among all rows: the path of its picture, or else its place.
    pub(in crate::data) fn id(&self) -> &str {
        self.path.as_ref().unwrap_or(&self.place)
    }
}

/// Whether the pictures that a table holds are wanted with their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) enum Shown {
    /// Rows with their pictures.
    Pictures,
    /// Rows without them.
    Nothing,
}

/// What hears of each row.
pub(in crate::data) type Hear<'a> = &'a mut dyn FnMut(Row) -> Result<()>;

/// The tables of a source, opened.
#[derive(Debug)]
pub(in crate::data) struct Tables<'a> {
    manifest: &'a Manifest,
    /// The folder that paths are relative to.
    pub images: PathBuf,
    /// How many rows there are, as far as the tables say before they are read.
    pub rows: usize,
    files: Vec<(PathBuf, String)>,
    /// What the tables call their numbers.
    names: Option<Vec<String>>,
}

impl<'a> Tables<'a> {
    /// Opens the tables of `manifest`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no table, or if it calls its labels otherwise than the classes.
    pub(in crate::data) fn open(manifest: &'a Manifest) -> Result<Self> {
        let files = files(&manifest.table)?;
        let folder =
            if manifest.table.is_dir() { Some(&*manifest.table) } else { manifest.table.parent() };
        let images = manifest.images.clone().or_else(|| folder.map(Path::to_owned));
        let mut tables =
            Self { manifest, images: images.unwrap_or_default(), rows: 0, files, names: None };
        for (path, _) in tables.files.iter().filter(|it| is_parquet(&it.0)) {
            let facts = parquet_table::facts(path, &manifest.columns.label)?;
            tables.rows += facts.rows;
            if let Some(names) = facts.names {
                check_names(path, &names, &manifest.classes)?;
                if tables.names.as_ref().is_some_and(|it| *it != names) {
                    let message = "it numbers its labels otherwise than the tables before it";
                    return Err(refused(path, message.into(), "use one of the tables".into()));
                }
                tables.names = Some(names);
            }
        }
        Ok(tables)
    }

    /// The files of the tables, each with the split that its name says.
    pub(in crate::data) fn files(&self) -> impl Iterator<Item = &(PathBuf, String)> {
        self.files.iter()
    }

    /// Reads all rows, in order.
    ///
    /// # Errors
    /// [`Error::Data`] if a table cannot be read or lacks a column; whatever `hear` fails with.
    pub(in crate::data) fn read(&self, shown: Shown, hear: Hear<'_>) -> Result<()> {
        let columns = &self.manifest.columns;
        for (path, split) in &self.files {
            let hear = &mut |mut row: Row| {
                if row.split.is_empty() {
                    row.split.clone_from(split);
                }
                hear(row)
            };
            if is_parquet(path) {
                parquet_table::read(path, columns, shown, hear)?;
            } else {
                csv_table::read(path, columns, hear)?;
            }
        }
        Ok(())
    }

    /// The label that a row's text means.
    ///
    /// # Errors
    /// That it means none, as a fragment of a sentence.
    pub(in crate::data) fn label(&self, text: &str) -> Result<u8, String> {
        let (text, classes) = (text.trim(), &self.manifest.classes);
        let of_name = |name: &str| classes.iter().position(|it| same(it, name));
        if let Some(label) = of_name(text) {
            return Ok(label as u8);
        }
        // Tools that know numbers only as fractions write `3.0`.
        let whole = |it: &f64| *it >= 0.0 && it.fract() == 0.0 && *it < 256.0;
        let number = text.parse::<f64>().ok().filter(whole).map(|it| it as usize);
        let label = number.and_then(|it| match &self.names {
            Some(names) => names.get(it).and_then(|it| of_name(it)),
            None => (it < classes.len()).then_some(it),
        });
        let last = self.names.as_ref().map_or(classes.len(), Vec::len).saturating_sub(1);
        label.map(|it| it as u8).ok_or_else(|| match (text, number) {
            ("", _) => "it has no label".to_owned(),
            (_, Some(_)) => format!(
                "its label `{text}` is no number from 0 to {last}: the first of \
                 `data.source.manifest.classes` is 0"
            ),
            _ => format!("its label `{text}` is none of `data.source.manifest.classes`"),
        })
    }
}

/// The files of the table at `path`, each with the split that its name says.
fn files(path: &Path) -> Result<Vec<(PathBuf, String)>> {
    if !path.is_dir() {
        path.metadata().map_err(|it| broken::unreadable(path, KEY, it))?;
        return Ok(vec![(path.to_owned(), String::new())]);
    }
    let cannot = |it| broken::unreadable(path, KEY, it);
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if is_called_parquet(&path) && path.is_file() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // `train-00000-of-00002` is one part of `train`.
            let split = stem.split('-').next().unwrap_or_default().to_owned();
            files.push((path, split));
        }
    }
    files.sort();
    if files.is_empty() {
        let help =
            format!("name the file itself in `{KEY}`; of a folder its `.parquet` files are read");
        return Err(refused(path, "there is no table in it".into(), help));
    }
    Ok(files)
}

/// Refuses `names` of labels that are not those of `classes`.
fn check_names(path: &Path, names: &[String], classes: &[String]) -> Result<()> {
    let missing = |names: &[String], all: &[String]| -> Vec<String> {
        let unknown = names.iter().filter(|name| !all.iter().any(|it| same(it, name)));
        unknown.map(|it| format!("`{it}`")).collect()
    };
    let (unlisted, unknown) = (missing(names, classes), missing(classes, names));
    if unlisted.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = names.iter().map(|it| format!("\"{it}\"")).collect();
    let message = format!("it calls its labels {}", all.join(", "));
    let help = format!("list these in `data.source.manifest.classes`: `[{}]`", all.join(", "));
    Err(refused(path, message, help))
}

/// Whether a file is one of Parquet's by its name, or else by its content.
pub(super) fn is_parquet(path: &Path) -> bool {
    let mut start = [0; 4];
    let starts = |start: &mut [u8]| mapped::open_file(path).and_then(|mut it| it.read_exact(start));
    is_called_parquet(path) || (starts(&mut start).is_ok() && start == *b"PAR1")
}

fn is_called_parquet(path: &Path) -> bool {
    let ending = path.extension().map(|it| it.to_string_lossy().to_lowercase());
    ending.is_some_and(|it| it == "parquet" || it == "pq")
}

/// The error about a table that lacks the column called `name`.
pub(super) fn no_column(path: &Path, key: &str, name: &str, there: &[String]) -> Error {
    let there: Vec<String> = there.iter().map(|it| format!("`{it}`")).collect();
    let message = format!("it has no column `{name}`, only {}", there.join(", "));
    let help = format!("say which column it is: `data.source.manifest.columns.{key} = \"…\"`");
    refused(path, message, help)
}

/// Refuses a column that the settings name and the table lacks; the usual names need not be there.
pub(super) fn check_named(path: &Path, columns: &Columns, there: &[String]) -> Result<()> {
    let usual = Columns::default();
    let named = [
        ("path", &columns.path, &usual.path),
        ("image", &columns.image, &usual.image),
        ("split", &columns.split, &usual.split),
        ("group", &columns.group, &usual.group),
    ];
    for (key, name, usual) in named {
        if name != usual && !there.contains(name) {
            return Err(no_column(path, key, name, there));
        }
    }
    if there.contains(&columns.label) {
        return Ok(());
    }
    Err(no_column(path, "label", &columns.label, there))
}

pub(super) fn refused(path: &Path, message: String, help: String) -> Error {
    Error::Data { path: path.to_owned(), place: String::new(), message, help }
}
