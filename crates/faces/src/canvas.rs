//! The canvas: half as fine again as the picture, and each sample knows where on the head it lies.
//!
//! Everything is painted as albedo and relief; light comes last, from the relief's slopes. Knows
//! nothing of faces beyond the ellipsoid that turns a flat picture into a head that can be turned.

use crate::frame::Place;
use crate::scene::Scene;
use crate::shape::{Curve, Point, bump, cover, mix, unit};

/// What is known about one sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// Place in the picture, right and down from the middle of the head, tilted with it.
    pub(super) flat: Point,
    /// Place on the head's surface, as if seen from straight ahead.
    pub(super) face: Point,
    /// The surface's slope, in the directions of `flat`: 0 faces the viewer, 1 is the rim.
    pub(super) slope: Point,
    /// How much of the sample belongs to the bare head.
    pub(super) head: f32,
    /// Albedo; brightness for what the light does not reach.
    pub(super) tone: f32,
    /// Height of the fine relief above the surface, in face units.
    pub(super) relief: f32,
    /// How strongly the light shapes this sample: 0 for the backdrop.
    pub(super) lit: f32,
    /// How much it shines.
    pub(super) gloss: f32,
}

impl Sample {
    /// Paints over, as far as `share` says.
    pub(super) fn paint(&mut self, tone: f32, share: f32) {
        self.tone = mix(self.tone, tone, share);
    }

    /// Darkens by the share `by`.
    pub(super) fn darken(&mut self, by: f32) {
        self.tone *= 1.0 - by;
    }
}

/// Which of a sample's two places a shape is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    /// The picture, see [`Sample::flat`].
    Flat,
    /// The head's surface, see [`Sample::face`].
    Face,
}

/// The samples of one picture.
#[derive(Debug)]
pub(super) struct Canvas {
    samples: Vec<Sample>,
    /// Samples per row and per column: three to two pixels, since all edges are drawn soft.
    side: usize,
    view: View,
}

/// The pose, ready for computing.
#[derive(Debug, Clone, Copy)]
struct View {
    middle: Point,
    samples_per_unit: f32,
    roll: Turn,
    yaw: Turn,
    pitch: Turn,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    sin: f32,
    cos: f32,
}

impl Turn {
    fn by(angle: f32) -> Self {
        Self { sin: angle.sin(), cos: angle.cos() }
    }
}

/// How far the head's surface stands out towards the viewer.
fn depth([x, y]: Point) -> f32 {
    0.8 * (1.0 - x * x / 1.2 - y * y / 2.0).max(0.0).sqrt()
}

impl View {
    /// The pose of `scene` on a canvas of `side` samples a side, in which the face is at `place`.
    fn of(scene: &Scene, place: &Place, side: usize) -> Self {
        let half = side as f32 / 2.0;
        let middle = |axis: usize| place.middle[axis] + place.scale * scene.middle[axis];
        Self {
            middle: [0, 1].map(|axis| half * (1.0 + middle(axis))),
            samples_per_unit: half * (place.scale * scene.scale),
            roll: Turn::by(scene.roll + place.roll),
            yaw: Turn::by(scene.yaw),
            pitch: Turn::by(scene.pitch),
        }
    }

    fn flat(&self, column: usize, row: usize) -> Point {
        let right = (column as f32 + 0.5 - self.middle[0]) / self.samples_per_unit;
        let down = (row as f32 + 0.5 - self.middle[1]) / self.samples_per_unit;
        let Turn { sin, cos } = self.roll;
        [cos * right + sin * down, cos * down - sin * right]
    }

    fn face(&self, flat: Point) -> Point {
        let depth = depth(flat);
        [
            flat[0] * self.yaw.cos - depth * self.yaw.sin,
            flat[1] * self.pitch.cos - depth * self.pitch.sin,
        ]
    }

    /// Column and row at which `point` of the face's surface is seen.
    fn seen(&self, point: Point) -> Point {
        // What `face` does, undone: each round leaves less than a third of the error where eyes, nose and mouth are.
        let flat = (0..12).fold(point, |flat, _| {
            let depth = depth(flat);
            [
                (point[0] + depth * self.yaw.sin) / self.yaw.cos,
                (point[1] + depth * self.pitch.sin) / self.pitch.cos,
            ]
        });
        self.place(Plane::Flat, flat)
    }

    /// Column and row of a place on `plane`; for the face nearly, since `face` is no rotation.
    fn place(&self, plane: Plane, point: Point) -> Point {
        let [x, y] = match plane {
            Plane::Flat => point,
            Plane::Face => {
                let depth = depth(point);
                [
                    point[0] * self.yaw.cos + depth * self.yaw.sin,
                    point[1] * self.pitch.cos + depth * self.pitch.sin,
                ]
            }
        };
        let Turn { sin, cos } = self.roll;
        let right = cos * x - sin * y;
        let down = cos * y + sin * x;
        [
            self.middle[0] + right * self.samples_per_unit,
            self.middle[1] + down * self.samples_per_unit,
        ]
    }
}

impl Canvas {
    /// An empty canvas in the pose of `scene`, for a picture in which the face is at `place`.
    pub(super) fn of(scene: &Scene, place: &Place) -> Self {
        let side = place.size / 2 * 3;
        let view = View::of(scene, place, side);
        let samples = (0..side * side)
            .map(|at| {
                let flat = view.flat(at % side, at / side);
                Sample { flat, face: view.face(flat), ..Sample::default() }
            })
            .collect();
        Self { samples, side, view }
    }

    /// How far whatever stands out by `height` is moved to the right by the turn of the head.
    pub(super) fn lean(&self, height: f32) -> f32 {
        height * self.view.yaw.sin
    }

    /// How far whatever stands out by `height` is moved down by the nod of the head.
    pub(super) fn nod(&self, height: f32) -> f32 {
        height * self.view.pitch.sin
    }

    /// Gives every sample to `brush`.
    pub(super) fn everywhere(&mut self, brush: impl FnMut(&mut Sample)) {
        self.samples.iter_mut().for_each(brush);
    }

    /// Gives every sample to `brush` with its place: right and down from the middle of the picture, in half pictures.
    pub(super) fn by_place(&mut self, mut brush: impl FnMut(Point, &mut Sample)) {
        let (side, half) = (self.side, self.side as f32 / 2.0);
        for (at, sample) in self.samples.iter_mut().enumerate() {
            let place = [at % side, at / side].map(|it| (it as f32 + 0.5) / half - 1.0);
            brush(place, sample);
        }
    }

    /// Where `point` of the face's surface is seen in the picture: pixels from its left and upper border.
    pub(super) fn seen(&self, point: Point) -> Point {
        self.view.seen(point).map(|it| it / 1.5)
    }

    /// Gives the samples around `bounds` (least and greatest corner on `plane`) to `brush`.
    pub(super) fn within(
        &mut self,
        plane: Plane,
        bounds: [Point; 2],
        mut brush: impl FnMut(&mut Sample),
    ) {
        let side = self.side;
        let [low, high] = bounds;
        let corners = [low, high, [low[0], high[1]], [high[0], low[1]]];
        let places = corners.map(|it| self.view.place(plane, it));
        let turned = self.view.yaw.sin.abs() + self.view.pitch.sin.abs();
        let margin = if plane == Plane::Face { 1.5 + 8.0 * turned } else { 1.0 };
        let span = |axis: usize| {
            let least = places.iter().map(|it| it[axis]).fold(f32::MAX, f32::min) - margin;
            let most = places.iter().map(|it| it[axis]).fold(f32::MIN, f32::max) + margin;
            (least.max(0.0) as usize).min(side)..(most.max(0.0).ceil() as usize).min(side)
        };
        let columns = span(0);
        for row in span(1) {
            for sample in &mut self.samples[row * side..][columns.clone()] {
                brush(sample);
            }
        }
    }

    /// A line on the face, `thick` wide in its middle and thinner at both ends.
    pub(super) fn line(&mut self, points: [Point; 3], thick: f32, tone: f32, strength: f32) {
        let curve = Curve::through(points);
        self.within(Plane::Face, curve.bounds(thick + 0.04), |sample| {
            let (distance, along) = curve.nearest(sample.face);
            let half = 0.5 * thick * (0.35 + 2.6 * along * (1.0 - along));
            sample.paint(tone, strength * cover(distance - half));
        });
    }

    /// A soft hill on the face, see [`bump`]: `relief` higher and `dark` darker at its top.
    pub(super) fn hill(&mut self, middle: Point, radii: Point, relief: f32, dark: f32) {
        let low = [0, 1].map(|axis| middle[axis] - radii[axis]);
        let high = [0, 1].map(|axis| middle[axis] + radii[axis]);
        self.within(Plane::Face, [low, high], |sample| {
            let height = bump(sample.face, middle, radii);
            sample.relief += relief * height;
            sample.darken(dark * height);
        });
    }

    /// A fold in the skin: a soft valley, `wide` from its bottom to either rim.
    pub(super) fn fold(&mut self, points: [Point; 3], wide: f32, strength: f32) {
        if strength < 0.06 {
            return;
        }
        let curve = Curve::through(points);
        self.within(Plane::Face, curve.bounds(wide), |sample| {
            let (distance, along) = curve.nearest(sample.face);
            if distance >= wide {
                return;
            }
            let near = 1.0 - distance / wide;
            let fade = (4.0 * along * (1.0 - along)).min(1.0);
            let valley = strength * near * near * (0.4 + 0.6 * fade);
            sample.relief -= 0.05 * valley;
            sample.darken(0.34 * valley.min(1.5));
        });
    }

    /// Lights everything: what faces `light` is bright, what turns away is dark.
    ///
    /// `gain` is the strength of the light: the photographer's choice.
    pub(super) fn light(&mut self, scene: &Scene, gain: f32) {
        let Turn { sin, cos } = self.view.roll;
        let [right, down, near] = scene.light;
        let light = Light {
            towards: [cos * right + sin * down, cos * down - sin * right, near],
            ambient: gain * scene.ambient,
            key: gain * (1.28 - scene.ambient),
        };
        let side = self.side;
        let steep = self.view.samples_per_unit / 2.0;
        let relief: Vec<f32> = self.samples.iter().map(|it| it.relief).collect();
        for row in 1..side - 1 {
            for column in 1..side - 1 {
                let at = row * side + column;
                let across = (relief[at + 1] - relief[at - 1]) * steep;
                let along = (relief[at + side] - relief[at - side]) * steep;
                let slope = [cos * across + sin * along, cos * along - sin * across];
                self.samples[at].shade(slope, &light);
            }
        }
    }

    /// The picture: the mean of the samples under each pixel, row by row.
    pub(super) fn picture(&self) -> Vec<f32> {
        let side = self.side;
        let columns = side / 3 * 2;
        let pixel = |at: usize| {
            let (row, column) = (at / columns, at % columns);
            // Two pixels share three samples, and each of them half of the middle one.
            let [down, right] =
                [row, column].map(|it| if it % 2 == 0 { [1.0, 0.5] } else { [0.5, 1.0] });
            let first = row * 3 / 2 * side + column * 3 / 2;
            let line =
                |at: usize| right[0] * self.samples[at].tone + right[1] * self.samples[at + 1].tone;
            (down[0] * line(first) + down[1] * line(first + side)) / 2.25
        };
        (0..columns * columns).map(pixel).collect()
    }
}

/// The light as seen from the head.
struct Light {
    towards: [f32; 3],
    ambient: f32,
    key: f32,
}

impl Sample {
    fn shade(&mut self, relief_slope: Point, light: &Light) {
        let rim = (1.0 - self.slope[0].powi(2) - self.slope[1].powi(2)).max(0.04).sqrt();
        let x = self.slope[0] - relief_slope[0].clamp(-1.5, 1.5) * rim;
        let y = self.slope[1] - relief_slope[1].clamp(-1.5, 1.5) * rim;
        let length = (x * x + y * y + rim * rim).sqrt();
        let facing =
            (x * light.towards[0] + y * light.towards[1] + rim * light.towards[2]) / length;
        // Wrapped around the edge of the shadow, as light is that skin scatters.
        let diffuse = unit((facing + 0.25) / 1.25);
        let shine = facing.max(0.0).powi(8) * (0.07 + self.gloss);
        let shaded = self.tone * (light.ambient + light.key * diffuse) + shine;
        self.tone = mix(self.tone, shaded, self.lit);
    }
}
