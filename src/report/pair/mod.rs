//! The page of two configurations: settings, scores, curves, classes, confusions and images side by side.

mod classes;
mod curves;
mod environment;
mod images;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Component, Path, PathBuf};

use ferrite_core::digits::hex;
use ferrite_core::error::{Error, Result};
use ferrite_core::metrics::scores::Stat;
use maud::{Markup, html};
use sha2::{Digest, Sha256};

use crate::format;
use crate::report::figures::capital;
use crate::report::files::{OF_TWO, is_of_two, write_file};
use crate::report::page::{Page, Section, breakable, lead, scroll, swatch};
use crate::report::pair::classes::{classes, confusion};
use crate::report::pair::curves::curves;
use crate::report::pair::environment::environment;
use crate::report::pair::images::images;
use crate::report::plot::Style;
use crate::report::study_name;
use crate::report::verdicts::verdict;
use crate::study::Configuration;
use crate::study::contrast::Contrast;
use crate::study::contrast::scores::Score;
use crate::study::pairs::Departure;

/// Letters of a name in a file's name.
const LONGEST_NAME: usize = 80;

/// Where the page of two lies if nobody says.
pub(crate) fn default_path(it: &Contrast<'_, '_>, runs: &Path) -> PathBuf {
    let names = it.sides.map(|it| it.label.as_str());
    let safe = |name: &str| -> String {
        let plain = |it: char| it.is_ascii_alphanumeric() || "._".contains(it);
        let words = name.split(|it| !plain(it)).filter(|it| !it.is_empty());
        words.collect::<Vec<_>>().join("-").chars().take(LONGEST_NAME).collect()
    };
    let [a, b] = names.map(safe);
    // Names that are not safe may become the same.
    let digest = || hex(&Sha256::digest(format!("{names:?}"))[..4]);
    let end =
        if [&a, &b] == [names[0], names[1]] { String::new() } else { format!("-{}", digest()) };
    runs.join("report").join(format!("diff-{a}-{b}{end}.html"))
}

/// Writes the page to `path`, with links to the pages of the runs below `runs`.
///
/// # Errors
/// [`Error::Usage`] if something else lies there, [`Error::File`] if it cannot be drawn or written.
pub(crate) fn write(it: &Contrast<'_, '_>, runs: &Path, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() && !is_of_two(path) {
        return Err(Error::Usage {
            message: format!("`{}` is there, and is no page of `ferrite diff`", path.display()),
            help: "name another file behind `--page`, or move this one away first".into(),
        });
    }
    let links = Links::from(path, runs);
    let page = page(it, &study_name(runs), &links).map_err(Error::file("cannot draw", path))?;
    write_file(path, page.render().as_bytes())
}

/// The way from the folder of a page to the folder of runs.
struct Links(PathBuf);

impl Links {
    fn from(page: &Path, runs: &Path) -> Self {
        let whole = |it: &Path| std::path::absolute(it).unwrap_or_else(|_| it.to_owned());
        let (folder, runs) = (whole(page.parent().unwrap_or(Path::new(""))), whole(runs));
        let parts =
            |it: &Path| it.components().map(|it| it.as_os_str().to_owned()).collect::<Vec<_>>();
        let (from, to) = (parts(&folder), parts(&runs));
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let up = from[common..].iter().map(|_| Component::ParentDir.as_os_str().to_owned());
        Self(up.chain(to[common..].iter().cloned()).collect())
    }

    fn to(&self, below: &Path) -> String {
        format::link(&self.0.join(below))
    }
}

fn page(it: &Contrast<'_, '_>, study: &str, links: &Links) -> io::Result<Page> {
    let styles = styles(it.sides);
    let [a, b] = it.sides.map(|it| it.label.as_str());
    let mut sections = Vec::new();
    let mut add = |id, title, body: Option<Markup>| {
        sections.extend(body.map(|body| Section { id, title, body }));
    };
    let matched = it.matched.as_ref().ok();
    add("settings", "Settings", Some(settings(it, styles)));
    add("scores", "Scores", scores(it, styles));
    add("curves", "Learning curves", Some(curves(it, styles)?));
    add("classes", "Classes", it.classes.as_ref().map(|it| classes(it, matched)).transpose()?);
    add("confusion", "Confusion", it.classes.as_ref().map(confusion));
    add("images", "Images", matched.map(|matched| images(it, &matched.images)));
    add("environment", "Environment", Some(environment(it)));
    Ok(Page {
        title: format!("{a} and {b} · Ferrite"),
        home: Some((study.to_owned(), links.to(Path::new("index.html")))),
        inputs: OF_TWO.into(),
        plots: Vec::new(),
        header: header(it, styles, links),
        sections,
        footer: html! {
            p { "Made by " code { "ferrite diff" } ". A difference is that of B less A." }
            p { "This page needs no network: figures, styles and numbers are all in this file." }
        },
    })
}

/// The colours that the two have on the study's page; the second's next one where they would be the same.
fn styles(sides: [&Configuration<'_>; 2]) -> [Style; 2] {
    let [a, b] = sides.map(|it| Style(it.position));
    [a, if a.colour() == b.colour() { Style(b.0 + 1) } else { b }]
}

fn header(it: &Contrast<'_, '_>, styles: [Style; 2], links: &Links) -> Markup {
    let [a, b] = it.sides;
    html! {
        p .crumb { "Two configurations side by side" }
        h1 id="top" { bdi { (a.label) } " and " bdi { (b.label) } }
        p .winner {
            bdi { (it.in_words()) } " "
            @if let Ok(matched) = &it.matched { (verdict(matched.comparison.verdict)) }
        }
        @if let Ok(matched) = &it.matched { p .states { (matched.extent()) } }
        div .sides {
            @for (letter, (side, style)) in ["A", "B"].into_iter().zip(it.sides.into_iter().zip(styles)) {
                (card(letter, side, style, links))
            }
        }
    }
}

fn card(letter: &str, it: &Configuration<'_>, style: Style, links: &Links) -> Markup {
    html! {
        div .card {
            h2 { span .letter { (letter) } (swatch(style)) bdi { (breakable(&it.label)) } }
            @if !it.about().is_empty() { p .about { bdi { (it.about()) } } }
            div .chips { @for run in it.trained() {
                @let name = run.record.state.word();
                @let seed = if run.seed.is_empty() { "run" } else { run.seed.as_str() };
                a class={ "chip " (name) } href=(links.to(&run.place.join("index.html")))
                    title={ "seed " (seed) ", " (name) ": " (run.record.trial) } {
                        "seed " (seed) @if let Some([fold, _]) = run.fold() { ", fold " (fold) }
                    }
            } }
        }
    }
}

fn settings(it: &Contrast<'_, '_>, styles: [Style; 2]) -> Markup {
    if it.settings.is_empty() {
        return lead("All settings are the same but for the seed.");
    }
    let value = |it: Option<&str>| {
        html! { @match it {
            Some(it) => { td { code { bdi { (it) } } } }
            None => { td .unset { "not set" } }
        } }
    };
    let row = |it: &Departure<'_>| {
        html! { tr {
            th scope="row" { code { bdi { (breakable(&it.name())) } } @if let Some(unit) = &it.unit { " " small { (unit) } } }
            (value(it.change.from)) (value(it.change.to))
            td { (it.technique.as_deref().unwrap_or_default()) }
        } }
    };
    let [a, b] = it.sides;
    html! {
        (lead("Settings that are not the same on both sides; everything else is."))
        (scroll("Settings that differ", html! { table .pair .two .compact {
            thead { tr {
                th scope="col" { "Setting" }
                th scope="col" { "A " (swatch(styles[0])) bdi { (breakable(&a.label)) } }
                th scope="col" { "B " (swatch(styles[1])) bdi { (breakable(&b.label)) } }
                th scope="col" { "Technique" }
            } }
            tbody { @for it in &it.settings { (row(it)) } }
        } }))
    }
}

fn scores(it: &Contrast<'_, '_>, styles: [Style; 2]) -> Option<Markup> {
    let row = |score: &Score| {
        let write = |it: f64| if score.is_share { format::percent(it) } else { format::score(it) };
        let signed = |it: f64| if score.is_share { format::points(it) } else { format::signed(it) };
        let mean = |it: Option<Stat>| {
            html! { td .num { @match it {
                None => { span .none { (format::NOTHING) } }
                Some(it) => { (write(it.mean)) @if let Some(sd) = it.sd { span .sd { " ± " (write(sd)) } } }
            } } }
        };
        let difference = score.difference.as_ref();
        let estimate = difference.and_then(|it| it.estimate);
        let main = score.key == "accuracy";
        html! { tr {
            th scope="row" { (capital(score.name)) @if score.is_share { small { " %" } } }
            (mean(score.stats[0])) (mean(score.stats[1]))
            td .num { strong { (difference.map_or(format::NOTHING.into(), |it| signed(it.mean))) } }
            td .num { @if let Some(it) = estimate { (signed(it.interval[0])) " to " (signed(it.interval[1])) } }
            td .num { @if let Some(it) = estimate { (format::p_value(it.p)) } }
            td { @if estimate.is_some() { (difference.map_or("", |it| it.over.words())) } }
            td { @if let (true, Ok(matched)) = (main, &it.matched) { (verdict(matched.comparison.verdict)) } }
        } }
    };
    (!it.scores.is_empty()).then(|| html! {
        (lead("Mean ± standard deviation over the seeds of each side; differences over the seeds that both have. The intervals \
               of accuracy and macro F1 take seeds and images as drawn by chance (images alone where there is one seed), the \
               others seeds alone, so with one seed they have none. p is that of each row by itself; only the \
               accuracy is judged, with p as the sentence at the top gives it."))
        @if let Some(over) = it.over() { (lead(&over)) }
        (scroll("Scores of both", html! { table .pair .compact {
            thead { tr {
                th scope="col" { "Score" }
                @for (letter, style) in ["A", "B"].into_iter().zip(styles) {
                    th .num scope="col" { (letter) " " (swatch(style)) }
                }
                th .num scope="col" { "B − A" } th .num scope="col" { "95 % interval" } th .num scope="col" { "p" }
                th scope="col" { "Drawn by chance" } th scope="col" { "Verdict" }
            } }
            tbody { @for it in &it.scores { (row(it)) } }
        } }))
    })
}
