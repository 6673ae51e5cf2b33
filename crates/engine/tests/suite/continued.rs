//! A finished run that is asked for more epochs trains those that are new, and ends with what a run learns that trained all
//! of them at once, byte for byte.

use std::path::Path;

use ferrite_core::event::acts::Stop;
use ferrite_core::event::{Epoch, Kind};
use ferrite_core::store::record::{Record, State};
use ferrite_testing::{Place, events, same};

/// Two stages in which everything acts that draws or remembers something, and whose rates depend on no number of epochs.
const STAGES: &str = r#"
    [data]
    source = { synthetic = { faces = 60 } }
    image_size = 32

    [augment]
    flip = 0.5

    [model.head]
    dropout = 0.3

    [[stages]]
    name = "head"
    epochs = 2
    batch_size = 8

    [[stages]]
    name = "tail"
    trainable = "features.17"
    epochs = 3
    batch_size = 8
    optimizer = { adam = { lr = 0.01 } }
    warmup = { epochs = 1 }
    schedule = { plateau = { patience = 1, factor = 0.5 } }
    early_stopping = { patience = 50 }
    checkpoints = ["valid_accuracy"]
    mixup = 0.4
    ema = 0.8
"#;

/// The run of `e` with so many epochs in the last stage.
fn run(place: &Place, epochs: usize) -> Record {
    let all = place.runs().into_iter();
    let mut of =
        all.filter(|it| it.facts.stages.last().is_some_and(|it| it.start.epochs == epochs));
    let run = of.next().expect("there is such a run");
    assert_eq!((run.state.clone(), of.next()), (State::Finished, None));
    run
}

/// What a run has learnt: its weights by tensor, and its predictions, by file.
fn learnt(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = ["model.safetensors", "model.valid_accuracy.safetensors"];
    let tables = ["predictions.csv", "predictions.valid_accuracy.csv"];
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
    let tensors = |name: &str| {
        let bytes = read(name);
        if bytes.is_empty() {
            return bytes;
        }
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all = file.tensors();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.iter().flat_map(|(_, it)| it.data().to_vec()).collect()
    };
    let weights = names.iter().map(|it| ((*it).to_owned(), tensors(it)));
    weights.chain(tables.iter().map(|it| ((*it).to_owned(), read(it)))).collect()
}

/// The epochs of all stages, but for how long they took and what they drew.
fn epochs(run: &Record) -> Vec<Epoch> {
    let all = run.facts.stages.iter().flat_map(|it| it.epochs.clone());
    all.map(|it| Epoch { seconds: 0.0, images_per_second: 0.0, energy: None, ..it }).collect()
}

/// Asks the experiment for so many epochs in its last stage.
#[track_caller]
fn sweep(place: &Place, epochs: usize) {
    let set = format!("stages.tail.epochs={epochs}");
    place.ferrite(&["sweep", "--threads", "1", "--set", &set]).ends_with(0);
}

/// Checks that a run of 6 epochs that goes on from one of 3 learns what one learns that trained 6, and that it went on from
/// so many.
#[track_caller]
fn check(experiment: &str, continued: usize) {
    let undisturbed = Place::with(&[("e", experiment)]);
    sweep(&undisturbed, 6);
    let place = Place::with(&[("e", experiment)]);
    sweep(&place, 3);
    sweep(&place, 6);
    let (expected, found) = (run(&undisturbed, 6), run(&place, 6));
    let learnt = [&found, &expected].map(|it| learnt(&it.folder));
    for ((name, found), (_, expected)) in learnt[0].iter().zip(&learnt[1]) {
        same(name, found, expected);
    }
    assert_eq!(epochs(&found), epochs(&expected));
    assert_eq!((&found.trial, &found.settings), (&expected.trial, &expected.settings));
    let before = |it: &Record| {
        let stage = it.facts.stages.last().unwrap();
        stage.continued.as_ref().map_or(0, |it| it.epochs)
    };
    assert_eq!((before(&found), before(&expected)), (continued, 0));
}

#[test]
fn three_epochs_more_end_with_the_bytes_of_six() {
    check(STAGES, 3);
}

#[test]
fn the_last_epochs_weights_go_on_as_they_would_have_where_no_best_ones_are_kept() {
    let adamw =
        STAGES.replace("early_stopping = { patience = 50 }", "").replace("adam =", "adamw =");
    check(
        &adamw.replace("{ plateau = { patience = 1, factor = 0.5 } }", "{ step = { every = 2 } }"),
        3,
    );
}

#[test]
fn a_schedule_over_the_whole_stage_trains_all_epochs_anew() {
    check(&STAGES.replace("{ plateau = { patience = 1, factor = 0.5 } }", "'cosine'"), 0);
}

#[test]
fn what_had_stopped_early_is_taken_as_it_is_and_nothing_is_trained() {
    let stops = STAGES.replace("patience = 50 }", "patience = 1, min_delta = 50.0 }");
    let place = Place::with(&[("e", &stops)]);
    sweep(&place, 3);
    sweep(&place, 6);
    let [short, long] = [3, 6].map(|it| run(&place, it));
    let stage = long.facts.stages.last().unwrap();
    let end = stage.end.as_ref().unwrap();
    assert!(matches!(end.why, Stop::Early { .. }) && end.epochs == 2, "{end:?}");
    assert_eq!(stage.continued.as_ref().map(|it| it.epochs), Some(2));
    assert_eq!(epochs(&long), epochs(&short));
    assert_eq!(learnt(&long.folder), learnt(&short.folder));
}

#[test]
fn the_log_and_every_run_that_takes_the_stage_say_where_it_went_on() {
    let place = Place::with(&[("e", STAGES)]);
    sweep(&place, 3);
    let seconds: f64 =
        run(&place, 3).facts.stages.last().unwrap().epochs.iter().map(|it| it.seconds).sum();
    sweep(&place, 6);
    let long = run(&place, 6);
    let told = long.facts.stages.last().unwrap().continued.clone().unwrap();
    assert_eq!((told.epochs, told.seconds), (3, seconds));
    let told = events(&long.folder.join("events.jsonl"));
    let at = |wanted: &dyn Fn(&Kind) -> bool| told.iter().position(|it| wanted(&it.kind)).unwrap();
    let ended = |epoch: usize| move |it: &Kind| matches!(it, Kind::EpochEnded(it) if it.stage == "tail" && it.epoch == epoch);
    assert!(at(&|it| matches!(it, Kind::StageContinued(_))) < at(&ended(1)));
    // What was trained before is told at once; what is new takes its time.
    let steps = |it: &Kind| matches!(it, Kind::StepReady(it) if it.step == "stage" && !it.reused);
    let took = told.iter().find_map(|it| match &it.kind {
        Kind::StepReady(step) if steps(&it.kind) => Some(step.seconds),
        _ => None,
    });
    let own: f64 = epochs_seconds(&long)[3..].iter().sum();
    assert!(took.unwrap() >= own, "{took:?} of {own}");
    let work = long.facts.work.iter().find(|it| it.continued > 0).unwrap();
    assert_eq!((work.stage.as_deref(), work.continued, work.reused), (Some("tail"), 3, false));
    let page = std::fs::read_to_string(long.folder.join("index.html")).unwrap();
    assert!(page.contains("Trained before") && page.contains("3 epochs"));
}

fn epochs_seconds(run: &Record) -> Vec<f64> {
    run.facts.stages.last().unwrap().epochs.iter().map(|it| it.seconds).collect()
}

#[test]
fn without_its_checkpoint_or_with_a_damaged_one_all_epochs_are_trained_again() {
    let place = Place::with(&[("e", STAGES)]);
    sweep(&place, 3);
    let expected = {
        let undisturbed = Place::with(&[("e", STAGES)]);
        sweep(&undisturbed, 6);
        learnt(&run(&undisturbed, 6).folder)
    };
    let folder = place.path("runs/.store/checkpoint");
    let files = place.files("runs/.store/checkpoint");
    assert_eq!(files.len(), 2, "one for each stage");
    for (path, (mut bytes, _)) in files {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    sweep(&place, 6);
    let damaged = run(&place, 6);
    assert_eq!(damaged.facts.stages.last().unwrap().continued, None);
    assert_eq!(learnt(&damaged.folder), expected);
    let log = events(&damaged.folder.join("events.jsonl"));
    assert!(
        log.iter()
            .any(|it| matches!(&it.kind, Kind::SetAside(it) if it.aside.contains("3.damaged")))
    );
    std::fs::remove_dir_all(folder).unwrap();
    sweep(&place, 7);
    assert_eq!(run(&place, 7).facts.stages.last().unwrap().continued, None);
}
