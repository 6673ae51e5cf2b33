//! The page of one run: what it was told, what it really did, and how well.

use std::io;
use std::path::PathBuf;

use ferrite_core::digits::thousands;
use ferrite_core::error::Result;
use ferrite_core::event::{Dataset, Epoch};
use ferrite_core::metrics::curves::BINS;
use ferrite_core::metrics::scores::{Confusion, calibration_error};
use ferrite_core::metrics::statistics::wilson;
use ferrite_core::store::explained::Explained;
use ferrite_core::store::record::{Record, State};
use ferrite_core::warning;
use maud::{Markup, html};

use crate::format;
use crate::report::audit;
use crate::report::card;
use crate::report::evidence::evidence;
use crate::report::explained;
use crate::report::faces;
use crate::report::figures::{
    Figure, split_name, trial_classes, trial_confusions, trial_curves, trial_thresholds,
};
use crate::report::gallery;
use crate::report::gallery::album::Opened;
use crate::report::origin;
use crate::report::page::{
    Page, Section, class_table, figure, figures, lead, prose, scroll, state, tile,
};
use crate::report::sections::data_card;
use crate::report::warnings;
use crate::report::{Extent, MOST_DRAWN};
use crate::study::splits::in_source;
use crate::study::{Run, majority};
use ferrite_core::digits::counted;

/// What lies in a run's folder beside its record.
#[derive(Default)]
pub(super) struct Files {
    /// `environment.json` by dotted key.
    pub(super) environment: Vec<(String, String)>,
    /// Sheets of augmented images as PNG, by stage.
    pub(super) sheets: Vec<(String, Vec<u8>)>,
    /// Sheets of faces as PNG, by what they show.
    pub(super) faces: Vec<(String, Vec<u8>)>,
    /// The images that it was judged by; none where nobody looked for them.
    pub(super) album: Option<Opened>,
    /// Where its network looks, as numbers and as a PNG, or what is wrong with these; none if nobody asked.
    pub(super) explained: Option<Result<(Explained, Vec<u8>)>>,
}

/// The page of `run` and the figures on it; `study` is the name of the page above.
pub(super) fn page(
    run: &Run<'_>,
    files: &Files,
    study: &str,
    inputs: String,
    extent: Extent,
) -> io::Result<(Page, Vec<Figure>)> {
    let record = run.record;
    let in_files = extent == Extent::Whole;
    let drawn = |all: &dyn Fn() -> Vec<Figure>| -> Vec<Figure> {
        let all = if extent == Extent::Numbers { Vec::new() } else { all() };
        all.into_iter().map(|it| Figure { in_files, ..it }).collect()
    };
    let (curves, classes) = (drawn(&|| trial_curves(record)), drawn(&|| trial_classes(run)));
    let thresholds = drawn(&|| trial_thresholds(run));
    let moments = drawn(&|| trial_confusions(run).into_iter().collect());
    let found = drawn(&|| faces::figures(record));
    let mut sections = Vec::new();
    let mut add = |id, title, body: Option<Markup>| {
        sections.extend(body.map(|body| Section { id, title, body }));
    };
    add("evidence", "What it did", evidence(record, files));
    add("faces", "Faces", faces::section(record, files, &found)?);
    add("curves", "Learning curves", learned(record, &curves)?);
    add("classes", "Classes", told_apart(run, &classes, &moments)?);
    add("thresholds", "Thresholds and confidence", thresholded(&thresholds)?);
    add("gallery", "Looking at faces", gallery::of_run(run, files.album.as_ref()));
    add("explained", "Where it looks", explained::section(record, files));
    add("data", "Data", record.facts.dataset.as_ref().map(|it| data(it, record)));
    add("card", "Model card", (extent != Extent::Numbers).then(|| card::section(run)).flatten());
    add("settings", "Settings", Some(settings(record)));
    add("environment", "Environment", environment(record, files));
    let all = || found.iter().chain(&curves).chain(&classes).chain(&moments).chain(&thresholds);
    let up: PathBuf = run.place.iter().map(|_| "..").collect();
    let up = format::link(&up.join("index.html"));
    let page = Page {
        title: format!("{} / {} · Ferrite", record.experiment, record.trial),
        home: Some((study.to_owned(), up)),
        inputs,
        plots: all().filter(|it| it.in_files).map(|it| it.name.clone()).collect(),
        header: header(run, extent),
        sections,
        footer: html! { p { "Figures, styles and numbers are all in this file, which needs no network." } },
    };
    let classes = classes.into_iter().chain(moments).chain(thresholds);
    Ok((page, found.into_iter().chain(curves).chain(classes).collect()))
}

fn learned(record: &Record, drawn: &[Figure]) -> io::Result<Option<Markup>> {
    if record.facts.stages.iter().all(|it| it.epochs.is_empty()) {
        return Ok(None);
    }
    let cards = drawn.iter().map(figure).collect::<io::Result<Vec<_>>>()?;
    Ok(Some(html! { div .figures { @for it in cards { (it) } (epochs(record)) } }))
}

fn thresholded(drawn: &[Figure]) -> io::Result<Option<Markup>> {
    Ok(if drawn.is_empty() { None } else { Some(figures(drawn)?) })
}

fn told_apart(run: &Run<'_>, drawn: &[Figure], moments: &[Figure]) -> io::Result<Option<Markup>> {
    let Some(confusion) = &run.confusion else { return Ok(None) };
    let names = run.classes(confusion.counts.len());
    let table = html! {
        div .card {
            h3 { "Per class, in percent" }
            (class_table("Per class, in percent", &names, confusion))
        }
    };
    let [matrix, bars] = drawn else { return Ok(Some(html! { div .figures { (table) } })) };
    Ok(Some(html! {
        div .figures {
            div .stack {
                (figure(matrix)?)
                @for it in moments { (figure(it)?) }
            }
            div .stack { (figure(bars)?) (table) }
        }
    }))
}

/// Every epoch in numbers; those whose weights were kept stand out.
fn epochs(record: &Record) -> Markup {
    let stages = &record.facts.stages;
    let row = |it: &Epoch, kept: bool| {
        html! { tr .kept[kept] {
            th scope="row" { (it.stage) } td .num { @if kept { span .tag { "kept" } " " } (it.epoch) }
            @for scores in [it.train, it.valid] {
                td .num { (format::score(scores.loss)) } td .num { (format::percent(scores.accuracy)) }
            }
            td .num { (format::rate(it.lr)) } td .num { (format::duration(it.seconds)) }
        } }
    };
    let table = html! {
        table .compact {
            thead { tr {
                th { "Stage" } th .num { "Epoch" } th .num { "Train loss" } th .num { "Train accuracy" }
                th .num { "Validation loss" } th .num { "Validation accuracy" } th .num { "Learning rate" }
                th .num { "Time" }
            } }
            tbody { @for stage in stages { @for it in &stage.epochs {
                (row(it, stage.kept().is_some_and(|kept| kept.epoch == it.epoch)))
            } } }
        }
    };
    html! {
        div .card .epochs {
            h3 { "Every epoch in numbers" }
            (scroll("Every epoch in numbers", table))
        }
    }
}

fn data(it: &Dataset, record: &Record) -> Markup {
    html! { div .cards {
        (data_card(it, &record.settings, prepared(it.reused)))
        @if let Some(card) = audit::card(it) { (card) }
    } }
}

fn prepared(reused: bool) -> &'static str {
    if reused { "prepared by an earlier run" } else { "prepared by this run" }
}

fn header(run: &Run<'_>, extent: Extent) -> Markup {
    let record = run.record;
    html! {
        p .crumb { (record.experiment) }
        h1 id="top" { (record.trial) }
        @if !record.about().is_empty() { p .about { (record.about()) } }
        p .states {
            (state(&record.state)) " "
            @if !run.seed.is_empty() { "seed " (run.seed) ", " }
            @if let Some([fold, of]) = run.fold() { "fold " (fold) " of " (of) ", " }
            (counted(run.epochs(), "epoch")) " in " (format::duration(record.seconds))
            @if let Some(it) = run.joules() { ", " (format::energy(it)) }
        }
        (origin::of_run(record))
        @if let State::Failed(it) = &record.state {
            div .failures { article .failed { p { (prose(&it.message)) } @if !it.help.is_empty() { p .help { (prose(&it.help)) } } } }
        }
        @if let Some(it) = warnings::of_run(record) { (it) }
        @if extent == Extent::Numbers {
            p .lead {
                "The study has more than " (MOST_DRAWN) " runs, so this one is told in numbers. Its figures, its faces and the card \
                of its model are drawn by " code { "ferrite report --select '" (record.name()) "' --out " "FOLDER" }
                ", and those of all runs by " code { "ferrite report --figures" } "."
            }
        }
        (tiles(run))
    }
}

fn tiles(run: &Run<'_>) -> Markup {
    let share = |it: f64| html! { (format::percent(it)) small { " %" } };
    let split = run.split().unwrap_or("test");
    let guess = majority(run.record).map(|it| format!("largest class: {} %", format::percent(it)));
    let counts = run.confusion.as_ref().map(|it| (it.right(), it.total()));
    let interval = counts.and_then(|(right, all)| wilson(right, all));
    let interval = interval.map(|it| format!("95 %: {}", format::interval(it)));
    let viewed = run.viewed().map(|it| {
        format!("{}, {} views; plain: {} %", it.name, it.count, format::percent(it.plain.accuracy))
    });
    let called =
        |split: &str| in_source(run.record, split).filter(|it| *it != split).map(str::to_owned);
    let notes: Vec<_> = called(split).into_iter().chain(interval).chain(viewed.or(guess)).collect();
    let defined = |it: Option<f64>| it.map_or_else(|| html! { (format::NOTHING) }, share);
    let fraction =
        |it: Option<f64>| html! { (it.map_or_else(|| format::NOTHING.into(), format::score)) };
    let auc = run.roc_auc();
    let auc_note = if auc.is_some() {
        "each class against the rest, averaged"
    } else {
        "undefined: it takes probabilities and images of two classes"
    };
    let balanced = run.confusion.as_ref().and_then(Confusion::balanced_accuracy);
    let kept = match (&run.record.state, run.epoch()) {
        (State::Finished, Some(it)) => format!("epoch {} of {}", it.epoch, it.stage),
        (_, Some(it)) => format!("so far: epoch {} of {}", it.epoch, it.stage),
        _ => String::new(),
    };
    let kept = called("valid").into_iter().chain(Some(kept).filter(|it| !it.is_empty()));
    let kept = kept.collect::<Vec<_>>().join(" · ");
    let loss = run
        .test_loss()
        .map_or_else(String::new, |it| format!("{split} loss {}", format::score(it)));
    html! {
        div .tiles {
            @if let Some(it) = run.valid_accuracy().filter(|_| run.split() != Some("valid")) {
                (tile("Validation accuracy", share(it), &kept))
            }
            @if let Some(it) = run.test_accuracy() {
                (tile(&format!("{} accuracy", split_name(split)), share(it), &notes.join(" · ")))
            }
            @if let Some(it) = audit::differs(run) {
                @let note = match (it.images, it.inherited) {
                    (0, _) => "no image is left that it was not trained on".to_owned(),
                    (images, 0) => format!("{} images without a twin in train", thousands(images)),
                    (images, _) => format!(
                        "{} images known neither to it nor to its first weights", thousands(images)
                    ),
                };
                @let note = if it.unknown { format!("{note}, as far as is known") } else { note };
                (tile("Leak-free accuracy", defined(it.accuracy), &note))
            }
            @if run.confusion.is_some() {
                (tile("Macro-F1", defined(run.macro_f1()), &loss))
                (tile("ROC AUC", fraction(auc), auc_note))
                (tile("Balanced accuracy", defined(balanced), "recall, averaged over classes"))
            }
            @if let Some(it) = calibration_error(&run.record.predictions) {
                (tile("Calibration error", share(it), &format!("ECE, {BINS} bins")))
            }
        }
    }
}

fn settings(record: &Record) -> Markup {
    let text = toml::to_string_pretty(&record.settings).unwrap_or_else(|it| it.to_string());
    html! {
        (lead("All settings with their defaults, as in this run's `trial.toml`: running that file repeats the run."))
        pre .toml role="region" aria-label="All settings" tabindex="0" { code { (text) } }
    }
}

fn environment(record: &Record, files: &Files) -> Option<Markup> {
    let start = record.facts.start.as_ref();
    (start.is_some() || !files.environment.is_empty()).then(|| {
        html! {
            div .card { dl {
                @if let Some(it) = start {
                    dt { "Ferrite" } dd { (it.ferrite) }
                    dt { "Device" } dd { (it.device) ", " (counted(it.threads, "thread")) ", " (it.precision) }
                    @if let Some(it) = warning::precision(it) { dd .warning { (prose(&it.message)) } }
                    dt { "Key" } dd { code { (it.key) } }
                    @if it.resumed { dt { "Resumed" } dd { "yes, from the last finished epoch" } }
                }
                @for (key, value) in &files.environment { dt { (key) } dd { (value) } }
            } }
        }
    })
}
