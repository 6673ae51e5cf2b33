//! Images that cannot be used, and what becomes of them.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use crate::data::OnError;
use crate::error::{Error, Result};

/// One row or file that is no usable image.
#[derive(Debug)]
pub(super) struct Broken {
    /// The file.
    pub path: PathBuf,
    /// Where in it, e.g. `row 17`; empty for the whole.
    pub place: String,
    /// How it is listed when it is skipped.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// The list of what is skipped, or the error about the first of `broken`.
pub(super) fn settle(on_error: OnError, broken: Vec<Broken>) -> Result<Vec<String>> {
    if on_error == OnError::Skip {
        return Ok(broken.into_iter().map(|it| format!("{}: {}", it.name, it.message)).collect());
    }
    let others = broken.len().saturating_sub(1);
    let Some(first) = broken.into_iter().next() else { return Ok(Vec::new()) };
    let more = match others {
        0 => String::new(),
        1 => "; 1 more is broken".to_owned(),
        n => format!("; {n} more are broken"),
    };
    Err(Error::Data {
        path: first.path,
        place: first.place,
        message: first.message + &more,
        help: "mend it or take it out, or write `data.on_error = \"skip\"` to leave broken images \
               out and have them listed in the report"
            .into(),
    })
}

/// The error about a file or folder of the user's at `path`, named by the setting `key`.
pub(super) fn unreadable(path: &Path, key: &str, source: IoError) -> Error {
    let message = match source.kind() {
        ErrorKind::NotFound => "it does not exist",
        ErrorKind::IsADirectory => "it is a folder, not a file",
        ErrorKind::NotADirectory => "it is a file, not a folder",
        _ => return Error::File { action: "cannot read", path: path.to_owned(), source },
    };
    let help = format!("check `{key}`; the path is relative to the folder you run `ferrite` in");
    Error::Data { path: path.to_owned(), place: String::new(), message: message.into(), help }
}
