//! Mixup and cutmix: each image of a batch mixed with another one of it, and their labels likewise.
//!
//! Everything is a function of (seed, epoch, step).

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::event::acts::Mixed;
use ferrite_random::{Random, Use};
use ferrite_torch::ops;
use ferrite_torch::tensor::from_floats;

use crate::train::order::StepAt;

/// The alpha of each technique's Beta distribution; 0 is off.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct Alphas {
    pub(in crate::train) mixup: f64,
    pub(in crate::train) cutmix: f64,
}

/// How many images a batch has, and how large they are.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct BatchShape {
    pub(in crate::train) images: usize,
    /// Pixels a side.
    pub(in crate::train) size: usize,
}

/// How the images of one batch are mixed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Mix {
    /// The image that each one is mixed with, by place in the batch.
    pub(in crate::train) partners: Vec<u32>,
    /// Share of an image that stays its own, 0-1.
    pub(in crate::train) own: f64,
    /// Rows and columns, from and to, that come from the partner (cutmix); none where the two are
    /// blended (mixup).
    pub(in crate::train) cut: Option<[[usize; 2]; 2]>,
}

impl Mix {
    /// Draws the mixing of a batch; none if both techniques
    /// are off. The shares are drawn from Beta(alpha, alpha), one for the batch.
    pub(in crate::train) fn draw(alphas: Alphas, at: StepAt, batch: BatchShape) -> Option<Self> {
        let (Alphas { mixup, cutmix }, BatchShape { images, size }) = (alphas, batch);
        let mut random = at.random(Use::Mix);
        let cuts = match (mixup > 0.0, cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => random.chance(0.5),
            (_, cuts) => cuts,
        };
        let alpha = if cuts { cutmix } else { mixup };
        let own = random.beta(alpha, alpha);
        let mut partners: Vec<u32> = (0..images as u32).collect();
        random.shuffle(&mut partners);
        if !cuts {
            return Some(Self { partners, own, cut: None });
        }
        let cut = rectangle(own, size, &mut random);
        let area: usize = cut.iter().map(|[from, to]| to - from).product();
        let own = 1.0 - area as f64 / (size * size) as f64;
        Some(Self { partners, own, cut: Some(cut) })
    }

    /// What the log says of it.
    pub(in crate::train) fn told(&self) -> Mixed {
        Mixed { other: 1.0 - self.own, cut: f64::from(u8::from(self.cut.is_some())) }
    }

    /// The images of a batch, mixed.
    ///
    /// - input and output: `[batch, channels, size, size]`
    pub(in crate::train) fn images(&self, x: Tensor<4>, device: Device) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let others = ops::select(x.clone(), &self.partners);
        let mixed = match self.cut {
            None => x * self.own + others * (1.0 - self.own),
            Some([rows, columns]) => {
                let inside = |at: usize, [from, to]: [usize; 2]| (from..to).contains(&at);
                let own = |pixel: usize| {
                    let taken = inside(pixel / width, rows) && inside(pixel % width, columns);
                    f32::from(u8::from(!taken))
                };
                let own: Vec<f32> = (0..height * width).map(own).collect();
                let own = from_floats(&own, [1, 1, height, width], device);
                x * own.clone() + others * (-own + 1.0)
            }
        };
        ops::channels_last(mixed)
    }
}

/// A rectangle around a random point that covers `1 - own` of the image where it lies inside: rows and
/// columns, from and to (Yun et al. 2019, <https://arxiv.org/abs/1905.04899>, their `rand_bbox`).
fn rectangle(own: f64, size: usize, random: &mut Random) -> [[usize; 2]; 2] {
    let length = (size as f64 * (1.0 - own).sqrt()) as usize;
    [(); 2].map(|()| {
        let middle = random.below(size);
        let from = middle.saturating_sub(length / 2);
        [from, (middle + length / 2).min(size)]
    })
}

#[cfg(test)]
mod tests {
    use ferrite_torch::tensor::to_floats;

    use super::*;

    /// The mixing of four images of eight pixels a side.
    fn draw([mixup, cutmix]: [f64; 2], step: usize) -> Option<Mix> {
        let at = StepAt { seed: 1, epoch: 1, step };
        Mix::draw(Alphas { mixup, cutmix }, at, BatchShape { images: 4, size: 8 })
    }

    fn batch() -> Tensor<4> {
        let values: Vec<f32> = (0..4 * 2 * 8 * 8).map(|it| (it as f32).sin()).collect();
        from_floats(&values, [4, 2, 8, 8], Device::Cpu)
    }

    /// Checks every pixel of a mixed batch against `expected(own pixel, partner's pixel, row, column)`.
    #[track_caller]
    fn check(mix: &Mix, expected: impl Fn(f32, f32, usize, usize) -> f32) {
        let (before, after) = (to_floats(batch()), to_floats(mix.images(batch(), Device::Cpu)));
        for (at, found) in after.iter().enumerate() {
            let (image, inside) = (at / 128, at % 128);
            let other = before[mix.partners[image] as usize * 128 + inside];
            let wanted = expected(before[at], other, inside % 64 / 8, inside % 8);
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }

    #[test]
    fn mixup_blends_every_pixel_and_cutmix_takes_a_rectangle_of_its_share() {
        for step in 0..50 {
            let mix = draw([0.5, 0.0], step).unwrap();
            let own = mix.own as f32;
            check(&mix, |a, b, _, _| a * own + b * (1.0 - own));
            let mix = draw([0.0, 1.0], step).unwrap();
            let [rows, columns] = mix.cut.unwrap();
            let taken = |row, column| {
                (rows[0]..rows[1]).contains(&row) && (columns[0]..columns[1]).contains(&column)
            };
            let area = (0..64).filter(|it| taken(it / 8, it % 8)).count();
            assert!((mix.own - (1.0 - area as f64 / 64.0)).abs() < 1e-12, "the share is corrected");
            check(&mix, |a, b, row, column| if taken(row, column) { b } else { a });
        }
    }

    #[test]
    fn both_together_take_turns_and_neither_mixes_nothing() {
        assert_eq!(draw([0.0, 0.0], 0), None);
        let cuts = |step| draw([0.2, 1.0], step).unwrap().cut.is_some();
        let cut = (0..400).filter(|it| cuts(*it)).count();
        assert!((150..250).contains(&cut), "{cut} of 400");
    }
}
