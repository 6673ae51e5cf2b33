//! A made-up study as folders of runs, as a sweep leaves them: what the tests of `tests/pages` open in a browser, with the page
//! of a pair, and another study that is still at work.
//!
//! Names, classes and ids hold what a careless page would execute, cut off or turn around.

use std::fs;
use std::path::Path;

use ferrite_core::event::disk::StepReady;
use ferrite_core::event::faces::{ClassFaces, Faces, Histogram, SplitFaces};
use ferrite_core::event::{Event, Kind};
use ferrite_core::store::Store;
use ferrite_core::store::description::Description;
use ferrite_core::store::folder::files;
use ferrite_core::store::read::{all, predictions_csv};
use ferrite_core::store::record::{Facts, Record, State, Work};
use image::{ImageFormat, Rgb, RgbImage};

use crate::report::example::images::decode;
use crate::report::example::{records, write_all};
use crate::report::pair::write;
use crate::study::Study;
use crate::study::contrast::Contrast;
use crate::study::judged::Judged;

/// Executed if it is taken for HTML: the tests ask for what it leaves behind.
const SCRIPT: &str = "mobilenet_v2-noise <script>window.executed=1</script>";

/// The configuration that the one of [`SCRIPT`] is held against.
const PLAIN: &str = "mobilenet_v2-frozen";

/// Quotes, an element that executes, Arabic, a change of direction that is not closed, and two lines.
const MIXED: &str = "xception/\"augmented\" & 'مرحبا' \u{202e}abc <img src=x onerror=window.executed=1>\nsecond line";

/// What a link must not hold as it is.
const ADDRESS: &str = "resnet50 #2 50 %?";

/// The end of a script, for data that stands in one.
const ID: &str = "row 7</script><script>window.executed=1</script>, \"quoted\"\nline";

/// The splits of the study, as FER2013 calls them.
const SPLIT: &str = "train = 'Training'\nvalid = 'PublicTest'\ntest = 'PrivateTest'\nseed = 0";

/// Runs as they are read back from folders in which no process is at work.
fn sample(runs: &Path) -> Vec<Record> {
    let mut all = records(runs);
    for (at, it) in all.iter_mut().enumerate() {
        it.experiment = match it.experiment.as_str() {
            name if name.contains("noise") => SCRIPT.into(),
            "xception/augmented" => MIXED.into(),
            "resnet50-finetune" => ADDRESS.into(),
            name => name.into(),
        };
        it.folder = runs.join(&it.experiment).join(&it.trial);
        let (about, extends) = match it.experiment.as_str() {
            "vgg16-finetune" => ("The last block of VGG16 is trained as well.", "vgg16-frozen"),
            "vgg16-frozen" => ("Only the head of VGG16 is trained.", ""),
            SCRIPT => ("Noise on the features, <b>bold</b> & \"quoted\".", PLAIN),
            _ => ("", ""),
        };
        let extends = if extends.is_empty() { vec![] } else { vec![extends.to_owned()] };
        it.description = Description { about: about.into(), extends, ..Description::default() };
        it.settings.remove("about");
        let data = it.settings["data"].as_table_mut().unwrap();
        data.insert("split".into(), SPLIT.parse::<toml::Table>().unwrap().into());
        it.seconds = it.seconds.round();
        if it.state == State::Running {
            it.state = State::Interrupted;
            it.facts.stopped = true;
        }
        if let Some(dataset) = &mut it.facts.dataset {
            dataset.classes[6] = "neutral & <i>\"calm\"</i>".into();
        }
        if let Some(prediction) = it.predictions.get_mut(7) {
            prediction.id = ID.into();
        }
        it.facts.faces = (6..9).contains(&at).then(faces);
    }
    all.sort_by(|a, b| a.folder.cmp(&b.folder));
    all
}

fn faces() -> Faces {
    let class = |images| ClassFaces { images, aligned: images - 9, cropped: 3 };
    let split = |images| SplitFaces {
        classes: vec![class(images); 7],
        several: 3,
        difference: 12.25,
        scores: Histogram::of([0.7, 0.95, 0.96].into_iter(), [0.0, 1.0], 20),
        rolls: Histogram::of([-12.0, 0.5, 3.0].into_iter(), [-45.0, 45.0], 18),
        ..SplitFaces::default()
    };
    let splits = [("train", split(4000)), ("valid", split(500)), ("test", split(500))];
    Faces {
        key: "face".into(),
        detector: "YuNet".into(),
        splits: splits.map(|(name, it)| (name.to_owned(), it)).into(),
    }
}

/// What the run of `record` told while it ran.
fn events(record: &Record) -> Vec<Event> {
    let facts = record.facts.clone();
    let mut kinds: Vec<Kind> = facts.start.map(Kind::RunStarted).into_iter().collect();
    let (steps, stages): (Vec<_>, Vec<_>) = facts.work.iter().partition(|it| it.step == "dataset");
    kinds.extend(steps.into_iter().map(ready));
    kinds.extend(facts.dataset.map(Kind::DatasetReady));
    kinds.extend(facts.faces.map(Kind::FacesReady));
    kinds.extend(facts.network.map(Kind::NetworkReady));
    kinds.extend(facts.weights.map(Kind::WeightsLoaded));
    kinds.extend(facts.noise.into_iter().map(Kind::NoiseMeasured));
    for stage in facts.stages {
        kinds.push(Kind::StageStarted(stage.start));
        kinds.extend(stage.continued.map(Kind::StageContinued));
        kinds.extend(stage.augmentation.map(Kind::AugmentationMeasured));
        kinds.extend(stage.epochs.into_iter().map(Kind::EpochEnded));
        kinds.extend(stage.end.map(Kind::StageEnded));
    }
    kinds.extend(stages.into_iter().map(ready));
    kinds.extend(facts.evaluation.map(Kind::Evaluated));
    kinds.extend(match &record.state {
        State::Finished => Some(Kind::RunEnded { seconds: record.seconds, files: [].into() }),
        State::Failed(failure) => Some(Kind::RunFailed(failure.clone())),
        State::Stopped(rung) => Some(Kind::RungEnded(rung.clone())),
        State::Running | State::Interrupted => facts.stopped.then_some(Kind::RunInterrupted),
    });
    let last = kinds.len() - 1;
    let step = record.seconds * 1000.0 / last as f64;
    let at = |at: usize| record.began_ms + (step * at as f64).round() as u64;
    kinds.into_iter().enumerate().map(|(index, kind)| Event { at_ms: at(index), kind }).collect()
}

fn ready(it: &Work) -> Kind {
    let seconds = (it.until_ms - it.from_ms) as f64 / 1000.0;
    let (step, key, reused) = (it.step.clone(), it.key.clone(), it.reused);
    Kind::StepReady(StepReady { step, key, reused, seconds })
}

/// Writes the folder of a run as the run itself does, without weights.
fn write_run(runs: &Path, record: &Record) {
    let plots = record.folder.join(files::PLOTS);
    fs::create_dir_all(&plots).unwrap();
    record.description.write(&runs.join(&record.experiment)).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(record.folder.join(name), bytes).unwrap();
    write(files::TRIAL, toml::to_string_pretty(&record.settings).unwrap().as_bytes());
    write(
        files::ENVIRONMENT,
        br#"{"commit":"c0ffee0123456789c0ffee0123456789c0ffee01","host":"laptop","system":"linux","cores":2}"#,
    );
    let lines = events(record).into_iter().map(|it| serde_json::to_string(&it).unwrap() + "\n");
    write(files::EVENTS, lines.collect::<String>().as_bytes());
    if let Some(dataset) = record.facts.dataset.as_ref().filter(|_| !record.predictions.is_empty())
    {
        let table = predictions_csv(&dataset.classes, &record.predictions).unwrap();
        write(files::PREDICTIONS, &table);
    }
    for stage in record.facts.stages.iter().filter(|it| it.augmentation.is_some()) {
        picture().save(plots.join(format!("augmented-{}.png", stage.start.stage))).unwrap();
    }
    if record.facts.faces.is_some() {
        picture().save_with_format(plots.join("faces-found.png"), ImageFormat::Png).unwrap();
    }
}

/// Something to look at, 480 pixels wide.
fn picture() -> RgbImage {
    RgbImage::from_fn(480, 240, |x, y| {
        Rgb([(x / 2) as u8, (y % 48 * 5) as u8, if x % 48 < 24 { 60 } else { 180 }])
    })
}

/// Where the studies are left for the tests in a browser; without it, they are thrown away.
const LEFT_IN: &str = "FERRITE_SAMPLE";

#[test]
fn a_study_is_read_back_from_its_folders_as_it_was_and_becomes_pages() {
    let thrown_away = tempfile::tempdir().unwrap();
    let root = std::env::var_os(LEFT_IN).map_or(thrown_away.path().to_owned(), Into::into);
    at_work(&root.join("at work/runs"));
    // A name that an address cannot hold as it is.
    let runs = root.join("faces #1 100 %/runs");
    let written = sample(&runs);
    for it in &written {
        write_run(&runs, it);
    }
    let judged = written.iter().find(|it| it.experiment == PLAIN).unwrap();
    decode(judged, &runs, ["Training", "PublicTest", "PrivateTest"]);
    let there = all(&Store { root: runs.clone() });
    assert_eq!(there.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(there.records.len(), written.len());
    for (there, written) in there.records.iter().zip(&written) {
        // What images were taken for is counted where the log does not say it, and work is timed by the events. NaN is
        // equal to nothing.
        let facts = |it: &Record| {
            let mut facts: Facts = it.facts.clone();
            facts.evaluation.iter_mut().for_each(|it| it.predicted.clear());
            facts.work.clear();
            format!("{facts:?}")
        };
        assert_eq!(facts(there), facts(written));
        assert_eq!((&there.settings, &there.state), (&written.settings, &written.state));
        assert_eq!((there.name(), &there.description), (written.name(), &written.description));
        assert_eq!((there.began_ms, there.seconds), (written.began_ms, written.seconds));
        let rows = |it: &Record| {
            let row =
                |it: &ferrite_core::metrics::Prediction| (it.id.clone(), it.truth, it.predicted);
            it.predictions.iter().map(row).collect::<Vec<_>>()
        };
        assert!(rows(there) == rows(written), "{}: other predictions", there.name());
    }
    let index = fs::read_to_string(write_all(&there.records, &[], &runs).unwrap()).unwrap();
    let pair = pair(&there.records, &runs);
    for page in [index, pair] {
        assert!(!page.contains("<script>window") && !page.contains("<img src=x"));
        assert!(!page.contains("no longer there") && page.contains("data:image/jpeg;base64,"));
    }
}

/// Writes the page of a pair, where the tests look for it, and returns it.
fn pair(records: &[Record], runs: &Path) -> String {
    let study = Study::of(records, &[], runs);
    let called = |name: &str| study.configurations.iter().find(|it| it.label == name).unwrap();
    let judged = Judged::new(&study);
    let path = runs.join("report/pair.html");
    write(&Contrast::of(&judged, [called(PLAIN), called(SCRIPT)]), runs, &path).unwrap();
    fs::read_to_string(path).unwrap()
}

/// Writes the page of a study of two configurations, of which a seed is still at work.
fn at_work(runs: &Path) {
    let mut records = records(runs);
    records.retain(|it| ["resnet50-finetune", "vgg16-frozen"].contains(&it.experiment.as_str()));
    assert!(records.iter().any(|it| it.state == State::Running));
    write_all(&records, &[], runs).unwrap();
}
