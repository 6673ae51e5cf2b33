//! The text of an experiment file, or what it is instead.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No experiment is as long: every setting of every table, written out, is some kilobytes, and a grid of as many
/// points as can be planned a hundred.
const MOST_BYTES: u64 = 256 << 10;

/// Why a file gives no text.
#[derive(Debug)]
pub(super) enum NoText {
    /// The operating system refused it.
    Refused(std::io::Error),
    /// It is something else, as a phrase behind its name.
    Unfit(String),
}

/// The text of the file at `path`.
///
/// # Errors
/// [`NoText`]. Nothing that could make one wait, such as a pipe, is opened.
pub(super) fn text_of(path: &Path) -> Result<String, NoText> {
    let kind = path.metadata().map_err(NoText::Refused)?;
    if kind.is_dir() {
        return unfit("is a folder; an experiment is a file");
    }
    if !kind.is_file() {
        return unfit("is a pipe or a device; an experiment is a file");
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(NoText::Refused)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(NoText::Refused)?;
    if bytes.len() as u64 > MOST_BYTES {
        return unfit("is longer than 256 KiB, which no experiment is: name another file");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return unfit("is text in UTF-16: save it as UTF-8");
    }
    let line = |bytes: &[u8]| bytes.split(|it| *it == b'\n').count();
    if let Some(at) = bytes.iter().position(|it| *it == 0) {
        let line = line(&bytes[..at]);
        return unfit(&format!("holds a zero byte in line {line}, so it is no text in UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        NoText::Unfit(format!("is no text in UTF-8 in line {line}: save it as UTF-8"))
    })
}

fn unfit(what: &str) -> Result<String, NoText> {
    Err(NoText::Unfit(what.to_owned()))
}

/// What the TOML reader says, where its own words are about its inside.
pub(super) fn in_other_words(message: &str) -> &str {
    match message {
        "integer number overflowed" | "u64 value was too large" => LONG_INTEGER,
        it if it.starts_with("invalid type: integer") => LONG_INTEGER,
        "floating-point number overflowed" => "is beyond the largest number that a computer has",
        "recursion limit" => DEEP,
        it if it.starts_with("cannot recurse further") => DEEP,
        other => other,
    }
}

const LONG_INTEGER: &str = "must be a whole number of at most 63 bits: TOML has no larger ones";
const DEEP: &str = "is nested deeper than any setting is";
