//! Several seeds on the same images: how sure a mean is when both seeds and images vary.
//!
//! The values of seeds and images are a table without repetition, whose mean has the variance
//! `seed²/S + image²/n + rest²/(S n)`. Its parts come from a two-way analysis of variance, as in studies of
//! several readers on the same cases (Dorfman, Berbaum and Metz 1992), the degrees of freedom
//! after Satterthwaite (1946) and Hillis (2007). Parts that would be negative count as 0, in both.

use super::distribution::{t_critical, t_two_sided};
use super::paired::Discordant;
use super::Gain;

/// A mean over seeds and images, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The interval that holds the true mean with the level asked for.
    pub interval: [f64; 2],
    /// P value of the mean being 0, two-sided.
    pub p: f64,
}

/// The difference of two accuracies from the `gains` of each seed, all on the same images. With one
/// seed it speaks of two networks: the bootstrap over images and McNemar's test. With several it
/// speaks of two ways of training. None without seeds or images.
pub fn difference(gains: &[Vec<Gain>], level: f64) -> Option<Estimate> {
    match gains {
        [] => None,
        [only] => {
            let counts = Discordant::of(only);
            let interval = counts.bootstrap(level)?;
            Some(Estimate { mean: counts.difference(), interval, p: counts.mcnemar() })
        }
        several => mean(several, level),
    }
}

/// The mean of `values` by seed and image; none with fewer than two seeds or images, or if the seeds
/// do not have the same number of images.
pub fn mean(values: &[Vec<Gain>], level: f64) -> Option<Estimate> {
    let (seeds, images) = (values.len(), values.first()?.len());
    if seeds < 2 || images < 2 || values.iter().any(|it| it.len() != images) {
        return None;
    }
    let squares = Squares::of(values);
    let cells = seeds as f64 * images as f64;
    let mean = squares.total / cells;
    let Squares { seed, image, rest, .. } = squares;
    let variance = (rest + (seed - rest).max(0.0) + (image - rest).max(0.0)) / cells;
    if variance <= 0.0 {
        // All images agree under all seeds: there is nothing that varies, only their number counts.
        let p = if mean == 0.0 { 1.0 } else { Discordant::of(&values[0]).mcnemar() };
        return Some(Estimate { mean, interval: [mean; 2], p });
    }
    let most = images as f64 - 1.0;
    let df = (seeds as f64 - 1.0) * (variance * cells / seed.max(rest)).powi(2);
    let (df, error) = (df.min(most), variance.sqrt());
    let half = t_critical(1.0 - level, df) * error;
    let p = t_two_sided(mean / error, df);
    Some(Estimate { mean, interval: [mean - half, mean + half], p })
}

/// Mean squares of a two-way analysis of variance without repetition.
struct Squares {
    /// Sum of all values.
    total: f64,
    seed: f64,
    image: f64,
    rest: f64,
}

impl Squares {
    fn of(values: &[Vec<Gain>]) -> Self {
        let (seeds, images) = (values.len() as f64, values[0].len() as f64);
        // Sums of small whole numbers: exact, so that equal seeds have no variance at all.
        let number = |it: i64| it as f64;
        let by_seed: Vec<i64> =
            values.iter().map(|it| it.iter().map(|it| i64::from(*it)).sum()).collect();
        let mut by_image = vec![0_i64; values[0].len()];
        for seed in values {
            for (sum, it) in by_image.iter_mut().zip(seed) {
                *sum += i64::from(*it);
            }
        }
        let total: i64 = by_seed.iter().sum();
        let squared = |it: &[i64]| it.iter().map(|it| it * it).sum::<i64>();
        let all: i64 = values.iter().flatten().map(|it| i64::from(*it) * i64::from(*it)).sum();
        // Each sum of squares times seeds x images, still whole.
        let (s, n) = (values.len() as i64, values[0].len() as i64);
        let seed = s * squared(&by_seed) - total * total;
        let image = n * squared(&by_image) - total * total;
        let rest = s * n * all - total * total - seed - image;
        let cells = seeds * images;
        Self {
            total: number(total),
            seed: number(seed) / cells / (seeds - 1.0),
            image: number(image) / cells / (images - 1.0),
            rest: number(rest) / cells / ((seeds - 1.0) * (images - 1.0)),
        }
    }
}
