//! Tests of where faces are seen from.

use ferrite_core::data::faces::found::Landmarks;
use ferrite_core::data::picture::Picture;

use super::*;
use crate::Placed;
use crate::placed;

const SIDE: usize = 48;

/// The template's points in an image of 48 pixels.
fn template() -> [[f64; 2]; 5] {
    Faces::default().template.points().map(|it| it.map(|share| share * SIDE as f64))
}

/// A point turned by `degrees`, scaled and shifted.
fn moved(point: [f64; 2], degrees: f64, scale: f64) -> [f32; 2] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let [x, y] = point.map(|it| it - 24.0);
    [200.0 + scale * (cos * x - sin * y), 150.0 + scale * (sin * x + cos * y)].map(|it| it as f32)
}

fn face(landmarks: Landmarks) -> Face {
    Face { bounds: [10.0, 20.0, 30.0, 40.0], score: 1.0, landmarks }
}

/// Where a place in the picture comes to lie in the image.
fn placed_at(window: &Window, place: [f32; 2]) -> [f64; 2] {
    let [x, y] = [0, 1].map(|axis| f64::from(place[axis]) - window.origin[axis]);
    let [a, b] = window.right;
    let length = a * a + b * b;
    [(x * a + y * b) / length, (y * a - x * b) / length]
}

fn near(a: [f64; 2], b: [f64; 2], most: f64) -> bool {
    (a[0] - b[0]).abs() < most && (a[1] - b[1]).abs() < most
}

#[test]
fn turned_and_scaled_landmarks_come_back_to_the_template() {
    for degrees in [-30.0, -7.0, 0.0, 30.0, 175.0] {
        for scale in [0.3, 1.0, 11.0] {
            let landmarks = template().map(|it| moved(it, degrees, scale));
            let face = face(Landmarks::Five(landmarks));
            for align in [Align::Landmarks, Align::Eyes] {
                let settings = Faces { align, ..Faces::default() };
                let (window, how) = window(&face, &settings, SIDE).unwrap();
                assert_eq!(how, How::Aligned);
                assert!((window.scale() - scale).abs() < 1e-4 * scale);
                for (point, target) in landmarks.iter().zip(template()) {
                    assert!(near(placed_at(&window, *point), target, 1e-3), "{degrees} {scale}");
                }
            }
        }
    }
}

#[test]
fn two_eyes_are_met_exactly_and_five_points_as_nearly_as_can_be() {
    let mut landmarks = template().map(|it| moved(it, 10.0, 2.0));
    landmarks[2][0] += 9.0;
    let face = face(Landmarks::Five(landmarks));
    let eyes = Faces { align: Align::Eyes, ..Faces::default() };
    let (by_eyes, _) = window(&face, &eyes, SIDE).unwrap();
    for (point, target) in landmarks.iter().zip(template()).take(2) {
        assert!(near(placed_at(&by_eyes, *point), target, 1e-3));
    }
    // A small change of the similarity in any direction makes the sum of squares larger.
    let (best, _) = window(&face, &Faces::default(), SIDE).unwrap();
    let squares = |window: &Window| -> f64 {
        let differences = landmarks.iter().zip(template()).map(|(point, target)| {
            let [x, y] = placed_at(window, *point);
            (x - target[0]).powi(2) + (y - target[1]).powi(2)
        });
        differences.sum()
    };
    assert!(squares(&best) > 1.0 && squares(&best) < squares(&by_eyes));
    for (at, step) in (0..4).flat_map(|at| [(at, 1e-3), (at, -1e-3)]) {
        let mut other = best;
        let part = if at < 2 { &mut other.right[at] } else { &mut other.origin[at - 2] };
        *part += step;
        assert!(squares(&other) > squares(&best), "{at} {step}");
    }
}

#[test]
fn a_margin_shows_more_on_each_side() {
    let landmarks = template().map(|it| moved(it, 0.0, 1.0));
    let at = |margin: f64| {
        let settings = Faces { margin, ..Faces::default() };
        window(&face(Landmarks::Five(landmarks)), &settings, SIDE).unwrap().0
    };
    let [plain, more, less] = [0.0, 0.5, -0.25].map(at);
    assert!((more.scale() / plain.scale() - 2.0).abs() < 1e-6);
    assert!((less.scale() / plain.scale() - 0.5).abs() < 1e-6);
    let middle = [24.0; 2];
    assert!(near(more.source(middle), plain.source(middle), 1e-4));
    let off = Faces { margin: 0.5, align: Align::Off, ..Faces::default() };
    let (cut, how) = window(&face(Landmarks::Five(landmarks)), &off, SIDE).unwrap();
    assert_eq!((how, cut.origin), (How::Cropped, [-15.0, 0.0]));
    assert_eq!(cut.source([48.0; 2]), [65.0, 80.0]);
}

#[test]
fn what_cannot_be_aligned_is_cropped_and_what_cannot_be_cropped_is_whole() {
    let picture = Picture { pixels: vec![7; 100 * 100], shape: [100, 100, 1] };
    let how = |face: &Face| placed(&picture, Some(face), &Faces::default(), SIDE).how;
    let one = [[5.0; 2]; 5];
    let mut unknown = template().map(|it| moved(it, 0.0, 1.0));
    unknown[3][1] = f32::NAN;
    let tiny = template().map(|it| moved(it, 0.0, 1.0 / 48.0));
    for landmarks in [one, unknown, tiny] {
        assert_eq!(how(&face(Landmarks::Five(landmarks))), How::Cropped);
    }
    assert_eq!(how(&face(Landmarks::Eyes([[3.0; 2]; 2]))), How::Cropped);
    assert_eq!(how(&face(Landmarks::Unknown)), How::Cropped);
    let bad = [
        [0.0; 4],
        [0.0, 0.0, f32::NAN, 5.0],
        [0.0, 0.0, -9.0, 9.0],
        [f32::INFINITY, 0.0, 9.0, 9.0],
    ];
    for bounds in bad {
        assert_eq!(how(&Face { bounds, ..face(Landmarks::Unknown) }), How::Whole, "{bounds:?}");
    }
    let whole = placed(&picture, None, &Faces::default(), SIDE);
    assert_eq!(whole, Placed { picture: picture.clone().fitted(SIDE), how: How::Whole });
}

#[test]
fn far_away_faces_are_the_edge() {
    let picture = Picture { pixels: vec![1, 2, 3, 4], shape: [2, 2, 1] };
    let off = Faces { align: Align::Off, ..Faces::default() };
    for (bounds, value) in [([1e30, 1e30, 1e10, 1e10], 4), ([-1e30, 1e9, 5.0, 5.0], 3)] {
        let face = Face { bounds, ..face(Landmarks::Unknown) };
        assert_eq!(placed(&picture, Some(&face), &off, 4).picture.pixels, [value; 16]);
    }
}
