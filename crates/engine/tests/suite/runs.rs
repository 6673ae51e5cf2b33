//! The folder of runs: the page in it says what appears there and is no run; a run is found by each form of its name.

use ferrite_testing::{Place, SMALL, project};

#[test]
fn the_page_in_the_folder_of_runs_is_no_run_and_stays_as_it_is() {
    let page = project().join("runs/README.md");
    let page = std::fs::read(page).unwrap();
    let place = Place::with(&[("e", SMALL)]);
    place.write("runs/README.md", &page);
    let before = place.files("runs");
    assert_eq!(place.ferrite(&["status"]).ends_with(0).out, "0 runs\n");
    place.ferrite(&["plan"]).ends_with(0).says("1 trial, 1 to do");
    assert_eq!(place.files("runs"), before);
    place.ferrite(&["report"]).ends_with(0);
    place.sweep_well();
    assert_eq!(place.runs().len(), 1);
    place.ferrite(&["status"]).ends_with(0).says("finished");
    place.ferrite(&["report"]).ends_with(0);
    let kept = place.path("runs/README.md");
    assert_eq!(place.files("runs")[&kept], before[&kept]);
}

#[test]
fn a_run_is_found_in_another_normal_form() {
    let place = Place::with(&[("glu\u{308}ck", SMALL)]);
    place.sweep_well();
    let trial = place.run("glu\u{308}ck").trial;
    let run = format!("{SMALL}\n[model.weights]\nrun = \"gl\u{fc}ck/{trial}\"\n");
    place.write("experiments/a.toml", run);
    place.ferrite(&["plan", "experiments/a.toml"]).ends_with(0).says("a/seed-0-").says("1 trial");
    place.sweep_well();
    let text = std::fs::read_to_string(place.run("a").folder.join("trial.toml")).unwrap();
    assert!(text.contains(&format!("glu\u{308}ck/{trial}")), "{text}");
}

#[test]
fn git_ignores_what_appears_in_the_folder_of_runs_and_not_its_page() {
    let ignored = project().join(".gitignore");
    let ignored = std::fs::read_to_string(ignored).unwrap();
    let about_runs: Vec<&str> = ignored.lines().filter(|it| it.contains("runs")).collect();
    assert_eq!(about_runs, ["/runs/*", "!/runs/README.md"]);
}
