//! Seeds and folds on the page of the study: where each stands, the score of every fold, and what they say together.

use ferrite_core::digits::{counted, thousands};
use ferrite_core::metrics::scores::Stat;
use ferrite_core::metrics::statistics::wilson;
use ferrite_core::store::record::State;
use maud::{Markup, html};

use crate::format;
use crate::report::page::{lead, scroll, sort_value, state, swatch};
use crate::report::plot::Style;
use crate::study::comparison::accuracy_interval;
use crate::study::{Configuration, Run, Study};

/// A link to each seed's page, in the colour of its state; for a cross-validation, to where its folds stand.
pub(super) fn seeds(it: &Configuration<'_>) -> Markup {
    let images = it.finished().map(|it| it.record.predictions.len()).max().filter(|it| *it > 0);
    html! {
        div .chips { @for run in &it.runs {
            @let name = run.record.state.word();
            @let seed = if run.seed.is_empty() { "run" } else { run.seed.as_str() };
            @let (link, trial) = if run.folds.is_empty() {
                (run.link(), run.record.trial.as_str())
            } else {
                ("#folds".to_owned(), "its folds")
            };
            a class={ "chip " (name) } href=(link) title={ "seed " (seed) ", " (name) ": " (trial) } {
                (seed) @if run.record.state != State::Finished { span .why { " " (name) } }
                @if let Some([done, of]) = run.folds_done() { span .why {
                    @if done == of { " " (of) " folds" } @else { ", " (done) " of " (of) " folds" }
                } }
            }
        } }
        @if let Some(n) = images { div .interval { "n = " (thousands(n)) } }
    }
}

/// The cross-validations of `study`, fold by fold; none where there is none.
pub(super) fn section(study: &Study<'_>) -> Option<Markup> {
    let all: Vec<_> = study
        .configurations
        .iter()
        .filter(|it| it.runs.iter().any(|it| !it.folds.is_empty()))
        .collect();
    let grouped = all.iter().any(|it| keeps_groups(it));
    (!all.is_empty()).then(|| {
        html! {
            (lead("Every image is tested once, by the network of its fold, which has not seen it. The pooled accuracy is the \
                   share of right answers over all images, and its interval goes by seeds and images; the leaderboard, \
                   comparisons, confusions and faces count these pooled answers. Mean ± standard deviation over folds is what \
                   papers report. It is no measure of how sure the mean is: folds share most of their training images, so \
                   their scores are not independent, and no formula can make up for it (Bengio and Grandvalet 2004)."))
            @if grouped {
                (lead("Where no group (a person, a video) is on two sides, intervals and comparisons of accuracies go by groups \
                       in place of images, since the images of one group are not independent. Intervals of single folds, and \
                       scores by class, still count each image by itself, and are too narrow for that."))
            }
            @for (at, it) in all.iter().enumerate() { (configuration(it, at == 0)) }
        }
    })
}

/// Whether no group of images is on two sides.
fn keeps_groups(it: &Configuration<'_>) -> bool {
    it.settings.get("data.split.groups").is_some_and(|it| it == "true")
}

fn configuration(it: &Configuration<'_>, open: bool) -> Markup {
    let interval = accuracy_interval(it).map(format::interval);
    html! {
        details open[open] {
            summary {
                (swatch(Style(it.position))) bdi { (it.label) }
                @if let Some(stat) = it.stat(Run::test_accuracy) {
                    @let (mean, sd) = format::percent_stat(&stat);
                    ": pooled " (mean) @if let Some(sd) = sd { " ± " (sd) " over " (counted(stat.n, "seed")) }
                    @if let Some(it) = interval { ", 95 % interval " (it) }
                }
            }
            @for run in it.runs.iter().filter(|it| !it.folds.is_empty()) { (repetition(run)) }
        }
    }
}

/// The folds of one seed.
fn repetition(run: &Run<'_>) -> Markup {
    let accuracies: Vec<f64> = run.folds.iter().filter_map(Run::test_accuracy).collect();
    let over_folds = Stat::of(&accuracies);
    let share = |it: Option<f64>| {
        html! { td .num data-v=[it.map(sort_value)] { (it.map_or(format::NOTHING.into(), format::percent)) } }
    };
    let row = |fold: &Run<'_>| {
        let counts = fold.confusion.as_ref().map(|it| (it.right(), it.total()));
        let interval = counts.and_then(|(right, all)| wilson(right, all));
        html! { tr {
            th scope="row" { a href=(fold.link()) { (fold.fold().map_or(0, |it| it[0])) } }
            td { (state(&fold.record.state)) }
            td .num { (counts.map_or(format::NOTHING.into(), |it| thousands(it.1 as usize))) }
            td .num data-v=[fold.test_accuracy().map(sort_value)] {
                (fold.test_accuracy().map_or(format::NOTHING.into(), format::percent))
                @if let Some(it) = interval { div .interval { (format::interval(it)) } }
            }
            (share(fold.macro_f1())) (share(fold.valid_accuracy()))
            td .num { (fold.epoch().map_or(format::NOTHING.into(), |it| it.epoch.to_string())) }
        } }
    };
    let title = format!("Folds of seed {}", run.seed);
    html! {
        p .lead {
            "Seed " (run.seed) ": "
            @match run.folds_done() {
                Some([done, of]) if done < of => { (done) " of " (of) " folds are finished, so there is no pooled score yet." }
                _ => {
                    @if let Some(it) = run.test_accuracy() { "pooled accuracy " strong { (format::percent(it)) " %" } }
                    @if let Some(it) = over_folds {
                        @let (mean, sd) = format::percent_stat(&it);
                        "; over folds " (mean) @if let Some(sd) = sd { " ± " (sd) } " %"
                    }
                }
            }
        }
        (scroll(&title, html! { table .sortable .compact {
            thead { tr {
                th { "Fold" } th { "State" } th .num { "Images" } th .num { "Accuracy" } th .num { "Macro-F1" }
                th .num { "Validation accuracy" } th .num { "Kept epoch" }
            } }
            tbody { @for it in &run.folds { (row(it)) } }
        } }))
    }
}
