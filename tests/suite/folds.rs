//! Cross-validation as one experiment: which trials it becomes, and what they share.

use std::collections::BTreeSet;

use ferrite_core::config::read::read;
use ferrite_core::error::Result;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::{Trial, trials};
use ferrite_testing::{Place, SMALL};

use crate::disk::NamesAsContent;

fn planned(more: &str, changes: &[&str]) -> Result<Vec<Trial>> {
    let place = Place::with(&[("e", SMALL), ("folds", &format!("extends = 'e.toml'\n{more}"))]);
    let changes: Vec<String> = changes.iter().map(|it| (*it).to_owned()).collect();
    trials(&read(&[place.path("experiments/folds.toml")], &changes)?, &NamesAsContent)
}

fn ids(trials: &[Trial]) -> Vec<String> {
    trials.iter().map(|it| it.id.rsplit_once('-').unwrap().0.to_owned()).collect()
}

#[test]
fn five_folds_with_two_seeds_are_ten_trials_of_one_data_set() {
    let all = planned("seeds = [0, 1]\n[data.split]\nfolds = 5", &[]).unwrap();
    let expected: Vec<_> =
        (1..=5).flat_map(|fold| [0, 1].map(|seed| format!("fold-{fold}_seed-{seed}"))).collect();
    assert_eq!(ids(&all), expected);
    let keys = |kind: Kind| -> BTreeSet<String> {
        let steps = all.iter().flat_map(|it| &it.steps).filter(|it| it.kind == kind);
        steps.map(|it| it.key.clone()).collect()
    };
    assert_eq!((keys(Kind::Dataset).len(), keys(Kind::Stage).len()), (1, 10));
    // A backbone without pretrained weights is another one for each seed, so its features are, too.
    assert_eq!(keys(Kind::Features).len(), 3 * 5 * 2);
    assert!(all.iter().all(|it| it.settings.data.split.folds == Some(5)));
}

#[test]
fn one_fold_alone_is_the_same_trial_as_among_the_others() {
    let all = planned("[data.split]\nfolds = 5", &[]).unwrap();
    let one = planned("[data.split]\nfolds = 5", &["data.split.fold=3"]).unwrap();
    assert_eq!(one, all[2..3]);
    let grid = planned("[data.split]\nfolds = 5\n[grid]\n'data.split.fold' = [3, 4]", &[]).unwrap();
    let keys = |trials: &[Trial]| trials.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&grid), keys(&all[2..4]));
    assert_eq!(ids(&grid), ["fold-3_seed-0", "fold-4_seed-0"]);
    let counts = planned("[grid]\n'data.split.folds' = [2, 3]", &[]).unwrap();
    assert_eq!(
        ids(&counts),
        [
            "folds-2_fold-1_seed-0",
            "folds-2_fold-2_seed-0",
            "folds-3_fold-1_seed-0",
            "folds-3_fold-2_seed-0",
            "folds-3_fold-3_seed-0"
        ]
    );
}

#[test]
fn so_many_folds_are_counted_before_any_is_planned() {
    let error = planned(
        "seeds = [0, 1, 2]\n[data.split]\nfolds = 500\n[grid]\n'model.head.dropout' = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]",
        &[],
    );
    let told = format!("{:?}", miette::Report::new(error.unwrap_err()));
    assert!(told.contains("makes 10500 trials (7 x 500 x 3)"), "{told}");
}

#[test]
fn what_folds_decide_is_not_written_beside_them() {
    let error = planned("[data.split]\nfolds = 5\ntest = 0.2", &[]);
    let told = format!("{:?}", miette::Report::new(error.unwrap_err()));
    assert!(told.contains("must be left out with `folds`"), "{told}");
    let faces = planned("[data.split]\nfolds = 5\ngroups = true", &[]);
    let told = format!("{:?}", miette::Report::new(faces.unwrap_err()));
    assert!(told.contains("faces without `persons`"), "{told}");
    planned("[data.split]\nfolds = 5\ngroups = true", &["data.source.synthetic.persons=9"])
        .unwrap();
}
