//! Event files of made-up runs. What TensorBoard reads in them is tried by `make test-doors`.

use std::path::Path;

use ferrite_core::store::record::{Record, State};

use super::*;
use crate::report::example::records;
use crate::study::Study;

fn export(record: &Record, out: &Path) -> Change {
    let study = Study::of(std::slice::from_ref(record), &[], Path::new("runs"));
    write(study.runs().next().unwrap(), &[], Figures::Drawn, out).unwrap()
}

/// The event file of `record`: its name and its bytes.
fn written(record: &Record, out: &Path) -> (String, Vec<u8>) {
    let folder = out.join(&record.experiment).join(&record.trial);
    let own = own_files(&folder).unwrap();
    let [(name, ..)] = &own[..] else { panic!("{own:?}") };
    (name.clone(), fs::read(folder.join(name)).unwrap())
}

/// A run that has told so many of the epochs of its first stage, and goes on.
fn with_epochs(whole: &Record, n: usize) -> Record {
    let mut record = Record { state: State::Running, predictions: Vec::new(), ..whole.clone() };
    record.facts.evaluation = None;
    record.facts.stages.truncate(1);
    record.facts.stages[0].epochs.truncate(n);
    record.facts.stages[0].end = None;
    record
}

#[test]
fn what_is_new_is_appended_and_the_same_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    let whole = records(Path::new("runs")).swap_remove(0);
    let [three, five] = [3, 5].map(|n| with_epochs(&whole, n));
    assert_eq!(export(&three, out.path()), Change::Written);
    let first = written(&three, out.path());
    assert_eq!(export(&three, out.path()), Change::Nothing);
    for (record, change) in [(&five, Change::Appended), (&whole, Change::Appended)] {
        assert_eq!(export(record, out.path()), change);
        let now = written(record, out.path());
        assert!(now.0 == first.0 && now.1.starts_with(&first.1) && now.1.len() > first.1.len());
    }
    assert_eq!(export(&whole, out.path()), Change::Nothing);
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_keeps_what_it_told() {
    let out = tempfile::tempdir().unwrap();
    let whole = records(Path::new("runs")).swap_remove(0);
    let [three, five] = [3, 5].map(|n| with_epochs(&whole, n));
    export(&five, out.path());
    let before = written(&five, out.path());
    assert_eq!(export(&three, out.path()), Change::Nothing);
    assert_eq!(written(&five, out.path()), before);
    // One that is over will not tell them again.
    let over = Record { state: State::Interrupted, ..three };
    assert_eq!(export(&over, out.path()), Change::Replaced);
    assert!(written(&over, out.path()).1.len() < before.1.len());
}

#[test]
fn what_was_cut_off_is_mended_and_what_is_another_run_gets_a_later_name() {
    let out = tempfile::tempdir().unwrap();
    let whole = records(Path::new("runs")).swap_remove(0);
    export(&whole, out.path());
    let (name, bytes) = written(&whole, out.path());
    let path = out.path().join(&whole.experiment).join(&whole.trial).join(&name);
    fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(export(&whole, out.path()), Change::Appended);
    assert_eq!(written(&whole, out.path()), (name.clone(), bytes.clone()));
    let mut other = whole.clone();
    other.facts.stages[0].epochs[0].train.loss += 1.0;
    assert_eq!(export(&other, out.path()), Change::Replaced);
    let (later, others) = written(&other, out.path());
    assert!(later > name && others != bytes);
    // A file of another program stays.
    let foreign = path.with_file_name("events.out.tfevents.1.host");
    fs_err::write(&foreign, "").unwrap();
    export(&whole, out.path());
    assert!(foreign.exists());
}
