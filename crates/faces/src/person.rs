//! Who a face belongs to: everything about it that no expression, pose or light changes.
//!
//! Lengths are face units (half the width of an average face is 1), right and down from the
//! middle of the face. Tones run from black (0) to white (1).

use ferrite_random::Random;

use crate::between;
use crate::shape::mix;

/// How the hair is worn, or what covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hair {
    /// None at all.
    Bald,
    /// Cropped close to the skull.
    Cropped,
    /// Short, combed to one side.
    Parted,
    /// Short, standing up from the forehead.
    Swept,
    /// Cut straight above the brows.
    Fringe,
    /// Down to the shoulders.
    Long,
    /// Drawn back into a knot on top.
    Knot,
    /// A round mass of curls.
    Curls,
    /// Under a cloth that leaves only the face free.
    Veiled,
    /// Under a knitted cap.
    Capped,
}

/// How a beard is worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beard {
    /// Shaven, or none.
    Shaven,
    /// A few days old.
    Stubble,
    /// On the upper lip only.
    Moustache,
    /// Around the mouth and on the chin.
    Goatee,
    /// From ear to ear.
    Full,
}

/// One person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    /// Half width of the head at the cheekbones.
    pub(super) width: f32,
    /// Height of the skull above the middle.
    pub(super) crown: f32,
    /// Depth of the chin below the middle.
    pub(super) chin: f32,
    /// From a pointed (0) to a square (1) jaw.
    pub(super) jaw: f32,
    /// Narrowing of the head towards the chin, as a share of `width`.
    pub(super) taper: f32,
    /// From hollow (-1) to full (1) cheeks.
    pub(super) cheeks: f32,
    /// From a smooth (0) to a wrinkled (1) skin.
    pub(super) age: f32,
    /// Brightness of the skin.
    pub(super) skin: f32,
    /// Brightness of the hair.
    pub(super) hair_tone: f32,
    /// How the hair is worn.
    pub(super) hair: Hair,
    /// Height of the hairline: further up is more negative.
    pub(super) hairline: f32,
    /// Side of the parting, -1 or 1, and what else has a side.
    pub(super) side: f32,
    /// Brightness of cap or veil.
    pub(super) cloth: f32,
    /// How the beard is worn.
    pub(super) beard: Beard,
    /// Distance of either eye from the middle.
    pub(super) eye_apart: f32,
    /// Height of the eyes.
    pub(super) eye_level: f32,
    /// Half width of an eye.
    pub(super) eye_width: f32,
    /// Half height of an eye at rest.
    pub(super) eye_open: f32,
    /// How far the outer corner is above the inner one.
    pub(super) eye_tilt: f32,
    /// Brightness of the iris.
    pub(super) iris: f32,
    /// Strength of lashes and lid lines, more with make-up.
    pub(super) lashes: f32,
    /// Distance of the brows above the eyes.
    pub(super) brow_gap: f32,
    /// Thickness of the brows.
    pub(super) brow_thick: f32,
    /// Height of the brows' arch.
    pub(super) brow_arch: f32,
    /// Height of the tip of the nose.
    pub(super) nose_tip: f32,
    /// Half width of the nose at its wings.
    pub(super) nose_wide: f32,
    /// How far the nose stands out.
    pub(super) nose_high: f32,
    /// Height of the mouth.
    pub(super) mouth_level: f32,
    /// Half width of the mouth at rest.
    pub(super) mouth_width: f32,
    /// Thickness of the upper lip.
    pub(super) lip_upper: f32,
    /// Thickness of the lower lip.
    pub(super) lip_lower: f32,
    /// Brightness of the lips relative to the skin.
    pub(super) lip_tone: f32,
    /// Size of the ears; 0 hides them.
    pub(super) ears: f32,
}

impl Person {
    /// A person of the stream `random`.
    pub(super) fn drawn(random: &mut Random) -> Self {
        let softness = random.unit() as f32;
        let mut lean = |hard: f32, soft: f32, spread: f32| {
            mix(hard, soft, softness) + spread * between(random, -1.0, 1.0)
        };
        let mut person = Self {
            width: lean(0.97, 0.93, 0.06),
            crown: lean(1.34, 1.32, 0.06),
            chin: lean(1.2, 1.13, 0.07),
            jaw: lean(0.7, 0.25, 0.25),
            taper: lean(0.14, 0.24, 0.07),
            cheeks: lean(-0.1, 0.2, 0.8),
            age: lean(0.42, 0.32, 0.38).max(0.0),
            skin: 0.0,
            hair_tone: 0.0,
            hair: Hair::Bald,
            hairline: lean(-0.84, -0.8, 0.09),
            side: 1.0,
            cloth: lean(0.4, 0.5, 0.35),
            beard: Beard::Shaven,
            eye_apart: lean(0.43, 0.43, 0.035),
            eye_level: lean(-0.16, -0.13, 0.04),
            eye_width: lean(0.215, 0.235, 0.025),
            eye_open: lean(0.088, 0.105, 0.018),
            eye_tilt: lean(0.0, 0.02, 0.035),
            iris: lean(0.22, 0.24, 0.18),
            lashes: lean(0.55, 0.95, 0.2),
            brow_gap: lean(0.25, 0.3, 0.035),
            brow_thick: lean(0.066, 0.042, 0.016),
            brow_arch: lean(0.04, 0.07, 0.035),
            nose_tip: lean(0.31, 0.27, 0.05),
            nose_wide: lean(0.2, 0.165, 0.035),
            nose_high: lean(1.05, 0.85, 0.25),
            mouth_level: lean(0.68, 0.64, 0.03),
            mouth_width: lean(0.35, 0.32, 0.04),
            lip_upper: lean(0.058, 0.078, 0.018),
            lip_lower: lean(0.078, 0.098, 0.02),
            lip_tone: lean(0.84, 0.7, 0.1),
            ears: lean(1.0, 0.85, 0.15),
        };
        person.colour(random);
        person.dress(softness, random);
        person
    }

    /// Skin, and hair that may go with it.
    fn colour(&mut self, random: &mut Random) {
        self.skin = mix(0.3, 0.84, random.unit() as f32);
        let lightest = mix(0.1, 0.62, ((self.skin - 0.5) / 0.3).clamp(0.0, 1.0));
        self.hair_tone = between(random, 0.04, lightest);
        if random.unit() < 0.6 * f64::from(self.age - 0.3) {
            self.hair_tone = between(random, 0.55, 0.8);
        }
        self.iris = self.iris.min(self.skin * 0.6).max(0.07);
    }

    /// Hair and beard.
    fn dress(&mut self, softness: f32, random: &mut Random) {
        use Hair::{Bald, Capped, Cropped, Curls, Fringe, Knot, Long, Parted, Swept, Veiled};
        let hard = [Bald, Cropped, Cropped, Parted, Parted, Swept, Swept, Curls, Capped, Long];
        let soft = [Long, Long, Long, Fringe, Fringe, Knot, Knot, Curls, Veiled, Parted];
        let choice = random.below(hard.len());
        let masculine = softness < 0.5;
        self.hair = if masculine { hard[choice] } else { soft[choice] };
        self.side = if random.chance(0.5) { 1.0 } else { -1.0 };
        let beards = [
            Beard::Shaven,
            Beard::Shaven,
            Beard::Shaven,
            Beard::Stubble,
            Beard::Moustache,
            Beard::Goatee,
            Beard::Full,
        ];
        let beard = beards[random.below(beards.len())];
        if masculine {
            self.beard = beard;
        }
    }
}
