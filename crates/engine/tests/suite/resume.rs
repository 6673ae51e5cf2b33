//! Runs that are killed, stopped, damaged, deleted or carried out twice at once: the predictions are
//! always those of an undisturbed sweep, byte for byte.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ferrite_core::event::Kind;
use ferrite_core::event::gradient::Gradient;
use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL, Started, events, logs, same};

/// Two stages in which everything random acts and the best epoch's weights go on.
const LONG: &str = r#"
    [data]
    source = { synthetic = { faces = 80 } }
    image_size = 32

    [augment]
    flip = 0.5
    rotation = 10

    [model.head]
    layers = [16]
    dropout = 0.3

    [noise]
    features = { std = 0.1 }

    [[stages]]
    name = "head"
    epochs = 5
    batch_size = 8
    early_stopping = { patience = 4 }

    [[stages]]
    name = "tail"
    trainable = "features.17"
    epochs = 8
    batch_size = 8
    optimizer = { sgd = { lr = 0.01, momentum = 0.9 } }
    schedule = "cosine"
"#;

/// The predictions of an undisturbed sweep of [`LONG`].
fn undisturbed() -> &'static [u8] {
    static PREDICTIONS: OnceLock<Vec<u8>> = OnceLock::new();
    PREDICTIONS.get_or_init(|| {
        let place = Place::with(&[("e", LONG)]);
        place.sweep_well();
        predictions(&place)
    })
}

/// The predictions of the only run of the experiment `e`.
#[track_caller]
fn predictions(place: &Place) -> Vec<u8> {
    let folder = place.run("e").folder;
    std::fs::read(folder.join("predictions.csv")).unwrap()
}

fn ended(stage: &'static str, epoch: usize) -> impl Fn(&Kind) -> bool {
    move |it| matches!(it, Kind::EpochEnded(it) if it.stage == stage && it.epoch == epoch)
}

/// The processes that `parent` started.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|it| it.parse().unwrap()).collect()
}

/// Starts a sweep and kills it once `moment` has happened; the worker must end by itself.
#[track_caller]
fn kill_at(place: &Place, moment: impl Fn(&Kind) -> bool) {
    let sweep = place.start(&["sweep", "--threads", "1"]);
    place.wait_until(moment);
    sweep.signal("KILL");
    let told = sweep.end();
    assert_eq!(told.code, None, "killed before its end: {told:#?}");
    let since = Instant::now();
    while place.run("e").state == State::Running {
        assert!(since.elapsed() < Duration::from_secs(30), "its worker goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(place.run("e").state, State::Interrupted);
}

/// Checks that a sweep killed at `moment` and begun again gives what an undisturbed one gives.
#[track_caller]
fn check_killed_at(moment: impl Fn(&Kind) -> bool) {
    let place = Place::with(&[("e", LONG)]);
    kill_at(&place, moment);
    place.sweep_well();
    let run = place.run("e");
    assert!(run.facts.start.as_ref().unwrap().resumed);
    assert_eq!(run.state, State::Finished);
    same("predictions", &predictions(&place), undisturbed());
}

#[test]
fn killed_while_frozen_layers_run_the_next_sweep_gives_the_same_predictions() {
    check_killed_at(|it| matches!(it, Kind::StageStarted(it) if it.stage == "head"));
}

#[test]
fn killed_in_the_first_stage_the_next_sweep_gives_the_same_predictions() {
    check_killed_at(ended("head", 2));
}

#[test]
fn killed_in_the_second_stage_the_next_sweep_gives_the_same_predictions() {
    check_killed_at(ended("tail", 3));
}

/// A stage in which every technique that draws or remembers something acts.
const TECHNIQUES: &str = r#"
    [data]
    source = { synthetic = { faces = 60 } }
    image_size = 32

    [augment]
    flip = 0.5

    [[stages]]
    name = "tail"
    trainable = "features.17"
    epochs = 5
    batch_size = 8
    optimizer = { radam = { lr = 0.01, betas = [0.9, 0.99] } }
    schedule = { plateau = { patience = 1, factor = 0.5 } }
    warmup = { epochs = 2 }
    early_stopping = { patience = 5, monitor = "valid_accuracy" }
    checkpoints = ["valid_loss", "train_accuracy"]
    loss = { label_smoothing = 0.1, class_weights = "balanced" }
    sampling = "balanced"
    mixup = 0.4
    cutmix = 1.0
    clip = { norm = 0.5 }
    ema = 0.8
"#;

/// The bytes of every tensor of a weight file; the order of the facts in its header says nothing.
fn tensors(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut all = file.tensors();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.iter().flat_map(|(_, it)| it.data().to_vec()).collect()
}

/// What every file of the run of `e` holds that says what was learnt: weights and predictions.
fn learnt(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = place.run("e").folder;
    let learnt = |it: &Path| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("predictions.") || name.starts_with("model.")
    };
    let files = place.files("runs").into_iter().filter(|(it, _)| it.starts_with(&folder));
    let files = files.filter(|(it, _)| learnt(it));
    let read = |(path, (bytes, _)): (PathBuf, (Vec<u8>, _))| {
        let weights = path.extension().is_some_and(|it| it == "safetensors");
        let held = if weights { tensors(&bytes) } else { bytes };
        (path.strip_prefix(&folder).unwrap().to_owned(), held)
    };
    files.map(read).collect()
}

/// What the epochs of the run of `e` say of the validation images and of the gradients.
fn told(place: &Place) -> Vec<(Vec<u32>, Option<Gradient>)> {
    let stages = place.run("e").facts.stages;
    let epochs = stages.into_iter().flat_map(|it| it.epochs);
    epochs.map(|it| (it.confusion, it.gradient)).collect()
}

/// Checks that a sweep of `experiment` that is killed twice learns what an undisturbed one learns, of which there are so many
/// files; that sweep's place.
#[track_caller]
fn check_killed_twice(experiment: &str, files: usize) -> Place {
    let undisturbed = Place::with(&[("e", experiment)]);
    undisturbed.sweep_well();
    let expected = learnt(&undisturbed);
    assert_eq!(expected.len(), files);
    let place = Place::with(&[("e", experiment)]);
    kill_at(&place, ended("tail", 1));
    kill_at(&place, ended("tail", 3));
    place.sweep_well();
    for ((name, found), (_, expected)) in learnt(&place).iter().zip(&expected) {
        same(name.display(), found, expected);
    }
    assert_eq!(learnt(&place).len(), expected.len());
    assert_eq!(told(&place), told(&undisturbed));
    place
}

#[test]
fn killed_amid_every_technique_the_next_sweep_gives_the_same_weights_and_predictions() {
    // The final ones and those of two metrics.
    check_killed_twice(TECHNIQUES, 6);
}

#[test]
fn killed_while_muon_trains_on_flips_in_turns_the_next_sweep_learns_the_same() {
    let muon = "{ muon = { lr = 0.01, adamw = { lr = 1e-3 } } }";
    let experiment = TECHNIQUES.replace("{ radam = { lr = 0.01, betas = [0.9, 0.99] } }", muon);
    let experiment = experiment.replace("flip = 0.5", "flip = 'alternating'");
    assert!(experiment.contains("muon") && experiment.contains("alternating"));
    let place = check_killed_twice(&experiment, 6);
    let stage = &place.run("e").facts.stages[0];
    assert!(stage.epochs[0].acts.orthogonalized.unwrap().matrices > 0);
    let changed = &stage.augmentation.as_ref().unwrap().changed;
    let flips = ["flip", "flip, the other way in the next epoch"].map(|it| changed[it]);
    assert!((0.2..0.8).contains(&flips[0]) && flips[1] == 1.0, "{changed:?}");
}

#[test]
fn killed_while_residuals_are_left_out_the_next_sweep_gives_the_same_weights_and_predictions() {
    let experiment = r#"
        [data]
        source = { synthetic = { faces = 60 } }
        image_size = 32

        [model]
        backbone = "efficientnet_b0"

        [[stages]]
        name = "tail"
        trainable = "features.6"
        epochs = 4
        batch_size = 8
    "#;
    check_killed_twice(experiment, 2);
}

#[test]
fn killed_again_and_again_the_last_sweep_gives_the_same_predictions() {
    let place = Place::with(&[("e", LONG)]);
    kill_at(&place, ended("head", 1));
    kill_at(&place, ended("tail", 2));
    kill_at(&place, ended("tail", 5));
    place.sweep_well();
    same("predictions", &predictions(&place), undisturbed());
}

#[test]
fn a_worker_that_is_killed_interrupts_its_trial_and_the_next_sweep_goes_on_with_it() {
    let place = Place::with(&[("e", LONG)]);
    let sweep = place.start(&["sweep", "--threads", "1"]);
    place.wait_until(ended("tail", 2));
    let worker = children(sweep.id())[0].to_string();
    assert!(
        std::process::Command::new("kill").args(["-KILL", &worker]).status().unwrap().success()
    );
    let told = sweep.end();
    told.ends_with(1).says("e/seed-0").says("interrupted: its process died");
    told.says("1 of 1 trial was interrupted").says("the next `ferrite sweep` goes on");
    // Every command has the same word for it.
    assert!(!told.words().contains("failed") && !told.words().contains("retry"), "{told:#?}");
    for command in ["status", "plan", "show e"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        place.ferrite(&arguments).ends_with(0).says("interrupted");
    }
    place.sweep_well();
    same("predictions", &predictions(&place), undisturbed());
}

#[test]
fn a_worker_that_is_stopped_by_itself_stops_the_sweep_with_130() {
    let place = Place::with(&[("e", LONG), ("other", SMALL)]);
    let sweep = place.start(&["sweep", "--threads", "1", "--jobs", "1"]);
    place.wait_until(ended("tail", 2));
    let worker = children(sweep.id())[0].to_string();
    assert!(
        std::process::Command::new("kill").args(["-TERM", &worker]).status().unwrap().success()
    );
    sweep.end().ends_with(130).says("interrupted");
    place.sweep_well().says("2 trials finished in");
    same("predictions", &predictions(&place), undisturbed());
}

/// Interrupts a sweep in its second stage.
fn interrupted_place() -> Place {
    let place = Place::with(&[("e", LONG)]);
    let sweep = place.start(&["sweep", "--threads", "1"]);
    place.wait_until(ended("tail", 2));
    interrupt(sweep);
    place
}

fn interrupt(sweep: Started) {
    sweep.signal("INT");
    sweep.end().ends_with(130).says("interrupted; the next sweep goes on");
}

#[test]
fn ctrl_c_ends_with_130_and_the_next_sweep_gives_the_same_predictions() {
    let place = interrupted_place();
    assert_eq!(place.run("e").state, State::Interrupted);
    let log = &logs(&place.path("runs"))[0];
    assert_eq!(events(log).last().unwrap().kind, Kind::RunInterrupted);
    place.ferrite(&["status"]).ends_with(0).says("stopped");
    place.ferrite(&["plan"]).ends_with(0).says("interrupted").says("1 trial, 1 to do");
    place.sweep_well();
    same("predictions", &predictions(&place), undisturbed());
}

/// Everything below `runs/` that no report writes.
fn kept(place: &Place) -> impl Iterator<Item = (PathBuf, (Vec<u8>, std::time::SystemTime))> {
    let written = |it: &Path| {
        let report = it.extension().is_some_and(|it| it == "html" || it == "png" || it == "svg");
        let inside = |folder: &str| it.to_string_lossy().contains(folder);
        !report && !it.ends_with("MODEL.md") && !inside("/plots/") && !inside("/runs/report/")
    };
    place.files("runs").into_iter().filter(move |(it, _)| written(it))
}

#[test]
fn a_sweep_with_nothing_to_do_touches_nothing() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let before: Vec<_> = kept(&place).collect();
    place.sweep_well().says("nothing to do");
    assert!(kept(&place).eq(before), "a file was written");
}

#[test]
fn a_deleted_run_is_restored_and_the_others_are_not_touched() {
    let place = Place::with(&[("e", &format!("seeds = [0, 1]\n{SMALL}"))]);
    place.sweep_well();
    let before: Vec<_> = kept(&place).collect();
    let deleted = place.runs().remove(0).folder;
    std::fs::remove_dir_all(&deleted).unwrap();
    place.sweep_well().says("1 trial finished in").says("1 was finished before");
    let after: Vec<_> = kept(&place).collect();
    assert_eq!(after.len(), before.len());
    for ((path, (old, then)), (other, (new, now))) in before.iter().zip(&after) {
        assert_eq!(path, other);
        if !path.starts_with(&deleted) {
            assert!(old == new && then == now, "{} was written", path.display());
        } else if path.ends_with("predictions.csv") {
            assert!(old == new, "other predictions");
        }
    }
}

#[test]
fn two_sweeps_at_once_train_each_stage_once_and_both_end_well() {
    let place = Place::with(&[("e", LONG)]);
    let sweeps = [(); 2].map(|()| place.start(&["sweep", "--threads", "1"]));
    for sweep in sweeps {
        sweep.end().ends_with(0);
    }
    same("predictions", &predictions(&place), undisturbed());
    let log = &logs(&place.path("runs"))[0];
    let mut epochs = std::collections::BTreeMap::new();
    for event in events(log) {
        if let Kind::EpochEnded(epoch) = event.kind {
            let first = epochs.entry((epoch.stage.clone(), epoch.epoch)).or_insert(epoch.clone());
            assert_eq!(*first, epoch, "trained twice");
        }
    }
    assert_eq!(place.steps("stage").len(), 2);
    let left = place.files("runs/.store");
    let left = left.keys().find(|it| it.to_string_lossy().contains(".partial"));
    assert_eq!(left, None);
}

#[test]
fn four_sweeps_at_once_make_each_step_once_and_end_in_the_same_bytes() {
    let experiments = [("a", &format!("seeds = [0, 1]\n{SMALL}")[..]), ("b", SMALL)];
    let expected = Place::with(&experiments);
    expected.sweep_well();
    let place = Place::with(&experiments);
    let sweeps = [(); 4].map(|()| place.start(&["sweep", "--threads", "1", "--jobs", "2"]));
    for sweep in sweeps {
        sweep.end().ends_with(0);
    }
    let mut made = std::collections::BTreeSet::new();
    for event in logs(&place.path("runs")).iter().flat_map(|it| events(it)) {
        if let Kind::StepReady(it) = event.kind
            && !it.reused
        {
            assert!(made.insert(it.key.clone()), "`{}` was made twice", it.key);
        }
    }
    for (run, like) in place.runs().iter().zip(expected.runs()) {
        let read = |folder: &Path| std::fs::read(folder.join("predictions.csv")).unwrap();
        same(run.name(), &read(&run.folder), &read(&like.folder));
    }
}

#[test]
fn a_log_that_was_cut_off_is_mended() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let before = predictions(&place);
    let log = &logs(&place.path("runs"))[0];
    let text = std::fs::read(log).unwrap();
    std::fs::write(log, &text[..text.len() - 10]).unwrap();
    place.ferrite(&["status"]).ends_with(0).says("interrupted");
    place.sweep_well().says("1 trial finished in");
    assert_eq!(place.run("e").state, State::Finished);
    same("predictions", &predictions(&place), &before);
    place.sweep_well().says("nothing to do");
}

#[test]
fn a_log_that_holds_rubbish_is_set_aside_and_the_run_is_finished_again() {
    let place = Place::with(&[("e", SMALL), ("other", SMALL)]);
    place.sweep_well();
    let before = predictions(&place);
    let log = place.run("e").folder.join("events.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("\"event\"", "\0\0\0", 3)).unwrap();
    place.ferrite(&["status"]).ends_with(0).says("events.jsonl` is damaged: line 1").says("other/");
    place.sweep_well().says("1 trial finished in");
    assert_eq!(place.run("e").state, State::Finished);
    same("predictions", &predictions(&place), &before);
    place.sweep_well().says("nothing to do");
}

#[test]
fn a_checkpoint_that_is_damaged_is_named_and_set_aside_and_its_stage_begins_again() {
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    for damage in [cut as fn(&[u8]) -> Vec<u8>, flip] {
        let place = interrupted_place();
        let files = place.files("runs/.store/stage");
        let checkpoint = files.keys().find(|it| it.ends_with("checkpoint.safetensors")).unwrap();
        let bytes = damage(&std::fs::read(checkpoint).unwrap());
        std::fs::write(checkpoint, &bytes).unwrap();
        let told = place.sweep_well();
        told.says("checkpoint.safetensors` is damaged")
            .says(".damaged.safetensors`; it is made again");
        assert!(predictions(&place) == undisturbed(), "other predictions");
        let kept = place.files("runs/.store/stage").into_iter();
        let mut kept =
            kept.filter(|(it, _)| it.to_string_lossy().ends_with(".damaged.safetensors"));
        assert!(kept.next().is_some_and(|(_, (it, _))| it == bytes), "it is kept");
    }
}

#[test]
fn settings_of_a_run_that_hold_rubbish_are_named_and_hide_no_other_run_and_are_restored() {
    let place = Place::with(&[("e", SMALL), ("other", SMALL)]);
    place.sweep_well();
    let trial = place.run("e").folder.join("trial.toml");
    let settings = std::fs::read(&trial).unwrap();
    std::fs::write(&trial, "rubbish").unwrap();
    place.ferrite(&["status"]).ends_with(0).says("trial.toml` is damaged").says("other/seed-0");
    place.ferrite(&["report"]).ends_with(0);
    place.ferrite(&["run", &trial.to_string_lossy()]).ends_with(2).says("trial.toml:1:");
    place.sweep_well().says("trial.toml` is damaged").says("1 trial finished in");
    assert!(std::fs::read(&trial).unwrap() == settings, "other settings");
    place.sweep_well().says("nothing to do");
}

/// A stage whose best epochs have equal accuracies that no short decimal number is.
const TIES: &str = r#"
    seeds = [2]
    [data]
    source = { synthetic = { faces = 100 } }
    image_size = 32
    [augment]
    flip = 0.01
    [model.head]
    layers = [16]
    dropout = 0.3
    [[stages]]
    name = "head"
    epochs = 12
    batch_size = 8
    optimizer = { adam = { lr = 3e-5 } }
    early_stopping = { monitor = "valid_accuracy", patience = 60 }
"#;

#[test]
fn a_stage_that_was_stopped_keeps_the_epoch_that_it_would_have_kept() {
    let place = Place::with(&[("e", TIES)]);
    let sweep = place.start(&["sweep", "--threads", "1"]);
    place.wait_until(ended("head", 2));
    interrupt(sweep);
    place.sweep_well();
    let again = Place::with(&[("e", TIES)]);
    again.sweep_well();
    let kept = |place: &Place| place.run("e").facts.stages[0].end.clone().unwrap().kept_epoch;
    assert_eq!(kept(&place), kept(&again));
    assert!(predictions(&place) == predictions(&again), "other predictions");
}
