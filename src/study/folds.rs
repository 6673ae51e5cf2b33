//! Cross-validations: the runs of all folds under one seed, told as one record.
//!
//! Every image is in one fold, so a whole cross-validation has one answer for each of them, by the network that had not seen
//! it. Scores are counted over these answers, as over the answers of one network to one test split.
//!
//! **Invariant:** a cross-validation has scores only when all of its folds are finished.

use std::collections::BTreeMap;

use ferrite_core::event::Evaluation;
use ferrite_core::event::audit::LeakFree;
use ferrite_core::store::Store;
use ferrite_core::store::read::{Runs, all};
use ferrite_core::store::record::{Record, State};
use toml::{Table, Value};

use ferrite_core::config::flat::{Flat, flatten};

/// The fold that a run tests, counted from 1, and how many there are; none where it is no part of a cross-validation.
pub(crate) fn fold(record: &Record) -> Option<[usize; 2]> {
    let split = record.settings.get("data")?.get("split")?;
    let number = |key: &str| usize::try_from(split.get(key)?.as_integer()?).ok();
    Some([number("fold")?, number("folds")?])
}

/// All runs of `store`, those of each cross-validation gathered.
pub(crate) fn read(store: &Store) -> Runs {
    let mut runs = all(store);
    gather(&mut runs);
    runs
}

/// Gathers the runs of each cross-validation among `runs`.
pub(crate) fn gather(runs: &mut Runs) {
    runs.records = gathered(std::mem::take(&mut runs.records));
}

/// `records` with the runs of each cross-validation under one seed gathered in one record.
pub(crate) fn gathered(records: Vec<Record>) -> Vec<Record> {
    let mut all = Vec::new();
    let mut parts = BTreeMap::<(String, Flat, String), Vec<Record>>::new();
    for record in records {
        if fold(&record).is_none() {
            all.push(record);
            continue;
        }
        let seeds = record.settings.get("seeds").map_or_else(String::new, Value::to_string);
        let of = (record.experiment.clone(), flatten(&record.settings), seeds);
        parts.entry(of).or_default().push(record);
    }
    all.extend(parts.into_values().map(whole));
    all
}

/// The cross-validation that `folds` are of; there is one at least.
fn whole(mut folds: Vec<Record>) -> Record {
    let order = |it: &Record| (fold(it), it.state != State::Finished, u64::MAX - it.began_ms);
    folds.sort_by_key(order);
    // A fold may lie there twice, as when a file was changed and its run trained anew: the newest counts.
    let mut counted: Vec<&Record> = folds.iter().collect();
    counted.dedup_by_key(|it| fold(it));
    let (first, of) = (counted[0], fold(counted[0]).map_or(0, |it| it[1]));
    let state = state(&counted, of);
    let mut facts = first.facts.clone();
    let done = state == State::Finished;
    facts.evaluation = if done { evaluation(&counted) } else { None };
    facts.others = Vec::new();
    if let Some(dataset) = &mut facts.dataset {
        let tested = counted.iter().filter_map(|it| it.facts.dataset.as_ref()?.counts.get("test"));
        let sum = sum(tested);
        dataset.counts.insert("test".into(), sum);
    }
    let predictions = counted.iter().filter(|_| done).flat_map(|it| &it.predictions);
    Record {
        experiment: first.experiment.clone(),
        trial: without_fold(&first.trial),
        description: first.description.clone(),
        folder: first.folder.clone(),
        settings: without_setting(&first.settings),
        began_ms: counted.iter().map(|it| it.began_ms).min().unwrap_or_default(),
        seconds: counted.iter().map(|it| it.seconds).sum(),
        predictions: predictions.cloned().collect(),
        facts,
        state,
        folds,
    }
}

/// How far all `of` folds are: finished if all are, and failed if one is.
fn state(folds: &[&Record], of: usize) -> State {
    let failed = folds.iter().find(|it| matches!(it.state, State::Failed(_)));
    if let Some(it) = failed {
        return it.state.clone();
    }
    if folds.iter().any(|it| it.state == State::Running) {
        return State::Running;
    }
    let finished = folds.iter().filter(|it| it.state == State::Finished).count();
    if finished == of { State::Finished } else { State::Interrupted }
}

/// What the tests of all folds say together: means over images.
fn evaluation(folds: &[&Record]) -> Option<Evaluation> {
    let all: Vec<&Evaluation> =
        folds.iter().map(|it| it.facts.evaluation.as_ref()).collect::<Option<_>>()?;
    let images: usize = all.iter().map(|it| it.images).sum();
    let mean = |score: &dyn Fn(&Evaluation) -> f64| {
        all.iter().map(|it| score(it) * it.images as f64).sum::<f64>() / images.max(1) as f64
    };
    let mut whole = (*all.first()?).clone();
    whole.images = images;
    whole.scores.accuracy = mean(&|it| it.scores.accuracy);
    whole.scores.loss = mean(&|it| it.scores.loss);
    whole.predicted = sum(all.iter().map(|it| &it.predicted));
    let clean = all.iter().map(|it| it.leak_free).collect::<Option<Vec<LeakFree>>>();
    whole.leak_free = clean.map(|it| leak_free(&it));
    if let Some(viewed) = &mut whole.viewed {
        let plain = |it: &Evaluation| it.viewed.as_ref().map_or(f64::NAN, |it| it.plain.accuracy);
        viewed.plain.accuracy = mean(&plain);
    }
    Some(whole)
}

fn leak_free(all: &[LeakFree]) -> LeakFree {
    let images = all.iter().map(|it| it.images).sum();
    let right: f64 = all.iter().map(|it| it.accuracy.unwrap_or(0.0) * it.images as f64).sum();
    LeakFree {
        images,
        accuracy: (images > 0).then(|| right / images as f64),
        inherited: all.iter().map(|it| it.inherited).sum(),
        unknown: all.iter().any(|it| it.unknown),
    }
}

/// The sum of `all`, place by place.
fn sum<'a>(all: impl Iterator<Item = &'a Vec<usize>>) -> Vec<usize> {
    all.fold(Vec::new(), |mut sum, it| {
        sum.resize(sum.len().max(it.len()), 0);
        sum.iter_mut().zip(it).for_each(|(sum, it)| *sum += it);
        sum
    })
}

/// The name of a trial without its fold and its key: that of the whole cross-validation.
fn without_fold(trial: &str) -> String {
    let name = trial.rsplit_once('-').map_or(trial, |it| it.0);
    let is_fold =
        |it: &&str| it.strip_prefix("fold-").is_some_and(|it| it.parse::<usize>().is_ok());
    name.split('_').filter(|it| !is_fold(it)).collect::<Vec<_>>().join("_")
}

fn without_setting(settings: &Table) -> Table {
    let mut settings = settings.clone();
    let split = settings.get_mut("data").and_then(|it| it.get_mut("split"));
    if let Some(split) = split.and_then(Value::as_table_mut) {
        split.remove("fold");
    }
    settings
}
