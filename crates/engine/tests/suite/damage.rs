//! Files that are lost, cut off or changed behind Ferrite's back: each is named, kept under another name and made
//! again, and whoever has no part in it is not touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferrite_core::event::Kind;
use ferrite_core::store::artifact::MANIFEST;
use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL, Told, events};

/// An experiment whose run has every kind of file.
const ALL: &str = r#"
    [data]
    source = { synthetic = { faces = 80 } }
    image_size = 32

    [augment]
    flip = 0.5
    cached_views = 1

    [[stages]]
    name = "head"
    epochs = 2
    batch_size = 16
    checkpoints = ["train_loss"]
"#;

/// A way to damage a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Empty,
    /// Cut off there.
    Cut(Offset),
    /// A bit of the byte there changes.
    Flip(Offset),
    Lose,
}

/// Where in a file.
#[derive(Debug, Clone, Copy)]
enum Offset {
    First,
    Second,
    Middle,
    /// Where the second page of memory begins.
    Page,
    Last,
}

impl Offset {
    fn of(self, length: usize) -> usize {
        let last = length - 1;
        match self {
            Self::First => 0,
            Self::Second => 1.min(last),
            Self::Middle => length / 2,
            Self::Page => 4096.min(last),
            Self::Last => last,
        }
    }
}

const WAYS: [Damage; 6] = [
    Damage::Empty,
    Damage::Cut(Offset::Middle),
    Damage::Flip(Offset::Middle),
    Damage::Lose,
    Damage::Flip(Offset::First),
    Damage::Cut(Offset::Last),
];

/// The same for files of steps, which are told from each other by more.
const WAYS_OF_STEPS: [Damage; 10] = [
    Damage::Flip(Offset::Middle),
    Damage::Cut(Offset::Middle),
    Damage::Empty,
    Damage::Flip(Offset::First),
    Damage::Cut(Offset::Last),
    Damage::Flip(Offset::Last),
    Damage::Cut(Offset::Second),
    Damage::Flip(Offset::Page),
    Damage::Cut(Offset::Page),
    Damage::Flip(Offset::Second),
];

fn damage(path: &Path, how: Damage) {
    let mut bytes = std::fs::read(path).unwrap();
    match how {
        Damage::Empty => bytes.clear(),
        Damage::Cut(at) => bytes.truncate(at.of(bytes.len())),
        Damage::Flip(at) => {
            let at = at.of(bytes.len());
            bytes[at] ^= 1;
        }
        Damage::Lose => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

/// What a run says of what was learnt, by file: the log, settings and where it happened say more than that.
fn learnt(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let tables = ["predictions.csv", "predictions.train_loss.csv", "plots/augmented-head.png"];
    let models = ["model.safetensors", "model.train_loss.safetensors"];
    let tensors = |bytes: Vec<u8>| {
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut all = file.tensors();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.iter().flat_map(|(_, it)| it.data().to_vec()).collect()
    };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let tables = tables.map(|it| (PathBuf::from(it), read(it)));
    tables.into_iter().chain(models.map(|it| (PathBuf::from(it), tensors(read(it))))).collect()
}

/// Checks that the run of `e` is finished and says what `expected` does.
#[track_caller]
fn check_whole(place: &Place, expected: &BTreeMap<PathBuf, Vec<u8>>, why: &str) {
    let run = place.run("e");
    assert_eq!(run.state, State::Finished, "{why}");
    for ((name, found), wanted) in learnt(&run.folder).iter().zip(expected.values()) {
        assert!(found == wanted, "{why}: another {}", name.display());
    }
}

/// Checks that `told` names the file at `path` as damaged.
#[track_caller]
fn check_named(told: &Told, path: &Path, why: &str) {
    let name = path.file_name().unwrap().to_string_lossy();
    let words = told.words();
    let named = words.split("is damaged").any(|it| it.trim_end().ends_with(&format!("{name}`")));
    assert!(named || words.contains(&format!("{name}`: ")), "{why}: {name} is not in {told:#?}");
}

#[test]
fn every_file_of_a_finished_run_is_made_again_when_it_is_damaged() {
    let place = Place::with(&[("e", ALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let expected = learnt(&folder);
    let small = ["trial.toml", "environment.json", "predictions.csv", "predictions.train_loss.csv"];
    let others = ["plots/augmented-head.png", "model.safetensors", "model.train_loss.safetensors"];
    for how in WAYS {
        let why = format!("{how:?}");
        let whole_size = matches!(how, Damage::Flip(_));
        // Flipped weights are found where they are read, which a sweep with nothing to do does not.
        let files = small.iter().chain(&others[..if whole_size { 1 } else { 3 }]);
        let files: Vec<PathBuf> = files.map(|it| folder.join(it)).collect();
        for it in &files {
            damage(it, how);
        }
        place.ferrite(&["status"]).ends_with(0).says("is damaged: it");
        let told = place.sweep_well();
        told.says("1 trial finished in");
        for it in &files {
            check_named(&told, it, &why);
        }
        check_whole(&place, &expected, &why);
        place.sweep_well().says("nothing to do");
    }
    // What was damaged is kept beside what was made again; what was lost cannot be.
    let names = |it: &str| {
        place.files("runs/e").keys().filter(|path| path.to_string_lossy().contains(it)).count()
    };
    assert_eq!(names("predictions.damaged"), 5);
    assert_eq!(names("model.damaged"), 3);
}

#[test]
fn a_flipped_bit_of_a_log_is_named_and_the_run_is_finished_again() {
    let place = Place::with(&[("e", ALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let expected = learnt(&folder);
    let log = folder.join("events.jsonl");
    // A score that is still a number, and a byte that is no text any more.
    for (from, to) in
        [(&b"\"accuracy\":0."[..], &b"\"accuracy\":1."[..]), (b"run-started", b"\xf2un-started")]
    {
        let mut bytes = std::fs::read(&log).unwrap();
        let at = bytes.windows(from.len()).position(|it| it == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        std::fs::write(&log, bytes).unwrap();
        let why = String::from_utf8_lossy(to).into_owned();
        check_named(place.ferrite(&["status"]).ends_with(0), &log, &why);
        check_named(place.sweep_well().says("1 trial finished in"), &log, &why);
        check_whole(&place, &expected, &why);
        place.sweep_well().says("nothing to do");
    }
}

#[test]
fn every_file_of_every_step_is_made_again_when_it_is_damaged() {
    let place = Place::with(&[("e", ALL)]);
    place.sweep_well();
    let expected = learnt(&place.run("e").folder);
    let of_steps = || -> Vec<Vec<PathBuf>> {
        let kinds = ["dataset", "features", "stage", "evaluate"];
        let folders = kinds.iter().flat_map(|kind| {
            let names = place.steps(kind).into_iter();
            names.map(|it| place.path("runs/.store").join(kind).join(it)).collect::<Vec<_>>()
        });
        folders
            .map(|it| {
                let files = it.read_dir().unwrap().map(|it| it.unwrap().path());
                // Only remembered: without it the images are looked at again.
                let mut files: Vec<_> = files.filter(|it| !it.ends_with("audit.json")).collect();
                files.sort();
                files
            })
            .collect()
    };
    let rounds = of_steps().iter().map(Vec::len).max().unwrap();
    assert!(rounds > 3, "a stage has two files of weights, a history and a manifest");
    for round in 0..rounds {
        let hit: Vec<PathBuf> = of_steps().iter().map(|it| it[round % it.len()].clone()).collect();
        let how = |at: usize| WAYS_OF_STEPS[(round + 3 * at) % WAYS_OF_STEPS.len()];
        for (at, it) in hit.iter().enumerate() {
            damage(it, how(at));
        }
        std::fs::remove_dir_all(place.path("runs/e")).unwrap();
        let told = place.sweep_well();
        let why = format!("round {round} of {hit:?}");
        for it in &hit {
            check_named(&told, it, &why);
        }
        check_whole(&place, &expected, &why);
        for it in hit {
            let folder = it.parent().unwrap();
            let key = folder.file_name().unwrap().to_string_lossy();
            assert!(folder.with_file_name(format!("{key}.damaged")).is_dir(), "{why}: it is kept");
            std::fs::remove_dir_all(folder.with_file_name(format!("{key}.damaged"))).unwrap();
        }
    }
}

/// Takes away what older versions did not write: checksums in logs, what files held, manifests of steps, what steps
/// told, of which stages had a history.
fn make_old(place: &Place) {
    for path in place.files("runs").into_keys() {
        if path.ends_with(MANIFEST) {
            std::fs::remove_file(&path).unwrap();
        } else if path.ends_with("evidence.json") {
            let told: Vec<Kind> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let epochs: Vec<_> = told
                .iter()
                .filter_map(|it| if let Kind::EpochEnded(it) = it { Some(it) } else { None })
                .collect();
            if let Some(Kind::StageEnded(end)) = told.last() {
                let history = serde_json::to_vec(&(epochs, end)).unwrap();
                std::fs::write(path.with_file_name("history.json"), history).unwrap();
            }
            std::fs::remove_file(&path).unwrap();
        } else if path.ends_with("events.jsonl") {
            let old = |event: ferrite_core::event::Event| {
                let mut line = serde_json::to_value(&event).unwrap();
                line.as_object_mut().unwrap().remove("files");
                format!("{line}\n")
            };
            std::fs::write(&path, events(&path).into_iter().map(old).collect::<String>()).unwrap();
        } else if path.ends_with("shape.json") {
            let text: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let shape = text.get("shape").unwrap_or(&text);
            std::fs::write(&path, shape.to_string()).unwrap();
        }
    }
}

#[test]
fn what_older_versions_finished_stays_finished_and_is_checked_as_far_as_it_can_be() {
    let place = Place::with(&[("e", ALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let expected = learnt(&folder);
    make_old(&place);
    let told = place.sweep_well();
    told.says("nothing to do: 1 was finished before");
    let table = folder.join("predictions.csv");
    let whole = std::fs::read_to_string(&table).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for count in [0, 1, 5, lines.len() - 1] {
        make_old(&place);
        std::fs::write(&table, lines[..count].concat()).unwrap();
        let predictions = count.saturating_sub(1);
        let damaged = format!("it has {predictions} predictions of {} images", lines.len() - 1);
        place.ferrite(&["status"]).ends_with(0).says(&damaged);
        place.sweep_well().says("1 trial finished in");
        check_whole(&place, &expected, &damaged);
    }
    make_old(&place);
    std::fs::write(folder.join("trial.toml"), "").unwrap();
    place.ferrite(&["status"]).ends_with(0).says("trial.toml` is damaged: it holds no settings");
    place.sweep_well().says("1 trial finished in");
    // What the steps say of themselves is looked at as well.
    for (kind, name, how) in [
        ("stage", "history.json", Damage::Cut(Offset::Middle)),
        ("stage", "weights.safetensors", Damage::Lose),
        ("features", "features.bin", Damage::Empty),
    ] {
        make_old(&place);
        std::fs::remove_dir_all(&folder).unwrap();
        let hit = place.path("runs/.store").join(kind).join(&place.steps(kind)[0]).join(name);
        damage(&hit, how);
        place.sweep_well().says(&format!("{name}`: "));
        check_whole(&place, &expected, name);
    }
}

/// The answer of `ferrite predict` for a picture that the report drew.
fn predict(place: &Place) -> Told {
    place.ferrite(&["predict", "e", "runs/plots/confusion.png", "--csv", "--device", "cpu"])
}

#[test]
fn predict_believes_neither_changed_weights_nor_other_settings() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let said = predict(&place);
    said.ends_with(0);
    let folder = place.run("e").folder;
    let settings = std::fs::read_to_string(folder.join("trial.toml")).unwrap();
    for other in ["", &settings.replace("image_size = 32", "image_size = 64")] {
        std::fs::write(folder.join("trial.toml"), other).unwrap();
        predict(&place).ends_with(5).says("trial.toml` is damaged: it");
    }
    // Neither in a run of an older version, where the model's own header is what is left to compare.
    make_old(&place);
    predict(&place).ends_with(5).says("its image_size is `32`, but the run's is `64`");
    std::fs::write(folder.join("trial.toml"), settings).unwrap();
    assert_eq!(predict(&place).ends_with(0).out, said.out);
}

#[test]
fn weights_with_a_flipped_bit_are_set_aside_by_whoever_reads_them_and_made_again() {
    let next = format!("{SMALL}\n[model]\nweights = {{ experiment = \"e\" }}\n");
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let said = predict(&place);
    let folder = place.run("e").folder;
    let model = folder.join("model.safetensors");
    damage(&model, Damage::Flip(Offset::Middle));
    predict(&place).ends_with(5).says("model.safetensors` is damaged: its bytes are not those");
    assert!(folder.join("model.damaged.safetensors").exists() && !model.exists());
    place.sweep_well().says("1 trial finished in");
    assert_eq!(predict(&place).ends_with(0).out, said.out);
    damage(&model, Damage::Flip(Offset::Middle));
    place.write("experiments/next.toml", next);
    place.sweep().ends_with(1).says("model.safetensors` is damaged: its bytes are not those");
    place.ferrite(&["retry", "--threads", "1"]).ends_with(0).says("2 trials finished in");
}

#[test]
fn a_run_that_lost_its_settings_or_its_log_is_seen_and_restored() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let before = std::fs::read(folder.join("predictions.csv")).unwrap();
    for (lost, said) in
        [("trial.toml", "trial.toml` is damaged: it is missing"), ("events.jsonl", "interrupted")]
    {
        std::fs::remove_file(folder.join(lost)).unwrap();
        place.ferrite(&["status"]).ends_with(0).says(said);
        place.ferrite(&["report"]).ends_with(0);
        place.sweep_well().says("1 trial finished in");
        assert_eq!(place.run("e").state, State::Finished);
        assert_eq!(std::fs::read(folder.join("predictions.csv")).unwrap(), before);
    }
}

#[test]
fn settings_that_a_user_changed_in_a_finished_run_do_not_become_its_own() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let trial = folder.join("trial.toml");
    let settings = std::fs::read_to_string(&trial).unwrap();
    std::fs::write(&trial, settings.replace("image_size = 32", "image_size = 64")).unwrap();
    let log = std::fs::read(folder.join("events.jsonl")).unwrap();
    let told = place.ferrite(&["run", &trial.to_string_lossy()]);
    told.ends_with(5).says("trial.toml` is damaged: it");
    assert!(
        std::fs::read(folder.join("events.jsonl")).unwrap() == log,
        "it was begun all the same"
    );
}

#[test]
fn a_run_that_was_finished_with_other_settings_is_not_taken_for_its_own() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let before = std::fs::read(folder.join("predictions.csv")).unwrap();
    // As if it had been stopped, and its settings changed by hand and carried out.
    let (log, trial) = (folder.join("events.jsonl"), folder.join("trial.toml"));
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&log, lines[..3].concat()).unwrap();
    let settings = std::fs::read_to_string(&trial).unwrap();
    std::fs::write(&trial, settings.replace("epochs = 2", "epochs = 1")).unwrap();
    place.ferrite(&["run", &trial.to_string_lossy()]).ends_with(0);
    assert!(std::fs::read(folder.join("predictions.csv")).unwrap() != before);
    place.sweep_well().says("1 trial finished in");
    assert!(std::fs::read(folder.join("predictions.csv")).unwrap() == before, "other predictions");
}

#[test]
fn a_trial_whose_folder_cannot_be_made_fails_alone() {
    let place = Place::with(&[("a", SMALL), ("b", SMALL), ("c", SMALL)]);
    place.write("runs/b", "a file, where a folder should be");
    let told = place.ferrite(&["sweep", "--threads", "1", "--jobs", "1"]);
    told.ends_with(1).says("cannot create `runs/b/").says("1 of 3 trials failed: b/");
    assert_eq!([place.run("a").state, place.run("c").state], [State::Finished, State::Finished]);
    assert_eq!(told.out.lines().last(), Some("runs/index.html"), "the report is written");
}

#[test]
fn what_stops_a_worker_before_it_has_a_log_keeps_its_name() {
    for file in [".lock", "events.jsonl", "plots"] {
        let place = Place::with(&[("e", SMALL), ("other", SMALL)]);
        let told = place.ferrite(&["plan"]);
        let name = told.out.lines().find(|it| it.starts_with("e/")).unwrap();
        let name = name.split_whitespace().next().unwrap();
        let in_the_way = format!("runs/{name}/{file}");
        match file {
            "plots" => place.write(&in_the_way, "a file"),
            _ => std::fs::create_dir_all(place.path(&in_the_way)).unwrap(),
        }
        let told = place.sweep();
        told.ends_with(1).says(&format!("`{in_the_way}`")).says("1 of 2 trials failed: e/");
        assert!(!told.words().contains("its process died"), "{told:#?}");
        place.ferrite(&["status"]).ends_with(0).says("other/seed-0").says("finished");
    }
}

#[test]
fn a_report_that_cannot_be_written_does_not_hide_what_was_carried_out() {
    let place = Place::with(&[("e", SMALL)]);
    std::fs::create_dir_all(place.path("runs/index.html/in-the-way")).unwrap();
    let told = place.sweep();
    told.ends_with(5).says("1 trial finished in").says("runs/index.html`");
    assert_eq!(place.run("e").state, State::Finished);
    std::fs::remove_dir_all(place.path("runs/index.html")).unwrap();
    place.sweep_well().says("nothing to do");
}

#[test]
fn a_run_is_the_same_by_whatever_path_its_settings_are_named() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let below = folder.strip_prefix(place.path("")).unwrap().join("trial.toml");
    std::os::unix::fs::symlink(place.path("runs"), place.path("linked")).unwrap();
    std::os::unix::fs::symlink(folder.join("trial.toml"), place.path("t.toml")).unwrap();
    let below = below.to_string_lossy().into_owned();
    let linked = below.replacen("runs", "linked", 1);
    let absolute = folder.join("trial.toml").to_string_lossy().into_owned();
    for path in [
        &below,
        &format!("./{below}"),
        &format!("experiments/../{below}"),
        &absolute,
        &linked,
        "t.toml",
    ] {
        place.ferrite(&["run", path]).ends_with(0);
    }
    place.ferrite(&["run", &below, "--runs", "linked"]).ends_with(0);
    place.ferrite(&["run", &linked, "--runs", "./runs/"]).ends_with(0);
    assert_eq!(place.runs().len(), 1, "{:?}", place.runs());
    let starts = events(&folder.join("events.jsonl")).into_iter();
    assert_eq!(starts.filter(|it| matches!(it.kind, Kind::RunStarted(_))).count(), 1);
}

#[test]
fn status_and_report_of_a_folder_that_is_not_there_say_so_and_make_nothing() {
    let place = Place::with(&[]);
    for command in ["status", "report"] {
        place.ferrite(&[command]).ends_with(2).says("there is no folder of runs `runs`");
    }
    place.write("file", "");
    place.ferrite(&["status", "--runs", "file"]).ends_with(2).says("`file`");
    assert!(!place.path("runs").exists());
}

#[test]
fn a_run_that_was_only_just_made_is_not_called_unreadable() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let settings = std::fs::read(folder.join("trial.toml")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    place.write("runs/e/new/trial.toml", settings);
    let told = place.ferrite(&["status"]);
    let expected =
        "run    epochs   time  state\ne/new     0/2  0.0 s  interrupted\n1 run: 1 interrupted\n";
    assert_eq!(told.ends_with(0).out, expected);
    place.ferrite(&["report"]).ends_with(0);
}

#[test]
fn what_killed_processes_were_writing_is_cleared_away() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let folder = place.run("e").folder;
    let stage = place.path("runs/.store/stage").join(&place.steps("stage")[0]);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::rename(&stage, stage.with_extension("partial")).unwrap();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let leftover = |folder: &Path, name: &str| {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(format!(".{name}.{}.tmp", gone.id())), "half").unwrap();
    };
    leftover(&folder, "trial.toml");
    leftover(&stage.with_extension("partial"), "checkpoint.safetensors");
    place.sweep_well();
    let left = place.files("runs").into_keys().find(|it| it.to_string_lossy().ends_with(".tmp"));
    assert_eq!(left, None);
}
