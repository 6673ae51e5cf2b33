//! Reading what lies beside a run's record, and writing only what has changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use ferrite_core::digits::hex;
use ferrite_core::error::Result;
use ferrite_core::event::disk::Artifact;
use ferrite_core::files::{create_folder, remove_file, write_derived};
use ferrite_core::store::artifact::{Care, check};
use ferrite_core::store::explained;
use ferrite_core::store::record::Record;
use sha2::{Digest, Sha256};

use crate::report::Extent;
use crate::report::faces::SHEETS;
use crate::report::gallery::album::stamp;
use crate::report::page::{SCRIPT, STYLE_SHEET};
use crate::report::trial::Files;

/// Grows when the code makes other pages of the same records, so that all are written again. The style
/// sheet and the script speak for themselves.
const LOOKS: u32 = 8;

/// A digest of all that a page is made from.
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(super) fn new() -> Self {
        let mut new = Self(Sha256::new());
        new.add(&(LOOKS, env!("CARGO_PKG_VERSION"), STYLE_SHEET, SCRIPT));
        new
    }

    pub(super) fn add(&mut self, it: &impl Debug) {
        self.0.update(format!("{it:?}\n"));
    }

    pub(super) fn finish(self) -> String {
        hex(&self.0.finalize()[..16])
    }
}

/// A digest of all that the page of `record` is made from.
pub(super) fn fingerprint(record: &Record, study: &str, extent: Extent) -> String {
    let Record {
        experiment,
        trial,
        description,
        folder,
        settings,
        state,
        began_ms,
        seconds,
        facts,
        predictions,
        folds: _,
    } = record;
    let mut digest = Fingerprint::new();
    digest.add(&extent);
    digest.add(&(study, experiment, trial, description, settings, state, began_ms, seconds, facts));
    let mut bytes = Vec::with_capacity(predictions.len() * 80);
    for it in predictions {
        bytes.extend((it.truth as u16).to_le_bytes());
        bytes.extend((it.predicted as u16).to_le_bytes());
        bytes.extend((it.id.len() as u32).to_le_bytes());
        bytes.extend(it.id.as_bytes());
        bytes.extend(it.group.as_bytes());
        bytes.extend(it.probabilities.iter().flat_map(|it| it.to_le_bytes()));
    }
    digest.0.update(bytes);
    for stage in &record.facts.stages {
        let sheet = folder.join(sheet_name(&stage.start.stage));
        digest.add(&fs::metadata(sheet).map(|it| it.len()).ok());
    }
    if record.facts.faces.is_some() {
        for (name, _) in SHEETS {
            digest.add(&fs::metadata(folder.join(faces_name(name))).map(|it| it.len()).ok());
        }
    }
    digest.add(&stamp(record));
    digest.0.update(fs::read(folder.join(ENVIRONMENT)).unwrap_or_default());
    digest.0.update(fs::read(folder.join(explained::MAPS)).unwrap_or_default());
    digest.add(&fs::metadata(folder.join(explained::SHEET)).map(|it| it.len()).ok());
    digest.finish()
}

/// The name of a page.
pub(super) const PAGE: &str = "index.html";

/// The name of the card that tells of a run's model.
pub(super) const CARD: &str = "MODEL.md";

/// What a page and its images held when they were written, so that one that was damaged since is written again.
const WRITTEN: &str = "plots/.written.json";

/// Remembers what was `written` into `folder`, and removes what an earlier page had and this one has not.
pub(super) fn remember(folder: &Path, written: &BTreeMap<String, Artifact>) -> Result<()> {
    let within =
        |it: &String| Path::new(it).components().all(|it| matches!(it, Component::Normal(_)));
    let before = remembered(folder).into_keys().filter(within);
    for name in before.filter(|it| !written.contains_key(it)) {
        // What is gone already need not go.
        let _ = remove_file(&folder.join(name));
    }
    let text = serde_json::to_vec(written).expect("counts are plain JSON");
    write_file(&folder.join(WRITTEN), &text)
}

/// Whether the page of the run in `folder` was written, with its figures.
pub(crate) fn is_drawn(folder: &Path) -> bool {
    folder.join(WRITTEN).is_file()
}

/// What the page of two configurations says that it was made from, so that it is known again.
pub(super) const OF_TWO: &str = "ferrite diff";

/// Whether the page in `folder` is one of a report.
pub(crate) fn is_page(folder: &Path) -> bool {
    inputs(&head(&folder.join(PAGE))).is_some_and(|it| it != OF_TWO)
}

/// Whether the file at `path` is a page of two configurations.
pub(super) fn is_of_two(path: &Path) -> bool {
    inputs(&head(path)) == Some(OF_TWO)
}

/// Where the page at `path` says what it was made from; empty if there is no page.
fn head(path: &Path) -> String {
    let mut head = Vec::new();
    let page = fs::File::open(path);
    // What cannot be read says nothing.
    let _ = page.and_then(|it| it.take(1024).read_to_end(&mut head));
    String::from_utf8_lossy(&head).into_owned()
}

/// What a page of this `head` was made from.
fn inputs(head: &str) -> Option<&str> {
    content(head, "ferrite-inputs")
}

/// What stands under `name` in the `head` of a page.
fn content<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let named = format!("name=\"{name}\"");
    Some(head.split_once(&named)?.1.split_once("content=\"")?.1.split_once('"')?.0)
}

/// What was written into `folder`; nothing where no page is.
fn remembered(folder: &Path) -> BTreeMap<String, Artifact> {
    let written = fs::read(folder.join(WRITTEN)).unwrap_or_default();
    serde_json::from_slice(&written).unwrap_or_default()
}

/// The files that belong to the page in `folder`, itself among them.
pub(crate) fn belonging(folder: &Path) -> Vec<PathBuf> {
    remembered(folder).into_keys().map(|it| folder.join(it)).collect()
}

/// Whether the page in `folder` was made from `inputs`, and it and its images are as they were written.
pub(super) fn is_fresh(folder: &Path, inputs: &str) -> bool {
    let head = head(&folder.join(PAGE));
    let written = remembered(folder);
    let files = |it: &str| ["png", "svg"].map(|ending| format!("plots/{it}.{ending}"));
    self::inputs(&head) == Some(inputs)
        && written.contains_key(PAGE)
        && content(&head, "ferrite-plots").is_some_and(|it| {
            it.split_whitespace().flat_map(files).all(|it| written.contains_key(&it))
        })
        && written.iter().all(|(name, it)| check(&folder.join(name), it, Care::Content).is_ok())
}

/// The machine and the programs of a run, by dotted key; empty where they cannot be read.
pub(super) fn environment(record: &Record) -> Vec<(String, String)> {
    let text = fs::read_to_string(record.folder.join(ENVIRONMENT)).unwrap_or_default();
    let mut environment = Vec::new();
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
        flatten("", &value, &mut environment);
    }
    environment
}

/// What lies beside `record`; what cannot be read is left out.
pub(super) fn read(record: &Record) -> Files {
    let sheet =
        |name: &String| Some((name.clone(), fs::read(record.folder.join(sheet_name(name))).ok()?));
    let sheets = record.facts.stages.iter().filter_map(|it| sheet(&it.start.stage)).collect();
    let faces = SHEETS.iter().filter_map(|(name, _)| {
        Some(((*name).to_owned(), fs::read(record.folder.join(faces_name(name))).ok()?))
    });
    let explained = record
        .facts
        .start
        .as_ref()
        .and_then(|start| explained::read(&record.folder, &start.key).transpose());
    Files {
        environment: environment(record),
        sheets,
        faces: faces.collect(),
        album: None,
        explained,
    }
}

/// Writes a page or what belongs to it, and makes its folder.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    path.parent().map_or(Ok(()), create_folder)?;
    write_derived(path, bytes)
}

pub(crate) const ENVIRONMENT: &str = "environment.json";

fn sheet_name(stage: &str) -> String {
    format!("plots/augmented-{stage}.png")
}

fn faces_name(sheet: &str) -> String {
    format!("plots/faces-{sheet}.png")
}

fn flatten(key: &str, value: &serde_json::Value, out: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(inner) => {
            for (name, value) in inner {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, out);
            }
        }
        serde_json::Value::String(text) => out.push((key.into(), text.clone())),
        // What nobody could tell is not told.
        serde_json::Value::Null => {}
        other => out.push((key.into(), other.to_string())),
    }
}
