//! The command line: every exit code that can be provoked, what is said with it, and what stays untouched.

use std::collections::HashMap;

use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL};
use safetensors::tensor::{Dtype, TensorView};

/// An experiment on the files of a folder, with more settings.
fn on(source: &str, more: &str) -> String {
    format!(
        "[data]\nsource = {source}\nimage_size = 32\n{more}\n[[stages]]\nepochs = 2\nbatch_size = 16\n"
    )
}

/// Checks how a run of `experiment` fails: its exit code, and what it says.
#[track_caller]
fn check_failure(place: &Place, experiment: &str, code: u8, says: &str) {
    let run = place.run(experiment);
    let State::Failed(failure) = &run.state else { panic!("{:?}", run.state) };
    assert_eq!(failure.exit_code, code, "{failure:?}");
    assert!(failure.message.contains(says), "{failure:?}");
    let trial = run.folder.join("trial.toml");
    let told = place.ferrite(&["run", &trial.to_string_lossy(), "--threads", "1"]);
    told.ends_with(i32::from(code));
    let words: String = says.split_whitespace().collect();
    assert!(told.words().replace(' ', "").contains(&words), "{told:#?}");
}

#[test]
fn an_experiment_that_cannot_be_right_ends_with_2_and_points_at_it() {
    let place = Place::with(&[("a", "[augment]\nflip = 2\n"), ("b", SMALL)]);
    let told = place.sweep();
    told.ends_with(2).says("a.toml:2:8").says("must be from 0 to 1");
    assert!(place.path("runs/b").read_dir().is_err(), "nothing may run");
}

#[test]
fn a_missing_table_ends_with_2() {
    let place = Place::with(&[("a", &on("{ fer2013 = { csv = \"no.csv\" } }", ""))]);
    place.sweep().ends_with(2).says("a.toml:2:30").says("there is no `no.csv`");
}

#[test]
fn arguments_that_mean_nothing_end_with_2() {
    let place = Place::with(&[("a", SMALL)]);
    place.ferrite(&["sweep", "--device", "tpu"]).ends_with(2).says("there is no device `tpu`");
    place.ferrite(&["plan", "--set", "data.limit"]).ends_with(2).says("has no `=`");
    place.ferrite(&["plan", "--set", "data.limitt=5"]).ends_with(2).says("did you mean `limit`?");
    place.ferrite(&["plan", "--jobz", "5"]).ends_with(2);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.ferrite(&["plan", "empty"]).ends_with(2).says("there is no experiment in `empty`");
    place.ferrite(&["plan", "no.toml"]).ends_with(2).says("there is no experiment `no.toml`");
}

#[test]
fn a_table_that_was_cut_off_fails_its_trial_with_3_and_the_others_finish() {
    let rows: Vec<String> = (0..28)
        .map(|it| format!("{},{}Training", it % 7, vec!["7"; 2304].join(" ") + ","))
        .collect();
    let table = format!("emotion,pixels,Usage\n{}", rows.join("\n"));
    let place = Place::with(&[("a", &on("{ fer2013 = { csv = \"fer.csv\" } }", "")), ("b", SMALL)]);
    place.write("fer.csv", &table[..table.len() - 4000]);
    place.sweep().ends_with(1).says("1 of 2 trials failed: a/seed-0");
    assert_eq!(place.run("b").state, State::Finished);
    check_failure(&place, "a", 3, "cannot use `fer.csv`, row 29: has");
}

#[test]
fn an_image_that_is_none_fails_its_trial_with_3() {
    let source = "{ folder = { path = \"faces\", classes = [\"sad\", \"glad\"] } }";
    let place = Place::with(&[("a", &on(source, ""))]);
    for class in ["sad", "glad"] {
        for index in 0..8 {
            let path = place.path(&format!("faces/{class}/{index}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::GrayImage::from_pixel(32, 32, image::Luma([index])).save(path).unwrap();
        }
    }
    place.write("faces/glad/3.png", "no image");
    place.sweep().ends_with(1);
    check_failure(&place, "a", 3, "cannot use `faces/glad/3.png`");
    let skipping = on(source, "on_error = \"skip\"");
    place.write("experiments/a.toml", skipping);
    place.sweep_well();
    let skipped = place.runs().into_iter().find(|it| it.state == State::Finished).unwrap();
    assert_eq!(skipped.facts.dataset.unwrap().skipped.len(), 1);
}

#[test]
fn weights_of_another_network_or_cut_off_are_told_with_4_before_anything_trains() {
    let weights = |name: &str| {
        format!(
            "{SMALL}\n[model.weights.file]\npath = \"{name}.safetensors\"\ninput = \"torchvision\"\n"
        )
    };
    let place = Place::with(&[("a", &weights("other")), ("b", &weights("torn")), ("c", SMALL)]);
    let values = [0; 64];
    let tensor = TensorView::new(Dtype::F32, vec![4, 4], &values).unwrap();
    let file = safetensors::serialize([("conv1.weight", tensor)], None::<HashMap<_, _>>).unwrap();
    place.write("other.safetensors", &file);
    place.write("torn.safetensors", &file[..file.len() - 7]);
    let told = place.sweep();
    told.ends_with(4)
        .says("the first is `features.0.0.weight`")
        .says("fit either: `torn.safetensors`");
    assert!(!place.path("runs/c").exists(), "a trial began");
    // Without them the others are carried out.
    place.ferrite(&["sweep", "experiments/c.toml", "--threads", "1"]).ends_with(0);
    assert_eq!(place.run("c").state, State::Finished);
}

#[test]
fn a_folder_of_runs_that_cannot_be_written_ends_with_5() {
    let place = Place::with(&[("a", SMALL)]);
    place.write("taken", "");
    place.ferrite(&["sweep", "--runs", "taken"]).ends_with(5).says("taken");
    if cfg!(target_os = "linux") {
        place.ferrite(&["sweep", "--runs", "/proc/runs"]).ends_with(5).says("/proc/runs");
    }
}

#[test]
fn a_loss_that_is_no_number_fails_its_trial_with_10_and_the_others_finish() {
    // Every step multiplies the weights: by a thousand, or at once by more than there are numbers for.
    let with = |batch_size: usize, decay: &str| {
        let sgd = format!("{{ sgd = {{ lr = 100.0, weight_decay = {decay} }} }}");
        format!("{SMALL}\noptimizer = {sgd}\n")
            .replace("epochs = 2", "epochs = 10")
            .replace("batch_size = 16", &format!("batch_size = {batch_size}"))
    };
    // The second one takes one step an epoch: only validation can show what became of the weights.
    let place = Place::with(&[("a", &with(16, "10")), ("b", &with(64, "1e37")), ("c", SMALL)]);
    place.sweep().ends_with(1).says("2 of 3 trials failed");
    assert_eq!(place.run("c").state, State::Finished);
    check_failure(&place, "a", 10, "training diverged in stage `head`");
    check_failure(&place, "b", 10, "training diverged in stage `head`, epoch 1");
    // It has no score that could be held against that of another.
    assert_eq!(place.run("a").facts.evaluation, None);
    // It is not tried again, but neither is it forgotten.
    place.sweep().ends_with(1).says("2 of 3 trials failed");
    place.ferrite(&["plan"]).ends_with(0).says("failed").says("3 trials, 0 to do");
}

#[test]
fn planning_changes_nothing() {
    let table = on("{ fer2013 = { csv = \"fer.csv\" } }", "");
    let place = Place::with(&[("a", SMALL), ("b", &table)]);
    place.write("fer.csv", "emotion,pixels,Usage\n");
    // Old enough for its fingerprint to be worth remembering.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    let file = std::fs::File::options().append(true).open(place.path("fer.csv")).unwrap();
    file.set_modified(old).unwrap();
    let commands: [(&[&str], i32); 3] =
        [(&["plan"], 0), (&["sweep", "--dry-run"], 0), (&["status"], 2)];
    for (command, code) in commands {
        place.ferrite(command).ends_with(code);
        assert!(!place.path("runs").exists(), "`ferrite {}` made runs/", command.join(" "));
    }
}

#[test]
fn results_go_to_stdout_and_everything_else_to_stderr() {
    let place = Place::with(&[("a", SMALL)]);
    let told = place.sweep_well();
    // The report's path is the last line, behind the table of scores.
    assert_eq!(told.out.lines().last(), Some("runs/index.html"));
    assert!(told.out.contains("valid %") && !told.err.contains("valid %  "), "{told:#?}");
    let quiet = place.ferrite(&["sweep", "--threads", "1", "--quiet"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("runs/index.html\n", ""));
    // What fails is told all the same, with the reason.
    std::fs::remove_dir_all(place.path("runs")).unwrap();
    let fault = format!("ferrite-engine any 40+ ENOSPC {}", place.path("told").display());
    let sweep = ["sweep", "--threads", "1", "--quiet"];
    let told = place.ferrite_with(&[("FERRITE_TEST_FILE_FAULT", &fault)], &sweep);
    told.ends_with(1).says("failed: ").says("No space left on device");
    assert!(!told.err.contains("begins"), "{told:#?}");
}
