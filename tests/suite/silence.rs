//! Workers that give no sign of life: told, ended, and never mistaken for those that get on, are stopped or were heard.
//!
//! The engine is a script here, which says what devices there are and then does as a worker what the test wants.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use ferrite_testing::{Place, SMALL, Told};

/// A place with an experiment of two seeds, in which `ferrite` has an engine that as a worker does `work`, in the words of a
/// shell.
fn place_where_workers(work: &str) -> Place {
    let place = Place::with(&[("e", &format!("seeds = [0, 1]\n{SMALL}"))]);
    let script =
        format!("#!/bin/sh\n[ $1 = job ] || {{ echo '{{\"Ok\":\"cpu\"}}'; exit; }}\n{work}\n");
    place.write("bin/ferrite-engine", script);
    let engine = place.path("bin/ferrite-engine");
    std::fs::set_permissions(engine, std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// A sweep that grants workers a second.
fn sweep(place: &Place) -> Told {
    place.start_copy("bin/ferrite", &["sweep", "--jobs", "1", "--patience", "1"]).end()
}

#[test]
fn a_worker_that_hangs_is_told_and_ended_and_the_sweep_goes_on() {
    // The first trial hangs, the second ends as if it had been asked to.
    let place = place_where_workers("mkdir ran 2> /dev/null && exec sleep 1000\nexit 7");
    let since = Instant::now();
    let told = sweep(&place);
    told.ends_with(1).says("has given no sign of life for 1.0 s; as long again, and it is ended");
    told.says("gave no sign of life for 2 s and was ended").says("`--patience`");
    told.says("its process died (exit status: 7)").says("2 of 2 trials were interrupted");
    assert!(since.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_worker_that_gets_on_is_never_told_however_long_it_takes() {
    // Often, so that a busy machine makes no second of silence.
    let beat = "for i in $(seq 30); do echo '\"alive\"'; sleep 0.1; done\nexit 130";
    let told = sweep(&place_where_workers(beat));
    told.ends_with(130);
    assert!(!told.words().contains("sign of life"), "{told:#?}");
}

#[test]
fn the_time_in_which_a_worker_is_stopped_does_not_count() {
    let place = place_where_workers("echo $$ > id.new && mv id.new id\nkill -STOP $$\nexit 130");
    let sweep = place.start_copy("bin/ferrite", &["sweep", "--jobs", "1", "--patience", "1"]);
    let id = || std::fs::read_to_string(place.path("id")).ok();
    let worker = loop {
        match id() {
            Some(it) => break it.trim().to_owned(),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    std::thread::sleep(Duration::from_secs(3));
    assert!(Command::new("kill").args(["-CONT", &worker]).status().unwrap().success());
    let told = sweep.end();
    told.ends_with(130);
    assert!(!told.words().contains("sign of life"), "{told:#?}");
}

#[test]
fn endless_patience_is_a_setting_and_nonsense_is_none() {
    let place = Place::with(&[("e", SMALL)]);
    for (patience, code) in [("off", 0), ("5", 0), ("0", 2), ("-1", 2), ("never", 2)] {
        place.ferrite(&["sweep", "--dry-run", &format!("--patience={patience}")]).ends_with(code);
    }
}
