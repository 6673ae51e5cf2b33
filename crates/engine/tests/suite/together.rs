//! Runs that answer together in `ferrite predict`: the mean of what each says alone, as `ferrite ensemble` has it.

use ferrite_testing::{Place, Told};
use serde_json::Value;

use crate::faces::{self, PHOTOS, STAGE, group, png};
use crate::pictures::{self, experiment};

/// The objects that `ferrite predict` prints.
#[track_caller]
fn predicted(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let told = predict(place, arguments, &["--json"]);
    told.ends_with(0).out.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn predict(place: &Place, arguments: &[&str], more: &[&str]) -> Told {
    place.ferrite(&[&["predict", "--device", "cpu"], arguments, more].concat())
}

/// The probabilities of an object that tells some.
fn probabilities(told: &Value) -> Vec<f64> {
    let by_class = told["probabilities"].as_object().unwrap();
    by_class.values().map(|it| it.as_f64().unwrap()).collect()
}

/// Holds what is said of something together against what each run says of it alone.
#[track_caller]
fn is_the_mean(together: &Value, alone: &[&Value]) {
    let mean: Vec<f64> = (0..probabilities(together).len())
        .map(|class| {
            let of = alone.iter().map(|it| probabilities(it)[class]);
            of.sum::<f64>() / alone.len() as f64
        })
        .collect();
    for (said, mean) in probabilities(together).iter().zip(&mean) {
        assert!((said - mean).abs() < 1e-12, "{together} is not {mean:?}");
    }
    let runs = together["runs"].as_array().unwrap();
    assert_eq!(runs.len(), alone.len());
    for (told, alone) in runs.iter().zip(alone) {
        // To the last digit: each sees and computes what it would alone.
        assert_eq!(told["probabilities"], alone["probabilities"]);
        assert_eq!(told["prediction"], alone["prediction"]);
    }
    let agree = alone.iter().filter(|it| it["prediction"] == together["prediction"]).count();
    assert_eq!(together["agree"], agree);
}

#[test]
fn what_runs_say_together_of_test_pictures_is_what_ferrite_ensemble_says_of_them() {
    let flipped = experiment("[evaluate]\nviews = 'flip'", "").replace("= 48", "= 32");
    let place =
        Place::with(&[("seeds", &experiment("seeds = [0, 1, 2]", "")), ("flipped", &flipped)]);
    pictures::faces(&place);
    place.sweep_well();
    let asked = ["ensemble", "seeds", "flipped", "--predictions", "together.csv"];
    place.ferrite(&asked).ends_with(0);
    let table = std::fs::read_to_string(place.path("together.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|it| it.split(',').collect()).collect();
    let paths: Vec<String> = rows.iter().map(|it| format!("faces/{}", it[0])).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    assert_eq!(paths.len(), 40);
    let together = [&["seeds", "--with", "flipped"], &paths[..]].concat();
    let told = predict(&place, &together, &["--csv"]);
    told.ends_with(0).says("4 runs answer together: `seeds/seed-0-").says("`flipped/seed-0-");
    let mut lines = told.out.lines();
    assert_eq!(lines.next(), Some("path,prediction,runs,agree,wide,narrow"));
    for (line, row) in lines.zip(&rows) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((cells[1], cells[2]), (row[2], "4"), "{line} and {row:?}");
        for (said, expected) in cells[4..].iter().zip(&row[3..]) {
            let apart: f64 = said.parse::<f64>().unwrap() - expected.parse::<f64>().unwrap();
            // Runs keep six digits.
            assert!(apart.abs() < 2.1e-6, "{line} and {row:?}");
        }
    }
    // And it is the mean of what each says alone.
    let alone = ["seeds/seed-0", "seeds/seed-1", "seeds/seed-2", "flipped"];
    let alone = alone.map(|run| predicted(&place, &[&[run], &paths[..]].concat()));
    let together = predicted(&place, &together);
    assert_eq!(together.len(), 40);
    for (at, together) in together.iter().enumerate() {
        let alone: Vec<&Value> = alone.iter().map(|it| &it[at]).collect();
        is_the_mean(together, &alone);
        assert!(together["runs"][3]["run"].as_str().unwrap().starts_with("flipped/seed-0"));
    }
    let told = predict(&place, &["seeds", paths[0]], &[]);
    told.ends_with(0).says("of 3 agree");
}

#[test]
fn runs_that_cannot_answer_together_are_refused() {
    let reversed = experiment("", "").replace("'wide', 'narrow'", "'narrow', 'wide'");
    let place =
        Place::with(&[("seeds", &experiment("seeds = [0, 1]", "")), ("reversed", &reversed)]);
    pictures::faces(&place);
    place.sweep_well();
    let picture = "faces/wide/000.png";
    let refused = |arguments: &[&str], words: &[&str]| {
        let told = predict(&place, arguments, &[picture]);
        words.iter().fold(told.ends_with(2), |it, words| it.says(words));
        assert_eq!(told.out, "");
    };
    let other =
        ["`seeds/seed-0-", "and `reversed/seed-0-", "in another order: wide, narrow; narrow, wide"];
    refused(&["seeds/seed-0", "--with", "reversed"], &other);
    let whole = place.runs().into_iter().find(|it| it.name().starts_with("seeds/seed-1")).unwrap();
    let folder = whole.folder.to_str().unwrap();
    for twice in [&["seeds/seed-1", "--with", "seeds/seed-1"], &["seeds", "--with", folder]] {
        refused(twice, &["`seeds/seed-1-", "is named twice"]);
    }
    let changed = ["sweep", "reversed", "--threads", "1", "--set", "augment.flip=0.5"];
    place.ferrite(&changed).ends_with(0);
    let differ = "`reversed` has 2 runs that differ in more than their seeds: in `augment.flip`";
    refused(&["reversed"], &[differ]);
    place.ferrite(&["ensemble", "reversed"]).ends_with(2).says(differ);
    place.ferrite(&["ensemble", "seeds", folder]).ends_with(2).says("is named twice");
    refused(&["seeds", "--with", "nothing"], &["there is no run `nothing`"]);
    refused(&["seeds", "--weights", "valid_loss"], &["the run has no weights `valid_loss`"]);
    // An experiment answers as a whole or not at all.
    std::fs::remove_file(whole.folder.join("model.safetensors")).unwrap();
    let told = predict(&place, &["seeds"], &[picture]);
    assert_ne!(told.code, Some(0), "{told:?}");
    told.says("seeds/seed-1-").says("model.safetensors");
}

#[test]
fn faces_are_told_once_and_seen_by_each_run_as_it_would_see_them_alone() {
    let with = |faces: &str| format!("{PHOTOS}[data.faces]\n{faces}{STAGE}");
    let tight = with("align = 'off'\nmargin = -0.1").replace("= 48", "= 40");
    let experiments = [
        ("aligned", format!("seeds = [0, 1]\n{}", with(""))),
        ("tight", tight),
        ("other", with("detector = { yunet = { sizes = [300], looks = 1 } }")),
        ("blind", with("detector = { yunet = { score = 0.999 } }")),
        ("plain", format!("{PHOTOS}{STAGE}")),
    ];
    let place = faces::place(&experiments.each_ref().map(|(name, text)| (*name, text.as_str())));
    place.write("group.png", png(group()));
    place.sweep_well();
    let faces = |arguments: &[&str]| {
        let told = predicted(&place, &[arguments, &["group.png"]].concat());
        told[0]["faces"].as_array().unwrap().clone()
    };
    let together = faces(&["aligned", "--with", "tight", "--annotate", "marked"]);
    assert!(place.path("marked/group.png").is_file());
    let alone = ["aligned/seed-0", "aligned/seed-1", "tight"].map(|it| faces(&[it]));
    assert_eq!((together.len(), alone[2].len()), (2, 2));
    for (at, face) in together.iter().enumerate() {
        is_the_mean(face, &alone.each_ref().map(|it| &it[at]));
        assert_eq!(
            (&face["bounds"], &face["score"]),
            (&alone[0][at]["bounds"], &alone[0][at]["score"])
        );
    }
    // Detectors with other settings find faces in other places; those that lie over each other are one.
    let other = faces(&["other"]);
    let both = faces(&["tight", "--with", "other"]);
    assert_eq!((other.len(), both.len()), (2, 2));
    for face in &both {
        let left = |it: &Value| it["bounds"]["left"].as_f64().unwrap();
        let same = |all: &[Value]| {
            all.iter().find(|it| (left(it) - left(face)).abs() < 40.0).unwrap().clone()
        };
        is_the_mean(face, &[&same(&alone[2]), &same(&other)]);
        assert_ne!(face["bounds"], same(&other)["bounds"], "both detectors are the same");
    }
    // Of a face that one detector does not find, the others speak.
    for asked in [["tight", "--with", "blind"], ["blind", "--with", "tight"]] {
        let found = faces(&asked);
        assert_eq!(found.len(), 2);
        for (face, alone) in found.iter().zip(&alone[2]) {
            is_the_mean(face, &[alone]);
        }
    }
    // A face is one thing, a picture another, unless all are asked about the same.
    let mixed = ["plain", "--with", "tight"];
    let told = predict(&place, &mixed, &["group.png"]);
    told.ends_with(2)
        .says("`tight/seed-0-")
        .says("looks for faces and `plain/seed-0-")
        .says("--assume-face");
    assert_eq!(faces(&[&mixed[..], &["--find-faces"]].concat()).len(), 2);
    let whole = predicted(&place, &[&mixed[..], &["--assume-face", "group.png"]].concat());
    let alone = ["plain", "tight"].map(|it| predicted(&place, &[it, "--assume-face", "group.png"]));
    is_the_mean(&whole[0], &alone.each_ref().map(|it| &it[0]));
}
