//! The nose, and the folds and wrinkles that action units draw between brows and chin.

use crate::Look;
use crate::action::Unit;
use crate::canvas::{Canvas, Plane, Sample};
use crate::scene::Scene;
use crate::shape::{Point, bump, cover, ellipse, mix, ramp, unit};

/// A nose as it stands now.
struct Nose {
    /// Heights of its root and its tip.
    root: f32,
    tip: f32,
    /// Half width at the wings.
    wing: f32,
    /// How far it stands out.
    high: f32,
    /// How far the tip is to the right of the root, since the head is turned.
    lean: f32,
}

impl Nose {
    fn of(canvas: &Canvas, look: &Look) -> Self {
        let Look { person, actions, .. } = look;
        let wrinkled = actions.of(Unit::NoseWrinkler);
        let pulled = actions.of(Unit::LipCornerPuller);
        Self {
            root: person.eye_level - 0.08,
            tip: person.nose_tip - 0.045 * wrinkled + canvas.nod(0.12),
            wing: person.nose_wide * (1.0 + 0.14 * wrinkled + 0.08 * pulled),
            high: 0.11 * person.nose_high,
            lean: canvas.lean(0.2 * person.nose_high),
        }
    }
}

/// The tip of the nose, on the face's surface.
pub(super) fn tip(canvas: &Canvas, look: &Look) -> Point {
    let nose = Nose::of(canvas, look);
    [nose.lean, nose.tip]
}

/// Paints the nose.
pub(super) fn paint(canvas: &mut Canvas, look: &Look) {
    let wrinkled = look.actions.of(Unit::NoseWrinkler);
    let nose = Nose::of(canvas, look);
    let bounds = [[-0.75, nose.root - 0.15], [0.75, nose.tip + 0.3]];
    canvas.within(Plane::Face, bounds, |sample| {
        let along = unit((sample.face[1] - nose.root) / (nose.tip - nose.root));
        let point = [sample.face[0] - nose.lean * along, sample.face[1]];
        let half = mix(0.1, 0.62 * nose.wing, along);
        model(sample, &nose, point, half);
        shadow(sample, &nose, point, half, &look.scene);
    });
    for side in [-1.0, 1.0] {
        let out = |share: f32| nose.lean + side * nose.wing * share;
        let tip = nose.tip;
        let wing_line = [[out(0.92), tip - 0.06], [out(1.12), tip + 0.02], [out(0.8), tip + 0.1]];
        canvas.fold(wing_line, 0.05, 0.55 + 0.3 * wrinkled);
    }
}

/// Ridge, tip and wings, as relief; `half` is half the width of the ridge here.
fn model(sample: &mut Sample, nose: &Nose, point: Point, half: f32) {
    let Nose { root, tip, wing, high, .. } = *nose;
    let mirrored = [point[0].abs(), point[1]];
    let ridge = (1.0 - (point[0] / half).powi(2)).max(0.0);
    let rise = ramp(root - 0.12, tip, point[1]) * ramp(tip + 0.09, tip - 0.02, point[1]);
    sample.relief += high * rise * ridge * (0.5 + 0.5 * ridge);
    sample.relief += 0.6 * high * bump(point, [0.0, tip - 0.01], [0.75 * wing, 0.13]);
    sample.relief += 0.55 * high * bump(mirrored, [0.74 * wing, tip + 0.03], [0.42 * wing, 0.1]);
}

/// The shadow that the nose throws away from the light, the one below it, nostrils, and a shine.
fn shadow(sample: &mut Sample, nose: &Nose, point: Point, half: f32, scene: &Scene) {
    let Nose { tip, wing, .. } = *nose;
    let light = scene.light[0];
    let harsh = 1.0 - scene.ambient;
    let thrown = bump(point, [-0.3 * light - 0.06 * light.signum(), tip + 0.02], [0.24, 0.22]);
    let beside = 1.0 - cover(0.5 * (point[0].abs() - 0.6 * half));
    sample.darken(0.34 * harsh * light.abs().min(0.7) / 0.7 * thrown * beside);
    sample.darken(0.3 * harsh * bump(point, [-0.04 * light, tip + 0.14], [1.3 * wing, 0.1]));
    let mirrored = [point[0].abs(), point[1]];
    let nostril = ellipse(mirrored, [0.46 * wing, tip + 0.085], [0.3 * wing, 0.026]);
    sample.darken(0.64 * cover(nostril));
    sample.gloss += 0.14 * bump(point, [-0.02 - 0.03 * light, tip - 0.03], [0.08, 0.09]);
}

/// Paints every fold and wrinkle that expression or age draws.
pub(super) fn paint_folds(canvas: &mut Canvas, look: &Look) {
    for side in [-1.0, 1.0] {
        nasolabial(canvas, look, side);
        marionette(canvas, look, side);
        furrow(canvas, look, side);
    }
    forehead(canvas, look);
    bridge(canvas, look);
}

/// From the wing of the nose around the corner of the mouth.
fn nasolabial(canvas: &mut Canvas, look: &Look, side: f32) {
    let Look { person, actions, .. } = look;
    let on = |unit| actions.on(side, unit);
    let sneer = on(Unit::NoseWrinkler).max(on(Unit::UpperLipRaiser));
    let smile = on(Unit::LipCornerPuller);
    let strength = 0.1
        + 0.45 * person.age
        + 0.62 * smile
        + 0.85 * sneer
        + 0.2 * on(Unit::CheekRaiser)
        + 0.2 * on(Unit::LipStretcher);
    let start = [side * (person.nose_wide + 0.05), person.nose_tip - 0.02 - 0.06 * sneer];
    let wide = person.mouth_width + 0.1 + 0.12 * smile + 0.05 * sneer;
    let end = [side * wide, person.mouth_level - 0.02 - 0.06 * smile + 0.05 * sneer];
    let out = 0.5 * (start[0] + end[0]) + side * (0.02 + 0.05 * smile + 0.03 * sneer);
    let middle = [out, 0.5 * (start[1] + end[1]) - 0.03];
    canvas.fold([start, middle, end], 0.1, strength.min(1.25));
}

/// From the corner of the mouth down to the jaw.
fn marionette(canvas: &mut Canvas, look: &Look, side: f32) {
    let Look { person, actions, .. } = look;
    let down = actions.on(side, Unit::LipCornerDepressor);
    let x = side * (person.mouth_width + 0.05);
    let y = person.mouth_level + 0.06 + 0.06 * down;
    let points = [[x, y], [x + side * 0.04, y + 0.1], [x + side * 0.02, y + 0.22]];
    canvas.fold(points, 0.09, (0.7 * down + 0.3 * (person.age - 0.3).max(0.0)).min(1.0));
}

/// Upright furrows between the brows.
fn furrow(canvas: &mut Canvas, look: &Look, side: f32) {
    let Look { person, actions, .. } = look;
    let raised = actions.of(Unit::InnerBrowRaiser).min(1.0);
    let strength = actions.on(side, Unit::BrowLowerer) * (1.0 - 0.35 * raised);
    let level = person.eye_level - person.brow_gap + 0.08 - 0.1 * raised;
    let points =
        [[side * 0.075, level - 0.19], [side * 0.07, level - 0.05], [side * 0.095, level + 0.09]];
    canvas.fold(points, 0.055, 1.1 * strength + 0.15 * person.age);
}

/// Wrinkles across the forehead, lifted in the middle when only the inner brows rise.
fn forehead(canvas: &mut Canvas, look: &Look) {
    let Look { person, actions, .. } = look;
    let inner = actions.of(Unit::InnerBrowRaiser);
    let outer = actions.of(Unit::OuterBrowRaiser);
    let strength = (0.35 + 0.65 * person.age) * (0.55 * inner + 0.6 * outer)
        + 0.25 * (person.age - 0.4).max(0.0);
    let half = 0.34 + 0.22 * outer;
    let bow = 0.04 * (inner - outer) + 0.03;
    let level = person.eye_level - person.brow_gap - 0.23;
    for row in 0..3u8 {
        let y = level - 0.11 * f32::from(row) - 0.05 * outer;
        canvas.fold([[-half, y + bow], [0.0, y - bow], [half, y + bow]], 0.05, strength);
    }
}

/// Wrinkles across the bridge of the nose, and from the inner eye down its sides.
fn bridge(canvas: &mut Canvas, look: &Look) {
    let Look { person, actions, .. } = look;
    let strength = actions.of(Unit::NoseWrinkler);
    let level = person.eye_level + 0.02;
    for row in 0..3u8 {
        let y = level + 0.075 * f32::from(row);
        canvas.fold([[-0.13, y + 0.02], [0.0, y - 0.02], [0.13, y + 0.02]], 0.04, 0.95 * strength);
    }
    for side in [-1.0, 1.0] {
        let points =
            [[side * 0.2, level + 0.02], [side * 0.16, level + 0.12], [side * 0.22, level + 0.22]];
        canvas.fold(points, 0.05, 0.7 * strength);
    }
}
