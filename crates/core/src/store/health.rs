//! Whether the files of a finished run are what it wrote.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::event::disk::Artifact;
use crate::event::{Evaluation, Event, FINAL, Kind};
use crate::store::artifact::{Care, check, damaged, set_aside};
use crate::store::folder::files;
use crate::store::read::{events_so_far, settings};
use crate::store::record::Facts;

/// Holds `name`, a file of the finished run in `folder`, against what the run wrote, byte by byte. What is not the
/// same is set aside, so that the next sweep makes it again.
///
/// # Errors
/// [`Error::Damaged`] if it is not the same; [`Error::File`].
pub fn verify(folder: &Path, name: &str) -> Result<()> {
    let events = events_so_far(folder)?;
    let Some(written) = written(&events).and_then(|it| it.get(name)) else { return Ok(()) };
    let path = folder.join(name);
    match check(&path, written, Care::Content) {
        Err(Error::Damaged { path, message, .. }) => Err(Error::Damaged {
            help: match set_aside(&path, &path, &message) {
                Ok(told) if told.aside.is_empty() => "sweep again: it is then made again".into(),
                Ok(told) => {
                    format!("it lies in `{}` now; sweep again: it is then made again", told.aside)
                }
                Err(_) => "remove it and sweep again: it is then made again".into(),
            },
            path,
            message,
        }),
        checked => checked,
    }
}

/// What is wrong with the files in the `folder` of a run that ended as `events` say. Every byte of the small ones
/// is looked at; of weights only the size, since they are large and seldom read.
///
/// Runs of older versions did not write down what their files held; of these the settings and the number of
/// predictions are looked at.
///
/// # Errors
/// [`Error::File`] if a file cannot be read.
pub(in crate::store) fn damages(folder: &Path, events: &[Event]) -> Result<Vec<Error>> {
    let checks = match written(events) {
        Some(files) => files
            .iter()
            .map(|(name, written)| {
                let care = if name.ends_with(".safetensors") { Care::Size } else { Care::Content };
                check(&folder.join(name), written, care)
            })
            .collect(),
        None => checks_of_old(folder, events),
    };
    let mut damages = Vec::new();
    for error in checks.into_iter().filter_map(Result::err) {
        match error {
            damage @ Error::Damaged { .. } => damages.push(damage),
            other => return Err(other),
        }
    }
    Ok(damages)
}

fn checks_of_old(folder: &Path, events: &[Event]) -> Vec<Result<()>> {
    let mut facts = Facts::default();
    for event in events {
        facts.fold(event.kind.clone());
    }
    let settings = settings(&folder.join(files::TRIAL)).map(|_| ());
    let tested = facts.evaluation.iter().chain(&facts.others);
    std::iter::once(settings).chain(tested.map(|it| check_rows(folder, it))).collect()
}

/// Checks that a table of predictions has a whole line for each image that was tested.
fn check_rows(folder: &Path, tested: &Evaluation) -> Result<()> {
    let path = folder.join(files::of_weights(files::PREDICTIONS, &tested.weights));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound && tested.weights == FINAL => {
            return Err(damaged(&path, "it is missing"));
        }
        // Not every older version kept the tables of other weights.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("cannot read", &path)(error)),
    };
    let rows = csv::ReaderBuilder::new().flexible(true).from_reader(&bytes[..]).into_byte_records();
    let rows = rows.flatten().count();
    let images = tested.images;
    if rows == images && bytes.ends_with(b"\n") {
        return Ok(());
    }
    let torn = if bytes.ends_with(b"\n") { "" } else { ", the last one without its end" };
    Err(damaged(&path, &format!("it has {rows} predictions of {images} images{torn}")))
}

/// What the files of a finished run held when it ended; none for runs of older versions.
fn written(events: &[Event]) -> Option<&BTreeMap<String, Artifact>> {
    let files = events.iter().rev().find_map(|it| match &it.kind {
        Kind::RunEnded { files, .. } => Some(files),
        _ => None,
    });
    files.filter(|it| !it.is_empty())
}
