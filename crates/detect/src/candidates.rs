//! Faces as the network's twelve outputs say them, and of those that overlap the best.

use ferrite_core::data::faces::found::{Face, Landmarks};

/// The most candidates of one look that are compared with each other, those with the highest scores: OpenCV's `topK`.
const MOST_CANDIDATES: usize = 5000;

/// What the network says of one grid of cells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid<'a> {
    /// Pixels of the network's input between one cell and the next.
    pub(crate) stride: usize,
    /// Cells in a row.
    pub(crate) columns: usize,
    /// For each cell how sure it is that something is there and is a face.
    pub(crate) class: &'a [f32],
    /// For each cell how well the rectangle fits.
    pub(crate) object: &'a [f32],
    /// For each cell the middle of the rectangle, in strides from the cell, and the logarithms of its width and height in
    /// strides.
    pub(crate) bounds: &'a [f32],
    /// For each cell five landmarks, x and y, in strides from the cell.
    pub(crate) landmarks: &'a [f32],
}

impl Grid<'_> {
    /// The faces of at least this score, in pixels of the network's input, added to `faces`. What is not finite is no face.
    ///
    /// The score is the geometric mean of both certainties, each between 0 and 1, as in OpenCV's `FaceDetectorYN`
    /// (<https://github.com/opencv/opencv/blob/4.x/modules/objdetect/src/face_detect.cpp>).
    pub(crate) fn add_to(&self, faces: &mut Vec<Face>, least: f32) {
        for (cell, (class, object)) in self.class.iter().zip(self.object).enumerate() {
            let score = (class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
            if score >= least
                && let Some(face) = self.face(cell, score)
            {
                faces.push(face);
            }
        }
    }

    fn face(&self, cell: usize, score: f32) -> Option<Face> {
        let stride = self.stride as f32;
        let [column, row] = [cell % self.columns, cell / self.columns].map(|it| it as f32);
        let [x, y, width, height]: [f32; 4] = self.bounds[4 * cell..][..4].try_into().ok()?;
        let [width, height] = [width, height].map(|it| it.exp() * stride);
        let [left, top] = [(column + x) * stride - width / 2.0, (row + y) * stride - height / 2.0];
        let landmarks = std::array::from_fn(|point| {
            let at = 10 * cell + 2 * point;
            let [x, y] = [self.landmarks[at], self.landmarks[at + 1]];
            [(column + x) * stride, (row + y) * stride]
        });
        let face = Face {
            bounds: [left, top, width, height],
            score,
            landmarks: Landmarks::Five(landmarks),
        };
        let finite = face.bounds.iter().chain(landmarks.as_flattened()).all(|it| it.is_finite());
        (finite && width > 0.0 && height > 0.0).then_some(face)
    }
}

/// Of faces that overlap by more than `most` (intersection over union) the one with the highest score; those with the
/// highest scores first.
///
/// OpenCV cuts rectangles down to whole pixels first, so that its overlaps differ a little.
pub(crate) fn best(mut faces: Vec<Face>, most: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(MOST_CANDIDATES);
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        if kept.iter().all(|it| overlap(it.bounds, face.bounds) <= most) {
            kept.push(face);
        }
    }
    kept
}

/// Intersection over union of two rectangles.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let shared = |axis: usize| {
        let end = (a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]);
        (end - a[axis].max(b[axis])).max(0.0)
    };
    let intersection = shared(0) * shared(1);
    intersection / (a[2] * a[3] + b[2] * b[3] - intersection)
}

#[cfg(test)]
mod tests;
