//! `ferrite report`.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::store::read::all;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::pick::{FolderOf, SELECT, pick};
use crate::cli::scores::Board;
use crate::cli::status::{existing, tell_damaged};
use crate::export;
use crate::report::files::belonging;
use crate::report::{self, Report, Target};
use crate::study::Study;
use crate::study::folds::gather;
use crate::study::judged::Judged;

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    #[arg(long, value_name = "PATTERN", num_args = 1.., requires = "out", help = format!("{SELECT}; wants `--out`"))]
    select: Vec<String>,
    /// Write pages, figures and data into this folder instead of the folder of runs: to pass on whole
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print the scores of all configurations and the paths of all files as one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    /// Draw the figures of every run, on its page and as PNG and SVG, and write the cards of all models, even if there are
    /// more than 200 runs
    #[arg(long)]
    figures: bool,
    #[command(flatten)]
    place: Place,
}

/// Where a report and its data are.
pub(super) struct Published {
    /// The study's page.
    pub(super) page: PathBuf,
    /// The files of data.
    data: Vec<PathBuf>,
}

/// Writes the report of `judged` and its data, one beside the other.
///
/// # Errors
/// [`Error::File`](ferrite_core::error::Error::File) for the first file that cannot be written.
pub(super) fn publish(judged: &Judged<'_, '_>, target: Target<'_>) -> Result<Published> {
    let report = Report::of(judged, target);
    let data = || export::write(judged, &report.page(), &report.inputs);
    let (page, data) = rayon::join(|| report.write(), data);
    Ok(Published { page: page?, data: data? })
}

pub(super) fn report_command(arguments: &ReportArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    clear_old(&store.root);
    let mut runs = all(&store);
    if !arguments.select.is_empty() {
        pick(&mut runs, &store, &arguments.select)?;
    }
    tell_damaged(&runs);
    gather(&mut runs);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let places: Vec<&Path> = study.runs().map(|it| it.place.as_path()).collect();
    let out = match &arguments.out {
        Some(out) => {
            let out = FolderOf { out, runs: &store.root, places: &places }.checked()?;
            report::begin(out)?;
            out
        }
        None => &store.root,
    };
    let judged = Judged::new(&study);
    let target = Target { runs: &store.root, out, every_figure: arguments.figures, is_live: false };
    let Published { page, data } = publish(&judged, target)?;
    if !arguments.json {
        return print(&format!("{}\n", page.display()));
    }
    let pages = places.iter().map(|it| out.join(it));
    let files = std::iter::once(out.to_owned()).chain(pages).flat_map(|it| belonging(&it));
    print_json(&documented(json!({
        "report": page,
        "files": files.chain(data).collect::<Vec<_>>(),
        "configurations": Board::new(&judged, None).to_json(),
    })))
}
