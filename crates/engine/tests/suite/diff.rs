//! Two runs or experiments held against each other, as a terminal, a program and a reader are told.

use ferrite_testing::{Place, SMALL, Told};
use serde_json::Value;

fn json(told: &Told) -> Value {
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

/// An experiment, one that extends it and a grid, all trained; in their names and words is what pages and terminals must not
/// carry out.
fn place() -> Place {
    let base = format!("about = \"The \\\"plain\\\" <b>one</b>\"\nseeds = [0, 1]\n{SMALL}");
    let child = "about = \"With flips\\n\\u202eand more\"\nextends = \"plain.toml\"\n[augment]\nflip = 0.5\n";
    let grid =
        "extends = \"plain.toml\"\nseeds = [0]\n[grid]\n\"stages.head.batch_size\" = [8, 32]\n";
    let place = Place::with(&[("plain", &base), ("flipped & <i>more", child), ("grid", grid)]);
    place.ferrite(&["sweep", "experiments", "--threads", "1", "--quiet"]).ends_with(0);
    place
}

#[test]
fn two_experiments_are_held_against_each_other_as_text_as_json_and_as_a_page() {
    let place = place();
    let (a, b) = ("plain", "flipped & <i>more");
    let told = place.ferrite(&["diff", a, b]);
    told.ends_with(0)
        .says("A plain: seeds 0, 1; finished")
        .says("The \"plain\" <b>one</b>")
        .says("Settings that differ")
        .says("augment.flip")
        .says("test %")
        .says("macro F1 %")
        .says("A: valid loss")
        .says("all seeds");
    assert!(!told.out.contains('\u{202e}'), "{}", told.out);
    for line in told.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    // The numbers are those of the report.
    let found = json(&place.ferrite(&["diff", a, b, "--json"]));
    let report = json(&place.ferrite(&["report", "--json"]));
    let of = |name: &str| {
        let all = report["configurations"].as_array().unwrap();
        all.iter().find(|it| it["experiment"] == name).unwrap().clone()
    };
    let beside = &of(b)["beside"];
    for key in ["difference", "interval", "p", "images", "verdict"] {
        assert_eq!(found["comparison"][key], beside[key], "{key}");
    }
    let score = |name: &str| {
        let all = found["scores"].as_array().unwrap();
        all.iter().find(|it| it["score"] == name).unwrap().clone()
    };
    for name in ["valid_accuracy", "accuracy", "macro_f1", "loss"] {
        assert_eq!((&score(name)["a"], &score(name)["b"]), (&of(a)[name], &of(b)[name]), "{name}");
    }
    assert_eq!(found["settings"][0]["setting"], "augment.flip");
    assert_eq!(found["a"]["runs"].as_array().unwrap().len(), 2);
    let (seeds, most) = (&found["images"]["all_seeds"], &found["images"]["most_seeds"]);
    let count =
        |it: &Value| it.as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum::<u64>();
    assert_eq!(count(seeds), 2 * count(most));
    // The other way round every difference has the other sign.
    let back = json(&place.ferrite(&["diff", b, a, "--json"]));
    let difference = |it: &Value| it["comparison"]["difference"].as_f64().unwrap();
    assert_eq!(difference(&back), -difference(&found));
    assert_eq!(back["comparison"]["verdict"], found["comparison"]["verdict"]);
    // The page is one file, without anything from elsewhere.
    let told = place.ferrite(&["diff", a, b, "--page"]);
    let path = told.ends_with(0).out.lines().last().unwrap().to_owned();
    assert!(path.starts_with("runs/report/diff-plain-flipped-i-more-"), "{path}");
    let page = std::fs::read_to_string(place.path(&path)).unwrap();
    assert!(
        !page.contains("<i>more") && !page.contains("<b>one") && !page.contains("http"),
        "{page}"
    );
    let link =
        page.split("class=\"chip finished\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(place.path("runs/report").join(link).is_file(), "{link}");
    let told = place.ferrite(&["diff", a, b, "--page", "here.html", "--json"]);
    assert_eq!(json(&told)["page"], "here.html");
    assert!(place.path("here.html").is_file());
    // A page below the runs is taken for no run.
    place.ferrite(&["status"]).ends_with(0).says("6 runs: 6 finished");
}

#[test]
fn one_side_is_one_configuration_and_no_run_is_on_both() {
    let place = place();
    place
        .ferrite(&["diff", "plain", "grid"])
        .ends_with(2)
        .says("`grid` has 2 configurations")
        .says("`grid/batch_size-32`, `grid/batch_size-8`");
    place
        .ferrite(&["diff", "plain/seed-0", "grid/batch_size-8"])
        .ends_with(0)
        .says("p is adjusted for the");
    place
        .ferrite(&["diff", "plain/seed-0", "plain/seed-1"])
        .ends_with(0)
        .says("none: only the seeds differ")
        .says("p is that of this comparison alone");
    place
        .ferrite(&["diff", "plain/seed-0", "plain/seed-0"])
        .ends_with(0)
        .says("plain/seed-0 and plain/seed-0 are the same run");
    place
        .ferrite(&["diff", "plain", "plain", "--page"])
        .ends_with(0)
        .says("are the same runs; no page is written");
    assert_eq!(
        json(&place.ferrite(&["diff", "plain", "experiments/plain.toml", "--json"]))["same"],
        true
    );
    place.ferrite(&["diff", "plain", "plain/seed-0"]).ends_with(2).says("on both sides");
    place.ferrite(&["diff", "plain", "grod"]).ends_with(2).says("did you mean `grid`?");
    place
        .ferrite(&["diff", "plane/seed-0", "grid"])
        .ends_with(2)
        .says("did you mean `plain/seed-0-");
    // A run that cannot be read is not left out without a word.
    let run =
        json(&place.ferrite(&["show", "plain/seed-1", "--json"]))["runs"][0]["folder"].clone();
    let settings = place.path(run.as_str().unwrap()).join("trial.toml");
    std::fs::remove_file(settings).unwrap();
    for told in
        [&["diff", "plain/seed-0", "grid/batch_size-8"][..], &["show", "plain"], &["report"]]
    {
        place.ferrite(told).ends_with(0).says("trial.toml` is damaged");
    }
    let told = place.ferrite(&["diff", "plain/seed-0", "grid/batch_size-8", "--json"]);
    assert_eq!(json(&told)["damaged"].as_array().unwrap().len(), 1);
}
