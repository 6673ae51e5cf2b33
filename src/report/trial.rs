//! The page of one run: what it was told, what it really did, and how well.

use std::io;
use std::path::PathBuf;

use maud::{Markup, PreEscaped, html};

use crate::event::acts::Stop;
use crate::event::{Augmentation, Dataset, Epoch, Layer, Network, Noise, StageStart, Weights};
use crate::report::audit;
use crate::report::figures::{Figure, capital, trial_classes, trial_curves};
use crate::report::format::{self, counted};
use crate::report::metrics::{Confusion, calibration_error};
use crate::report::page::{Page, Section, class_table, figure, lead, prose, state, tile};
use crate::report::sections::data_card;
use crate::report::statistics::wilson;
use crate::report::study::{Run, majority};
use crate::report::techniques::{self, kept_weights};
use crate::report::warnings;
use crate::store::record::{Record, Stage, State};
use crate::warning;

/// What lies in a run's folder beside its record.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Files {
    /// `environment.json` by dotted key.
    pub(super) environment: Vec<(String, String)>,
    /// Sheets of augmented images as PNG, by stage.
    pub(super) sheets: Vec<(String, Vec<u8>)>,
}

/// The page of `run` and the figures on it; `study` is the name of the page above.
pub(super) fn page(
    run: &Run<'_>,
    files: &Files,
    study: &str,
    inputs: String,
) -> io::Result<(Page, Vec<Figure>)> {
    let record = run.record;
    let (curves, classes) = (trial_curves(record), trial_classes(run));
    let mut sections = Vec::new();
    let mut add = |id, title, body: Option<Markup>| {
        sections.extend(body.map(|body| Section { id, title, body }));
    };
    add("evidence", "What it did", evidence(record, files));
    add("curves", "Learning curves", learned(record, &curves)?);
    add("classes", "Classes", told_apart(run, &classes)?);
    add("data", "Data", record.facts.dataset.as_ref().map(data));
    add("settings", "Settings", Some(settings(record)));
    add("environment", "Environment", environment(record, files));
    let up: PathBuf = run.place.iter().map(|_| "..").collect();
    let up = format::link(&up.join("index.html"));
    let page = Page {
        title: format!("{} / {} · Ferrite", record.experiment, record.trial),
        home: Some((study.to_owned(), up)),
        inputs,
        plots: curves.iter().chain(&classes).map(|it| it.name.clone()).collect(),
        header: header(run),
        sections,
        footer: html! { p { "Began " (format::moment(record.began_ms)) "." } },
    };
    Ok((page, curves.into_iter().chain(classes).collect()))
}

fn learned(record: &Record, drawn: &[Figure]) -> io::Result<Option<Markup>> {
    if drawn.is_empty() {
        return Ok(None);
    }
    let cards = drawn.iter().map(figure).collect::<io::Result<Vec<_>>>()?;
    Ok(Some(html! { div .figures { @for it in cards { (it) } (epochs(record)) } }))
}

fn told_apart(run: &Run<'_>, drawn: &[Figure]) -> io::Result<Option<Markup>> {
    let (Some(confusion), [matrix, bars]) = (&run.confusion, drawn) else { return Ok(None) };
    Ok(Some(html! {
        div .figures {
            (figure(matrix)?)
            div .stack {
                (figure(bars)?)
                div .card {
                    h3 { "Per class, in percent" }
                    (class_table(&run.classes(confusion.counts.len()), confusion))
                }
            }
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
            td .num { (it.lr) } td .num { (format::duration(it.seconds)) }
        } }
    };
    html! {
        div .card .epochs {
            h3 { "Every epoch in numbers" }
            div .scroll tabindex="0" { table .compact {
                thead { tr {
                    th { "Stage" } th .num { "Epoch" } th .num { "Train loss" } th .num { "accuracy" }
                    th .num { "Valid loss" } th .num { "accuracy" } th .num { "Rate" }
                    th .num { "Time" }
                } }
                tbody { @for stage in stages { @for it in &stage.epochs {
                    (row(it, stage.kept().is_some_and(|kept| kept.epoch == it.epoch)))
                } } }
            } }
        }
    }
}

fn data(it: &Dataset) -> Markup {
    html! { div .cards {
        (data_card(it, prepared(it.reused)))
        @if let Some(card) = audit::card(it) { (card) }
    } }
}

fn prepared(reused: bool) -> &'static str {
    if reused { "prepared by an earlier run" } else { "prepared by this run" }
}

fn header(run: &Run<'_>) -> Markup {
    let record = run.record;
    html! {
        p .crumb { (record.experiment) }
        h1 id="top" { (record.trial) }
        p .states {
            (state(&record.state)) " "
            @if !run.seed.is_empty() { "seed " (run.seed) ", " }
            (counted(run.epochs(), "epoch")) " in " (format::duration(record.seconds))
        }
        @if let State::Failed(it) = &record.state {
            div .failures { article .failed { p { (prose(&it.message)) } @if !it.help.is_empty() { p .help { (prose(&it.help)) } } } }
        }
        @if let Some(it) = warnings::of_run(record) { (it) }
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
    let notes: Vec<_> = interval.into_iter().chain(viewed.or(guess)).collect();
    let balanced = run.confusion.as_ref().and_then(Confusion::balanced_accuracy);
    let kept = match (&run.record.state, run.epoch()) {
        (State::Finished, Some(it)) => format!("epoch {} of {}", it.epoch, it.stage),
        (_, Some(it)) => format!("so far: epoch {} of {}", it.epoch, it.stage),
        _ => String::new(),
    };
    let loss = run
        .test_loss()
        .map_or_else(String::new, |it| format!("{split} loss {}", format::score(it)));
    html! {
        div .tiles {
            @if let Some(it) = run.valid_accuracy().filter(|_| run.split() != Some("valid")) {
                (tile("Validation accuracy", share(it), &kept))
            }
            @if let Some(it) = run.test_accuracy() {
                (tile(&format!("{} accuracy", capital(split)), share(it), &notes.join(" · ")))
            }
            @if let Some(it) = audit::differs(run) {
                @let note = format!("{} images without a twin in train", format::count(it.images));
                (tile("Leak-free accuracy", share(it.accuracy), &note))
            }
            @if let Some(it) = run.macro_f1() { (tile("Macro-F1", share(it), &loss)) }
            @if let Some(it) = run.roc_auc() { (tile("ROC-AUC", share(it), "one class against the rest, mean")) }
            @if let Some(it) = balanced { (tile("Balanced accuracy", share(it), "mean recall")) }
            @if let Some(it) = calibration_error(&run.record.predictions) {
                (tile("Calibration error", share(it), "ECE, 10 bins"))
            }
        }
    }
}

fn evidence(record: &Record, files: &Files) -> Option<Markup> {
    let facts = &record.facts;
    let some = facts.weights.is_some() || !facts.stages.is_empty() || !facts.noise.is_empty();
    some.then(|| {
        html! {
            div .cards {
                @if let Some(it) = &facts.network { (network(it)) }
                @if let Some(it) = &facts.weights { (weights(it)) }
                @for it in &facts.noise { (noise(it)) }
                @for it in &facts.stages { (stage(record, it, sheet(files, &it.start.stage))) }
                @if let Some(it) = kept_weights(record) { (it) }
            }
        }
    })
}

fn network(it: &Network) -> Markup {
    let [channels, height, width] = it.feature_map;
    let part = |learns: usize, statistics: usize| {
        html! {
            (format::count(learns))
            @if statistics > 0 { " and " (format::count(statistics)) " running statistics" }
        }
    };
    html! {
        div .card {
            h3 { "Network" }
            dl {
                dt { "Backbone" } dd { code { (it.backbone) } " at " (it.image_size) " px" }
                dt { "Feature maps" } dd { (channels) " × " (height) " × " (width) }
                dt { "Parameters" } dd { strong { (format::count(it.total())) } }
                dt { "In the backbone" } dd { (part(it.backbone_parameters, it.backbone_statistics)) }
                dt { "In the head" } dd { (part(it.head_parameters, it.head_statistics)) }
            }
        }
    }
}

fn weights(it: &Weights) -> Markup {
    let names = |title: &str, all: &[String]| {
        html! { @if !all.is_empty() { dt { (title) } dd { details {
            summary { (counted(all.len(), "tensor")) }
            ul { @for it in all { li { code { (it) } } } }
        } } } }
    };
    html! {
        div .card {
            h3 { "First weights" }
            dl {
                dt { "From" } dd { code { (it.from) } }
                dt { "Loaded" } dd { (counted(it.loaded, "tensor")) }
                (names("Not in it, drawn at random", &it.missing))
                (names("Without a place here", &it.unexpected))
                @if it.missing.is_empty() && it.loaded > 0 { dt { "Missing" } dd { "nothing" } }
            }
        }
    }
}

fn noise(it: &Noise) -> Markup {
    let share = it.std / it.signal_std;
    html! {
        div .card {
            h3 { "Noise on the " (it.layer) }
            dl {
                dt { "Standard deviation" } dd { (format!("{:.3}", it.std)) }
                dt { "Of the signal" } dd { (format!("{:.3}", it.signal_std)) }
                dt { "Share" } dd { (format::small_percent(share)) }
            }
            @if let Some(it) = warning::noise(it) { p .warning { (prose(&it.message)) } }
        }
    }
}

fn stage(record: &Record, it: &Stage, sheet: Option<&[u8]>) -> Markup {
    let start = &it.start;
    let speed = it.epochs.last().map(|it| format!("{:.0} images/s", it.images_per_second));
    let mean: f64 = it.epochs.iter().map(|it| it.seconds).sum::<f64>() / it.epochs.len() as f64;
    html! {
        div .card .wide {
            h3 { "Stage " span .stage { (start.stage) } }
            div .columns {
                dl {
                    dt { "Ended" } dd { (ending(it)) }
                    dt { "Epochs" } dd {
                        (it.epochs.len()) " of " (start.epochs) " planned, "
                        (counted(start.steps_per_epoch, "step")) " each"
                        @if mean.is_finite() { ", " (format::duration(mean)) }
                        @if let Some(speed) = speed { ", " (speed) }
                    }
                    dt { "Trainable" } dd { (layers(&start.trainable)) }
                    @if let Some(keras) = start.keras_parameters {
                        dt { "In Keras" } dd { (format::count(keras)) " parameters of the backbone" }
                    }
                    dt { "Frozen" } dd { (layers(&start.frozen)) }
                    dt { "Frozen prefix" } dd { (prefix(start)) }
                    @if !it.features.is_empty() { dt { "Its output" } dd { (features(it)) } }
                    (techniques::rows(record, it))
                }
                @if let Some(augmentation) = &it.augmentation { (augmented(augmentation)) }
            }
            @if let Some(png) = sheet {
                figure .sheet {
                    img alt={ "Augmented images of stage " (start.stage) }
                        src={ "data:image/png;base64," (PreEscaped(format::base64(png))) };
                    figcaption { "First row: images as they are. Below: the same images as the network was fed with them, epoch by epoch." }
                }
            }
        }
    }
}

fn sheet<'a>(files: &'a Files, stage: &str) -> Option<&'a [u8]> {
    files.sheets.iter().find(|it| it.0 == stage).map(|it| it.1.as_slice())
}

fn ending(it: &Stage) -> Markup {
    let Some(end) = &it.end else { return html! { "not yet" } };
    html! {
        @match &end.why {
            Stop::Completed => { "all planned epochs were trained" }
            Stop::Early { monitor, patience, best, best_epoch, baseline, .. } => {
                "early: " code { (monitor) } " did not get better than " (format::score(*best))
                @if *best_epoch > 0 { " of epoch " (best_epoch) }
                " for " (counted(*patience, "epoch"))
                @if let Some(it) = baseline { ", with " (format::score(*it)) " to beat" }
            }
        }
        "; the weights of " strong { "epoch " (end.kept_epoch) } " went on"
    }
}

fn layers(all: &[Layer]) -> Markup {
    let total: usize = all.iter().map(|it| it.parameters).sum();
    html! {
        @if all.is_empty() { "nothing" } @else {
            details {
                summary { strong { (format::count(total)) } " parameters in " (counted(all.len(), "layer")) }
                div .scroll { table .compact { tbody { @for it in all { tr {
                    th scope="row" { code { (it.name) } }
                    td .num { (format::count(it.parameters)) }
                } } } } }
            }
        }
    }
}

fn prefix(start: &StageStart) -> Markup {
    let Some(until) = &start.prefix_until else {
        return html! { "none: every layer is in the graph" };
    };
    html! {
        "up to " code { (until) }
        @if start.prefix_cached { ", computed once per image and reused in every epoch" }
        @else { ", run without a graph in every step, since its input changes" }
    }
}

fn features(it: &Stage) -> Markup {
    html! { @for (at, it) in it.features.iter().enumerate() {
        @let shape = it.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
        @if at > 0 { br; }
        (it.split) ": " (counted(it.images, "image")) " of " (shape)
        @if it.reused { ", reused" } @else { ", " (format::duration(it.seconds)) }
    } }
}

fn augmented(it: &Augmentation) -> Markup {
    html! {
        div {
            dl .shares {
                @for (name, share) in &it.changed {
                    dt { (name) }
                    dd {
                        span .meter { i style={ "width:" (format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)) "%" } {} }
                        (format::small_percent(*share)) " of images"
                    }
                }
            }
            p .note {
                "Measured on the " (counted(it.images, "image")) " of the first epoch; on average a pixel moved by "
                (format!("{:.1}", it.mean_difference)) " of 255 gray levels."
            }
            @if let Some(it) = warning::augmentation(it) { p .warning { (prose(&it.message)) } }
        }
    }
}

fn settings(record: &Record) -> Markup {
    let text = toml::to_string_pretty(&record.settings).unwrap_or_else(|it| it.to_string());
    html! {
        (lead("The resolved settings, as in trial.toml: a run of that file repeats this run."))
        pre .toml { code { (text) } }
    }
}

fn environment(record: &Record, files: &Files) -> Option<Markup> {
    let start = record.facts.start.as_ref();
    (start.is_some() || !files.environment.is_empty()).then(|| {
        html! {
            div .card { dl {
                @if let Some(it) = start {
                    dt { "Ferrite" } dd { (it.ferrite) }
                    dt { "Device" } dd { (it.device) ", " (counted(it.threads, "thread")) }
                    dt { "Key" } dd { code { (it.key) } }
                    @if it.resumed { dt { "Resumed" } dd { "yes, from the last finished epoch" } }
                }
                @for (key, value) in &files.environment { dt { (key) } dd { (value) } }
            } }
        }
    })
}
