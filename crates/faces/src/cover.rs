//! What stands between the face and the camera: glasses, a hand, a scarf, hair, blurred edges.

use crate::Look;
use crate::canvas::{Canvas, Plane, Sample};
use crate::head::surface;
use crate::scene::{Cover, Glasses};
use crate::shape::{Curve, Point, cover, mix, ramp, rounded_box, wave};

/// Paints the glasses, if any, and then what covers the face, if anything.
pub(super) fn paint(canvas: &mut Canvas, look: &Look) {
    if let Some(it) = look.scene.glasses {
        glasses(canvas, look, it);
    }
    match look.scene.cover {
        None => {}
        Some(Cover::Hand { tip, side }) => hand(canvas, look, tip, side),
        Some(Cover::Scarf { top, tone }) => scarf(canvas, top, tone),
        Some(Cover::Strand { side }) => strand(canvas, look.person.hair_tone, side),
        Some(Cover::Edge { side, inset, tone }) => edge(canvas, look, [side, inset, tone]),
    }
}

fn glasses(canvas: &mut Canvas, look: &Look, glasses: Glasses) {
    let person = &look.person;
    let middle = [person.eye_apart, person.eye_level + 0.03];
    let half = [0.33, 0.26];
    let tone = mix(0.04, 0.35, glasses.round * 2.0);
    canvas.within(Plane::Face, [[-1.1, -0.6], [1.1, 0.4]], |sample| {
        let point = [sample.face[0].abs(), sample.face[1]];
        let away = rounded_box(point, middle, half, glasses.round);
        sample.paint(0.05, glasses.tint * cover(away));
        let glint = (point[0] - point[1] - 0.42).abs() - 0.03;
        sample.paint(0.9, 0.12 * cover(away) * ramp(0.05, 0.0, glint));
        let rim = away.abs() - glasses.frame;
        let bridge = (point[1] - middle[1] + 0.08).abs().max(point[0] - 0.1) - 0.03;
        let temple = ((point[1] - middle[1] + 0.12).abs() - 0.03).max(0.72 - point[0]);
        let share = cover(rim.min(bridge).min(temple));
        sample.paint(tone, share * sample.lit);
        sample.relief += 0.02 * share;
    });
}

/// Four fingers laid on the face, and the palm they come from.
fn hand(canvas: &mut Canvas, look: &Look, tip: Point, side: f32) {
    let skin = look.person.skin;
    if look.place.is_framed() {
        forearm(canvas, skin, [side * 1.55, tip[1] + 0.95], side);
    }
    for finger in 0..4u8 {
        let shift = 0.19 * f32::from(finger);
        let reach = [0.08, 0.0, 0.05, 0.18][usize::from(finger)];
        let end = [tip[0] + side * reach, tip[1] + shift];
        let knuckle = [end[0] + side * 0.42, end[1] + 0.06];
        let palm = [side * 1.35, tip[1] + 0.45 + 0.75 * shift];
        let curve = Curve::through([end, knuckle, palm]);
        canvas.within(Plane::Flat, curve.bounds(0.24), |sample| {
            let (distance, along) = curve.nearest(sample.flat);
            let half = mix(0.1, 0.16, along);
            sample.darken(0.25 * ramp(half + 0.07, half, distance));
            let inward = (distance / half).min(1.0);
            surface(
                sample,
                skin * (1.02 - 0.3 * inward.powi(4)),
                cover(distance - half),
                [0.0, 0.2],
            );
            if distance < half {
                sample.relief = 0.1 + 0.07 * (1.0 - inward * inward).sqrt();
            }
        });
    }
}

/// The palm around `wrist` and the arm below it: beyond the border of a picture that the face fills.
fn forearm(canvas: &mut Canvas, skin: f32, wrist: Point, side: f32) {
    let [x, y] = wrist;
    let curve = Curve::through([[x, y - 0.3], [x + side * 0.4, y + 1.2], [x + side, y + 3.0]]);
    canvas.within(Plane::Flat, curve.bounds(0.6), |sample| {
        let (distance, along) = curve.nearest(sample.flat);
        let half = mix(0.5, 0.36, ramp(0.0, 0.4, along));
        let inward = (distance / half).min(1.0);
        surface(sample, skin * (1.0 - 0.3 * inward.powi(4)), cover(distance - half), [0.0, 0.2]);
    });
}

fn scarf(canvas: &mut Canvas, top: f32, tone: f32) {
    canvas.within(Plane::Face, [[-2.0, top - 0.3], [2.0, 3.4]], |sample| {
        let [x, y] = sample.face;
        let border = top + 0.12 * x * x + 0.02 * wave(x * 9.0);
        let fold = wave(y * 14.0 + 3.0 * x * x);
        let ends = 1.35 + 0.2 * (y - 0.6).max(0.0);
        let share = cover((border - y).max(sample.flat[0].abs() - ends).max(y - 3.2));
        surface(sample, tone * (0.9 + 0.1 * fold), share, [0.7 * x / 1.3, 0.1]);
        flatten(sample, share, 0.02 * fold);
    });
}

fn strand(canvas: &mut Canvas, tone: f32, side: f32) {
    canvas.within(Plane::Face, [[-1.2, -1.4], [1.2, 0.9]], |sample| {
        let x = sample.face[0] * side;
        let inner = 0.05 + 0.55 * ramp(-1.1, 0.75, sample.face[1]);
        let outer = 1.15;
        let comb = 0.12 * tone + 0.04;
        let share = cover((inner - x).max(x - outer).max(sample.face[1] - 0.75));
        let lines = wave(x * 30.0 - sample.face[1] * 9.0);
        surface(sample, tone + comb * lines, share * sample.lit, [side * 0.4, -0.2]);
        flatten(sample, share, 0.03);
    });
}

/// Something dark or bright, out of focus, at one border of the picture.
fn edge(canvas: &mut Canvas, look: &Look, [side, inset, tone]: [f32; 3]) {
    let border = (1.0 - inset) / look.scene.scale;
    canvas.everywhere(|sample| {
        let share = ramp(border - 0.15, border + 0.15, sample.flat[0] * side);
        sample.paint(tone, share);
        sample.lit *= 1.0 - share;
    });
}

/// Replaces the relief of what is covered.
fn flatten(sample: &mut Sample, share: f32, relief: f32) {
    sample.relief = mix(sample.relief, relief, share);
}
