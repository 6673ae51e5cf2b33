//! Tests of how candidates are read and compared.

use super::*;

/// Two rows of two cells, of which `scores` say how sure the network is.
fn faces(scores: [[f32; 2]; 4], bounds: [f32; 4], least: f32) -> Vec<Face> {
    let landmarks: Vec<f32> = (0..10).map(|it| it as f32 / 10.0).collect();
    let grid = Grid {
        stride: 8,
        columns: 2,
        class: &scores.map(|it| it[0]),
        object: &scores.map(|it| it[1]),
        bounds: &bounds.repeat(4),
        landmarks: &landmarks.repeat(4),
    };
    let mut faces = Vec::new();
    grid.add_to(&mut faces, least);
    faces
}

fn at(left: f32, score: f32) -> Face {
    Face { bounds: [left, 0.0, 10.0, 10.0], score, landmarks: Landmarks::Unknown }
}

#[test]
fn cells_become_rectangles_and_landmarks() {
    let scores = [[0.0, 1.0], [0.49, 1.0], [2.0, 0.81], [f32::NAN, 1.0]];
    let found = faces(scores, [0.5, 0.25, 0.0, 2.0_f32.ln()], 0.7);
    assert_eq!(found.iter().map(|it| it.score).collect::<Vec<_>>(), [0.7, 0.9]);
    let [left, top, width, height] = found[0].bounds;
    assert_eq!([left, width], [8.0, 8.0]);
    assert!((height - 16.0).abs() < 1e-4 && (top - (2.0 - 8.0)).abs() < 1e-4);
    let points = found[1].landmarks.points();
    // The cell at row 1, column 0.
    assert_eq!([points[0], points[4]], [[0.0, 8.8], [6.4, 15.2]]);
}

#[test]
fn what_is_not_finite_or_has_no_area_is_no_face() {
    let sure = [[1.0; 2]; 4];
    assert_eq!(faces(sure, [0.5, 0.5, 0.0, 0.0], 0.5).len(), 4);
    for bad in [f32::NAN, f32::INFINITY, 89.0, f32::NEG_INFINITY] {
        assert!(faces(sure, [0.5, 0.5, bad, 0.0], 0.5).is_empty(), "{bad}");
    }
    assert!(faces(sure, [f32::NEG_INFINITY, 0.5, 0.0, 0.0], 0.5).is_empty());
}

#[test]
fn of_faces_that_overlap_the_surest_is_kept() {
    // Overlaps with the first: 8 of 12, 5 of 15, 0.
    let all = vec![at(2.0, 0.7), at(5.0, 0.8), at(30.0, 0.6), at(0.0, 0.9)];
    let left = |most| best(all.clone(), most).iter().map(|it| it.bounds[0]).collect::<Vec<_>>();
    assert_eq!(left(0.3), [0.0, 30.0]);
    assert_eq!(left(0.34), [0.0, 5.0, 30.0]);
    assert_eq!(left(0.67), [0.0, 5.0, 2.0, 30.0]);
    assert!(best(Vec::new(), 0.3).is_empty());
}

#[test]
fn only_so_many_candidates_are_compared() {
    let all = (0..6000).map(|it| at(it as f32 * 20.0, it as f32 / 6000.0)).collect();
    let kept = best(all, 0.3);
    assert_eq!((kept.len(), kept[0].bounds[0]), (5000, 5999.0 * 20.0));
}
