//! Data out: what runs and the report say, for other programs. `report/` beside the study's page has tables as CSV, every
//! epoch and every prediction as Parquet, and tables for a paper; [`tensorboard`] and [`mlflow`] are for those who look at
//! their runs there.
//!
//! A table is a file here and a line in [`write`]. The numbers are those of `study`; nothing is computed that a page does not say.
//!
//! **Invariant:** made from the study alone, and twice the same bytes from the same. Every file is written whole or not at all.

mod columns;
mod history;
pub(crate) mod keras;
pub(crate) mod mlflow;
mod network;
pub(crate) mod onnx;
mod paper;
mod rows;
mod tables;
pub(crate) mod tensorboard;
#[cfg(test)]
mod tests;
pub(crate) mod torch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ferrite_core::digits::hex;
use ferrite_core::error::Result;
use ferrite_core::event::disk::Artifact;
use ferrite_core::files::{create_folder, write_derived, write_derived_by};
use ferrite_core::store::artifact::{Care, check, of_bytes, of_file};
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::study::Run;
use crate::study::judged::Judged;

/// The folder beside the study's page.
const FOLDER: &str = "report";

/// Grows when the code makes other files of the same study, so that all are written again.
const FORMAT: u32 = 1;

/// What the files held when they were written, and what they were made from.
const WRITTEN: &str = ".written.json";

/// How a file comes to be.
enum Content {
    /// A text that is put together in memory.
    Text(fn(&Judged<'_, '_>) -> String),
    /// So many rows that they are written while they are made.
    Rows(fn(&Judged<'_, '_>, &Path) -> Result<()>),
}

/// Writes the data of a study beside its `page`, and gives back the paths of all files. What was written of the same `inputs`
/// is left alone.
///
/// # Errors
/// [`Error::File`](ferrite_core::error::Error::File) for the first file that cannot be written.
pub(crate) fn write(judged: &Judged<'_, '_>, page: &Path, inputs: &str) -> Result<Vec<PathBuf>> {
    let contents = [
        ("configurations.csv", Content::Text(tables::configurations)),
        ("runs.csv", Content::Text(tables::runs)),
        ("comparisons.csv", Content::Text(tables::comparisons)),
        ("classes.csv", Content::Text(tables::classes)),
        ("table.md", Content::Text(paper::board_markdown)),
        ("table.tex", Content::Text(paper::board_latex)),
        ("comparisons.tex", Content::Text(paper::comparisons_latex)),
        ("epochs.parquet", Content::Rows(rows::epochs)),
        ("predictions.parquet", Content::Rows(rows::predictions)),
    ];
    let folder = page.with_file_name(FOLDER);
    let paths = contents.iter().map(|it| folder.join(it.0)).collect();
    let inputs = hex(&Sha256::digest(format!("{FORMAT} {inputs}"))[..16]);
    if is_fresh(&folder, &inputs, &contents.each_ref().map(|it| it.0)) {
        return Ok(paths);
    }
    create_folder(&folder)?;
    // Many at once; the tables ask one by one.
    judged.study.runs().par_bridge().for_each(Run::prepare_roc_auc);
    let written = contents.par_iter().map(|(name, content)| {
        let path = folder.join(name);
        let artifact = match content {
            Content::Text(text) => {
                let text = text(judged);
                write_derived(&path, text.as_bytes())?;
                of_bytes(text.as_bytes())
            }
            Content::Rows(rows) => {
                write_derived_by(&path, |temporary| rows(judged, temporary))?;
                of_file(&path)?
            }
        };
        Ok(((*name).to_owned(), artifact))
    });
    let written = written.collect::<Result<BTreeMap<String, Artifact>>>()?;
    let memory = json!({ "inputs": inputs, "files": written }).to_string();
    write_derived(&folder.join(WRITTEN), memory.as_bytes())?;
    Ok(paths)
}

/// Whether the files called `names` in `folder` were made from `inputs`, and are as they were written.
fn is_fresh(folder: &Path, inputs: &str, names: &[&str]) -> bool {
    let memory = fs::read(folder.join(WRITTEN)).unwrap_or_default();
    let memory: serde_json::Value = serde_json::from_slice(&memory).unwrap_or_default();
    let same = |name: &&str| {
        let artifact = serde_json::from_value(memory["files"][name].clone());
        artifact.is_ok_and(|it: Artifact| check(&folder.join(name), &it, Care::Content).is_ok())
    };
    memory["inputs"] == inputs && names.iter().all(same)
}
