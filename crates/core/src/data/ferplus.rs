//! FER+: the votes of ten people for each row of FER2013, and what they say together.
//!
//! Follows Microsoft's `ferplus.py` (<https://github.com/microsoft/FERPlus>) step by step.

use std::path::Path;

use crate::data::broken;
use crate::data::labels::Rule;
use crate::data::prepared::Prepared;
use crate::error::{Error, Result};
use crate::largest::first_largest;
use crate::mapped;

/// The setting that names the file.
const KEY: &str = "data.labels.ferplus.votes";

/// The columns with votes, in Microsoft's order. The last two are no emotion: most could not tell, and no face.
pub const COLUMNS: [&str; 10] = [
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "nf",
];

/// Columns that name an emotion.
const EMOTIONS: usize = 8;

/// The column of each class: those of FER2013, then contempt.
const COLUMN_OF_CLASS: [usize; EMOTIONS] = [4, 5, 6, 1, 3, 2, 0, 7];

/// How many people named each of [`COLUMNS`].
pub type Counts = [u32; COLUMNS.len()];

/// What one image's votes say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Opinion {
    /// The votes as they are in the file.
    pub votes: Counts,
    /// The class that most name; 0 for images that cannot train.
    pub class: u8,
    /// Share of the votes for each class; zeros for images that cannot train.
    pub shares: [f32; EMOTIONS],
    /// Why it cannot train.
    pub unfit: Option<Unfit>,
    /// Why it cannot be judged by.
    pub unjudged: Option<Unfit>,
}

/// Why an image has no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// People do not agree.
    Disagreement,
    /// Most could not tell.
    Unknown,
    /// Most saw no face, or the file gives the image no name.
    NoFace,
}

impl Unfit {
    /// As the report says it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Disagreement => "the votes disagree",
            Self::Unknown => "the votes say unknown",
            Self::NoFace => "not a face",
        }
    }

    /// Why a vote for this column is no emotion.
    fn of_column(column: usize) -> Option<Self> {
        match column {
            0..EMOTIONS => None,
            EMOTIONS => Some(Self::Unknown),
            _ => Some(Self::NoFace),
        }
    }
}

/// What the votes in the file at `path` say of each decoded image.
pub(super) fn opinions(path: &Path, rule: Rule, prepared: &Prepared) -> Result<Vec<Opinion>> {
    let rows = read(path)?;
    let total = prepared.ids.len() + prepared.manifest.skipped.len();
    if rows.len() != total {
        let message = format!("it has {} rows, but the table of images has {total}", rows.len());
        return Err(refused(path, String::new(), message));
    }
    let opinion = |(index, id): (usize, &String)| {
        let row = id.parse::<usize>().ok().filter(|it| *it < rows.len());
        let (at, Votes { usage, named, counts }) =
            row.map(|it| (it, &rows[it])).ok_or_else(|| {
                refused(path, String::new(), format!("no row belongs to image `{id}`"))
            })?;
        let split = &prepared.split_names[usize::from(prepared.splits[index])];
        if !split.is_empty() && split != usage {
            let message = format!("it says `{usage}`, but the image is one of `{split}`");
            return Err(refused(path, format!("row {}", at + 2), message));
        }
        Ok(if *named { judge(*counts, rule) } else { Opinion::of_no_face(*counts) })
    };
    prepared.ids.iter().enumerate().map(opinion).collect()
}

impl Opinion {
    fn of_no_face(votes: Counts) -> Self {
        let no_face = Some(Unfit::NoFace);
        Self { votes, class: 0, shares: [0.0; EMOTIONS], unfit: no_face, unjudged: no_face }
    }
}

/// What `votes` say under `rule`.
fn judge(votes: Counts, rule: Rule) -> Opinion {
    // Single votes are outliers.
    let counts = votes.map(|it| if it > 1 { it } else { 0 });
    let (majority, unjudged) = majority(counts);
    let (kept, unfit) = match rule {
        Rule::Majority => (majority, unjudged),
        Rule::Probabilistic => leading(counts),
    };
    if unfit.is_some() {
        return Opinion { votes, class: 0, shares: [0.0; EMOTIONS], unfit, unjudged };
    }
    let total: u32 = kept[..EMOTIONS].iter().sum();
    let shares = COLUMN_OF_CLASS.map(|it| kept[it] as f32 / total as f32);
    let first = first_largest(&kept);
    let class = COLUMN_OF_CLASS.iter().position(|it| *it == first).unwrap_or_default() as u8;
    Opinion { votes, class, shares, unfit, unjudged }
}

/// The votes of the column that more than half name, and what is wrong if there is none.
fn majority(counts: Counts) -> (Counts, Option<Unfit>) {
    let first = first_largest(&counts);
    if 2 * counts[first] <= counts.iter().sum::<u32>() {
        return (counts, Some(Unfit::Disagreement));
    }
    let mut kept = [0; COLUMNS.len()];
    kept[first] = counts[first];
    (kept, Unfit::of_column(first))
}

/// The votes of the columns in front: as many as make up three quarters, three at most, and none
/// behind "unknown" or "not a face". Equal ones come together.
fn leading(mut counts: Counts) -> (Counts, Option<Unfit>) {
    let all: u32 = counts.iter().sum();
    let mut kept = [0; COLUMNS.len()];
    let (mut sum, mut columns, mut emotions_only) = (0, 0, true);
    while 4 * sum < 3 * all && columns < 3 && emotions_only {
        let most = counts[first_largest(&counts)];
        for column in 0..COLUMNS.len() {
            if counts[column] != most {
                continue;
            }
            kept[column] = std::mem::take(&mut counts[column]);
            sum += most;
            columns += 1;
            if column >= EMOTIONS {
                emotions_only = false;
                if kept.iter().sum::<u32>() > most {
                    kept[column] = 0;
                    columns -= 1;
                }
                break;
            }
        }
    }
    if 2 * kept.iter().sum::<u32>() <= all || columns > 3 {
        return (kept, Some(Unfit::Disagreement));
    }
    (kept, Unfit::of_column(first_largest(&kept)))
}

/// One row of the file.
struct Votes {
    usage: String,
    /// Whether the image has a name; those without were taken out by the authors.
    named: bool,
    counts: Counts,
}

fn read(path: &Path) -> Result<Vec<Votes>> {
    let bytes = mapped::map(path).map_err(|error| broken::unreadable(path, KEY, error))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes[..]);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let cannot = |it: csv::Error| refused(path, String::new(), it.to_string());
    let header = reader.headers().map_err(cannot)?.clone();
    let place = |name: &str| {
        let found = header.iter().position(|it| it.eq_ignore_ascii_case(name));
        let message = || format!("its first line has no column `{name}`");
        found.ok_or_else(|| refused(path, String::new(), message()))
    };
    let (usage, name) = (place("Usage")?, place("Image name")?);
    let mut columns = [0; COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        *column = place(name)?;
    }
    let row = |(index, record): (usize, csv::Result<csv::StringRecord>)| {
        let record = record.map_err(cannot)?;
        let mut counts = [0; COLUMNS.len()];
        for (count, column) in counts.iter_mut().zip(columns) {
            *count = record[column].parse().map_err(|_| {
                let (name, found) = (&header[column], &record[column]);
                let message = format!("has `{found}` as votes for `{name}`, not a whole number");
                refused(path, format!("row {}", index + 2), message)
            })?;
        }
        let named = !record[name].is_empty();
        Ok(Votes { usage: record[usage].to_owned(), named, counts })
    };
    reader.records().enumerate().map(row).collect()
}

fn refused(path: &Path, place: String, message: String) -> Error {
    let help = "take the `fer2013new.csv` of FER+ that belongs to this table of images: one row for \
                each of its rows, in the same order";
    Error::Data { path: path.to_owned(), place, message, help: help.into() }
}

#[cfg(test)]
mod tests;
