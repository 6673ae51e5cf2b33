//! The report: a page of the study, a page of every run, and every figure as PNG and SVG too.
//!
//! `study` gathers and ranks, `comparison` judges which differences are real, by the methods of
//! [`ferrite_core::metrics::statistics`]. `figures` says what is drawn, `plot` draws, `index` and `trial` are the pages. A page
//! carries a fingerprint of what it was made from and is left alone while that holds.
//!
//! **Invariant:** every file is made from the records and the runs' own folders alone, and twice the
//! same from the same: no clock, no random number, no network.

pub mod audit;
mod board;
mod card;
mod curves;
mod evidence;
#[cfg(test)]
pub(crate) mod example;
mod explained;
mod faces;
mod figures;
pub(crate) mod files;
mod gallery;
mod index;
mod origin;
mod page;
pub(crate) mod pair;
pub mod plot;
#[cfg(test)]
mod sample;
mod sections;
#[cfg(test)]
mod tests;
mod trial;
mod verdicts;
mod warnings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::disk::Artifact;
use ferrite_core::store::artifact::of_bytes;
use ferrite_core::store::record::State;
use rayon::prelude::*;

use crate::report::files::{Fingerprint, PAGE, is_fresh, is_page, remember, write_file};
use crate::report::gallery::album::Albums;
use crate::report::page::Page;
use crate::report::plot::{Chart, png, svg_file};
use crate::report::trial::Files;
use crate::study::Run;
use crate::study::judged::Judged;

/// In a study of more runs, the figures of single runs are on their pages alone: nobody looks at ten thousand files, and drawing
/// them takes longer than everything else.
const MOST_DRAWN: usize = 200;

/// What a report is made of and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'p> {
    /// The folder of the runs.
    pub(crate) runs: &'p Path,
    /// The folder that the report is written into.
    pub(crate) out: &'p Path,
    /// Whether the figures of each run become files even where there are many runs.
    pub(crate) every_figure: bool,
    /// Whether a sweep is at work, which writes it anew.
    pub(crate) is_live: bool,
}

impl<'p> Target<'p> {
    /// The report that lies with its `runs`.
    pub(crate) fn beside(runs: &'p Path) -> Self {
        Self { runs, out: runs, every_figure: false, is_live: false }
    }
}

/// Where the report of a study is.
#[derive(Debug)]
pub(crate) struct Written {
    /// The study's page.
    pub(crate) page: PathBuf,
    /// A digest of all that it was made from.
    pub(crate) inputs: String,
}

/// What the pages of all runs share.
struct Shared<'p> {
    /// The name of the study.
    study: String,
    out: &'p Path,
    /// Whether figures become files.
    in_files: bool,
    is_live: bool,
    albums: Albums,
}

/// Begins a report in a new folder with a page that is replaced by the study's at the end, so that the folder is known for one
/// of a report even if the writing is cut off.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub(crate) fn begin(out: &Path) -> Result<()> {
    const BEGUN: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
        <meta name=\"ferrite-inputs\" content=\"\">\n<title>A report that is not whole · Ferrite</title>\n\
        <p>This report is not whole: it is still being written, or its writing was cut off. <code>ferrite report</code> with the \
        same words writes the rest.</p>\n</html>\n";
    if is_page(out) { Ok(()) } else { write_file(&out.join(PAGE), BEGUN.as_bytes()) }
}

/// Writes `index.html` and `plots/*` of a study into the folder of `target`, and the same of each run, with the card of
/// its model, below it. Names of damaged folders stand on the page too. What is up to date is left
/// alone; a page that cannot be written does not keep the others from being written.
///
/// # Errors
/// [`Error::File`] for the first file that cannot be written.
pub(crate) fn write(judged: &Judged<'_, '_>, target: Target<'_>) -> Result<Written> {
    let study = judged.study;
    let all: Vec<_> = study.runs().collect();
    let shared = Shared {
        study: study_name(target.runs),
        out: target.out,
        in_files: target.every_figure || all.len() <= MOST_DRAWN,
        is_live: target.is_live,
        albums: Albums::default(),
    };
    let trials: Vec<_> = all.into_par_iter().map(|it| write_trial(it, &shared)).collect();
    let mut whole = Fingerprint::new();
    whole.add(&(&shared.study, shared.is_live));
    for error in study.damaged {
        whole.add(&error.to_string());
    }
    for (run, (_, inputs)) in study.runs().zip(&trials) {
        whole.add(&run.place);
        whole.add(inputs);
    }
    let inputs = whole.finish();
    let written = write_index(judged, &shared, inputs.clone());
    trials.into_iter().try_for_each(|it| it.0)?;
    written?;
    Ok(Written { page: shared.out.join(PAGE), inputs })
}

fn write_index(judged: &Judged<'_, '_>, shared: &Shared<'_>, inputs: String) -> Result<()> {
    let path = shared.out.join(PAGE);
    if is_fresh(shared.out, &inputs) {
        return Ok(());
    }
    let (page, drawn) = index::page(judged, &shared.study, shared.is_live, &shared.albums, inputs)
        .map_err(Error::file("cannot draw", &path))?;
    let mut images: Vec<(&str, Vec<Chart>)> =
        drawn.singles().map(|it| (it.name.as_str(), vec![it.chart.clone()])).collect();
    if !drawn.confusions.is_empty() {
        images.push(("confusion", drawn.confusions.iter().map(|it| it.1.chart.clone()).collect()));
    }
    write_page(shared.out, page, &images, &[])
}

/// Writes the page of `run`, and says what it was made from even if it cannot be written.
fn write_trial(run: &Run<'_>, shared: &Shared<'_>) -> (Result<()>, String) {
    let folder = &shared.out.join(&run.place);
    let inputs = files::fingerprint(run.record, &shared.study, shared.in_files);
    if is_fresh(folder, &inputs) {
        return (Ok(()), inputs);
    }
    // Faces, too, are shown where there are not too many pages of them.
    let shown = shared.in_files && !run.record.predictions.is_empty();
    let album = shown.then(|| shared.albums.of(run.record));
    let beside = Files { album, ..files::read(run.record) };
    let drawn = trial::page(run, &beside, &shared.study, inputs.clone(), shared.in_files);
    let written = drawn.map_err(Error::file("cannot draw", folder)).and_then(|(page, figures)| {
        let in_files = figures.iter().filter(|it| it.in_files);
        let images: Vec<_> =
            in_files.map(|it| (it.name.as_str(), vec![it.chart.clone()])).collect();
        let finished = run.record.state == State::Finished;
        let card = finished.then(|| (files::CARD, card::text(run, &beside)));
        write_page(folder, page, &images, card.as_slice())
    });
    (written, inputs)
}

/// Writes the images and `texts` first: a page that is there vouches for them.
fn write_page(
    folder: &Path,
    page: Page,
    images: &[(&str, Vec<Chart>)],
    texts: &[(&str, String)],
) -> Result<()> {
    let files = images.iter().flat_map(|it| [(it, "png"), (it, "svg")]);
    let drawn: Vec<_> = files
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|((name, charts), ending)| {
            let name = format!("plots/{name}.{ending}");
            let path = folder.join(&name);
            let columns = if charts.len() > 4 { 4 } else { 2 };
            let drawn = match ending {
                "png" => png(charts, columns),
                _ => svg_file(charts, columns).map(String::into_bytes),
            };
            let drawn = drawn.map_err(Error::file("cannot draw", &path))?;
            write_file(&path, &drawn)?;
            Ok((name, of_bytes(&drawn)))
        })
        .collect::<Result<_>>()?;
    let page = page.render();
    let text = |name: &str, text: &str| (name.to_owned(), of_bytes(text.as_bytes()));
    let mut written: BTreeMap<String, Artifact> = drawn.into_iter().collect();
    for (name, it) in texts {
        write_file(&folder.join(name), it.as_bytes())?;
        written.extend([text(name, it)]);
    }
    written.extend([text(PAGE, &page)]);
    remember(folder, written)?;
    write_file(&folder.join(PAGE), page.as_bytes())
}

/// The name of the folder that holds `runs`.
fn study_name(runs: &Path) -> String {
    let whole = std::path::absolute(runs).ok();
    let parent = whole.as_deref().and_then(Path::parent).and_then(Path::file_name);
    parent.map_or_else(|| "Study".into(), |it| it.to_string_lossy().into_owned())
}
