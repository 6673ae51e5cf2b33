//! Sections of the study's page beside the scores: settings, data, failures, runs, environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ferrite_core::digits::thousands;
use ferrite_core::error::Error;
use ferrite_core::event::Dataset;
use ferrite_core::event::split::SplitName;
use ferrite_core::store::record::{Record, State};
use maud::{Markup, html};
use miette::Diagnostic;
use toml::Table;

use crate::format;
use crate::report::MOST_DRAWN;
use crate::report::audit;
use crate::report::faces;
use crate::report::figures::{Figure, capital, class_shares};
use crate::report::origin;
use crate::report::page::{figures as cards, lead, prose, scroll, sort_value, state, swatch};
use crate::report::plot::Style;
use crate::study::{Run, Study};
use ferrite_core::digits::counted;

/// A chart of the classes of each dataset.
pub(super) fn data_figures(study: &Study<'_>) -> Vec<Figure> {
    let figure = |(at, Used { dataset: it, .. }): (usize, &Used<'_>)| {
        let mut splits: Vec<_> = it.counts.iter().map(|(name, it)| (&**name, &**it)).collect();
        splits.sort_by_key(|it| SplitName::position(it.0));
        let mut figure = class_shares(&it.classes, &splits);
        if at > 0 {
            figure.name = format!("{}-{}", figure.name, at + 1);
        }
        figure
    };
    datasets(study).iter().enumerate().map(figure).collect()
}

/// A data set that runs of the study use.
struct Used<'a> {
    dataset: &'a Dataset,
    /// The settings of one of these runs.
    settings: &'a Table,
    runs: usize,
    /// The fold that its splits are of, of those that there are.
    fold: Option<[usize; 2]>,
}

/// The datasets of the study, the most used first.
fn datasets<'a>(study: &Study<'a>) -> Vec<Used<'a>> {
    // One decoded source can be split and labelled in many ways. Of folds the first stands for all.
    let mut found = BTreeMap::<_, Used<'a>>::new();
    for run in study.configurations.iter().flat_map(|it| &it.runs) {
        let first = &run.trained()[0];
        let Record { facts, settings, .. } = first.record;
        let Some(dataset) = &facts.dataset else { continue };
        let new = Used { dataset, settings, runs: 0, fold: first.fold() };
        let key = (&dataset.key, &dataset.classes, &dataset.counts);
        found.entry(key).or_insert(new).runs += run.trained().len();
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.runs));
    all.truncate(4);
    all
}

/// What the networks were fed with.
pub(super) fn data(study: &Study<'_>, drawn: &[Figure]) -> io::Result<Option<Markup>> {
    let all = datasets(study);
    if all.is_empty() {
        return Ok(None);
    }
    let cards: Vec<_> =
        drawn.iter().map(|it| cards(std::slice::from_ref(it))).collect::<io::Result<_>>()?;
    Ok(Some(html! {
        @if let Some(card) = faces::of_study(study) { div .cards { (card) } }
        @for (Used { dataset: it, settings, runs, fold }, figure) in all.into_iter().zip(cards) {
            @let of = fold.map_or_else(String::new, |[fold, of]| format!("fold {fold} of {of}, "));
            div .figures.lopsided {
                (figure)
                div .stack {
                    (data_card(it, settings, &format!("{of}used by {}", counted(runs, "run"))))
                    @if let Some(card) = audit::card(it) { (card) }
                }
            }
        }
    }))
}

/// Where the images come from, counts by class and split, size and brightness, and what was left out.
pub(super) fn data_card(it: &Dataset, settings: &Table, note: &str) -> Markup {
    let mut splits: Vec<_> = it.counts.iter().collect();
    splits.sort_by_key(|(name, _)| SplitName::position(name));
    let [height, width, channels] = it.size;
    let counts = html! {
        table .compact {
            thead { tr { th { "Class" } @for (name, _) in &splits { th .num { (name) } } } }
            tbody { @for (at, class) in it.classes.iter().enumerate() { tr {
                th scope="row" { (class) }
                @for (_, counts) in &splits {
                    td .num { (counts.get(at).map_or(format::NOTHING.into(), |it| thousands(*it))) }
                }
            } } }
            tfoot { tr {
                th scope="row" { "all" }
                @for (_, counts) in &splits { td .num { (thousands(counts.iter().sum())) } }
            } }
        }
    };
    let key: String = it.key.chars().take(KEY).collect();
    html! {
        div .card {
            h3 { "Images" span .tag { (note) } }
            dl {
                (origin::rows(settings))
                dt { "Key" } dd { code { (key) } }
            }
            (scroll(&format!("Images by class and split, {note}, {key}"), counts))
            dl {
                dt { "Size" } dd { (width) " × " (height) " pixels, " (counted(channels, "channel")) }
                dt { "Training pixels" }
                dd { "mean " (format!("{:.1}", it.pixels.mean)) ", standard deviation "
                    (format!("{:.1}", it.pixels.std)) " of 255" }
                dt { "Left out" } dd { (skipped(&it.skipped)) }
            }
        }
    }
}

/// How many digits of a key are shown.
const KEY: usize = 12;

fn skipped(all: &[String]) -> Markup {
    const MOST: usize = 100;
    html! {
        @if all.is_empty() { "nothing" } @else {
            details {
                summary { (counted(all.len(), "row")) }
                ul { @for it in all.iter().take(MOST) { li { (it) } } }
                @if all.len() > MOST { p { "and " (counted(all.len() - MOST, "more row")) } }
            }
        }
    }
}

/// What did not come to an end, and what to do about it.
pub(super) fn failures(study: &Study<'_>, is_live: bool) -> Option<Markup> {
    let open = |it: &&Run<'_>| match it.record.state {
        State::Failed(_) => true,
        State::Interrupted => !is_live,
        State::Finished | State::Running | State::Stopped(_) => false,
    };
    let all: Vec<_> = study.runs().filter(open).collect();
    (!all.is_empty() || !study.damaged.is_empty()).then(|| {
        html! {
            (lead("The other runs are not affected. Failed runs are tried again by `ferrite retry`, \
                   interrupted ones go on with the next sweep."))
            div .failures {
                @for it in study.damaged { (damage(it)) }
                @for it in all { (failure(it)) }
            }
        }
    })
}

fn damage(error: &Error) -> Markup {
    html! {
        article .failed {
            h3 { span .state.failed { "damaged" } (prose(&error.to_string())) }
            @if let Some(help) = error.help() { p .help { (prose(&help.to_string())) } }
        }
    }
}

fn failure(run: &Run<'_>) -> Markup {
    let name = html! { a href=(run.link()) { bdi { (run.record.experiment) } " / " bdi { (run.record.trial) } } };
    match &run.record.state {
        State::Failed(it) => html! {
            article .failed {
                h3 { (state(&run.record.state)) (name) span .tag { "exit code " (it.exit_code) } }
                p { (prose(&it.message)) }
                @if !it.help.is_empty() { p .help { (prose(&it.help)) } }
            }
        },
        other => html! {
            article class=(other.word()) {
                h3 { (state(other)) (name) }
                p { "Stopped after " (counted(run.epochs(), "epoch")) "; the next sweep goes on from there." }
            }
        },
    }
}

/// Every run in one table.
pub(super) fn runs(study: &Study<'_>) -> Option<Markup> {
    let all: Vec<_> =
        study.configurations.iter().flat_map(|it| it.trained().map(move |run| (it, run))).collect();
    let empty = all.is_empty();
    let share = |it: Option<f64>| {
        html! {
            td .num data-v=[it.filter(|it| it.is_finite())] { (it.map_or(format::NOTHING.into(), format::percent)) }
        }
    };
    let count = counted(all.len(), "run");
    let (open, few_drawn) = (all.len() <= 12, all.len() > MOST_DRAWN);
    let (split, judged_by) = (study.split(), study.judged_by());
    let judged = format!("{} accuracy", judged_by.as_deref().map_or("Held-out".into(), capital));
    // What other images judge must not be taken for the score that the column is named after.
    let tested = |run: &Run<'_>| {
        let (own, accuracy) = (run.judged_by(), run.test_accuracy());
        let other = own.filter(|it| judged_by.as_ref() != Some(it) && accuracy.is_some());
        html! {
            td .num data-v=[accuracy.filter(|it| it.is_finite())] {
                (accuracy.map_or(format::NOTHING.into(), format::percent))
                @if let Some(it) = other { div { span .tag { (it) } } }
            }
        }
    };
    let table = html! {
        table .sortable .compact #all-runs {
            thead { tr {
                th { "Run" } th { "State" } th .num { "Seed" }
                @if split != Some("valid") { th .num { "Validation accuracy" } }
                th .num { (judged) } th .num { "Macro-F1" } th .num { "Epochs" }
                th .num { "Time" } th { "Began" }
            } }
            tbody { @for (configuration, it) in all { tr {
                th scope="row" { div .label {
                    (swatch(Style(configuration.position)))
                    a href=(it.link()) { bdi { (it.record.experiment) } " / " bdi { (it.record.trial) } }
                } }
                td { (state(&it.record.state)) }
                td .num { (it.seed) }
                @if split != Some("valid") { (share(it.valid_accuracy())) }
                (tested(it)) (share(it.macro_f1()))
                td .num { (it.epochs()) }
                td .num data-v=(sort_value(it.record.seconds)) { (format::duration(it.record.seconds)) }
                td .when { (format::moment(it.record.began_ms)) }
            } } }
        }
    };
    (!empty).then(|| {
        html! {
            details open[open] {
                summary { (count) ", each with its page; scores in percent" }
                @if few_drawn { (lead("With so many runs, figures are drawn for the best alone, and the others are told in numbers: \
                    `ferrite report --figures` draws all.")) }
                (scroll("All runs", table))
            }
        }
    })
}

/// Where everything ran.
pub(super) fn footer(study: &Study<'_>) -> Markup {
    let line = |it: &Run<'_>| {
        let start = it.record.facts.start.as_ref()?;
        let threads = counted(start.threads, "thread");
        let (version, device, precision) = (&start.ferrite, &start.device, &start.precision);
        Some(format!("Ferrite {version} on {device}, {threads}, {precision}"))
    };
    let places: BTreeSet<_> = study.runs().filter_map(line).collect();
    html! {
        p { (places.into_iter().collect::<Vec<_>>().join(" · ")) }
        p {
            "Figures, styles and numbers are all in this file, which needs no network. The pages of the runs and the PNGs are \
            files beside it: where their links should work, too, send a whole folder along, which "
            code { "ferrite report --out FOLDER" } " writes."
        }
    }
}
