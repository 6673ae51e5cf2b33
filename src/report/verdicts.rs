//! The section "Which differences are real": one technique at a time, then the best with one another.

use std::io;

use maud::{Markup, html};

use crate::format;
use crate::report::figures::{Figure, figure};
use crate::report::page::{breakable, figure as card, lead, scroll, swatch};
use crate::report::plot::Chart;
use crate::report::plot::Style;
use crate::report::plot::forest::{Forest, ForestRow, Mark};
use crate::study::Configuration;
use crate::study::comparison::{Comparison, Comparisons, Verdict};
use crate::study::pairs::Change;
use ferrite_core::digits::counted;

/// Changed settings that are named before the rest is folded away.
const MOST_CHANGES: usize = 3;
/// Seeds that are told one by one.
const MOST_SEEDS: usize = 5;

/// The section; none if nothing can be compared.
pub(super) fn section(
    all: &Comparisons<'_, '_>,
    forest: Option<&Figure>,
) -> io::Result<Option<Markup>> {
    if all.effects.is_empty() && all.pairs.is_empty() {
        return Ok(None);
    }
    let forest = forest.map(card).transpose()?;
    Ok(Some(html! {
        (explanation(all))
        @if let Some(it) = forest { div .wide-figure { (it) } }
        @if let Some(it) = extending(all) { (it) }
        @if let Some(it) = effects(all) { (it) }
        @if !all.pairs.is_empty() { (matrix(all)) }
    }))
}

fn explanation(all: &Comparisons<'_, '_>) -> Markup {
    let every = || all.effects.iter().chain(&all.pairs);
    html! {
        p .lead {
            "Two configurations are compared on the same images under the same seeds. "
            (verdict(Verdict::Real)) " means: the 95 % interval of the difference leaves out zero and p, \
            adjusted by Holm's method for all comparisons of its kind (those in the figure, or those of the best with one another), is below 0.05, with seeds and images both \
            taken as drawn by chance. " (verdict(Verdict::NotShown)) " does not mean equal: it may be \
            chance, and more seeds may tell. "
            code { "ferrite diff A B --page" } " says where the difference between two of them comes from: settings, classes, images."
        }
        @if every().any(|it| it.seeds.len() == 1) {
            p .warning {
                "With a single seed only the images are taken as drawn by chance (bootstrap interval, McNemar's exact \
                test). Two runs of the very same settings differ as well, so one seed can show \
                that two networks differ, but not that their settings are the reason: use "
                code { "seeds = [0, 1, 2]" } " or more."
            }
        }
        @if every().any(|it| it.clustered) {
            p .lead {
                "By groups: images of one person or video were kept together, so whole groups and not single images are taken \
                as drawn by chance, in intervals and p values."
            }
        }
        @if every().any(|it| it.split() == Some("valid")) {
            p .warning {
                "There is no test split: the differences are those on the validation images, which chose \
                the epoch of every run and the ranking too, so they look better than on new images."
            }
        }
    }
}

/// Differences of one technique with their intervals, the largest first.
pub(super) fn forest(all: &Comparisons<'_, '_>) -> Option<Figure> {
    let mut rows: Vec<&Comparison<'_, '_>> = all.effects.iter().collect();
    rows.sort_by(|a, b| b.difference.mean.total_cmp(&a.difference.mean));
    let row = |it: &&Comparison<'_, '_>| ForestRow {
        group: it.technique.clone(),
        label: label(it),
        value: it.difference.mean,
        interval: it.difference.interval,
        text: said(it),
        mark: match it.verdict {
            Verdict::Real => Mark::Square,
            Verdict::OneSeed => Mark::Diamond,
            Verdict::NotShown | Verdict::Same => Mark::Hollow,
        },
    };
    let chart = Forest {
        title: "What one technique changes".into(),
        x: "difference of accuracy in percentage points".into(),
        rows: rows.iter().map(row).collect(),
    };
    let (seeds, images) = extent(&all.effects)?;
    let caption = format!(
        "Accuracy with the change less accuracy without it, and its 95 % interval, over {seeds} and \
         {images}; what varies by chance is the images and, where there are several, the seeds. An \
         interval that crosses zero may be no difference; a hollow mark beside zero may be the luckiest of \
         several comparisons (Holm)."
    );
    Some(figure("effects", Chart::Forest(chart), caption))
}

/// How many seeds and images the comparisons have.
fn extent(all: &[Comparison<'_, '_>]) -> Option<(String, String)> {
    let range = |of: fn(&Comparison<'_, '_>) -> usize, noun| {
        let (least, most) = (all.iter().map(of).min()?, all.iter().map(of).max()?);
        let most_said = counted(most, noun);
        Some(if least == most { most_said } else { format!("{least} to {most_said}") })
    };
    Some((range(|it| it.seeds.len(), "seed")?, range(|it| it.images, "image")?))
}

/// What is compared, in one line; without arrows, which the font of the PNGs lacks.
fn label(it: &Comparison<'_, '_>) -> String {
    if it.over == 1 && it.from.experiment() != it.to.experiment() {
        return format!("{} to {}", it.from.label, it.to.label);
    }
    let change =
        |it: &Change<'_>| format!("{} {} to {}", short(it.key), value(it.from), value(it.to));
    let all: Vec<_> = it.changes.iter().map(change).collect();
    match it.over {
        1 => format!("{}: {}", it.from.experiment(), all.join(", ")),
        pairs => format!("{}, mean of {pairs} pairs", all.join(", ")),
    }
}

fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn value(it: Option<&str>) -> &str {
    it.unwrap_or("not set")
}

/// Difference and interval in percentage points.
fn said(it: &Comparison<'_, '_>) -> String {
    let [low, high] = it.difference.interval.map(format::points);
    format!("{} [{low}, {high}]", format::points(it.difference.mean))
}

/// Each experiment beside the one that its file extends: the comparisons that its author had in mind.
fn extending(all: &Comparisons<'_, '_>) -> Option<Markup> {
    let rows: Vec<_> = all.effects.iter().filter(|it| it.extends).collect();
    (!rows.is_empty()).then(|| {
        html! {
            h3 .table-title { "Each experiment beside the one that it extends" }
            p .lead {
                "The first configuration is that of the experiment which the second one's file " code { "extends" }
                ". Accuracies and differences are in percent and percentage points, over the seeds that both have."
            }
            (effect_table("Each experiment beside the one that it extends", &rows))
        }
    })
}

/// All other pairs that differ in one technique.
fn effects(all: &Comparisons<'_, '_>) -> Option<Markup> {
    let rows: Vec<_> = all.effects.iter().filter(|it| !it.extends).collect();
    (!rows.is_empty()).then(|| {
        html! {
            h3 .table-title { "One technique at a time" }
            p .lead {
                "Pairs of configurations that differ in one technique, the plainer one first. Accuracies and \
                differences are in percent and percentage points, over the seeds that both have. Pairs that differ in the \
                very same way, as in a grid, are one row: its difference is their mean, and each seed of each pair counts \
                as one repetition."
                @if all.left_out > 0 {
                    " The pairs that rank highest on validation are shown; "
                    (counted(all.left_out, "more pair")) " are left out."
                }
            }
            (effect_table("One technique at a time", &rows))
        }
    })
}

fn effect_table(name: &str, rows: &[&Comparison<'_, '_>]) -> Markup {
    html! {
        (scroll(name, html! { table .sortable .effects {
            thead { tr {
                th { "Technique" } th { "Configurations" } th { "What differs" }
                th .num { "First" } th .num { "Second" } th .num { "Difference" }
                th .num { "p (Holm)" } th title="with the p value of McNemar's exact test" { "By seed, McNemar" } th { "Verdict" }
            } }
            tbody { @for it in rows { (effect_row(it)) } }
        } }))
    }
}

fn effect_row(it: &Comparison<'_, '_>) -> Markup {
    let [from, to] = it.accuracies;
    html! { tr {
        th scope="row" { (it.technique) }
        td .pair {
            (name(it.from)) (name(it.to))
            @if it.over > 1 { div .interval { "and " (counted(it.over - 1, "more pair")) " that differ in the same way" } }
        }
        td { (changes(&it.changes)) }
        td .num data-v=(from) { (format::percent(from)) }
        td .num data-v=(to) { (format::percent(to)) }
        (difference_cell(it))
        td .num data-v=(it.p) { (format::p_value(it.p)) }
        td { (by_seed(it)) }
        td { (verdict(it.verdict)) }
    } }
}

fn name(it: &Configuration<'_>) -> Markup {
    html! { div .label { (swatch(Style(it.position))) bdi { (breakable(&it.label)) } } }
}

fn changes(all: &[Change<'_>]) -> Markup {
    let line = |it: &Change<'_>| {
        html! {
            div .change { code { (breakable(it.key)) } " " (value(it.from)) " → " (value(it.to)) }
        }
    };
    html! {
        @for it in all.iter().take(MOST_CHANGES) { (line(it)) }
        @if all.len() > MOST_CHANGES {
            details {
                summary { "and " (all.len() - MOST_CHANGES) " more" }
                @for it in all.iter().skip(MOST_CHANGES) { (line(it)) }
            }
        }
    }
}

fn difference_cell(it: &Comparison<'_, '_>) -> Markup {
    let [low, high] = it.difference.interval.map(format::points);
    html! {
        td .num data-v=(it.difference.mean) {
            strong { (format::points(it.difference.mean)) }
            div .interval { (low) " to " (high) }
        }
    }
}

/// The difference under each seed, with the p value of McNemar's test of these two networks.
fn by_seed(it: &Comparison<'_, '_>) -> Markup {
    let sd = it.over_seeds().and_then(|it| it.sd);
    html! {
        div .by-seed { @for seed in it.seeds.iter().take(MOST_SEEDS) {
            span title={ "seed " (seed.seed) } { (format::points(seed.difference)) }
            span .interval { "p " (format::p_value(seed.mcnemar)) }
        } }
        div .interval {
            @if it.seeds.len() > MOST_SEEDS {
                "the first of " (it.seeds.len()) @if it.over > 1 { " paired trainings, " } @else { " seeds, " }
            }
            @if let Some(sd) = sd { "SD " (format::percent(sd)) ", " }
            (counted(it.images, "image")) @if it.clustered { ", by groups" }
        }
    }
}

/// The verdict as a coloured word with its sign.
pub(super) fn verdict(it: Verdict) -> Markup {
    let class = match it {
        Verdict::Real => "real",
        Verdict::OneSeed => "one-seed",
        Verdict::NotShown | Verdict::Same => "not-shown",
    };
    html! { span class={ "verdict " (class) } { (it.sign()) " " (it.words()) } }
}

/// The lead of the best configuration over the next one, in a sentence.
pub(super) fn lead_of_the_best(all: &Comparisons<'_, '_>) -> Option<Markup> {
    let it = all.pair(all.best.first()?, all.best.get(1)?)?;
    let [low, high] = it.difference.interval.map(format::points);
    Some(html! {
        p .states {
            "On " (counted(it.images, "image")) " of the " (it.judged_by().unwrap_or_else(|| "held-out".into())) " split and "
            (counted(it.seeds.len(), "seed")) " it differs by " (format::points(it.difference.mean))
            " points (95 % interval " (low) " to " (high) ") from the next, " bdi { (it.from.label) } ": "
            (verdict(it.verdict))
        }
    })
}

/// What the techniques do, in a sentence for each verdict.
pub(super) fn in_words(all: &Comparisons<'_, '_>) -> Option<Markup> {
    const MOST: usize = 6;
    let mut real: Vec<_> = all.effects.iter().filter(|it| it.verdict == Verdict::Real).collect();
    real.sort_by(|a, b| b.difference.mean.abs().total_cmp(&a.difference.mean.abs()));
    let named = |it: &&Comparison<'_, '_>| {
        let [low, high] = it.difference.interval.map(format::points);
        let mean = format::points(it.difference.mean);
        html! { strong { (it.technique) } " " (mean) " points (" (low) " to " (high) ", " bdi { (it.from.label) } " to " bdi { (it.to.label) } ")" }
    };
    // A technique is told once, under the strongest verdict that one of its comparisons has.
    let mut told: Vec<&str> = real.iter().map(|it| it.technique.as_str()).collect();
    let mut others = |verdict: Verdict| -> String {
        let mut said: Vec<&str> = Vec::new();
        for it in all.effects.iter().filter(|it| it.verdict == verdict) {
            if !told.contains(&it.technique.as_str()) {
                told.push(&it.technique);
                said.push(&it.technique);
            }
        }
        let more = said.len().saturating_sub(MOST);
        said.truncate(MOST);
        let more = if more > 0 {
            format!(" and {}", counted(more, "more technique"))
        } else {
            String::new()
        };
        said.join(", ") + &more
    };
    let one_seed = others(Verdict::OneSeed);
    let (not_shown, none) = (others(Verdict::NotShown), others(Verdict::Same));
    (!all.effects.is_empty()).then(|| {
        html! { p .in-words {
            @if real.is_empty() { "No technique has been shown to change the accuracy over several seeds. " } @else {
                "Shown to change the accuracy: "
                @for (at, it) in real.iter().take(MOST).enumerate() { @if at > 0 { "; " } (named(it)) }
                @if real.len() > MOST { "; and " (counted(real.len() - MOST, "more comparison")) }
                ". "
            }
            @if !one_seed.is_empty() {
                "Seen with one seed, where two networks differ and more seeds must tell whether their settings are the reason: "
                (one_seed) ". "
            }
            @if !not_shown.is_empty() { "Not shown: " (not_shown) ". " }
            @if !none.is_empty() { "Without any effect, not even on probabilities: " (none) ". " }
            a href="#real" { "Every comparison" }
        } }
    })
}

fn matrix(all: &Comparisons<'_, '_>) -> Markup {
    html! {
        h3 .table-title { "The best with one another" }
        (lead("Accuracy of the row less that of the column in percentage points, its 95 % interval, and the \
               verdict, with p adjusted for all pairs of this table. The order is that of the validation \
               accuracies, so numbers on test images may be negative."))
        (scroll("The best with one another", html! { table .pairs {
            thead { tr {
                td {} @for it in all.best.iter().skip(1) { th { (name(it)) } }
            } }
            tbody { @for (at, row) in all.best.iter().enumerate().take(all.best.len() - 1) { tr {
                th scope="row" { (name(row)) }
                @for (place, column) in all.best.iter().enumerate().skip(1) {
                    @if place <= at { td {} } @else { (pair_cell(all.pair(row, column))) }
                }
            } } }
        } }))
    }
}

fn pair_cell(it: Option<&Comparison<'_, '_>>) -> Markup {
    let Some(it) = it else {
        return html! { td { span .none title="no two seeds or images in common" { (format::NOTHING) } } };
    };
    let [low, high] = it.difference.interval.map(format::points);
    html! {
        td title={ "p = " (format::p_value(it.p)) ", " (counted(it.seeds.len(), "seed")) ", " (counted(it.images, "image")) } {
            strong { (format::points(it.difference.mean)) } " " (verdict(it.verdict))
            div .interval { (low) " to " (high) }
        }
    }
}
