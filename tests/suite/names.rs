//! What experiments may be called, which file a name means, and that nothing leads out of the folder of runs.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use ferrite_core::config::names::TAKEN;
use ferrite_core::config::read::read;
use ferrite_core::store::folder::files;
use ferrite_testing::{Place, SMALL};

/// Experiments that start from others: their names, and what they call the one that they start from.
fn starting_from(name: &str) -> String {
    format!("{SMALL}\n[model.weights]\nexperiment = \"{name}\"\n")
}

/// Checks how planning `arguments` ends, and that it says `parts` in few words.
#[track_caller]
fn check(place: &Place, arguments: &[&str], code: i32, parts: &[&str]) {
    let told = place.ferrite(&[&["plan"], arguments].concat());
    told.ends_with(code);
    for part in parts {
        told.says(part);
    }
    assert!(told.err.len() < 3000, "{told:#?}");
}

#[test]
fn names_that_would_lie_elsewhere_or_take_a_place_are_refused() {
    for (file, says) in [
        ("...toml", "`..` begins with a dot"),
        ("..toml", "`.` begins with a dot"),
        (".toml", "has no name in front of `.toml`"),
        (".hidden.toml", "`.hidden` begins with a dot"),
        (".store/a.toml", "`.store` begins with a dot"),
        ("index.html.toml", "`index.html` is what a file of Ferrite's is called"),
        ("README.md.toml", "`README.md` is what a file of Ferrite's is called"),
        ("report.toml", "`report` is what a file of Ferrite's is called"),
        ("sub/MODEL.md.toml", "`MODEL.md` is what a file of Ferrite's is called"),
        ("Plots.toml", "`Plots` is what a file of Ferrite's is called"),
        ("sub/trial.toml.toml", "`trial.toml` is what a file of Ferrite's is called"),
        ("a\u{1b}[2Jb.toml", "a\\u{1b}[2Jb.toml"),
        ("a\nb.toml", "has control characters in its name"),
    ] {
        let place = Place::with(&[]);
        place.write(&format!("experiments/{file}"), SMALL);
        check(&place, &[&format!("experiments/{file}")], 2, &[says, "rename the file"]);
        let told = place.ferrite(&["sweep", &format!("experiments/{file}")]);
        told.ends_with(2);
        assert!(!told.err.contains('\u{1b}'), "{told:#?}");
        assert!(!place.path("runs").exists());
    }
    let place = Place::with(&[]);
    let name = std::ffi::OsStr::from_bytes(b"a\xff.toml");
    std::fs::create_dir(place.path("experiments")).unwrap();
    std::fs::write(place.path("experiments").join(name), SMALL).unwrap();
    check(&place, &[], 2, &["has a name that is no UTF-8"]);
}

#[test]
fn what_ferrite_writes_is_taken() {
    let run = [
        files::TRIAL,
        files::EVENTS,
        files::ENVIRONMENT,
        files::PREDICTIONS,
        files::MODEL,
        files::PLOTS,
        "report",
        "model.md",
    ];
    for name in run {
        assert!(TAKEN.contains(&name), "{name}");
    }
}

#[test]
fn new_experiments_get_no_such_names() {
    let place = Place::with(&[]);
    for name in ["plots", "sub/plots", "../x", "a//b", ".a", "/a", ""] {
        place.ferrite(&["new", name]).ends_with(2).says("cannot be the name of an experiment");
    }
    assert!(!place.path("experiments").exists());
}

#[test]
fn what_editors_and_other_systems_leave_behind_is_no_experiment() {
    let place = Place::with(&[("a", SMALL)]);
    place.write("experiments/._a.toml", b"\0\x05\x16\x07");
    symlink("user@host.1234", place.path("experiments/.#a.toml")).unwrap();
    check(&place, &[], 0, &["1 trial, 1 to do"]);
}

#[test]
fn references_that_lead_out_are_refused() {
    let place = Place::with(&[]);
    place.write("x.toml", SMALL);
    for name in ["../x", "sub/../../x", "/etc/passwd", "./../x"] {
        place.write("experiments/sub/b.toml", SMALL);
        place.write("experiments/a.toml", starting_from(name));
        check(&place, &[], 2, &["a.toml:12:14", "leads out of `experiments`"]);
    }
    for run in ["../../x", "/abs/run", "e/../../x", ".."] {
        place.write("experiments/a.toml", format!("{SMALL}\n[model.weights]\nrun = \"{run}\"\n"));
        check(&place, &[], 2, &["a.toml:12:7", "leads out of the folder of runs"]);
    }
    for run in ["./e/t", "e//t", "e/t/"] {
        place.write("experiments/a.toml", format!("{SMALL}\n[model.weights]\nrun = \"{run}\"\n"));
        check(&place, &[], 2, &["must be written `e/t`"]);
    }
    place
        .write("experiments/a.toml", format!("{SMALL}\n[model.weights]\nrun = \".store/stage\"\n"));
    check(&place, &[], 2, &["must name a run below the folder of runs"]);
}

#[test]
fn an_experiment_is_found_by_every_path_to_it() {
    let place = Place::with(&[("pretrain", SMALL), ("sub/other", SMALL)]);
    for name in ["pretrain", "./pretrain", "../experiments/pretrain", "sub/../pretrain"] {
        place.write("experiments/a.toml", starting_from(name));
        check(&place, &["experiments/a.toml"], 0, &["pretrain/seed-0-", "a/seed-0-", "2 trials"]);
    }
    for name in ["../pretrain", "../sub/../pretrain", "other", "./other"] {
        place.write("experiments/sub/a.toml", starting_from(name));
        check(&place, &["experiments/sub/a.toml"], 0, &["sub/a/seed-0-", "2 trials"]);
    }
    // Without a folder called `experiments`, names count from the folder of the first file.
    place.write("own/in/x.toml", SMALL);
    place.write("own/a.toml", starting_from("in/x"));
    check(&place, &["own/a.toml"], 0, &["in/x/seed-0-", "a/seed-0-"]);
    let here = place.path("experiments/sub/../pretrain.toml");
    assert_eq!(read(&[here], &[]).unwrap()[0].name, "pretrain");
}

#[test]
fn experiments_that_start_from_each_other_are_named_shortly() {
    let place = Place::with(&[("a", &starting_from("../experiments/a"))]);
    check(&place, &[], 2, &["experiments start from each other: a from a"]);
    place.write("experiments/a.toml", starting_from("./b"));
    place.write("experiments/b.toml", starting_from("c"));
    symlink("a.toml", place.path("experiments/c.toml")).unwrap();
    check(&place, &["experiments/a.toml"], 2, &["start from each other: a from b from a"]);
    let place = Place::with(&[]);
    for at in 0..300 {
        place.write(&format!("experiments/e{at}.toml"), starting_from(&format!("e{}", at + 1)));
    }
    place.write("experiments/e300.toml", SMALL);
    check(&place, &["experiments/e0.toml"], 2, &["more than 100 experiments in a row"]);
}

#[test]
fn two_files_of_one_name_are_told_and_one_file_by_two_paths_is_one() {
    let place = Place::with(&[]);
    let other = SMALL.replace("epochs = 2", "epochs = 3");
    place.write("one/a.toml", SMALL);
    place.write("two/a.toml", &other);
    check(&place, &["one/a.toml", "two/a.toml"], 2, &["two/a.toml:1:1", "`one/a.toml`"]);
    place.write("two/a.toml", SMALL);
    check(&place, &["one", "two"], 2, &["two/a.toml:1:1", "`one/a.toml`"]);
    let full = place.path("one/a.toml").display().to_string();
    check(&place, &["one/a.toml", "one", "two/../one/a.toml", &full], 0, &["1 trial"]);
    symlink("a.toml", place.path("one/b.toml")).unwrap();
    std::fs::hard_link(place.path("one/a.toml"), place.path("one/c.toml")).unwrap();
    check(&place, &["one"], 0, &["a/seed-0-", "1 trial"]);
    place.write("one/d.toml", starting_from("c"));
    check(&place, &["one"], 0, &["a/seed-0-", "d/seed-0-", "2 trials"]);
}

#[test]
fn names_that_a_disk_may_take_for_one_are_told() {
    let place = Place::with(&[("face", SMALL), ("Face", SMALL)]);
    check(&place, &[], 2, &["is called `face`, which many disks take for `Face`"]);
    let place = Place::with(&[("gl\u{fc}ck", SMALL), ("glu\u{308}ck", SMALL)]);
    check(&place, &[], 2, &["which many disks take for"]);
}

#[test]
fn names_are_compared_in_one_normal_form() {
    let place = Place::with(&[("glu\u{308}ck", SMALL)]);
    place.write("experiments/a.toml", starting_from("gl\u{fc}ck"));
    check(&place, &["experiments/a.toml"], 0, &["glu\u{308}ck/seed-0-", "2 trials"]);
    check(&place, &["experiments/gl\u{fc}ck.toml"], 0, &["1 trial"]);
    place.write("experiments/a.toml", "extends = \"gl\u{fc}ck.toml\"");
    check(&place, &["experiments/a.toml"], 0, &["1 trial"]);
}

#[test]
fn no_argument_reaches_the_terminal_as_it_is() {
    let place = Place::with(&[]);
    for arguments in [&["plan", "--a\u{9b}2J"][..], &["\u{9b}2J"], &["plan", "\u{9b}2J.toml"]] {
        let told = place.ferrite(arguments);
        told.ends_with(2).says("\\u{9b}2J");
        assert!(!told.err.contains('\u{9b}'), "{told:#?}");
    }
}

#[test]
fn runs_do_not_lie_in_the_folders_of_runs() {
    let place = Place::with(&[("a", SMALL)]);
    let told = place.ferrite(&["plan"]);
    let run = told.out.split_whitespace().next().unwrap();
    place.write(&format!("experiments/{run}.toml"), SMALL);
    let below = PathBuf::from("experiments").join(run).with_extension("toml");
    check(
        &place,
        &["experiments", &below.display().to_string()],
        2,
        &["in the folder of another run"],
    );
}
