//! Leaks, labels by votes, and the audit: what a user gets to see of them.

use ferrite_core::data::Data;
use ferrite_core::data::dataset;
use ferrite_core::data::decode::decode;
use ferrite_core::device::Device;
use ferrite_core::model::{FrozenNorm, Input, Model};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_engine::forward::network::{Network, Plan};
use ferrite_engine::train::images::{Images, Split};
use ferrite_testing::Place;

/// Faces of FER2013's size: another wave each.
fn pixels(wave: usize) -> String {
    let value = |at: usize| {
        let (x, y) = ((at % 48) as f64, (at / 48) as f64);
        let phase = x * (1 + wave % 7) as f64 / 9.0 + y * (1 + wave / 7) as f64 / 11.0;
        ((phase.sin() * 100.0 + 120.0) as u8).to_string()
    };
    (0..48 * 48).map(value).collect::<Vec<_>>().join(" ")
}

/// 42 training images, 14 for validation, 14 for tests. The first three test images are training
/// images too, one of them under another label; the first validation image is one as well.
fn table() -> String {
    let row = |row: usize| {
        let (split, wave, label) = match row {
            0..42 => ("Training", row, row % 7),
            42 => ("PublicTest", 5, 5),
            43..56 => ("PublicTest", row, row % 7),
            56 => ("PrivateTest", 10, 3),
            57 => ("PrivateTest", 11, 4),
            58 => ("PrivateTest", 12, 0),
            _ => ("PrivateTest", row, row % 7),
        };
        format!("{label},{},{split}\n", pixels(wave))
    };
    "emotion,pixels,Usage\n".to_owned() + &(0..70).map(row).collect::<String>()
}

/// Everybody votes for the class that the table names, but in two training images of three only
/// most do.
fn votes() -> String {
    const COLUMN: [usize; 7] = [4, 5, 6, 1, 3, 2, 0];
    let lines: Vec<String> = table().lines().skip(1).map(str::to_owned).collect();
    let row = |(row, line): (usize, &String)| {
        let (label, split) =
            (line[..1].parse::<usize>().unwrap(), line.rsplit(',').next().unwrap());
        let mut votes = [0; 10];
        votes[COLUMN[label]] = 10;
        if split == "Training" && row % 3 > 0 {
            votes[COLUMN[label]] = 6;
            votes[COLUMN[(label + 1) % 7]] = 4;
        }
        if row == 3 || row == 44 {
            // One contempt for training and one for validation.
            votes = [0, 0, 0, 0, 0, 0, 0, 10, 0, 0];
        }
        let votes = votes.map(|it| it.to_string()).join(",");
        format!("{split},fer{row:07}.png,{votes}\n")
    };
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
        .to_owned()
        + &lines.iter().enumerate().map(row).collect::<String>()
}

fn experiment(more: &str) -> String {
    format!(
        "[data]\nsource = {{ fer2013 = {{ csv = 'fer.csv' }} }}\nimage_size = 32\n\
         split = {{ train = 'Training', valid = 'PublicTest', test = 'PrivateTest' }}\n{more}\n\
         [[stages]]\nepochs = 2\nbatch_size = 16\n"
    )
}

fn place(experiments: &[(&str, &str)]) -> Place {
    let all: Vec<_> = experiments.iter().map(|(name, more)| (*name, experiment(more))).collect();
    let place = Place::with(&all.iter().map(|(name, it)| (*name, it.as_str())).collect::<Vec<_>>());
    place.write("fer.csv", table());
    place.write("votes.csv", votes());
    place
}

#[test]
fn leaks_are_told_and_scored_apart_and_may_be_dropped() {
    let drop = "leakage = 'drop-from-train'";
    let place = place(&[("all", ""), ("clean", drop)]);
    place.sweep_well();
    assert_eq!(place.steps("dataset").len(), 1, "one decoded folder serves both");

    let run = place.run("all");
    let dataset = run.facts.dataset.unwrap();
    assert_eq!((dataset.dropped, dataset.counts["train"].iter().sum::<usize>()), (0, 42));
    let shared = dataset.audit.unwrap().shared;
    let of =
        |split: &str| shared.iter().find(|it| it.split == split && it.with == "train").unwrap();
    assert_eq!((of("test").images, of("test").same_label, of("valid").images), (3, 2, 1));
    let evaluation = run.facts.evaluation.unwrap();
    let leak_free = evaluation.leak_free.unwrap();
    assert_eq!((evaluation.images, leak_free.images), (14, 11));
    let clean: Vec<_> =
        run.predictions.iter().filter(|it| !["56", "57", "58"].contains(&it.id.as_str())).collect();
    let right = clean.iter().filter(|it| it.truth == it.predicted).count();
    assert_eq!(clean.len(), 11);
    assert!((leak_free.accuracy.unwrap() - right as f64 / 11.0).abs() < 1e-9, "{leak_free:?}");

    let run = place.run("clean");
    let dataset = run.facts.dataset.unwrap();
    assert_eq!((dataset.dropped, dataset.counts["train"].iter().sum::<usize>()), (4, 38));
    assert_eq!(dataset.audit.unwrap().shared, []);
    assert_eq!(run.facts.evaluation.unwrap().leak_free.unwrap().images, 14);

    let page = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    for part in ["Accuracy, leak-free", "Duplicates and leaks", "4 training images"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn votes_train_as_classes_or_as_distributions_and_both_judge_alike() {
    let labels =
        |rule: &str| format!("labels = {{ ferplus = {{ votes = 'votes.csv', rule = '{rule}' }} }}");
    let place = place(&[
        ("source", ""),
        ("majority", &labels("majority")),
        ("probabilistic", &labels("probabilistic")),
    ]);
    place.sweep_well();
    assert_eq!(place.steps("dataset").len(), 1, "one decoded folder serves all");
    let [majority, probabilistic] = ["majority", "probabilistic"].map(|it| place.run(it));
    for run in [&majority, &probabilistic] {
        assert_eq!(run.facts.dataset.as_ref().unwrap().classes[7], "contempt");
        assert_eq!(run.predictions[0].probabilities.len(), 8);
    }
    let truths = |it: &ferrite_core::store::record::Record| {
        it.predictions.iter().map(|it| (it.id.clone(), it.truth)).collect::<Vec<_>>()
    };
    assert_eq!(truths(&majority), truths(&probabilistic));
    let first = |it: &ferrite_core::store::record::Record| it.facts.stages[0].epochs[0].train.loss;
    assert_ne!(first(&majority), first(&probabilistic));
}

#[test]
fn the_loss_of_a_distribution_is_the_cross_entropy_to_it() {
    ferrite_torch::start(1, Device::Cpu);
    let place = place(&[]);
    let [csv, votes] = ["fer.csv", "votes.csv"].map(|it| place.path(it).display().to_string());
    let data: Data = toml::from_str(&format!(
        "source = {{ fer2013 = {{ csv = '{csv}' }} }}\n\
         split = {{ train = 'Training', valid = 'PublicTest' }}\n\
         labels = {{ ferplus = {{ votes = '{votes}', rule = 'probabilistic' }} }}"
    ))
    .unwrap();
    let folder = place.path("decoded");
    std::fs::create_dir_all(&folder).unwrap();
    decode(&data, &folder, &|_, _| ()).unwrap();
    let dataset = dataset::open(&data, &folder).unwrap();
    let plan = Plan {
        model: &Model::default(),
        input: Input::default(),
        frozen_norm: FrozenNorm::Inference,
        image_size: 32,
        classes: dataset.classes.len(),
        seed: 1,
        precisions: Precisions::all(Precision::F32),
    };
    let network = Network::new(&plan, Device::Cpu);
    let images = Images::new(&dataset, 32, Device::Cpu);
    let targets = dataset.probabilities.as_ref().unwrap();
    for rows in [&dataset.train, &dataset.valid] {
        let (scores, predicted) = Split { rows, features: None }.evaluate(&network, &images);
        let loss: f64 = rows
            .iter()
            .zip(predicted.chunks(8))
            .map(|(row, predicted)| {
                let target = &targets[*row as usize * 8..][..8];
                let terms = target.iter().zip(predicted);
                terms.map(|(q, p)| -f64::from(*q) * f64::from(*p).ln()).sum::<f64>()
            })
            .sum();
        assert!((scores.loss - loss / rows.len() as f64).abs() < 1e-5, "{scores:?} {loss}");
    }
    let soft =
        |row: &u32| targets[*row as usize * 8..][..8].iter().any(|it| *it > 0.0 && *it < 1.0);
    assert!(dataset.train.iter().any(soft) && !dataset.valid.iter().any(soft));
}

#[test]
fn an_audit_counts_shows_and_reuses_what_is_decoded() {
    let place = place(&[("a", "")]);
    let told = place.ferrite(&["data", "audit", "experiments/a.toml", "--html", "audit.html"]);
    told.ends_with(0)
        .says("Training 42")
        .says("PrivateTest images that are in Training too: 3 (21.4 %), 2 with the same label")
        .says("PublicTest images that are in Training too: 1")
        .says("labels at odds: 1 groups of equal images, with 2 images");
    let page = std::fs::read_to_string(place.path("audit.html")).unwrap();
    assert!(page.matches("data:image/png;base64,").count() >= 8, "{}", page.len());
    assert_eq!(place.steps("dataset").len(), 1);
    place.sweep_well();
    assert_eq!(place.steps("dataset").len(), 1, "the sweep takes what the audit decoded");

    let told = place.ferrite(&["data", "audit", "--csv", "fer.csv", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(json["audit"]["splits"][0]["images"], 42);
    assert_eq!(json["audit"]["exact"]["groups"], 4);

    let picture = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([(x * 5 + y) as u8]));
    for name in ["glad/1", "glad/2", "sad/1"] {
        let path = place.path(&format!("faces/{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save(path).unwrap();
    }
    let folder = ["data", "audit", "--folder", "faces", "--classes", "glad,sad"];
    place.ferrite(&folder).ends_with(0).says("all 3 2 1").says("equal images: 3 in 1 groups");
}

#[test]
fn arguments_of_an_audit_that_mean_nothing_say_so() {
    let place = place(&[("a", "labels = { ferplus = { votes = 'no.csv' } }")]);
    let audit = |arguments: &[&str]| place.ferrite(&[&["data", "audit"], arguments].concat());
    audit(&[]).ends_with(2);
    audit(&["--csv", "no.csv"]).ends_with(3).says("it does not exist");
    audit(&["--folder", "faces", "--classes", "glad"])
        .ends_with(2)
        .says("must list the class folders");
    audit(&["--folder", "faces", "--classes", "a,b", "--splits", "x"])
        .ends_with(2)
        .says("two or three");
    audit(&["experiments/a.toml"]).ends_with(2).says("a.toml:5:32").says("there is no `no.csv`");
    place.write("experiments/b.toml", "[data]\nlabels = { ferplus = { votes = 'votes.csv' } }\n");
    place.sweep().ends_with(2).says("FER+ has votes for the rows of `fer2013.csv` only");
}
