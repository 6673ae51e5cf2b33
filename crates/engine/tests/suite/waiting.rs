//! Folders that another process holds: whoever waits for one says so, and stops as soon as it is asked to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ferrite_core::event::Kind;
use ferrite_core::store::lock::{Lock, lock};
use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL, Started, logs};

/// Holds a lock file as another process would.
fn hold(path: PathBuf) -> Lock {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    lock(&path, &mut |_| panic!("nobody else holds it")).unwrap()
}

/// The folder of the only run that is planned.
fn planned(place: &Place) -> PathBuf {
    let told = place.ferrite(&["plan"]);
    let name = told.ends_with(0).out.split_whitespace().next().unwrap().to_owned();
    place.path("runs").join(name)
}

/// Waits until `sweep` has said `part`.
#[track_caller]
fn hear(sweep: &Started, part: &str) {
    let since = Instant::now();
    while !sweep.said().contains(part) {
        assert!(since.elapsed() < Duration::from_mins(1), "it only said {}", sweep.said());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Checks that `sweep` ends as interrupted, much sooner than any patience with the lock would.
#[track_caller]
fn check_ends_at_once(sweep: Started, signal: &str) {
    let since = Instant::now();
    sweep.signal(signal);
    sweep.end().ends_with(130).says("interrupted");
    assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
}

#[test]
fn a_sweep_that_waits_for_a_run_says_for_whom_and_ends_when_it_is_asked_to() {
    for signal in ["INT", "TERM"] {
        let place = Place::with(&[("e", SMALL)]);
        let folder = planned(&place);
        let held = hold(folder.join(".lock"));
        let sweep = place.start(&["sweep", "--threads", "1"]);
        hear(
            &sweep,
            &format!("waits for another process {}, which holds `runs/e/", std::process::id()),
        );
        place.ferrite(&["status"]).says(&format!("running, process {}", std::process::id()));
        check_ends_at_once(sweep, signal);
        let trial = folder.join("trial.toml");
        let run = place.start(&["run", &trial.to_string_lossy(), "--threads", "1"]);
        hear(&run, "waits for another process");
        check_ends_at_once(run, signal);
        assert!(logs(&place.path("runs")).is_empty(), "it wrote into a folder of another");
        drop(held);
        place.sweep_well().says("1 trial finished in");
    }
}

#[test]
fn a_sweep_that_waits_for_a_step_says_so_and_goes_on_or_ends() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let key = place.steps("stage").remove(0);
    let step = place.path("runs/.store/stage").join(&key);
    let clear = || {
        std::fs::remove_dir_all(&step).unwrap();
        std::fs::remove_dir_all(place.path("runs/e")).unwrap();
    };
    clear();
    let held = hold(step.with_extension("lock"));
    let waits = format!(
        "waits for another process {}, which holds `runs/.store/stage/",
        std::process::id()
    );
    let sweep = place.start(&["sweep", "--threads", "1"]);
    hear(&sweep, &waits);
    place
        .wait_until(|it| matches!(it, Kind::Waiting(it) if it.process == Some(std::process::id())));
    place.ferrite(&["status"]).ends_with(0).says(&waits);
    check_ends_at_once(sweep, "INT");
    assert_eq!(place.run("e").state, State::Interrupted);
    let sweep = place.start(&["sweep", "--threads", "1"]);
    hear(&sweep, &waits);
    drop(held);
    sweep.end().ends_with(0).says("1 trial finished in");
    assert_eq!(place.run("e").state, State::Finished);
}

#[test]
fn looking_at_runs_makes_nobody_wait() {
    let place = Place::with(&[("e", SMALL)]);
    let looks = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let since = Instant::now();
            while since.elapsed() < Duration::from_secs(2) {
                let told = place.ferrite(&["status"]);
                assert!(matches!(told.code, Some(0 | 2)), "{told:#?}");
            }
        });
        let told = place.sweep_well();
        assert!(!told.words().contains("waits for"), "{told:#?}");
        looks.join()
    });
    looks.unwrap();
}
