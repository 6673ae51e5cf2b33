//! The charts of the study and of a trial.

mod learning;
mod schedule;
mod settings;
mod trial;

use ferrite_core::digits::counted;
use ferrite_core::metrics::scores::Confusion;

use crate::format;
use crate::report::plot::axis::Format;
use crate::report::plot::bars::{Bars, Group};
use crate::report::plot::matrix::ConfusionMatrix;
use crate::report::plot::scatter::{Point, Scatter};
use crate::report::plot::strip::{Strip, StripRow};
use crate::report::plot::{Chart, Style};
use crate::study::{Configuration, Run, Study, majority};

pub(super) use learning::learning;
pub(super) use schedule::schedule;
pub(super) use settings::parallel;
pub(super) use trial::{trial_classes, trial_confusions, trial_curves, trial_thresholds};

/// How many configurations the learning curves show: no more than there are styles.
pub(super) const MOST_LINES: usize = 20;
/// How many rows the accuracy figure has at most.
pub(super) const MOST_ROWS: usize = 24;
/// How many confusion matrices and groups of bars are drawn.
pub(super) const MOST_MATRICES: usize = 8;

/// A chart with the name of its files and one sentence on what to see.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) chart: Chart,
    pub(super) caption: String,
    /// Whether it lies beside the page as PNG and SVG, too.
    pub(super) in_files: bool,
}

pub(super) fn figure(name: &str, chart: Chart, caption: impl Into<String>) -> Figure {
    Figure { name: name.into(), chart, caption: caption.into(), in_files: !name.is_empty() }
}

/// Accuracy of every configuration, seed by seed.
pub(super) fn accuracy(study: &Study<'_>) -> Option<Figure> {
    let split = study.judged_by().unwrap_or_else(|| "held-out".into());
    let row = |it: &Configuration<'_>| {
        let stat = it.stat(Run::test_accuracy)?;
        let sd = stat.sd.map_or_else(String::new, |sd| format!(" ± {}", format::percent(sd)));
        Some(StripRow {
            label: it.label.clone(),
            style: Style(it.position),
            values: it.finished().filter_map(Run::test_accuracy).collect(),
            mean: stat.mean,
            sd: stat.sd,
            text: format!("{}{sd}", format::percent(stat.mean)),
        })
    };
    let rows: Vec<_> = study.ranked().filter_map(row).take(MOST_ROWS).collect();
    let guess = study.ranked().flat_map(|it| &it.runs).find_map(|it| majority(it.record));
    let chart = Strip {
        title: format!("{} accuracy by configuration", capital(&split)),
        x: format!("{split} accuracy"),
        reference: guess.map(|it| (it, "always the largest class".into())),
        rows,
    };
    let guessing = guess.map_or_else(String::new, |it| {
        format!("; always guessing the largest class earns {} %", format::percent(it))
    });
    let caption = format!(
        "Pale marks are seeds, the full mark is their mean, the bar one sample standard deviation to \
         each side. Where bars overlap, the order may be chance{guessing}."
    );
    (!chart.rows.is_empty()).then(|| figure("accuracy", Chart::Strip(chart), caption))
}

/// Accuracy against training time.
pub(super) fn cost(study: &Study<'_>) -> Option<Figure> {
    let point = |it: &Configuration<'_>| {
        let (accuracy, time) =
            (it.stat(Run::test_accuracy)?, it.stat(|it| Some(it.record.seconds))?);
        let label = it.label.clone();
        Some(Point {
            label,
            style: Style(it.position),
            x: time.mean,
            y: accuracy.mean,
            sd: accuracy.sd,
        })
    };
    let points: Vec<_> = study.ranked().filter_map(point).take(MOST_ROWS).collect();
    let split = study.judged_by().unwrap_or_else(|| "held-out".into());
    let enough = points.len() > 1;
    let chart = Scatter {
        title: format!("{} accuracy against time of a run", capital(&split)),
        x: "time of one run, on a logarithmic axis".into(),
        x_name: "Time of one run".into(),
        y_name: format!("{split} accuracy"),
        format: Format::Duration,
        points,
    };
    let caption = "The dashed steps join the configurations that no other one beats: whatever is more accurate than one of \
                   them takes more time. Upright bars are one standard deviation over the seeds; time is that of a whole \
                   run, without what it took from earlier ones.";
    enough.then(|| figure("cost", Chart::Scatter(chart), caption))
}

/// A confusion matrix of each of the best configurations.
pub(super) fn confusions(study: &Study<'_>) -> Vec<(Style, Figure)> {
    let matrix = |it: &Configuration<'_>| {
        let confusion = it.confusion()?;
        let classes = it.classes(confusion.counts.len());
        let seeds = it.finished().filter(|it| it.confusion.is_some()).count();
        let caption = format!(
            "Percent of the images of each true class (rows) that were taken for each class (columns): {} over {}.",
            counted(confusion.total() as usize, "image"),
            counted(seeds, "seed"),
        );
        let chart = matrix_of(&it.label, classes, &confusion, vec![]);
        Some((Style(it.position), figure("", Chart::Matrix(chart), caption)))
    };
    study.ranked().filter_map(matrix).take(MOST_MATRICES).collect()
}

fn matrix_of(
    title: &str,
    classes: Vec<String>,
    confusion: &Confusion,
    counts: Vec<Vec<u64>>,
) -> ConfusionMatrix {
    ConfusionMatrix { title: title.into(), classes, shares: confusion.row_shares(), counts }
}

/// F1 of each class under the best configurations.
pub(super) fn class_f1(study: &Study<'_>) -> Option<Figure> {
    let best: Vec<_> =
        study.ranked().filter_map(|it| Some((it, it.confusion()?))).take(MOST_MATRICES).collect();
    let names = best.iter().map(|(it, confusion)| it.classes(confusion.counts.len()));
    let names = names.max_by_key(Vec::len)?;
    let f1 = |class: usize| {
        let scores = best.iter().map(move |(_, it)| it.classes().get(class).and_then(|it| it.f1));
        scores.map(|it| it.unwrap_or(f64::NAN)).collect()
    };
    let groups = names.into_iter().enumerate();
    let chart = Bars {
        title: "F1 by class".into(),
        series: best.iter().map(|(it, _)| (it.label.clone(), Style(it.position))).collect(),
        groups: groups.map(|(at, label)| Group { label, values: f1(at) }).collect(),
        format: Format::Percent,
    };
    let caption = "One bar a configuration, over the predictions of all its seeds; low groups are \
                   the classes that every network finds hard, and a dash is a class without images.";
    Some(figure("class-f1", Chart::Bars(chart), caption))
}

/// Share of each class in each split.
pub(super) fn class_shares(classes: &[String], splits: &[(&str, &[usize])]) -> Figure {
    let share = |counts: &[usize], class: usize| {
        let all: usize = counts.iter().sum();
        counts.get(class).map_or(f64::NAN, |it| *it as f64 / all.max(1) as f64)
    };
    let group = |(at, label): (usize, &String)| Group {
        label: label.clone(),
        values: splits.iter().map(|it| share(it.1, at)).collect(),
    };
    let series = splits.iter().enumerate().map(|(at, it)| (it.0.to_owned(), Style(at)));
    let chart = Bars {
        title: "Classes of each split".into(),
        series: series.collect(),
        groups: classes.iter().enumerate().map(group).collect(),
        format: Format::Percent,
    };
    let caption = "Share of each class within its split: bars of one group should be level, and \
                   uneven groups mean that accuracy favours the large classes.";
    figure("classes", Chart::Bars(chart), caption)
}

/// A split as a heading names it.
pub(super) fn split_name(split: &str) -> String {
    capital(if split == "valid" { "validation" } else { split })
}

/// `text` with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}
