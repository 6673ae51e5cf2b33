//! Small geometry: soft steps, bumps, and curves with a distance.
//!
//! Knows nothing of faces. Lengths are face units: half the width of an average face is 1.

/// Width of the soft edge of everything that is drawn, about one sample of the canvas.
const EDGE: f32 = 0.04;

/// A point, right and down from the middle of the face.
pub(super) type Point = [f32; 2];

/// From `a` at 0 to `b` at 1.
pub(super) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// `x` held to `0.0..=1.0`.
pub(super) fn unit(x: f32) -> f32 {
    x.clamp(0.0, 1.0)
}

/// 0 below `low`, 1 above `high`, smooth between them; falls instead where `high < low`.
pub(super) fn ramp(low: f32, high: f32, x: f32) -> f32 {
    let share = unit((x - low) / (high - low));
    share * share * (3.0 - 2.0 * share)
}

/// A hill of height 1 over the ellipse around `middle` with half axes `radii`, 0 outside it.
pub(super) fn bump(point: Point, middle: Point, radii: Point) -> f32 {
    let y = (point[1] - middle[1]) / radii[1];
    // Most samples are beside the hill, and most of those above or below it.
    if y.abs() >= 1.0 {
        return 0.0;
    }
    let x = (point[0] - middle[0]) / radii[0];
    let rest = (1.0 - x * x - y * y).max(0.0);
    rest * rest
}

/// A wave like the sine of `x`, made of parabolas: quick, and the same on every machine.
pub(super) fn wave(x: f32) -> f32 {
    // Shifted far to the right, so that cutting off the fraction rounds to the nearest turn.
    let turns = x * std::f32::consts::FRAC_1_PI * 0.5 + 1000.0;
    let share = turns - ((turns + 0.5) as i32) as f32;
    share * (8.0 - 16.0 * share.abs())
}

/// How much of a sample is covered by a shape whose border is `distance` away, inside negative.
pub(super) fn cover(distance: f32) -> f32 {
    unit(0.5 - distance / EDGE)
}

/// Signed distance to the ellipse around `middle` with half axes `radii`: exact for circles.
pub(super) fn ellipse(point: Point, middle: Point, radii: Point) -> f32 {
    let x = (point[0] - middle[0]) / radii[0];
    let y = (point[1] - middle[1]) / radii[1];
    ((x * x + y * y).sqrt() - 1.0) * radii[0].min(radii[1])
}

/// Signed distance to the box around `middle` with half sides `half` and rounded corners.
pub(super) fn rounded_box(point: Point, middle: Point, half: Point, corner: f32) -> f32 {
    let x = (point[0] - middle[0]).abs() - half[0] + corner;
    let y = (point[1] - middle[1]).abs() - half[1] + corner;
    let outside = (x.max(0.0).powi(2) + y.max(0.0).powi(2)).sqrt();
    outside + x.max(y).min(0.0) - corner
}

/// Straight pieces of a curve: enough for shapes this small.
const N_PIECES: usize = 4;

/// A quadratic Bézier curve, kept as a chain of straight pieces.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    chain: [Point; N_PIECES + 1],
    /// One over the squared length of each piece.
    inverse: [f32; N_PIECES],
}

impl Curve {
    /// The curve that goes through all three points, through the second one half-way.
    pub(super) fn through([start, middle, end]: [Point; 3]) -> Self {
        let control = [0, 1].map(|axis| 2.0 * middle[axis] - 0.5 * (start[axis] + end[axis]));
        let chain: [Point; N_PIECES + 1] = std::array::from_fn(|piece| {
            let share = piece as f32 / N_PIECES as f32;
            [0, 1].map(|axis| {
                let first = mix(start[axis], control[axis], share);
                mix(first, mix(control[axis], end[axis], share), share)
            })
        });
        let inverse = std::array::from_fn(|piece| {
            let [from, to] = [chain[piece], chain[piece + 1]];
            let squared = (to[0] - from[0]).powi(2) + (to[1] - from[1]).powi(2);
            1.0 / squared.max(1e-9)
        });
        Self { chain, inverse }
    }

    /// Distance from `point` to the curve, and how far along it (0 to 1) the nearest place lies.
    pub(super) fn nearest(&self, point: Point) -> (f32, f32) {
        let mut best = (f32::MAX, 0.0);
        for (piece, inverse) in self.inverse.iter().enumerate() {
            let [from, end] = [self.chain[piece], self.chain[piece + 1]];
            let along = [end[0] - from[0], end[1] - from[1]];
            let to = [point[0] - from[0], point[1] - from[1]];
            let share = unit((to[0] * along[0] + to[1] * along[1]) * inverse);
            let away = [to[0] - share * along[0], to[1] - share * along[1]];
            let squared = away[0] * away[0] + away[1] * away[1];
            if squared < best.0 {
                best = (squared, piece as f32 + share);
            }
        }
        (best.0.sqrt(), best.1 / N_PIECES as f32)
    }

    /// The smallest box around the curve, grown by `margin` on every side.
    pub(super) fn bounds(&self, margin: f32) -> [Point; 2] {
        let fold = |axis: usize, pick: fn(f32, f32) -> f32| {
            self.chain.iter().map(|it| it[axis]).reduce(pick).unwrap_or(0.0)
        };
        let low = [0, 1].map(|axis| fold(axis, f32::min) - margin);
        let high = [0, 1].map(|axis| fold(axis, f32::max) + margin);
        [low, high]
    }
}
