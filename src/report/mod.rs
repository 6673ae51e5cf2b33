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
mod folds;
mod gallery;
mod index;
mod origin;
mod page;
pub(crate) mod pair;
pub mod plot;
#[cfg(test)]
mod sample;
mod search;
mod sections;
#[cfg(test)]
mod tests;
mod trial;
mod verdicts;
mod warnings;

use std::collections::{BTreeMap, HashSet};
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
use crate::study::judged::Judged;
use crate::study::{Configuration, Run, Study};

/// In a study of more runs, single runs are told in numbers but for the best: nobody looks at ten thousand figures, and drawing
/// them takes longer than everything else.
const MOST_DRAWN: usize = 200;

/// So many runs of the best configurations have their figures all the same.
const BEST_DRAWN: usize = 24;

/// How much of a single run is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Figures, on its page and as files, its faces, and the card of its model.
    Whole,
    /// Figures on its page alone, and the card of its model.
    OnPage,
    /// Nothing: its page has tables.
    Numbers,
}

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

/// A report that is to be written.
pub(crate) struct Report<'r, 's, 'a> {
    judged: &'r Judged<'s, 'a>,
    shared: Shared<'r>,
    runs: Vec<RunPage<'s, 'a>>,
    /// A digest of all that it is made from.
    pub(crate) inputs: String,
}

/// The page of a run that is to be written.
struct RunPage<'s, 'a> {
    run: &'s Run<'a>,
    extent: Extent,
    /// A digest of all that it is made from.
    inputs: String,
}

/// What the pages of all runs share.
struct Shared<'p> {
    /// The name of the study.
    study: String,
    out: &'p Path,
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

impl<'r, 's, 'a> Report<'r, 's, 'a> {
    /// The report of `judged` that is to lie where `target` says.
    pub(crate) fn of(judged: &'r Judged<'s, 'a>, target: Target<'r>) -> Self {
        let study = judged.study;
        let shared = Shared {
            study: study_name(target.runs),
            out: target.out,
            is_live: target.is_live,
            albums: Albums::default(),
        };
        let page = |(run, extent): (&'s Run<'a>, Extent)| RunPage {
            run,
            extent,
            inputs: files::fingerprint(run.record, &shared.study, extent),
        };
        let runs: Vec<_> = extents(study, target.every_figure).into_par_iter().map(page).collect();
        let mut whole = Fingerprint::new();
        whole.add(&(&shared.study, shared.is_live));
        for error in study.damaged {
            whole.add(&error.to_string());
        }
        for RunPage { run, inputs, .. } in &runs {
            whole.add(&run.place);
            whole.add(inputs);
        }
        Self { judged, shared, runs, inputs: whole.finish() }
    }

    /// Writes `index.html` and `plots/*` of the study, and the same of each run, with the card of its model, below it. Names
    /// of damaged folders stand on the page too. What is up to date is left alone; a page that cannot be written does not
    /// keep the others from being written. Gives back the path of the study's page.
    ///
    /// # Errors
    /// [`Error::File`] for the first file that cannot be written.
    pub(crate) fn write(&self) -> Result<PathBuf> {
        let shared = &self.shared;
        let write = |it: &RunPage<'_, '_>| write_trial(it, shared);
        let (index, runs) = rayon::join(
            || write_index(self.judged, shared, self.inputs.clone()),
            || self.runs.par_iter().map(write).collect::<Vec<_>>(),
        );
        runs.into_iter().collect::<Result<()>>()?;
        index?;
        Ok(self.page())
    }

    /// The path of the study's page.
    pub(crate) fn page(&self) -> PathBuf {
        self.shared.out.join(PAGE)
    }
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

/// All runs of `study` in its order, and how much of each is drawn.
fn extents<'s, 'a>(study: &'s Study<'a>, every_figure: bool) -> Vec<(&'s Run<'a>, Extent)> {
    let few = every_figure || study.runs().count() <= MOST_DRAWN;
    let best = study.ranked().flat_map(Configuration::finished).flat_map(Run::trained);
    let best = best.take(BEST_DRAWN);
    let best: HashSet<&Path> = best.map(|it| it.place.as_path()).collect();
    let extent = |it: &Run<'_>| match (few, best.contains(it.place.as_path())) {
        (true, _) => Extent::Whole,
        (false, true) => Extent::OnPage,
        (false, false) => Extent::Numbers,
    };
    study.runs().map(|it| (it, extent(it))).collect()
}

fn write_trial(page: &RunPage<'_, '_>, shared: &Shared<'_>) -> Result<()> {
    let RunPage { run, extent, inputs } = page;
    let (extent, folder) = (*extent, &shared.out.join(&run.place));
    if is_fresh(folder, inputs) {
        return Ok(());
    }
    let shown = extent == Extent::Whole && !run.record.predictions.is_empty();
    let album = shown.then(|| shared.albums.of(run.record));
    let beside = Files { album, ..files::read(run.record) };
    let drawn = trial::page(run, &beside, &shared.study, inputs.clone(), extent);
    let (page, figures) = drawn.map_err(Error::file("cannot draw", folder))?;
    let in_files = figures.iter().filter(|it| it.in_files);
    let images: Vec<_> = in_files.map(|it| (it.name.as_str(), vec![it.chart.clone()])).collect();
    let has_card = run.record.state == State::Finished && extent != Extent::Numbers;
    let card = has_card.then(|| (files::CARD, card::text(run, &beside)));
    write_page(folder, page, &images, card.as_slice())
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
    remember(folder, &written)?;
    write_file(&folder.join(PAGE), page.as_bytes())
}

/// The name of the folder that holds `runs`.
fn study_name(runs: &Path) -> String {
    let whole = std::path::absolute(runs).ok();
    let parent = whole.as_deref().and_then(Path::parent).and_then(Path::file_name);
    parent.map_or_else(|| "Study".into(), |it| it.to_string_lossy().into_owned())
}
