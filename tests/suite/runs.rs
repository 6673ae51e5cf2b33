//! The folder of runs as it is in the repository: a page that says what appears there, and nothing else.

use std::path::Path;

use crate::place::{Place, SMALL};

#[test]
fn the_page_in_the_folder_of_runs_is_no_run_and_stays_as_it_is() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs/README.md");
    let page = std::fs::read(page).unwrap();
    let place = Place::with(&[("e", SMALL)]);
    place.write("runs/README.md", &page);
    let before = place.files("runs");
    assert_eq!(place.ferrite(&["status"]).ends_with(0).out, "");
    place.ferrite(&["plan"]).ends_with(0).says("1 trials, 1 to do");
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
fn git_ignores_what_appears_in_the_folder_of_runs_and_not_its_page() {
    let ignored = Path::new(env!("CARGO_MANIFEST_DIR")).join(".gitignore");
    let ignored = std::fs::read_to_string(ignored).unwrap();
    let about_runs: Vec<&str> = ignored.lines().filter(|it| it.contains("runs")).collect();
    assert_eq!(about_runs, ["/runs/*", "!/runs/README.md"]);
}
