//! The section of searches: what was drawn, how far each point came, and which one is best.

use std::collections::BTreeMap;

use ferrite_core::digits::counted;
use ferrite_core::search::Search;
use ferrite_core::search::halving::{Halving, Reached, Standing};
use ferrite_core::search::space::Distribution;
use ferrite_core::settings::Stage;
use ferrite_core::settings::stopping::Monitor;
use ferrite_core::store::record::{Record, State};
use maud::{Markup, html};

use crate::format;
use crate::report::curves::curve_of_stage;
use crate::report::figures::{Figure, figure};
use crate::report::page::{lead, scroll};
use crate::report::plot::axis::Format;
use crate::report::plot::lines::{Line, LineChart, Mark, Range};
use crate::report::plot::{Chart, Style};
use crate::study::{Configuration, Run, Study};

/// So many curves are told apart by eye, if only by how long they are.
const MOST_CURVES: usize = 60;

/// A search with what its points came to.
pub(super) struct Found<'s, 'a> {
    experiment: &'a str,
    search: Search,
    points: Vec<Point<'s, 'a>>,
    cut: Option<Cut>,
}

/// A point of a search.
struct Point<'s, 'a> {
    /// Counted from 1.
    number: usize,
    /// Its settings and runs; none where none of them has begun.
    configuration: Option<&'s Configuration<'a>>,
    /// Its value at the end of each rung that it came to, as far as all its seeds did.
    scores: Vec<Option<f64>>,
    standing: Option<Standing>,
}

/// How a search stops points.
struct Cut {
    halving: Halving,
    stage: Stage,
    rungs: Vec<usize>,
    entrants: Vec<usize>,
}

/// The searches of the study, in the order of their names.
pub(super) fn found<'s, 'a>(study: &'s Study<'a>) -> Vec<Found<'s, 'a>> {
    let mut by_name = BTreeMap::<&str, Vec<&'s Configuration<'a>>>::new();
    for it in study.configurations.iter().filter(|it| it.is_of_search()) {
        by_name.entry(it.experiment()).or_default().push(it);
    }
    by_name.into_values().filter_map(|it| Found::of(&it)).collect()
}

impl<'s, 'a> Found<'s, 'a> {
    fn of(configurations: &[&'s Configuration<'a>]) -> Option<Self> {
        let record = configurations.first()?.runs.first()?.record;
        let searched = record.description.search.as_ref()?;
        let search: Search = searched.settings.clone().try_into().ok()?;
        let stages: Vec<Stage> = record.settings.get("stages")?.clone().try_into().ok()?;
        let cut = search.halving.clone().and_then(|halving| {
            let stage = stages[halving.stage(&stages)?].clone();
            let rungs = halving.rungs(stage.epochs);
            let entrants = halving.contest(search.points, &rungs).entrants();
            Some(Cut { halving, stage, rungs, entrants })
        });
        let mut by_trial = BTreeMap::new();
        for it in configurations {
            by_trial
                .extend(it.runs.iter().map(|run| (run.record.trial.as_str(), (*it, run.record))));
        }
        let points = searched.points.iter().enumerate().map(|(at, trials)| {
            let runs: Vec<_> = trials.iter().map(|it| by_trial.get(it.as_str()).copied()).collect();
            let scores = cut.as_ref().map_or_else(Vec::new, |it| it.scores(&runs));
            let configuration = runs.iter().flatten().map(|it| it.0).next();
            Point { number: at + 1, configuration, scores, standing: None }
        });
        let mut points: Vec<_> = points.collect();
        if let Some(it) = &cut {
            let contest = it.halving.contest(points.len(), &it.rungs);
            let standings =
                contest.standings(&|point, rung| points[point].scores.get(rung).copied().flatten());
            points
                .iter_mut()
                .zip(standings)
                .for_each(|(it, standing)| it.standing = Some(standing));
        }
        Some(Self { experiment: record.experiment.as_str(), search, points, cut })
    }

    /// The points that came farthest first, of these the best first.
    fn ranked(&self) -> Vec<&Point<'s, 'a>> {
        let mut points: Vec<_> =
            self.points.iter().filter(|it| it.configuration.is_some()).collect();
        points.sort_by(|a, b| {
            let far = |it: &Point<'_, '_>| it.scores.iter().flatten().count();
            let score = |it: &Point<'_, '_>| match it.scores.iter().flatten().next_back() {
                Some(score) => *score,
                None => -it.configuration.and_then(valid_accuracy).unwrap_or(f64::NEG_INFINITY),
            };
            far(b).cmp(&far(a)).then(score(a).total_cmp(&score(b))).then(a.number.cmp(&b.number))
        });
        points
    }

    /// Epochs of the stage that is cut: those that the runs of this study trained, and those of all points to the end.
    fn epochs(&self, cut: &Cut) -> [usize; 2] {
        let runs = || self.points.iter().filter_map(|it| it.configuration).flat_map(|it| &it.runs);
        let trained = runs().map(|it| reached(it.record, &cut.stage.name).epochs.len()).sum();
        let seeds = self.points.iter().filter_map(|it| it.configuration).map(|it| it.runs.len());
        [trained, self.points.len() * seeds.max().unwrap_or(1) * cut.stage.epochs]
    }
}

impl Cut {
    fn scores(&self, runs: &[Option<(&Configuration<'_>, &Record)>]) -> Vec<Option<f64>> {
        let of_run = |it: &Option<(_, &Record)>| Some(reached((*it)?.1, &self.stage.name));
        let reached: Vec<Option<Reached>> = runs.iter().map(of_run).collect();
        let seeds = || reached.iter().map(|it| Some((&self.stage, it.as_ref()?)));
        let score = |rung: &usize| self.halving.worth(seeds(), *rung);
        self.rungs.iter().map(score).collect()
    }

    /// A score as people read it.
    fn value(&self, score: f64) -> String {
        match self.halving.monitor {
            _ if !score.is_finite() => "failed".into(),
            Monitor::ValidLoss | Monitor::TrainLoss => format!("{score:.3}"),
            Monitor::ValidAccuracy | Monitor::TrainAccuracy => {
                format!("{} %", format::percent(-score))
            }
        }
    }
}

/// What a run reached in the stage called `stage`.
fn reached(record: &Record, stage: &str) -> Reached {
    let failed = matches!(record.state, State::Failed(_));
    let found = record.facts.stages.iter().find(|it| it.start.stage == stage);
    found.map_or_else(
        || Reached { failed, ..Reached::default() },
        |it| Reached { epochs: it.epochs.clone(), is_over: it.end.is_some(), failed },
    )
}

fn valid_accuracy(it: &Configuration<'_>) -> Option<f64> {
    it.stat(Run::valid_accuracy).map(|it| it.mean)
}

/// The learning curves of each search that stops points.
pub(super) fn figures(found: &[Found<'_, '_>]) -> Vec<Figure> {
    let halved = found.iter().filter_map(|it| Some((it, it.cut.as_ref()?)));
    halved.enumerate().filter_map(|(at, (it, cut))| curves(at, it, cut)).collect()
}

fn curves(at: usize, found: &Found<'_, '_>, cut: &Cut) -> Option<Figure> {
    let monitor = cut.halving.monitor;
    let accuracy = matches!(monitor, Monitor::ValidAccuracy | Monitor::TrainAccuracy);
    let mut lines = Vec::new();
    for point in found.ranked().into_iter().take(MOST_CURVES) {
        let Some(configuration) = point.configuration else { continue };
        let records: Vec<&Record> = configuration.runs.iter().map(|it| it.record).collect();
        // Only the stage that is cut, whose epochs the rungs count.
        let curve = curve_of_stage(&records, &cut.stage.name, |it| monitor.of(it));
        let far = point.scores.iter().flatten().count();
        lines.push(Line {
            label: format!("point {}", point.number),
            points: curve.all(),
            ..Line::new(Style(cut.rungs.len().saturating_sub(far)))
        });
    }
    lines.retain(|it| !it.points.is_empty());
    let marks = cut.rungs[..cut.rungs.len() - 1].iter().enumerate();
    let format = if accuracy { Format::Percent } else { Format::Number };
    let chart = LineChart {
        title: format!("Rungs of {}", found.experiment),
        x: format!("epoch of {}", cut.stage.name),
        numbers: Format::Count,
        format,
        range: Range::Robust { rising: accuracy },
        marks: marks
            .map(|(at, it)| Mark { x: *it as f64, label: format!("rung {}", at + 1) })
            .collect(),
        lines,
        ..LineChart::default()
    };
    let caption = format!(
        "A line is a point of the search, the mean over its seeds; what is drawn is {}, by which points are promoted. Where a line \
         ends at a dotted upright line, the point was stopped there. Lines of one style came equally far.",
        monitor
            .name()
            .replace('_', " ")
            .replace("valid", "validation")
            .replace("train", "training")
    );
    let name = if at == 0 { "search".into() } else { format!("search-{}", at + 1) };
    (!chart.lines.is_empty()).then(|| figure(&name, Chart::Lines(chart), caption))
}

/// What `found` says in words and numbers; none without a search.
pub(super) fn section(found: &[Found<'_, '_>], figures: &Markup) -> Option<Markup> {
    (!found.is_empty()).then(|| {
        html! {
            (lead("The points of a search are ranked by their validation scores. There is no verdict between them: the best of \
                   many is also the luckiest of many, and no test of two configurations holds for one that was chosen so. \
                   Whether it is really better, an experiment with its settings and other seeds can say."))
            @for it in found { (of_search(it)) }
            (figures)
        }
    })
}

fn of_search(found: &Found<'_, '_>) -> Markup {
    let ranked = found.ranked();
    let best =
        ranked.iter().find(|it| it.configuration.is_some_and(|it| it.finished().next().is_some()));
    html! {
        h3 { bdi { (found.experiment) } }
        p { (drawn(found)) }
        @if let Some(cut) = &found.cut { p { (cost(found, cut)) } }
        @if let Some((it, configuration)) = best.and_then(|it| Some((it, it.configuration?))) {
            p .winner {
                "Best: point " (it.number) ", " strong { bdi { (configuration.label) } }
                @if let Some(score) = valid_accuracy(configuration) {
                    ", validation accuracy " (format::percent(score)) " %"
                }
            }
        }
        (scroll(&format!("Points of {}", found.experiment), table(found, &ranked)))
    }
}

/// What was drawn, in a sentence.
fn drawn(found: &Found<'_, '_>) -> String {
    let from = |it: &Distribution| match it {
        Distribution::Uniform([low, high]) => format!("from {low} to {high}"),
        Distribution::LogUniform([low, high]) => format!("from {low:e} to {high:e}, logarithmic"),
        Distribution::IntUniform([low, high]) => format!("whole, from {low} to {high}"),
        Distribution::IntLogUniform([low, high]) => {
            format!("whole, from {low} to {high}, logarithmic")
        }
        Distribution::Choice(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("one of {}", values.join(", "))
        }
    };
    let space: Vec<String> =
        found.search.space.iter().map(|(key, it)| format!("{key} {}", from(it))).collect();
    format!(
        "{} drawn with seed {}: {}.",
        counted(found.points.len(), "point"),
        found.search.seed,
        space.join("; ")
    )
}

/// How many points came how far, and what that cost.
fn cost(found: &Found<'_, '_>, cut: &Cut) -> String {
    let [trained, all] = found.epochs(cut);
    let rungs = cut.rungs.iter().zip(&cut.entrants);
    let rungs: Vec<String> =
        rungs.map(|(epochs, points)| format!("{points} for {epochs}")).collect();
    format!(
        "Successive halving: {} epochs of {}, as many points at most. So far {} of the {} epochs were trained that all points \
         to the end would take, {} %.",
        rungs.join(", "),
        cut.stage.name,
        trained,
        all,
        format::percent(trained as f64 / all.max(1) as f64),
    )
}

fn table(found: &Found<'_, '_>, ranked: &[&Point<'_, '_>]) -> Markup {
    let rungs = found.cut.as_ref().map_or(&[][..], |it| &it.rungs);
    html! {
        table {
            thead { tr {
                th { "point" } th { "settings" }
                @for it in rungs { th .num { "after " (counted(*it, "epoch")) } }
                th .num { "validation accuracy" } th { "how far" }
            } }
            tbody { @for it in ranked {
                @if let Some(configuration) = it.configuration {
                    tr {
                        td .num { (it.number) }
                        td { @for (at, run) in configuration.runs.iter().enumerate() {
                            @if at == 0 { a href=(run.link()) { bdi { (settings_of(configuration)) } } }
                        } }
                        @if let Some(cut) = &found.cut {
                            @for score in &it.scores {
                                td .num { (score.map_or_else(|| format::NOTHING.into(), |it| cut.value(it))) }
                            }
                        }
                        td .num {
                            (valid_accuracy(configuration).map_or_else(|| format::NOTHING.into(), format::percent))
                        }
                        td { (how_far(it, configuration, rungs.len())) }
                    }
                }
            } }
        }
    }
}

/// The settings of a point, without the name of its experiment.
fn settings_of(it: &Configuration<'_>) -> String {
    let label = it.label.strip_prefix(it.experiment()).unwrap_or(&it.label);
    label.trim_start_matches(" · ").to_owned()
}

fn how_far(point: &Point<'_, '_>, configuration: &Configuration<'_>, rungs: usize) -> String {
    let all = |word: &str| configuration.runs.iter().all(|it| it.record.state.word() == word);
    let any = |word: &str| configuration.runs.iter().any(|it| it.record.state.word() == word);
    match point.standing {
        _ if all("finished") => "finished".into(),
        _ if any("failed") => "failed".into(),
        Some(Standing { rung, is_out: true }) => format!("stopped at rung {} of {rungs}", rung + 1),
        Some(Standing { rung, is_out: false }) => format!("in rung {} of {rungs}", rung + 1),
        None => "not finished".into(),
    }
}
