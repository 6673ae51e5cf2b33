//! The mouth: lips, teeth, tongue, and the forms around them.

use crate::Look;
use crate::action::Unit;
use crate::canvas::{Canvas, Plane, Sample};
use crate::shape::{Point, bump, cover, mix, ramp, unit};

/// A mouth as it stands now.
struct Mouth {
    /// Where the lips meet in the middle.
    level: f32,
    half: f32,
    /// Height of the left and right corner relative to `level`, up negative.
    corners: [f32; 2],
    /// How far the upper lip is lifted and the lower one dropped off the line between the corners.
    lifted: f32,
    dropped: f32,
    /// From a lens (0) to a round opening (1).
    round: f32,
    upper: f32,
    lower: f32,
    upper_teeth: f32,
    lower_teeth: f32,
    tone: f32,
    skin: f32,
    lean: f32,
}

impl Mouth {
    fn of(canvas: &Canvas, look: &Look) -> Self {
        let Look { person, actions, .. } = look;
        let act = |unit| actions.of(unit);
        let [smile, jaw, part] = [Unit::LipCornerPuller, Unit::JawDrop, Unit::LipsPart].map(act);
        let [sneer, bare] = [Unit::UpperLipRaiser, Unit::LowerLipDepressor].map(act);
        let [stretch, tight] = [Unit::LipStretcher, Unit::LipTightener].map(act);
        let raised = act(Unit::ChinRaiser);
        let wrinkle = act(Unit::NoseWrinkler);
        let corner = |side| {
            -0.15 * actions.on(side, Unit::LipCornerPuller)
                + 0.12 * actions.on(side, Unit::LipCornerDepressor)
                + 0.03 * stretch
        };
        let round = jaw * (1.0 - 0.9 * smile.min(1.0)) * (1.0 - 0.8 * stretch.min(1.0));
        let wide = 1.0 + 0.3 * smile + 0.3 * stretch - 0.14 * tight - 0.3 * round - 0.05 * raised;
        let thin = (1.0 - 0.55 * tight).max(0.3) * (1.0 - 0.25 * smile.min(1.2) - 0.15 * stretch);
        Self {
            level: person.mouth_level + 0.02 * smile - 0.035 * raised - 0.03 * wrinkle,
            half: person.mouth_width * wide,
            corners: [corner(-1.0), corner(1.0)],
            lifted: 0.07 * sneer
                + 0.035 * wrinkle
                + 0.03 * part
                + 0.035 * part * smile
                + 0.02 * jaw,
            dropped: 0.24 * jaw + 0.09 * bare + 0.045 * part + 0.04 * part * smile,
            round: round.min(1.0),
            upper: person.lip_upper * thin,
            lower: person.lip_lower * thin * (1.0 + 0.15 * raised),
            upper_teeth: 0.1 * (0.9 * smile * part + sneer + 0.6 * stretch + 0.2 * jaw).min(1.0),
            lower_teeth: 0.08 * (bare + 0.5 * stretch).min(1.0),
            tone: person.lip_tone * person.skin,
            skin: person.skin,
            lean: canvas.lean(0.08),
        }
    }

    /// `face` as seen from the mouth: -1 to 1 between its corners, and down from their line.
    fn local(&self, face: Point) -> Point {
        let along = (face[0] - self.lean) / self.half;
        let corner = if along < 0.0 { self.corners[0] } else { self.corners[1] };
        let bent = (along * along).min(1.4);
        [along, face[1] - self.level - corner * (bent - 0.45)]
    }

    /// Heights at `along`: top of the upper lip, its bottom, top of the lower lip, its bottom.
    fn lips(&self, along: f32) -> [f32; 4] {
        let lens = (1.0 - along * along).max(0.0);
        let open = mix(lens, lens.sqrt(), 0.25 + 0.75 * self.round);
        let bow = 1.0 - 0.4 * bump([along, 0.0], [0.0, 0.0], [0.3, 1.0]);
        let flesh = lens.sqrt() * (0.55 + 0.45 * lens);
        let inner = [-self.lifted * open, self.dropped * open];
        [inner[0] - self.upper * flesh * bow, inner[0], inner[1], inner[1] + self.lower * flesh]
    }

    fn bounds(&self) -> [Point; 2] {
        let wide = self.half + 0.15;
        let low = self.level + self.dropped + self.lower + 0.3;
        [[self.lean - wide, self.level - 0.45], [self.lean + wide, low]]
    }
}

/// The corners of the mouth on the left and on the right of the picture, on the face's surface.
pub(super) fn corners(canvas: &Canvas, look: &Look) -> [Point; 2] {
    let mouth = Mouth::of(canvas, look);
    [(-1.0, 0), (1.0, 1)].map(|(side, corner)| {
        [mouth.lean + side * mouth.half, mouth.level + 0.55 * mouth.corners[corner]]
    })
}

/// Paints the mouth.
pub(super) fn paint(canvas: &mut Canvas, look: &Look) {
    let mouth = Mouth::of(canvas, look);
    let tight = look.actions.of(Unit::LipTightener);
    canvas.within(Plane::Face, mouth.bounds(), |sample| {
        let point = mouth.local(sample.face);
        let heights = mouth.lips(point[0]);
        muzzle(sample, &mouth, point, heights);
        sample.relief += 0.03 * tight * bump(sample.face, [0.0, mouth.level - 0.14], [0.32, 0.08]);
        let beside = point[0].abs() > 1.15;
        if beside || point[1] < heights[0] - 0.05 || point[1] > heights[3] + 0.05 {
            return;
        }
        flesh(sample, &mouth, point, heights);
        inside(sample, &mouth, point, heights);
        seam(sample, &mouth, point, heights);
    });
}

/// The skin around the lips: groove below the nose, shadow under the lower lip, dimples.
fn muzzle(sample: &mut Sample, mouth: &Mouth, [along, down]: Point, heights: [f32; 4]) {
    let x = along * mouth.half;
    sample.relief += 0.03 * bump([x, down], [0.0, 0.0], [0.55, 0.34]);
    sample.darken(0.13 * bump([x, down], [0.0, heights[0] - 0.09], [0.06, 0.1]));
    sample.darken(0.26 * bump([x, down], [0.0, heights[3] + 0.05], [0.65 * mouth.half, 0.09]));
    sample.darken(
        0.25 * bump([along.abs() * mouth.half, down], [mouth.half + 0.02, 0.0], [0.09, 0.08]),
    );
}

/// Both lips, the upper one darker because it faces down.
fn flesh(sample: &mut Sample, mouth: &Mouth, [along, down]: Point, heights: [f32; 4]) {
    let past = (along.abs() - 1.0) * mouth.half;
    let [top, parted, meeting, bottom] = heights;
    let upper = cover((top - down).max(down - parted).max(past));
    let lower = cover((meeting - down).max(down - bottom).max(past));
    sample.paint(0.84 * mouth.tone, 0.85 * upper);
    sample.paint(1.04 * mouth.tone, 0.8 * lower);
    let middle = 0.5 * (meeting + bottom);
    let swell = bump([along, down], [0.0, middle], [0.95, 0.6 * mouth.lower + 0.02]);
    sample.relief += 0.035 * swell + 0.015 * upper;
    sample.gloss +=
        0.16 * bump([along, down], [0.1, middle - 0.01], [0.5, 0.35 * mouth.lower + 0.01]);
}

/// What an open mouth shows.
fn inside(sample: &mut Sample, mouth: &Mouth, [along, down]: Point, heights: [f32; 4]) {
    let [_, top, bottom, _] = heights;
    let past = (along.abs() - 0.97) * mouth.half;
    let open = cover((top - down).max(down - bottom).max(past) + 0.012);
    if open <= 0.0 {
        return;
    }
    let tongue = bump([along, down], [0.0, bottom], [0.75, 0.55 * mouth.dropped + 0.01]);
    let mut tone = mix(0.05, 0.42 * mouth.skin + 0.06, tongue);
    let edge = 1.0 - 0.45 * along * along;
    let gaps = 1.0 - 0.1 * unit(4.0 * ((along.abs() * 6.0 % 1.0) - 0.75));
    let ivory = 0.92 * edge * gaps;
    tone = mix(tone, 0.92 * ivory, tooth(bottom - down, mouth.lower_teeth));
    tone = mix(tone, ivory, tooth(down - top, mouth.upper_teeth));
    sample.paint(tone, open);
    sample.relief *= 1.0 - 0.8 * open;
}

/// Whether a row of teeth of this length is there, `deep` into the mouth.
fn tooth(deep: f32, length: f32) -> f32 {
    if length < 0.02 { 0.0 } else { ramp(length + 0.015, length - 0.015, deep) }
}

/// The dark line where closed lips meet, and their corners.
fn seam(sample: &mut Sample, mouth: &Mouth, [along, down]: Point, heights: [f32; 4]) {
    let past = (along.abs() - 1.03) * mouth.half;
    let middle = 0.5 * (heights[1] + heights[2]);
    let apart = 0.5 * (heights[2] - heights[1]);
    let line = ((down - middle).abs() - 0.014).max(past);
    sample.paint(0.22 * mouth.skin, 0.85 * cover(line) * ramp(0.05, 0.015, apart));
}
