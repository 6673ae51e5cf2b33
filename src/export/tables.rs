//! Tables as CSV (RFC 4180): configurations, runs, comparisons, classes.
//!
//! Numbers stand with all their digits, accuracies and differences as shares of 1, times in seconds. What is not known is
//! empty, what is not a number `NaN`.

use std::collections::BTreeMap;
use std::fs;

use ferrite_core::metrics::scores::{Confusion, Stat, calibration_error, class_auc};
use ferrite_core::store::record::State;

use crate::format;
use crate::report::files::ENVIRONMENT;
use crate::study::comparison::{Comparison, accuracy_interval};
use crate::study::judged::Judged;
use crate::study::splits::in_source;
use crate::study::{Configuration, Run};
use ferrite_core::config::flat::{differences, plain};

/// One row a configuration; behind its scores the settings that are not the same for all, by their dotted keys.
pub(super) fn configurations(judged: &Judged<'_, '_>) -> String {
    let all = &judged.study.configurations;
    let settings = differences(&all.iter().map(|it| &it.settings).collect::<Vec<_>>());
    let own = [
        "configuration",
        "experiment",
        "about",
        "extends",
        "rank",
        "comparable",
        "seeds",
        "folds",
        "runs",
        "finished",
        "split",
        "split_in_source",
        "images",
        "accuracy_mean",
        "accuracy_sd",
        "accuracy_low",
        "accuracy_high",
        "valid_accuracy_mean",
        "valid_accuracy_sd",
        "macro_f1_mean",
        "macro_f1_sd",
        "roc_auc_mean",
        "roc_auc_sd",
        "loss_mean",
        "loss_sd",
        "kept_epochs",
        "epochs_mean",
        "parameters",
        "parameters_trainable",
        "seconds_mean",
        "seconds_sd",
        "joules_mean",
        "joules_sd",
    ];
    let header = own.map(str::to_owned).into_iter().chain(settings.iter().map(|it| it.key.clone()));
    let rows = all.iter().enumerate().map(|(at, it)| {
        let values =
            settings.iter().map(|row| row.values[at].as_deref().map_or("", plain).to_owned());
        configuration(it).into_iter().chain(values).collect()
    });
    write_csv(header.collect(), rows)
}

fn configuration(it: &Configuration<'_>) -> Vec<String> {
    let judged = it.finished().find(|it| it.split().is_some());
    let split = judged.and_then(Run::split);
    let in_source = judged.zip(split).and_then(|(run, split)| in_source(run.record, split));
    let images = judged.and_then(|it| it.record.facts.evaluation.as_ref()).map(|it| it.images);
    let interval = accuracy_interval(it);
    let parameters = it.runs.iter().find_map(Run::parameters);
    let mut row = vec![
        it.label.clone(),
        it.experiment().to_owned(),
        it.about().to_owned(),
        it.extends().join("; "),
        known(it.rank),
        it.comparable.to_string(),
        words(it.runs.iter().map(|it| it.seed.clone())),
        it.settings.get("data.split.folds").cloned().unwrap_or_default(),
        it.trained().count().to_string(),
        it.finished().flat_map(Run::trained).count().to_string(),
        split.unwrap_or_default().to_owned(),
        in_source.unwrap_or_default().to_owned(),
        known(images),
    ];
    let stat = |it: Option<Stat>| [known(it.map(|it| it.mean)), known(it.and_then(|it| it.sd))];
    row.extend(stat(it.stat(Run::test_accuracy)));
    row.extend([known(interval.map(|it| it[0])), known(interval.map(|it| it[1]))]);
    row.extend(stat(it.stat(Run::valid_accuracy)));
    row.extend(stat(it.stat(Run::macro_f1)));
    row.extend(stat(it.stat(Run::roc_auc)));
    row.extend(stat(it.stat(Run::test_loss)));
    let kept = it.finished().flat_map(Run::trained).filter_map(Run::epoch);
    row.push(words(kept.map(|it| it.epoch.to_string())));
    row.push(known(it.stat(|it| Some(it.epochs() as f64)).map(|it| it.mean)));
    row.extend([known(parameters.map(|it| it.1)), known(parameters.map(|it| it.0))]);
    row.extend(stat(it.stat(|it| Some(it.record.seconds))));
    row.extend(stat(it.stat(Run::joules)));
    row
}

/// One row a run.
pub(super) fn runs(judged: &Judged<'_, '_>) -> String {
    let header = [
        "run",
        "experiment",
        "configuration",
        "key",
        "seed",
        "fold",
        "state",
        "failure",
        "help",
        "exit_code",
        "began",
        "seconds",
        "joules",
        "device",
        "threads",
        "precision",
        "ferrite",
        "libtorch",
        "commit",
        "processor",
        "system",
        "split",
        "split_in_source",
        "images",
        "accuracy",
        "loss",
        "valid_accuracy",
        "valid_loss",
        "macro_f1",
        "balanced_accuracy",
        "roc_auc",
        "calibration_error",
        "leak_free_images",
        "leak_free_accuracy",
        "epochs",
        "kept_stage",
        "kept_epoch",
        "parameters",
        "parameters_trainable",
        "folder",
    ];
    let all = judged.study.configurations.iter();
    let rows = all.flat_map(|it| it.trained().map(|run| self::run(it, run)));
    write_csv(header.map(str::to_owned).to_vec(), rows)
}

fn run(configuration: &Configuration<'_>, run: &Run<'_>) -> Vec<String> {
    let record = run.record;
    let start = record.facts.start.as_ref();
    let failure = match &record.state {
        State::Failed(it) => Some(it),
        _ => None,
    };
    let environment = fs::read_to_string(record.folder.join(ENVIRONMENT)).unwrap_or_default();
    let environment: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&environment).unwrap_or_default();
    let said =
        |key: &str| environment.get(key).and_then(|it| it.as_str()).unwrap_or_default().to_owned();
    let evaluation = record.facts.evaluation.as_ref();
    let leak_free = evaluation.and_then(|it| it.leak_free);
    let epoch = run.epoch();
    let parameters = run.parameters();
    let split = run.split().unwrap_or_default();
    vec![
        record.name(),
        record.experiment.clone(),
        configuration.label.clone(),
        start.map_or_else(String::new, |it| it.key.clone()),
        run.seed.clone(),
        known(run.fold().map(|it| it[0])),
        record.state.word().to_owned(),
        failure.map_or_else(String::new, |it| it.message.clone()),
        failure.map_or_else(String::new, |it| it.help.clone()),
        known(failure.map(|it| it.exit_code)),
        format::iso_moment(record.began_ms),
        record.seconds.to_string(),
        known(run.joules()),
        start.map_or_else(String::new, |it| it.device.clone()),
        known(start.map(|it| it.threads)),
        start.map_or_else(String::new, |it| it.precision.clone()),
        start.map_or_else(String::new, |it| it.ferrite.clone()),
        said("libtorch"),
        said("commit"),
        said("processor"),
        said("system"),
        split.to_owned(),
        in_source(record, split).unwrap_or_default().to_owned(),
        known(evaluation.map(|it| it.images)),
        known(run.test_accuracy()),
        known(run.test_loss()),
        known(run.valid_accuracy()),
        known(epoch.map(|it| it.valid.loss)),
        known(run.macro_f1()),
        known(run.confusion.as_ref().and_then(Confusion::balanced_accuracy)),
        known(run.roc_auc()),
        known(calibration_error(&record.predictions)),
        known(leak_free.map(|it| it.images)),
        known(leak_free.and_then(|it| it.accuracy)),
        run.epochs().to_string(),
        epoch.map_or_else(String::new, |it| it.stage.clone()),
        known(epoch.map(|it| it.epoch)),
        known(parameters.map(|it| it.1)),
        known(parameters.map(|it| it.0)),
        run.place.to_string_lossy().into_owned(),
    ]
}

/// One row a comparison; p is adjusted within the `family`.
pub(super) fn comparisons(judged: &Judged<'_, '_>) -> String {
    let header = [
        "family",
        "extends",
        "technique",
        "from",
        "to",
        "from_experiment",
        "to_experiment",
        "changes",
        "seeds",
        "images",
        "split",
        "accuracy_from",
        "accuracy_to",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "verdict",
    ];
    let all = judged.comparisons();
    let effects = all.effects.iter().map(|it| comparison("effects", it));
    let rows = effects.chain(all.pairs.iter().map(|it| comparison("best", it)));
    write_csv(header.map(str::to_owned).to_vec(), rows)
}

fn comparison(family: &str, it: &Comparison<'_, '_>) -> Vec<String> {
    let unset = |value: Option<&str>| value.unwrap_or("not set").to_owned();
    let changes = it.changes.iter();
    let changes = changes.map(|it| format!("{}: {} -> {}", it.key, unset(it.from), unset(it.to)));
    let [low, high] = it.difference.interval;
    vec![
        family.to_owned(),
        it.extends.to_string(),
        it.technique.clone(),
        it.from.label.clone(),
        it.to.label.clone(),
        it.from.experiment().to_owned(),
        it.to.experiment().to_owned(),
        changes.collect::<Vec<_>>().join("; "),
        words(it.seeds.iter().map(|it| it.seed.clone())),
        it.images.to_string(),
        it.split().unwrap_or_default().to_owned(),
        it.accuracies[0].to_string(),
        it.accuracies[1].to_string(),
        it.difference.mean.to_string(),
        low.to_string(),
        high.to_string(),
        it.difference.p.to_string(),
        it.p.to_string(),
        it.verdict.words().to_owned(),
    ]
}

/// One row a configuration and class: over the predictions of all its seeds; the ROC AUC is the mean over seeds.
pub(super) fn classes(judged: &Judged<'_, '_>) -> String {
    let header = [
        "configuration",
        "experiment",
        "class_index",
        "class",
        "support",
        "predicted",
        "precision",
        "recall",
        "f1",
        "roc_auc",
    ];
    let rows = judged.study.configurations.iter().flat_map(|it| {
        let confusion = it.confusion();
        let scores = confusion.as_ref().map_or_else(Vec::new, Confusion::classes);
        let names = it.classes(scores.len());
        scores.into_iter().enumerate().map(move |(at, scores)| {
            vec![
                it.label.clone(),
                it.experiment().to_owned(),
                at.to_string(),
                names[at].clone(),
                scores.support.to_string(),
                scores.predicted.to_string(),
                known(scores.precision),
                known(scores.recall),
                known(scores.f1),
                known(it.stat(|run| class_auc(&run.record.predictions, at)).map(|it| it.mean)),
            ]
        })
    });
    write_csv(header.map(str::to_owned).to_vec(), rows)
}

fn write_csv(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(header).chain(rows) {
        writer
            .write_record(row)
            .expect("every row has the columns of the header, and memory takes all");
    }
    let bytes = writer.into_inner().expect("memory takes all");
    String::from_utf8(bytes).expect("what is written is UTF-8")
}

/// A number with all its digits, or nothing.
fn known(it: Option<impl ToString>) -> String {
    it.map_or_else(String::new, |it| it.to_string())
}

fn words(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(" ")
}
