//! The page of the study: which configuration is best, and everything that lets one doubt it.

use std::io;

use ferrite_core::digits::counted;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::store::record::State;
use maud::{Markup, html};
use rayon::prelude::*;

use crate::format;
use crate::report::audit;
use crate::report::board::{Board, VALID};
use crate::report::figures::{self, Figure, MOST_MATRICES};
use crate::report::folds;
use crate::report::gallery;
use crate::report::gallery::album::Albums;
use crate::report::origin;
use crate::report::page::{
    Page, Section, card, class_table, figure, figures as cards, lead, swatch, tile,
};
use crate::report::plot::Style;
use crate::report::search;
use crate::report::sections;
use crate::report::verdicts;
use crate::report::warnings;
use crate::study::comparison::Comparisons;
use crate::study::judged::Judged;
use crate::study::{Configuration, Run, Study};

/// The page of `study` and the figures on it.
pub(super) fn page(
    judged: &Judged<'_, '_>,
    name: &str,
    is_live: bool,
    albums: &Albums,
    inputs: String,
) -> io::Result<(Page, Drawn)> {
    let (study, comparisons) = (judged.study, judged.comparisons());
    // Many at once; the tables ask one by one.
    study.runs().par_bridge().for_each(Run::prepare_roc_auc);
    let drawn = Drawn::of(study, comparisons);
    let board = Board::new(study);
    let leaderboard = html! {
        (board.markup())
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
    add("folds", "Folds", folds::section(study));
    add("differences", "What differs", board.differences());
    add("curves", "Learning curves", learning(study, &drawn)?);
    add("settings", "Settings and scores", wide(&drawn.parallel)?);
    let searches = search::found(study);
    let rungs = wide(&drawn.rungs)?.unwrap_or_default();
    add("search", "Searches", search::section(&searches, &rungs));
    add("confusion", "Confusion", confusion(&drawn)?);
    add("gallery", "Looking at faces", gallery::of_study(study, albums));
    add("classes", "Classes", classes(study, &drawn)?);
    add("leaks", "Leak-free", audit::leak_free(study));
    add("data", "Data", sections::data(study, &drawn.data)?);
    add("schedule", "Time of the sweep", wide(drawn.schedule.as_slice())?);
    add("failures", "Failures", sections::failures(study, is_live));
    add("runs", "All runs", sections::runs(study));
    let page = Page {
        title: format!("{name} · Ferrite"),
        home: None,
        inputs,
        plots: drawn.names(),
        header: header(study, comparisons, name, is_live),
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
    pub(super) parallel: Vec<Figure>,
    pub(super) rungs: Vec<Figure>,
    pub(super) schedule: Option<Figure>,
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
            parallel: figures::parallel(study),
            rungs: search::figures(&search::found(study)),
            schedule: figures::schedule(study),
        }
    }

    /// Names of all figures that lie beside the page.
    fn names(&self) -> Vec<String> {
        let matrices = (!self.confusions.is_empty()).then(|| "confusion".to_owned());
        self.singles().map(|it| it.name.clone()).chain(matrices).collect()
    }

    /// Every figure with files of its own.
    pub(super) fn singles(&self) -> impl Iterator<Item = &Figure> {
        let options = self.accuracy.iter().chain(&self.cost).chain(&self.effects);
        let options = options.chain(&self.class_f1).chain(&self.learning).chain(&self.data);
        options.chain(&self.parallel).chain(&self.rungs).chain(&self.schedule)
    }
}

fn header(
    study: &Study<'_>,
    comparisons: &Comparisons<'_, '_>,
    name: &str,
    is_live: bool,
) -> Markup {
    let n_runs = study.runs().count();
    let of = |wanted: &str| study.runs().filter(|it| it.record.state.word() == wanted).count();
    let states = ["finished", "running", "stopped", "failed", "interrupted"].map(|it| (it, of(it)));
    let seconds: f64 = study.runs().map(|it| it.record.seconds).filter(|it| it.is_finite()).sum();
    html! {
        h1 id="top" { (name) }
        p .states {
            (counted(n_runs, "run")) " of " (counted(study.configurations.len(), "configuration")) ": "
            @for (name, n) in states.iter().filter(|it| it.1 > 0) {
                // A run that a sweep is about to go on with has not been interrupted.
                @let said = if is_live && *name == "interrupted" { "not finished yet" } else { name };
                span class={ "state " (name) } { (n) " " (said) } " "
            }
        }
        @if let Some(it) = origin::of_study(study) { (it) }
        @if is_live || study.runs().any(|it| it.record.state == State::Running) {
            p .states data-live { "Some runs are still at work." }
        }
        @if let Some(it) = unfinished(study, is_live) { (it) }
        @if let Some(it) = warnings::of_study(study) { (it) }
        @if let Some(best) = study.ranked().next() {
            p .winner {
                "Best on validation: " (swatch(Style(best.position))) strong { bdi { (best.label) } }
                @if best.shares_rank { ", with the same accuracy as others" }
            }
            @if let Some(it) = verdicts::lead_of_the_best(comparisons) { (it) }
            @if let Some(it) = verdicts::in_words(comparisons) { (it) }
            (tiles(study, best, seconds))
        }
        @else { p .lead { "No run has finished yet." } }
    }
}

/// What did not come to an end, in plain sight.
fn unfinished(study: &Study<'_>, is_live: bool) -> Option<Markup> {
    let of = |word: &str| study.runs().filter(|it| it.record.state.word() == word).count();
    let counts = [
        ("failed", of("failed")),
        ("interrupted", if is_live { 0 } else { of("interrupted") }),
        ("damaged", study.damaged.len()),
    ];
    let said: Vec<_> = counts
        .iter()
        .filter(|it| it.1 > 0)
        .map(|(word, n)| format!("{} {word}", counted(*n, "run")))
        .collect();
    (!said.is_empty()).then(|| {
        html! { p .warning .unfinished { strong { (said.join(", ")) } ". " a href="#failures" { "What happened, and what to do" } } }
    })
}

fn tiles(study: &Study<'_>, best: &Configuration<'_>, seconds: f64) -> Markup {
    let split = best.runs.iter().find_map(Run::split).unwrap_or("test");
    let judged_by = study.judged_by().unwrap_or_else(|| split.into());
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
            @if split != VALID {
                (tile(&format!("{} accuracy", figures::capital(&judged_by)), value(test), &over(test)))
            }
            (tile("Macro-F1", value(f1), &over(f1)))
            (tile("Time of all runs", html! { (format::duration(seconds)) }, &total))
        }
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

/// Figures below each other, each as wide as the page.
fn wide(all: &[Figure]) -> io::Result<Option<Markup>> {
    let drawn = all.iter().map(figure).collect::<io::Result<Vec<_>>>()?;
    let cards = html! { @for it in &drawn { div .wide-figure { (it) } } };
    Ok((!drawn.is_empty()).then_some(cards))
}

fn confusion(drawn: &Drawn) -> io::Result<Option<Markup>> {
    if drawn.confusions.is_empty() {
        return Ok(None);
    }
    Ok(Some(html! {
        p .lead {
            "Rows are true classes, columns predictions, numbers percent of the row. Shown: the best "
            (counted(drawn.confusions.len(), "configuration")) ". All in one picture: "
            a href="plots/confusion.png" { "PNG" } ", " a href="plots/confusion.svg" { "SVG" } "."
        }
        div .matrices { @for (style, it) in &drawn.confusions {
            (card(it, html! { (swatch(*style)) (it.chart.title()) })?)
        } }
    }))
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
                    (class_table(&format!("Classes of {}", it.label), &it.classes(confusion.counts.len()), &confusion))
                }
            } }
        }
        (lead("In percent, over the predictions of all seeds of a configuration; a dash stands for what would divide by \
               zero. The macro average weighs all classes that have images alike, as far as their score is defined. Macro-F1 on the \
               leaderboard is the mean of what each seed scores by itself, so it may differ a little."))
    }))
}
