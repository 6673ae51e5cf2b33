//! Random changes of training images, on the device.
//!
//! Shift, rotation, shear, zoom, crop, flip and the resize to the network's input are one affine map and
//! one sampling, so an image is interpolated once. Brightness, contrast and erasing follow, in this order.
//! Every number follows from (seed, epoch, item), drawn on the host.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::random::{Random, Use};
use crate::torch::picture::{self, Rectangle};

/// The `[augment]` table: random changes of training images. What is left out is off. An image is
/// shifted, rotated, sheared, zoomed, cropped and flipped, in this order but interpolated once; edges are
/// replicated, as with Keras's `nearest`. Then its brightness and contrast change, then a part is erased.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Probability of mirroring left and right.
    #[schemars(extend("x-technique" = "flip", "x-unit" = "probability", "x-off" = 0.0))]
    pub flip: f64,
    /// Largest rotation in degrees, either way; uniform.
    #[schemars(extend("x-technique" = "rotation", "x-unit" = "degrees", "x-off" = 0.0))]
    pub rotation: f64,
    /// Largest shift as a fraction of the size, along each axis by itself; uniform.
    #[schemars(extend("x-technique" = "shift", "x-unit" = "share of the size", "x-off" = 0.0))]
    pub shift: f64,
    /// Largest shear in degrees, either way; uniform. As in Keras: a row at height y moves by y sin(angle),
    /// and y shrinks to y cos(angle). Keras's usual `shear_range = 0.2` is 0.2 degrees too: next to nothing.
    #[schemars(extend("x-technique" = "shear", "x-unit" = "degrees", "x-off" = 0.0))]
    pub shear: f64,
    /// Zoom factor within 1 ± this; uniform. Above 1 the picture is smaller.
    #[schemars(extend("x-technique" = "zoom", "x-unit" = "share of the size", "x-off" = 0.0))]
    pub zoom: f64,
    /// Whether the two axes zoom by factors of their own or by the same.
    #[schemars(extend("x-technique" = "zoom axes"))]
    pub zoom_axes: ZoomAxes,
    /// Side of a window of the picture, as a fraction of the picture's, e.g. 0.9. The window lies anywhere in
    /// the picture, uniform, and is resized to `image_size`: torchvision's `RandomCrop` of a larger picture.
    /// Left out: off.
    #[schemars(extend("x-technique" = "crop", "x-unit" = "share of the side", "x-off" = null))]
    pub crop: Option<f64>,
    /// Lowest and highest factor on the gray levels, e.g. `[0.8, 1.2]`; uniform, clipped to 0-255.
    /// Left out: off.
    #[schemars(extend("x-technique" = "brightness", "x-unit" = "lowest and highest factor", "x-off" = null))]
    pub brightness: Option<[f64; 2]>,
    /// Lowest and highest factor on the distance from the image's mean gray level, e.g. `[0.8, 1.2]`; uniform,
    /// clipped to 0-255: torchvision's `ColorJitter`. Left out: off.
    #[schemars(extend("x-technique" = "contrast", "x-unit" = "lowest and highest factor", "x-off" = null))]
    pub contrast: Option<[f64; 2]>,
    /// Probability of erasing a rectangle of 2 to 33 % of the area, filled with the mean gray level
    /// (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>, with torchvision's ranges).
    #[schemars(extend("x-technique" = "erasing", "x-unit" = "probability", "x-off" = 0.0))]
    pub erase: f64,
    /// How many augmented views of each image are kept where a stage's frozen layers can be computed once: the
    /// epochs take them in turn, and each goes through the frozen layers a single time, as with images that do not
    /// change. 0 draws new changes in every epoch, and the frozen layers run in every step. Without effect in
    /// stages without frozen layers, or with noise on the input, mixup or cutmix: these always see new changes.
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
            Problem::unless((0.0..=1.0).contains(&self.flip), "flip", probability),
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
        let flip = random.chance(self.flip);
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

    /// Changes a batch and brings it to `size`.
    ///
    /// - input: `[batch, channels, h, w]`, gray levels 0-255
    /// - output: `[batch, channels, size, size]`, gray levels 0-255
    pub fn apply(&self, x: Tensor<4>, changes: &[Change], size: usize, fill: f64) -> Tensor<4> {
        let maps: Vec<_> = changes.iter().map(Change::map).collect();
        let factors = |of: fn(&Change) -> f64| -> Vec<f32> {
            changes.iter().map(|it| of(it) as f32).collect()
        };
        let mut x = picture::sample_affine(x, &maps, size);
        if self.brightness.is_some() {
            x = picture::brighten(x, &factors(|it| it.brightness));
        }
        if self.contrast.is_some() {
            x = picture::change_contrast(x, &factors(|it| it.contrast));
        }
        if self.erase > 0.0 {
            let erased: Vec<_> = changes.iter().map(|it| it.erased).collect();
            x = picture::erase(x, &erased, fill);
        }
        x
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

    /// This part of each picture of `x`, at `size` pixels a side; the whole is resized as images are that
    /// do not change.
    ///
    /// - input: `[batch, channels, h, w]`
    /// - output: `[batch, channels, size, size]`
    pub fn of(self, x: Tensor<4>, size: usize) -> Tensor<4> {
        if self == Self::WHOLE {
            return picture::resize(x, size);
        }
        let [batch, ..] = x.dims();
        let map = Change { window: self, ..Change::NONE }.map();
        picture::sample_affine(x, &vec![map; batch], size)
    }

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
    use crate::torch::Device;
    use crate::torch::tensor::{from_floats, to_floats};

    /// Applies `change` to a 4x4 image whose pixel in row y, column x is 10 y + x.
    fn changed(change: Change) -> Vec<f32> {
        let pixels: Vec<f32> = (0..16_u8).map(|it| f32::from(10 * (it / 4) + it % 4)).collect();
        let image = from_floats(&pixels, [1, 1, 4, 4], Device::Cpu);
        let all = Augment { brightness: Some([0.5, 2.0]), erase: 1.0, ..Augment::default() };
        to_floats(all.apply(image, &[change], 4, 99.0)).iter().map(|it| it.round()).collect()
    }

    #[test]
    fn without_a_change_the_image_stays_as_it_is() {
        let expected: Vec<f32> = (0..16_u8).map(|it| f32::from(10 * (it / 4) + it % 4)).collect();
        assert_eq!(changed(Change::NONE), expected);
    }

    #[test]
    fn flip_mirrors_left_and_right() {
        let row = &changed(Change { flip: true, ..Change::NONE })[..4];
        assert_eq!(row, [3.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn a_quarter_turn_maps_columns_to_rows() {
        let turned = changed(Change { rotation: 90.0, ..Change::NONE });
        assert_eq!(turned[..4], [3.0, 13.0, 23.0, 33.0]);
    }

    #[test]
    fn a_shift_moves_by_its_share_and_replicates_the_edge() {
        let shifted = changed(Change { shift: [0.25, 0.0], ..Change::NONE });
        assert_eq!(shifted[..4], [1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn a_window_of_whole_pixels_is_cut_out() {
        let window = Window { left: 0.25, top: 0.5, side: 0.5 };
        let image = from_floats(&[0.0, 1.0, 2.0, 3.0].repeat(4), [1, 1, 4, 4], Device::Cpu);
        let change = Change { window, flip: true, ..Change::NONE };
        let x = Augment::default().apply(image, &[change], 2, 0.0);
        assert_eq!(to_floats(x), [2.0, 1.0, 2.0, 1.0]);
    }

    /// Checks `change` on a 6x6 image whose pixel in row y, column x is (37 y + 23 x + 5 x y) mod 200.
    #[track_caller]
    fn check_geometry(change: Change, expected: [[f32; 6]; 6]) {
        let value = |it: u16| (37 * (it / 6) + 23 * (it % 6) + 5 * (it / 6) * (it % 6)) % 200;
        let pixels: Vec<f32> = (0..36).map(|it| f32::from(value(it))).collect();
        let image = from_floats(&pixels, [1, 1, 6, 6], Device::Cpu);
        let got = to_floats(Augment::default().apply(image, &[change], 6, 0.0));
        for (at, (a, b)) in got.iter().zip(expected.as_flattened()).enumerate() {
            assert!((a - b).abs() < 0.02, "row {}, column {}: {a} for {b}", at / 6, at % 6);
        }
    }

    // The numbers of the next three tests were made with scipy.ndimage.affine_transform(image, …, order=1,
    // mode="nearest") and Keras's matrices: rotation [[cos, -sin], [sin, cos]], shear [[1, -sin], [0, cos]],
    // zoom diag(zx, zy), about the centre, multiplied in this order, x and y swapped for SciPy as
    // `keras.src.legacy.preprocessing.image.apply_affine_transform` does.

    #[test]
    fn shear_is_that_of_keras() {
        let expected = [
            [25.89, 49.64, 73.40, 97.15, 120.90, 124.35],
            [54.94, 83.40, 111.85, 131.02, 150.66, 164.52],
            [80.78, 113.94, 146.06, 141.04, 13.39, 40.87],
            [109.88, 141.26, 179.11, 56.16, 55.84, 92.66],
            [144.65, 165.37, 119.34, 59.75, 93.02, 135.56],
            [179.42, 161.65, 59.30, 80.76, 128.01, 150.64],
        ];
        check_geometry(Change { shear: 20.0, ..Change::NONE }, expected);
    }

    #[test]
    fn rotation_shear_zoom_and_flip_come_in_the_order_of_keras() {
        let change =
            Change { rotation: 12.0, shear: 20.0, zoom: [1.1, 0.8], flip: true, ..Change::NONE };
        let expected = [
            [125.16, 156.72, 147.04, 105.43, 66.29, 29.61],
            [42.35, 55.06, 92.49, 128.14, 85.83, 45.98],
            [84.42, 46.29, 104.64, 146.35, 102.49, 59.48],
            [125.60, 69.58, 58.48, 164.91, 116.28, 83.90],
            [139.26, 89.98, 77.26, 152.68, 127.18, 109.00],
            [149.89, 107.51, 50.63, 175.44, 142.56, 134.10],
        ];
        check_geometry(change, expected);
    }

    // The same with a shift before them, and between zoom and flip a window of 3/4 of the side, 1/5 from the
    // left and 1/20 from the top: all as 3x3 matrices on 0..1, then SciPy once.
    #[test]
    fn all_geometry_at_once_is_interpolated_once() {
        let change = Change {
            rotation: 12.0,
            shear: 20.0,
            zoom: [1.1, 0.8],
            flip: true,
            shift: [0.05, -0.1],
            window: Window { left: 0.2, top: 0.05, side: 0.75 },
            ..Change::NONE
        };
        let expected = [
            [167.97, 157.34, 138.35, 108.07, 79.16, 51.81],
            [126.88, 150.55, 156.11, 128.07, 97.39, 68.09],
            [56.66, 75.43, 74.50, 129.98, 113.99, 82.91],
            [62.61, 35.85, 52.83, 163.22, 128.97, 96.12],
            [94.16, 54.56, 70.04, 133.76, 142.34, 107.70],
            [113.61, 71.65, 31.08, 143.00, 154.09, 117.67],
        ];
        check_geometry(change, expected);
    }

    #[test]
    fn brightness_multiplies_and_clips() {
        let bright = changed(Change { brightness: 2.0, ..Change::NONE });
        assert_eq!(bright[4..8], [20.0, 22.0, 24.0, 26.0]);
    }

    #[test]
    fn erasing_fills_the_rectangle_and_nothing_else() {
        let erased = Some(Rectangle { left: 0.0, top: 0.5, right: 0.5, bottom: 1.0 });
        let image = changed(Change { erased, ..Change::NONE });
        assert_eq!(image[8..12], [99.0, 99.0, 22.0, 23.0]);
        assert_eq!(image[..4], [0.0, 1.0, 2.0, 3.0]);
    }

    /// What the settings of the first version draw.
    fn first_settings() -> Augment {
        Augment {
            flip: 0.5,
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
            flip: 0.5,
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
        ] {
            let problems = toml::from_str::<Augment>(text).unwrap().check();
            let keys: Vec<&str> = problems.iter().map(|it| it.key.as_str()).collect();
            assert_eq!(keys, [key], "{text}");
        }
        let fine = "shear = 20\ncrop = 0.9\ncontrast = [0.8, 1.2]\nzoom_axes = \"joint\"";
        assert_eq!(toml::from_str::<Augment>(fine).unwrap().check(), []);
    }
}
