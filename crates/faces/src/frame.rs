//! Faces that are somewhere in a larger picture: where each one is, and what else is seen around it.
//!
//! The head is drawn there at once, with neck, clothes and hair, and lit, blurred and exposed with
//! the rest: nothing is pasted, so there is no border that would give a face away.

use ferrite_random::Random;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SIZE;
use crate::between;
use crate::canvas::Canvas;
use crate::scene::Scene;
use crate::shape::{Point, bump, mix, ramp, rounded_box, wave};

/// The `frame` table of drawn faces: each is somewhere in a larger square picture, turned and
/// small, before a backdrop full of other things.
///
/// The people, expressions and labels are those of the same table without `frame`.
///
/// ```toml
/// [data]
/// source = { synthetic = { faces = 1400, frame = { size = 96, rotation = 30.0, scale = [0.4, 0.7] } } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Frame {
    /// Rows and columns of the pictures: an even number from 48 to 512.
    #[schemars(extend("x-unit" = "pixels"))]
    pub size: usize,
    /// Each head is turned in the plane by up to this much, either way, evenly distributed. The
    /// tilt that faces have by `difficulty` is added to it.
    #[schemars(extend("x-unit" = "degrees"))]
    pub rotation: f64,
    /// The least and the greatest size of a face, evenly distributed: the side of what would be
    /// the picture without `frame`, as a share of `size`. Each face lies wholly in its picture.
    #[schemars(extend("x-unit" = "share of the side"))]
    pub scale: [f64; 2],
}

impl Default for Frame {
    fn default() -> Self {
        Self { size: 96, rotation: 30.0, scale: [0.4, 0.7] }
    }
}

/// Where in its picture a face is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Rows and columns of the picture, in pixels.
    pub(super) size: usize,
    /// Middle of the face's own square, in half pictures from the middle of the picture.
    pub(super) middle: Point,
    /// Side of that square, as a share of the picture's.
    pub(super) scale: f32,
    /// Turn clockwise, in radians.
    pub(super) roll: f32,
    /// What else is in the picture, from back to front. None where the face fills it.
    clutter: Vec<Thing>,
}

/// Something on the backdrop: a box with corners between sharp and round.
#[derive(Debug, Clone, PartialEq)]
struct Thing {
    /// Its middle, in half pictures from the middle of the picture.
    middle: Point,
    half: Point,
    corner: f32,
    /// Sine and cosine of its turn.
    turn: [f32; 2],
    /// Width of its soft edge: little in focus, much out of it.
    soft: f32,
    /// Brightness in its middle, and its change along both of its sides.
    tone: f32,
    shade: Point,
    /// Strength and number of the stripes across it.
    stripes: [f32; 2],
}

impl Place {
    /// The place of a face that fills its picture.
    pub(super) fn whole() -> Self {
        Self { size: SIZE, middle: [0.0; 2], scale: 1.0, roll: 0.0, clutter: Vec::new() }
    }

    /// A place of the stream `random`.
    pub(super) fn drawn(frame: &Frame, random: &mut Random) -> Self {
        let [least, most] = frame.scale;
        let scale = random.between(least, most) as f32;
        let room = 1.0 - scale;
        let angle = random.between(-frame.rotation, frame.rotation);
        Self {
            size: frame.size,
            middle: [between(random, -room, room), between(random, -room, room)],
            scale,
            roll: angle.to_radians() as f32,
            clutter: (0..6 + random.below(9)).map(|_| Thing::drawn(random)).collect(),
        }
    }

    /// Whether more is to be seen than a face that fills the picture.
    pub(super) fn is_framed(&self) -> bool {
        !self.clutter.is_empty()
    }

    /// Paints the backdrop of `scene` over the whole picture, and what stands there.
    pub(super) fn paint_backdrop(&self, canvas: &mut Canvas, scene: &Scene) {
        let [middle, right, down] = scene.backdrop;
        canvas.by_place(|[x, y], sample| {
            let blob = |&[right, down, radius, more]: &[f32; 4]| {
                more * bump([x, y], [right, down], [radius, 1.3 * radius])
            };
            let blobs: f32 = scene.blobs.iter().map(blob).sum();
            sample.tone = middle + 0.9 * (x * right + y * down) + blobs;
            for thing in &self.clutter {
                thing.paint([x, y], &mut sample.tone);
            }
            sample.tone = sample.tone.clamp(0.04, 0.96);
        });
    }
}

impl Thing {
    fn drawn(random: &mut Random) -> Self {
        let angle = between(random, -1.6, 1.6);
        let half = [between(random, 0.06, 0.6), between(random, 0.06, 0.6)];
        let striped = random.chance(0.3);
        Self {
            middle: [between(random, -1.1, 1.1), between(random, -1.1, 1.1)],
            half,
            corner: half[0].min(half[1]) * between(random, 0.0, 1.0),
            turn: [angle.sin(), angle.cos()],
            soft: between(random, 0.02, 0.25),
            tone: between(random, 0.05, 0.92),
            shade: [between(random, -0.15, 0.15), between(random, -0.15, 0.15)],
            stripes: [
                if striped { between(random, 0.05, 0.2) } else { 0.0 },
                between(random, 6.0, 40.0),
            ],
        }
    }

    fn paint(&self, [x, y]: Point, tone: &mut f32) {
        let [sin, cos] = self.turn;
        let (right, down) = (x - self.middle[0], y - self.middle[1]);
        let place = [cos * right + sin * down, cos * down - sin * right];
        let away = rounded_box(place, [0.0; 2], self.half, self.corner);
        if away >= 0.5 * self.soft {
            return;
        }
        let share = ramp(0.5 * self.soft, -0.5 * self.soft, away);
        let along = [0, 1].map(|axis| place[axis] / self.half[axis]);
        let [strength, number] = self.stripes;
        let slope = self.shade[0] * along[0] + self.shade[1] * along[1];
        *tone = mix(*tone, self.tone + slope + strength * wave(number * place[0]), share);
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::Synthetic;

    fn framed(frame: Frame) -> Synthetic {
        Synthetic { frame: Some(frame), ..Synthetic::default() }
    }

    fn distance(one: Point, other: Point) -> f32 {
        (one[0] - other[0]).hypot(one[1] - other[1])
    }

    /// Degrees by which the line between the eyes falls to the right.
    fn tilt(landmarks: [Point; 5]) -> f64 {
        let [left, right, ..] = landmarks;
        f64::from((right[1] - left[1]).atan2(right[0] - left[0])).to_degrees()
    }

    #[test]
    fn people_and_labels_are_those_of_the_faces_without_frame() {
        let (plain, framed) = (Synthetic::default(), framed(Frame::default()));
        for index in 0..40 {
            let [one, other] = [&plain, &framed].map(|it| {
                let random = &mut it.stream(crate::Stream::Face, index);
                it.look(index, random)
            });
            assert_eq!(one.0, other.0);
            assert_eq!((one.1.person, one.1.scene), (other.1.person, other.1.scene));
        }
    }

    #[test]
    fn a_face_that_fills_its_frame_is_the_face_without_frame_but_for_what_is_behind_it() {
        let whole = Frame { size: SIZE, rotation: 0.0, scale: [1.0, 1.0] };
        let plain = Synthetic { difficulty: 0.0, ..Synthetic::default() };
        let framed = Synthetic { frame: Some(whole), ..plain.clone() };
        for index in 0..10 {
            assert_eq!(plain.landmarks(index), framed.landmarks(index));
            let pixels = [&plain, &framed].map(|it| it.draw(index).pixels);
            for at in (14..36).flat_map(|row| (14..34).map(move |column| row * SIZE + column)) {
                assert_eq!(pixels[0][at], pixels[1][at], "face {index}, pixel {at}");
            }
        }
    }

    #[test]
    fn faces_lie_within_their_pictures_and_are_turned_and_scaled_as_far_as_is_said() {
        let frame = Frame { size: 128, rotation: 25.0, scale: [0.3, 0.6] };
        let (plain, framed) = (Synthetic::default(), framed(frame));
        let found: Vec<[f64; 2]> = (0..200)
            .into_par_iter()
            .map(|index| {
                let (alone, placed) = (plain.landmarks(index), framed.landmarks(index));
                let inside = |it: &f32| (0.0..128.0).contains(it);
                assert!(placed.iter().flatten().all(inside), "{placed:?}");
                let [one, other] = [alone, placed].map(|it| distance(it[0], it[1]));
                let scale = f64::from(other / one) * SIZE as f64 / 128.0;
                [scale, tilt(placed) - tilt(alone)]
            })
            .collect();
        for [scale, turn] in &found {
            assert!((0.2999..0.6001).contains(scale) && turn.abs() < 25.01, "{scale} {turn}");
        }
        let spread = |axis: usize| {
            let values = found.iter().map(|it| it[axis]);
            values.clone().fold(f64::MIN, f64::max) - values.fold(f64::MAX, f64::min)
        };
        assert!(spread(0) > 0.28 && spread(1) > 45.0, "{} {}", spread(0), spread(1));
    }

    /// Held against what is painted: an iris is darker than the white on both sides of it.
    #[test]
    fn eyes_are_where_the_landmarks_say() {
        let frame = Frame { size: 128, rotation: 40.0, scale: [0.7, 0.9] };
        let source = Synthetic { difficulty: 0.0, ..framed(frame) };
        let found: Vec<f64> = (0..100)
            .into_par_iter()
            .map(|index| {
                let pixels = source.draw(index).pixels;
                let eyes = source.landmarks(index);
                let apart = distance(eyes[0], eyes[1]);
                let along = [0, 1].map(|axis| (eyes[1][axis] - eyes[0][axis]) / apart);
                let level = |out: f32| -> f64 {
                    let at = [0, 1].map(|axis| eyes[0][axis] + out * apart * along[axis]);
                    f64::from(pixels[at[1] as usize * 128 + at[0] as usize])
                };
                0.5 * (level(-0.17) + level(0.17)) - level(0.0)
            })
            .collect();
        let right = found.iter().filter(|it| **it > 10.0).count();
        assert!(right > 80, "{right} of 100");
    }
}
