//! Tables as text: values with commas, semicolons or tabs between them.

use std::path::Path;

use crate::data::manifest::Columns;
use crate::data::manifest::table::{Hear, Row, check_named, no_column, refused};
use crate::error::{Error, Result};
use crate::mapped;

/// Reads all rows of the table at `path`.
pub(super) fn read(path: &Path, columns: &Columns, hear: Hear<'_>) -> Result<()> {
    let bytes = mapped::map(path).map_err(Error::file("cannot read", path))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes[..]);
    if text.trim_ascii().is_empty() {
        let help = "take a complete copy of the table".to_owned();
        return Err(refused(path, "it is empty".into(), help));
    }
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.delimiter(delimiter(text)).flexible(true).from_reader(text);
    let cannot = |it: csv::Error| {
        let help = "take a CSV file with a header, in UTF-8, or a Parquet file".to_owned();
        refused(path, format!("it cannot be read: {it}"), help)
    };
    let there: Vec<String> =
        reader.headers().map_err(cannot)?.iter().map(|it| it.trim().to_owned()).collect();
    check_named(path, columns, &there)?;
    let place = |name: &String| there.iter().position(|it| it == name);
    let (label, split, group) =
        (place(&columns.label), place(&columns.split), place(&columns.group));
    let Some(picture) = place(&columns.path) else {
        return Err(no_column(path, "path", &columns.path, &there));
    };
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(cannot)? {
        rows += 1;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row =
            Row { table: path.to_owned(), place: format!("row {line}"), ..Row::default() };
        match csv::StringRecord::from_byte_record(record.clone()) {
            Err(_) => row.broken = Some("it is not UTF-8 text".into()),
            Ok(it) if it.len() != there.len() => {
                row.broken = Some(format!("it has {} columns, not {}", it.len(), there.len()));
            }
            Ok(it) => {
                let cell = |at: Option<usize>| {
                    at.and_then(|at| it.get(at)).unwrap_or_default().trim().to_owned()
                };
                row.path = Some(cell(Some(picture))).filter(|it| !it.is_empty());
                (row.label, row.split, row.group) = (cell(label), cell(split), cell(group));
            }
        }
        hear(row)?;
    }
    if rows == 0 {
        let help = "take a complete copy of the table".to_owned();
        return Err(refused(path, "it has a header and no row".into(), help));
    }
    Ok(())
}

/// What stands between the values of the first line most often.
fn delimiter(text: &[u8]) -> u8 {
    let first = text.split(|it| *it == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| first.split(|it| it == delimiter).count();
    // The last of equals is taken: the comma.
    [b';', b'\t', b','].into_iter().max_by_key(count).unwrap_or(b',')
}
