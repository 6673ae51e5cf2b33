//! Leaks through first weights: a run knows the training images of the weights it begins with, and of those
//! before them.

use std::collections::BTreeMap;

use ferrite_core::event::weights::Seen;
use ferrite_core::model::weights::ancestry::{Ancestry, Gap};
use ferrite_core::model::weights::facts;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::store::record::Record;
use ferrite_testing::Place;
use safetensors::SafeTensors;

/// Images of each split.
const TRAINING: usize = 21;
const JUDGING: usize = 14;

/// A table in FER2013's layout: in each split waves of its own, under labels that say nothing of them.
fn table() -> String {
    let pixels = |wave: usize| {
        let value = |at: usize| {
            let (x, y) = ((at % 48) as f64, (at / 48) as f64);
            let phase = x * (1 + wave % 7) as f64 / 9.0 + y * (1 + wave / 7) as f64 / 11.0;
            ((phase.sin() * 100.0 + 120.0) as u8).to_string()
        };
        (0..48 * 48).map(value).collect::<Vec<_>>().join(" ")
    };
    let splits = [("Training", TRAINING), ("PublicTest", JUDGING), ("PrivateTest", JUDGING)];
    let names = splits.iter().flat_map(|(name, count)| vec![*name; *count]).enumerate();
    let rows = names.map(|(row, name)| format!("{},{},{name}\n", row % 7, pixels(row)));
    "emotion,pixels,Usage\n".to_owned() + &rows.collect::<String>()
}

/// An experiment that trains on the split `train` and begins with `weights`.
fn experiment(train: &str, weights: &str) -> String {
    let judged = match train {
        "Training" => "valid = 'PublicTest', test = 'PrivateTest'",
        "PrivateTest" => "valid = 'Training', test = 'PublicTest'",
        _ => "valid = 'Training', test = 'PrivateTest'",
    };
    format!(
        "[data]\nsource = {{ fer2013 = {{ csv = 'fer.csv' }} }}\nimage_size = 32\n\
         split = {{ train = '{train}', {judged} }}\n\
         [model]\nweights = {weights}\n\
         [[stages]]\nepochs = 1\nbatch_size = 16\n"
    )
}

fn place(experiments: &[(&str, String)]) -> Place {
    let experiments: Vec<_> = experiments.iter().map(|it| (it.0, it.1.as_str())).collect();
    let place = Place::with(&experiments);
    place.write("fer.csv", table());
    place
}

/// How many images of the split that judges `run` are left when those that it knows are left out.
fn leak_free(run: &Record) -> usize {
    run.facts.evaluation.as_ref().unwrap().leak_free.unwrap().images
}

fn seen(run: &Record) -> BTreeMap<String, Seen> {
    run.facts.weights.clone().unwrap().ancestors.unwrap().seen
}

fn seen_images(images: &[(&str, usize, usize)]) -> BTreeMap<String, Seen> {
    let seen = images
        .iter()
        .map(|(split, images, of)| ((*split).to_owned(), Seen { images: *images, of: *of }));
    seen.collect()
}

const KNOWN: &str = "were trained on 14 of the 14 images of `test`";

#[test]
fn test_images_that_first_weights_were_trained_on_are_no_evidence_over_two_generations() {
    let from = |name: &str| format!("{{ experiment = '{name}' }}");
    let place = place(&[
        ("pre", experiment("PrivateTest", "'none'")),
        ("next", experiment("Training", &from("pre"))),
        ("middle", experiment("PublicTest", "{ experiment = 'fresh' }")),
        ("fresh", experiment("PrivateTest", "'none'")),
        ("last", experiment("Training", &from("middle"))),
        ("honest", experiment("Training", &from("honest-pre"))),
        ("honest-pre", experiment("Training", "'none'")),
    ]);
    let told = place.sweep_well();
    told.says(KNOWN);
    let next = place.run("next");
    assert_eq!(leak_free(&next), 0);
    assert_eq!(seen(&next), seen_images(&[("valid", 0, JUDGING), ("test", JUDGING, JUDGING)]));
    assert_eq!(next.facts.weights.as_ref().unwrap().ancestors.as_ref().unwrap().images, JUDGING);
    // Two generations: the weights before the first weights count as well.
    let last = place.run("last");
    assert_eq!(leak_free(&last), 0);
    assert_eq!(
        seen(&last),
        seen_images(&[("valid", JUDGING, JUDGING), ("test", JUDGING, JUDGING)])
    );
    // Who was trained on the same images only has seen nothing that judges.
    let honest = place.run("honest");
    assert_eq!(leak_free(&honest), JUDGING);
    assert_eq!(seen(&honest), seen_images(&[("valid", 0, JUDGING), ("test", 0, JUDGING)]));
    let warned = |name: &str| {
        told.err
            .lines()
            .any(|it| it.starts_with(&format!("{name}/")) && it.contains("were trained on"))
    };
    assert!(warned("next") && warned("last") && !warned("honest") && !warned("pre"), "{told:#?}");

    let page = |run: &Record| std::fs::read_to_string(run.folder.join("index.html")).unwrap();
    assert!(page(&next).contains("14 of the 14 images of <code>test</code>"));
    assert!(page(&next).contains("no image is left that it was not trained on"));
    assert!(!page(&honest).contains("were trained on"));
    let study = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    assert!(study.contains("14 of the 14 images of <code>test</code>"));
    assert!(study.contains("Accuracy, leak-free"));
}

#[test]
fn a_weight_file_brings_its_training_images_along_and_one_that_does_not_say_is_no_proof() {
    let place = place(&[("pre", experiment("PrivateTest", "'none'"))]);
    place.sweep_well();
    let pre = place.run("pre");
    let model = pre.folder.join("model.safetensors");
    let ancestry = Ancestry::of(&TensorFile::open(&model).unwrap());
    assert_eq!((ancestry.count(), ancestry.gap), (JUDGING, None));

    // The same file, imported, without the fact, and as others write it.
    std::fs::copy(&model, place.path("mine.safetensors")).unwrap();
    let import = ["weights", "import", "mine.safetensors", "--backbone", "mobilenet_v2"];
    place.ferrite(&[&import[..], &["--out", "imported.safetensors"]].concat()).ends_with(0);
    let bytes = std::fs::read(&model).unwrap();
    let header = SafeTensors::read_metadata(&bytes).unwrap().1;
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let without = |all: bool| {
        let facts = header.metadata().clone().unwrap().into_iter();
        let facts = facts.filter(|it| !(it.0.starts_with("trained_on") || all && it.0 == "format"));
        safetensors::serialize(tensors.iter(), Some(facts.collect())).unwrap()
    };
    place.write("older.safetensors", without(false));
    place.write("foreign.safetensors", without(true));

    let file = |it: &str| format!("{{ file = {{ path = '{it}.safetensors' }} }}");
    for name in ["mine", "imported", "older", "foreign"] {
        place.write(&format!("experiments/from-{name}.toml"), experiment("Training", &file(name)));
    }
    let run = format!("{{ run = '{}/{}' }}", pre.experiment, pre.trial);
    place.write("experiments/from-run.toml", experiment("Training", &run));
    let told = place.sweep_well();
    told.says(KNOWN).says("is not written in them");
    for name in ["from-mine", "from-imported", "from-run"] {
        let run = place.run(name);
        assert_eq!(leak_free(&run), 0, "{name}");
        assert_eq!(seen(&run)["test"], Seen { images: JUDGING, of: JUDGING }, "{name}");
    }
    for (name, older, gap) in
        [("from-older", true, Gap::Unwritten), ("from-foreign", false, Gap::Foreign)]
    {
        let run = place.run(name);
        let ancestors = run.facts.weights.as_ref().unwrap().ancestors.clone().unwrap();
        assert_eq!((ancestors.known, ancestors.older), (false, older), "{name}");
        assert!(run.facts.evaluation.as_ref().unwrap().leak_free.unwrap().unknown, "{name}");
        // Who begins with them learns that something is not known, too.
        let file = TensorFile::open(&run.folder.join("model.safetensors")).unwrap();
        let ancestry = Ancestry::of(&file);
        assert_eq!((ancestry.count(), ancestry.gap), (TRAINING, Some(gap)), "{name}");
    }

    // A look into the file does not list the images.
    let told = place.ferrite(&["weights", "inspect", "mine.safetensors"]);
    told.ends_with(0).says("header: trained_on_digest = 14 images, sha256 ");
    assert!(!told.out.contains(&format!("{} =", facts::TRAINED_ON)), "{told:#?}");
}
