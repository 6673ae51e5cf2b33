//! Which faces were found in the images of a run, and what was done with them.

use std::io;

use ferrite_core::digits::thousands;
use ferrite_core::event::faces::{ClassFaces, Faces, Histogram, SplitFaces};
use ferrite_core::event::split::SplitName;
use ferrite_core::store::record::Record;
use ferrite_core::warning;
use maud::{Markup, html};

use crate::format;
use crate::report::figures::{Figure, figure};
use crate::report::page;
use crate::report::page::prose;
use crate::report::plot::axis::Format;
use crate::report::plot::bars::{Bars, Group};
use crate::report::plot::{Chart, Style};
use crate::report::trial::Files;
use crate::study::Study;
use ferrite_core::digits::counted;

/// The sheets that a step leaves, with what they show.
pub(super) const SHEETS: [(&str, &str); 4] = [
    (
        "found",
        "Faces that were found, from all over the data. Above: the picture, with what was found drawn in. Below: the image that the network is fed with.",
    ),
    ("turned", "The faces that are turned most."),
    (
        "unsure",
        "The faces that the detector is least sure of: look here for what is no face, and for landmarks that are off.",
    ),
    ("missing", "Pictures in which no face was found."),
];

/// The splits in their order, with their names.
fn splits(faces: &Faces) -> Vec<(&str, &SplitFaces)> {
    let mut splits: Vec<_> = faces.splits.iter().map(|(name, it)| (name.as_str(), it)).collect();
    splits.sort_by_key(|(name, _)| SplitName::position(name));
    splits
}

/// How often faces were found in each class, how sure the detector was, and how far they were turned.
pub(super) fn figures(record: &Record) -> Vec<Figure> {
    let Some(faces) = &record.facts.faces else { return Vec::new() };
    let classes = record.facts.dataset.as_ref().map(|it| it.classes.as_slice()).unwrap_or_default();
    let splits = splits(faces);
    let class = |split: &SplitFaces, at: usize| split.classes.get(at).copied().unwrap_or_default();
    let rates = Bars {
        title: "Images with a face".into(),
        series: splits.iter().enumerate().map(|(at, it)| (it.0.to_owned(), Style(at))).collect(),
        groups: classes
            .iter()
            .enumerate()
            .map(|(at, label)| Group {
                label: label.clone(),
                values: splits.iter().map(|it| class(it.1, at).share()).collect(),
            })
            .collect(),
        format: Format::Percent,
    };
    let uneven = "Share of each class's images in which a face was found; where classes differ, so does what the \
                  network sees of them.";
    let rolls = Histogram::sum(splits.iter().map(|it| &it.1.rolls));
    let scores = Histogram::sum(splits.iter().map(|it| &it.1.scores));
    let mut figures = vec![figure("face-rates", Chart::Bars(rates), uneven)];
    if let Some(chart) = histogram("Turn of the eyes, in degrees clockwise", &rolls, 0) {
        let caption = "Share of the faces whose eyes are known; alignment turns them back to 0. Each bar is named by where it \
                       begins.";
        figures.push(figure("face-turns", chart, caption));
    }
    // Haar cascades count windows.
    let digits = if scores.to > 1.0 { 0 } else { 2 };
    if let Some(chart) = histogram("Score of the detector", &scores, digits) {
        let caption = "Share of the faces that were taken; each bar is named by where it begins.";
        figures.push(figure("face-scores", chart, caption));
    }
    figures
}

fn histogram(title: &str, it: &Histogram, digits: usize) -> Option<Chart> {
    let all: usize = it.counts.iter().sum();
    let width = (it.to - it.from) / it.counts.len().max(1) as f64;
    let group = |(at, count): (usize, &usize)| Group {
        label: format!("{:.digits$}", it.from + width * at as f64).replace("0.", "."),
        values: vec![*count as f64 / all as f64],
    };
    (all > 0).then(|| {
        Chart::Bars(Bars {
            title: title.into(),
            series: vec![("all splits".into(), Style(0))],
            groups: it.counts.iter().enumerate().map(group).collect(),
            format: Format::Percent,
        })
    })
}

/// What a run's page says of faces; none where none were looked for.
pub(super) fn section(
    record: &Record,
    files: &Files,
    drawn: &[Figure],
) -> io::Result<Option<Markup>> {
    let Some(faces) = &record.facts.faces else { return Ok(None) };
    let cards = drawn.iter().map(page::figure).collect::<io::Result<Vec<_>>>()?;
    let sheet = |(name, caption): (&str, &str)| {
        let png = files.faces.iter().find(|it| it.0 == name);
        png.map(|(_, png)| {
            html! { div .card .wide { (page::sheet(&format!("Faces, {name}"), png, width(png), caption)) } }
        })
    };
    Ok(Some(html! {
        div .cards { (card(record, faces)) @for it in SHEETS { @if let Some(it) = sheet(it) { (it) } } }
        div .figures { @for it in cards { (it) } }
    }))
}

/// A sheet of few pictures is not enlarged to the width of one of many: the width that a PNG says it has (its first chunk,
/// <https://www.w3.org/TR/png-3/#11IHDR>).
pub(super) fn width(png: &[u8]) -> Option<String> {
    let width = u32::from_be_bytes(png.get(16..20)?.try_into().ok()?);
    Some(format!("width:{width}px;min-width:min({width}px,480px)"))
}

fn card(record: &Record, faces: &Faces) -> Markup {
    let splits = splits(faces);
    let total = faces.all();
    let several: usize = splits.iter().map(|it| it.1.several).sum();
    let dropped = faces.dropped();
    let rolls = Histogram::sum(splits.iter().map(|it| &it.1.rolls));
    let classes = record.facts.dataset.as_ref().map(|it| it.classes.as_slice()).unwrap_or_default();
    let of = |it: ClassFaces| {
        html! { @if it.images > 0 {
            (format::small_percent(it.share())) " of " (thousands(it.images))
        } @else { (format::NOTHING) } }
    };
    let degrees = |it: f64| format!("{:.0}°", rolls.quantile(it).unwrap_or(f64::NAN));
    let without = total.images - total.found();
    html! {
        div .card .wide {
            h3 { "Faces" span .tag { (faces.detector) } }
            div .columns {
                dl {
                    dt { "Found in" } dd {
                        strong { (format::small_percent(total.share())) } " of " (counted(total.images, "image"))
                    }
                    dt { "Aligned" } dd { (thousands(total.aligned)) }
                    dt { "Cropped" } dd { (thousands(total.cropped)) }
                    dt { "Without a face" } dd {
                        (thousands(without))
                        @if dropped > 0 { ", left out" } @else if without > 0 { ", used whole" }
                    }
                    dt { "With several" } dd { (thousands(several)) }
                    @if rolls.counts.iter().any(|it| *it > 0) {
                        dt { "Turned by" } dd { "5 % below " (degrees(0.05)) ", median " (degrees(0.5)) ", 5 % above " (degrees(0.95)) }
                    }
                    dt { "Difference" } dd {
                        "from the whole pictures " (format!("{:.1}", faces.difference())) " of 255 gray levels on average"
                    }
                }
                (page::scroll("Images with a face, by class and split", html! { table .compact {
                    thead { tr { th { "Class" } @for it in &splits { th .num { (it.0) } } } }
                    tbody { @for (at, class) in classes.iter().enumerate() { tr {
                        th scope="row" { (class) }
                        @for it in &splits { td .num { (of(it.1.classes.get(at).copied().unwrap_or_default())) } }
                    } } }
                    tfoot { tr { th scope="row" { "all" } @for it in &splits { td .num { (of(it.1.all())) } } } }
                } }))
            }
            @for it in warning::faces(faces) { p .warning { (prose(&it.message)) } }
        }
    }
}

/// What the page of a study says of faces: a line for each configuration that looked for some.
pub(super) fn of_study(study: &Study<'_>) -> Option<Markup> {
    let rows: Vec<_> = study
        .configurations
        .iter()
        .filter_map(|it| {
            Some((it, it.runs.iter().find_map(|run| run.record.facts.faces.as_ref())?))
        })
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            div .card {
                h3 { "Faces" }
                (page::scroll("Faces that were found", html! { table .compact {
                    thead { tr {
                        th { "Configuration" } th { "Detector" } th .num { "Found" } th .num { "Aligned" }
                        th .num { "Cropped" } th .num { "Gray levels changed" }
                    } }
                    tbody { @for (configuration, faces) in rows {
                        @let total = faces.all();
                        tr {
                            th scope="row" { (configuration.label) }
                            td { (faces.detector) }
                            td .num { (format::small_percent(total.share())) }
                            td .num { (thousands(total.aligned)) } td .num { (thousands(total.cropped)) }
                            td .num { (format!("{:.1}", faces.difference())) }
                        }
                    } }
                } }))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::example::many;
    use crate::report::example::page;
    use crate::report::example::write_all;
    use crate::report::tests::in_study;

    #[test]
    fn faces_are_counted_and_shown_and_the_study_s_page_says_where_few_were_found() {
        in_study(|runs| {
            let mut records = many(runs, 2);
            let class = |images, aligned, cropped| ClassFaces { images, aligned, cropped };
            let split = |classes| SplitFaces {
                classes,
                several: 3,
                difference: 12.25,
                scores: Histogram::of([0.7, 0.95].into_iter(), [0.0, 1.0], 20),
                rolls: Histogram::of([-12.0, 3.0].into_iter(), [-45.0, 45.0], 18),
                ..SplitFaces::default()
            };
            let faces = |classes| Faces {
                key: "f".into(),
                detector: "YuNet".into(),
                splits: [("train".to_owned(), split(classes))].into(),
            };
            records[0].facts.faces = Some(faces(vec![class(80, 70, 5), class(20, 10, 10)]));
            records[1].facts.faces = Some(faces(vec![class(80, 0, 0), class(20, 0, 1)]));
            fs::create_dir_all(records[0].folder.join("plots")).unwrap();
            fs::write(records[0].folder.join("plots/faces-turned.png"), b"turned").unwrap();
            write_all(&records, &[], runs).unwrap();
            let found = page(&records[0]);
            let sheet = "data:image/png;base64,dHVybmVk";
            for it in
                [sheet, "95.0 %", "93.8 % of 80", "The faces that are turned most", "12.2 of 255"]
            {
                assert!(found.contains(it), "{it}");
            }
            assert!(records[0].folder.join("plots/face-rates.png").is_file());
            let warned = "YuNet found a face in 1 of 100 images (1.0 %)";
            assert!(page(&records[1]).contains(warned) && !found.contains("found a face in"));
            let study = fs::read_to_string(runs.join("index.html")).unwrap();
            assert!(study.contains(warned), "the first page is silent");
        });
    }
}
