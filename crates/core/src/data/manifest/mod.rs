//! A table of pictures: a row for each, with its path or the picture itself, its label, and, where there are such
//! columns, its split and its group.

mod csv_table;
mod parquet_table;
pub(super) mod table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::broken::{self, Broken};
use crate::data::folder::Seen;
use crate::data::manifest::table::{Row, Shown, Tables};
use crate::data::picture;
use crate::data::prepared::{Item, Notes, Writer};
use crate::data::{Data, Progress};
use crate::error::{Problem, Result};

/// Pictures held in memory at a time.
const CHUNK: usize = 256;

/// The `manifest` source: a table with a row for each picture, which names a file or holds the picture itself.
///
/// ```toml
/// [data]
/// split = { train = "train", valid = 0.15, test = "test" }
///
/// [data.source.manifest]
/// table   = "data/faces.csv"             # path,label,split
/// images  = "data/pictures"
/// classes = ["angry", "happy", "sad"]
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// The table: a CSV (or TSV) file, a Parquet file, or a folder of Parquet files as model hubs publish them. In a folder
    /// the name of a file without its number is the split of its rows: `train` for `train-00000-of-00002.parquet`.
    /// The path is relative to the folder you run `ferrite` in.
    pub table: PathBuf,
    /// The folder that the paths in the table are relative to. Left out: the folder that the table lies in.
    pub images: Option<PathBuf>,
    /// The names of the classes in label order: the first one is label 0. The labels in the table are these names, or their
    /// numbers. If a Parquet file of a model hub itself says which name each number has, that is used to read its labels.
    pub classes: Vec<String>,
    /// What the columns are called.
    pub columns: Columns,
}

/// The names of a table's columns.
///
/// ```toml
/// [data.source.manifest]
/// table   = "data/faces.csv"             # file,emotion,person
/// classes = ["angry", "happy", "sad"]
/// columns = { path = "file", label = "emotion", group = "person" }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The path of each picture. Not needed where the table holds the pictures themselves.
    pub path: String,
    /// The picture itself, in Parquet files: the bytes of a picture file, or a record with them under `bytes`.
    pub image: String,
    /// The label of each picture.
    pub label: String,
    /// The name of each picture's split. A table need not have this column.
    pub split: String,
    /// The person, video or other thing that several pictures show. A table need not have this column.
    pub group: String,
}

impl Default for Columns {
    fn default() -> Self {
        let [path, image, label, split, group] =
            ["path", "image", "label", "split", "group"].map(str::to_owned);
        Self { path, image, label, split, group }
    }
}

impl Manifest {
    /// What cannot be right in this table alone, classes left out.
    pub(super) fn check(&self) -> Vec<Problem> {
        let Columns { path, image, label, split, group } = &self.columns;
        let names = [
            ("path", path),
            ("image", image),
            ("label", label),
            ("split", split),
            ("group", group),
        ];
        let empty = |(key, name): (&str, &String)| {
            Problem::unless(
                !name.is_empty(),
                &format!("columns.{key}"),
                "must be the name of a column",
            )
        };
        let is_named = !self.table.as_os_str().is_empty();
        let table = Problem::unless(is_named, "table", "must name a file, like `data/labels.csv`");
        table.into_iter().chain(names.into_iter().filter_map(empty)).collect()
    }
}

/// The files of pictures that `tables` name, by their paths in them.
///
/// # Errors
/// [`crate::error::Error::Data`] if the table cannot be read.
pub(super) fn files(tables: &Tables<'_>) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    tables.read(Shown::Nothing, &mut |row| {
        if let Some(path) = row.path.filter(|_| row.broken.is_none()) {
            files.push((path.clone(), tables.images.join(path)));
        }
        Ok(())
    })?;
    Ok(files)
}

/// Decodes the pictures of a table into `folder`. An image's id is its path in the table, or else its table and row.
pub(super) fn decode(
    data: &Data,
    manifest: &Manifest,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    let tables = Tables::open(manifest)?;
    let mut all = Decoding {
        tables: &tables,
        side: data.image_size,
        writer: Writer::create(folder)?,
        broken: Vec::new(),
        paths: HashMap::new(),
        waiting: Vec::new(),
        done: 0,
        progress,
    };
    tables.read(Shown::Pictures, &mut |row| {
        all.waiting.push(row);
        if all.waiting.len() == CHUNK { all.take() } else { Ok(()) }
    })?;
    all.take()?;
    let skipped = broken::settle(data.on_error, all.broken)?;
    all.writer.finish("manifest", manifest.classes.clone(), Notes { skipped, ..Notes::default() })
}

/// A table that is being decoded.
struct Decoding<'a> {
    tables: &'a Tables<'a>,
    side: usize,
    writer: Writer,
    broken: Vec<Broken>,
    /// The row in which each path stands.
    paths: HashMap<String, String>,
    waiting: Vec<Row>,
    done: usize,
    progress: Progress<'a>,
}

impl Decoding<'_> {
    /// Decodes and writes the rows that wait.
    fn take(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        let read: Vec<_> = rows.par_iter().map(|row| self.read(row)).collect();
        self.done += rows.len();
        for (row, seen) in rows.into_iter().zip(read) {
            let twice = row.path.as_ref().and_then(|it| self.paths.get(it)).map(|other| {
                let path = row.path.as_deref().unwrap_or_default();
                format!("`{path}` stands in {other} already")
            });
            let seen = twice.map_or(seen, Err);
            match seen {
                Ok((label, Seen { content, picture })) => {
                    let id = row.id();
                    let item = Item { id, split: &row.split, group: &row.group, label, content };
                    self.writer.push(item, picture.shape, &picture.pixels)?;
                    if let Some(path) = row.path {
                        self.paths.insert(path, row.place);
                    }
                }
                Err(message) => {
                    let name = match &row.path {
                        Some(path) => format!("{}, {path}", row.place),
                        None => row.place.clone(),
                    };
                    let (path, place) = (row.table, row.place);
                    self.broken.push(Broken { path, place, name, message });
                }
            }
        }
        (self.progress)(self.done, self.tables.rows.max(self.done));
        Ok(())
    }

    fn read(&self, row: &Row) -> Result<(u8, Seen), String> {
        if let Some(message) = &row.broken {
            return Err(message.clone());
        }
        let label = self.tables.label(&row.label)?;
        let picture = match (&row.bytes, &row.path) {
            (Some(bytes), _) => picture::decode(bytes)?,
            (None, Some(path)) => {
                let read = picture::read(&self.tables.images.join(path));
                read.map_err(|it| format!("`{path}` cannot be used: {it}"))?
            }
            (None, None) => return Err("it has no picture".into()),
        };
        Ok((label, Seen::of(picture, self.side)))
    }
}

#[cfg(test)]
mod tests;
