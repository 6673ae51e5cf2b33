//! What somebody meets who uses Ferrite for the first time, as far as nothing is trained: new experiments, plans, mistakes,
//! names, shells.

use ferrite_testing::{Place, SMALL, Told};
use image::{Rgb, RgbImage};

/// A folder of pictures, `count` for each of `classes`, below `photos` in `place`.
fn photos(place: &Place, classes: &[&str], count: u8) {
    for (class, name) in classes.iter().enumerate() {
        for index in 0..count {
            let path = place.path(&format!("photos/{name}/{index}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(40, 40, Rgb([80 * class as u8, 3 * index, 90]))
                .save(path)
                .unwrap();
        }
    }
}

fn json(told: &Told) -> serde_json::Value {
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

#[test]
fn new_reads_the_class_folders_and_what_it_writes_can_be_planned() {
    let place = Place::with(&[]);
    photos(&place, &["banana", "apple", "cucumber \"long\""], 10);
    place.ferrite(&["new", "fruit", "--folder", "photos"]).ends_with(0).says("ferrite sweep fruit");
    let text = std::fs::read_to_string(place.path("experiments/fruit.toml")).unwrap();
    assert!(text.contains(r#"classes = ["apple", "banana", 'cucumber "long"']"#), "{text}");
    place.ferrite(&["plan", "fruit"]).ends_with(0).says("3 trials, 3 to do");
    place.ferrite(&["plan", "experiments/fruit.toml"]).ends_with(0).says("3 trials, 3 to do");
}

#[test]
fn new_finds_the_folders_of_splits() {
    let place = Place::with(&[]);
    for split in ["train", "test"] {
        photos(&place, &[&format!("{split}/a"), &format!("{split}/b")], 10);
    }
    place.ferrite(&["new", "e", "--folder", "photos"]).ends_with(0);
    let text = std::fs::read_to_string(place.path("experiments/e.toml")).unwrap();
    assert!(text.contains(r#"{ train = "train", valid = 0.15, test = "test" }"#), "{text}");
    place.ferrite(&["plan"]).ends_with(0).says("3 trials, 3 to do");
}

#[test]
fn new_leaves_no_file_that_would_stop_a_sweep() {
    let place = Place::with(&[]);
    photos(&place, &["a", "b"], 2);
    place.ferrite(&["new", "few", "--folder", "photos"]).ends_with(3).says("no image is left for");
    place.ferrite(&["new", "none", "--folder", "nowhere"]).ends_with(3).says("it does not exist");
    place
        .ferrite(&["new", "table", "--csv", "no.csv"])
        .ends_with(2)
        .says("there is no table `no.csv`");
    for name in ["few", "none", "table"] {
        assert!(!place.path(&format!("experiments/{name}.toml")).exists(), "{name}");
    }
    // Without data of one's own there are drawn faces.
    place.ferrite(&["new", "drawn"]).ends_with(0);
    let text = std::fs::read_to_string(place.path("experiments/drawn.toml")).unwrap();
    assert!(text.contains("synthetic = { faces = 3000 }"), "{text}");
    place.ferrite(&["plan"]).ends_with(0).says("3 trials, 3 to do");
}

#[test]
fn a_plan_says_that_data_cannot_be_split_and_which_class_is_empty() {
    let source = "{ folder = { path = \"photos\", classes = [\"a\", \"b\", \"c\"] } }";
    let place = Place::with(&[("e", &format!("[data]\nsource = {source}\n"))]);
    photos(&place, &["a", "b"], 2);
    std::fs::create_dir_all(place.path("photos/c")).unwrap();
    let told = place.ferrite(&["plan"]);
    told.ends_with(3).says("no image is left for `data.split.test` of the 4 images");
    told.says("the class `c` has none at all");
    photos(&place, &["a", "b"], 20);
    place.ferrite(&["plan"]).ends_with(3).says("no training image shows the class `c`");
    photos(&place, &["c"], 20);
    place.ferrite(&["plan"]).ends_with(0).says("1 trial, 1 to do");
    // With damaged pictures left out nobody knows yet.
    photos(&place, &["d"], 1);
    let split = "{ train = 0.9, valid = 0.05, test = 0.05 }";
    let text = format!("[data]\nsource = {source}\non_error = \"skip\"\nsplit = {split}\n");
    place.write("experiments/e.toml", text);
    std::fs::remove_dir_all(place.path("photos/d")).unwrap();
    place.ferrite(&["plan"]).ends_with(0);
}

#[test]
fn a_syntax_error_is_one_problem_and_mistakes_in_a_grid_are_all_told() {
    let place = Place::with(&[("e", &format!("seeds = [0\n{SMALL}"))]);
    let told = place.ferrite(&["plan"]);
    told.ends_with(2).says("1 problem in `experiments/e.toml`").says("e.toml:");
    assert!(!told.err.contains("Error:"), "{}", told.err);
    let grid = "[grid]\n\"model.head.droput\" = [0.1, 0.2]\n\"stages.haed.epochs\" = [1]\n";
    place.write("experiments/e.toml", format!("{SMALL}{grid}"));
    let told = place.ferrite(&["plan"]);
    told.ends_with(2).says("2 problems in").says("did you mean `dropout`?").says("haed");
}

#[test]
fn names_of_keras_and_lists_without_brackets_are_put_right() {
    for (text, says) in [
        ("seeds = 3\n", "must be a list, not a whole number: write `[3]`"),
        (
            "[stages]\nname = \"x\"\n",
            "must be a list, not a table: write `[[stages]]`, once for each",
        ),
        ("[model]\nbackbone = \"MobileNetV2\"\n", "did you mean `mobilenet_v2`?"),
        ("[augment]\nhorizontal_flip = 0.5\n", "did you mean `flip`?"),
        ("[[stages]]\noptimizer = { Adam = {} }\n", "did you mean `adam`?"),
        ("[[stages]]\nearly_stopping = { monitor = \"val_loss\" }\n", "did you mean `valid_loss`?"),
        ("[data]\nimage_size = 16\n", "1 problem in"),
    ] {
        let place = Place::with(&[("e", text)]);
        place.ferrite(&["plan"]).ends_with(2).says(says);
    }
}

#[test]
fn what_the_system_says_is_told_once() {
    let place = Place::with(&[("e", SMALL)]);
    place.write("taken", "");
    for arguments in
        [&["run", "no.toml"][..], &["sweep", "--runs", "taken"], &["weights", "inspect", "no.pth"]]
    {
        let told = place.ferrite(arguments);
        let words =
            told.ends_with(if arguments[0] == "sweep" { 5 } else { told.code.unwrap() }).words();
        let count = words.matches("os error").count();
        assert_eq!(count, 1, "{words}");
    }
    let told = place.ferrite(&["sweep", "--jobs", "abc"]);
    told.ends_with(2).says("it must be a whole number from 1 to 65535");
}

#[test]
fn two_experiments_of_one_name_are_an_error() {
    let place = Place::with(&[("e", SMALL)]);
    place.write("other/e.toml", SMALL);
    let told = place.ferrite(&["plan", "experiments/e.toml", "other/e.toml"]);
    told.ends_with(2).says("is called `e`, as `experiments/e.toml` is");
}

#[test]
fn reading_commands_say_that_there_is_no_such_folder_of_runs() {
    let place = Place::with(&[("e", SMALL)]);
    for arguments in [&["status"][..], &["report"], &["show", "e"], &["status", "--json"]] {
        let arguments = [arguments, &["--runs", "nope"]].concat();
        place.ferrite(&arguments).ends_with(2).says("there is no folder of runs `nope`");
    }
    assert!(!place.path("nope").exists());
}

#[test]
fn a_plan_is_an_object_for_programs() {
    let place = Place::with(&[("e", &format!("seeds = [0, 1]\n{SMALL}"))]);
    let plan = json(&place.ferrite(&["plan", "e", "--json"]));
    assert_eq!(plan["version"], 1);
    let trials = plan["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2);
    assert_eq!(trials[0]["state"], "to do");
    let steps = trials[0]["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["kind"], &steps[0]["shared_by"]), (&"dataset".into(), &2.into()));
    let weights = json(&place.ferrite(&["weights", "list", "--json"]));
    assert!(weights["weights"].as_array().unwrap().iter().any(|it| it["backbone"] == "vgg16"));
}

#[test]
fn a_folder_of_runs_is_no_experiment_and_one_of_pictures_does_not_hide_one() {
    let place = Place::with(&[("e", SMALL)]);
    place.write("runs/e/experiment.toml", "about = \"\"");
    for command in ["plan", "sweep", "retry"] {
        let told = place.ferrite(&[command, "runs/e"]);
        told.ends_with(2).says("lies in the folder of runs").says("e.g. `e`");
    }
    photos(&place, &["a", "b"], 10);
    place.ferrite(&["new", "photos", "--folder", "photos"]).ends_with(0);
    for name in ["photos", "e", "e/", "experiments/e"] {
        place.ferrite(&["plan", name]).ends_with(0).says("to do");
    }
}

#[test]
fn a_mistake_at_the_very_end_of_a_file_is_told() {
    let place = Place::with(&[("e", "hello")]);
    place.ferrite(&["plan"]).ends_with(2).says("e.toml:1:6").says("expected");
}

#[test]
fn shells_and_man_know_every_command() {
    let place = Place::with(&[]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let told = place.ferrite(&["completions", shell]);
        let script = &told.ends_with(0).out;
        for command in ["sweep", "status", "show", "predict", "weights"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let told = place.ferrite(&["man", "pages"]);
    told.ends_with(0);
    for (page, says) in [
        ("ferrite.1", "ferrite"),
        ("ferrite-sweep.1", "fail\\-fast"),
        ("ferrite-weights-list.1", "json"),
    ] {
        let text = std::fs::read_to_string(place.path("pages").join(page)).unwrap();
        assert!(text.contains(says), "{page}: {text}");
    }
    assert!(told.out.contains("pages/ferrite-show.1"), "{}", told.out);
}
