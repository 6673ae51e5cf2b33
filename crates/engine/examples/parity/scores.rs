//! Scores and statistics of the report.

use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::curves::{precision_recall, reliability, roc, thinned};
use ferrite_core::metrics::scores::{ClassScores, Confusion, calibration_error, roc_auc};
use ferrite_core::metrics::statistics::paired::Discordant;
use ferrite_core::metrics::statistics::{LEVEL, holm, wilson};
use ferrite_torch::tensor::floats_of;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result};

/// Images that only the second of two networks gets right, only the first, and all images.
#[derive(Deserialize)]
pub(crate) struct Counts {
    gained: usize,
    lost: usize,
    images: usize,
}

fn predictions(input: &SafeTensors<'_>) -> Result<Vec<Prediction>> {
    let (truths, guesses) = (input.tensor("truths")?, input.tensor("guesses")?);
    let probabilities = floats_of(input.tensor("probabilities")?.data());
    let rows = truths.data().iter().zip(guesses.data());
    let rows = rows.zip(probabilities.chunks(probabilities.len() / truths.data().len()));
    let prediction = |((truth, guess), probabilities): ((&u8, &u8), &[f32])| Prediction {
        truth: usize::from(*truth),
        predicted: usize::from(*guess),
        id: String::new(),
        probabilities: probabilities.iter().map(|it| f64::from(*it)).collect(),
        group: String::new(),
    };
    Ok(rows.map(prediction).collect())
}

pub(crate) fn score(input: &SafeTensors<'_>, classes: usize) -> Result<Output> {
    let predictions = predictions(input)?;
    let confusion = Confusion::count(classes, &predictions);
    let mut output = Output::default();
    for (name, score) in [
        ("accuracy", confusion.accuracy()),
        ("macro_f1", confusion.macro_f1()),
        ("balanced_accuracy", confusion.balanced_accuracy()),
        ("roc_auc", roc_auc(&predictions)),
        ("calibration_error", calibration_error(&predictions)),
    ] {
        output.numbers(name, &[score.unwrap_or(f64::NAN)]);
    }
    let averages: [fn(&ClassScores) -> Option<f64>; 2] = [|it| it.precision, |it| it.recall];
    let averages = averages.map(|it| confusion.macro_stat(it).map_or(f64::NAN, |it| it.mean));
    output.numbers("macro_precision_and_recall", &averages);
    let classes = confusion.classes();
    let scores = classes.iter().flat_map(|it| [it.precision, it.recall, it.f1]);
    output.numbers("classes", &scores.map(|it| it.unwrap_or(f64::NAN)).collect::<Vec<_>>());
    let counts = confusion.counts.iter().flatten().map(|it| *it as f64);
    output.numbers("confusion", &counts.collect::<Vec<_>>());
    Ok(output)
}

/// ROC and precision-recall curve of every class that has both kinds of images, and the bins of the reliability diagram.
pub(crate) fn curves(input: &SafeTensors<'_>, classes: usize) -> Result<Output> {
    let predictions = predictions(input)?;
    let mut output = Output::default();
    let mut tell = |name: &str, points: &[(f64, f64)], thresholds: &[f64], area: f64| {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        output.numbers(&format!("{name}.x"), &x);
        output.numbers(&format!("{name}.y"), &y);
        output.numbers(&format!("{name}.thresholds"), thresholds);
        output.numbers(&format!("{name}.area"), &[area]);
        // The area under fewer points, by which a figure may differ.
        let area = |it: &[(f64, f64)]| {
            it.windows(2).map(|it| (it[1].0 - it[0].0) * (it[0].1 + it[1].1) / 2.0).sum::<f64>()
        };
        output.numbers(&format!("{name}.moved"), &[area(&thinned(points)) - area(points)]);
    };
    for class in 0..classes {
        if let Some(it) = roc(&predictions, class) {
            tell(&format!("roc.{class}"), &it.points, &it.thresholds, it.area);
        }
        if let Some(it) = precision_recall(&predictions, class) {
            let name = format!("precision_recall.{class}");
            tell(&name, &it.points, &it.thresholds, it.average_precision);
        }
    }
    let bins = reliability(&predictions).ok_or("there are no probabilities")?;
    let defined = |it: Option<f64>| it.unwrap_or(f64::NAN);
    output.numbers("bins.images", &bins.iter().map(|it| it.images as f64).collect::<Vec<_>>());
    let confidence = bins.iter().map(|it| defined(it.confidence));
    output.numbers("bins.confidence", &confidence.collect::<Vec<_>>());
    let accuracy = bins.iter().map(|it| defined(it.accuracy));
    output.numbers("bins.accuracy", &accuracy.collect::<Vec<_>>());
    output.numbers("bins.error", &[defined(calibration_error(&predictions))]);
    Ok(output)
}

/// McNemar's p value, the bootstrap interval of the difference and Wilson's of the share that is gained,
/// count by count; Holm's adjustment, list by list.
pub(crate) fn statistics(counts: &[Counts], p: &[Vec<f64>]) -> Result<Output> {
    let mut tables = [Vec::new(), Vec::new(), Vec::new()];
    for &Counts { gained, lost, images } in counts {
        let pairs = Discordant { gained, lost, images };
        tables[0].push(pairs.mcnemar());
        tables[1].extend(pairs.bootstrap(LEVEL).ok_or("there are no images")?);
        tables[2].extend(wilson(gained as u64, images as u64).ok_or("there are no images")?);
    }
    let mut output = Output::default();
    for (name, values) in ["mcnemar", "bootstrap", "wilson"].into_iter().zip(&tables) {
        output.numbers(name, values);
    }
    output.numbers("holm", &p.iter().flat_map(|it| holm(it)).collect::<Vec<_>>());
    Ok(output)
}
