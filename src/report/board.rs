//! The table that the study's page begins with: every configuration with its scores, held against a baseline.

use ferrite_core::config::facts::Facts;
use ferrite_core::digits::counted;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::metrics::statistics::crossed::Estimate;
use maud::{Markup, html};
use rayon::prelude::*;
use serde_json::json;

use crate::format;
use crate::report::audit;
use crate::report::folds;
use crate::report::page::{
    self, mean_cell, scroll, share_cell, sort_value, swatch, tagged_share_cell,
};
use crate::report::plot::Style;
use crate::study::baseline::baseline;
use crate::study::comparison::{accuracy_interval, beside};
use crate::study::{Configuration, Run, Study};
use ferrite_core::config::flat::{self, plain, short_names};

/// How many configurations can each be chosen as the baseline with an interval for every difference; behind these the page
/// knows differences of means only.
const MOST_BESIDE: usize = 24;

/// The split that judges where there is no other.
pub(super) const VALID: &str = "valid";

/// A study's configurations as the table shows them.
pub(super) struct Board<'s, 'a> {
    study: &'s Study<'a>,
    baseline: Option<&'s Configuration<'a>>,
    /// The configurations that can be held against each other.
    comparable: Vec<&'s Configuration<'a>>,
    /// The settings that differ between these, and a short name for each.
    differing: Vec<(flat::Row, String)>,
}

/// A column of scores: its heading, its score, and whether an interval of the accuracy stands below.
struct Column<'a> {
    head: String,
    score: fn(&Run<'a>) -> Option<f64>,
    cell: Cell,
}

/// The name of a setting, its value in the baseline, and another.
type Changed<'a> = (&'a str, &'a str, &'a str);

/// How a score is written.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    /// In percent, with the interval of the accuracy.
    Judged,
    /// In percent.
    Share,
    /// As a fraction of 1.
    Fraction,
}

impl<'s, 'a> Board<'s, 'a> {
    pub(super) fn new(study: &'s Study<'a>) -> Self {
        let comparable: Vec<_> = study.configurations.iter().filter(|it| it.comparable).collect();
        let rows = flat::differences(&comparable.iter().map(|it| &it.settings).collect::<Vec<_>>());
        let names = short_names(&rows.iter().map(|it| it.key.clone()).collect::<Vec<_>>());
        let differing = rows.into_iter().zip(names).collect();
        Self { study, baseline: baseline(study), comparable, differing }
    }

    pub(super) fn markup(&self) -> Markup {
        let columns = self.columns();
        let best: Vec<f64> = columns.iter().map(|it| best_of(self.study, it.score)).collect();
        let held_out = self.held_out();
        let tells_energy = self.study.runs().any(|it| it.joules().is_some());
        let has_leaks = self.study.runs().any(|it| leak_free(it).is_some());
        html! {
            (self.lead())
            (scroll("Leaderboard", html! {
                table #board .sortable .board {
                    thead { tr {
                        th .num { "#" } th .name { "Configuration" }
                        @if let Some(first) = columns.first() { th .num { (first.head) } }
                        @if self.baseline.is_some() { th .num { "Difference from baseline" } }
                        @for it in columns.iter().skip(1) { th .num { (it.head) } }
                        @if has_leaks { th .num { (held_out) " accuracy, leak-free" } }
                        th { "Seeds" } th .num { "Kept epoch" } th .num { "Parameters" } th .num { "Time" }
                        @if tells_energy { th .num { "Energy" } }
                        th .num { (held_out) " loss" }
                    } }
                    tbody { @for it in &self.study.configurations {
                        tr .unranked[it.rank.is_none()] data-at=(it.position) {
                            (rank(it)) (name(it))
                            @for (at, (column, best)) in columns.iter().zip(&best).enumerate() {
                                (self.score(it, column, *best))
                                @if at == 0 && self.baseline.is_some() { (self.difference(it)) }
                            }
                            @if has_leaks { (share_cell(it.stat(leak_free), "", None)) }
                            td .seeds data-v=(it.runs.len()) { (folds::seeds(it)) }
                            (kept(it)) (parameters(it))
                            (mean_cell(it.stat(|it| Some(it.record.seconds)), format::duration))
                            @if tells_energy { (mean_cell(it.stat(Run::joules), format::energy)) }
                            (loss(it))
                        }
                    } }
                }
            }))
            (self.data())
        }
    }

    /// The split that judges, with the name that it has in its source.
    fn held_out(&self) -> String {
        super::figures::capital(&self.study.judged_by().unwrap_or_else(|| "held-out".into()))
    }

    fn columns(&self) -> Vec<Column<'a>> {
        let column = |head: String, score, cell| Column { head, score, cell };
        let judged =
            column(format!("{} accuracy", self.held_out()), Run::test_accuracy, Cell::Judged);
        let valid = column("Validation accuracy".into(), Run::valid_accuracy, Cell::Share);
        let others = [
            column("Macro-F1".into(), Run::macro_f1, Cell::Share),
            column("ROC AUC".into(), Run::roc_auc, Cell::Fraction),
        ];
        // Without a test split both would be the same number.
        let valid = (self.study.split() != Some(VALID)).then_some(valid);
        std::iter::once(judged).chain(valid).chain(others).collect()
    }

    fn lead(&self) -> Markup {
        let split = self.study.split();
        html! {
            p .lead {
                "Ranked by the mean validation accuracy of the kept epoch"
                @if split != Some(VALID) { ", so that the test images choose nothing" }
                ". Scores are the mean ± sample standard deviation over the seeds, in percent; the best of a column is bold. \
                Below the accuracy is its 95 % interval: over seeds and images, or over images only where there is one seed."
                @if let Some(it) = self.baseline {
                    " The baseline is " strong .baseline { (it.label) } ": differences are in percentage points, paired by seed \
                    and image, with their 95 % interval, which is not adjusted for how many are looked at."
                }
                @if self.study.configurations.iter().any(|it| !it.comparable) {
                    " A configuration that is judged on other images has no rank."
                }
            }
        }
    }

    fn difference(&self, it: &Configuration<'a>) -> Markup {
        let Some(baseline) = self.baseline else { return html! { td {} } };
        if it.position == baseline.position {
            return html! { td .num .delta data-v="0" { span .none { "baseline" } } };
        }
        let Some(Estimate { mean, interval: [low, high], .. }) = beside(baseline, it) else {
            return html! { td .num .delta { span .none { (format::NOTHING) } } };
        };
        html! {
            td .num .delta data-v=(sort_value(mean)) {
                (format::points(mean))
                div .interval { (format::points(low)) " to " (format::points(high)) }
            }
        }
    }

    fn score(&self, it: &Configuration<'a>, column: &Column<'a>, best: f64) -> Markup {
        let stat = it.stat(column.score);
        let class = if stat.is_some_and(|it| it.mean == best) { "best" } else { "" };
        match column.cell {
            Cell::Judged => {
                // What other images judge must not be taken for the score that the column is named after.
                let own = it.runs.iter().find_map(Run::judged_by);
                let other = own.filter(|own| self.study.judged_by().as_ref() != Some(own));
                tagged_share_cell(stat, class, accuracy_interval(it), other.as_deref())
            }
            Cell::Share => share_cell(stat, class, None),
            Cell::Fraction => fraction_cell(stat, class),
        }
    }

    /// What the script needs to hold all against another baseline.
    fn data(&self) -> Markup {
        let keys = self.differing.iter().map(
            |(it, name)| json!({ "key": it.key, "name": name, "technique": technique(&it.key) }),
        );
        let shown: Vec<_> = self.comparable.iter().take(MOST_BESIDE).copied().collect();
        let row = |from: &&Configuration<'a>| -> Vec<_> {
            let estimate = |to: &&Configuration<'a>| {
                let it = beside(from, to).filter(|_| from.position != to.position)?;
                Some([it.mean, it.interval[0], it.interval[1]].map(|it| (it * 1e5).round() / 1e5))
            };
            shown.iter().map(estimate).collect()
        };
        let beside: Vec<_> = shown.par_iter().map(row).collect();
        let configurations = self.comparable.iter().enumerate().map(|(at, it)| {
            let values: Vec<_> =
                self.differing.iter().map(|it| it.0.values[at].as_deref().map(plain)).collect();
            let accuracy = it.stat(Run::test_accuracy).map(|it| it.mean);
            json!({ "at": it.position, "label": it.label, "accuracy": accuracy, "values": values })
        });
        let data = json!({
            "baseline": self.baseline.map(|it| it.position),
            "keys": keys.collect::<Vec<_>>(),
            "configurations": configurations.collect::<Vec<_>>(),
            "beside": beside,
        });
        page::data("board-data", &data)
    }

    /// Settings that are not those of the baseline, configuration by configuration.
    pub(super) fn differences(&self) -> Option<Markup> {
        let (baseline, all) = (self.baseline?, &self.comparable);
        let at = all.iter().position(|it| it.position == baseline.position)?;
        let settings = self.differing.len();
        (settings > 0).then(|| html! {
            p .lead {
                "What each configuration sets otherwise than the baseline, " strong .baseline { (baseline.label) }
                ", by technique; everything else is the same. "
                (counted(settings, "setting")) " of " (counted(all.len(), "configuration"))
                @if settings == 1 { " differs." } @else { " differ." }
            }
            (scroll("What differs", html! { table .differences {
                thead { tr { th { "Configuration" } th { "Settings that are not those of the baseline" } } }
                tbody { @for (place, it) in all.iter().enumerate() {
                    tr data-at=(it.position) {
                        th scope="row" { div .label { (swatch(Style(it.position))) bdi { (it.label) } } }
                        td { @if place == at { span .none { "baseline" } } @else {
                            @for (technique, changes) in self.changes(at, place) {
                                div .change-group { span .technique { (technique) } @for (name, from, to) in changes {
                                    span .change { code { (name) } " " (from) " → " strong { (to) } }
                                } }
                            }
                        } }
                    }
                } }
            } }))
        })
    }

    /// What the second of two comparable configurations sets otherwise than the first, by technique. A setting of a stage that
    /// one of them does not have is told by the list of stages alone.
    fn changes(&self, from: usize, to: usize) -> Vec<(String, Vec<Changed<'_>>)> {
        let rows = || self.differing.iter().map(|it| &it.0);
        let stages = |it: usize| {
            let all = rows().find(|it| it.key == "stages")?.values[it].as_deref()?;
            Some(all.split(", ").collect::<Vec<_>>())
        };
        let lists = [stages(from), stages(to)];
        let alone = |key: &str| {
            let stage = key.strip_prefix("stages.").and_then(|it| it.split('.').next());
            stage.is_some_and(|stage| lists.iter().flatten().any(|it| !it.contains(&stage)))
        };
        let mut groups: Vec<(String, Vec<Changed<'_>>)> = Vec::new();
        for (row, name) in &self.differing {
            if row.values[from] == row.values[to] || alone(&row.key) {
                continue;
            }
            let value = |it: usize| row.values[it].as_deref().map_or("not set", plain);
            let (technique, change) =
                (technique(&row.key), (name.as_str(), value(from), value(to)));
            match groups.iter_mut().find(|it| it.0 == technique) {
                Some(group) => group.1.push(change),
                None => groups.push((technique, vec![change])),
            }
        }
        groups
    }
}

/// What a setting is told under: the group of techniques that it belongs to, its technique, or its table.
pub(super) fn technique(key: &str) -> String {
    let setting = Facts::all().of(key);
    let belongs = setting.group.as_ref().or(setting.technique.as_ref()).map(|it| it.name.clone());
    belongs.unwrap_or_else(|| key.split('.').next().unwrap_or(key).to_owned())
}

/// Accuracy without leaked images, where there are any.
fn leak_free(run: &Run<'_>) -> Option<f64> {
    audit::differs(run)?.accuracy
}

/// The highest mean on the board.
fn best_of<'a>(study: &Study<'a>, score: fn(&Run<'a>) -> Option<f64>) -> f64 {
    let means = study.ranked().filter_map(|it| it.stat(score)).map(|it| it.mean);
    means.filter(|it| it.is_finite()).fold(f64::MIN, f64::max)
}

fn rank(it: &Configuration<'_>) -> Markup {
    html! {
        td .num .rank data-v=(it.rank.map_or_else(String::new, |it| it.to_string())) {
            (it.place().unwrap_or_else(|| format::NOTHING.into()))
        }
    }
}

fn name(it: &Configuration<'_>) -> Markup {
    html! {
        th .name scope="row" {
            div .label {
                (swatch(Style(it.position))) bdi { (it.label) }
                @if !it.comparable { span .tag { "other images" } }
                @if let Some(it) = views(it) {
                    span .tag title="probabilities averaged over views of each image" { (it) }
                }
            }
            @if !it.about().is_empty() { div .about { (it.about()) } }
        }
    }
}

fn loss(it: &Configuration<'_>) -> Markup {
    let loss = it.stat(Run::test_loss).map(|it| it.mean);
    html! {
        td .num data-v=[loss.map(sort_value)] {
            (loss.map_or(format::NOTHING.into(), format::score))
        }
    }
}

fn fraction_cell(stat: Option<Stat>, class: &str) -> Markup {
    let Some(it) = stat else { return html! { td .num { span .none { (format::NOTHING) } } } };
    html! {
        td class={ "num " (class) } data-v=(sort_value(it.mean)) {
            (format::score(it.mean)) @if let Some(sd) = it.sd { span .sd { " ± " (format::score(sd)) } }
        }
    }
}

/// The views that a configuration's tests averaged over, and its mean accuracy without them.
fn views(it: &Configuration<'_>) -> Option<String> {
    let name = &it.runs.iter().find_map(Run::viewed)?.name;
    let plain = it.stat(|run| run.viewed().map(|it| it.plain.accuracy))?;
    Some(format!("{name}, plain {} %", format::percent(plain.mean)))
}

/// The epoch whose weights were kept in the last stage, and by what it was chosen.
fn kept(it: &Configuration<'_>) -> Markup {
    let last = |run: &Run<'_>| {
        run.record.facts.stages.last().and_then(|it| it.kept()).map(|it| it.epoch as f64)
    };
    let all: Vec<f64> = it.finished().flat_map(Run::trained).filter_map(last).collect();
    let Some(stat) = Stat::of(&all) else {
        return html! { td .num { span .none { (format::NOTHING) } } };
    };
    let stage = it.runs.iter().find_map(|it| it.record.facts.stages.last());
    let by = stage.map(|stage| chosen_by(it, &stage.start.stage));
    html! {
        td .num data-v=(sort_value(stat.mean)) {
            (epochs(stat.mean)) @if let Some(sd) = stat.sd.filter(|it| *it > 0.0) { span .sd { " ± " (epochs(sd)) } }
            div .interval {
                @if let Some(it) = stage { "of " (it.start.epochs) }
                @if let Some(by) = by { ", " (by) }
            }
        }
    }
}

fn epochs(value: f64) -> String {
    format!("{value:.1}").trim_end_matches(".0").to_owned()
}

/// The metric under which the weights of `stage` were kept, or that they are the last ones.
fn chosen_by(it: &Configuration<'_>, stage: &str) -> String {
    let setting = |name: &str| it.settings.get(&format!("stages.{stage}.early_stopping.{name}"));
    match setting("monitor") {
        Some(monitor) if setting("restore_best").is_none_or(|it| it != "false") => {
            plain(monitor).to_owned()
        }
        _ => "the last".into(),
    }
}

fn parameters(it: &Configuration<'_>) -> Markup {
    let Some((trainable, all)) = it.runs.iter().find_map(Run::parameters) else {
        return html! { td .num { span .none { (format::NOTHING) } } };
    };
    html! {
        td .num data-v=(trainable) {
            (format::short_count(all))
            div .interval { (format::short_count(trainable)) " train" }
        }
    }
}
