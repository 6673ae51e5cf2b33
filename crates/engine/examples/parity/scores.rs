//! Scores and statistics of the report.

use ferrite_core::metrics::Prediction;
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

pub(crate) fn score(input: &SafeTensors<'_>, classes: usize) -> Result<Output> {
    let (truths, guesses) = (input.tensor("truths")?, input.tensor("guesses")?);
    let probabilities = floats_of(input.tensor("probabilities")?.data());
    let predictions: Vec<Prediction> = truths
        .data()
        .iter()
        .zip(guesses.data())
        .zip(probabilities.chunks(probabilities.len() / truths.data().len()))
        .map(|((truth, guess), probabilities)| Prediction {
            truth: usize::from(*truth),
            predicted: usize::from(*guess),
            id: String::new(),
            probabilities: probabilities.iter().map(|it| f64::from(*it)).collect(),
        })
        .collect();
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
