//! Where the network of a run looks: what `ferrite explain` leaves, and what it refuses.

use ferrite_core::store::explained::{Explained, MAPS, SHEET, read};
use ferrite_core::store::record::Record;
use ferrite_testing::{Place, SMALL, first_changed};

/// A finished run of the experiment `e`.
fn swept() -> (Place, Record) {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let run = place.run("e");
    (place, run)
}

fn explained(run: &Record) -> Explained {
    read(&run.folder, &run.facts.start.as_ref().unwrap().key).unwrap().unwrap().0
}

#[test]
fn images_of_every_class_are_explained_and_the_page_shows_them() {
    let (place, run) = swept();
    let told = place.ferrite(&["explain", "e", "--device", "cpu"]);
    told.ends_with(0).says("`features.18`, is only 1x1 at 32 pixels").says("`features.6`, 4x4");
    told.says("plots/gradcam.png").says("gradcam.json").says("`ferrite report` shows them");
    let found = explained(&run);
    let layer = &found.layer;
    assert_eq!((layer.name.as_str(), layer.height, layer.width), ("features.6", 4, 4));
    assert_eq!(
        (layer.last_name.as_str(), layer.last_height, layer.last),
        ("features.18", 1, false)
    );
    // There are fewer than 42 test images, so all are there.
    assert_eq!((found.split.as_str(), found.images.len()), ("test", run.predictions.len()));
    let classes = &run.facts.dataset.as_ref().unwrap().classes;
    for image in &found.images {
        let told = run.predictions.iter().find(|it| it.id == image.id).unwrap();
        assert_eq!(
            [&image.truth, &image.predicted],
            [told.truth, told.predicted].map(|it| &classes[it])
        );
        assert_eq!(image.probability, told.probabilities[told.predicted]);
        let asked: Vec<&String> = image.maps.iter().map(|it| &it.class).collect();
        let wrong = told.truth != told.predicted;
        let expected = [&image.predicted, &image.truth];
        assert_eq!(asked, expected[..=usize::from(wrong)]);
        for map in &image.maps {
            let values: Vec<f32> = map.rows.concat();
            let largest = values.iter().copied().fold(0.0, f32::max);
            assert!(values.len() == 16 && values.iter().all(|it| (0.0..=1.0).contains(it)));
            assert_eq!(largest, if map.largest > 0.0 { 1.0 } else { 0.0 }, "{map:?}");
        }
    }
    let sheet = image::open(run.folder.join(SHEET)).unwrap();
    assert!(sheet.width() > 900 && sheet.height() > 300, "{}x{}", sheet.width(), sheet.height());
    place.ferrite(&["report"]).ends_with(0);
    let page = std::fs::read_to_string(run.folder.join("index.html")).unwrap();
    assert!(page.contains("Grad-CAM of the images that are listed"));
    // The same again has the same bytes, and the run is as whole as before.
    let before = place.files("runs");
    place.ferrite(&["explain", "e", "--device", "cpu"]).ends_with(0);
    let mut after = place.files("runs");
    for name in [MAPS, SHEET] {
        let path = run.folder.join(name);
        after.insert(path.clone(), (after[&path].0.clone(), before[&path].1));
    }
    assert_eq!(first_changed(&after, &before), None);
    place.sweep_well().says("nothing to do: 1 was finished before");
}

#[test]
fn images_classes_and_layers_are_chosen_and_what_does_not_exist_is_named() {
    let (place, run) = swept();
    let explain =
        |more: &[&str]| place.ferrite(&[&["explain", "e", "--device", "cpu"], more].concat());
    let ids: Vec<&str> = run.predictions[3..5].iter().map(|it| it.id.as_str()).collect();
    explain(&["--ids", ids[1], ids[0], "--layer", "features.13"]).ends_with(0).says("as asked");
    let found = explained(&run);
    let order: Vec<&str> = found.images.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(order, [ids[1], ids[0]]);
    assert_eq!((found.layer.name.as_str(), found.layer.height), ("features.13", 2));
    let class = &run.facts.dataset.as_ref().unwrap().classes[2];
    explain(&["--class", class, "--images", "2"]).ends_with(0);
    let found = explained(&run);
    assert!(found.images.len() <= 2 && found.images.iter().all(|it| it.truth == *class));
    explain(&["--layer", "features.19"])
        .ends_with(2)
        .says("no block `features.19`")
        .says("features.6 (4x4)");
    explain(&["--class", "nobody"]).ends_with(2).says("there is no class `nobody`");
    explain(&["--ids", "row 99999"]).ends_with(2).says("not judged on an image `row 99999`");
    explain(&["--images", "0"]).ends_with(2).says("there is no image to explain");
    // What was refused has changed nothing.
    assert_eq!(explained(&run), found);
}

#[test]
fn a_run_that_is_not_finished_and_one_whose_images_are_gone_are_refused() {
    let (place, run) = swept();
    let store = place.path("runs/.store/dataset");
    let moved = place.path("elsewhere");
    std::fs::rename(&store, &moved).unwrap();
    let told = place.ferrite(&["explain", "e", "--device", "cpu"]);
    told.ends_with(2).says("the decoded images of the run are not there any more");
    told.says("sweep its experiment again").says("the run is trained again too");
    // What it says leads to its end.
    std::fs::rename(&run.folder, place.path("aside")).unwrap();
    place.sweep_well();
    place.ferrite(&["explain", "e", "--device", "cpu"]).ends_with(0);
    // Images that have changed since are noticed.
    for folder in store.read_dir().unwrap().map(|it| it.unwrap().path()) {
        if let Ok(mut bytes) = std::fs::read(folder.join("images.bin")) {
            bytes[7] ^= 1;
            std::fs::write(folder.join("images.bin"), bytes).unwrap();
        }
    }
    place.ferrite(&["explain", "e", "--device", "cpu"]).ends_with(5).says("is damaged");
    let log = run.folder.join("events.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&log, lines[..lines.len() - 1].concat()).unwrap();
    place.ferrite(&["explain", "e", "--device", "cpu"]).ends_with(2).says("is not finished");
}
