//! Several views of each test image: what they change, what they cost, and where it is said.

use ferrite_testing::{Place, SMALL, first_changed};

#[test]
fn views_test_anew_and_train_nothing_and_the_page_says_what_they_gain() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let plain = place.run("e").facts.evaluation.unwrap();
    assert_eq!(plain.viewed, None);
    let stages = place.files("runs/.store/stage");
    for (views, name, count) in
        [("flip", "flip", 2), ("{ ten_crop = { size = 0.8 } }", "ten-crop of 0.8", 10)]
    {
        place.write("experiments/e.toml", format!("evaluate.views = {}\n{SMALL}", quoted(views)));
        std::fs::remove_dir_all(place.path("runs/e")).unwrap();
        place.sweep_well();
        let run = place.run("e");
        let evaluation = run.facts.evaluation.unwrap();
        let viewed = evaluation.viewed.unwrap();
        assert_eq!((viewed.name.as_str(), viewed.count, viewed.plain), (name, count, plain.scores));
        assert_ne!(evaluation.scores.loss, plain.scores.loss);
        let changed = first_changed(&place.files("runs/.store/stage"), &stages);
        assert_eq!(changed, None, "something was trained again");
        for page in [run.folder.join("index.html"), place.path("runs/index.html")] {
            let page = std::fs::read_to_string(page).unwrap();
            assert!(page.contains(&format!("{name}, ")) && page.contains("plain"), "{name}");
        }
        for row in &run.predictions {
            let sum: f64 = row.probabilities.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
}

fn quoted(views: &str) -> String {
    if views.starts_with('{') { views.to_owned() } else { format!("\"{views}\"") }
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let place = Place::with(&[("e", SMALL)]);
    let told = place.ferrite(&["plan", "--set", "evaluate.views={ ten_crop = { size = 1.5 } }"]);
    told.ends_with(2).says("must be above 0 and at most 1");
    place.ferrite(&["plan", "--set", "evaluate.views=ten-crop"]).ends_with(2).says("ten_crop");
}
