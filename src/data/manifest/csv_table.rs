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
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.delimiter(delimiter(text)).trim(csv::Trim::All).from_reader(text);
    let cannot = |it: csv::Error| {
        let help = "take a CSV file with a header, in UTF-8, or a Parquet file".to_owned();
        refused(path, format!("it cannot be read: {it}"), help)
    };
    let there: Vec<String> = reader.headers().map_err(cannot)?.iter().map(str::to_owned).collect();
    check_named(path, columns, &there)?;
    let place = |name: &String| there.iter().position(|it| it == name);
    let (label, split, group) =
        (place(&columns.label), place(&columns.split), place(&columns.group));
    let Some(picture) = place(&columns.path) else {
        return Err(no_column(path, ("path", &columns.path), &there));
    };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(cannot)? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell =
            |at: Option<usize>| at.and_then(|it| record.get(it)).unwrap_or_default().to_owned();
        hear(Row {
            table: path.to_owned(),
            place: format!("row {line}"),
            path: Some(cell(Some(picture))).filter(|it| !it.is_empty()),
            bytes: None,
            label: cell(label),
            split: cell(split),
            group: cell(group),
        })?;
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
