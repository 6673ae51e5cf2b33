//! Sections of the study's page beside the scores: settings, data, failures, runs, environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ferrite_core::config::facts::Facts;
use ferrite_core::digits::thousands;
use ferrite_core::error::Error;
use ferrite_core::event::Dataset;
use ferrite_core::event::split::SplitName;
use ferrite_core::store::record::State;
use maud::{Markup, html};
use miette::Diagnostic;

use crate::format;
use crate::report::audit;
use crate::report::faces;
use crate::report::figures::{Figure, class_shares};
use crate::report::page::{breakable, figures as cards, lead, prose, sort_value, state, swatch};
use crate::report::plot::Style;
use crate::study::diff::{self, plain};
use crate::study::{Run, Study};
use ferrite_core::digits::counted;

/// How many configurations the table of differences has room for.
const MOST_COLUMNS: usize = 24;

/// Only the settings that differ, against the best configuration.
pub(super) fn differences(study: &Study<'_>) -> Option<Markup> {
    let all: Vec<_> = study.configurations.iter().filter(|it| it.comparable).collect();
    let rows = diff::differences(&all.iter().map(|it| &it.settings).collect::<Vec<_>>());
    let shown = &all[..all.len().min(MOST_COLUMNS)];
    (!rows.is_empty()).then(|| {
        html! {
            p .lead {
                "Settings that are not the same in all configurations; everything else is. The first \
                column is the baseline, and what departs from it is marked."
                @if all.len() > shown.len() {
                    " The first " (shown.len()) " of " (all.len()) " configurations."
                }
            }
            div .scroll { table .diff {
                thead { tr {
                    th { "Setting" }
                    @for it in shown {
                        th { div .label { (swatch(Style(it.position))) span { (breakable(&it.label)) } } }
                    }
                } }
                tbody { @for row in &rows { tr {
                    th scope="row" {
                        code { (breakable(&row.key)) }
                        @if let Some(unit) = &Facts::all().of(&row.key).unit { " " small { (unit) } }
                    }
                    @for value in &row.values[..shown.len()] {
                        @let other = *value != row.values[0];
                        td .same[!other] .other[other] .unset[value.is_none()] {
                            @match value {
                                Some(it) => { code { (plain(it)) } }
                                None => { span .none title="not set" { (format::NOTHING) } }
                            }
                        }
                    }
                } } }
            } }
        }
    })
}

/// A chart of the classes of each dataset.
pub(super) fn data_figures(study: &Study<'_>) -> Vec<Figure> {
    let figure = |(at, (it, _)): (usize, &(&Dataset, usize))| {
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

/// The datasets of the study with the number of runs on each, the most used first.
fn datasets<'a>(study: &Study<'a>) -> Vec<(&'a Dataset, usize)> {
    // One decoded source can be split and labelled in many ways.
    let mut found = BTreeMap::<_, (&Dataset, usize)>::new();
    for it in study.runs().filter_map(|it| it.record.facts.dataset.as_ref()) {
        found.entry((&it.key, &it.classes, &it.counts)).or_insert((it, 0)).1 += 1;
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.1));
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
        @for ((it, runs), figure) in all.into_iter().zip(cards) {
            div .figures.lopsided {
                (figure)
                div .stack {
                    (data_card(it, &counted(runs, "run")))
                    @if let Some(card) = audit::card(it) { (card) }
                }
            }
        }
    }))
}

/// Counts by class and split, size and brightness, and what was left out.
pub(super) fn data_card(it: &Dataset, note: &str) -> Markup {
    let mut splits: Vec<_> = it.counts.iter().collect();
    splits.sort_by_key(|(name, _)| SplitName::position(name));
    let [height, width, channels] = it.size;
    html! {
        div .card {
            h3 { "Data card" span .tag { (note) } }
            div .scroll { table .compact {
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
            } }
            dl {
                dt { "Images" } dd { (width) " × " (height) ", " (counted(channels, "channel")) }
                dt { "Training pixels" }
                dd { "mean " (format!("{:.1}", it.pixels.mean)) ", standard deviation "
                    (format!("{:.1}", it.pixels.std)) " of 255" }
                dt { "Left out" } dd { (skipped(&it.skipped)) }
            }
        }
    }
}

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
pub(super) fn failures(study: &Study<'_>) -> Option<Markup> {
    let open = |it: &&Run<'_>| !matches!(it.record.state, State::Finished | State::Running);
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
    let name = html! { a href=(run.link()) { (run.record.experiment) " / " (run.record.trial) } };
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
    let all: Vec<_> = study
        .configurations
        .iter()
        .flat_map(|it| it.runs.iter().map(move |run| (it, run)))
        .collect();
    let share = |it: Option<f64>| {
        html! {
            td .num data-v=[it.filter(|it| it.is_finite())] { (it.map_or(format::NOTHING.into(), format::percent)) }
        }
    };
    (!all.is_empty()).then(|| html! {
        details open[all.len() <= 12] {
            summary { (counted(all.len(), "run")) ", each with its page" }
            div .scroll { table .sortable .compact {
                thead { tr {
                    th { "Trial" } th { "State" } th .num { "Seed" } th .num { "Valid" }
                    th .num { "Held-out" } th .num { "Macro-F1" } th .num { "Epochs" }
                    th .num { "Time" } th { "Began" }
                } }
                tbody { @for (configuration, it) in all { tr {
                    th scope="row" { div .label {
                        (swatch(Style(configuration.position)))
                        a href=(it.link()) { (it.record.experiment) " / " (it.record.trial) }
                    } }
                    td { (state(&it.record.state)) }
                    td .num { (it.seed) }
                    (share(it.valid_accuracy())) (share(it.test_accuracy())) (share(it.macro_f1()))
                    td .num { (it.epochs()) }
                    td .num data-v=(sort_value(it.record.seconds)) { (format::duration(it.record.seconds)) }
                    td .when { (format::moment(it.record.began_ms)) }
                } } }
            } }
        }
    })
}

/// Where and when everything ran.
pub(super) fn footer(study: &Study<'_>) -> Markup {
    let line = |it: &Run<'_>| {
        let start = it.record.facts.start.as_ref()?;
        let threads = counted(start.threads, "thread");
        let (version, device, precision) = (&start.ferrite, &start.device, &start.precision);
        Some(format!("Ferrite {version} on {device}, {threads}, {precision}"))
    };
    let places: BTreeSet<_> = study.runs().filter_map(line).collect();
    let began: BTreeSet<_> = study.runs().map(|it| it.record.began_ms).collect();
    html! {
        p { (places.into_iter().collect::<Vec<_>>().join(" · ")) }
        @if let (Some(first), Some(last)) = (began.first(), began.last()) {
            p { "Runs began between " (format::moment(*first)) " and " (format::moment(*last)) "." }
        }
        p { "This page needs no network: figures, styles and numbers are all in this file." }
    }
}
