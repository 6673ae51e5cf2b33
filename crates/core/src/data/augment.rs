//! Random changes of training images, as they are drawn.
//!
//! Shift, rotation, shear, zoom, crop, flip and the resize to the network's input are one affine map and
//! one sampling, so an image is interpolated once. Brightness, contrast and erasing follow, in this order.
//! Every number follows from (seed, epoch, item), drawn on the host.

use std::collections::BTreeMap;

use ferrite_random::{Random, Use};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::flip::Flip;
use crate::error::Problem;

/// The `[augment]` table: random changes of training images, drawn anew in every epoch. What is left out is off. An image
/// is shifted, rotated, sheared, zoomed, cropped and flipped, in this order but interpolated only once, bilinearly; beyond
/// its edge the pixels of the edge are repeated: `nearest` of Keras's `ImageDataGenerator`, where Keras's layers have
/// `reflect` and torchvision fills with 0. Then its brightness and contrast are changed, and at last a part is erased.
///
/// ```toml
/// [augment]
/// flip       = 0.5
/// rotation   = 10
/// shift      = 0.1
/// zoom       = 0.1
/// brightness = [0.8, 1.2]
/// erase      = 0.25
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Probability of mirroring left and right. With `"alternating"` a random half of the images is mirrored in the first
    /// epoch of a stage, and in every other epoch those that were not in the one before: two epochs show each image both
    /// ways, where chance shows every second one the same way twice (Jordan 2024, <https://arxiv.org/abs/2404.00498>).
    #[schemars(extend("x-technique" = "flip", "x-unit" = "probability", "x-off" = 0.0))]
    pub flip: Flip,
    /// Largest rotation in degrees, in either direction; drawn uniformly.
    #[schemars(extend("x-technique" = "rotation", "x-unit" = "degrees", "x-off" = 0.0))]
    pub rotation: f64,
    /// Largest shift as a fraction of the size, in either direction; drawn uniformly and for each axis by itself.
    #[schemars(extend("x-technique" = "shift", "x-unit" = "share of the size", "x-off" = 0.0))]
    pub shift: f64,
    /// Largest shear in degrees, in either direction; drawn uniformly. It is Keras's `shear_range`: a row at height y moves
    /// by y sin(angle), and y shrinks to y cos(angle). The `shear_range = 0.2` of many Keras scripts is 0.2 degrees too,
    /// which does next to nothing.
    #[schemars(extend("x-technique" = "shear", "x-unit" = "degrees", "x-off" = 0.0))]
    pub shear: f64,
    /// The picture is scaled by a factor of 1 ± this; drawn uniformly. A factor above 1 makes it smaller, as in Keras.
    #[schemars(extend("x-technique" = "zoom", "x-unit" = "share of the size", "x-off" = 0.0))]
    pub zoom: f64,
    /// Whether the two axes are scaled by factors of their own or by the same one.
    #[schemars(extend("x-technique" = "zoom axes"))]
    pub zoom_axes: ZoomAxes,
    /// Side of a window as a fraction of the side of the picture, e.g. 0.9. The place of the window is drawn uniformly, and
    /// what it shows is resized to `image_size`: torchvision's `RandomCrop` of a larger picture. Left out: off.
    #[schemars(extend("x-technique" = "crop", "x-unit" = "share of the side", "x-off" = null))]
    pub crop: Option<f64>,
    /// Lowest and highest factor by which all gray levels are multiplied, e.g. `[0.8, 1.2]`; drawn uniformly, and the
    /// result is clipped to 0-255. Left out: off.
    #[schemars(extend("x-technique" = "brightness", "x-unit" = "lowest and highest factor", "x-off" = null))]
    pub brightness: Option<[f64; 2]>,
    /// Lowest and highest factor by which the distance of each pixel from the mean gray level of the image is multiplied,
    /// e.g. `[0.8, 1.2]`; drawn uniformly, and the result is clipped to 0-255: torchvision's `ColorJitter`. Left out: off.
    #[schemars(extend("x-technique" = "contrast", "x-unit" = "lowest and highest factor", "x-off" = null))]
    pub contrast: Option<[f64; 2]>,
    /// Probability of erasing a rectangle of 2 to 33 % of the area, filled with the mean gray level
    /// (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>, with torchvision's ranges).
    #[schemars(extend("x-technique" = "erasing", "x-unit" = "probability", "x-off" = 0.0))]
    pub erase: f64,
    /// To save time: draws so many augmented views of each image once, computes the frozen layers once for each view, and
    /// lets the epochs take the views in turn. 0 draws new changes in every epoch, and the frozen layers are computed in
    /// every step. It has no effect in stages without frozen layers, or with noise on the input, mixup or cutmix, where
    /// new changes are always drawn.
    #[schemars(extend("x-technique" = "cached views", "x-unit" = "views", "x-off" = 0))]
    pub cached_views: usize,
}

/// How the factors of the two axes belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZoomAxes {
    /// Each axis has a factor of its own, as in Keras: faces get wider or longer.
    #[default]
    Independent,
    /// Both axes have the same factor, as in torchvision's `RandomAffine`.
    Joint,
}

/// Share of the area and width-to-height ratio of an erased rectangle.
const ERASED_AREA: [f64; 2] = [0.02, 0.33];
const ERASED_RATIO: [f64; 2] = [0.3, 3.3];

/// A rectangle in fractions of the image, 0-1 from the left and the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

/// A square part of a picture, in fractions of its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Distance from the left edge.
    pub left: f64,
    /// Distance from the upper edge.
    pub top: f64,
    /// Its side.
    pub side: f64,
}

/// What happens to one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Mirrored left and right.
    pub flip: bool,
    /// Rotation in degrees, counter-clockwise.
    pub rotation: f64,
    /// Shift of the sampled window along x and y, as fractions of the size: the picture moves the other way.
    pub shift: [f64; 2],
    /// Shear in degrees.
    pub shear: f64,
    /// Zoom along x and y; above 1 shows more than the image.
    pub zoom: [f64; 2],
    /// What is shown of the result of all these.
    pub window: Window,
    /// Factor on the gray levels.
    pub brightness: f64,
    /// Factor on the distance from the mean gray level.
    pub contrast: f64,
    /// What is erased, as fractions of the size.
    pub erased: Option<Rectangle>,
}

impl Augment {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let probability = "is a probability and must be from 0 to 1";
        let fraction = "must be at least 0 and below 1";
        let factors = "must be two factors above 0, the lower one first, e.g. [0.8, 1.2]";
        let range = |[low, high]: [f64; 2]| 0.0 < low && low <= high && high <= 10.0;
        [
            Problem::unless(self.flip.is_possible(), "flip", probability),
            Problem::unless(
                (0.0..=180.0).contains(&self.rotation),
                "rotation",
                "must be from 0 to 180 degrees",
            ),
            Problem::unless((0.0..1.0).contains(&self.shift), "shift", fraction),
            Problem::unless(
                (0.0..=80.0).contains(&self.shear),
                "shear",
                "must be from 0 to 80 degrees",
            ),
            Problem::unless((0.0..1.0).contains(&self.zoom), "zoom", fraction),
            Problem::unless(
                self.crop.is_none_or(|it| 0.0 < it && it <= 1.0),
                "crop",
                "is a fraction of the picture's side and must be above 0 and at most 1, e.g. 0.9",
            ),
            Problem::unless(self.brightness.is_none_or(range), "brightness", factors),
            Problem::unless(self.contrast.is_none_or(range), "contrast", factors),
            Problem::unless((0.0..=1.0).contains(&self.erase), "erase", probability),
            Problem::unless(
                self.cached_views == 0 || self.acts(),
                "cached_views",
                "has no views to keep: set what changes images, such as `flip`, or leave it out",
            ),
            Problem::unless(
                self.flip != Flip::Alternating || self.cached_views.is_multiple_of(2),
                "cached_views",
                "must be even where `flip` is `\"alternating\"`, since the epochs take the views in turn",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether any image can change.
    pub fn acts(&self) -> bool {
        *self != Self { cached_views: self.cached_views, ..Self::default() }
    }

    /// What happens to image `item` in `epoch`.
    ///
    /// A new setting draws behind all others, so that files without it see the numbers they always saw.
    pub fn draw(&self, seed: u64, epoch: usize, item: u32) -> Change {
        let mut random = Random::at(seed, Use::Augment, epoch as u64, u64::from(item));
        let around = |random: &mut Random, middle: f64, width: f64| {
            random.between(middle - width, middle + width)
        };
        let rotation = around(&mut random, 0.0, self.rotation);
        let shift = [(); 2].map(|()| around(&mut random, 0.0, self.shift));
        let zoom = [(); 2].map(|()| around(&mut random, 1.0, self.zoom));
        let brightness = within(&mut random, self.brightness);
        let flip = self.flip.mirrors(random.unit(), seed, epoch, item);
        let erases = random.chance(self.erase);
        // Drawn whether it is used or not: what follows then does not depend on it.
        let rectangle = draw_rectangle(&mut random);
        let shear = around(&mut random, 0.0, self.shear);
        let contrast = within(&mut random, self.contrast);
        let side = self.crop.unwrap_or(1.0);
        let [left, top] = [(); 2].map(|()| random.between(0.0, 1.0 - side));
        Change {
            flip,
            rotation,
            shift,
            shear,
            zoom: match self.zoom_axes {
                ZoomAxes::Independent => zoom,
                ZoomAxes::Joint => [zoom[0]; 2],
            },
            window: Window { left, top, side },
            brightness,
            contrast,
            erased: erases.then_some(rectangle),
        }
    }
}

fn within(random: &mut Random, range: Option<[f64; 2]>) -> f64 {
    let [low, high] = range.unwrap_or([1.0, 1.0]);
    random.between(low, high)
}

fn draw_rectangle(random: &mut Random) -> Rectangle {
    let area = random.between(ERASED_AREA[0], ERASED_AREA[1]);
    // Uniform in the logarithm, so that wide and tall ones are equally likely.
    let ratio = random.between(ERASED_RATIO[0].ln(), ERASED_RATIO[1].ln()).exp();
    let (width, height) = ((area * ratio).sqrt().min(1.0), (area / ratio).sqrt().min(1.0));
    let (left, top) = (random.between(0.0, 1.0 - width), random.between(0.0, 1.0 - height));
    Rectangle { left, top, right: left + width, bottom: top + height }
}

impl Window {
    /// The whole picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, side: 1.0 };

    /// Its centre in -1..1 across the picture.
    fn centre(self) -> [f64; 2] {
        [self.left, self.top].map(|edge| 2.0 * edge + self.side - 1.0)
    }
}

impl Change {
    /// The image as it is.
    pub const NONE: Self = Self {
        flip: false,
        rotation: 0.0,
        shift: [0.0; 2],
        shear: 0.0,
        zoom: [1.0; 2],
        window: Window::WHOLE,
        brightness: 1.0,
        contrast: 1.0,
        erased: None,
    };

    /// The affine map from an output position to an input position, both in -1..1.
    ///
    /// It is shift · rotation · shear · zoom · window · flip, where `rotation · shear` is
    /// `[[cos r, -sin(r + s)], [sin r, cos(r + s)]]`, the matrices of Keras's `apply_affine_transform`.
    /// Keras has the shift between rotation and shear.
    pub fn map(&self) -> [f32; 6] {
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let (sin_sheared, cos_sheared) = (self.rotation + self.shear).to_radians().sin_cos();
        let [zoom_x, zoom_y] = self.zoom;
        let rows = [[cos * zoom_x, -sin_sheared * zoom_y], [sin * zoom_x, cos_sheared * zoom_y]];
        let mirror = if self.flip { -1.0 } else { 1.0 };
        let (side, centre) = (self.window.side, self.window.centre());
        let mut map = [0.0; 6];
        for (row, ([along, down], shift)) in map.chunks_mut(3).zip(rows.into_iter().zip(self.shift))
        {
            let shift = 2.0 * shift + along * centre[0] + down * centre[1];
            row.copy_from_slice(&[along * side * mirror, down * side, shift].map(|it| it as f32));
        }
        map
    }
}

/// Share of the images that one of two epochs mirrors and the other does not.
pub fn mirrored_in_turns([first, second]: [&[Change]; 2]) -> f64 {
    let turned = first.iter().zip(second).filter(|(first, second)| first.flip != second.flip);
    turned.count() as f64 / first.len().max(1) as f64
}

/// Share of `changes` that each operation took part in, by its name in the table.
pub fn shares(changes: &[Change]) -> BTreeMap<String, f64> {
    let share = |changed: fn(&Change) -> bool| {
        changes.iter().filter(|it| changed(it)).count() as f64 / changes.len().max(1) as f64
    };
    [
        ("flip", share(|it| it.flip)),
        ("rotation", share(|it| it.rotation != 0.0)),
        ("shift", share(|it| it.shift != [0.0; 2])),
        ("shear", share(|it| it.shear != 0.0)),
        ("zoom", share(|it| it.zoom != [1.0; 2])),
        ("crop", share(|it| it.window != Window::WHOLE)),
        ("brightness", share(|it| it.brightness != 1.0)),
        ("contrast", share(|it| it.contrast != 1.0)),
        ("erase", share(|it| it.erased.is_some())),
    ]
    .into_iter()
    .filter(|(_, share)| *share > 0.0)
    .map(|(name, share)| (name.to_owned(), share))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the settings of the first version draw.
    fn first_settings() -> Augment {
        Augment {
            flip: Flip::Random(0.5),
            rotation: 10.0,
            shift: 0.1,
            zoom: 0.1,
            brightness: Some([0.8, 1.2]),
            erase: 0.5,
            ..Augment::default()
        }
    }

    /// Recorded with the program as it was before shear, contrast, crop and joint zoom: results that lie on
    /// disk under old keys were made with these numbers.
    #[test]
    fn files_without_the_newer_settings_see_the_numbers_they_always_saw() {
        for (item, recorded) in [
            (
                11,
                "0 8.575610591764903 -0.0012585947762050048 0.026028258277347643 1.064419734551475 \
                 1.0075338011708055 1.1062246125118342 0.3136452556690731 0.3075917606370187 \
                 0.8134387745109849 0.5991089086441045",
            ),
            (
                12,
                "1 6.818544902994216 0.015951930430573122 -0.08322356312170101 1.0664909335787454 \
                 1.003490420347416 0.8943734617093287",
            ),
            (
                13,
                "1 -9.42695223100828 0.08749206194092016 -0.0038315223066835574 1.0732966664209607 \
                 1.0464520590340007 0.9885960672309193 0.2501133794927039 0.4480294549512032 \
                 0.7732742144199083 0.9685129004265993",
            ),
        ] {
            let it = first_settings().draw(7, 3, item);
            let ([shift_x, shift_y], [zoom_x, zoom_y]) = (it.shift, it.zoom);
            let mut drawn = vec![f64::from(u8::from(it.flip)), it.rotation, shift_x, shift_y];
            drawn.extend([zoom_x, zoom_y, it.brightness]);
            drawn.extend(it.erased.iter().flat_map(|it| [it.left, it.top, it.right, it.bottom]));
            let recorded: Vec<f64> =
                recorded.split_whitespace().map(|it| it.parse().unwrap()).collect();
            assert_eq!(drawn, recorded, "image {item}");
            assert_eq!((it.shear, it.contrast, it.window), (0.0, 1.0, Window::WHOLE));
        }
    }

    #[test]
    fn newer_settings_leave_the_draws_of_the_others_alone() {
        let all = Augment {
            shear: 10.0,
            contrast: Some([0.5, 1.5]),
            crop: Some(0.9),
            ..first_settings()
        };
        for item in 0..100 {
            let (plain, more) = (first_settings().draw(0, 1, item), all.draw(0, 1, item));
            let Change { shear, contrast, window, .. } = more;
            assert_eq!(Change { shear, window, contrast, ..plain }, more);
            let none = Augment { shear: 10.0, ..Augment::default() }.draw(0, 1, item);
            assert_eq!(none.shear, shear, "a draw depends on another setting");
        }
    }

    #[test]
    fn joint_zoom_is_the_same_for_both_axes() {
        let independent = first_settings();
        let joint = Augment { zoom_axes: ZoomAxes::Joint, ..first_settings() };
        for item in 0..20 {
            let ([a, b], [c, d]) = (independent.draw(0, 1, item).zoom, joint.draw(0, 1, item).zoom);
            assert!(a != b && c == d && a == c, "{a} {b} {c} {d}");
        }
    }

    #[test]
    fn changes_follow_from_seed_epoch_and_item_and_fill_their_ranges() {
        let augment = Augment {
            flip: Flip::Random(0.5),
            rotation: 10.0,
            zoom: 0.1,
            shear: 5.0,
            contrast: Some([0.5, 1.5]),
            crop: Some(0.9),
            ..Augment::default()
        };
        assert_eq!(augment.draw(1, 2, 3), augment.draw(1, 2, 3));
        assert_ne!(augment.draw(1, 2, 3), augment.draw(1, 3, 3));
        let changes: Vec<_> = (0..1000).map(|it| augment.draw(0, 1, it)).collect();
        for (name, of, [low, high]) in [
            ("rotation", (|it| it.rotation) as fn(&Change) -> f64, [-10.0, 10.0]),
            ("shear", |it| it.shear, [-5.0, 5.0]),
            ("contrast", |it| it.contrast, [0.5, 1.5]),
            ("left", |it| it.window.left, [0.0, 0.1]),
            ("bottom", |it| it.window.top + it.window.side, [0.9, 1.0]),
        ] {
            let least = changes.iter().map(of).fold(f64::MAX, f64::min);
            let most = changes.iter().map(of).fold(f64::MIN, f64::max);
            let edge = 0.02 * (high - low);
            let fills = (low..low + edge).contains(&least) && (high - edge..=high).contains(&most);
            assert!(fills, "{name}: {least} to {most}");
        }
        let shares = shares(&changes);
        assert!((shares["flip"] - 0.5).abs() < 0.05, "{shares:?}");
        let names: Vec<&str> = shares.keys().map(String::as_str).collect();
        assert_eq!(names, ["contrast", "crop", "flip", "rotation", "shear", "zoom"]);
    }

    #[test]
    fn what_cannot_be_right_is_told() {
        for (text, key) in [
            ("shear = 90", "shear"),
            ("crop = 0.0", "crop"),
            ("crop = 1.1", "crop"),
            ("contrast = [1.2, 0.8]", "contrast"),
            ("contrast = [0.0, 0.8]", "contrast"),
            ("brightness = [1.2, 0.8]", "brightness"),
            ("flip = 'alternating'\ncached_views = 3", "cached_views"),
        ] {
            let problems = toml::from_str::<Augment>(text).unwrap().check();
            let keys: Vec<&str> = problems.iter().map(|it| it.key.as_str()).collect();
            assert_eq!(keys, [key], "{text}");
        }
        let fine = "shear = 20\ncrop = 0.9\ncontrast = [0.8, 1.2]\nzoom_axes = \"joint\"";
        assert_eq!(toml::from_str::<Augment>(fine).unwrap().check(), []);
    }
}
