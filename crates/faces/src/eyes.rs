//! Eyes with their sockets and lids, and brows.

use crate::Look;
use crate::action::Unit;
use crate::canvas::{Canvas, Plane, Sample};
use crate::shape::{Curve, Point, cover, mix, ramp, unit};

/// One eye as it stands now. `side` is 1 on the right of the picture, -1 on the left.
struct Eye {
    side: f32,
    middle: Point,
    half: f32,
    upper: f32,
    lower: f32,
    tilt: f32,
    iris: Point,
    lashes: f32,
    iris_tone: f32,
    skin: f32,
    hair: f32,
}

impl Eye {
    fn of(look: &Look, side: f32) -> Self {
        let Look { person, actions, scene, .. } = look;
        let on = |unit| actions.on(side, unit);
        let wide = 0.085 * on(Unit::UpperLidRaiser);
        let narrow = 0.03 * on(Unit::LidTightener)
            + 0.02 * on(Unit::CheekRaiser)
            + 0.025 * on(Unit::NoseWrinkler)
            + 0.012 * on(Unit::BrowLowerer);
        let shut = 1.0 - unit(on(Unit::EyesClosed));
        let below = 0.034 * on(Unit::LidTightener)
            + 0.052 * on(Unit::CheekRaiser)
            + 0.03 * on(Unit::NoseWrinkler);
        let open = person.eye_open;
        let lower = (0.72 * open + 0.15 * wide - below).max(-0.02);
        let upper = (1.1 * open + wide - narrow) * shut - lower.max(0.0) * (1.0 - shut);
        Self {
            side,
            middle: [person.eye_apart, person.eye_level],
            half: person.eye_width,
            upper: upper.max(0.012 - lower),
            lower,
            tilt: person.eye_tilt,
            iris: [0.06 * scene.gaze[0] * side, 0.04 * scene.gaze[1] - 0.012],
            lashes: person.lashes,
            iris_tone: person.iris,
            skin: person.skin,
            hair: person.hair_tone,
        }
    }

    /// `face` as seen from the eye: outwards and down, level with its corners.
    fn local(&self, face: Point) -> Point {
        let x = face[0] * self.side - self.middle[0];
        [x, face[1] - self.middle[1] + self.tilt * x / self.half]
    }

    /// Height of the upper and of the lower lid at `x` outwards.
    fn lids(&self, x: f32) -> (f32, f32) {
        let along = (x / self.half).clamp(-1.0, 1.0);
        let arch = 1.0 - along * along;
        let arch = mix(arch, arch.sqrt(), 0.35);
        (-self.upper * arch * (1.0 - 0.15 * along), self.lower * arch * (1.0 + 0.2 * along))
    }

    /// A box around eye and socket, in face units.
    fn bounds(&self, margin: f32) -> [Point; 2] {
        let x = self.side * self.middle[0];
        let wide = self.half + margin;
        [
            [x - wide, self.middle[1] - self.upper - margin],
            [x + wide, self.middle[1] + self.lower.max(0.0) + margin],
        ]
    }
}

/// Middles of the eyes on the left and on the right of the picture, on the face's surface.
pub(super) fn middles(look: &Look) -> [Point; 2] {
    let person = &look.person;
    [-1.0, 1.0].map(|side| [side * person.eye_apart, person.eye_level])
}

/// Paints both eyes and both brows.
pub(super) fn paint(canvas: &mut Canvas, look: &Look) {
    for side in [-1.0, 1.0] {
        let eye = Eye::of(look, side);
        socket(canvas, look, &eye);
        canvas.within(Plane::Face, eye.bounds(0.08), |sample| {
            ball(sample, &eye);
            lashes(sample, &eye);
        });
        around(canvas, look, &eye);
        brow(canvas, look, side);
    }
}

/// The hollow of the eye, deepest towards the nose, and the eyeball that fills it.
fn socket(canvas: &mut Canvas, look: &Look, eye: &Eye) {
    let lowered = look.actions.on(eye.side, Unit::BrowLowerer);
    let deep = 0.2 + 0.14 * lowered + 0.06 * look.person.age;
    let bag = 0.05 + 0.14 * look.person.age;
    let at = |out: f32, down: f32| [eye.side * (eye.middle[0] + out), eye.middle[1] + down];
    canvas.hill(at(-0.07, -0.1), [0.36, 0.25], 0.0, deep);
    canvas.hill(at(-0.2, 0.0), [0.16, 0.26], 0.0, 0.12);
    canvas.hill(at(-0.04, 0.17), [0.26, 0.1], 0.0, bag);
    canvas.hill(at(-0.02, 0.0), [0.42, 0.3], -0.06, 0.0);
    canvas.hill(at(0.0, 0.0), [0.28, 0.19], 0.05, 0.0);
    canvas.hill(at(0.0, -0.3), [0.4, 0.14], 0.025, 0.0);
}

/// What is seen between the lids: white, iris, pupil, a spark of light.
fn ball(sample: &mut Sample, eye: &Eye) {
    let point = eye.local(sample.face);
    let (upper, lower) = eye.lids(point[0]);
    let between = (upper - point[1]).max(point[1] - lower).max(point[0].abs() - eye.half);
    let open = cover(between);
    if open <= 0.0 {
        return;
    }
    let corner = unit((point[0] / eye.half).powi(2));
    let white = mix(0.94, 0.7, corner) * mix(0.85, 1.0, ramp(0.0, 0.09, point[1] - upper));
    let away = [point[0] - eye.iris[0] * eye.side * eye.side, point[1] - eye.iris[1]];
    let distance = (away[0] * away[0] + away[1] * away[1]).sqrt();
    let iris = mix(eye.iris_tone * 1.4, eye.iris_tone * 0.6, ramp(0.05, 0.1, distance));
    let mut tone = mix(white, iris, cover(distance - 0.102));
    tone = mix(tone, 0.03, cover(distance - 0.048));
    sample.paint(tone, open);
    let spark = [away[0] * eye.side + 0.035, away[1] + 0.04];
    sample.paint(1.0, 0.85 * open * cover((spark[0].powi(2) + spark[1].powi(2)).sqrt() - 0.024));
    sample.relief *= 1.0 - 0.6 * open;
}

/// Lash lines on both lids.
fn lashes(sample: &mut Sample, eye: &Eye) {
    let point = eye.local(sample.face);
    let (upper, lower) = eye.lids(point[0]);
    let past = point[0].abs() - eye.half * 1.06;
    let outer = unit(0.5 + 0.5 * point[0] / eye.half);
    let dark = 0.06 + 0.12 * eye.hair * eye.skin;
    let thick = 0.014 + 0.02 * eye.lashes * (0.4 + 0.6 * outer);
    let above = ((point[1] - upper + 0.4 * thick).abs() - thick).max(past);
    sample.paint(dark, (0.6 + 0.35 * eye.lashes).min(1.0) * cover(above));
    let below = ((point[1] - lower).abs() - 0.008).max(past);
    sample.paint(dark, 0.45 * eye.lashes * cover(below));
}

/// Lid crease, crow's feet, and the swelling under a tightened eye.
fn around(canvas: &mut Canvas, look: &Look, eye: &Eye) {
    let Look { person, actions, .. } = look;
    let on = |unit| actions.on(eye.side, unit);
    let [x, y] = eye.middle;
    let side = eye.side;
    let rise = eye.upper + 0.055 - 0.02 * on(Unit::BrowLowerer);
    let at = |out: f32, down: f32| [side * (x + out), y + down - eye.tilt * out / eye.half];
    let crease = [at(-0.9 * eye.half, -0.3 * rise), at(0.0, -rise), at(eye.half, -0.3 * rise)];
    canvas.line(crease, 0.03, 0.35 * person.skin, 0.55);
    let squint = on(Unit::CheekRaiser).max(0.7 * on(Unit::LidTightener));
    let under = 0.1 + eye.lower.max(0.0);
    let pouch = [at(-0.8 * eye.half, 0.05), at(0.0, under), at(0.95 * eye.half, 0.04)];
    canvas.fold(pouch, 0.07, 0.25 * person.age + 0.75 * squint);
    let feet = on(Unit::CheekRaiser) * (0.4 + 0.8 * person.age);
    for (tip, start) in [(-0.07, -0.02), (0.02, 0.02), (0.1, 0.05)] {
        let from = eye.half + 0.04;
        let points = [at(from, start), at(from + 0.08, 0.5 * (start + tip)), at(from + 0.16, tip)];
        canvas.fold(points, 0.035, feet);
    }
}

/// The brow: its inner end, arch and outer end moved by their own action units.
fn brow(canvas: &mut Canvas, look: &Look, side: f32) {
    let Look { person, actions, .. } = look;
    let on = |unit| actions.on(side, unit);
    let level = person.eye_level - person.brow_gap;
    let inner_up = on(Unit::InnerBrowRaiser);
    let outer_up = on(Unit::OuterBrowRaiser);
    // Where the inner brow is raised too, lowering only knits: that is the oblique, grieving brow.
    let lowered = on(Unit::BrowLowerer);
    let down = lowered * (1.0 - 0.9 * inner_up.min(1.0)) + 0.55 * on(Unit::NoseWrinkler);
    let squint = 0.025 * on(Unit::CheekRaiser);
    let apart = person.eye_apart;
    let inner =
        [apart - 0.26 - 0.06 * lowered, level + 0.03 - 0.16 * inner_up + 0.15 * down + squint];
    let middle = [
        apart + 0.02,
        level - person.brow_arch - 0.06 * inner_up - 0.12 * outer_up + 0.085 * down + squint,
    ];
    let outer = [
        apart + 0.29,
        level + 0.05 - person.eye_tilt + 0.02 * inner_up - 0.13 * outer_up + 0.015 * down + squint,
    ];
    let mirror = |point: Point| [side * point[0], point[1]];
    let points = [mirror(inner), mirror(middle), mirror(outer)];
    let tone = mix(person.hair_tone.min(0.5) * 0.85, 0.3 * person.skin, 0.3);
    canvas.hill(mirror([middle[0] - 0.1, middle[1] + 0.04]), [0.4, 0.17], 0.03 + 0.04 * down, 0.0);
    hairs(canvas, points, person.brow_thick, tone);
}

/// The hairs of a brow: full at its inner end, thinning outwards.
fn hairs(canvas: &mut Canvas, points: [Point; 3], thick: f32, tone: f32) {
    let curve = Curve::through(points);
    canvas.within(Plane::Face, curve.bounds(thick + 0.05), |sample| {
        let (distance, along) = curve.nearest(sample.face);
        let half = thick * mix(0.85, 0.25, along * along);
        let soft = 0.9 * ramp(half + 0.03, half - 0.025, distance);
        sample.paint(tone, soft);
        sample.relief += 0.008 * soft;
    });
}
