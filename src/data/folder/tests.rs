//! Folders of a few images: gray and colour, equal and different sizes, and every complaint.

use expect_test::expect;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use super::*;
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
fn gray_images_of_one_size_are_kept_as_they_are() {
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
}

#[test]
fn one_coloured_image_makes_all_rgb_and_one_other_size_scales_all() {
    let trial = four([&gray(40, 9), &gray(40, 9), &gray(40, 9), &red(40)]);
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!(dataset.size, [40, 40, 3]);
    assert_eq!(dataset.image(0)[..6], [9, 9, 9, 10, 10, 10]);
    assert_eq!(dataset.image(3)[..3], [200, 10, 20]);
    save(&trial, "sad/3.png", &red(32));
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!((dataset.size, dataset.image(4)[..3].to_vec()), ([48, 48, 3], vec![200, 10, 20]));
}

#[test]
fn a_guess_that_widens_late_starts_over() {
    let trial = Trial::new();
    for it in 0..CHUNK {
        save(&trial, &format!("glad/{it:03}.png"), &gray(32, 1));
    }
    save(&trial, "sad/1.jpg", &red(32));
    save(&trial, "sad/2.JPEG", &gray(33, 1));
    let dataset = trial.open(&trial.data(DRAWN)).unwrap();
    assert_eq!((dataset.size, dataset.labels.len()), ([48, 48, 3], CHUNK + 2));
    assert!(dataset.image(CHUNK as u32)[0].abs_diff(200) < 4);
    assert_eq!(dataset.counts(&dataset.train), [1, 32]);
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
        change `data.split` to folders that are there; if they are the classes themselves, write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`
    "#]]);
    trial.refuses(DRAWN, expect![[r#"
        cannot use `faces`: its folders are not those of `classes` (not listed: `test`, `train`; listed without a folder: `sad`, `glad`)
        its class folders lie one level deeper: name the splits, like `split = { train = "train", valid = "test" }`
    "#]]);
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
        cannot use `faces`: no image is left for `data.split.valid`
        give it a larger fraction, or add images
    "#]],
    );
    std::fs::remove_file(trial.path("faces/sad/1.png")).unwrap();
    std::fs::remove_file(trial.path("faces/glad/1.png")).unwrap();
    trial.refuses(
        DRAWN,
        expect![[r#"
        cannot use `faces`: its class folders hold no image
        put files ending in png, jpg, jpeg into its class folders
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
    trial.write("faces/sad/6.png", "");
    trial.write("faces/sad/more/7.png", "");
    trial.write("faces/sad/notes.txt", "ignored");
    trial.write("faces/sad/.8.png", "ignored");
    trial.write("faces/README.md", "ignored");
    trial.refuses(DRAWN, expect![[r#"
        cannot use `faces/sad/3.png`: it cannot be decoded: unexpected end of file; 4 more are broken
        mend it or take it out, or write `data.on_error = "skip"` to leave broken images out and have them listed in the report
    "#]]);
    trial.refuses(&DRAWN.replace("split", "on_error = \"skip\"\nsplit"), expect![[r#"
        accepted, skipping [
            "sad/3.png: it cannot be decoded: unexpected end of file",
            "sad/4.jpg: it cannot be decoded: Format error decoding Jpeg: Error parsing image. Illegal start bytes:6E6F",
            "sad/5.webp: `.webp` files are not read; convert it to PNG or JPEG",
            "sad/6.png: it cannot be decoded: unexpected end of file",
            "sad/more: it is a folder inside a class folder; move its images up",
        ]
    "#]]);
}
