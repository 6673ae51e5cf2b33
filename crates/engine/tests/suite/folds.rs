//! Cross-validation: one experiment, a network for each fold, and scores over all images.

use std::collections::{BTreeMap, BTreeSet};

use ferrite_testing::{Place, SMALL};
use serde_json::Value as Json;

/// Faces of six persons, left out two at a time.
fn experiment() -> String {
    let source = "source = { synthetic = { faces = 300, persons = 6, seed = 5 } }\n    split = { folds = 3, groups = true, valid = 0.2 }";
    SMALL.replace("source = { synthetic = { faces = 80 } }", source)
}

#[test]
fn every_face_is_tested_once_by_a_network_that_never_saw_its_person() {
    let place = Place::with(&[
        ("crossed", &experiment()),
        ("more", "extends = \"crossed.toml\"\nstages = [{ epochs = 3 }]"),
    ]);
    let told = place.sweep_well();
    told.says("(3 folds)");
    assert_eq!(place.steps("dataset").len(), 1, "decoded once for all folds");
    let runs = place.runs();
    assert_eq!(runs.len(), 6);
    let mut right = 0;
    let mut tested = BTreeMap::<String, usize>::new();
    for run in runs.iter().filter(|it| it.experiment == "crossed") {
        // Counted from the file as others would: id, truth, prediction, group, probabilities.
        let text = std::fs::read_to_string(run.folder.join("predictions.csv")).unwrap();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("id,truth,prediction,group,"));
        let mut persons = BTreeSet::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            *tested.entry(cells[0].to_owned()).or_default() += 1;
            right += usize::from(cells[1] == cells[2]);
            persons.insert(cells[3].to_owned());
        }
        assert_eq!(persons.len(), 2);
        let groups =
            run.facts.dataset.as_ref().unwrap().audit.as_ref().unwrap().groups.clone().unwrap();
        assert_eq!((groups.count, groups.in_several_splits), (6, 0));
    }
    assert_eq!((tested.len(), tested.values().max()), (300, Some(&1)));
    let shown = place.ferrite(&["show", "crossed", "--json"]);
    let shown: Json = serde_json::from_str(&shown.out).unwrap();
    let configuration = &shown["configurations"][0];
    let accuracy = configuration["accuracy"]["mean"].as_f64().unwrap();
    assert!((accuracy - right as f64 / 300.0).abs() < 1e-12, "{accuracy} is not {right} of 300");
    assert_eq!((&configuration["folds"], &configuration["finished"]), (&3.into(), &1.into()));
    assert_eq!(configuration["runs"].as_array().unwrap().len(), 3);
    let page = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    assert!(page.contains("id=\"folds\"") && page.contains("none is in two splits"));
    let runs = std::fs::read_to_string(place.path("runs/report/runs.csv"));
    let runs = runs.unwrap_or_else(|_| panic!("{:?}", place.files("runs").keys()));
    assert!(runs.lines().next().unwrap().contains(",seed,fold,state,"));
    // Both are of the same folds: compared image by image.
    place.ferrite(&["diff", "crossed", "more"]).ends_with(0).says("300 images");
    place.ferrite(&["diff", "crossed/fold-1_seed-0", "more/fold-1_seed-0"]).ends_with(0);
    // One fold more or less is said.
    place.sweep_well().says("nothing to do");
}

#[test]
fn a_cross_validation_of_which_folds_are_missing_says_so() {
    let place = Place::with(&[("crossed", &experiment())]);
    place.ferrite(&["sweep", "--set", "data.split.fold=2"]).ends_with(0).says("(1 of 3 folds)");
    let page = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    assert!(page.contains("1 of 3 folds"));
    assert_eq!(place.runs()[0].trial.split('-').take(2).collect::<Vec<_>>(), ["fold", "2_seed"]);
    // The rest is trained when all are asked for, and what is there is not trained again.
    place.sweep_well();
    assert_eq!((place.runs().len(), place.steps("stage").len()), (3, 3));
}

#[test]
fn more_folds_than_persons_fail_with_their_number() {
    let place = Place::with(&[("crossed", &experiment())]);
    let told = place.ferrite(&["sweep", "--set", "data.split.folds=9"]);
    told.says("are of 6 groups, too few for 9 folds");
    assert_ne!(told.code, Some(0));
}
