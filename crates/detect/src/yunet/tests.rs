//! Tests of the detector on a network whose faces are bright cells.

use rayon::prelude::*;

use super::*;
use crate::Detector;
use crate::tiny::Tiny;

fn detector(tiny: &Tiny, sizes: &[usize]) -> Yunet {
    let settings = faces::Yunet { sizes: sizes.to_vec(), looks: 1, ..faces::Yunet::default() };
    Yunet { settings, network: Network::new(Path::new("tiny.onnx"), &tiny.bytes()).unwrap() }
}

/// A black picture with a square of this colour.
fn square(shape: [usize; 3], [left, top, side]: [usize; 3], colour: [u8; 3]) -> Picture {
    let [height, width, channels] = shape;
    let mut pixels = vec![0; height * width * channels];
    for y in top..(top + side).min(height) {
        for x in left..(left + side).min(width) {
            let at = (y * width + x) * channels;
            pixels[at..at + channels].copy_from_slice(&colour[..channels]);
        }
    }
    Picture { pixels, shape }
}

const WHITE: [u8; 3] = [255; 3];

#[test]
fn a_bright_cell_is_a_face_in_its_place() {
    let detector = detector(&Tiny::default(), &[]);
    for channels in [1, 3] {
        let picture = square([224, 224, channels], [64, 96, 32], WHITE);
        let found = detector.find(&picture).unwrap();
        let [face] = &found[..] else { panic!("{found:?}") };
        assert_eq!(face.bounds, [64.0, 96.0, 32.0, 32.0]);
        assert!((face.score - 1.0).abs() < 1e-5);
        assert_eq!(face.landmarks.points()[0], [72.0, 104.0]);
        assert_eq!(face.landmarks.points()[4], [88.0, 120.0]);
    }
    assert_eq!(detector.find(&square([224, 224, 1], [0, 0, 0], WHITE)).unwrap(), []);
}

#[test]
fn the_network_sees_blue_green_and_red_in_this_order() {
    for (at, channels) in
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]].into_iter().enumerate()
    {
        let detector = detector(&Tiny { channels, ..Tiny::default() }, &[224]);
        for colour in 0..3 {
            let mut one = [0; 3];
            one[colour] = 255;
            let found = detector.find(&square([224, 224, 3], [32, 32, 32], one)).unwrap();
            assert_eq!(found.len(), usize::from(at == colour), "{at} {colour}");
        }
    }
}

#[test]
fn places_are_those_of_the_picture_whatever_size_it_is_looked_at() {
    let detector = detector(&Tiny::default(), &[224]);
    // Twice as large as it is looked at, four times as small, and not square: padded from 112 to 128 rows.
    for (shape, place, side) in [
        ([448, 448, 1], [128, 64, 64], 64.0),
        ([56, 56, 1], [16, 24, 8], 8.0),
        ([224, 448, 3], [128, 64, 64], 64.0),
        ([448, 224, 3], [64, 320, 64], 64.0),
    ] {
        let found = detector.find(&square(shape, place, WHITE)).unwrap();
        let face = found.first().unwrap();
        assert_eq!(face.bounds, [place[0] as f32, place[1] as f32, side, side], "{shape:?}");
    }
}

#[test]
fn what_several_sizes_find_is_one_face() {
    let only = |sizes: &[usize]| detector(&Tiny::default(), sizes);
    let picture = square([448, 448, 1], [128, 64, 64], WHITE);
    assert_eq!(only(&[224]).find(&picture).unwrap().len(), 1);
    // At 448 the square has four cells, of which each overlaps with it by a quarter: the setting keeps those.
    assert_eq!(only(&[448]).find(&picture).unwrap().len(), 4);
    assert_eq!(only(&[224, 448]).find(&picture).unwrap().len(), 5);
    assert_eq!(only(&[224, 224]).find(&picture).unwrap().len(), 1);
    // A small face is found at a larger size only, and large pictures are looked at in larger sizes.
    let small = square([640, 640, 1], [320, 320, 32], WHITE);
    assert_eq!(only(&[224]).find(&small).unwrap(), []);
    assert_eq!(only(&[]).find(&small).unwrap()[0].bounds, [320.0, 320.0, 32.0, 32.0]);
}

#[test]
fn larger_pictures_are_looked_at_in_more_sizes() {
    let of = |side| sizes(&[], [10, side, 1]);
    assert_eq!([of(48), of(320)], [[224], [224]]);
    assert_eq!([of(321), of(1280)], [[224, 640], [224, 640]]);
    assert_eq!(of(1281), [224, 640, 1600]);
    assert_eq!(sizes(&[99], [10, 5000, 1]), [99]);
    assert_eq!(within(224, [10_000, 3]), [224, 1]);
    assert_eq!(within(224, [48, 48]), [224, 224]);
    assert_eq!(within(640, [490, 640]), [490, 640]);
}

#[test]
fn pictures_of_any_shape_are_looked_at() {
    let detector = detector(&Tiny::default(), &[]);
    for shape in
        [[1, 1, 1], [1, 1, 3], [10_000, 3, 3], [3, 10_000, 1], [2, 700, 3], [4000, 5000, 1]]
    {
        let [height, width, channels] = shape;
        let dark = Picture { pixels: vec![0; height * width * channels], shape };
        assert_eq!(detector.find(&dark).unwrap(), [], "{shape:?}");
        let bright = Picture { pixels: vec![255; height * width * channels], shape };
        let found = detector.find(&bright).unwrap();
        assert!(found.iter().all(|it| it.bounds.iter().all(|it| it.is_finite())), "{shape:?}");
    }
}

#[test]
fn many_threads_find_what_one_finds() {
    let pictures: Vec<Picture> =
        (0..24).map(|it| square([100 + it * 9, 200, 3], [it * 3, it * 2, 40], WHITE)).collect();
    let one = detector(&Tiny::default(), &[224, 448]);
    let expected: Vec<_> = pictures.iter().map(|it| one.find(it).unwrap()).collect();
    assert!(expected.iter().any(|it| !it.is_empty()));
    let many = detector(&Tiny::default(), &[224, 448]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
    let found: Vec<_> =
        pool.install(|| pictures.par_iter().map(|it| many.find(it).unwrap()).collect());
    assert_eq!(found, expected);
}

#[test]
fn another_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let missing = Detector::open(&faces::Detector::default(), &path).unwrap_err().to_string();
    assert!(missing.contains("cannot read") && missing.contains("model.onnx"), "{missing}");
    for bytes in [Vec::new(), b"<html>".to_vec(), Tiny::default().bytes()] {
        std::fs::write(&path, bytes).unwrap();
        let error = Detector::open(&faces::Detector::default(), &path).unwrap_err().to_string();
        assert!(error.contains("model.onnx") && error.contains("its sha256 is"), "{error}");
    }
}

#[test]
fn another_network_is_refused() {
    let mut other = Tiny::default();
    other.landmarks.truncate(8);
    let bytes = [Vec::new(), b"<html>".to_vec(), other.bytes()];
    for bytes in bytes {
        let error = Network::new(Path::new("tiny.onnx"), &bytes).unwrap_err().to_string();
        assert!(error.contains("tiny.onnx") && error.contains("not the network"), "{error}");
    }
}
