//! `ferrite stop` from another terminal, and what a sweep does when trials fail again and again.

use std::time::{Duration, Instant};

use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL, Started};

/// Two trials that would train for hours.
fn long() -> String {
    format!("seeds = [0, 1]\n{}", SMALL.replace("epochs = 2", "epochs = 100000"))
}

/// Waits until so many runs have an epoch.
#[track_caller]
fn wait_for_epochs(place: &Place, sweep: &Started, count: usize) {
    let since = Instant::now();
    let trained = || place.runs().iter().filter(|it| it.facts.kept_epoch().is_some()).count();
    while !place.path("runs/e").exists() || trained() < count {
        assert!(since.elapsed() < Duration::from_mins(1), "it only said {}", sweep.said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_sweep_is_stopped_from_another_terminal_and_the_next_one_goes_on_with_it() {
    let place = Place::with(&[("e", &long())]);
    let sweep = place.start(&["sweep", "--jobs", "1", "--threads", "1"]);
    wait_for_epochs(&place, &sweep, 1);
    let status = place.ferrite(&["status"]);
    status.ends_with(0).says("a sweep of 2 trials runs since").says("1 running, 1 waiting");
    status.says(&format!("(process {})", sweep.id())).says("/100000").says("left");
    let told = place.ferrite(&["stop", "--wait"]);
    told.ends_with(0).says(&format!("stopped: the sweep of process {}", sweep.id()));
    sweep.end().ends_with(130).says("interrupted").says("stopping at the end of each");
    place.ferrite(&["status"]).ends_with(0).says("stopped");
    assert!(place.path("runs/.store/sweep").read_dir().unwrap().next().is_none());
    place.ferrite(&["stop"]).ends_with(0).says("no sweep runs here");
    place.write("experiments/e.toml", format!("seeds = [0, 1]\n{SMALL}"));
    place.sweep_well().says("2 trials finished in");
}

#[test]
fn a_run_is_stopped_alone_and_the_sweep_goes_on_with_the_others() {
    let place = Place::with(&[("e", &long())]);
    let sweep = place.start(&["sweep", "--jobs", "1", "--threads", "1"]);
    wait_for_epochs(&place, &sweep, 1);
    let first = place.runs().into_iter().find(|it| it.state == State::Running).unwrap();
    place.ferrite(&["stop", &first.name(), "--wait"]).ends_with(0).says("stopped: `e/seed-");
    wait_for_epochs(&place, &sweep, 2);
    place.ferrite(&["stop", "e", "--wait"]).ends_with(0).says("stopped: `e/seed-");
    let told = sweep.end();
    told.ends_with(1).says("it was stopped by `ferrite stop`");
    told.says("2 of 2 trials were interrupted");
    assert!(place.runs().iter().all(|it| it.facts.stopped && it.state == State::Interrupted));
    place
        .ferrite(&["retry", "--threads", "1"])
        .ends_with(0)
        .says("nothing to retry: no trial failed");
}

#[test]
fn trials_that_fail_with_the_same_words_stop_a_sweep_and_retry_takes_only_those() {
    let source = "{ folder = { path = \"photos\", classes = [\"a\", \"b\"] } }";
    let stage = "[[stages]]\nname = \"head\"\nepochs = 1\n";
    let text = format!("seeds = [0, 1, 2, 3]\n[data]\nsource = {source}\nimage_size = 32\n{stage}");
    let place = Place::with(&[("e", &text), ("other", SMALL)]);
    let picture = |class: &str, at: u8| {
        let path = place.path(&format!("photos/{class}/{at}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(40, 40, image::Rgb([3 * at, 90, 7])).save(&path).unwrap();
        path
    };
    (0..20).for_each(|at| drop((picture("a", at), picture("b", 40 + at))));
    let torn = picture("a", 20);
    let whole = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
    let sweep = |more: &[&str]| {
        let arguments = ["sweep", "e", "--jobs", "1", "--threads", "1"];
        place.ferrite(&[&arguments[..], more].concat())
    };
    let failed = |count: usize| {
        let runs = place.runs();
        assert_eq!(runs.iter().filter(|it| matches!(it.state, State::Failed(_))).count(), count);
    };
    sweep(&["--max-failures", "2"])
        .ends_with(1)
        .says("the last 2 trials to end failed with the same words");
    failed(2);
    sweep(&["--keep-going"]).ends_with(1);
    failed(4);
    let told = place.ferrite(&["retry", "--threads", "1", "--keep-going"]);
    told.ends_with(1).says("4 of 4 trials to do");
    failed(4);
    assert!(!place.path("runs/other").exists(), "what did not fail is left to `sweep`");
}
