//! Every epoch and every prediction of a study, as rows of Parquet files.

use std::path::Path;

use ferrite_core::error::Result;
use ferrite_core::metrics::Prediction;
use ferrite_core::store::record::Stage;
use parquet::data_type::ByteArray;

use crate::export::columns::{Column, Lists, Table, Values};
use crate::study::judged::Judged;
use crate::study::splits::in_source;
use crate::study::{Configuration, Run};

/// How many rows are written together: readers like many, and these are some 20 MB here.
const GROUP: usize = 32_768;

/// `predictions.csv` has six decimals, so what stands there as 0 is less than this.
const LEAST_PROBABILITY: f64 = 5e-7;

/// Writes every epoch of every run.
pub(super) fn epochs(judged: &Judged<'_, '_>, path: &Path) -> Result<()> {
    let mut table = Table::at(path);
    let mut rows = Epochs::default();
    for (configuration, run) in all(judged) {
        rows.push(configuration, run);
        if rows.epoch.len() >= GROUP {
            table.write(&std::mem::take(&mut rows).columns())?;
        }
    }
    // A file without rows has its columns all the same.
    table.write(&rows.columns())?;
    table.end()
}

/// Writes every prediction of every finished run.
pub(super) fn predictions(judged: &Judged<'_, '_>, path: &Path) -> Result<()> {
    let mut table = Table::at(path);
    let mut rows = Predictions::default();
    for (configuration, run) in all(judged) {
        let names = Names::of(configuration, run);
        for chunk in run.record.predictions.chunks(GROUP) {
            rows.push(&names, run, chunk);
            if rows.id.len() >= GROUP {
                table.write(&std::mem::take(&mut rows).columns())?;
            }
        }
    }
    table.write(&rows.columns())?;
    table.end()
}

/// Every run with its configuration, the best first.
fn all<'r, 's, 'a>(
    judged: &'r Judged<'s, 'a>,
) -> impl Iterator<Item = (&'s Configuration<'a>, &'s Run<'a>)> + use<'r, 's, 'a> {
    judged.study.configurations.iter().flat_map(|it| it.trained().map(move |run| (it, run)))
}

/// What says of every row which run it is of. Text is shared by all rows.
struct Names {
    run: ByteArray,
    experiment: ByteArray,
    configuration: ByteArray,
    seed: Option<i64>,
    fold: Option<i64>,
}

impl Names {
    fn of(configuration: &Configuration<'_>, run: &Run<'_>) -> Self {
        Self {
            run: text(&run.record.name()),
            experiment: text(&run.record.experiment),
            configuration: text(&configuration.label),
            seed: run.seed.parse().ok(),
            fold: run.fold().map(|it| it[0] as i64),
        }
    }
}

fn text(it: &str) -> ByteArray {
    it.as_bytes().to_vec().into()
}

/// The columns that say which run a row is of.
#[derive(Default)]
struct Whose {
    run: Vec<ByteArray>,
    experiment: Vec<ByteArray>,
    configuration: Vec<ByteArray>,
    seed: Vec<Option<i64>>,
    fold: Vec<Option<i64>>,
}

impl Whose {
    fn push(&mut self, names: &Names) {
        self.run.push(names.run.clone());
        self.experiment.push(names.experiment.clone());
        self.configuration.push(names.configuration.clone());
        self.seed.push(names.seed);
        self.fold.push(names.fold);
    }

    fn columns(self) -> [Column; 5] {
        [
            ("run", Values::Text(self.run)),
            ("experiment", Values::Text(self.experiment)),
            ("configuration", Values::Text(self.configuration)),
            ("seed", Values::MaybeWhole(self.seed)),
            ("fold", Values::MaybeWhole(self.fold)),
        ]
    }
}

#[derive(Default)]
struct Epochs {
    whose: Whose,
    stage: Vec<ByteArray>,
    epoch: Vec<i64>,
    global_epoch: Vec<i64>,
    learning_rate: Vec<f64>,
    /// Training loss and accuracy, validation loss and accuracy.
    scores: [Vec<f64>; 4],
    seconds: Vec<f64>,
    images_per_second: Vec<f64>,
    joules: Vec<Option<f64>>,
    kept: Vec<bool>,
}

impl Epochs {
    fn push(&mut self, configuration: &Configuration<'_>, run: &Run<'_>) {
        let names = Names::of(configuration, run);
        let mut before = 0;
        for stage in &run.record.facts.stages {
            self.push_stage(&names, stage, before);
            before += stage.epochs.len();
        }
    }

    fn push_stage(&mut self, names: &Names, stage: &Stage, before: usize) {
        let name = text(&stage.start.stage);
        let kept = stage.kept().map(|it| it.epoch);
        for (at, it) in stage.epochs.iter().enumerate() {
            self.whose.push(names);
            self.stage.push(name.clone());
            self.epoch.push(it.epoch as i64);
            self.global_epoch.push((before + at + 1) as i64);
            self.learning_rate.push(it.lr);
            let scores = [it.train.loss, it.train.accuracy, it.valid.loss, it.valid.accuracy];
            self.scores.iter_mut().zip(scores).for_each(|(column, it)| column.push(it));
            self.seconds.push(it.seconds);
            self.images_per_second.push(it.images_per_second);
            self.joules.push(it.energy.map(|it| it.joules()));
            self.kept.push(kept == Some(it.epoch));
        }
    }

    fn columns(self) -> Vec<Column> {
        let [train_loss, train_accuracy, valid_loss, valid_accuracy] = self.scores;
        let own = [
            ("stage", Values::Text(self.stage)),
            ("epoch", Values::Whole(self.epoch)),
            ("global_epoch", Values::Whole(self.global_epoch)),
            ("learning_rate", Values::Number(self.learning_rate)),
            ("train_loss", Values::Number(train_loss)),
            ("train_accuracy", Values::Number(train_accuracy)),
            ("valid_loss", Values::Number(valid_loss)),
            ("valid_accuracy", Values::Number(valid_accuracy)),
            ("seconds", Values::Number(self.seconds)),
            ("images_per_second", Values::Number(self.images_per_second)),
            ("joules", Values::MaybeNumber(self.joules)),
            ("kept", Values::Truth(self.kept)),
        ];
        self.whose.columns().into_iter().chain(own).collect()
    }
}

struct Predictions {
    whose: Whose,
    split: Vec<ByteArray>,
    split_in_source: Vec<ByteArray>,
    id: Vec<ByteArray>,
    group: Vec<ByteArray>,
    truth: Vec<i64>,
    truth_class: Vec<ByteArray>,
    predicted: Vec<i64>,
    predicted_class: Vec<ByteArray>,
    correct: Vec<bool>,
    probability_of_truth: Vec<Option<f64>>,
    confidence: Vec<Option<f64>>,
    loss: Vec<Option<f64>>,
    classes: Lists<ByteArray>,
    probabilities: Lists<f64>,
}

impl Default for Predictions {
    fn default() -> Self {
        Self {
            whose: Whose::default(),
            split: Vec::new(),
            split_in_source: Vec::new(),
            id: Vec::new(),
            group: Vec::new(),
            truth: Vec::new(),
            truth_class: Vec::new(),
            predicted: Vec::new(),
            predicted_class: Vec::new(),
            correct: Vec::new(),
            probability_of_truth: Vec::new(),
            confidence: Vec::new(),
            loss: Vec::new(),
            classes: Lists::new(),
            probabilities: Lists::new(),
        }
    }
}

impl Predictions {
    fn push(&mut self, names: &Names, run: &Run<'_>, all: &[Prediction]) {
        let split = run.split().unwrap_or_default();
        let in_source = text(in_source(run.record, split).unwrap_or_default());
        let split = text(split);
        let n_classes = run.confusion.as_ref().map_or(0, |it| it.counts.len());
        let classes: Vec<ByteArray> = run.classes(n_classes).iter().map(|it| text(it)).collect();
        for it in all {
            self.whose.push(names);
            self.split.push(split.clone());
            self.split_in_source.push(in_source.clone());
            self.id.push(text(&it.id));
            self.group.push(text(&it.group));
            self.truth.push(it.truth as i64);
            self.truth_class.push(classes[it.truth].clone());
            self.predicted.push(it.predicted as i64);
            self.predicted_class.push(classes[it.predicted].clone());
            self.correct.push(it.truth == it.predicted);
            let of_truth = it.probabilities.get(it.truth).copied();
            self.probability_of_truth.push(of_truth);
            self.confidence.push(it.probabilities.get(it.predicted).copied());
            self.loss.push(of_truth.map(|it| -it.max(LEAST_PROBABILITY).ln()));
            self.classes.push(classes.iter().take(it.probabilities.len()).cloned());
            self.probabilities.push(it.probabilities.iter().copied());
        }
    }

    fn columns(self) -> Vec<Column> {
        let own = [
            ("split", Values::Text(self.split)),
            ("split_in_source", Values::Text(self.split_in_source)),
            ("id", Values::Text(self.id)),
            ("group", Values::Text(self.group)),
            ("truth", Values::Whole(self.truth)),
            ("truth_class", Values::Text(self.truth_class)),
            ("predicted", Values::Whole(self.predicted)),
            ("predicted_class", Values::Text(self.predicted_class)),
            ("correct", Values::Truth(self.correct)),
            ("probability_of_truth", Values::MaybeNumber(self.probability_of_truth)),
            ("confidence", Values::MaybeNumber(self.confidence)),
            ("loss", Values::MaybeNumber(self.loss)),
            ("classes", Values::Texts(self.classes)),
            ("probabilities", Values::Numbers(self.probabilities)),
        ];
        self.whose.columns().into_iter().chain(own).collect()
    }
}
