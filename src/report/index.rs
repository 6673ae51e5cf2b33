//! The page of the study: which configuration is best, and everything that lets one doubt it.

use std::io;

use ferrite_core::digits::counted;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::store::record::State;
use maud::{Markup, html};
use rayon::prelude::*;

use crate::format;
use crate::report::audit;
use crate::report::figures::{self, Figure, MOST_MATRICES};
use crate::report::page::{
    Page, Section, class_table, figure, figures as cards, lead, mean_cell, share_cell, sort_value,
    swatch, tile,
};
use crate::report::plot::Style;
use crate::report::sections;
use crate::report::verdicts;
use crate::report::warnings;
use crate::study::comparison::{Comparisons, accuracy_interval};
use crate::study::judged::Judged;
use crate::study::{Configuration, Run, Study};

/// The page of `study` and the figures on it.
pub(super) fn page(
    judged: &Judged<'_, '_>,
    name: &str,
    inputs: String,
) -> io::Result<(Page, Drawn)> {
    let (study, comparisons) = (judged.study, judged.comparisons());
    // Many at once; the tables ask one by one.
    study.runs().par_bridge().for_each(Run::prepare_roc_auc);
    let drawn = Drawn::of(study, comparisons);
    let leaderboard = html! {
        (leaderboard(study))
        div .figures { @for it in drawn.accuracy.iter().chain(&drawn.cost) { (figure(it)?) } }
    };
    let mut all = vec![Section { id: "leaderboard", title: "Leaderboard", body: leaderboard }];
    let mut add = |id, title, body: Option<Markup>| {
        all.extend(body.map(|body| Section { id, title, body }));
    };
    add(
        "real",
        "Which differences are real",
        verdicts::section(comparisons, drawn.effects.as_ref())?,
    );
    add("differences", "What differs", sections::differences(study));
    add("curves", "Learning curves", learning(study, &drawn)?);
    add("confusion", "Confusion", confusion(&drawn)?);
    add("classes", "Classes", classes(study, &drawn)?);
    add("leaks", "Leak-free", audit::leak_free(study));
    add("data", "Data", sections::data(study, &drawn.data)?);
    add("failures", "Failures", sections::failures(study));
    add("runs", "All runs", sections::runs(study));
    let page = Page {
        title: format!("{name} · Ferrite"),
        home: None,
        inputs,
        plots: drawn.names(),
        header: header(study, comparisons, name),
        sections: all,
        footer: sections::footer(study),
    };
    Ok((page, drawn))
}

/// The figures of the study.
pub(super) struct Drawn {
    pub(super) accuracy: Option<Figure>,
    pub(super) cost: Option<Figure>,
    pub(super) effects: Option<Figure>,
    pub(super) learning: Vec<Figure>,
    pub(super) confusions: Vec<(Style, Figure)>,
    pub(super) class_f1: Option<Figure>,
    pub(super) data: Vec<Figure>,
}

impl Drawn {
    fn of(study: &Study<'_>, comparisons: &Comparisons<'_, '_>) -> Self {
        Self {
            accuracy: figures::accuracy(study),
            cost: figures::cost(study),
            effects: verdicts::forest(comparisons),
            learning: figures::learning(study),
            confusions: figures::confusions(study),
            class_f1: figures::class_f1(study),
            data: sections::data_figures(study),
        }
    }

    /// Names of all PNGs.
    fn names(&self) -> Vec<String> {
        let matrices = (!self.confusions.is_empty()).then(|| "confusion".to_owned());
        self.singles().map(|it| it.name.clone()).chain(matrices).collect()
    }

    /// Every figure with a PNG of its own.
    pub(super) fn singles(&self) -> impl Iterator<Item = &Figure> {
        let options = self.accuracy.iter().chain(&self.cost).chain(&self.effects);
        options.chain(&self.class_f1).chain(&self.learning).chain(&self.data)
    }
}

fn header(study: &Study<'_>, comparisons: &Comparisons<'_, '_>, name: &str) -> Markup {
    let n_runs = study.runs().count();
    let of = |wanted: &str| study.runs().filter(|it| it.record.state.word() == wanted).count();
    let states = ["finished", "running", "failed", "interrupted"].map(|it| (it, of(it)));
    let seconds: f64 = study.runs().map(|it| it.record.seconds).filter(|it| it.is_finite()).sum();
    html! {
        h1 id="top" { (name) }
        p .states {
            (counted(n_runs, "run")) " of " (counted(study.configurations.len(), "configuration")) ": "
            @for (name, n) in states.iter().filter(|it| it.1 > 0) {
                span class={ "state " (name) } { (n) " " (name) } " "
            }
        }
        @if let Some(it) = warnings::of_study(study) { (it) }
        @if let Some(best) = study.ranked().next() {
            p .winner { "Best on validation: " (swatch(Style(best.position))) strong { (best.label) } }
            @if let Some(it) = verdicts::lead_of_the_best(comparisons) { (it) }
            (tiles(study, best, seconds))
        }
        @else { p .lead { "No run has finished yet." } }
    }
}

fn tiles(study: &Study<'_>, best: &Configuration<'_>, seconds: f64) -> Markup {
    let split = best.runs.iter().find_map(Run::split).unwrap_or("test");
    let value = |stat: Option<Stat>| {
        let Some(stat) = stat else { return html! { (format::NOTHING) } };
        let (mean, sd) = format::percent_stat(&stat);
        html! { (mean) small { " %" } @if let Some(sd) = sd { span .sd { " ± " (sd) } } }
    };
    let over = |stat: Option<Stat>| match stat {
        Some(Stat { sd: Some(_), n, .. }) => format!("mean ± SD of {n} seeds"),
        Some(_) => "one seed".into(),
        None => String::new(),
    };
    let (valid, test) = (best.stat(Run::valid_accuracy), best.stat(Run::test_accuracy));
    let f1 = best.stat(Run::macro_f1);
    let total = format!("over {}", counted(study.runs().count(), "run"));
    html! {
        div .tiles {
            (tile("Validation accuracy", value(valid), &over(valid)))
            @if split != "valid" {
                (tile(&format!("{} accuracy", figures::capital(split)), value(test), &over(test)))
            }
            (tile("Macro-F1", value(f1), &over(f1)))
            (tile("Time of all runs", html! { (format::duration(seconds)) }, &total))
        }
    }
}

fn leaderboard(study: &Study<'_>) -> Markup {
    let split = study.split();
    let held_out = figures::capital(split.unwrap_or("held-out"));
    let bests = [
        best_of(study, Run::valid_accuracy),
        best_of(study, Run::test_accuracy),
        best_of(study, Run::macro_f1),
        best_of(study, Run::roc_auc),
    ];
    html! {
        p .lead {
            "Ranked by mean validation accuracy of the kept epoch"
            @if split != Some(VALID) {
                ", so that the " (held_out.to_lowercase()) " split chooses nothing"
            }
            ". Mean ± sample standard deviation over the seeds, in percent; bold is \
            the highest of a column, small the 95 % interval of the accuracy, over seeds and images, or over \
            images only where there is one seed."
            " ROC-AUC is that of each class against the others, averaged. Trainable counts the parameters of the last stage."
            @if study.configurations.iter().any(|it| !it.comparable) {
                " What is judged on other images has no rank."
            }
        }
        div .scroll { table .sortable .board {
            thead { tr {
                th .num { "#" } th { "Configuration" } th { "Seeds" }
                // Without a test split both would be the same number.
                @if split != Some(VALID) { th .num { "Valid accuracy" } }
                th .num { (held_out) " accuracy" } th .num { "Macro-F1" }
                th .num { "ROC-AUC" }
                th .num { (held_out) " loss" } th .num { "Trainable" } th .num { "Epochs" }
                th .num { "Time" }
            } }
            tbody { @for it in &study.configurations { (board_row(it, split, bests)) } }
        } }
    }
}

/// The highest mean on the board.
fn best_of<'a>(study: &Study<'a>, score: impl Fn(&Run<'a>) -> Option<f64>) -> f64 {
    let means = study.ranked().filter_map(|it| it.stat(&score)).map(|it| it.mean);
    means.filter(|it| it.is_finite()).fold(f64::MIN, f64::max)
}

/// The split that judges where there is no other.
const VALID: &str = "valid";

fn board_row(it: &Configuration<'_>, split: Option<&str>, bests: [f64; 4]) -> Markup {
    let scores = [Run::valid_accuracy, Run::test_accuracy, Run::macro_f1, Run::roc_auc];
    let stats = scores.map(|score| it.stat(score));
    let own_split = it.runs.iter().find_map(Run::split).filter(|own| split != Some(*own));
    let trainable = it.runs.iter().find_map(Run::parameters);
    html! {
        tr .unranked[it.rank.is_none()] {
            td .num .rank data-v=(it.rank.map_or(String::new(), |it| it.to_string())) {
                (it.rank.map_or(format::NOTHING.into(), |it| it.to_string()))
            }
            th scope="row" { div .label {
                (swatch(Style(it.position))) span { (it.label) }
                @if !it.comparable { span .tag { "other images" } }
                @if let Some(it) = views(it) {
                    span .tag title="probabilities averaged over views of each image" { (it) }
                }
            }
            @if !it.about().is_empty() { div .about { (it.about()) } } }
            td .seeds data-v=(it.runs.len()) { (seeds(it)) }
            @let first = usize::from(split == Some(VALID));
            @for (column, (stat, best)) in stats.into_iter().zip(bests).enumerate().skip(first) {
                @let class = if stat.is_some_and(|it| it.mean == best) { "best" } else { "" };
                @let interval = if column == 1 { accuracy_interval(it) } else { None };
                (share_cell(stat, class, interval))
            }
            td .num data-v=[it.stat(Run::test_loss).map(|it| sort_value(it.mean))] {
                (it.stat(Run::test_loss).map_or(format::NOTHING.into(), |it| format::score(it.mean)))
                @if let Some(split) = own_split { span .tag { (split) } }
            }
            @match trainable {
                Some((n, _)) => { td .num data-v=(n) { (format::short_count(n)) } }
                None => { td .num { span .none { (format::NOTHING) } } }
            }
            (mean_cell(it.stat(|it| Some(it.epochs() as f64)), |it| format!("{it:.0}")))
            (mean_cell(it.stat(|it| Some(it.record.seconds)), format::duration))
        }
    }
}

/// The views that a configuration's tests averaged over, and its mean accuracy without them.
fn views(it: &Configuration<'_>) -> Option<String> {
    let name = &it.runs.iter().find_map(Run::viewed)?.name;
    let plain = it.stat(|run| run.viewed().map(|it| it.plain.accuracy))?;
    Some(format!("{name}, plain {} %", format::percent(plain.mean)))
}

/// A link to each seed's page, in the colour of its state.
fn seeds(it: &Configuration<'_>) -> Markup {
    html! {
        div .chips { @for run in &it.runs {
            @let name = run.record.state.word();
            @let seed = if run.seed.is_empty() { "run" } else { run.seed.as_str() };
            a class={ "chip " (name) } href=(run.link())
                title={ "seed " (seed) ", " (name) ": " (run.record.trial) } {
                (seed) @if run.record.state != State::Finished { span .why { " " (name) } }
            }
        } }
    }
}

fn learning(study: &Study<'_>, drawn: &Drawn) -> io::Result<Option<Markup>> {
    if drawn.learning.is_empty() {
        return Ok(None);
    }
    let shown = study.compared().count();
    let few = shown > figures::MOST_LINES;
    Ok(Some(html! {
        @if few { (lead(&format!("The first {} of {shown} configurations.", figures::MOST_LINES))) }
        (cards(&drawn.learning)?)
    }))
}

fn confusion(drawn: &Drawn) -> io::Result<Option<Markup>> {
    if drawn.confusions.is_empty() {
        return Ok(None);
    }
    Ok(Some(html! {
        p .lead {
            "Rows are true classes, columns predictions, numbers percent of the row. Shown: the best "
            (counted(drawn.confusions.len(), "configuration")) ". "
            a href="plots/confusion.png" { "All as one PNG" } "."
        }
        div .matrices { @for (style, it) in &drawn.confusions { (matrix(*style, it)?) } }
    }))
}

fn matrix(style: Style, it: &Figure) -> io::Result<Markup> {
    let drawing = crate::report::plot::svg(&it.chart)?;
    Ok(html! {
        figure {
            div .top { h3 { (swatch(style)) (it.chart.title()) } }
            div .chart .small { (maud::PreEscaped(drawing)) }
            figcaption { (it.caption) }
        }
    })
}

fn classes(study: &Study<'_>, drawn: &Drawn) -> io::Result<Option<Markup>> {
    let Some(f1) = &drawn.class_f1 else { return Ok(None) };
    let tables = study.ranked().filter_map(|it| Some((it, it.confusion()?))).take(MOST_MATRICES);
    Ok(Some(html! {
        div .figures.lopsided {
            (figure(f1)?)
            div .tables { @for (at, (it, confusion)) in tables.enumerate() {
                details open[at == 0] {
                    summary { (swatch(Style(it.position))) (it.label) }
                    (class_table(&it.classes(confusion.counts.len()), &confusion))
                }
            } }
        }
        (lead("In percent, over the predictions of all seeds of a configuration; a dash stands for what would divide by \
               zero. The macro average weighs all classes that have images alike, as far as their score is defined."))
    }))
}
