//! How a face is met: pose, light, backdrop, what stands in the way, and the camera.
//!
//! Knows nothing of who is seen or what is expressed.

use ferrite_random::Random;

use crate::between;

/// Something between the face and the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cover {
    /// A hand held to the face: where its finger tips end, and the side (-1 or 1) it comes from.
    Hand { tip: [f32; 2], side: f32 },
    /// A scarf or mask up to the given height.
    Scarf { top: f32, tone: f32 },
    /// A strand of hair across one side.
    Strand { side: f32 },
    /// The edge of something out of focus in front, `inset` from the left or right border.
    Edge { side: f32, inset: f32, tone: f32 },
}

/// Glasses, plain or dark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Glasses {
    /// Half the thickness of the frame, in face units.
    pub(super) frame: f32,
    /// From clear (0) to opaque (1) lenses.
    pub(super) tint: f32,
    /// Radius of the corners of the lenses, in face units.
    pub(super) round: f32,
}

/// Everything about one picture but the person and the expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    /// Turn to the right of the picture, in radians.
    pub(super) yaw: f32,
    /// Nod downwards, in radians.
    pub(super) pitch: f32,
    /// Tilt clockwise, in radians.
    pub(super) roll: f32,
    /// Middle of the face, in half pictures from the middle of the picture.
    pub(super) middle: [f32; 2],
    /// Half pictures per face unit.
    pub(super) scale: f32,
    /// Direction of the gaze within the eye, -1 to 1 right and down.
    pub(super) gaze: [f32; 2],
    /// Where the light comes from: right, down, towards the viewer. Of length 1.
    pub(super) light: [f32; 3],
    /// Share of the light that comes from everywhere.
    pub(super) ambient: f32,
    /// Brightness of the backdrop: middle, change to the right, change downwards.
    pub(super) backdrop: [f32; 3],
    /// Blobs on the backdrop: right, down, radius, brightness added.
    pub(super) blobs: [[f32; 4]; 3],
    /// Brightness of the clothes.
    pub(super) clothes: f32,
    /// Glasses, if any.
    pub(super) glasses: Option<Glasses>,
    /// What covers part of the face, if anything.
    pub(super) cover: Option<Cover>,
    /// Radius of the blur, in pixels.
    pub(super) blur: f32,
    /// Contrast of the picture around mid-gray.
    pub(super) contrast: f32,
    /// Brightness added to every pixel.
    pub(super) exposure: f32,
    /// Standard deviation of the sensor noise.
    pub(super) noise: f32,
}

impl Scene {
    /// A scene of the stream `random`.
    pub(super) fn drawn(difficulty: f32, random: &mut Random) -> Self {
        let turn = 0.05 + 0.13 * difficulty;
        let shift = 0.015 + 0.035 * difficulty;
        let harsh = 0.25 + 0.75 * difficulty;
        Self {
            yaw: swing(random, turn, 0.62),
            pitch: swing(random, 0.5 * turn, 0.32),
            roll: swing(random, 0.6 * turn, 0.45),
            middle: [swing(random, shift, 0.2), swing(random, shift, 0.2)],
            scale: 0.75 * (1.0 + swing(random, 0.02 + 0.03 * difficulty, 0.15)),
            gaze: [
                swing(random, 0.1 + 0.4 * difficulty, 1.0),
                swing(random, 0.25 * difficulty, 0.6),
            ],
            light: light(harsh, random),
            ambient: 0.5 - between(random, 0.0, 0.28) * harsh,
            backdrop: backdrop(random),
            blobs: std::array::from_fn(|_| blob(difficulty, random)),
            clothes: between(random, 0.06, 0.85),
            glasses: random
                .chance(0.05 + 0.12 * f64::from(difficulty))
                .then(|| glasses(difficulty, random)),
            cover: random.chance(0.2 * f64::from(difficulty)).then(|| cover(random)),
            blur: between(random, 0.0, 0.9) * difficulty,
            contrast: 1.08 - between(random, -0.1, 0.4) * difficulty,
            exposure: swing(random, 0.02 + 0.08 * difficulty, 0.25),
            noise: 0.008 + between(random, 0.0, 0.045) * difficulty,
        }
    }
}

/// Normal around 0 with standard deviation `spread`, held to `limit` on both sides.
fn swing(random: &mut Random, spread: f32, limit: f32) -> f32 {
    (random.normal() as f32 * spread).clamp(-limit, limit)
}

fn light(harsh: f32, random: &mut Random) -> [f32; 3] {
    let side = if random.chance(0.5) { 1.0 } else { -1.0 };
    let right = side * (0.35 + between(random, 0.0, 0.6) * harsh);
    let down = -0.45 + between(random, -0.25, 0.5) * harsh;
    let length = (right * right + down * down + 0.64).sqrt();
    [right / length, down / length, 0.8 / length]
}

fn backdrop(random: &mut Random) -> [f32; 3] {
    [between(random, 0.12, 0.88), between(random, -0.16, 0.16), between(random, -0.16, 0.16)]
}

fn blob(difficulty: f32, random: &mut Random) -> [f32; 4] {
    let strength = between(random, -0.3, 0.3) * (0.3 + difficulty);
    [between(random, -1.1, 1.1), between(random, -1.1, 0.6), between(random, 0.3, 0.8), strength]
}

fn glasses(difficulty: f32, random: &mut Random) -> Glasses {
    let tint = if random.chance(0.2 * f64::from(difficulty)) { 0.85 } else { 0.06 };
    Glasses { frame: between(random, 0.012, 0.034), tint, round: between(random, 0.08, 0.2) }
}

fn cover(random: &mut Random) -> Cover {
    let side = if random.chance(0.5) { 1.0 } else { -1.0 };
    match random.below(4) {
        0 => Cover::Hand {
            tip: [-side * between(random, -0.4, 0.3), between(random, 0.25, 0.9)],
            side,
        },
        1 => Cover::Scarf { top: between(random, 0.2, 0.75), tone: between(random, 0.15, 0.9) },
        2 => Cover::Strand { side },
        _ => {
            Cover::Edge { side, inset: between(random, 0.3, 0.8), tone: between(random, 0.05, 0.7) }
        }
    }
}
