//! Tables in Parquet files, as model hubs have them.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;

use crate::data::manifest::Columns;
use crate::data::manifest::table::{Hear, Row, Shown, check_named, no_column, refused};
use crate::error::{Error, Result};
use crate::fault::reading;

/// What a table says of itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// How many rows it has.
    pub rows: usize,
    /// What its labels' numbers are called.
    pub names: Option<Vec<String>>,
}

/// What the table at `path` says of itself, and of its column `label`.
pub(super) fn facts(path: &Path, label: &str) -> Result<Facts> {
    let file = open(path)?;
    let facts = file.metadata().file_metadata();
    let known = facts.key_value_metadata().into_iter().flatten();
    let hub = known.filter(|it| it.key == "huggingface").find_map(|it| it.value.as_deref());
    let hub: Option<serde_json::Value> = hub.and_then(|it| serde_json::from_str(it).ok());
    let names = hub.as_ref().and_then(|it| it.pointer("/info/features")?.get(label)?.get("names"));
    let names = names.and_then(|it| serde_json::from_value(it.clone()).ok());
    Ok(Facts { rows: usize::try_from(facts.num_rows()).unwrap_or_default(), names })
}

/// Reads all rows of the table at `path`.
pub(super) fn read(path: &Path, columns: &Columns, shown: Shown, hear: Hear<'_>) -> Result<()> {
    let file = open(path)?;
    let schema = file.metadata().file_metadata().schema();
    let there: Vec<String> = schema.get_fields().iter().map(|it| it.name().to_owned()).collect();
    check_named(path, columns, &there)?;
    let holds_pictures = there.contains(&columns.image);
    if !holds_pictures && !there.contains(&columns.path) {
        return Err(no_column(path, "path", &columns.path, &there));
    }
    let wanted = |field: &Arc<Type>| {
        let name = field.name();
        let is_text = name == columns.label || name == columns.split || name == columns.group;
        if is_text || (!holds_pictures && name == columns.path) {
            return Some(field.clone());
        }
        let is_picture = holds_pictures && name == columns.image;
        is_picture.then(|| shown_of(field, shown)).flatten()
    };
    let fields = schema.get_fields().iter().filter_map(wanted).collect();
    let cannot = |it: ParquetError| unreadable(path, &it);
    let projection: Arc<Type> = Type::group_type_builder(schema.name())
        .with_fields(fields)
        .build()
        .map(Arc::new)
        .map_err(cannot)?;
    let records = || file.get_row_iter(Some((*projection).clone()));
    let mut records = whole(path, records)?.map_err(cannot)?.enumerate();
    while let Some((index, record)) = whole(path, || records.next())? {
        let record = record.map_err(cannot)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let (path, place) = (path.to_owned(), format!("row {}", index + 1));
        let mut row = Row { table: path, place: format!("{name}, {place}"), ..Row::default() };
        fill(&mut row, &record, columns);
        hear(row)?;
    }
    Ok(())
}

/// What is read of a column of pictures: all of it, or no more than their paths.
fn shown_of(field: &Arc<Type>, shown: Shown) -> Option<Arc<Type>> {
    if shown == Shown::Pictures {
        return Some(field.clone());
    }
    if !field.is_group() {
        return None;
    }
    let path = field.get_fields().iter().find(|it| it.name() == "path")?.clone();
    let group = Type::group_type_builder(field.name())
        .with_repetition(field.get_basic_info().repetition())
        .with_fields(vec![path]);
    group.build().map(Arc::new).ok()
}

/// Takes what `record` says into `row`.
fn fill(row: &mut Row, record: &Record, columns: &Columns) {
    for (name, field) in record.get_column_iter() {
        if *name == columns.label {
            row.label = text(field);
        } else if *name == columns.split {
            row.split = text(field);
        } else if *name == columns.group {
            row.group = text(field);
        } else if *name == columns.path {
            row.path = Some(text(field)).filter(|it| !it.is_empty());
        } else if *name == columns.image {
            // A record without bytes may name a file instead.
            row.bytes = bytes(field);
            row.path = path(field).filter(|_| row.bytes.is_none());
        }
    }
}

fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        other => other.to_string(),
    }
}

/// The bytes of a picture: of the field itself, or of what is called `bytes` in it.
fn bytes(field: &Field) -> Option<Vec<u8>> {
    match field {
        Field::Bytes(bytes) => Some(bytes.data().to_vec()),
        Field::Group(group) => {
            group.get_column_iter().find(|it| it.0 == "bytes").and_then(|it| bytes(it.1))
        }
        _ => None,
    }
}

/// The path of a picture: what is called `path` in the field.
fn path(field: &Field) -> Option<String> {
    let Field::Group(group) = field else { return None };
    let found = group.get_column_iter().find(|it| it.0 == "path")?;
    Some(text(found.1)).filter(|it| !it.is_empty())
}

fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).map_err(Error::file("cannot read", path))?;
    whole(path, || SerializedFileReader::new(file))?.map_err(|it| unreadable(path, &it))
}

/// What `read` gives. The crate panics over some files that are damaged, such as one whose dictionary is cut off.
fn whole<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T> {
    reading(read).map_err(|it| unreadable(path, &format_args!("it is damaged ({it})")))
}

fn unreadable(path: &Path, error: &dyn Display) -> Error {
    let help = "take a whole copy of the file; columns may be compressed by snappy, gzip or zstd";
    refused(path, format!("it cannot be read as Parquet: {error}"), help.into())
}
