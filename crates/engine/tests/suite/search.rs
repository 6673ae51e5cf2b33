//! Searches: what is stopped at a rung and what is promoted, and that nothing is trained twice and nothing else than it
//! would be without rungs.

use std::collections::BTreeMap;

use ferrite_core::event::Kind;
use ferrite_core::store::record::{Record, State};
use ferrite_testing::{Place, events, logs, same};

/// Four points over three rungs of the second of two stages.
const SEARCH: &str = r#"
    [data]
    source = { synthetic = { faces = 60 } }
    image_size = 32

    [model.head]
    dropout = 0.3

    [search]
    points = 4

    [search.space]
    "stages.tail.optimizer.adam.lr" = { log_uniform = [1e-4, 1e-2] }
    "stages.tail.batch_size"        = { choice = [8, 16] }

    [search.halving]
    min_epochs       = 1
    reduction_factor = 2

    [[stages]]
    name = "head"
    epochs = 1
    batch_size = 8

    [[stages]]
    name = "tail"
    epochs = 4
    optimizer = { adam = {} }
    schedule = "cosine"
    early_stopping = { patience = 50 }
"#;

/// Epochs of the stage that is cut, and whether the run is finished, by the name of the trial.
fn reached(place: &Place) -> BTreeMap<String, (usize, bool)> {
    let of = |it: Record| {
        let tail = it.facts.stages.iter().find(|it| it.start.stage == "tail");
        let finished = it.state == State::Finished;
        assert!(finished || matches!(it.state, State::Stopped(_)), "{:?}", it.state);
        (it.trial, (tail.map_or(0, |it| it.epochs.len()), finished))
    };
    place.runs().into_iter().map(of).collect()
}

/// Waits until so many epochs of the stage that is cut were told.
fn wait_for(place: &Place, count: usize) {
    let since = std::time::Instant::now();
    let told = |it: &Kind| matches!(it, Kind::EpochEnded(it) if it.stage == "tail");
    loop {
        let all = logs(&place.path("runs")).into_iter().flat_map(|it| events(&it));
        if all.filter(|it| told(&it.kind)).count() >= count {
            return;
        }
        assert!(since.elapsed() < std::time::Duration::from_mins(2), "it never happened");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// How many epochs of the stage that is cut were computed by anyone.
fn computed(place: &Place) -> usize {
    let steps = place.runs().into_iter().map(|it| {
        let mut known = std::collections::BTreeSet::new();
        let log = events(&it.folder.join("events.jsonl"));
        for it in log {
            if let Kind::EpochEnded(it) = it.kind
                && it.stage == "tail"
            {
                // The time that an epoch took is never the same twice.
                known.insert((it.epoch, it.seconds.to_bits()));
            }
        }
        known.len()
    });
    steps.sum()
}

#[test]
fn points_are_stopped_or_promoted_and_the_best_ends_with_the_bytes_of_a_whole_training() {
    let place = Place::with(&[("e", SEARCH)]);
    place.ferrite(&["plan"]).ends_with(0).says(
        "search of e: 3 rungs, which end after 1, 2 and 4 epochs, with 4, 2 and 1 points at most: no more than 8 epochs of 16",
    );
    place.sweep_well().says("3 trials stopped behind others of their search");
    let reached = reached(&place);
    let epochs = |of: usize| reached.values().filter(|it| it.0 == of).count();
    assert_eq!([1, 2, 4].map(epochs), [2, 1, 1], "{reached:?}");
    assert!(reached.values().all(|it| it.1 == (it.0 == 4)));
    assert_eq!(computed(&place), 2 + 2 + 4);
    // Without rungs every point is trained to the end, and this one has the same bytes.
    let halving = "    [search.halving]\n    min_epochs       = 1\n    reduction_factor = 2\n";
    let whole = Place::with(&[("e", &SEARCH.replace(halving, ""))]);
    whole.sweep_well();
    let best = reached.iter().find(|it| it.1.1).unwrap().0;
    for name in ["predictions.csv", "model.safetensors"] {
        let read = |place: &Place| {
            let path = place.path(&format!("runs/e/{best}/{name}"));
            std::fs::read(path).unwrap()
        };
        same(name, &read(&place), &read(&whole));
    }
    // What was stopped can be trained to the end later: nothing is lost.
    place.write("experiments/e.toml", SEARCH.replace(halving, ""));
    place.sweep_well();
    assert_eq!(computed(&place), 16);
    for run in place.runs() {
        let read = |place: &Place| {
            let folder = place.path("runs/e").join(&run.trial);
            std::fs::read(folder.join("predictions.csv")).unwrap()
        };
        same(&run.trial, &read(&place), &read(&whole));
    }
}

#[test]
fn a_search_that_is_done_has_nothing_to_do_and_every_command_says_who_was_stopped() {
    let place = Place::with(&[("e", SEARCH)]);
    place.sweep_well();
    let before = place.files("runs/.store");
    place.sweep_well().says("nothing to do: 1 was finished before; 3 trials stopped");
    assert_eq!(place.files("runs/.store"), before);
    place.ferrite(&["plan"]).ends_with(0).says("stopped at rung 1 of 3").says("0 to do");
    place.ferrite(&["status"]).ends_with(0).says("stopped at a rung, after 1 epoch of tail");
    let page = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    for said in ["Searches", "stopped at rung 1 of 3", "stopped at rung 2 of 3", "Rungs of e"] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_search_that_is_killed_again_and_again_promotes_the_same_points() {
    let undisturbed = Place::with(&[("e", SEARCH)]);
    undisturbed.sweep_well();
    let place = Place::with(&[("e", SEARCH)]);
    for jobs in ["1", "2"] {
        let sweep = place.start(&["sweep", "--threads", "1", "--jobs", jobs]);
        let count = 2 * jobs.parse::<usize>().unwrap();
        wait_for(&place, count);
        sweep.signal("KILL");
        sweep.end();
    }
    place.sweep_well();
    assert_eq!(reached(&place), reached(&undisturbed));
    assert!(computed(&place) >= computed(&undisturbed));
}

#[test]
fn a_point_is_judged_by_the_mean_over_its_seeds() {
    let place = Place::with(&[("e", &format!("seeds = [0, 1]\n{SEARCH}"))]);
    place.sweep_well();
    let mut by_point = BTreeMap::<String, Vec<usize>>::new();
    for (trial, (epochs, _)) in reached(&place) {
        let point = trial.split("_seed-").next().unwrap().to_owned();
        by_point.entry(point).or_default().push(epochs);
    }
    let mut epochs: Vec<_> = by_point.into_values().collect();
    epochs.sort();
    assert_eq!(epochs, [[1, 1], [1, 1], [2, 2], [4, 4]]);
}

#[test]
fn an_earlier_stage_can_be_cut_and_the_later_ones_are_trained_by_the_best_alone() {
    let text = SEARCH
        .replace("reduction_factor = 2", "reduction_factor = 2\n    stage = \"head\"")
        .replace("epochs = 1\n", "epochs = 3\n")
        .replace("stages.tail.", "stages.head.")
        .replace("points = 4", "points = 2");
    let place = Place::with(&[("e", &text)]);
    place.sweep_well().says("1 trial stopped");
    let stages = |it: &Record| it.facts.stages.iter().map(|it| it.epochs.len()).collect::<Vec<_>>();
    let mut all: Vec<_> = place.runs().iter().map(stages).collect();
    all.sort();
    assert_eq!(all, [vec![1], vec![3, 4]]);
}
