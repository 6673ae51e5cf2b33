//! The report as files: some runs, another folder, data for other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferrite_core::event::acts::{Stop, TechniqueEvidence};
use ferrite_core::event::{
    Dataset, Epoch, Evaluation, FINAL, FORMAT, Kind, Layer, NullSink, Scores, Signal, StageEnd,
    StageStart, Start,
};
use ferrite_core::metrics::Prediction;
use ferrite_core::store::folder::{RunFolder, files};
use ferrite_core::store::lock::Caller;
use ferrite_core::store::read::predictions_csv;
use ferrite_testing::Place;

const IMAGES: usize = 40;

/// A finished run of two classes in the folder of `place`, which is right about so many of its images.
fn run(place: &Place, experiment: &str, seed: usize, right: usize) {
    let key = format!("{seed:08x}{:056}", 0);
    let name = format!("{experiment}/seed-{seed}-{seed:08x}");
    let caller = &mut Caller { sink: &mut NullSink, interrupted: &|| false };
    let mut folder = RunFolder::own(&place.store(), &name, caller).unwrap();
    let settings = format!(
        "seeds = [{seed}]\n[model]\nbackbone = \"mobilenet_v2\"\n[model.head]\ndropout = 0.{}\n",
        experiment.len()
    );
    folder.write(files::TRIAL, settings.as_bytes()).unwrap();
    let classes = ["cat".to_owned(), "dog".to_owned()];
    let prediction = |at: usize| {
        let predicted = if at < right { at % 2 } else { 1 - at % 2 };
        let mut probabilities = vec![0.25; 2];
        probabilities[predicted] = 0.75;
        Prediction {
            id: at.to_string(),
            truth: at % 2,
            predicted,
            probabilities,
            group: String::new(),
        }
    };
    let predictions: Vec<_> = (0..IMAGES).map(prediction).collect();
    folder.write(files::PREDICTIONS, &predictions_csv(&classes, &predictions).unwrap()).unwrap();
    for event in events(&key, &classes, right) {
        folder.append(event).unwrap();
    }
    let files = folder.written();
    folder.append(Kind::RunEnded { seconds: 1.0, files }).unwrap();
}

fn events(key: &str, classes: &[String], right: usize) -> [Kind; 6] {
    let stage = || "train".to_owned();
    let scores = Scores { loss: 0.5, accuracy: right as f64 / IMAGES as f64 };
    let counts = |n| vec![n / 2, n / 2];
    let counts = [("train", counts(100)), ("valid", counts(20)), ("test", counts(IMAGES))];
    [
        Kind::RunStarted(Start {
            format: FORMAT,
            ferrite: "0.1.0".into(),
            key: key.into(),
            device: "cpu".into(),
            threads: 1,
            precision: "f32".into(),
            imitated: false,
            resumed: false,
        }),
        Kind::DatasetReady(Dataset {
            key: key.into(),
            classes: classes.to_vec(),
            counts: counts.map(|(name, counts)| (name.to_owned(), counts)).into(),
            skipped: Vec::new(),
            unlabelled: BTreeMap::new(),
            dropped: 0,
            audit: None,
            size: [48, 48, 1],
            pixels: Signal { mean: 128.0, std: 60.0 },
            reused: false,
            seconds: 0.1,
        }),
        Kind::StageStarted(StageStart {
            stage: stage(),
            epochs: 1,
            steps_per_epoch: 3,
            trainable: vec![Layer { name: "classifier".into(), parameters: 2562 }],
            frozen: Vec::new(),
            keras_parameters: None,
            prefix_until: None,
            prefix_cached: false,
            prefix_views: 1,
            groups: Vec::new(),
        }),
        Kind::EpochEnded(Epoch {
            stage: stage(),
            epoch: 1,
            lr: 0.001,
            train: scores,
            valid: scores,
            seconds: 0.5,
            images_per_second: 200.0,
            acts: TechniqueEvidence::default(),
            confusion: Vec::new(),
            gradient: None,
            energy: None,
        }),
        Kind::StageEnded(StageEnd {
            stage: stage(),
            why: Stop::Completed,
            epochs: 1,
            kept_epoch: 1,
            checkpoints: Vec::new(),
        }),
        Kind::Evaluated(Evaluation {
            weights: FINAL.into(),
            split: "test".into(),
            images: IMAGES,
            scores,
            predicted: Vec::new(),
            leak_free: None,
            viewed: None,
        }),
    ]
}

/// Two experiments, one in a folder, of two seeds each.
fn study() -> Place {
    let place = Place::with(&[]);
    for (experiment, right) in [("plain", 20), ("more/better", 30)] {
        for seed in 0..2 {
            run(&place, experiment, seed, right + seed);
        }
    }
    place
}

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let told = place.ferrite(&[&["report", "--json"], arguments].concat());
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

/// Every file below a folder, seen from there.
fn below(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|it| it.unwrap());
    let files = walk.filter(|it| it.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.map(|it| it.strip_prefix(folder).unwrap().to_owned()).collect()
}

/// The links of a page to other files that lead to none.
fn broken(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let links = text.split("href=\"").skip(1).map(|it| it.split('"').next().unwrap());
    let files = links.filter(|it| !it.starts_with('#') && !it.starts_with("data:"));
    let decoded = files.map(|it| it.replace("%20", " ").split('#').next().unwrap().to_owned());
    decoded.filter(|it| !page.parent().unwrap().join(it).exists()).collect()
}

#[test]
fn a_report_names_every_file_that_it_wrote() {
    let place = study();
    let told = json(&place, &[]);
    let named: Vec<PathBuf> =
        told["files"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().into()).collect();
    for file in [
        "index.html",
        "report/predictions.parquet",
        "report/table.tex",
        "plain/seed-0-00000000/MODEL.md",
    ] {
        assert!(named.contains(&Path::new("runs").join(file)), "{file}: {named:?}");
    }
    for file in &named {
        assert!(place.path("").join(file).is_file(), "{}", file.display());
    }
    let table = std::fs::read_to_string(place.path("runs/report/configurations.csv")).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("more/better,more/better,"), "{table}");
    assert!(table.contains("0.7625,"), "{table}");
    let before = place.files("runs");
    place.ferrite(&["report"]).ends_with(0);
    assert!(place.files("runs") == before, "what is up to date is left alone");
}

#[test]
fn another_folder_holds_the_whole_report_and_every_link_leads_somewhere() {
    let place = study();
    let before = place.files("runs");
    let told = json(&place, &["--out", "to mail"]);
    assert!(place.files("runs") == before, "nothing is written among the runs");
    assert_eq!(told["report"], "to mail/index.html");
    let files = below(&place.path("to mail"));
    for run in ["plain/seed-0-00000000", "more/better/seed-1-00000001"] {
        for file in ["index.html", "MODEL.md"] {
            assert!(files.contains(&Path::new(run).join(file)), "{run}/{file}: {files:?}");
        }
    }
    // It is moved, as whoever gets it does.
    std::fs::rename(place.path("to mail"), place.path("moved")).unwrap();
    let pages =
        files.iter().filter(|it| it.ends_with("index.html")).map(|it| place.path("moved").join(it));
    let mut count = 0;
    for page in pages {
        assert_eq!(broken(&page), [""; 0], "{}", page.display());
        count += 1;
    }
    assert_eq!(count, 5);
    assert!(!files.iter().any(|it| it.ends_with("trial.toml") || it.ends_with("events.jsonl")));
}

#[test]
fn some_runs_are_a_study_of_their_own() {
    let place = study();
    let told = json(&place, &["--select", "plain", "--out", "plain"]);
    let configurations = told["configurations"].as_array().unwrap();
    assert_eq!((configurations.len(), &configurations[0]["rank"]), (1, &1.into()));
    let told = json(&place, &["--select", "*/seed-1", "more/better/seed-0", "--out", "some"]);
    let runs: Vec<_> = told["configurations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["runs"].as_array().unwrap().len())
        .collect();
    assert_eq!(runs, [2, 1]);
    let table = std::fs::read_to_string(place.path("some/report/runs.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3, "{table}");
    assert!(!place.path("runs/index.html").exists(), "the page of all runs is another one");
    // The same again, and a larger one in its place, but not a smaller one.
    json(&place, &["--select", "*/seed-1", "more/better/seed-0", "--out", "some"]);
    json(&place, &["--out", "some"]);
    let less = ["report", "--select", "plain", "--out", "some"];
    place.ferrite(&less).ends_with(2).says("has a report of other runs").says("name a new folder");
}

#[test]
fn what_cannot_be_written_so_is_refused() {
    let place = study();
    place.ferrite(&["report", "--select", "plain"]).ends_with(2).says("--out");
    let unknown = ["report", "--select", "plian", "--out", "x"];
    place.ferrite(&unknown).ends_with(2).says("`plian` names no run").says("did you mean `plain`");
    place.write("mine/thesis.tex", "");
    place.ferrite(&["report", "--out", "mine"]).ends_with(2).says("something else than a report");
    for inside in ["runs", "runs/mail"] {
        let told = place.ferrite(&["report", "--out", inside]);
        told.ends_with(2).says("lies in the folder of runs");
    }
    assert!(!place.path("x").exists() && !place.path("runs/index.html").exists());
}

#[test]
fn a_damaged_run_stands_on_the_page_of_those_that_are_meant() {
    let place = study();
    let damaged = place.path("runs/plain/seed-0-00000000/predictions.csv");
    std::fs::write(&damaged, "damaged").unwrap();
    json(&place, &["--select", "plain", "--out", "plain"]);
    json(&place, &["--select", "more/*", "--out", "more"]);
    let page = |below: &str| std::fs::read_to_string(place.path(below)).unwrap();
    assert!(page("plain/index.html").contains("is damaged"));
    assert!(!page("more/index.html").contains("is damaged"));
}
