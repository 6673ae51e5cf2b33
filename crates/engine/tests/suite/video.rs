//! `ferrite predict` on videos. A script stands for `ffmpeg` here, which not every machine has; `make test-doors` asks the real one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ferrite_testing::{Place, SMALL, Told};
use image::GrayImage;
use serde_json::Value;

/// What begins as a video does.
const VIDEO: &[u8] = b"\0\0\0\x20ftypisom and more";

/// A folder with the run of a small network, two faces, and a program `ffmpeg` that does what `script` says.
fn place(script: &str) -> Place {
    let place = Place::with(&[("small", SMALL)]);
    let detector = PathBuf::from(std::env::var_os("FERRITE_DETECTOR").expect("cargo sets it"));
    let detector = std::fs::read(&detector).expect("`make detector` puts it there");
    place.write("cache/weights/face_detection_yunet_2023mar.onnx", detector);
    place.sweep_well();
    place.ferrite(&["data", "draw", "faces", "--each", "1", "--size", "160"]).ends_with(0);
    place.write("clip.mp4", VIDEO);
    place.write("bin/ffmpeg", format!("#!/bin/sh\necho \"$@\" > asked.txt\n{script}"));
    let may_run = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path("bin/ffmpeg"), may_run).unwrap();
    place
}

/// Runs `ferrite predict` where that program is the first on the PATH.
fn predict(place: &Place, arguments: &[&str]) -> Told {
    let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
    place.ferrite_with(
        &[("PATH", &path)],
        &[&["predict", "small", "--device", "cpu"], arguments].concat(),
    )
}

/// A picture as `ffmpeg` writes it into a pipe.
fn ppm(image: &GrayImage) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let pixels = image.as_raw().iter().flat_map(|it| [*it; 3]);
    format!("P6\n{width} {height}\n255\n").into_bytes().into_iter().chain(pixels).collect()
}

fn lines(told: &Told) -> Vec<Value> {
    told.out.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[test]
fn of_a_video_is_said_what_is_said_of_its_pictures_and_who_is_who() {
    let place = place("cat frames.ppm\n");
    let face = |class: &str| {
        image::open(place.path(&format!("faces/{class}/000.png"))).unwrap().into_luma8()
    };
    let (happy, sad) = (face("happy"), face("sad"));
    let both = |left: &GrayImage, right: &GrayImage| {
        GrayImage::from_fn(330, 160, |x, y| {
            let image = if x < 165 { left } else { right };
            *image.get_pixel((x % 165).min(159), y)
        })
    };
    let nobody = GrayImage::from_pixel(330, 160, image::Luma([90]));
    let shown = [both(&happy, &sad), both(&happy, &nobody), nobody.clone(), both(&happy, &sad)];
    place.write("frames.ppm", shown.iter().flat_map(ppm).collect::<Vec<u8>>());
    let names = ["0.png", "1.png", "2.png", "3.png"];
    for (image, name) in shown.iter().zip(names) {
        image.save(place.path(name)).unwrap();
    }
    let words = ["clip.mp4", "--every", "2.5", "--find-faces", "--json", "--annotate", "sheets"];
    let told = predict(&place, &words);
    told.ends_with(0);
    let asked = std::fs::read_to_string(place.path("asked.txt")).unwrap();
    assert!(asked.contains("-i file:clip.mp4 ") && asked.contains("fps=1/2.5:"), "{asked}");
    let pictures = predict(&place, &[&names[..], &["--find-faces", "--json"]].concat());
    let (told, alone) = (lines(&told), lines(pictures.ends_with(0)));
    let mut numbers = Vec::new();
    for ((at, told), alone) in told.iter().enumerate().zip(&alone) {
        assert_eq!(
            (&told["path"], &told["seconds"]),
            (&"clip.mp4".into(), &(2.5 * at as f64).into())
        );
        let [told, alone] = [told, alone].map(|it| it["faces"].as_array().unwrap());
        assert_eq!(told.len(), alone.len(), "at {at}");
        for (told, alone) in told.iter().zip(alone) {
            assert_eq!(
                (&told["bounds"], &told["prediction"]),
                (&alone["bounds"], &alone["prediction"])
            );
            assert!(alone["track"].is_null());
        }
        let mut faces: Vec<(f64, u64)> = told
            .iter()
            .map(|it| (it["bounds"]["left"].as_f64().unwrap(), it["track"].as_u64().unwrap()))
            .collect();
        faces.sort_by(|a, b| a.0.total_cmp(&b.0));
        numbers.push(faces.iter().map(|it| it.1).collect::<Vec<_>>());
    }
    // The left face is missing once and goes on, the right one twice and is another one then.
    let lefts: Vec<u64> = [0, 1, 3].iter().map(|it: &usize| numbers[*it][0]).collect();
    assert_eq!((lefts[0], lefts[1], lefts[2]), (lefts[0], lefts[0], lefts[0]), "{numbers:?}");
    assert_eq!((numbers[1].len(), numbers[2].len(), numbers[3][1]), (1, 0, 3), "{numbers:?}");
    let sheet = image::open(place.path("sheets/clip.png")).unwrap();
    assert!(
        sheet.width() > 4 * 240 && sheet.height() < 240,
        "{:?}",
        (sheet.width(), sheet.height())
    );
}

#[test]
fn pictures_and_videos_share_a_table() {
    let place = place("cat frames.ppm\n");
    let gray = GrayImage::from_pixel(40, 40, image::Luma([90]));
    gray.save(place.path("gray.png")).unwrap();
    place.write("frames.ppm", [ppm(&gray), ppm(&gray), ppm(&gray)].concat());
    let told = predict(&place, &["gray.png", "clip.mp4", "gray.png", "--csv"]);
    let starts: Vec<String> = told
        .ends_with(0)
        .out
        .lines()
        .map(|it| it.split(',').take(2).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(
        starts,
        ["path,seconds", "gray.png,", "clip.mp4,0", "clip.mp4,1", "clip.mp4,2", "gray.png,"]
    );
    let told = predict(&place, &["gray.png", "clip.mp4", "--csv", "--find-faces"]);
    told.ends_with(0).says("path,seconds,track,left,top,width,height,score,prediction,");
    predict(&place, &["clip.mp4"]).ends_with(0).says("clip.mp4 at 2.00 s");
    place.ferrite(&["sweep", "--threads", "1", "--set", "seeds=[0,1]"]).ends_with(0);
    let told = predict(&place, &["clip.mp4", "--csv", "--find-faces"]);
    told.ends_with(0).says("track,left,top,width,height,score,prediction,runs,agree,");
    let told = predict(&place, &["clip.mp4", "--json", "--annotate", "sheets"]);
    for line in lines(told.ends_with(0).says("2 runs answer together")) {
        assert_eq!(line["runs"].as_array().unwrap().len(), 2, "{line}");
        assert!(line["seconds"].is_number() && line["agree"].is_number(), "{line}");
    }
    assert!(place.path("sheets/clip.png").is_file());
    predict(&place, &["clip.mp4", "--every", "0"]).ends_with(2).says("between 0.001 and 86400");
}

#[test]
fn what_ffmpeg_complains_of_is_told_beside_what_could_be_read() {
    let place = place("cat frames.ppm\necho 'first' >&2\necho 'the data ends here' >&2\n");
    let gray = GrayImage::from_pixel(40, 40, image::Luma([90]));
    gray.save(place.path("gray.png")).unwrap();
    place.write("frames.ppm", ppm(&gray));
    let told = predict(&place, &["clip.mp4", "gray.png", "--csv"]);
    told.ends_with(3).says("clip.mp4,0,").says("gray.png,,");
    told.says("cannot use `clip.mp4`: ffmpeg says: the data ends here");
    // A stream that breaks off, one without pictures, and a program that fails without a word.
    place.write("frames.ppm", &ppm(&gray)[..100]);
    predict(&place, &["clip.mp4"]).ends_with(3).says("cannot use `clip.mp4`");
    for (script, words) in [("exit 0", "it shows nothing"), ("exit 4", "exit status: 4")] {
        place.write("bin/ffmpeg", format!("#!/bin/sh\n{script}\n"));
        predict(&place, &["clip.mp4"]).ends_with(3).says(words);
    }
    std::fs::remove_file(place.path("bin/ffmpeg")).unwrap();
    let alone = place.path("bin").display().to_string();
    let told = place.ferrite_with(&[("PATH", &alone)], &["predict", "small", "clip.mp4"]);
    told.ends_with(2)
        .says("`clip.mp4` is a video, and `ffmpeg` is missing")
        .says("apt-get install");
}
