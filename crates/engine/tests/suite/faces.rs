//! Faces that are found, aligned or cropped, in training and in `ferrite predict`: drawn ones, somewhere in larger pictures.

use std::io::Cursor;
use std::path::PathBuf;

use ferrite_core::data::faces::found::{self, chosen};
use ferrite_core::data::faces::{Choice, Detector, Faces};
use ferrite_core::data::originals::{Originals, Visit};
use ferrite_core::data::{Data, photo};
use ferrite_core::event::faces::{ClassFaces, SplitFaces};
use ferrite_core::store::record::Record;
use ferrite_faces::Synthetic;
use ferrite_faces::frame::Frame;
use ferrite_testing::Place;
use image::{GrayImage, ImageFormat, RgbImage};

/// A stage that ends soon.
pub(crate) const STAGE: &str = "\n[[stages]]\nepochs = 1\nbatch_size = 16\n";

/// A folder of 24 photographs of two classes, each of one face, and one without.
pub(crate) const PHOTOS: &str = "[data]\nimage_size = 48\n\
    source = { folder = { path = 'photos', classes = ['a', 'b'] } }\n\
    split = { train = 0.5, valid = 0.25, test = 0.25 }\n";

fn drawn() -> Synthetic {
    let frame = Some(Frame { size: 160, rotation: 25.0, scale: [0.4, 0.6] });
    Synthetic { frame, difficulty: 0.1, seed: 3, ..Synthetic::default() }
}

pub(crate) fn png(image: impl Into<image::DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The place, with the detector's file where it would have been downloaded to.
pub(crate) fn place(experiments: &[(&str, &str)]) -> Place {
    let place = Place::with(experiments);
    let path = PathBuf::from(std::env::var_os("FERRITE_DETECTOR").expect("cargo sets it"));
    let network = std::fs::read(&path);
    let network =
        network.unwrap_or_else(|_| panic!("`{}` is missing: run `make detector`", path.display()));
    place.write("cache/weights/face_detection_yunet_2023mar.onnx", network);
    for index in 0..24 {
        let face = GrayImage::from_raw(160, 160, drawn().draw(index).pixels).unwrap();
        place
            .write(&format!("photos/{}/{index:02}.png", ["a", "b"][index as usize % 2]), png(face));
    }
    place.write(
        "photos/a/none.png",
        png(GrayImage::from_fn(90, 60, |x, y| image::Luma([(x + y) as u8]))),
    );
    place
}

fn all(record: &Record) -> ClassFaces {
    let faces = record.facts.faces.as_ref().unwrap();
    faces.splits.values().flat_map(|it| &it.classes).copied().sum()
}

#[test]
fn faces_are_looked_for_once_and_placed_as_each_experiment_says() {
    let with = |faces: &str| format!("{PHOTOS}[data.faces]\n{faces}{STAGE}");
    let experiments = [
        ("aligned", with("")),
        ("cropped", with("align = 'off'")),
        ("dropped", with("missing = 'drop'")),
        ("plain", format!("{PHOTOS}{STAGE}")),
    ];
    let place = place(&experiments.each_ref().map(|(name, text)| (*name, text.as_str())));
    place.sweep_well();
    assert_eq!([place.steps("detections").len(), place.steps("faces").len()], [1, 2]);
    assert_eq!(all(&place.run("aligned")), ClassFaces { images: 25, aligned: 24, cropped: 0 });
    assert_eq!(all(&place.run("cropped")), ClassFaces { images: 25, aligned: 0, cropped: 24 });
    assert_eq!(place.run("plain").facts.faces, None);
    let counted = |name: &str| {
        let dataset = place.run(name).facts.dataset.unwrap();
        dataset.counts.values().flatten().sum::<usize>()
    };
    assert_eq!(["aligned", "dropped", "plain"].map(counted), [25, 24, 25]);
    let dropped = place.run("dropped").facts.faces.unwrap();
    let dropped: usize = dropped.splits.values().map(|it: &SplitFaces| it.dropped).sum();
    assert_eq!(dropped, 1);
    let run = place.run("aligned").folder;
    for sheet in ["found", "turned", "unsure", "missing"] {
        assert!(run.join(format!("plots/faces-{sheet}.png")).is_file(), "{sheet}");
    }
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("Pictures in which no face was found"));
}

/// The images that a run with these `faces` was trained on are, to the last byte, those that `predict` makes of the files.
#[test]
fn training_and_predict_place_a_face_by_the_same_bytes() {
    let text = format!("{PHOTOS}[data.faces]\n{STAGE}");
    let place = place(&[("aligned", &text)]);
    place.sweep_well();
    let only = |kind: &str| place.path("runs/.store").join(kind).join(&place.steps(kind)[0]);
    let settings = Faces::default();
    let path = PathBuf::from(std::env::var_os("FERRITE_DETECTOR").unwrap());
    let detector = ferrite_detect::Detector::open(&Detector::default(), &path).unwrap();
    let mut data: Data = toml::from_str(PHOTOS.trim_start_matches("[data]\n")).unwrap();
    data.source = toml::from_str(&format!(
        "folder = {{ path = '{}', classes = ['a', 'b'] }}",
        place.path("photos").display()
    ))
    .unwrap();
    let images = Originals::open(&data, &only("faces")).unwrap();
    let found = found::read(&only("detections")).unwrap();
    let mut seen = 0;
    images
        .visit(Visit {
            look: &|row, _| {
                let id = &images.ids()[row as usize];
                let photo = photo::open(&place.path("photos").join(id)).unwrap();
                let faces = detector.find(&photo).unwrap();
                assert_eq!(found.get(id).map_or(&[][..], Vec::as_slice), faces, "{id}");
                let [height, width, _] = photo.shape;
                let face = chosen(&faces, Choice::Largest, [height, width]);
                let placed = ferrite_detect::placed(&photo, face, &settings, 48).picture;
                assert!(placed == images.decoded(row), "{id}");
                Ok(())
            },
            take: &mut |_, ()| {
                seen += 1;
                Ok(())
            },
        })
        .unwrap();
    assert_eq!(seen, 25);
    // And what is said of them is the same.
    let table =
        std::fs::read_to_string(place.run("aligned").folder.join("predictions.csv")).unwrap();
    let mut arguments = vec!["predict", "aligned", "--csv", "--device", "cpu"];
    let tested: Vec<String> = table
        .lines()
        .skip(1)
        .map(|it| it.split(',').next().unwrap().to_owned())
        .filter(|it| !it.contains("none"))
        .collect();
    let paths: Vec<String> = tested.iter().map(|it| format!("photos/{it}")).collect();
    arguments.extend(paths.iter().map(String::as_str));
    let told = place.ferrite(&arguments);
    told.ends_with(0);
    for (id, line) in tested.iter().zip(told.out.lines().skip(1)) {
        let cells: Vec<&str> = line.split(',').collect();
        let expected = table.lines().find(|it| it.starts_with(id.as_str())).unwrap();
        let expected: Vec<f64> =
            expected.split(',').skip(3).map(|it| it.parse().unwrap()).collect();
        let said: Vec<f64> = cells[7..].iter().map(|it| it.parse().unwrap()).collect();
        // A run's batch also has the picture without a face, so the last digit may be another.
        let apart = expected.iter().zip(&said).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-4, "{line}");
    }
}

/// A colour photograph of two faces, each as large as the whole of a drawn picture.
pub(crate) fn group() -> RgbImage {
    let faces: Vec<GrayImage> =
        [0, 5].map(|it| GrayImage::from_raw(160, 160, drawn().draw(it).pixels).unwrap()).into();
    RgbImage::from_fn(330, 170, |x, y| {
        let face = &faces[usize::from(x >= 165)];
        let gray = face.get_pixel((x % 165).min(159), y.min(159)).0[0];
        image::Rgb([gray, gray.saturating_sub(9), gray.saturating_sub(20)])
    })
}

#[test]
fn predict_says_of_every_face_in_a_photograph_where_it_is_and_what_it_shows() {
    let text = format!("{PHOTOS}[data.faces]\n{STAGE}");
    let place = place(&[("aligned", &text), ("plain", &format!("{PHOTOS}{STAGE}"))]);
    place.write("group.png", png(group()));
    place.write("list.txt", "group.png\n\nphotos/a/none.png\n");
    place.sweep_well();
    let told = place.ferrite(&[
        "predict",
        "aligned",
        "--list",
        "list.txt",
        "--json",
        "--annotate",
        "marked",
    ]);
    told.ends_with(0);
    let lines: Vec<serde_json::Value> =
        told.out.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let faces = lines[0]["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 2, "{}", told.out);
    let mut lefts: Vec<f64> =
        faces.iter().map(|it| it["bounds"]["left"].as_f64().unwrap()).collect();
    lefts.sort_by(f64::total_cmp);
    assert!(lefts[0] < 165.0 && lefts[1] > 165.0, "{lefts:?}");
    for face in faces {
        let sum: f64 = face["probabilities"]
            .as_object()
            .unwrap()
            .values()
            .map(|it| it.as_f64().unwrap())
            .sum();
        assert!((sum - 1.0).abs() < 1e-4 && face["landmarks"].as_array().unwrap().len() == 5);
    }
    assert_eq!(lines[1]["faces"].as_array().map(Vec::len), Some(0));
    let marked = image::open(place.path("marked/group.png")).unwrap().into_rgb8();
    assert!(marked.dimensions() == (330, 170) && marked != group(), "nothing was drawn");
    assert!(place.path("marked/none.png").is_file());
    place
        .ferrite(&["predict", "aligned", "photos/a/none.png"])
        .ends_with(0)
        .says("no face was found");
    let csv = place.ferrite(&["predict", "aligned", "photos/a/none.png", "--csv"]);
    csv.ends_with(0)
        .says("path,left,top,width,height,score,prediction,a,b photos/a/none.png,,,,,,,,");
    let assumed =
        place.ferrite(&["predict", "aligned", "photos/a/none.png", "--assume-face", "--csv"]);
    assumed.ends_with(0).says("path,prediction,a,b photos/a/none.png,");
    // A run that was trained on whole pictures finds faces where it is asked to.
    let whole = place.ferrite(&["predict", "plain", "group.png", "--json"]);
    assert!(!whole.out.contains("bounds"), "{}", whole.out);
    let found = place.ferrite(&["predict", "plain", "gr*.png", "--find-faces", "--json"]);
    assert_eq!(found.ends_with(0).out.matches("bounds").count(), 2);
    place.ferrite(&["predict", "plain", "nothing-*.png"]).ends_with(3).says("no file is like it");
}

#[test]
fn predict_never_writes_over_the_pictures_that_it_is_asked_about() {
    let text = format!("{PHOTOS}[data.faces]\n{STAGE}");
    let place = place(&[("aligned", &text)]);
    place.sweep_well();
    let before = std::fs::read(place.path("photos/a/00.png")).unwrap();
    let told = place.ferrite(&["predict", "aligned", "photos/a", "--annotate", "photos/a"]);
    told.ends_with(2).says("would be written over a picture that you ask about");
    assert!(std::fs::read(place.path("photos/a/00.png")).unwrap() == before);
    // What is not there does not keep the others from an answer.
    place.write("list.txt", "\u{feff}photos/a/00.png\r\nphotos/gone.png\r\n");
    let told = place.ferrite(&["predict", "aligned", "--list", "list.txt", "--csv"]);
    told.ends_with(3).says("photos/a/00.png,").says("photos/gone.png`: it does not exist");
}

#[test]
fn a_class_that_loses_all_its_faces_and_a_picture_that_changes_meanwhile_are_told_as_that() {
    let dropped = format!("{PHOTOS}[data.faces]\nmissing = 'drop'\n{STAGE}");
    let place = place(&[("dropped", &dropped)]);
    for index in 0..24 {
        let flat = png(GrayImage::from_pixel(60, 60, image::Luma([index as u8 * 9])));
        if index % 2 == 1 {
            place.write(&format!("photos/b/{index:02}.png"), flat);
        }
    }
    let told = place.sweep();
    told.ends_with(1)
        .says("no training image of the class `b` is left: no face was found in any of");
    told.says("data.faces.missing");
    // The images were decoded of other pictures than those that lie there now.
    let dataset = place.path("runs/.store/dataset").join(&place.steps("dataset")[0]);
    let mut data: Data = toml::from_str(PHOTOS.trim_start_matches("[data]\n")).unwrap();
    let source =
        format!("folder = {{ path = '{}', classes = ['a', 'b'] }}", place.path("photos").display());
    data.source = toml::from_str(&source).unwrap();
    place.write("photos/a/04.png", std::fs::read(place.path("photos/a/02.png")).unwrap());
    let images = Originals::open(&data, &dataset).unwrap();
    let visit = Visit { look: &|_, _| Ok(()), take: &mut |_, ()| Ok(()) };
    let error = images.visit(visit).unwrap_err().to_string();
    assert!(error.contains("a/04.png") && error.contains("it shows something else"), "{error}");
}

#[test]
fn a_detector_that_cannot_be_had_is_told_with_what_to_do() {
    let text = format!("{PHOTOS}[data.faces]\n{STAGE}");
    let haar = format!("{PHOTOS}[data.faces]\ndetector = {{ haar = {{}} }}\n{STAGE}");
    let place = place(&[("aligned", &text)]);
    let network = "cache/weights/face_detection_yunet_2023mar.onnx";
    let whole = std::fs::read(place.path(network)).unwrap();
    place.write(network, &whole[..1000]);
    place.sweep().says("face_detection_yunet_2023mar.onnx").says("sha256").says("delete it");
    std::fs::remove_file(place.path(network)).unwrap();
    place
        .sweep()
        .says("put the file at")
        .says("8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4");
    assert!(place.steps("detections").is_empty());
    if !cfg!(feature = "opencv") {
        place.write("experiments/aligned.toml", &haar);
        place.sweep().says("FEATURES=opencv");
    }
}
