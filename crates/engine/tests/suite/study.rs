//! The suites of FER2013, planned: the published study has the published counts, and everything that
//! `ferrite new` writes is an experiment.

use ferrite_core::config::editors;
use ferrite_core::model::backbone::Backbone;
use ferrite_testing::{Place, Told, project};

/// One face of each class in each split, in the layout of the original file.
fn table() -> String {
    let pixels = |shade: usize| {
        let pixels: Vec<String> =
            (0..48 * 48).map(|it| ((it * 7 + shade * 31) % 256).to_string()).collect();
        pixels.join(" ")
    };
    let splits = ["Training", "PublicTest", "PrivateTest"].into_iter().enumerate();
    let rows = splits.flat_map(|(part, split)| {
        (0..7).map(move |class| format!("{class},{},{split}\n", pixels(part * 7 + class)))
    });
    format!("emotion,pixels,Usage\n{}", rows.collect::<String>())
}

/// A place with the project's FER2013 suites and a small table of faces and votes.
fn place() -> Place {
    let place = Place::with(&[]);
    let root = project().join("experiments/fer2013");
    for file in walkdir::WalkDir::new(&root).into_iter().filter_map(Result::ok) {
        if file.file_type().is_file() {
            let below = file.path().strip_prefix(&root).unwrap().display().to_string();
            place.write(
                &format!("experiments/fer2013/{below}"),
                std::fs::read(file.path()).unwrap(),
            );
        }
    }
    place.write("data/fer2013.csv", table());
    place.write("data/fer2013new.csv", "");
    place
}

#[track_caller]
fn plan(place: &Place, path: &str) -> Told {
    let told = place.ferrite(&["plan", path]);
    told.ends_with(0);
    told
}

#[test]
fn the_published_experiments_have_the_published_counts() {
    let place = place();
    for (name, total, trainable) in [
        ("vgg16-frozen", "16,296,775", "1,582,087"),
        // Keras counts 26,742,663: 26,560 biases in front of batch norms are not here.
        ("resnet50-frozen", "26,716,103", "3,154,951"),
        ("mobilenetv2-frozen", "4,626,503", "2,368,519"),
        ("xception-frozen", "24,016,431", "3,154,951"),
        ("mobilenetv2-last6", "14,590,023", "13,048,967"),
        ("vgg16-last6", "15,774,535", "10,496,007"),
        ("vgg16-noise", "15,774,535", "10,496,007"),
        ("vgg16-face", "15,774,535", "10,496,007"),
        ("vgg16-noise-face", "15,774,535", "10,496,007"),
        ("vgg16-haar-face", "15,774,535", "10,496,007"),
        ("vgg16-input-norm-noise", "15,774,547", "10,496,013"),
        ("vgg19-last6", "21,084,231", "10,496,007"),
    ] {
        let told = plan(&place, &format!("experiments/fer2013/study/{name}.toml"));
        told.says(&format!("{total} parameters"));
        told.says(&format!("trains {trainable} parameters"));
    }
    plan(&place, "experiments/fer2013/study").says("12 trials, 12 to do");
}

#[test]
fn every_suite_can_be_planned() {
    let place = place();
    for (suite, trials) in [("corrected", 54), ("best", 21), ("laptop", 10), ("faces", 15)] {
        plan(&place, &format!("experiments/fer2013/{suite}")).says(&format!("{trials} trials"));
    }
}

#[test]
fn a_suite_is_adapted_to_the_splits_at_hand() {
    let place = place();
    let set = "data.split={train=\"Training\",valid=\"PublicTest\"}";
    let told = place.ferrite(&["plan", "experiments/fer2013/study", "--set", set]);
    told.ends_with(0).says("12 trials");
}

#[test]
fn what_new_writes_is_an_experiment_for_every_backbone() {
    let place = place();
    for (index, backbone) in Backbone::ALL.iter().enumerate() {
        let name = format!("mine/trial-{index}");
        let data = [&["--csv", "data/fer2013.csv"][..], &[]][index % 2];
        let arguments = [&["new", &name, "--backbone", backbone.name()], data].concat();
        let told = place.ferrite(&arguments);
        told.ends_with(0).says(&format!("experiments/{name}.toml"));
        plan(&place, &format!("experiments/{name}.toml")).says("3 trials").says(backbone.name());
    }
    let text = std::fs::read_to_string(place.path("experiments/mine/trial-0.toml")).unwrap();
    assert!(text.starts_with("#:schema ../experiment.schema.json\n"), "{text}");
    let schema = std::fs::read_to_string(place.path("experiments/experiment.schema.json"));
    assert_eq!(schema.unwrap(), editors::schema(), "what editors read lies where the file says");
    place.ferrite(&["new", "mine/trial-0"]).ends_with(2).says("already");
    place.ferrite(&["new", "../mine"]).ends_with(2).says("cannot be the name");
    place.ferrite(&["new", "x", "--backbone", "vgg"]).ends_with(2).says("there are vgg16");
}

/// The lines of a CSV text, cut into fields.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|it| it.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_trained_model_says_of_pictures_what_it_said_of_them_when_it_was_tested() {
    const EXPERIMENT: &str = r#"
        [data]
        source = { folder = { path = "faces", classes = ["dark", "light"] } }
        split = { train = 0.5, valid = 0.25, test = 0.25 }
        image_size = 32
        [evaluate]
        views = "flip"
        [[stages]]
        name = "head"
        epochs = 1
        batch_size = 8
        checkpoints = ["valid_accuracy"]
    "#;
    let place = Place::with(&[("e", EXPERIMENT)]);
    for index in 0..24_u32 {
        for (class, base) in [("dark", 20), ("light", 150)] {
            let picture = image::GrayImage::from_fn(24, 24, |x, y| {
                image::Luma([(base + (x * 5 + y * 3 + index * 11) % 90) as u8])
            });
            let path = place.path(&format!("faces/{class}/{index}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save(path).unwrap();
        }
    }
    place.sweep_well();
    let run = place.run("e");
    let told = place.ferrite(&["predict", "e", "faces", "--csv"]);
    told.ends_with(0);
    let guesses = rows(&told.out);
    assert_eq!(guesses[0], ["path", "prediction", "dark", "light"]);
    assert_eq!(guesses.len(), 1 + 48);
    let tested = std::fs::read_to_string(run.folder.join("predictions.csv")).unwrap();
    for row in &rows(&tested)[1..] {
        let path = format!("faces/{}", row[0]);
        let guess = guesses.iter().find(|it| it[0] == path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((&guess[1], guess.len()), (&row[2], row.len() - 1));
        for (ours, theirs) in guess[2..].iter().zip(&row[3..]) {
            let [ours, theirs] = [ours, theirs].map(|it| it.parse::<f64>().unwrap());
            assert!((ours - theirs).abs() < 1e-5, "{path}: {ours} and {theirs}");
        }
    }
    let named = ["predict", "e", "faces/dark/1.png", "--weights", "valid_accuracy", "--json"];
    let line: serde_json::Value = serde_json::from_str(&place.ferrite(&named).out).unwrap();
    assert_eq!(line["path"], "faces/dark/1.png");
    assert!(line["probabilities"]["light"].is_number());
    place.write("broken.png", "no picture");
    let told = place.ferrite(&["predict", "e", "broken.png", "faces/dark/1.png"]);
    told.ends_with(3).says("broken.png").says("faces/dark/1.png");
    place.ferrite(&["predict", "f", "faces"]).ends_with(2).says("there is no run `f`");
    let told = place.ferrite(&["predict", "e", "faces", "--weights", "best"]);
    told.ends_with(2).says("no weights `best`");
}
