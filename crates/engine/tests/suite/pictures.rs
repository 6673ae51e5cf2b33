//! Pictures of people's own: of any size, kind and format, in folders and tables. What a network saw of a picture in
//! its run is what `ferrite predict` sees of it.

use std::io::Cursor;

use ferrite_testing::Place;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A picture with one of two patterns, gray or in colour.
fn picture(class: u32, number: u32, [width, height]: [u32; 2]) -> RgbImage {
    let level = |x: u32, y: u32, k: u32| {
        let wave =
            f64::from(x * (2 + 5 * class) + y * (1 + number % 3)) / f64::from(width.max(4)) * 6.0;
        let noise = (x * 7919 + y * 104_729 + number * 1_299_709 + k * (number % 2) * 31) % 40;
        (wave.sin() * 90.0 + 110.0) as u8 + noise as u8
    };
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|k| level(x, y, k))))
}

const SIZES: [[u32; 2]; 7] =
    [[48, 48], [100, 100], [37, 52], [32, 32], [64, 20], [21, 21], [200, 150]];

const FILES: [(&str, ImageFormat); 8] = [
    ("png", ImageFormat::Png),
    ("jpg", ImageFormat::Jpeg),
    ("webp", ImageFormat::WebP),
    ("gif", ImageFormat::Gif),
    ("bmp", ImageFormat::Bmp),
    ("tiff", ImageFormat::Tiff),
    ("pgm", ImageFormat::Pnm),
    ("jfif", ImageFormat::Jpeg),
];

/// The picture as one of the kinds that files hold.
fn in_kind(image: RgbImage, number: u32, format: ImageFormat) -> DynamicImage {
    let image = DynamicImage::from(image);
    match (format, number % 5) {
        // What the encoder of GIF takes, whatever the number.
        (ImageFormat::Gif, _) | (ImageFormat::Png | ImageFormat::WebP, 3) => {
            image.to_rgba8().into()
        }
        (ImageFormat::Pnm, _) | (_, 0) => image.to_luma8().into(),
        (ImageFormat::Png | ImageFormat::Tiff, 1) => image.to_luma16().into(),
        (ImageFormat::Png, 2) => image.to_luma_alpha8().into(),
        _ => image,
    }
}

/// Eighty pictures of two classes.
pub(crate) fn faces(place: &Place) {
    for number in 0..80 {
        let (class, at) = (number % 2, number as usize / 2);
        let (ending, format) = FILES[at % FILES.len()];
        let image = picture(class, number, SIZES[at % SIZES.len()]);
        let mut bytes = Cursor::new(Vec::new());
        in_kind(image, number / 2, format).write_to(&mut bytes, format).unwrap();
        let class = ["wide", "narrow"][class as usize];
        place.write(&format!("faces/{class}/{number:03}.{ending}"), bytes.into_inner());
    }
}

/// An experiment on these.
pub(crate) fn experiment(more: &str, stage: &str) -> String {
    format!(
        "{more}\n[data]\nimage_size = 48\n\
         source = {{ folder = {{ path = 'faces', classes = ['wide', 'narrow'] }} }}\n\
         split = {{ train = 0.4, valid = 0.1, test = 0.5 }}\n\
         [[stages]]\nepochs = 1\nbatch_size = 16\n{stage}\n"
    )
}

/// Columns of a table behind the first ones, line by line.
fn columns_from(table: &str, first: usize) -> Vec<String> {
    let columns = |line: &str| line.split(',').skip(first).collect::<Vec<_>>().join(",");
    table.lines().map(columns).collect()
}

#[test]
fn predict_says_of_test_pictures_to_the_last_digit_what_their_run_said() {
    let experiments = [
        ("head", experiment("", "")),
        ("all", experiment("[augment]\nflip = 0.5\nrotation = 20", "trainable = 'all'")),
        ("flip", experiment("[evaluate]\nviews = 'flip'", "trainable = 'features.14'")),
    ];
    let experiments = experiments.each_ref().map(|(name, text)| (*name, text.as_str()));
    let place = Place::with(&experiments);
    faces(&place);
    place.sweep_well();
    for (name, _) in experiments {
        let run = place.run(name);
        let table = std::fs::read_to_string(run.folder.join("predictions.csv")).unwrap();
        let ids: Vec<String> = table
            .lines()
            .skip(1)
            .map(|it| format!("faces/{}", it.split(',').next().unwrap()))
            .collect();
        assert_eq!(ids.len(), 40, "{table}");
        let mut words = vec!["predict", name, "--csv", "--device", "cpu"];
        words.extend(ids.iter().map(String::as_str));
        let told = place.ferrite(&words);
        assert_eq!(
            columns_from(told.ends_with(0).out.as_str(), 1),
            columns_from(&table, 2),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_whole_picture_is_named_wherever_pictures_are_read() {
    let place = Place::with(&[("e", &experiment("", ""))]);
    faces(&place);
    let whole = std::fs::read(place.path("faces/wide/002.jpg")).unwrap();
    place.write("faces/wide/002.jpg", &whole[..whole.len() * 9 / 10]);
    place.write("faces/wide/notes.txt", "a note");
    place.write("faces/wide/phone.jpg", b"\0\0\0\x1cftypheic");
    place.sweep().ends_with(1).says("002.jpg`: it is not whole");
    let told = place.ferrite(&["sweep", "--threads", "1", "--set", "data.on_error=skip"]);
    told.ends_with(0);
    let run = place.runs().into_iter().find(|it| it.facts.evaluation.is_some()).unwrap();
    let skipped = run.facts.dataset.unwrap().skipped.join("\n");
    let audit = place.ferrite(&[
        "data",
        "audit",
        "--folder",
        "faces",
        "--classes",
        "wide,narrow",
        "--json",
    ]);
    let run = run.folder.to_str().unwrap();
    let predict = place.ferrite(&["predict", run, "faces", "--csv", "--device", "cpu"]);
    assert_eq!(predict.out.lines().count(), 1 + 79, "{predict:#?}");
    assert_eq!(predict.code, Some(3), "{predict:#?}");
    for told in [skipped, audit.ends_with(0).words(), predict.words()] {
        for part in ["002.jpg", "it is not whole", "notes.txt", "phone.jpg", "its format is HEIC"] {
            assert!(told.contains(part), "`{part}` is not in {told}");
        }
    }
}
