//! Figures of one run.

use std::collections::BTreeSet;

use ferrite_core::event::{Epoch, Scores};
use ferrite_core::metrics::curves::{BINS, macro_roc, precision_recall, reliability, roc, thinned};
use ferrite_core::metrics::scores::{ClassScores, Confusion, Stat, calibration_error};
use ferrite_core::store::record::Record;

use crate::report::curves::{curve, marks};
use crate::report::figures::learning::EPOCHS;
use crate::report::figures::{Figure, figure, matrix_of};
use crate::report::plot::axis::{Format, Scale};
use crate::report::plot::bars::{Bars, Group};
use crate::report::plot::lines::{Line, LineChart, Range};
use crate::report::plot::multiples::Multiples;
use crate::report::plot::reliability::Reliability;
use crate::report::plot::{Chart, Style};
use crate::study::Run;

/// Curves of one run on its training and validation images, and its learning rate.
pub(in crate::report) fn trial_curves(record: &Record) -> Vec<Figure> {
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
        let numbers = Format::Count;
        let rest = LineChart::default();
        Chart::Lines(LineChart { title, x, numbers, format, scale, lines, marks, ..rest })
    };
    let lr = curve(&runs, |it| it.lr).points;
    if lr.is_empty() {
        return Vec::new();
    }
    let lr = vec![Line { points: lr, ..Line::new(Style(2)) }];
    let accuracy = chart("Accuracy", Format::Percent, Scale::Linear, both(|it| it.accuracy));
    let loss = chart("Loss", Format::Number, Scale::Linear, both(|it| it.loss));
    let rate = chart("Learning rate", Format::Number, Scale::Logarithmic, lr);
    let apart = "Training scores are taken while the weights move, validation scores after the epoch. The marks are the \
                 epochs whose weights were kept, and a widening gap is overfitting.";
    let steps = "Learning rate of each epoch's last step, on a logarithmic axis; dotted lines are \
                 where a stage begins.";
    let mut figures = vec![
        figure("accuracy", accuracy, apart),
        figure("loss", loss, apart),
        figure("learning-rate", rate, steps),
    ];
    let lines = gradients(record);
    if !lines.is_empty() {
        let chart = chart("Size of the gradient", Format::Number, Scale::Logarithmic, lines);
        let caption = "L2 norm of the gradient of each epoch's last step, before clipping, on a logarithmic axis: of everything that \
                       trains, and of each block of the backbone and layer of the head. Blocks near the input that lie far below the others \
                       hardly learn. A line that falls towards zero has little left to learn; one that rises many times over tells \
                       of training that is about to diverge.";
        figures.push(figure("gradient", chart, caption));
    }
    figures
}

/// The norm of each epoch's last gradient, and of its parts; nothing where no epoch tells them.
fn gradients(record: &Record) -> Vec<Line> {
    let stages = &record.facts.stages;
    let groups = |epoch: &Epoch| {
        stages.iter().find(|it| it.start.stage == epoch.stage).map(|it| &it.start.groups)
    };
    let norm = |epoch: &Epoch, name: &str| {
        let place = groups(epoch)?.iter().position(|it| it == name)?;
        epoch.gradient.as_ref()?.groups.get(place).map(|it| f64::from(*it))
    };
    let line = |label: &str, points: Vec<(f64, f64)>| Line {
        label: label.into(),
        points,
        ..Line::new(Style(0))
    };
    let all = curve(&[record], |it| it.gradient.as_ref().map_or(f64::NAN, |it| it.norm));
    let mut lines = vec![line("all", all.points)];
    for name in stages.iter().flat_map(|it| &it.start.groups) {
        if lines.iter().all(|it| it.label != *name) {
            let points = curve(&[record], |it| norm(it, name).unwrap_or(f64::NAN)).points;
            lines.push(line(name, points));
        }
    }
    lines.retain(|it| it.points.iter().any(|it| it.1.is_finite()));
    for (at, line) in lines.iter_mut().enumerate() {
        line.style = Style(at);
    }
    lines
}

/// What one run took each class for, and how well it tells them apart.
pub(in crate::report) fn trial_classes(run: &Run<'_>) -> Vec<Figure> {
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

/// How the scores of one run's classes change with the threshold, and whether its probabilities are what they say.
pub(in crate::report) fn trial_thresholds(run: &Run<'_>) -> Vec<Figure> {
    let predictions = &run.record.predictions;
    let Some(first) = predictions.first() else { return Vec::new() };
    let classes = run.classes(first.probabilities.len());
    let every = || classes.iter().enumerate().take(MOST_CURVES);
    let line = |at, label: String, points: &[(f64, f64)]| Line {
        label,
        points: thinned(points),
        ..Line::new(Style(at))
    };
    let curves: Vec<_> =
        every().filter_map(|(at, name)| Some((at, name, roc(predictions, at)?))).collect();
    let mut lines: Vec<_> = curves
        .iter()
        .map(|(at, name, it)| line(*at, format!("{name} {:.3}", it.area), &it.points))
        .collect();
    let curves: Vec<_> = curves.into_iter().map(|it| it.2).collect();
    if let Some((points, area)) = macro_roc(&curves) {
        lines.push(line(classes.len(), format!("mean {area:.3}"), &points));
    }
    let mut figures = Vec::new();
    if !lines.is_empty() {
        let x = ("false positive rate", "true positive rate");
        let chart = shares("ROC curve of each class", x, lines, vec![(0.0, 0.0), (1.0, 1.0)]);
        let caption = "Each class against all others, over all thresholds of its probability, with the area under the curve \
                       (AUC) beside its name; the mean curve weighs all classes alike. The dotted diagonal is guessing.";
        figures.push(figure("roc", chart, caption));
    }
    let curves: Vec<_> = every()
        .filter_map(|(at, name)| Some((at, name, precision_recall(predictions, at)?)))
        .collect();
    let mean = Stat::of(&curves.iter().map(|it| it.2.average_precision).collect::<Vec<_>>());
    if let Some(mean) = mean {
        let lines = curves.iter().map(|(at, name, it)| {
            line(*at, format!("{name} {:.3}", it.average_precision), &it.points)
        });
        let x = ("recall", "precision");
        let chart = shares("Precision-recall curve of each class", x, lines.collect(), vec![]);
        let caption = format!(
            "Each class against all others, with its average precision beside its name; their mean is {:.3}. Unlike the \
             ROC curve, it shows how many of the images that are named so are wrong, which matters for small classes.",
            mean.mean
        );
        figures.push(figure("precision-recall", chart, caption));
    }
    if let (Some(bins), Some(error)) = (reliability(predictions), calibration_error(predictions)) {
        let chart = Reliability { title: "Reliability diagram".into(), bins };
        let caption = format!(
            "Of the images that the network was about so sure of, how many it got right. Bars that end below the dashed \
             diagonal are overconfident; the pale part is the gap, and the orange line the mean confidence of the bin. The \
             expected calibration error (ECE) is the mean gap, weighed by the images of the {BINS} bins: {error:.3}."
        );
        figures.push(figure("reliability", Chart::Reliability(chart), caption));
    }
    figures
}

/// How many classes have curves of their own.
const MOST_CURVES: usize = 20;

/// Lines between 0 and 1 on both axes.
fn shares(
    title: &str,
    (x, y): (&str, &str),
    lines: Vec<Line>,
    reference: Vec<(f64, f64)>,
) -> Chart {
    Chart::Lines(LineChart {
        title: title.into(),
        x: x.into(),
        y: y.into(),
        span: Some([0.0, 1.0]),
        range: Range::Between(0.0, 1.0),
        lines,
        reference,
        ..LineChart::default()
    })
}

/// What was taken for what on the validation images, epoch by epoch over all stages; none where the log does not tell.
pub(in crate::report) fn trial_confusions(run: &Run<'_>) -> Option<Figure> {
    let (mut before, mut all, mut kept) = (0, Vec::new(), Vec::new());
    for stage in &run.record.facts.stages {
        for epoch in stage.epochs.iter().filter(|it| !it.confusion.is_empty()) {
            let counts =
                epoch.confusion_rows().map(|row| row.iter().map(|it| u64::from(*it)).collect());
            all.push((before + epoch.epoch, Confusion { counts: counts.collect() }));
        }
        kept.extend(stage.kept().map(|it| before + it.epoch));
        before += stage.epochs.last().map_or(0, |it| it.epoch);
    }
    let classes = run.classes(all.first()?.1.counts.len());
    confusion_by_epoch(&classes, &all, &kept)
}

/// How many moments the confusion over the epochs shows.
const MOST_PANELS: usize = 8;

/// What was taken for what on the validation images after some of the epochs, of which `kept` are those that were kept: these, the
/// first, the last and as many between as there is room for.
fn confusion_by_epoch(
    classes: &[String],
    epochs: &[(usize, Confusion)],
    kept: &[usize],
) -> Option<Figure> {
    let last = epochs.len().checked_sub(1)?;
    let mut chosen: BTreeSet<usize> =
        epochs.iter().enumerate().filter(|it| kept.contains(&it.1.0)).map(|it| it.0).collect();
    chosen.extend([0, last]);
    // Halves, quarters and so on of the whole, as long as there is room.
    for parts in [2, 4, 8, 16] {
        for part in 1..parts {
            if chosen.len() < MOST_PANELS {
                chosen.insert(last * part / parts);
            }
        }
    }
    while chosen.len() > MOST_PANELS {
        let kept_first = chosen.iter().find(|it| **it != 0 && **it != last).copied();
        chosen.remove(&kept_first?);
    }
    let panel = |at: usize| {
        let (epoch, confusion) = &epochs[at];
        let note = if kept.contains(epoch) { ", kept" } else { "" };
        (format!("epoch {epoch}{note}"), confusion.row_shares())
    };
    let chart = Multiples {
        title: "Confusion over the epochs".into(),
        classes: classes.to_vec(),
        panels: chosen.into_iter().map(panel).collect(),
    };
    let caption = format!(
        "Validation images after some of the epochs, as above: rows are true classes, columns what they were taken for, both \
         in the order {}. A bright column is a class that everything is taken for.",
        classes.join(", ")
    );
    Some(figure("confusion-by-epoch", Chart::Multiples(chart), caption))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::records;
    use crate::report::tests::in_study;
    use crate::study::Study;

    #[test]
    fn every_class_has_curves_with_its_area_and_the_mean_is_the_score_of_the_page() {
        in_study(|runs| {
            let records = records(runs);
            let study = Study::of(&records, &[], runs);
            let run = study.runs().next().unwrap();
            let figures = trial_thresholds(run);
            let names: Vec<_> = figures.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, ["roc", "precision-recall", "reliability"]);
            let labels: Vec<_> = figures[0].chart.legend().into_iter().map(|it| it.0).collect();
            assert_eq!(labels.len(), 8, "seven classes and their mean");
            assert_eq!(labels[7], format!("mean {:.3}", run.roc_auc().unwrap()));
            let names: Vec<_> = trial_curves(run.record).into_iter().map(|it| it.name).collect();
            assert_eq!(names, ["accuracy", "loss", "learning-rate", "gradient"]);
            let Chart::Multiples(chart) = trial_confusions(run).unwrap().chart else {
                panic!("no small multiples")
            };
            assert_eq!((chart.panels.len(), chart.classes.len()), (8, 7));
            let kept = chart.panels.iter().filter(|it| it.0.ends_with(", kept")).count();
            assert_eq!(kept, run.record.facts.stages.len());
        });
    }

    #[test]
    fn at_most_eight_moments_are_shown_and_the_kept_one_is_among_them() {
        let confusion = Confusion { counts: vec![vec![3, 1], vec![0, 2]] };
        let shown = |epochs: usize, kept: &[usize]| {
            let all: Vec<_> = (1..=epochs).map(|it| (it, confusion.clone())).collect();
            let figure = confusion_by_epoch(&["a".into(), "b".into()], &all, kept)?;
            let Chart::Multiples(chart) = figure.chart else { panic!("no small multiples") };
            Some(chart.panels.into_iter().map(|it| it.0).collect::<Vec<_>>())
        };
        assert_eq!(shown(0, &[]), None);
        assert_eq!(shown(1, &[1]).unwrap(), ["epoch 1, kept"]);
        assert_eq!(shown(3, &[2]).unwrap(), ["epoch 1", "epoch 2, kept", "epoch 3"]);
        let many = shown(100, &[37]).unwrap();
        assert_eq!((many.len(), many[0].as_str(), many[7].as_str()), (8, "epoch 1", "epoch 100"));
        assert!(many.contains(&"epoch 37, kept".to_owned()), "{many:?}");
    }
}
