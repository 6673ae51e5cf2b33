//! Columns of a Parquet file, written row group by row group, so that memory holds no more than one.
//!
//! pandas, Polars, `DuckDB` and Spark read what is written here: plain columns and lists in the form of the Parquet standard,
//! compressed by Zstandard.

use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use ferrite_core::error::{Error, Result};
use ferrite_core::files::output::Output;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

/// The columns by which readers look for rows.
const SKIPPED_BY: [&str; 4] = ["run", "experiment", "configuration", "seed"];

/// The values of a column in one row group.
#[derive(Debug)]
pub(super) enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    MaybeWhole(Vec<Option<i64>>),
    Number(Vec<f64>),
    MaybeNumber(Vec<Option<f64>>),
    Truth(Vec<bool>),
    Numbers(Lists<f64>),
    Texts(Lists<ByteArray>),
}

/// A list in each row.
#[derive(Debug)]
pub(super) struct Lists<T> {
    /// All items, row after row.
    items: Vec<T>,
    /// 1 for an item, 0 for a list without any.
    there: Vec<i16>,
    /// 0 where a row begins.
    within: Vec<i16>,
}

/// A column by name.
pub(super) type Column = (&'static str, Values);

/// A file that is being written.
pub(super) struct Table {
    writer: Option<SerializedFileWriter<BufWriter<Output>>>,
    path: std::path::PathBuf,
}

impl<T> Lists<T> {
    pub(super) fn new() -> Self {
        Self { items: Vec::new(), there: Vec::new(), within: Vec::new() }
    }

    pub(super) fn push(&mut self, list: impl IntoIterator<Item = T>) {
        let begin = self.items.len();
        self.items.extend(list);
        let n = self.items.len() - begin;
        self.there.extend(std::iter::repeat_n(i16::from(n > 0), n.max(1)));
        self.within.push(0);
        self.within.extend(std::iter::repeat_n(1, n.saturating_sub(1)));
    }
}

impl Table {
    /// Begins the file at `path`.
    pub(super) fn at(path: &Path) -> Self {
        Self { writer: None, path: path.to_owned() }
    }

    /// Writes rows; every call has the same columns.
    pub(super) fn write(&mut self, columns: &[Column]) -> Result<()> {
        let failed = failed(&self.path);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let file =
                    Output::create(&self.path).map_err(Error::file("cannot write", &self.path))?;
                none.insert(begin(file, columns).map_err(&failed)?)
            }
        };
        let written = (|| {
            let mut group = writer.next_row_group()?;
            for (_, values) in columns {
                write_column(&mut group, values)?;
            }
            group.close().map(drop)
        })();
        written.map_err(&failed)
    }

    /// Ends the file.
    pub(super) fn end(self) -> Result<()> {
        let failed = failed(&self.path);
        let Some(writer) = self.writer else { return Ok(()) };
        writer.close().map(drop).map_err(failed)
    }
}

fn failed(path: &Path) -> impl Fn(ParquetError) -> Error {
    let path = path.to_owned();
    move |it| {
        let source = match it {
            ParquetError::External(it) => std::io::Error::other(it),
            other => std::io::Error::other(other),
        };
        Error::file("cannot write", &path)(source)
    }
}

fn begin(
    file: Output,
    columns: &[Column],
) -> parquet::errors::Result<SerializedFileWriter<BufWriter<Output>>> {
    let fields: String = columns.iter().map(|(name, values)| values.field(name)).collect();
    let schema = parse_message_type(&format!("message rows {{ {fields} }}"))?;
    let compression = Compression::ZSTD(ZstdLevel::try_new(1)?);
    // Least and greatest values let readers skip the rows of other runs; of all other columns they cost more than they save.
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::None);
    for name in SKIPPED_BY {
        let column = ColumnPath::from(name);
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
    }
    let properties = properties.build();
    SerializedFileWriter::new(BufWriter::new(file), Arc::new(schema), Arc::new(properties))
}

impl Values {
    /// The column called `name` in a schema. A list has the three levels that the standard asks for.
    fn field(&self, name: &str) -> String {
        let list = |of: &str| {
            format!("REQUIRED GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED {of}; }} }} ")
        };
        match self {
            Self::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (UTF8); "),
            Self::Whole(_) => format!("REQUIRED INT64 {name}; "),
            Self::MaybeWhole(_) => format!("OPTIONAL INT64 {name}; "),
            Self::Number(_) => format!("REQUIRED DOUBLE {name}; "),
            Self::MaybeNumber(_) => format!("OPTIONAL DOUBLE {name}; "),
            Self::Truth(_) => format!("REQUIRED BOOLEAN {name}; "),
            Self::Numbers(_) => list("DOUBLE element"),
            Self::Texts(_) => list("BYTE_ARRAY element (UTF8)"),
        }
    }
}

type Group<'w> = SerializedRowGroupWriter<'w, BufWriter<Output>>;

fn write_column(group: &mut Group<'_>, values: &Values) -> parquet::errors::Result<()> {
    match values {
        Values::Text(all) => write_values::<ByteArrayType>(group, all, None, None),
        Values::Whole(all) => write_values::<Int64Type>(group, all, None, None),
        Values::MaybeWhole(all) => write_optional::<Int64Type>(group, all),
        Values::Number(all) => write_values::<DoubleType>(group, all, None, None),
        Values::MaybeNumber(all) => write_optional::<DoubleType>(group, all),
        Values::Truth(all) => write_values::<BoolType>(group, all, None, None),
        Values::Numbers(it) => {
            write_values::<DoubleType>(group, &it.items, Some(&it.there), Some(&it.within))
        }
        Values::Texts(it) => {
            write_values::<ByteArrayType>(group, &it.items, Some(&it.there), Some(&it.within))
        }
    }
}

fn write_optional<T: DataType>(
    group: &mut Group<'_>,
    all: &[Option<T::T>],
) -> parquet::errors::Result<()> {
    let there: Vec<i16> = all.iter().map(|it| i16::from(it.is_some())).collect();
    let known: Vec<T::T> = all.iter().flatten().cloned().collect();
    write_values::<T>(group, &known, Some(&there), None)
}

fn write_values<T: DataType>(
    group: &mut Group<'_>,
    values: &[T::T],
    there: Option<&[i16]>,
    within: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    column.typed::<T>().write_batch(values, there, within)?;
    column.close()
}
