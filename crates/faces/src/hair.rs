//! Hair, what covers it, and beards.

use crate::Look;
use crate::action::Unit;
use crate::canvas::{Canvas, Plane, Sample};
use crate::head::{surface, top_tone};
use crate::person::{Beard, Hair, Person};
use crate::shape::{Point, bump, cover, ellipse, mix, ramp, unit, wave};

/// How far the hair stands off the skull.
fn volume(hair: Hair) -> f32 {
    match hair {
        Hair::Bald => 0.0,
        Hair::Cropped => 0.03,
        Hair::Parted | Hair::Knot => 0.09,
        Hair::Fringe | Hair::Long | Hair::Veiled | Hair::Capped => 0.13,
        Hair::Swept => 0.17,
        Hair::Curls => 0.34,
    }
}

/// Paints the hair that is behind the head.
pub(super) fn paint_behind(canvas: &mut Canvas, look: &Look) {
    let person = &look.person;
    match person.hair {
        Hair::Long => fall(canvas, person, 0.24, 1.45),
        Hair::Veiled => fall(canvas, person, 0.3, 1.9),
        Hair::Fringe => fall(canvas, person, 0.17, 0.72),
        Hair::Curls => fall(canvas, person, 0.3, 0.3),
        Hair::Knot => knot(canvas, person),
        _ => {}
    }
}

/// Hair or cloth that hangs down to `low` on both sides.
fn fall(canvas: &mut Canvas, person: &Person, wide: f32, low: f32) {
    let half = person.width + wide;
    let top = -person.crown - 0.12;
    canvas.within(Plane::Flat, [[-half - 0.3, top], [half + 0.3, low + 0.2]], |sample| {
        let [x, y] = sample.flat;
        let above = ellipse([x, y], [0.0, -0.3], [half, -top - 0.3]);
        let wave = 0.04 * wave(y * 7.0 + person.side);
        let below = (x.abs() - half - wave).max(y - low);
        let share = cover(if y < -0.3 { above } else { below });
        if share <= 0.0 {
            return;
        }
        let slope = [0.85 * (x / half).powi(3), 0.1];
        surface(sample, 0.8 * top_tone(person) + strand(person, [x, y]), share, slope);
    });
}

fn knot(canvas: &mut Canvas, person: &Person) {
    let middle = [0.12 * person.side, -person.crown - 0.12];
    canvas.within(Plane::Flat, [[-0.5, middle[1] - 0.4], [0.5, middle[1] + 0.4]], |sample| {
        let share = cover(ellipse(sample.flat, middle, [0.34, 0.3]));
        let slope = [0, 1].map(|axis| (sample.flat[axis] - middle[axis]) / 0.36);
        surface(sample, person.hair_tone, share, slope);
    });
}

/// Light and dark strands that spread from the crown, more in fair hair; ribs or folds in cloth.
fn strand(person: &Person, [x, y]: Point) -> f32 {
    let shades = 0.03 + 0.11 * person.hair_tone;
    match person.hair {
        Hair::Veiled => 0.015 * wave(x * 11.0 + y * 3.0),
        Hair::Capped => 0.06 * person.cloth * wave(x * 42.0),
        Hair::Curls => {
            shades * wave(x * 19.0 + 2.0 * wave(y * 14.0)) * wave(y * 17.0 - x * 5.0 + 1.6)
        }
        Hair::Cropped => 0.6 * shades * wave(x * 37.0 + 5.0 * y) * wave(y * 41.0),
        _ => {
            let from = (x - 0.3 * person.side) / (0.55 + (y + person.crown).max(0.0));
            shades * (0.6 * wave(from * 17.0) + 0.5 * wave(from * 41.0 + 2.0 * y))
        }
    }
}

/// Paints the hair that grows over the skull.
pub(super) fn paint_over(canvas: &mut Canvas, look: &Look) {
    let person = &look.person;
    if person.hair == Hair::Bald {
        crop_shadow(canvas, person);
        return;
    }
    let volume = volume(person.hair);
    let half = person.width + volume;
    let top = person.crown + 1.1 * volume;
    let bounds = [[-half - 0.1, -top - 0.1], [half + 0.1, 1.3]];
    let tone = top_tone(person);
    let softness = if matches!(person.hair, Hair::Veiled | Hair::Capped) { 0.017 } else { 0.045 };
    canvas.within(Plane::Flat, bounds, |sample| {
        let [x, y] = sample.flat;
        let bulge = half + sweep(person, x);
        let ragged = edge(person, sample.flat);
        let away = ellipse(sample.flat, [0.0, 0.0], [bulge + ragged, top + ragged]);
        let middle = x.abs() < 0.6 && y > 0.2;
        if away > 0.05 || middle {
            return;
        }
        let beyond = reach(person, sample.face) - sample.face[1];
        // Beside the head only the hair's own shape ends it; on the face the hairline does.
        let on_face = sample.head;
        let line = ramp(-softness, softness, beyond);
        let share = cover(away).min(mix(beside(person, y), line, on_face));
        lay(sample, person, share, beyond * on_face);
        if share > 0.0 {
            let root = 0.3 * ramp(0.25, 0.0, beyond) * on_face;
            let slope = [0.8 * (x / half), 0.75 * (y / top)];
            surface(sample, tone * (1.0 - root) + strand(person, [x, y]), share, slope);
            sample.gloss = shine(person, y) * share;
        }
    });
}

/// More hair on the side it is combed to.
fn sweep(person: &Person, x: f32) -> f32 {
    if person.hair == Hair::Parted { 0.06 * unit(0.5 - x * person.side) } else { 0.0 }
}

/// The band of light on hair below the crown; cloth has none.
fn shine(person: &Person, y: f32) -> f32 {
    let cloth = matches!(person.hair, Hair::Veiled | Hair::Capped | Hair::Cropped);
    if cloth { 0.0 } else { 0.2 * ramp(0.32, 0.0, (y + 0.98).abs()) }
}

/// How far the hair's border stands out of the smooth ellipse.
fn edge(person: &Person, [x, y]: Point) -> f32 {
    match person.hair {
        Hair::Curls => 0.045 * (wave(x * 13.0) + wave(y * 15.0)),
        Hair::Swept => 0.03 * wave(x * 15.0) * unit(-y),
        _ => 0.0,
    }
}

/// How much of the hair beside the head is there at this height.
fn beside(person: &Person, y: f32) -> f32 {
    let low = match person.hair {
        Hair::Long | Hair::Veiled => 2.0,
        Hair::Fringe => 0.65,
        Hair::Curls => 0.25,
        Hair::Capped => -0.45,
        _ => -0.2,
    };
    ramp(low + 0.12, low - 0.05, y)
}

/// Down to which height the hair covers the face at this distance from its middle.
fn reach(person: &Person, [x, y]: Point) -> f32 {
    let line = person.hairline;
    let wide = x.abs() / person.width;
    let temple = 0.14 * wide - 0.34 * bump([wide, 0.0], [0.58, 0.0], [0.34, 1.0]);
    let sideburn = ramp(0.78, 0.97, wide);
    let tuft = 0.03 * wave(x * 17.0 + person.crown * 40.0);
    let parting = ramp(0.0, 1.0, (x * person.side + 0.3).abs());
    match person.hair {
        Hair::Bald => -9.0,
        Hair::Cropped => line - 0.04 + 0.5 * temple + 0.75 * sideburn,
        Hair::Swept => line + tuft + 0.8 * temple + 0.75 * sideburn,
        Hair::Knot => line - 0.06 + 0.25 * wide * wide + 0.5 * sideburn,
        Hair::Parted => line - 0.08 + 0.3 * parting + tuft + 0.35 * temple + 0.8 * sideburn,
        Hair::Fringe => line.max(-0.72) + 0.2 + tuft + 1.3 * ramp(0.76, 0.95, wide),
        Hair::Long => line - 0.12 + 0.7 * parting * parting + 1.6 * ramp(0.82, 1.02, wide),
        Hair::Curls => line + 0.05 + 1.3 * tuft + 0.3 * wide * wide + 0.9 * sideburn,
        Hair::Veiled => veil(line, wide, y),
        Hair::Capped => line.max(-0.8) + 0.12 + 0.1 * wide * wide,
    }
}

/// The border of a cloth that leaves an oval free.
fn veil(line: f32, wide: f32, y: f32) -> f32 {
    let oval = (1.0 - (wide / 0.93).powi(2)).max(0.0).sqrt();
    if y < 0.1 { 0.1 - oval * (0.18 - line) } else { 9.0 * ramp(0.9, 0.96, wide) - 1.0 }
}

/// Thickness of the hair, and the shadow it throws on the forehead.
fn lay(sample: &mut Sample, person: &Person, share: f32, beyond: f32) {
    let thick = 0.03 + 0.1 * volume(person.hair);
    sample.relief = mix(sample.relief, thick * ramp(0.0, 0.16, beyond), share);
    let shadow = ramp(-0.16, 0.0, beyond) * (1.0 - share);
    sample.darken(0.28 * shadow * sample.lit);
}

/// The last trace of hair on a bald head, and its shine.
fn crop_shadow(canvas: &mut Canvas, person: &Person) {
    canvas.within(Plane::Face, [[-1.0, -1.4], [1.0, 0.2]], |sample| {
        let wide = sample.face[0].abs() / person.width;
        let sides = ramp(0.72, 0.95, wide) * ramp(0.1, -0.2, sample.face[1]);
        sample.darken(0.3 * sides * (1.0 - person.hair_tone) * sample.head);
        sample.gloss += 0.3 * bump(sample.face, [0.0, -0.85], [0.6, 0.35]);
    });
}

/// Paints the beard, which moves with the mouth.
pub(super) fn paint_beard(canvas: &mut Canvas, look: &Look) {
    let Look { person, actions, .. } = look;
    let strength = match person.beard {
        Beard::Shaven => return,
        Beard::Stubble => 0.32,
        Beard::Moustache | Beard::Goatee | Beard::Full => 0.88,
    };
    let lip = person.mouth_level
        - 0.1 * actions.of(Unit::LipCornerPuller)
        - 0.08 * actions.of(Unit::UpperLipRaiser);
    let beard = person.beard;
    canvas.within(Plane::Face, [[-1.1, 0.1], [1.1, 1.6]], |sample| {
        let grown = match beard {
            Beard::Moustache => moustache(person, sample.face, lip),
            Beard::Goatee => goatee(person, sample.face).max(moustache(person, sample.face, lip)),
            _ => full(person, sample.face).max(moustache(person, sample.face, lip)),
        };
        let share = strength * grown * sample.head;
        let [x, y] = sample.face;
        let grain = 0.5 + 0.5 * wave(x * 39.0) * wave(y * 31.0 + 3.0 * x);
        sample.paint(person.hair_tone * (0.85 + 0.3 * grain), share);
        sample.relief += 0.03 * share;
    });
}

fn moustache(person: &Person, [x, y]: Point, lip: f32) -> f32 {
    let wide = x.abs() / (person.mouth_width + 0.04);
    let top = lip - person.lip_upper - 0.12 + 0.07 * wide * wide;
    let low = lip - 0.3 * person.lip_upper + 0.12 * wide * wide;
    ramp(top - 0.03, top + 0.03, y) * ramp(low + 0.03, low - 0.03, y) * ramp(1.05, 0.9, wide)
}

fn goatee(person: &Person, point: Point) -> f32 {
    let out = ellipse(point, [0.0, person.mouth_level + 0.24], [0.42, 0.44]);
    let open = ellipse(point, [0.0, person.mouth_level - 0.02], [0.34, 0.2]);
    ramp(0.03, -0.05, out) * ramp(-0.02, 0.05, open)
}

fn full(person: &Person, [x, y]: Point) -> f32 {
    let wide = x.abs();
    let top = person.mouth_level + 0.12 - 0.75 * ramp(0.35, 1.0, wide);
    let open = ellipse([x, y], [0.0, person.mouth_level], [0.36, 0.17]);
    ramp(top - 0.06, top + 0.08, y) * ramp(-0.02, 0.05, open)
}
