//! Facial action units, the expressions they make up, and how strongly a face performs them.
//!
//! The units are those of the Facial Action Coding System (Ekman & Friesen 1978; Ekman, Friesen &
//! Hager 2002), the combinations those of EMFACS (Friesen & Ekman 1983), as tabulated by
//! Matsumoto & Ekman (2008, <http://www.scholarpedia.org/article/Facial_expression_analysis>).

use ferrite_random::Random;

use crate::between;

use Expression::{Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise};
use Unit::{
    BrowLowerer, CheekRaiser, ChinRaiser, EyesClosed, InnerBrowRaiser, JawDrop, LidTightener,
    LipCornerDepressor, LipCornerPuller, LipStretcher, LipTightener, LipsPart, LowerLipDepressor,
    NoseWrinkler, OuterBrowRaiser, UpperLidRaiser, UpperLipRaiser,
};

/// One action unit. The number in each description is its number in the coding system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Unit {
    /// 1: pulls the inner ends of the brows up; horizontal wrinkles mid-forehead.
    InnerBrowRaiser,
    /// 2: pulls the outer ends of the brows up.
    OuterBrowRaiser,
    /// 4: pulls the brows down and together; vertical furrows between them.
    BrowLowerer,
    /// 5: widens the eye, baring white above the iris.
    UpperLidRaiser,
    /// 6: lifts the cheek, narrows the eye from below; crow's feet.
    CheekRaiser,
    /// 7: tightens both lids.
    LidTightener,
    /// 9: pulls the nose up; wrinkles across its bridge.
    NoseWrinkler,
    /// 10: lifts the upper lip; deepens the nasolabial fold.
    UpperLipRaiser,
    /// 12: pulls the lip corners up and out.
    LipCornerPuller,
    /// 15: pulls the lip corners down.
    LipCornerDepressor,
    /// 16: pulls the lower lip down, baring the lower teeth.
    LowerLipDepressor,
    /// 17: pushes the chin boss and the lower lip up.
    ChinRaiser,
    /// 20: stretches the mouth sideways.
    LipStretcher,
    /// 23: narrows and tightens the lips.
    LipTightener,
    /// 25: parts the lips.
    LipsPart,
    /// 26: drops the jaw.
    JawDrop,
    /// 43: closes the eyes.
    EyesClosed,
}

const N_UNITS: usize = Unit::EyesClosed as usize + 1;

/// How strongly each action unit acts: 0 is at rest, 1 a marked contraction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Actions {
    strengths: [f32; N_UNITS],
    /// How much stronger the right of the picture acts than the left, as a share.
    lopsided: f32,
}

impl Actions {
    /// The strength of `unit`.
    pub(super) fn of(&self, unit: Unit) -> f32 {
        self.strengths[unit as usize]
    }

    /// The strength of `unit` on the right (`side` = 1) or left (-1) of the picture.
    pub(super) fn on(&self, side: f32, unit: Unit) -> f32 {
        self.of(unit) * (1.0 + side * self.lopsided)
    }
}

/// What a face is said to express, in the order of FER2013's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression {
    Angry,
    Disgust,
    Fear,
    Happy,
    Sad,
    Surprise,
    Neutral,
}

/// One way to show an expression: the units that act, and how strongly.
type Recipe = &'static [(Unit, f32)];

const ANGRY: &[Recipe] = &[
    &[(BrowLowerer, 1.0), (UpperLidRaiser, 0.5), (LidTightener, 0.7), (LipTightener, 1.0)],
    &[
        (BrowLowerer, 1.0),
        (UpperLidRaiser, 0.6),
        (LidTightener, 0.6),
        (LipTightener, 0.5),
        (UpperLipRaiser, 0.5),
        (LowerLipDepressor, 0.6),
        (LipsPart, 0.7),
    ],
];

const DISGUST: &[Recipe] = &[
    &[(NoseWrinkler, 1.0), (LipCornerDepressor, 0.8), (LowerLipDepressor, 0.6)],
    &[
        (NoseWrinkler, 1.0),
        (UpperLipRaiser, 1.0),
        (LipCornerDepressor, 0.6),
        (LipsPart, 0.3),
        (LidTightener, 0.5),
    ],
];

const FEAR: &[Recipe] = &[
    &[
        (InnerBrowRaiser, 1.0),
        (OuterBrowRaiser, 0.5),
        (BrowLowerer, 0.7),
        (UpperLidRaiser, 1.0),
        (LipStretcher, 1.0),
        (LipsPart, 0.6),
        (JawDrop, 0.25),
    ],
    &[
        (InnerBrowRaiser, 1.0),
        (OuterBrowRaiser, 0.4),
        (BrowLowerer, 0.8),
        (UpperLidRaiser, 0.9),
        (LipStretcher, 1.0),
        (LowerLipDepressor, 0.6),
        (LipsPart, 0.4),
    ],
];

const HAPPY: &[Recipe] = &[
    &[(CheekRaiser, 0.8), (LipCornerPuller, 1.0)],
    &[(CheekRaiser, 0.9), (LipCornerPuller, 1.0), (LipsPart, 0.9)],
    &[(CheekRaiser, 1.0), (LipCornerPuller, 1.0), (LipsPart, 1.0), (JawDrop, 0.45)],
];

const SAD: &[Recipe] = &[
    &[(InnerBrowRaiser, 1.0), (BrowLowerer, 0.5), (LipCornerDepressor, 1.0)],
    &[
        (InnerBrowRaiser, 1.0),
        (BrowLowerer, 0.6),
        (LipCornerDepressor, 1.0),
        (ChinRaiser, 0.8),
        (EyesClosed, 0.25),
    ],
];

const SURPRISE: &[Recipe] = &[&[
    (InnerBrowRaiser, 1.0),
    (OuterBrowRaiser, 1.0),
    (UpperLidRaiser, 0.8),
    (JawDrop, 1.0),
    (LipsPart, 0.5),
]];

const NEUTRAL: &[Recipe] = &[&[]];

impl Expression {
    /// Every expression with its name and its number of training images in FER2013 (Goodfellow
    /// et al. 2013, <https://arxiv.org/abs/1307.0414>).
    pub(super) const ALL: [(Self, &'static str, usize); 7] = [
        (Angry, "angry", 3995),
        (Disgust, "disgust", 436),
        (Fear, "fear", 4097),
        (Happy, "happy", 7215),
        (Sad, "sad", 4830),
        (Surprise, "surprise", 3171),
        (Neutral, "neutral", 4965),
    ];

    /// The ways to show this expression.
    fn recipes(self) -> &'static [Recipe] {
        match self {
            Angry => ANGRY,
            Disgust => DISGUST,
            Fear => FEAR,
            Happy => HAPPY,
            Sad => SAD,
            Surprise => SURPRISE,
            Neutral => NEUTRAL,
        }
    }

    /// What an annotator most easily takes this expression for.
    fn confusable(self) -> &'static [Self] {
        match self {
            Angry => &[Disgust, Sad, Neutral],
            Disgust => &[Angry, Sad],
            Fear => &[Surprise, Sad],
            Happy => &[Neutral, Surprise],
            Sad => &[Neutral, Fear, Angry],
            Surprise => &[Fear, Happy],
            Neutral => &[Sad, Angry, Happy],
        }
    }

    /// A label drawn with FER2013's class shares.
    pub(super) fn common(random: &mut Random) -> usize {
        let total = Self::ALL.iter().map(|it| it.2).sum();
        let mut rest = random.below(total);
        Self::ALL
            .iter()
            .position(|&(_, _, count)| {
                let here = rest < count;
                rest = rest.saturating_sub(count);
                here
            })
            .unwrap_or(0)
    }

    /// What a face that carries the label of `self` really shows: something else where the
    /// annotator erred. Drawn from the label, so that the shares of the labels stay exact.
    pub(super) fn shown(self, difficulty: f32, random: &mut Random) -> Self {
        let erred = random.chance(f64::from(LABEL_NOISE * difficulty));
        let others = self.confusable();
        let other = others[random.below(others.len())];
        if erred { other } else { self }
    }

    /// The expression performed by one face: subtler, less pure and less even with `difficulty`.
    pub(super) fn perform(self, difficulty: f32, random: &mut Random) -> Actions {
        let strength = between(random, 1.0 - 0.5 * difficulty, 1.15 - 0.1 * difficulty);
        let lopsided = between(random, -0.06, 0.06) * (1.0 + 4.0 * difficulty);
        let mut strengths = [0.0; N_UNITS];
        self.add(strength, difficulty, random, &mut strengths);
        if random.chance(f64::from(0.4 * difficulty)) {
            let other = Self::ALL[random.below(Self::ALL.len())].0;
            let share = between(random, 0.1, 0.1 + 0.25 * difficulty);
            other.add(share * strength, difficulty, random, &mut strengths);
        }
        if random.chance(f64::from(0.35 * difficulty)) {
            speak(difficulty, random, &mut strengths);
        }
        for it in &mut strengths {
            let stray = random.normal().abs() as f32 * 0.07 * difficulty;
            *it = (*it + stray).clamp(0.0, 1.3);
        }
        strengths[EyesClosed as usize] *= 0.6;
        Actions { strengths, lopsided }
    }

    /// Adds one of the recipes at `strength`, each unit varied or left out with `difficulty`.
    fn add(self, strength: f32, difficulty: f32, random: &mut Random, to: &mut [f32; N_UNITS]) {
        let recipes = self.recipes();
        for &(unit, part) in recipes[random.below(recipes.len())] {
            let left_out = random.chance(f64::from(0.08 * difficulty));
            let varied = 1.0 + (0.08 + 0.17 * difficulty) * random.normal() as f32;
            if !left_out {
                to[unit as usize] += part * strength * varied.max(0.0);
            }
        }
    }
}

/// Share of faces labelled as something else than they show, at difficulty 1.
const LABEL_NOISE: f32 = 0.1;

/// Lips caught in the middle of a word.
fn speak(difficulty: f32, random: &mut Random, strengths: &mut [f32; N_UNITS]) {
    strengths[LipsPart as usize] += between(random, 0.2, 0.8) * difficulty;
    strengths[JawDrop as usize] += between(random, 0.0, 0.6) * difficulty;
}
