//! The end of a run: predictions of the final weights, and the weights themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use ferrite_core::data::dataset::Dataset;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::audit::LeakFree;
use ferrite_core::event::split::SplitName;
use ferrite_core::event::{Evaluation, FINAL, Kind as Event};
use ferrite_core::files::write_whole;
use ferrite_core::largest::first_largest;
use ferrite_core::metrics::Prediction;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::weights::facts;
use ferrite_core::plan::steps::evaluate::Evaluate;
use ferrite_core::plan::steps::{Key, Kind};
use ferrite_core::store::folder::{RunFolder, files};
use ferrite_core::store::lock::Caller;
use ferrite_core::store::read::predictions_csv;

use crate::forward::weights::write;
use crate::run::advanced;
use crate::run::features::features;
use crate::run::origin::Origin;
use crate::run::perform::{Bench, EVIDENCE, Perform};
use crate::run::stage::{load_stage, trainable};
use crate::train::images::Split;
use crate::train::views::judge;

impl<'a> Perform<Bench<'a>> for Evaluate {
    const KIND: Kind = Kind::Evaluate;
    const NEEDS: Option<&'static str> = Some(EVIDENCE);

    fn precision(&self, bench: &Bench<'a>) -> Option<String> {
        Some(bench.place.precisions.to_string())
    }

    fn perform(&self, bench: &mut Bench<'a>, caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        let job = bench.job;
        let (_, stage) = job.stage(self.stage)?;
        bench.network.compute_as_in_training(&trainable(&stage.settings)?);
        let name = bench.tested();
        // Where the test split turned out to be empty, other features are kept than were planned.
        let of_split = |key: &&Key| job.features(key).is_ok_and(|it| it.split == name);
        let kept = features(bench, caller, self.features.iter().filter(of_split))?;
        let split = Split { rows: bench.rows(name), features: kept };
        for weights in tested_weights(self, bench)? {
            lay_ready(self, bench, &weights)?;
            let table = test(self, (&weights, &split), bench, caller)?;
            write_whole(&folder.join(files::of_weights(files::PREDICTIONS, &weights)), &table)?;
        }
        Ok(())
    }

    fn check(&self, _: &Path) -> Result<()> {
        Ok(())
    }
}

impl Bench<'_> {
    /// The split that judges the final weights.
    fn tested(&self) -> SplitName {
        if self.dataset.test.is_empty() { SplitName::Valid } else { SplitName::Test }
    }
}

/// The names of the weights that are tested: the final ones, and those kept under other metrics.
fn tested_weights(step: &Evaluate, bench: &Bench<'_>) -> Result<Vec<String>> {
    let (_, stage) = bench.job.stage(step.stage)?;
    let named = stage.settings.stage.checkpoints.iter().map(|it| it.name().to_owned());
    Ok(std::iter::once(FINAL.to_owned()).chain(named).collect())
}

/// Gives the network the weights of this name, unless it has them.
fn lay_ready(step: &Evaluate, bench: &mut Bench<'_>, weights: &str) -> Result<()> {
    let (key, _) = bench.job.stage(step.stage)?;
    if bench.holds.as_ref().is_some_and(|it| it.0 == *key && it.1 == weights) {
        return Ok(());
    }
    let folder = bench.results.get(key).cloned().unwrap_or_default();
    load_stage(&mut bench.network, &folder, weights)?;
    bench.holds = Some((key.clone(), weights.to_owned()));
    Ok(())
}

/// Tests the weights that the network has, called `weights`. Returns the table of predictions.
fn test(
    step: &Evaluate,
    (weights, split): (&str, &Split<'_>),
    bench: &Bench<'_>,
    caller: &mut Caller<'_>,
) -> Result<Vec<u8>> {
    let Bench { dataset, origin, .. } = bench;
    let started = Instant::now();
    let views = step.settings.evaluate.views;
    let judged = judge(split, &bench.network, bench.images, views, &mut |done| {
        // Progress is shown and not recorded, which cannot fail.
        let _ = caller.sink.emit(advanced("evaluation", [done, split.rows.len()], started));
    });
    let predictions = predictions(dataset, split.rows, &judged.probabilities);
    caller.sink.emit(Event::Evaluated(Evaluation {
        weights: weights.to_owned(),
        split: bench.tested().to_string(),
        images: split.rows.len(),
        scores: judged.scores,
        predicted: taken_for(dataset.classes.len(), &predictions),
        leak_free: Some(leak_free(dataset, split.rows, &predictions, origin)),
        viewed: judged.viewed,
    }))?;
    predictions_csv(&dataset.classes, &predictions)
}

/// Puts what the run ends with into its own folder: the predictions that lie in `result`, and the weights.
pub(super) fn collect(
    step: &Evaluate,
    bench: &mut Bench<'_>,
    result: &Path,
    run: &mut RunFolder,
) -> Result<()> {
    for weights in tested_weights(step, bench)?.iter().rev() {
        let table = files::of_weights(files::PREDICTIONS, weights);
        let path = result.join(&table);
        run.write(&table, &fs_err::read(&path).map_err(Error::file("cannot read", &path))?)?;
        lay_ready(step, bench, weights)?;
        let model = files::of_weights(files::MODEL, weights);
        let facts = bench.model_facts();
        run.write_by(&model, |path| write(&bench.network, facts, path))?;
    }
    Ok(())
}

impl Bench<'_> {
    /// What the header of the run's weights says.
    fn model_facts(&self) -> BTreeMap<String, String> {
        let Self { dataset, origin, .. } = self;
        let settings = &self.job.settings;
        let plain = |it: serde_json::Value| it.as_str().map_or(it.to_string(), str::to_owned);
        let whose = Some(settings.model.implementation());
        let whose = whose.filter(|it| *it != Implementation::default());
        [
            (facts::FORMAT, "ferrite-1".to_owned()),
            (facts::BACKBONE, plain(serde_json::json!(settings.model.backbone))),
            (facts::INPUT, plain(serde_json::json!(origin.input))),
            ("image_size", settings.data.image_size.to_string()),
            ("classes", dataset.classes.join(",")),
            ("key", self.job.key.clone()),
        ]
        .into_iter()
        .chain(whose.map(|it| (facts::IMPLEMENTATION, it.name().to_owned())))
        .map(|(name, value)| (name.to_owned(), value))
        .chain(origin.with_training(dataset).facts())
        .collect()
    }
}

/// How many of `predictions` are each of the classes.
fn taken_for(classes: usize, predictions: &[Prediction]) -> Vec<usize> {
    (0..classes)
        .map(|class| predictions.iter().filter(|it| it.predicted == class).count())
        .collect()
}

/// The accuracy on `rows` that no training image has an exact twin of and that the first weights have not seen.
fn leak_free(
    dataset: &Dataset,
    rows: &[u32],
    predictions: &[Prediction],
    origin: &Origin,
) -> LeakFree {
    let twins = dataset.leaks(rows);
    let seen: Vec<bool> = rows.iter().map(|it| origin.has_seen(*it)).collect();
    let leaks = twins.iter().zip(&seen).map(|(twin, seen)| *twin || *seen);
    let clean = predictions.iter().zip(leaks).filter(|(_, leaks)| !leaks).map(|(it, _)| it);
    let right = clean.clone().filter(|it| it.truth == it.predicted).count();
    let images = clean.count();
    LeakFree {
        images,
        accuracy: (images > 0).then(|| right as f64 / images as f64),
        inherited: seen.iter().filter(|it| **it).count(),
        unknown: origin.ancestry.gap.is_some(),
    }
}

fn predictions(dataset: &Dataset, rows: &[u32], probabilities: &[f32]) -> Vec<Prediction> {
    let of_rows = rows.iter().zip(probabilities.chunks(dataset.classes.len()));
    of_rows
        .map(|(row, probabilities)| Prediction {
            id: dataset.ids[*row as usize].clone(),
            truth: usize::from(dataset.labels[*row as usize]),
            predicted: first_largest(probabilities),
            probabilities: probabilities.iter().map(|it| f64::from(*it)).collect(),
            group: if dataset.keeps_groups {
                dataset.groups[*row as usize].clone()
            } else {
                String::new()
            },
        })
        .collect()
}
