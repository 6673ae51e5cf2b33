//! What a terminal and programs are told of scores: when a trial ends, when a sweep ends, and afterwards.

use ferrite_core::store::record::State;
use ferrite_testing::{Place, SMALL, Told};
use serde_json::Value;

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

/// An experiment, one that extends it, and one that extends what is no experiment.
fn place() -> Place {
    let base = format!("about = \"The plain one\"\nseeds = [0, 1]\n{SMALL}");
    let child = "about = \"With flips\"\nextends = \"plain.toml\"\n[augment]\nflip = 0.5\n";
    let place =
        Place::with(&[("plain", &base), ("sub/flipped", &child.replace("plain", "../plain"))]);
    place.write("experiments/base/none.toml", SMALL);
    place.write("experiments/other.toml", "extends = \"base/none.toml\"\nseeds = [0]\n");
    place
}

#[test]
fn a_sweep_tells_the_score_of_each_trial_and_ends_with_the_table() {
    let place = place();
    let all = ["sweep", "experiments", "experiments/sub", "--threads", "1"];
    let told = place.ferrite(&all);
    told.ends_with(0);
    let finished: Vec<&str> = told.err.lines().filter(|it| it.contains("  finished")).collect();
    assert_eq!(finished.len(), 5, "{}", told.err);
    assert!(
        finished.iter().all(|it| it.contains("valid ") && it.contains("test ")),
        "{finished:#?}"
    );
    // The figures are those of the runs.
    for run in place.runs() {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let valid = percent(run.facts.kept_epoch().unwrap().valid.accuracy);
        let test = percent(run.facts.evaluation.as_ref().unwrap().scores.accuracy);
        let line = finished.iter().find(|it| it.contains(&run.name())).unwrap();
        assert!(line.contains(&format!("valid {valid}  test {test}")), "{line}");
    }
    assert!(told.err.contains("5 trials finished in"), "{}", told.err);
    let lines: Vec<&str> = told.out.lines().collect();
    assert!(lines[1].contains("experiment") && lines[1].contains("95 % interval"), "{}", told.out);
    let row = |name: &str| *lines.iter().find(|it| it.contains(name)).unwrap();
    assert!(
        row("sub/flipped").contains("  plain  "),
        "it is held against what it extends: {}",
        told.out
    );
    assert!(row("sub/flipped").contains('±'), "{}", told.out);
    assert_eq!(lines.last(), Some(&"runs/index.html"));
    // The report says the same, and what each experiment is about.
    let page = std::fs::read_to_string(place.path("runs/index.html")).unwrap();
    for part in ["The plain one", "With flips", "Each experiment beside the one that it extends"] {
        assert!(page.contains(part), "{part}");
    }
    let run = std::fs::read_to_string(place.run("other").folder.join("index.html")).unwrap();
    assert!(!run.contains("The plain one"));
    // Nothing is done again, and the table is there all the same.
    let again = place.ferrite(&all);
    again.ends_with(0).says("nothing to do: 5 were finished before").says("sub/flipped");
    assert_eq!(place.ferrite(&[&all[..], &["--quiet"]].concat()).out, "runs/index.html\n");
}

#[test]
fn what_is_said_of_an_experiment_may_change_without_any_work() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    place.write("experiments/e.toml", format!("about = \"Something new\"\n{SMALL}"));
    place.sweep_well().says("nothing to do: 1 was finished before");
    assert_eq!(place.run("e").about(), "Something new");
    let page = |path: &str| std::fs::read_to_string(place.path(path)).unwrap();
    assert!(page("runs/index.html").contains("Something new"));
    assert!(
        std::fs::read_to_string(place.run("e").folder.join("index.html"))
            .unwrap()
            .contains("Something new")
    );
    place.write("runs/e/experiment.toml", "about = 3");
    place
        .ferrite(&["status"])
        .ends_with(0)
        .says("`runs/e/experiment.toml` is damaged")
        .says("e/seed-0");
    place.sweep_well();
    assert_eq!(place.run("e").about(), "Something new");
}

#[test]
fn programs_are_told_the_same() {
    let place = place();
    let results =
        json(&place.ferrite(&["sweep", "plain", "experiments/sub", "--threads", "1", "--json"]));
    assert_eq!(results["version"], 1);
    assert_eq!(results["done"].as_array().unwrap().len(), 4);
    let flipped = &results["configurations"].as_array().unwrap();
    let flipped = flipped.iter().find(|it| it["experiment"] == "sub/flipped").unwrap();
    assert_eq!((&flipped["about"], &flipped["finished"]), (&"With flips".into(), &2.into()));
    assert_eq!(flipped["beside"]["experiment"], "plain");
    assert_eq!(flipped["beside"]["technique"], "flip");
    assert_eq!(flipped["beside"]["seeds"], 2);
    let status = json(&place.ferrite(&["status", "--json"]));
    let runs = status["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let record = place.runs().into_iter().find(|it| it.name() == run["run"]).unwrap();
        assert_eq!(run["state"], "finished");
        assert_eq!(run["accuracy"], record.facts.evaluation.unwrap().scores.accuracy);
        assert_eq!(run["stages"][0]["epochs"].as_array().unwrap().len(), 2);
    }
    let mean = runs.iter().filter(|it| it["experiment"] == "plain");
    let mean: f64 = mean.map(|it| it["accuracy"].as_f64().unwrap()).sum::<f64>() / 2.0;
    let report = json(&place.ferrite(&["report", "--json"]));
    let plain = report["configurations"].as_array().unwrap();
    let plain = plain.iter().find(|it| it["experiment"] == "plain").unwrap();
    assert!((plain["accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    let shown = json(&place.ferrite(&["show", "plain/seed-1", "--json"]));
    let run = &shown["runs"][0];
    let images: u64 =
        run["classes"].as_array().unwrap().iter().map(|it| it["images"].as_u64().unwrap()).sum();
    assert_eq!(images, place.runs()[0].predictions.len() as u64);
}

#[test]
fn a_run_goes_by_every_name_and_show_says_what_there_is() {
    let place = place();
    place.ferrite(&["sweep", "plain", "--threads", "1"]).ends_with(0);
    let folder = place.runs()[1].folder.clone();
    let whole = folder.to_string_lossy().into_owned();
    let below = folder.strip_prefix(place.path("")).unwrap().to_string_lossy().into_owned();
    for name in ["plain/seed-1", &below, &whole, &format!("{below}/trial.toml")] {
        let told = place.ferrite(&["show", name]);
        told.ends_with(0)
            .says("plain/seed-1")
            .says("The plain one")
            .says("precision")
            .says("on cpu");
        assert!(told.out.contains('▁'), "{}", told.out);
    }
    for name in ["plain", "experiments/plain.toml"] {
        let told = place.ferrite(&["show", name]);
        told.ends_with(0).says("plain/seed-0").says("plain/seed-1").says("valid loss");
    }
    place.ferrite(&["show", "nothing"]).ends_with(2).says("there is no run `nothing`");
    std::fs::create_dir(place.path("faces")).unwrap();
    image::GrayImage::new(32, 32).save(place.path("faces/a.png")).unwrap();
    place.ferrite(&["predict", "plain/seed-0", "faces"]).ends_with(0);
    let together = place.ferrite(&["predict", "plain", "faces"]);
    together.ends_with(0).says("2 runs answer together: `plain/seed-0-").says("of 2 agree");
    place.ferrite(&["explain", "plain"]).ends_with(2).says("`plain` has 2 runs");
    place.ferrite(&["data", "audit", "plain"]).ends_with(0);
}

#[test]
fn status_is_a_table_with_scores() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let told = place.ferrite(&["status"]);
    let lines: Vec<&str> = told.ends_with(0).out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", told.out);
    assert!(lines[0].starts_with("run ") && lines[0].contains("valid %"), "{}", told.out);
    assert!(lines[1].starts_with("e/seed-0-") && lines[1].ends_with("finished"), "{}", told.out);
    assert_eq!(lines[2], "1 run: 1 finished");
}

#[test]
fn trials_whose_weights_cannot_be_had_are_skipped_and_the_others_carried_out() {
    let imagenet =
        format!("{SMALL}\n[model]\nbackbone = \"mobilenet_v2\"\nweights = \"imagenet\"\n");
    let heir = format!("{SMALL}\n[model]\nweights = {{ experiment = \"published\" }}\n");
    let place = Place::with(&[("published", &imagenet), ("heir", &heir), ("own", SMALL)]);
    let told = place.sweep();
    told.ends_with(1).says("published/seed-0").says("failed: cannot download");
    told.says("which it starts from, failed").says("2 of 3 trials failed").says("own/seed-0");
    assert_eq!(place.run("own").state, State::Finished);
    // Where nothing else is to be done there is one error, with what to do about it.
    place.sweep().ends_with(7).says("cannot download");
}

#[test]
fn a_run_that_learned_nothing_is_warned_of_on_the_terminal_and_on_the_page() {
    let sgd = "optimizer = { sgd = { lr = 1e-9 } }";
    let place = Place::with(&[("e", &format!("{SMALL}\n{sgd}\n"))]);
    let told = place.sweep_well();
    told.says("warning: `test` has")
        .says("was predicted as")
        .says("read the interval, not the number");
    let page = std::fs::read_to_string(place.run("e").folder.join("index.html")).unwrap();
    assert!(page.contains("read the interval, not the number"), "{page}");
    place.ferrite(&["show", "e"]).ends_with(0).says("warning: no image of `test` was predicted as");
}

#[test]
fn ctrl_c_is_acknowledged_before_the_epoch_ends() {
    let long = SMALL.replace("epochs = 2", "epochs = 500").replace("faces = 80", "faces = 400");
    let place = Place::with(&[("e", &long)]);
    let sweep = place.start(&["sweep", "--threads", "1"]);
    place.wait_until(|it| matches!(it, ferrite_core::event::Kind::EpochEnded(_)));
    sweep.signal("INT");
    let told = sweep.end();
    told.ends_with(130)
        .says("stopping at the end of each running epoch")
        .says("Ctrl-C again stops at once");
    told.says("interrupted; goes on with the next sweep");
}

#[test]
fn every_epoch_says_what_the_images_of_each_class_were_taken_for() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let facts = place.run("e").facts;
    let images = &facts.dataset.as_ref().unwrap().counts["valid"];
    for epoch in &facts.stages[0].epochs {
        let rows: Vec<&[u32]> = epoch.confusion_rows().collect();
        let sums: Vec<usize> = rows.iter().map(|it| it.iter().sum::<u32>() as usize).collect();
        assert_eq!(&sums, images, "{epoch:?}");
        let right: u32 = rows.iter().enumerate().map(|(class, row)| row[class]).sum();
        let accuracy = f64::from(right) / images.iter().sum::<usize>() as f64;
        assert!((accuracy - epoch.valid.accuracy).abs() < 1e-12, "{epoch:?}");
    }
}
