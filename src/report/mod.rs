//! The report: a page of the study, a page of every run, and every figure as PNG too.
//!
//! `study` gathers and ranks, `comparison` judges which differences are real, by the methods of
//! [`ferrite_core::metrics::statistics`]. `figures` says what is drawn, `plot` draws, `index` and `trial` are the pages. A page
//! carries a fingerprint of what it was made from and is left alone while that holds.
//!
//! **Invariant:** every file is made from the records and the runs' own folders alone, and twice the
//! same from the same: no clock, no random number, no network.

pub mod audit;
mod curves;
mod evidence;
#[cfg(test)]
mod example;

mod faces;
mod figures;
mod files;
mod index;
mod page;
pub mod plot;
mod sections;
#[cfg(test)]
mod tests;
mod trial;
mod verdicts;
mod warnings;

use std::io;
use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::store::artifact::of_bytes;
use rayon::prelude::*;

use crate::report::files::{Fingerprint, PAGE, is_fresh, remember, write_file};
use crate::report::page::Page;
use crate::report::plot::{Chart, png};
use crate::study::Run;
use crate::study::judged::Judged;

/// Writes `index.html` and `plots/*.png` into `runs` and into the folder of each run of the study, and
/// gives back the study's page, which names damaged folders too. What is up to date is left
/// alone; a page that cannot be written does not keep the others from being written.
///
/// # Errors
/// [`Error::File`] for the first file that cannot be written.
pub(crate) fn write(judged: &Judged<'_, '_>, runs: &Path) -> Result<PathBuf> {
    let study = judged.study;
    let name = study_name(runs);
    let all: Vec<_> = study.runs().collect();
    let trials: Vec<_> = all.into_par_iter().map(|it| write_trial(it, &name)).collect();
    let mut whole = Fingerprint::new();
    whole.add(&name);
    for error in study.damaged {
        whole.add(&error.to_string());
    }
    for (run, (_, inputs)) in study.runs().zip(&trials) {
        whole.add(&run.place);
        whole.add(inputs);
    }
    let written = write_index(judged, runs, &name, whole.finish());
    trials.into_iter().try_for_each(|it| it.0)?;
    written
}

fn write_index(
    judged: &Judged<'_, '_>,
    runs: &Path,
    name: &str,
    inputs: String,
) -> Result<PathBuf> {
    let path = runs.join(PAGE);
    if is_fresh(runs, &inputs) {
        return Ok(path);
    }
    let (page, drawn) =
        index::page(judged, name, inputs).map_err(Error::file("cannot draw", &path))?;
    let mut images: Vec<(&str, Vec<Chart>)> =
        drawn.singles().map(|it| (it.name.as_str(), vec![it.chart.clone()])).collect();
    if !drawn.confusions.is_empty() {
        images.push(("confusion", drawn.confusions.iter().map(|it| it.1.chart.clone()).collect()));
    }
    write_page(runs, page, &images)?;
    Ok(path)
}

/// Writes the page of `run`, and says what it was made from even if it cannot be written.
fn write_trial(run: &Run<'_>, study: &str) -> (Result<()>, String) {
    let folder = &run.record.folder;
    let inputs = files::fingerprint(run.record, study);
    if is_fresh(folder, &inputs) {
        return (Ok(()), inputs);
    }
    let drawn = trial::page(run, &files::read(run.record), study, inputs.clone());
    let written = drawn.map_err(Error::file("cannot draw", folder)).and_then(|(page, figures)| {
        let images: Vec<_> =
            figures.iter().map(|it| (it.name.as_str(), vec![it.chart.clone()])).collect();
        write_page(folder, page, &images)
    });
    (written, inputs)
}

/// Writes the images first: a page that is there vouches for them.
fn write_page(folder: &Path, page: Page, images: &[(&str, Vec<Chart>)]) -> Result<()> {
    let drawn: Vec<_> = images
        .par_iter()
        .map(|(name, charts)| {
            let name = format!("plots/{name}.png");
            let path = folder.join(&name);
            let columns = if charts.len() > 4 { 4 } else { 2 };
            let drawn: io::Result<Vec<u8>> = png(charts, columns);
            let drawn = drawn.map_err(Error::file("cannot draw", &path))?;
            write_file(&path, &drawn)?;
            Ok((name, of_bytes(&drawn)))
        })
        .collect::<Result<_>>()?;
    let page = page.render();
    let written = drawn.into_iter().chain([(PAGE.to_owned(), of_bytes(page.as_bytes()))]);
    remember(folder, written.collect())?;
    write_file(&folder.join(PAGE), page.as_bytes())
}

/// The name of the folder that holds `runs`.
fn study_name(runs: &Path) -> String {
    let whole = std::path::absolute(runs).ok();
    let parent = whole.as_deref().and_then(Path::parent).and_then(Path::file_name);
    parent.map_or_else(|| "Study".into(), |it| it.to_string_lossy().into_owned())
}
