//! How a series looks: hue, dashes and the shape of its marks, so that 24 of them can be told apart, in colour and without.

use plotters::prelude::RGBColor;

/// Colours of series, which stay apart for colour-blind readers and stand out from a white page by 3 to 1 at least; their dark
/// twins are in `assets/base.css`.
pub const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD9, 0x48, 0x0F),
    RGBColor(0x14, 0x9A, 0x6B),
    RGBColor(0xA6, 0x78, 0xB5),
    RGBColor(0x8A, 0x8A, 0x1C),
    RGBColor(0x4A, 0x8F, 0xE0),
    RGBColor(0x5C, 0x15, 0x47),
    RGBColor(0x64, 0x78, 0x7A),
];

/// How many kinds of dashes there are.
const ROUNDS: usize = 3;

/// Which style a series has. Hues change from one to the next, shapes too; where the hues begin again, dashes and shapes are
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style(pub usize);

/// The shape of a series' marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square on its side.
    Square,
    /// A triangle that points up.
    Triangle,
    /// A square on its corner.
    Diamond,
}

impl Marker {
    const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];
}

impl Style {
    /// How many styles differ; then they begin again.
    pub const COUNT: usize = PALETTE.len() * ROUNDS;

    /// Its place in [`PALETTE`].
    pub fn colour(self) -> usize {
        self.0 % PALETTE.len()
    }

    /// Which kind of dashes it has: 0 for none, 1 for long ones, 2 for short ones.
    pub fn round(self) -> usize {
        self.0 / PALETTE.len() % ROUNDS
    }

    /// The place of its shape among all shapes.
    pub fn shape(self) -> usize {
        (self.0 + self.round()) % Marker::ALL.len()
    }

    /// The shape of its marks.
    pub fn marker(self) -> Marker {
        Marker::ALL[self.shape()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    /// Light and dark colours of series, and the cards that they lie on, as the style sheet says.
    fn themes() -> [(Vec<Rgb>, Rgb); 2] {
        let sheet = include_str!("../assets/base.css");
        let (light, dark) = sheet.split_once("prefers-color-scheme: dark").unwrap();
        [light, dark].map(|part| {
            let colour = |name: &str| {
                let hex = part.split_once(&format!("--{name}: #")).unwrap().1;
                [0, 2, 4]
                    .map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
            };
            ((1..=8).map(|it| colour(&format!("c{it}"))).collect(), colour("card"))
        })
    }

    fn linear(colour: Rgb) -> Rgb {
        colour.map(|it| if it <= 0.04045 { it / 12.92 } else { ((it + 0.055) / 1.055).powf(2.4) })
    }

    /// The contrast ratio of WCAG 2.
    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let luminance = |it: Rgb| {
            let [r, g, b] = linear(it);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// What colour-blind readers see in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
    const SIGHTS: [[Rgb; 3]; 3] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    ];

    fn times(matrix: &[Rgb; 3], colour: Rgb) -> Rgb {
        matrix.map(|row| row.iter().zip(colour).map(|(a, b)| a * b).sum())
    }

    /// CIE Lab under D65 of what `sight` makes of an sRGB colour.
    fn lab(colour: Rgb, sight: &[Rgb; 3]) -> Rgb {
        const XYZ: [Rgb; 3] = [
            [0.412_456_4, 0.357_576_1, 0.180_437_5],
            [0.212_672_9, 0.715_152_2, 0.072_175_0],
            [0.019_333_9, 0.119_192_0, 0.950_304_1],
        ];
        let seen = times(sight, linear(colour)).map(|it| it.clamp(0.0, 1.0));
        let [x, y, z] = times(&XYZ, seen);
        let f = |it: f64| {
            if it > 216.0 / 24389.0 { it.cbrt() } else { (24389.0 / 27.0 * it + 16.0) / 116.0 }
        };
        let [x, y, z] = [f(x / 0.95047), f(y), f(z / 1.08883)];
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn apart(one: Rgb, other: Rgb) -> f64 {
        one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_light_colours_are_those_of_the_style_sheet() {
        let [(light, _), _] = themes();
        let ours = PALETTE.map(|it| [it.0, it.1, it.2].map(|it| f64::from(it) / 255.0));
        assert_eq!(light, ours);
    }

    #[test]
    fn every_colour_stands_out_from_its_card() {
        for (colours, card) in themes() {
            for (at, colour) in colours.into_iter().enumerate() {
                let found = contrast(colour, card);
                assert!(found >= 3.0, "c{} has a contrast of {found:.2}", at + 1);
            }
        }
    }

    #[test]
    fn neighbours_differ_in_two_of_hue_dash_and_shape_and_no_two_styles_are_the_same() {
        let looks = |it: usize| {
            let style = Style(it);
            [style.colour(), style.round(), style.shape()]
        };
        let differences =
            |a: usize, b: usize| looks(a).iter().zip(looks(b)).filter(|(a, b)| **a != *b).count();
        for at in 0..Style::COUNT {
            for other in at + 1..Style::COUNT {
                assert!(differences(at, other) > 0, "{at} and {other} look the same");
                let same_hue = (other - at).is_multiple_of(PALETTE.len());
                if other == at + 1 || same_hue {
                    assert!(
                        differences(at, other) > 1,
                        "{at} and {other} are told apart by one thing"
                    );
                }
            }
        }
        assert_eq!(looks(0), looks(Style::COUNT), "then they begin again");
    }

    #[test]
    fn neighbours_stay_apart_for_colour_blind_readers() {
        for (colours, _) in themes() {
            for sight in &SIGHTS {
                for at in 0..colours.len() {
                    let next = (at + 1) % colours.len();
                    let found = apart(lab(colours[at], sight), lab(colours[next], sight));
                    assert!(found > 20.0, "c{} and c{}: {found:.1}", at + 1, next + 1);
                    // Any other two that come close have other shapes or are far apart on the board.
                    for other in at + 2..colours.len() {
                        let found = apart(lab(colours[at], sight), lab(colours[other], sight));
                        let shapes = Style(at).shape() != Style(other).shape();
                        assert!(
                            found > 10.0 || shapes,
                            "c{} and c{}: {found:.1}",
                            at + 1,
                            other + 1
                        );
                    }
                }
            }
        }
    }
}
