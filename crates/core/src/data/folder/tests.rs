//! Folders of a few images: gray and colour, equal and different sizes, and every complaint.

use expect_test::expect;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use crate::data::trial::Trial;

const DRAWN: &str = r#"
    source = { folder = { path = "@/faces", classes = ["sad", "glad"] } }
    split = { train = 0.5, valid = 0.5 }
"#;

fn gray(side: u32, level: u8) -> DynamicImage {
    GrayImage::from_fn(side, side, |x, _| Luma([level + x as u8])).into()
}

fn red(side: u32) -> DynamicImage {
    RgbImage::from_pixel(side, side, Rgb([200, 10, 20])).into()
}

fn save(trial: &Trial, name: &str, image: &DynamicImage) {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let format = ImageFormat::from_path(name).unwrap();
    image.write_to(&mut bytes, format).unwrap();
    trial.write(&format!("faces/{name}"), bytes.into_inner());
}

/// Two images of each class.
fn four(images: [&DynamicImage; 4]) -> Trial {
    let trial = Trial::new();
    for (name, image) in ["glad/1.png", "glad/2.png", "sad/1.png", "sad/2.png"].iter().zip(images) {
        save(&trial, name, image);
    }
    trial
}

#[test]
fn gray_pictures_that_the_network_enlarges_are_kept_as_they_are() {
    let rgb: DynamicImage = gray(40, 9).to_rgb8().into();
    let deep: DynamicImage = gray(40, 9).to_luma16().into();
    let clear: DynamicImage = gray(40, 9).to_rgba8().into();
    let trial = four([&gray(40, 9), &rgb, &deep, &clear]);
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!(dataset.size, [40, 40, 1]);
    assert_eq!(dataset.classes, ["sad", "glad"]);
    assert_eq!(dataset.labels, [1, 1, 0, 0]);
    assert_eq!(dataset.ids, ["glad/1.png", "glad/2.png", "sad/1.png", "sad/2.png"]);
    assert!((0..4).all(|it| dataset.image(it)[..3] == [9, 10, 11]));
    assert!(dataset.contents.iter().all(|it| *it == dataset.contents[0]));
}

#[test]
fn what_is_kept_of_a_picture_does_not_depend_on_the_others() {
    let wide: DynamicImage = GrayImage::from_pixel(60, 50, Luma([77])).into();
    let trial = four([&gray(40, 9), &red(100), &wide, &red(32)]);
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    let shapes: Vec<_> = (0..4).map(|it| dataset.layout.shape(it)).collect();
    assert_eq!(shapes, [[40, 40, 1], [48, 48, 3], [48, 48, 1], [32, 32, 3]]);
    assert_eq!(dataset.size, [48, 48, 3]);
    assert_eq!((dataset.image(0)[..3].to_vec(), dataset.image(2)[0]), (vec![9, 10, 11], 77));
    assert!([1, 3].into_iter().all(|it| dataset.image(it)[..3] == [200, 10, 20]));
    // Every image counts alike in the signal, whatever its size and its channels.
    let means = [28.5, 230.0 / 3.0, 77.0, 230.0 / 3.0];
    let mean = dataset.signal(&[0, 1, 2, 3]).mean;
    assert!((mean - means.iter().sum::<f64>() / 4.0).abs() < 1e-9, "{mean}");
}

#[test]
fn the_order_of_the_classes_moves_no_image_to_another_part() {
    let trial = Trial::new();
    for it in 0..20 {
        save(&trial, &format!("glad/{it}.png"), &gray(32, it));
        save(&trial, &format!("sad/{it}.png"), &gray(32, it + 50));
    }
    let drawn = "source = { folder = { path = '@/faces', classes = ['sad', 'glad'] } }\n\
                 split = { train = 0.5, valid = 0.25, test = 0.25 }\nlimit = 12";
    let ids = |text: &str| {
        let dataset = trial.open(&trial.data(text)).unwrap();
        let parts = [&dataset.train, &dataset.valid, &dataset.test];
        parts
            .map(|rows| rows.iter().map(|it| dataset.ids[*it as usize].clone()).collect::<Vec<_>>())
    };
    assert_eq!(ids(drawn), ids(&drawn.replace("'sad', 'glad'", "'glad', 'sad'")));
    assert_ne!(ids(drawn), ids(&drawn.replace("test = 0.25", "test = 0.25, seed = 1")));
}

#[test]
fn named_splits_are_folders() {
    let trial = Trial::new();
    for name in ["train/sad/1.png", "train/glad/1.png", "test/sad/1.png", "test/glad/1.png"] {
        save(&trial, name, &gray(32, 0));
    }
    let named = DRAWN.replace("0.5, valid = 0.5", "'train', valid = 'test'");
    let dataset = trial.open(&trial.data(&named)).unwrap();
    assert_eq!((&dataset.train[..], &dataset.valid[..]), (&[2, 3][..], &[0, 1][..]));
    assert_eq!(dataset.ids[2], "train/glad/1.png");
    trial.refuses(&named.replace("'test'", "'valid'"), expect![[r#"
        cannot use `faces`: it has no folder `valid`, only `test`, `train`
        name folders that are there under `data.split`. Where there are none to validate on, take the validation images out of the training ones: `valid = 0.15`
    "#]]);
    // Fractions pool the splits.
    let pooled = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!((pooled.train.len(), pooled.valid.len()), (2, 2));
    assert_eq!(pooled.ids, dataset.ids);
}

#[test]
fn validation_images_can_be_taken_out_of_the_training_split() {
    let trial = Trial::new();
    for it in 0..20 {
        save(&trial, &format!("train/sad/{it}.png"), &gray(32, it));
        save(&trial, &format!("train/glad/{it}.png"), &gray(32, it));
    }
    // A class without a folder has no picture in that split.
    save(&trial, "test/sad/1.png", &gray(32, 0));
    let data =
        DRAWN.replace("train = 0.5, valid = 0.5", "train = 'train', valid = 0.2, test = 'test'");
    let dataset = trial.open(&trial.data(&data)).unwrap();
    assert_eq!(dataset.counts(&dataset.train), [16, 16]);
    assert_eq!(dataset.counts(&dataset.valid), [4, 4]);
    assert_eq!(dataset.counts(&dataset.test), [1, 0]);
    let of_train = |row: &u32| dataset.ids[*row as usize].starts_with("train/");
    assert!(dataset.train.iter().chain(&dataset.valid).all(of_train));
    let again = trial.open(&trial.data(&data)).unwrap();
    assert_eq!(again.valid, dataset.valid);
}

#[test]
fn folders_of_persons_are_read_and_their_names_kept() {
    let trial = Trial::new();
    for name in
        ["sad/anna/1.png", "sad/anna/day 2/2.png", "sad/3.png", "glad/ben/4.png", "glad/5.png"]
    {
        save(&trial, name, &gray(32, 0));
    }
    trial.open(&trial.data(DRAWN)).unwrap();
    let prepared = crate::data::prepared::read(&trial.path("decoded")).unwrap();
    assert_eq!(
        prepared.ids,
        ["glad/5.png", "glad/ben/4.png", "sad/3.png", "sad/anna/1.png", "sad/anna/day 2/2.png"]
    );
    assert_eq!(prepared.groups, ["", "ben", "", "anna", "anna"]);
}

#[test]
fn links_are_followed_but_not_in_circles() {
    let trial = Trial::new();
    save(&trial, "../elsewhere/1.png", &gray(32, 0));
    save(&trial, "../elsewhere/more/2.png", &gray(32, 0));
    save(&trial, "sad/1.png", &gray(32, 0));
    save(&trial, "sad/2.png", &gray(32, 0));
    std::os::unix::fs::symlink(trial.path("elsewhere"), trial.path("faces/glad")).unwrap();
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!(dataset.ids, ["glad/1.png", "glad/more/2.png", "sad/1.png", "sad/2.png"]);
    std::os::unix::fs::symlink(trial.path("elsewhere"), trial.path("elsewhere/again")).unwrap();
    let error = trial.open(&trial.data(DRAWN)).unwrap_err();
    assert!(error.to_string().contains("it is a link to"), "{error}");
}

#[test]
fn names_that_look_the_same_are_the_same() {
    let trial = Trial::new();
    // A Mac's `ü`: a `u` and its dots.
    for name in
        ["glu\u{308}cklich/1.png", "glu\u{308}cklich/2.png", "traurig/1.png", "traurig/2.png"]
    {
        save(&trial, name, &gray(32, 0));
    }
    let data = DRAWN.replace(r#""sad", "glad""#, "\"gl\u{fc}cklich\", \"traurig\"");
    let dataset = trial.open(&trial.data(&data)).unwrap();
    assert_eq!(dataset.counts(&[0, 1, 2, 3]), [2, 2]);
}

#[test]
fn folders_and_classes_must_agree() {
    let trial = Trial::new();
    trial.refuses(
        DRAWN,
        expect![[r#"
        cannot use `faces`: it does not exist
        check `data.source.folder.path`; the path is relative to the folder you run `ferrite` in
    "#]],
    );
    save(&trial, "glad/1.png", &gray(32, 0));
    save(&trial, "Sad/1.png", &gray(32, 0));
    trial.refuses(DRAWN, expect![[r#"
        cannot use `faces`: its folders are not those of `classes` (not listed: `Sad`; listed without a folder: `sad`)
        list every class folder in `data.source.folder.classes`, in label order: the first is label 0. Other programs often number them alphabetically
    "#]]);
    std::fs::rename(trial.path("faces/Sad"), trial.path("faces/sad")).unwrap();
    trial.refuses(
        DRAWN,
        expect![[r#"
            cannot use `faces`: no image is left for `data.split.valid` of the 2 images
            give it a larger fraction, or add images
        "#]],
    );
    std::fs::remove_dir_all(trial.path("faces/glad")).unwrap();
    trial.refuses(
        DRAWN,
        expect![[r#"
            cannot use `faces`: no image is left for `data.split.valid` of the 1 image; the class `glad` has none at all
            give it a larger fraction, or add images
        "#]],
    );
    std::fs::remove_file(trial.path("faces/sad/1.png")).unwrap();
    trial.refuses(
        DRAWN,
        expect![[r#"
        cannot use `faces`: its class folders hold no picture
        put pictures into its class folders: PNG, JPEG, WebP, TIFF, BMP, GIF, PGM and PPM are read
    "#]],
    );
}

#[test]
fn what_is_no_image_stops_it_or_is_listed() {
    let trial = four([&gray(40, 9), &gray(40, 9), &gray(40, 9), &gray(40, 9)]);
    let whole = std::fs::read(trial.path("faces/sad/1.png")).unwrap();
    trial.write("faces/sad/3.png", &whole[..whole.len() / 2]);
    trial.write("faces/sad/4.jpg", "not an image");
    trial.write("faces/sad/5.webp", "");
    trial.write("faces/sad/6.png", b"\0\0\0\x1cftypheic");
    trial.write("faces/sad/7", b"\0\0\0\x1cftypavif");
    trial.write("faces/sad/8.jxl", "unknown");
    trial.write("faces/sad/without an ending", &whole);
    trial.write("faces/sad/notes.txt", "a note");
    trial.write("faces/sad/more/list.txt", "a list");
    trial.write("faces/sad/more/.8.png", "hidden");
    trial.write("faces/glad/__MACOSX/9.png", "left by a Mac");
    trial.write("faces/__MACOSX/glad/9.png", "left by a Mac");
    trial.write("faces/glad/Thumbs.db", "left by Windows");
    trial.write("faces/README.md", "beside the class folders");
    trial.refuses(DRAWN, expect![[r#"
        cannot use `faces/sad/3.png`: it is not whole: the file ends before the picture does; 5 more are broken
        mend it or take it out, or write `data.on_error = "skip"` to leave broken images out and have them listed in the report
    "#]]);
    trial.refuses(
        &DRAWN.replace("split", "on_error = \"skip\"\nsplit"),
        expect![[r#"
        accepted, skipping [
            "sad/3.png: it is not whole: the file ends before the picture does",
            "sad/4.jpg: it is no picture: its content is of no known format",
            "sad/5.webp: it is empty",
            "sad/6.png: its format is HEIC, which is not read; convert it to PNG or JPEG",
            "sad/7: its format is AVIF, which is not read; convert it to PNG or JPEG",
            "sad/8.jxl: its format is jxl, which is not read; convert it to PNG or JPEG",
            "2 files ending in `.txt` are no pictures: sad/more/list.txt, sad/notes.txt",
        ]
    "#]],
    );
}
