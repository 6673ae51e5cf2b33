//! The end of a run: predictions of the final weights, and the weights themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::event::audit::LeakFree;
use crate::event::{Evaluation, FINAL, Kind as Event, Sink};
use crate::metrics::Prediction;
use crate::model::network::Network;
use crate::model::trainable::resolve;
use crate::model::weights::{facts, write};
use crate::plan::Kind;
use crate::run::origin::Origin;
use crate::run::stage::load_stage;
use crate::run::{Runner, waiting};
use crate::store::folder::files;
use crate::store::lock::Caller;
use crate::store::read::predictions_csv;
use crate::store::{Wanted, write_whole};
use crate::torch::loss::first_largest;
use crate::train::images::{Images, Split};
use crate::train::views::judge;

impl Runner<'_> {
    pub(super) fn evaluate(
        &mut self,
        network: &mut Network,
        dataset: &Dataset,
        images: &Images<'_>,
        origin: &Origin,
    ) -> Result<()> {
        let (name, rows) = match dataset.test.as_slice() {
            [] => ("valid", dataset.valid.as_slice()),
            rows => ("test", rows),
        };
        let last = self.trial.settings.stages.last().expect("the settings were checked");
        let trained = resolve(&self.trial.settings.model, &last.trainable);
        network.train(&trained.expect("the settings were checked"));
        let caches = self.caches_features(network);
        let features = caches.then(|| self.features(last, network, images, (name, rows)));
        let split = Split { rows, features: features.transpose()? };
        let mut tables =
            vec![self.evaluate_weights(FINAL, network, dataset, (images, &split), origin)?];
        for monitor in &last.checkpoints {
            let folder =
                self.store.step_folder(Kind::Stage.name(), self.key(Kind::Stage, &last.name));
            load_stage(network, &folder, monitor.name())?;
            let named =
                self.evaluate_weights(monitor.name(), network, dataset, (images, &split), origin);
            tables.push(named?);
        }
        let key = self.key(Kind::Evaluate, "").to_owned();
        let wanted = Wanted { kind: Kind::Evaluate.name(), key: &key, check: &|_| Ok(()) };
        let mut caller = Caller { sink: &mut self.log, interrupted: self.interrupted };
        let keep = |folder: &Path, _: &mut Caller<'_>| {
            tables.iter().try_for_each(|(name, table)| write_whole(&folder.join(name), table))
        };
        self.store.step(&wanted, &mut caller, keep).map(|_| ())
    }

    /// Tests the weights that `network` has, called `weights`, on `split`; writes their predictions and
    /// themselves into the run's folder. Returns the predictions' file name and bytes.
    fn evaluate_weights(
        &mut self,
        weights: &str,
        network: &Network,
        dataset: &Dataset,
        (images, split): (&Images<'_>, &Split<'_>),
        origin: &Origin,
    ) -> Result<(String, Vec<u8>)> {
        let views = self.trial.settings.evaluate.views;
        let started = Instant::now();
        let judged = judge(split, network, images, views, &mut |done| {
            (self.log.listener)(&waiting("evaluation", done, split.rows.len(), started));
        });
        let predictions = predictions(dataset, split.rows, &judged.probabilities);
        let table = predictions_csv(&dataset.classes, &predictions)?;
        let file = files::of_weights(files::PREDICTIONS, weights);
        self.log.folder.write(&file, &table)?;
        let (model, facts) =
            (files::of_weights(files::MODEL, weights), self.model_facts(dataset, origin));
        self.log.folder.write_by(&model, |path| write(network, facts, path))?;
        let name = if dataset.test.is_empty() { "valid" } else { "test" };
        let leak_free = Some(leak_free(dataset, split.rows, &predictions, origin));
        let (weights, images) = (weights.to_owned(), split.rows.len());
        let (split, scores, viewed) = (name.to_owned(), judged.scores, judged.viewed);
        let evaluation = Evaluation { weights, split, images, scores, leak_free, viewed };
        self.log.emit(Event::Evaluated(evaluation))?;
        Ok((file, table))
    }

    fn model_facts(&self, dataset: &Dataset, origin: &Origin) -> BTreeMap<String, String> {
        let settings = &self.trial.settings;
        let plain = |it: serde_json::Value| it.as_str().map_or(it.to_string(), str::to_owned);
        [
            (facts::FORMAT, "ferrite-1".to_owned()),
            (facts::BACKBONE, plain(serde_json::json!(settings.model.backbone))),
            (facts::INPUT, plain(serde_json::json!(origin.input))),
            ("image_size", settings.data.image_size.to_string()),
            ("classes", dataset.classes.join(",")),
            ("key", self.trial.key.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(origin.with_training(dataset).facts())
        .collect()
    }
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
        })
        .collect()
}
