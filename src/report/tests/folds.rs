//! Folds of a made-up study: what they say together.

use std::path::Path;

use ferrite_core::metrics::scores::roc_auc;
use ferrite_core::store::record::{Record, State};
use toml::Value;

use crate::report::example::many;
use crate::report::tests::index;
use crate::study::comparison::{accuracy_interval, beside};
use crate::study::folds::gathered;
use crate::study::{Run, Study};

/// `record` as five folds, which tested every fifth image each.
fn dealt(record: &Record) -> Vec<Record> {
    let fold = |fold: i64| {
        let mut it = record.clone();
        it.trial = format!("{}_fold-{fold}_seed-0-0123abcd", it.trial.replace('_', "-"));
        it.folder = it.folder.with_file_name(&it.trial);
        let predictions = it.predictions.into_iter().skip(fold as usize - 1).step_by(5);
        it.predictions = predictions.collect();
        let right = it.predictions.iter().filter(|it| it.is_right()).count();
        let images = it.predictions.len();
        let evaluation = it.facts.evaluation.as_mut().unwrap();
        (evaluation.images, evaluation.leak_free) = (images, None);
        evaluation.scores.accuracy = right as f64 / images as f64;
        let split = format!("folds = 5\nfold = {fold}\nvalid = 0.15\nseed = 0");
        let data = it.settings["data"].as_table_mut().unwrap();
        data.insert("split".into(), Value::Table(split.parse().unwrap()));
        it
    };
    // As folders are read: in no order of folds.
    [3, 1, 5, 2, 4].map(fold).to_vec()
}

fn crossed(runs: &Path, configurations: usize) -> (Vec<Record>, Vec<Record>) {
    let mut whole = many(runs, 3 * configurations);
    for it in &mut whole {
        // Fewer are enough, of all classes.
        it.predictions = it.predictions.drain(..).step_by(6).collect();
    }
    let folds = whole.iter().flat_map(dealt).collect();
    (whole, folds)
}

#[test]
fn pooled_scores_are_those_of_all_answers_together() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, folds) = crossed(folder.path(), 2);
    let pooled = gathered(folds);
    let study = Study::of(&pooled, &[], folder.path());
    assert_eq!((study.configurations.len(), study.runs().count()), (2, 30));
    let plain = Study::of(&whole, &[], folder.path());
    for (it, plain) in study.configurations.iter().zip(&plain.configurations) {
        assert_eq!((it.label.as_str(), it.runs.len()), (plain.label.as_str(), 3));
        for (run, plain) in it.runs.iter().zip(&plain.runs) {
            assert_eq!(run.seed, plain.seed);
            // By hand: right answers of all folds over all images.
            let right: usize = run
                .folds
                .iter()
                .flat_map(|it| &it.record.predictions)
                .filter(|it| it.is_right())
                .count();
            let accuracy = right as f64 / run.record.predictions.len() as f64;
            assert!((run.test_accuracy().unwrap() - accuracy).abs() < 1e-12);
            assert_eq!(run.test_accuracy(), plain.test_accuracy());
            assert_eq!(run.macro_f1(), plain.macro_f1());
            assert_eq!(run.confusion, plain.confusion);
            assert_eq!(roc_auc(&run.record.predictions), roc_auc(&plain.record.predictions));
            let said = run.record.facts.evaluation.as_ref().unwrap();
            assert!((said.scores.accuracy - accuracy).abs() < 1e-12);
            assert_eq!(said.images, plain.record.predictions.len());
            assert!((run.record.seconds - 5.0 * plain.record.seconds).abs() < 1e-6);
            let order: Vec<_> = run.folds.iter().filter_map(Run::fold).collect();
            assert_eq!(order, (1..=5).map(|it| [it, 5]).collect::<Vec<_>>());
            assert!(run.record.trial.ends_with("_seed-0"), "{}", run.record.trial);
        }
        assert_eq!(accuracy_interval(it), accuracy_interval(plain));
        assert!(!it.settings.contains_key("data.split.fold"));
    }
    let [a, b] = [&study, &plain].map(|it| beside(&it.configurations[0], &it.configurations[1]));
    assert_eq!(a, b, "comparisons are of pooled answers, image by image");
}

#[test]
fn a_cross_validation_has_no_score_before_all_folds_are_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut folds) = crossed(folder.path(), 1);
    folds.truncate(5);
    let told = |folds: &[Record]| {
        let pooled = gathered(folds.to_vec());
        let study = Study::of(&pooled, &[], folder.path());
        let it = &study.configurations[0];
        let run = &it.runs[0];
        let score = it.stat(Run::test_accuracy).map(|it| it.n);
        (run.record.state.word(), run.folds_done(), score, run.record.predictions.len())
    };
    let images: usize = folds.iter().map(|it| it.predictions.len()).sum();
    assert_eq!(told(&folds), ("finished", Some([5, 5]), Some(1), images));
    assert_eq!(told(&folds[..3]), ("interrupted", Some([3, 5]), None, 0));
    // A fold that lies there twice is one fold.
    let again = Record { began_ms: 1, ..folds[2].clone() };
    let twice = [&folds[..3], std::slice::from_ref(&again)].concat();
    assert_eq!(told(&twice), ("interrupted", Some([3, 5]), None, 0));
    assert_eq!(told(&[folds.as_slice(), &[again]].concat()).3, images);
    folds[4].state = State::Running;
    assert_eq!(told(&folds), ("running", Some([4, 5]), None, 0));
    folds[0].state = State::Interrupted;
    folds[4].state = State::Interrupted;
    assert_eq!(told(&folds), ("interrupted", Some([3, 5]), None, 0));
}

#[test]
fn where_persons_were_kept_together_intervals_go_by_persons() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut folds) = crossed(folder.path(), 2);
    let widths = |folds: &[Record]| {
        let pooled = gathered(folds.to_vec());
        let study = Study::of(&pooled, &[], folder.path());
        let [low, high] = accuracy_interval(&study.configurations[0]).unwrap();
        let [from, to] = [0, 1].map(|it| &study.configurations[it]);
        let estimate = beside(from, to).unwrap();
        (high - low, estimate.mean, estimate.interval[1] - estimate.interval[0])
    };
    let over_images = widths(&folds);
    for it in folds.iter_mut().flat_map(|it| &mut it.predictions) {
        // A person for each class: whoever is easy is easy in all images.
        it.group = format!("person {}", it.truth);
    }
    let over_persons = widths(&folds);
    assert!(over_persons.0 > 3.0 * over_images.0, "{over_persons:?} {over_images:?}");
    assert!((over_persons.1 - over_images.1).abs() < 1e-12);
}

#[test]
fn the_page_tells_every_fold_and_what_they_say_together() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut folds) = crossed(folder.path(), 1);
    folds.pop();
    let page = index(&gathered(folds), folder.path());
    assert!(page.contains("id=\"folds\"") && page.contains("Folds of seed 2"));
    assert!(page.contains("4 of 5 folds are finished, so there is no pooled score yet"));
    assert!(page.contains("pooled accuracy") && page.contains("; over folds "));
    assert!(!page.contains("no group (a person, a video) is on two sides"));
    let rows = page.matches("_fold-3_seed-0-0123abcd/index.html\">3</a>").count();
    assert_eq!(rows, 3, "a row for the third fold of each seed");
}
