//! What two configurations make of each class, and what each is taken for.

use std::io;

use maud::{Markup, html};

use crate::format;
use crate::report::figures::figure;
use crate::report::page::{figure as drawn, lead, scroll, sort_value};
use crate::report::plot::Chart;
use crate::report::plot::forest::{Forest, ForestRow, Mark};
use crate::report::verdicts::verdict;
use crate::study::comparison::Verdict;
use crate::study::contrast::Matched;
use crate::study::contrast::classes::{Cell, ClassChange, Classes, RatioChange};

/// Precision, recall and F1 of each class under both.
pub(super) fn classes(it: &Classes, matched: Option<&Matched<'_, '_>>) -> io::Result<Markup> {
    let cells = |it: &RatioChange| {
        let value = |it: Option<f64>| {
            html! { td .num { (it.map_or(format::NOTHING.into(), format::percent)) } }
        };
        let difference = it.difference();
        html! {
            (value(it.values[0])) (value(it.values[1]))
            td .num data-v=[difference.map(sort_value)] {
                (difference.map_or(format::NOTHING.into(), format::points))
                @if let Some(it) = it.estimate {
                    div .interval { (format::points(it.interval[0])) " to " (format::points(it.interval[1])) }
                }
            }
        }
    };
    let row = |change: &ClassChange| {
        html! { tr {
            th scope="row" { bdi { (it.names[change.class]) } }
            (cells(&change.f1))
            td { @if let Some(it) = change.verdict { (verdict(it)) } }
            (cells(&change.recall)) (cells(&change.precision))
            td .num { (change.images) }
        } }
    };
    let seeds = matched.map_or(0, |it| it.comparison.seeds.len());
    let images = if seeds > 1 { format!("Images (× {seeds} seeds)") } else { "Images".into() };
    Ok(html! {
        (lead(if matched.is_some() {
            "The class whose F1 changed most comes first. In percent and percentage points, over the seeds and images that both \
             have; the verdict on the F1 is adjusted for all classes (Holm), the intervals are each for itself."
        } else {
            "The class whose F1 changed most comes first. In percent and percentage points, each side over its own seeds and \
             images; the number of images is that of A."
        }))
        @if let Some(chart) = forest(it) {
            div .wide-figure { (drawn(&figure("", chart, "F1 under B less F1 under A, with its 95 % interval over seeds and images, or over \
                images alone where there is one seed. An interval that crosses zero may be no difference."))?) }
        }
        (scroll("Scores of every class", html! { table .pair .sortable .compact {
            thead { tr {
                th scope="col" { "Class" }
                @for name in ["F1", "recall", "precision"] {
                    th .num scope="col" { (name) " A" } th .num scope="col" { (name) " B" } th .num scope="col" { (name) " B − A" }
                    @if name == "F1" { th scope="col" { "Verdict" } }
                }
                th .num scope="col" { (images) }
            } }
            tbody { @for it in &it.changes { (row(it)) } }
        } }))
    })
}

fn forest(it: &Classes) -> Option<Chart> {
    let row = |change: &ClassChange| {
        let estimate = change.f1.estimate?;
        let [low, high] = estimate.interval.map(format::points);
        Some(ForestRow {
            group: String::new(),
            label: it.names[change.class].clone(),
            value: estimate.mean,
            interval: estimate.interval,
            text: format!("{} [{low}, {high}]", format::points(estimate.mean)),
            mark: match change.verdict {
                Some(Verdict::Real) => Mark::Square,
                Some(Verdict::OneSeed) => Mark::Diamond,
                _ => Mark::Hollow,
            },
        })
    };
    let rows: Vec<_> = it.changes.iter().filter_map(row).collect();
    let (title, x) =
        ("How the F1 of each class changes".into(), "difference of F1 in percentage points".into());
    let chart = Chart::Forest(Forest { title, x, rows });
    it.changes.iter().any(|it| it.f1.estimate.is_some()).then_some(chart)
}

/// Where each class went, under B less under A.
pub(super) fn confusion(it: &Classes) -> Markup {
    let cells = it.cells();
    let most = cells.iter().map(|it| it.difference().abs()).fold(0.01, f64::max);
    let cell = |cell: &Cell| {
        let difference = cell.difference();
        let [a, b] = cell.shares.map(format::percent);
        let share = (difference.abs() / most * 34.0).round();
        let sign = if difference < 0.0 { "heat-down" } else { "heat-up" };
        let class =
            if cell.truth == cell.taken_for { format!("{sign} diagonal") } else { sign.into() };
        let style = format!("background:color-mix(in srgb,var(--heat-of) {share}%,transparent)");
        html! {
            td class=(class) style=(style) {
                (format::points(difference))
                div .interval { (a) " → " (b) }
            }
        }
    };
    html! {
        (lead("Of 100 images of the row's class, how many more or fewer B takes for the column's than A does, in percentage points; \
               below it the shares under A and B. More is better on the diagonal, which is the recall, and worse beside it."))
        p .key {
            span { i .heat-up {} "more under B" }
            span { i .heat-down {} "fewer under B" }
        }
        (scroll("Confusion matrix of B less that of A", html! { table .pair .change-matrix .compact {
            thead { tr {
                th scope="col" { "Class" }
                @for name in &it.names { th scope="col" { bdi { (name) } } }
            } }
            tbody { @for (truth, name) in it.names.iter().enumerate() { tr {
                th scope="row" { bdi { (name) } }
                @let row: Vec<_> = cells.iter().filter(|it| it.truth == truth).collect();
                @if row.is_empty() {
                    @for _ in &it.names { td { span .none title="no image of the class" { (format::NOTHING) } } }
                }
                @for it in row { (cell(it)) }
            } } }
        } }))
    }
}
