//! The charts of the study and of a trial.

use ferrite_core::digits::counted;
use ferrite_core::event::{Epoch, Scores};
use ferrite_core::metrics::scores::{ClassScores, Confusion};
use ferrite_core::store::record::Record;

use crate::format;
use crate::report::curves::{curve, marks};
use crate::report::plot::axis::{Format, Scale};
use crate::report::plot::bars::{Bars, Group};
use crate::report::plot::lines::{Line, LineChart, Mark};
use crate::report::plot::matrix::ConfusionMatrix;
use crate::report::plot::scatter::{Point, Scatter};
use crate::report::plot::strip::{Strip, StripRow};
use crate::report::plot::{Chart, Style};
use crate::study::{Configuration, Run, Study, majority};

/// How many configurations the figures show: the palette, solid and dashed.
pub(super) const MOST_LINES: usize = 12;
/// How many rows the accuracy figure has at most.
pub(super) const MOST_ROWS: usize = 24;
/// How many confusion matrices and groups of bars are drawn.
pub(super) const MOST_MATRICES: usize = 8;

/// A chart with the name of its PNG and one sentence on what to see.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) chart: Chart,
    pub(super) caption: String,
}

pub(super) fn figure(name: &str, chart: Chart, caption: impl Into<String>) -> Figure {
    Figure { name: name.into(), chart, caption: caption.into() }
}

/// Accuracy of every configuration, seed by seed.
pub(super) fn accuracy(study: &Study<'_>) -> Option<Figure> {
    let split = study.split().unwrap_or("held-out");
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
        title: format!("{} accuracy by configuration", capital(split)),
        x: format!("{split} accuracy"),
        reference: guess.map(|it| (it, "always the largest class".into())),
        rows,
    };
    let guessing = guess.map_or_else(String::new, |it| {
        format!("; always guessing the largest class earns {} %", format::percent(it))
    });
    let caption = format!(
        "Pale dots are seeds, the full dot is their mean, the bar one sample standard deviation to \
         each side; where bars overlap, the order may be chance{guessing}."
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
    let split = study.split().unwrap_or("held-out");
    let enough = points.len() > 1;
    let chart = Scatter {
        title: format!("{} accuracy against time of a run", capital(split)),
        x: "time of one run, logarithmic".into(),
        format: Format::Duration,
        points,
    };
    let caption = "Further up is better, further left is cheaper: what no other dot beats on both \
                   is worth its time. Colours are those of the leaderboard.";
    enough.then(|| figure("cost", Chart::Scatter(chart), caption))
}

/// Validation loss and accuracy by epoch.
pub(super) fn learning(study: &Study<'_>) -> Vec<Figure> {
    let caption = "Mean over seeds, shaded from lowest to highest; dots are the epochs that were \
                   kept, and a line fades where some of its seeds had already stopped; dotted upright lines are \
                   where a stage of the first configuration begins.";
    [
        ("validation-accuracy", "Validation accuracy", Format::Percent, valid_accuracy as Value),
        ("validation-loss", "Validation loss", Format::Number, valid_loss as Value),
    ]
    .into_iter()
    .filter_map(|(name, title, format, value)| {
        let chart = study_lines(study, title, format, value);
        (!chart.lines.is_empty()).then(|| figure(name, Chart::Lines(chart), caption))
    })
    .collect()
}

type Value = fn(&Epoch) -> f64;

fn valid_accuracy(epoch: &Epoch) -> f64 {
    epoch.valid.accuracy
}

fn valid_loss(epoch: &Epoch) -> f64 {
    epoch.valid.loss
}

fn study_lines(study: &Study<'_>, title: &str, format: Format, value: Value) -> LineChart {
    let mut lines = Vec::new();
    let mut stages: Option<Vec<Mark>> = None;
    for it in study.compared().take(MOST_LINES) {
        let runs = it.drawn();
        let curve = curve(&runs, value);
        if curve.points.is_empty() && curve.tail.is_empty() {
            continue;
        }
        // Configurations that begin their stages at different epochs share the first's marks only.
        let own = marks(&runs);
        if !own.is_empty() {
            stages.get_or_insert(own);
        }
        lines.push(Line {
            label: it.label.clone(),
            points: curve.points,
            tail: curve.tail,
            band: curve.band,
            dots: curve.kept,
            ..Line::new(Style(it.position))
        });
    }
    let marks = stages.unwrap_or_default();
    LineChart {
        title: title.into(),
        x: EPOCHS.into(),
        format,
        lines,
        marks,
        ..LineChart::default()
    }
}

const EPOCHS: &str = "epoch, over all stages";

/// A confusion matrix of each of the best configurations.
pub(super) fn confusions(study: &Study<'_>) -> Vec<(Style, Figure)> {
    let matrix = |it: &Configuration<'_>| {
        let confusion = it.confusion()?;
        let classes = it.classes(confusion.counts.len());
        let seeds = it.finished().filter(|it| it.confusion.is_some()).count();
        let caption = format!(
            "Of 100 images of the row's class, how many were taken for each column's; {} over {}.",
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

/// Curves of one run on its training and validation images, and its learning rate.
pub(super) fn trial_curves(record: &Record) -> Vec<Figure> {
    let runs = [record];
    let marks = marks(&runs);
    let both = |of: fn(&Scores) -> f64| {
        let train = curve(&runs, |it| of(&it.train));
        let valid = curve(&runs, |it| of(&it.valid));
        let train = Line { label: "train".into(), points: train.points, ..Line::new(Style(1)) };
        let (label, points, dots) = ("valid".into(), valid.points, valid.kept);
        vec![Line { label, points, dots, ..Line::new(Style(0)) }, train]
    };
    let chart = |title: &str, format, scale, lines| {
        let (title, x, marks) = (title.into(), EPOCHS.into(), marks.clone());
        Chart::Lines(LineChart { title, x, format, scale, lines, marks })
    };
    let lr = curve(&runs, |it| it.lr).points;
    if lr.is_empty() {
        return Vec::new();
    }
    let lr = vec![Line { points: lr, ..Line::new(Style(2)) }];
    let accuracy = chart("Accuracy", Format::Percent, Scale::Linear, both(|it| it.accuracy));
    let loss = chart("Loss", Format::Number, Scale::Linear, both(|it| it.loss));
    let rate = chart("Learning rate", Format::Number, Scale::Logarithmic, lr);
    let apart = "Training scores are taken while the weights move, validation after the epoch; the \
                 dot is the epoch whose weights were kept, and a widening gap is overfitting.";
    let steps = "Learning rate of each epoch's last step, on a logarithmic axis; dotted lines are \
                 where a stage begins.";
    vec![
        figure("accuracy", accuracy, apart),
        figure("loss", loss, apart),
        figure("learning-rate", rate, steps),
    ]
}

/// What one run took each class for, and how well it tells them apart.
pub(super) fn trial_classes(run: &Run<'_>) -> Vec<Figure> {
    let Some(confusion) = &run.confusion else { return Vec::new() };
    let classes = run.classes(confusion.counts.len());
    let counts = confusion.counts.clone();
    let matrix = matrix_of("Confusion matrix", classes.clone(), confusion, counts);
    let scores = confusion.classes();
    let columns: [fn(&ClassScores) -> Option<f64>; 3] =
        [|it| it.precision, |it| it.recall, |it| it.f1];
    let group = |(label, scores): (String, &ClassScores)| Group {
        label,
        values: columns.iter().map(|it| it(scores).unwrap_or(f64::NAN)).collect(),
    };
    let names = ["precision", "recall", "F1"].into_iter().enumerate();
    let bars = Bars {
        title: "Precision, recall and F1 by class".into(),
        series: names.map(|(at, it)| (it.to_owned(), Style(at))).collect(),
        groups: classes.into_iter().zip(&scores).map(group).collect(),
        format: Format::Percent,
    };
    let taken = "Share and number of images of the row's class that were taken for each column's; \
                 the diagonal is recall.";
    let balance = "Precision above recall: the class is named too rarely; below it: too often. A dash \
                   is a score of nothing: no image was named so, or none is of the class.";
    vec![
        figure("confusion", Chart::Matrix(matrix), taken),
        figure("classes", Chart::Bars(bars), balance),
    ]
}

/// `text` with a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |it| it.to_uppercase().chain(letters).collect())
}
