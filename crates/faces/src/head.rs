//! The bare head with what is behind it: backdrop, shoulders, neck, ears, skull.

use crate::Look;
use crate::action::Unit;
use crate::canvas::{Canvas, Plane, Sample};
use crate::person::{Hair, Person};
use crate::shape::{Point, bump, cover, ellipse, ramp, unit, wave};

/// The border of a head in its present pose, the jaw dropped as far as it is.
#[derive(Debug, Clone)]
struct Outline {
    width: f32,
    crown: f32,
    chin: f32,
    jaw: f32,
    taper: f32,
    cheeks: f32,
    lean: f32,
    nod: f32,
}

impl Outline {
    /// The outline of the person in `look`.
    fn of(canvas: &Canvas, look: &Look) -> Self {
        let person = &look.person;
        let drop = 0.15 * look.actions.of(Unit::JawDrop) - 0.03 * look.actions.of(Unit::ChinRaiser);
        Self {
            width: person.width,
            crown: person.crown,
            chin: person.chin + drop,
            jaw: person.jaw,
            taper: person.taper + 0.04 * drop,
            cheeks: 0.05 * person.cheeks + 0.03 * look.actions.of(Unit::LipCornerPuller),
            lean: canvas.lean(0.28),
            nod: canvas.nod(0.3),
        }
    }

    /// Where `flat` lies: the squared radius (1 on the border) and the slope of the surface.
    fn locate(&self, flat: Point) -> (f32, Point) {
        let below = flat[1].max(0.0) / self.chin;
        let wide = self.width * (1.0 - self.taper * below)
            + self.cheeks * bump([0.0, flat[1]], [0.0, 0.38], [1.0, 0.45]);
        let x = (flat[0] - self.lean * below) / wide;
        let y = if flat[1] < 0.0 {
            flat[1] / self.crown
        } else {
            (flat[1] - self.nod * below) / self.chin
        };
        let square = if flat[1] < 0.0 { 0.25 } else { self.jaw };
        let down = y * y * (1.0 - square + square * y * y);
        let radius = x * x + down;
        // A face is flatter than a ball in front and falls off faster at its sides.
        let flatness = 0.42 + 0.54 * radius.min(1.0);
        (radius, [x * flatness, y * flatness * 0.9])
    }
}

/// Paints everything that the face is later painted on.
pub(super) fn paint(canvas: &mut Canvas, look: &Look) {
    shoulders(canvas, look);
    for side in [-1.0, 1.0] {
        ear(canvas, look, side);
    }
    skull(canvas, look);
}

/// Paints the backdrop.
pub(super) fn paint_backdrop(canvas: &mut Canvas, look: &Look) {
    if look.place.is_framed() {
        look.place.paint_backdrop(canvas, &look.scene);
        return;
    }
    let [middle, right, down] = look.scene.backdrop;
    let blobs = look.scene.blobs;
    canvas.everywhere(|sample| {
        let [x, y] = sample.flat;
        let blob: f32 = blobs
            .iter()
            .map(|&[right, down, radius, more]| {
                more * bump([x, y], [1.4 * right, 1.4 * down], [radius, 1.3 * radius])
            })
            .sum();
        sample.tone = (middle + 0.7 * (x * right + y * down) + blob).clamp(0.04, 0.96);
    });
}

/// Paints neck and clothes, the neck in the shadow of the chin.
fn shoulders(canvas: &mut Canvas, look: &Look) {
    let person = &look.person;
    let half = 0.56 * person.width;
    let chin = person.chin;
    let light = look.scene.light[0];
    // Down to the border of the picture, however small the head is in it.
    canvas.within(Plane::Flat, [[-20.0, 0.3], [20.0, 20.0]], |sample| {
        let [x, y] = sample.flat;
        if y < 0.3 || x.abs() > half + 0.1 && y < 1.2 {
            return;
        }
        let neck = cover(x.abs() - half - 0.25 * (y - 0.9).max(0.0).powi(2));
        let shadow = 0.5 * ramp(chin + 0.35, chin - 0.1, y - 0.12 * x * light);
        surface(sample, person.skin * (0.92 - shadow), neck, [0.75 * x / half, 0.3]);
        let fall = 1.28 + 0.12 * x * x + 0.1 * (1.0 - (x / 0.5).powi(2)).max(0.0);
        let arms = 3.0 * (x.abs() - 2.4).max(0.0).powi(2);
        let cloth = cover(fall + arms - y);
        if cloth > 0.0 {
            let crease = 0.05 * wave(x * 9.0 + y * 4.0);
            surface(sample, look.scene.clothes * (0.9 + crease), cloth, [0.3 * x, -0.2]);
        }
    });
}

fn ear(canvas: &mut Canvas, look: &Look, side: f32) {
    let person = &look.person;
    let hidden = matches!(person.hair, Hair::Long | Hair::Veiled);
    if hidden {
        return;
    }
    let middle = [side * (person.width + 0.03) - canvas.lean(0.25), 0.02];
    let radii = [0.13 * person.ears, 0.27 * person.ears];
    let bounds = [[middle[0] - 0.2, -0.4], [middle[0] + 0.2, 0.45]];
    canvas.within(Plane::Flat, bounds, |sample| {
        let away = ellipse(sample.flat, middle, radii);
        surface(sample, person.skin * 0.92, cover(away), [side * 0.45, 0.0]);
        let hollow = bump(sample.flat, middle, [0.6 * radii[0], 0.65 * radii[1]]);
        sample.darken(0.45 * hollow * cover(away));
    });
}

fn skull(canvas: &mut Canvas, look: &Look) {
    let outline = Outline::of(canvas, look);
    let skin = look.person.skin;
    canvas.within(Plane::Flat, [[-1.3, -1.6], [1.3, 1.6]], |sample| {
        let (radius, slope) = outline.locate(sample.flat);
        let covered = cover((radius.sqrt() - 1.0) * outline.width);
        sample.head = covered;
        if covered <= 0.0 {
            return;
        }
        // Deeper tone near the rim: light that grazes the skin is scattered away.
        let rim = 0.1 * unit((radius - 0.55) / 0.45);
        surface(sample, skin * (1.0 - rim), covered, slope);
        sample.relief = 0.0;
    });
}

/// Puts a lit surface of `tone` and `slope` over a sample, as far as `share` says.
pub(super) fn surface(sample: &mut Sample, tone: f32, share: f32, slope: Point) {
    if share <= 0.0 {
        return;
    }
    sample.paint(tone, share);
    sample.lit = sample.lit.max(share);
    sample.gloss *= 1.0 - share;
    if share > 0.3 {
        sample.slope = slope;
    }
}

/// Forehead, cheeks and chin: the large forms that the light models.
pub(super) fn paint_forms(canvas: &mut Canvas, look: &Look) {
    let Look { person, actions, .. } = look;
    let lifted = actions.of(Unit::CheekRaiser);
    let pulled = actions.of(Unit::LipCornerPuller);
    let boss = 0.05 + 0.05 * actions.of(Unit::ChinRaiser);
    let chin = person.chin - 0.2 + 0.14 * actions.of(Unit::JawDrop);
    let bone = person.eye_level + 0.4 - 0.05 * lifted - 0.05 * pulled;
    let puff = 0.03 + 0.045 * (0.5 * lifted + 0.7 * pulled);
    let hollow = 0.08 * (0.4 - person.cheeks + 0.5 * person.age).max(0.0);
    canvas.hill([0.0, chin], [0.3, 0.24], boss, 0.0);
    canvas.hill([0.0, -0.66], [0.7, 0.35], 0.03, 0.0);
    for side in [-1.0, 1.0] {
        canvas.hill([side * 0.5, bone], [0.36, 0.3], puff, 0.0);
        canvas.hill([side * 0.62, 0.55], [0.26, 0.4], 0.0, hollow);
        canvas.hill([side * 0.88, -0.25], [0.22, 0.4], 0.0, 0.1);
    }
    if actions.of(Unit::ChinRaiser) > 0.25 {
        let strength = 0.5 * actions.of(Unit::ChinRaiser);
        canvas.fold(
            [[-0.15, chin - 0.06], [0.0, chin - 0.13], [0.15, chin - 0.06]],
            0.07,
            strength,
        );
    }
}

/// The person's own tone of whatever the hair is covered with, or of the hair.
pub(super) fn top_tone(person: &Person) -> f32 {
    if matches!(person.hair, Hair::Veiled | Hair::Capped) { person.cloth } else { person.hair_tone }
}
