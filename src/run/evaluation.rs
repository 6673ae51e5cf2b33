//! The end of a run: predictions of the final weights, and the weights themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::event::audit::LeakFree;
use crate::event::{Evaluation, FINAL, Kind as Event, Sink};
use crate::model::Input;
use crate::model::network::Network;
use crate::model::trainable::resolve;
use crate::model::weights::{facts, write};
use crate::plan::Kind;
use crate::run::stage::load_stage;
use crate::run::{Runner, waiting};
use crate::store::folder::files;
use crate::store::read::predictions_csv;
use crate::store::record::Prediction;
use crate::store::write_whole;
use crate::train::images::{Images, Split};
use crate::train::views::judge;

impl Runner<'_> {
    pub(super) fn evaluate(
        &mut self,
        network: &mut Network,
        dataset: &Dataset,
        images: &Images<'_>,
        input: Input,
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
            vec![self.evaluate_weights(FINAL, network, dataset, (images, &split), input)?];
        for monitor in &last.checkpoints {
            let folder =
                self.store.step_folder(Kind::Stage.name(), self.key(Kind::Stage, &last.name));
            load_stage(network, &folder, monitor.name())?;
            let named =
                self.evaluate_weights(monitor.name(), network, dataset, (images, &split), input);
            tables.push(named?);
        }
        let key = self.key(Kind::Evaluate, "");
        let keep = |folder: &Path| {
            tables.iter().try_for_each(|(name, table)| write_whole(&folder.join(name), table))
        };
        self.store.step(Kind::Evaluate.name(), key, keep).map(|_| ())
    }

    /// Tests the weights that `network` has, called `weights`, on `split`; writes their predictions and
    /// themselves into the run's folder. Returns the predictions' file name and bytes.
    fn evaluate_weights(
        &mut self,
        weights: &str,
        network: &Network,
        dataset: &Dataset,
        (images, split): (&Images<'_>, &Split<'_>),
        input: Input,
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
            (files::of_weights(files::MODEL, weights), self.model_facts(dataset, input));
        self.log.folder.write_by(&model, |path| write(network, facts, path))?;
        let name = if dataset.test.is_empty() { "valid" } else { "test" };
        let leak_free = Some(leak_free(dataset, split.rows, &predictions));
        let (weights, images) = (weights.to_owned(), split.rows.len());
        let (split, scores, viewed) = (name.to_owned(), judged.scores, judged.viewed);
        let evaluation = Evaluation { weights, split, images, scores, leak_free, viewed };
        self.log.emit(Event::Evaluated(evaluation))?;
        Ok((file, table))
    }

    fn model_facts(&self, dataset: &Dataset, input: Input) -> BTreeMap<String, String> {
        let settings = &self.trial.settings;
        let plain = |it: serde_json::Value| it.as_str().map_or(it.to_string(), str::to_owned);
        [
            ("format", "ferrite-1".to_owned()),
            (facts::BACKBONE, plain(serde_json::json!(settings.model.backbone))),
            (facts::INPUT, plain(serde_json::json!(input))),
            ("image_size", settings.data.image_size.to_string()),
            ("classes", dataset.classes.join(",")),
            ("key", self.trial.key.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// The accuracy on `rows` that no training image has an exact twin of.
fn leak_free(dataset: &Dataset, rows: &[u32], predictions: &[Prediction]) -> LeakFree {
    let leaks = dataset.leaks(rows);
    let clean = predictions.iter().zip(&leaks).filter(|(_, leaks)| !**leaks).map(|(it, _)| it);
    let right = clean.clone().filter(|it| it.truth == it.predicted).count();
    let images = clean.count();
    LeakFree { images, accuracy: (images > 0).then(|| right as f64 / images as f64) }
}

fn predictions(dataset: &Dataset, rows: &[u32], probabilities: &[f32]) -> Vec<Prediction> {
    let of_rows = rows.iter().zip(probabilities.chunks(dataset.classes.len()));
    of_rows
        .map(|(row, probabilities)| {
            let best = |a: &usize, b: &usize| probabilities[*a].total_cmp(&probabilities[*b]);
            Prediction {
                id: dataset.ids[*row as usize].clone(),
                truth: usize::from(dataset.labels[*row as usize]),
                // The first of equals, as in numpy's and PyTorch's argmax.
                predicted: (0..probabilities.len()).rev().max_by(best).unwrap_or_default(),
                probabilities: probabilities.iter().map(|it| f64::from(*it)).collect(),
            }
        })
        .collect()
}
