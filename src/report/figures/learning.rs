//! Learning curves of the configurations of a study.

use ferrite_core::digits::counted;
use ferrite_core::event::Epoch;

use crate::report::curves::{curve, marks};
use crate::report::figures::{Figure, MOST_LINES, figure};
use crate::report::plot::axis::Format;
use crate::report::plot::lines::{Line, LineChart, Mark, Range};
use crate::report::plot::{Chart, Style};
use crate::study::Study;

/// Validation accuracy and loss and training accuracy by epoch.
pub(in crate::report) fn learning(study: &Study<'_>) -> Vec<Figure> {
    let accuracy =
        study_lines(study, "Validation accuracy", Format::Percent, |it| it.valid.accuracy);
    let lower = rates(study);
    let rated = lower.as_ref().map_or("", |_| {
        " Below: the learning rate of each schedule that differs, in the style of the first configuration that has it."
    });
    let accuracy = LineChart { lower, ..accuracy };
    let loss = study_lines(study, "Validation loss", Format::Number, |it| it.valid.loss);
    let train = study_lines(study, "Training accuracy", Format::Percent, |it| it.train.accuracy);
    let training = " Training accuracy is that of the augmented images while the weights move: far above validation it tells of \
                    overfitting.";
    [
        ("validation-accuracy", accuracy, rated),
        ("validation-loss", loss, ""),
        ("training-accuracy", train, training),
    ]
    .into_iter()
    .filter(|it| !it.1.lines.is_empty())
    .map(|(name, chart, more)| {
        let caption = format!("{CAPTION}{}{more}", beyond(&chart));
        figure(name, Chart::Lines(chart), caption)
    })
    .collect()
}

const CAPTION: &str = "Mean over the seeds, shaded from the lowest to the highest. Marks are the epochs whose weights were kept, \
                       and a line fades where some of its seeds had already stopped. Dotted upright lines are where a stage of \
                       the first configuration begins.";

/// What of `chart` lies beyond its axis, in a sentence.
fn beyond(chart: &LineChart) -> String {
    const NAMED: usize = 3;
    let cut = chart.cut();
    let named: Vec<_> = cut.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match cut.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "other line")),
    };
    if cut.is_empty() {
        return String::new();
    }
    format!(
        " The axis shows the values between which most configurations differ; a small triangle at its edge is where a line \
         goes beyond it: {}{more}.",
        named.join(", ")
    )
}

/// The learning rates of all schedules that differ; none without epochs.
fn rates(study: &Study<'_>) -> Option<(String, Vec<Line>)> {
    let mut lines = Vec::<Line>::new();
    for it in study.compared().take(MOST_LINES) {
        let points = curve(&it.drawn(), |it| it.lr).all();
        if !points.is_empty() && lines.iter().all(|it| it.points != points) {
            lines.push(Line { points, ..Line::new(Style(it.position)) });
        }
    }
    (!lines.is_empty()).then(|| ("learning rate, logarithmic".into(), lines))
}

fn study_lines(
    study: &Study<'_>,
    title: &str,
    format: Format,
    value: impl Fn(&Epoch) -> f64,
) -> LineChart {
    let mut lines = Vec::new();
    let mut stages: Option<Vec<Mark>> = None;
    for it in study.compared().take(MOST_LINES) {
        let runs = it.drawn();
        let curve = curve(&runs, &value);
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
        numbers: Format::Count,
        format,
        range: Range::Robust { rising: format == Format::Percent },
        lines,
        marks,
        ..LineChart::default()
    }
}

pub(super) const EPOCHS: &str = "epoch, over all stages";
