//! The first line of a FER2013 table: which column holds what.

use std::path::Path;

use crate::error::Error;

/// Where the columns are. Every published layout has its own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Position of the label.
    pub label: usize,
    /// Position of the pixels.
    pub pixels: usize,
    /// Position of the split's name, where there is one.
    pub usage: Option<usize>,
    /// How many columns there are.
    pub columns: usize,
}

/// What is wrong with a table as a whole, and what to do.
#[derive(Debug)]
pub(super) struct Complaint {
    message: String,
    help: &'static str,
}

impl Complaint {
    /// The error about the file at `path`.
    pub(super) fn about(self, path: &Path) -> Error {
        Error::Data {
            path: path.to_owned(),
            place: String::new(),
            message: self.message,
            help: self.help.into(),
        }
    }
}

/// The header of the table in `bytes`, and all lines below it.
pub(super) fn read(bytes: &[u8]) -> Result<(Header, &[u8]), Complaint> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let end = bytes.iter().position(|it| *it == b'\n').unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(first) else {
        return Err(Complaint {
            message: "it is not UTF-8 text".into(),
            help: "name the CSV file itself; if it lies in an archive, unpack it first",
        });
    };
    let header = columns(text)?;
    if rest.trim_ascii().is_empty() {
        return Err(Complaint {
            message: "it has a header and no row".into(),
            help: "take a complete copy of the file",
        });
    }
    Ok((header, rest))
}

fn columns(text: &str) -> Result<Header, Complaint> {
    let names: Vec<String> = text.split(',').map(|it| unquoted(it).to_lowercase()).collect();
    let place = |name| names.iter().position(|it| it == name);
    let complaint = |message, help| Err(Complaint { message, help });
    match (place("emotion"), place("pixels")) {
        (Some(label), Some(pixels)) => {
            Ok(Header { label, pixels, usage: place("usage"), columns: names.len() })
        }
        _ if text.trim().is_empty() => {
            complaint("it is empty".into(), "take a complete copy of the file")
        }
        (None, Some(_)) => complaint(
            "it has no labels: a column `emotion` is missing".into(),
            "take `fer2013.csv`, `icml_face_data.csv` or `train.csv`; the `test.csv` of the \
             challenge came without labels",
        ),
        _ => complaint(
            format!("its first line is not that of FER2013: {}", shortened(text)),
            "its first line must name the columns `emotion`, `pixels` and, for named splits, \
             `Usage`, in any order",
        ),
    }
}

/// A field without the blanks and quotes around it.
fn unquoted(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}

fn shortened(text: &str) -> String {
    let start: String = text.trim().chars().take(60).collect();
    if start.len() < text.trim().len() { format!("`{start}…`") } else { format!("`{start}`") }
}
