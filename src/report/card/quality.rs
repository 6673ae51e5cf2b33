//! Sections of a card that tell how good the model is, and what to doubt.

use ferrite_core::digits::{counted, thousands};
use ferrite_core::metrics::scores::{Confusion, calibration_error};
use ferrite_core::metrics::statistics::wilson;
use ferrite_core::warning::Watch;

use crate::format;
use crate::format::markdown;
use crate::report::card::origin::code;
use crate::report::card::table;
use crate::study::splits::in_source;
use crate::study::{Run, majority};

/// Classes with fewer test images than these have scores that say little: of 30 images, the 95 % interval of a recall of one
/// half is 0.33 to 0.67.
const FEW: u64 = 30;

/// How many confusions of two classes are told.
const CONFUSIONS: usize = 3;

/// What the split that judged the run is called, with its name in the source.
fn judged_on(run: &Run<'_>) -> String {
    let split = run.split().unwrap_or("test");
    match in_source(run.record, split) {
        Some(name) => format!("{} ({})", code(split), code(name)),
        None => code(split),
    }
}

pub(super) fn metrics(run: &Run<'_>) -> String {
    format!(
        "Accuracy is the share of right answers on {}, with Wilson's 95 % interval over images: such an interval \
         holds, 95 times in 100, the accuracy on all images of the same kind. It says nothing of other seeds; those of the same settings stand on the page of the \
         study. Macro F1 and balanced accuracy weigh all classes alike. ROC AUC is the chance that an image of a class gets a higher \
         probability of it than an image of another class. The expected calibration error (10 bins) is how far probabilities \
         are from shares of right answers. All but the last are what scikit-learn computes.",
        judged_on(run)
    )
}

pub(super) fn analyses(run: &Run<'_>) -> String {
    let Some(confusion) = &run.confusion else { return "There are no predictions.".into() };
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|it| vec![name.to_owned(), it]));
    };
    let share = |it: Option<f64>| it.map(|it| format!("{} %", format::percent(it)));
    let interval = wilson(confusion.right(), confusion.total());
    let interval = interval
        .map_or_else(String::new, |it| format!(", 95 % interval {} %", format::interval(it)));
    row(
        "accuracy",
        share(confusion.accuracy()).map(|it| {
            let (right, all) = (confusion.right() as usize, confusion.total() as usize);
            format!("**{it}**{interval} ({} of {} images)", thousands(right), thousands(all))
        }),
    );
    row("always the largest class", share(majority(run.record)));
    let leak_free = run.record.facts.evaluation.as_ref().and_then(|it| it.leak_free);
    row(
        "accuracy without leaks",
        leak_free.and_then(|it| {
            let unknown = if it.unknown { ", as far as is known" } else { "" };
            Some(format!("{}, {}{unknown}", share(it.accuracy)?, counted(it.images, "image")))
        }),
    );
    row("macro F1", confusion.macro_f1().map(format::score));
    row("balanced accuracy", share(confusion.balanced_accuracy()));
    row("ROC AUC", run.roc_auc().map(format::score));
    row("loss (cross-entropy)", run.test_loss().map(format::score));
    row(
        "expected calibration error",
        calibration_error(&run.record.predictions).map(format::score),
    );
    let confidence = mean_confidence(run);
    row(
        "mean confidence",
        share(confidence).zip(confidence.zip(confusion.accuracy())).map(|(it, (sure, right))| {
            let leans = if sure > right { "too sure" } else { "not sure enough" };
            format!(
                "{it}: on the whole {leans} by {} points",
                format::percent((sure - right).abs())
            )
        }),
    );
    row(
        "validation accuracy",
        share(run.valid_accuracy().filter(|_| run.split() != Some("valid"))),
    );
    let classes = run.classes(confusion.counts.len());
    format!(
        "On {}:\n\n{}\n{}\n{}",
        judged_on(run),
        table(&["score", ""], rows),
        by_class(&classes, confusion),
        confusions(&classes, confusion)
    )
}

/// The mean probability of the answers.
fn mean_confidence(run: &Run<'_>) -> Option<f64> {
    let all = &run.record.predictions;
    let of: Option<Vec<f64>> =
        all.iter().map(|it| it.probabilities.get(it.predicted).copied()).collect();
    let of = of.filter(|it| !it.is_empty())?;
    Some(of.iter().sum::<f64>() / of.len() as f64)
}

fn by_class(classes: &[String], confusion: &Confusion) -> String {
    let number = |it: Option<f64>| it.map_or_else(|| format::NOTHING.to_owned(), format::score);
    let row = |(name, it): (&String, &ferrite_core::metrics::scores::ClassScores)| {
        let right = it.recall.map(|share| (share * it.support as f64).round() as u64);
        let interval = right.and_then(|right| wilson(right, it.support));
        vec![
            markdown(name),
            thousands(it.support as usize),
            number(it.precision),
            number(it.recall),
            interval.map_or_else(String::new, |[low, high]| {
                format!("{} to {}", format::score(low), format::score(high))
            }),
            number(it.f1),
        ]
    };
    let rows = classes.iter().zip(&confusion.classes()).map(row).collect::<Vec<_>>();
    table(&["class", "images", "precision", "recall", "95 % interval of the recall", "F1"], rows)
}

/// The confusions that are commonest.
fn confusions(classes: &[String], confusion: &Confusion) -> String {
    let mut all: Vec<(f64, u64, usize, usize)> = Vec::new();
    for (truth, row) in confusion.counts.iter().enumerate() {
        let sum: u64 = row.iter().sum();
        let others = row.iter().enumerate().filter(|(at, n)| *at != truth && **n > 0);
        all.extend(others.map(|(at, n)| (*n as f64 / sum as f64, *n, truth, at)));
    }
    all.sort_by_key(|it| (std::cmp::Reverse(it.1), it.2, it.3));
    let line = |(share, n, truth, taken): &(f64, u64, usize, usize)| {
        let (truth, taken) = (markdown(&classes[*truth]), markdown(&classes[*taken]));
        format!(
            "- {truth} is taken for {taken}: {}, which are {} % of the images of {truth}\n",
            counted(*n as usize, "image"),
            format::percent(*share)
        )
    };
    if all.is_empty() {
        return "No class is taken for another one.\n".into();
    }
    let lines: String = all.iter().take(CONFUSIONS).map(line).collect();
    format!("Commonest confusions:\n\n{lines}")
}

pub(super) fn caveats(run: &Run<'_>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut watch = Watch::default();
    let warnings = run.record.facts.warnings(&mut watch);
    lines.extend(warnings.iter().map(|it| as_code(&it.message)));
    if let Some(confusion) = &run.confusion {
        let classes = run.classes(confusion.counts.len());
        let scores = confusion.classes();
        let few = classes.iter().zip(&scores).filter(|it| (1..FEW).contains(&it.1.support));
        lines.extend(few.map(|(name, it)| {
            let images = counted(it.support as usize, "image");
            format!(
                "The scores of {} come from {images}: see the width of its interval.",
                markdown(name)
            )
        }));
    }
    lines.push(
        "It is one run of its settings. Another seed gives other weights and another score: judge settings by several seeds, as the \
         page of the study does."
            .into(),
    );
    if run.record.facts.faces.is_some() {
        lines.push(
            "Give it faces found and placed in the same way; `ferrite predict` does so by itself."
                .into(),
        );
    }
    lines.push(
        "Where probabilities matter, calibrate them on images of your own: the calibration above holds for images like those of \
         the test."
            .into(),
    );
    lines.iter().map(|it| format!("- {it}\n")).collect()
}

/// A message in which what stands between backticks is code, as Markdown.
fn as_code(message: &str) -> String {
    let parts = message.split('`').enumerate();
    parts.map(|(at, it)| if at % 2 == 1 { code(it) } else { markdown(it) }).collect()
}
