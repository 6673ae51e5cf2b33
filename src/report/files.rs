//! Reading what lies beside a run's record, and writing only what has changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::Read;
use std::path::Path;

use ferrite_core::digits::hex;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::disk::Artifact;
use ferrite_core::files::write_derived;
use ferrite_core::store::artifact::{Care, check};
use ferrite_core::store::record::Record;
use sha2::{Digest, Sha256};

use crate::report::faces::SHEETS;
use crate::report::page::{SCRIPT, STYLE_SHEET};
use crate::report::trial::Files;

/// Grows when the code makes other pages of the same records, so that all are written again. The style
/// sheet and the script speak for themselves.
const LOOKS: u32 = 5;

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
pub(super) fn fingerprint(record: &Record, study: &str) -> String {
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
    } = record;
    let mut digest = Fingerprint::new();
    digest.add(&(study, experiment, trial, description, settings, state, began_ms, seconds, facts));
    let mut bytes = Vec::with_capacity(predictions.len() * 80);
    for it in predictions {
        bytes.extend((it.truth as u16).to_le_bytes());
        bytes.extend((it.predicted as u16).to_le_bytes());
        bytes.extend((it.id.len() as u32).to_le_bytes());
        bytes.extend(it.id.as_bytes());
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
    digest.0.update(fs::read(folder.join(ENVIRONMENT)).unwrap_or_default());
    digest.finish()
}

/// The name of a page.
pub(super) const PAGE: &str = "index.html";

/// What a page and its images held when they were written, so that one that was damaged since is written again.
const WRITTEN: &str = "plots/.written.json";

/// Remembers what was `written` into `folder`.
pub(super) fn remember(folder: &Path, written: BTreeMap<String, Artifact>) -> Result<()> {
    let text = serde_json::to_vec(&written).expect("counts are plain JSON");
    write_file(&folder.join(WRITTEN), &text)
}

/// Whether the page in `folder` was made from `inputs`, and it and its images are as they were written.
pub(super) fn is_fresh(folder: &Path, inputs: &str) -> bool {
    let mut head = Vec::new();
    let page = fs::File::open(folder.join(PAGE));
    if page.and_then(|it| it.take(1024).read_to_end(&mut head)).is_err() {
        return false;
    }
    let head = String::from_utf8_lossy(&head);
    let content =
        |name: &str| Some(head.split_once(name)?.1.split_once("content=\"")?.1.split_once('"')?.0);
    let written = fs::read(folder.join(WRITTEN)).unwrap_or_default();
    let written: BTreeMap<String, Artifact> = serde_json::from_slice(&written).unwrap_or_default();
    let same = |name: &str| {
        let artifact = written.get(name);
        artifact.is_some_and(|it| check(&folder.join(name), it, Care::Content).is_ok())
    };
    content("ferrite-inputs") == Some(inputs)
        && same(PAGE)
        && content("ferrite-plots")
            .is_some_and(|it| it.split_whitespace().all(|it| same(&format!("plots/{it}.png"))))
}

/// What lies beside `record`; what cannot be read is left out.
pub(super) fn read(record: &Record) -> Files {
    let text = fs::read_to_string(record.folder.join(ENVIRONMENT)).unwrap_or_default();
    let mut environment = Vec::new();
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
        flatten("", &value, &mut environment);
    }
    let sheet =
        |name: &String| Some((name.clone(), fs::read(record.folder.join(sheet_name(name))).ok()?));
    let sheets = record.facts.stages.iter().filter_map(|it| sheet(&it.start.stage)).collect();
    let faces = SHEETS.iter().filter_map(|(name, _)| {
        Some(((*name).to_owned(), fs::read(record.folder.join(faces_name(name))).ok()?))
    });
    Files { environment, sheets, faces: faces.collect() }
}

/// Writes a page or what belongs to it, and makes its folder.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.map_err(Error::file("cannot write", path))?;
    write_derived(path, bytes)
}

const ENVIRONMENT: &str = "environment.json";

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
        other => out.push((key.into(), other.to_string())),
    }
}
