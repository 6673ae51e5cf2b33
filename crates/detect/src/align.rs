//! Where a face is seen from: the part of a picture that becomes the image of a face.

use ferrite_core::data::faces::found::Face;
use ferrite_core::data::faces::placed::How;
use ferrite_core::data::faces::{Align, Faces};

/// A face is not taken from a part of the picture that is smaller than this many pixels a side: landmarks or rectangles
/// like that are no face.
const LEAST_WINDOW: f64 = 2.0;

/// A square of the picture, turned or not, that becomes an image: the place in the picture of a place in the image is
/// `origin + x * right + y * down`, where `down` is `right` turned by 90 degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// The place of the image's upper left corner in the picture, x and y.
    pub(crate) origin: [f64; 2],
    /// The way in the picture that is one pixel of the image to the right, x and y.
    pub(crate) right: [f64; 2],
}

impl Window {
    /// The place in the picture of a place in the image.
    pub(crate) fn source(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let Self { origin, right } = self;
        [origin[0] + x * right[0] - y * right[1], origin[1] + x * right[1] + y * right[0]]
    }

    /// Pixels of the picture for one of the image.
    pub(crate) fn scale(&self) -> f64 {
        self.right[0].hypot(self.right[1])
    }

    /// The window if it is one: finite, and not too small for an image of `side` pixels.
    fn sensible(self, side: usize) -> Option<Self> {
        let all = self.origin.iter().chain(&self.right).all(|it| it.is_finite());
        (all && self.scale() * side as f64 >= LEAST_WINDOW).then_some(self)
    }
}

/// The window of a face for an image of `side` pixels, and how it was placed; none where neither its landmarks nor its
/// rectangle are usable.
pub(crate) fn window(face: &Face, settings: &Faces, side: usize) -> Option<(Window, How)> {
    let points = face.landmarks.points();
    let points = match settings.align {
        Align::Landmarks => points,
        Align::Eyes => &points[..points.len().min(2)],
        Align::Off => &[],
    };
    let aligned = onto_template(points, settings, side).map(|it| (it, How::Aligned));
    aligned.or_else(|| cut_out(face.bounds, settings, side).map(|it| (it, How::Cropped)))
}

/// The similarity (turn, scale and shift) that brings `points` of the picture nearest to the template's, by least squares
/// (Umeyama 1991, <https://doi.org/10.1109/34.88573>). As complex numbers it is `template = factor * point + shift`, and
/// the best factor is a quotient of two sums; two points are met exactly.
pub(crate) fn onto_template(points: &[[f32; 2]], settings: &Faces, side: usize) -> Option<Window> {
    let points: Vec<[f64; 2]> = points.iter().map(|it| it.map(f64::from)).collect();
    let reach = side as f64 / (1.0 + 2.0 * settings.margin);
    let place = |share: f64| side as f64 / 2.0 + (share - 0.5) * reach;
    let template: Vec<[f64; 2]> =
        settings.template.points().iter().take(points.len()).map(|it| it.map(place)).collect();
    let [from, to] = [mean(&points), mean(&template)];
    let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
    for (point, target) in points.iter().zip(&template) {
        let [x, y] = [point[0] - from[0], point[1] - from[1]];
        let [u, v] = [target[0] - to[0], target[1] - to[1]];
        real += x * u + y * v;
        imaginary += x * v - y * u;
        spread += x * x + y * y;
    }
    // The window goes the other way, from the image to the picture: 1 / factor.
    let length = real * real + imaginary * imaginary;
    let right = [real * spread / length, -imaginary * spread / length];
    let corner = Window { origin: [0.0; 2], right }.source(to);
    let origin = [from[0] - corner[0], from[1] - corner[1]];
    Window { origin, right }.sensible(side)
}

fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|axis| points.iter().map(|it| it[axis]).sum::<f64>() / points.len() as f64)
}

/// The square around the middle of a rectangle whose side is the longer one, with the margin on each side.
fn cut_out(bounds: [f32; 4], settings: &Faces, side: usize) -> Option<Window> {
    let [left, top, width, height] = bounds.map(f64::from);
    let reach = width.max(height) * (1.0 + 2.0 * settings.margin);
    let origin = [left + (width - reach) / 2.0, top + (height - reach) / 2.0];
    // A negative scale would turn the picture around, and is no rectangle.
    let right = [if width > 0.0 && height > 0.0 { reach / side as f64 } else { f64::NAN }, 0.0];
    Window { origin, right }.sensible(side)
}

#[cfg(test)]
mod tests;
