//! Several seeds on the same images: how sure a mean is when both seeds and images vary.
//!
//! The values of seeds and images are a table without repetition, whose mean has the variance
//! `seed²/S + image²/n + rest²/(S n)`. Its parts come from a two-way analysis of variance, as in studies of
//! several readers on the same cases (Dorfman, Berbaum and Metz 1992), the degrees of freedom
//! after Satterthwaite (1946) and Hillis (2007). Parts that would be negative count as 0, in both.

use crate::metrics::statistics::Gain;
use crate::metrics::statistics::distribution::{t_critical, t_two_sided};
use crate::metrics::statistics::paired::{Discordant, student};

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
    Some(squares.estimate([seeds, images], level).unwrap_or_else(|| {
        // All images agree under all seeds: there is nothing that varies, only their number counts.
        let mean = squares.mean;
        let p = if mean == 0.0 { 1.0 } else { Discordant::of(&values[0]).mcnemar() };
        Estimate { mean, interval: [mean; 2], p }
    }))
}

/// The mean of `values` by seed and image that are any numbers. Of one seed, whose training is then taken as given, it is
/// Student's interval over images. None with fewer than two images, or if the seeds do not have the same number of images.
/// Where nothing varies there is no p value: it is not a number.
pub fn mean_of_numbers(values: &[Vec<f64>], level: f64) -> Option<Estimate> {
    let (seeds, images) = (values.len(), values.first()?.len());
    if let [only] = values {
        return student(only, level);
    }
    if images < 2 || values.iter().any(|it| it.len() != images) {
        return None;
    }
    let squares = Squares::of_numbers(values);
    Some(squares.estimate([seeds, images], level).unwrap_or(Estimate {
        mean: squares.mean,
        interval: [squares.mean; 2],
        p: f64::NAN,
    }))
}

/// Mean squares of a two-way analysis of variance without repetition.
struct Squares {
    /// Mean of all values.
    mean: f64,
    seed: f64,
    image: f64,
    rest: f64,
}

impl Squares {
    /// How sure the mean is; none if nothing varies.
    fn estimate(&self, [seeds, images]: [usize; 2], level: f64) -> Option<Estimate> {
        let Self { mean, seed, image, rest } = *self;
        let cells = seeds as f64 * images as f64;
        let variance = (rest + (seed - rest).max(0.0) + (image - rest).max(0.0)) / cells;
        if variance <= 0.0 {
            return None;
        }
        let most = images as f64 - 1.0;
        let df = (seeds as f64 - 1.0) * (variance * cells / seed.max(rest)).powi(2);
        let (df, error) = (df.min(most), variance.sqrt());
        let half = t_critical(1.0 - level, df) * error;
        let p = t_two_sided(mean / error, df);
        Some(Estimate { mean, interval: [mean - half, mean + half], p })
    }

    fn of_numbers(values: &[Vec<f64>]) -> Self {
        let (seeds, images) = (values.len() as f64, values[0].len() as f64);
        let of_seeds: Vec<f64> = values.iter().map(|it| it.iter().sum::<f64>() / images).collect();
        let of_image = |at: usize| values.iter().map(|it| it[at]).sum::<f64>() / seeds;
        let of_images: Vec<f64> = (0..values[0].len()).map(of_image).collect();
        let mean = of_seeds.iter().sum::<f64>() / seeds;
        let squared = |it: &[f64]| it.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
        let rest = values.iter().zip(&of_seeds).flat_map(|(row, of_seed)| {
            let left = move |(it, of_image): (&f64, &f64)| (it - of_seed - of_image + mean).powi(2);
            row.iter().zip(&of_images).map(left)
        });
        Self {
            mean,
            seed: images * squared(&of_seeds) / (seeds - 1.0),
            image: seeds * squared(&of_images) / (images - 1.0),
            rest: rest.sum::<f64>() / ((seeds - 1.0) * (images - 1.0)),
        }
    }

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
            mean: number(total) / cells,
            seed: number(seed) / cells / (seeds - 1.0),
            image: number(image) / cells / (images - 1.0),
            rest: number(rest) / cells / ((seeds - 1.0) * (images - 1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrite_random::{Random, Use};

    use super::*;

    const FIRST: [Gain; 20] = [1, 0, 1, 1, 0, -1, 1, -1, -1, 1, 1, 1, -1, 1, 1, 0, -1, 1, -1, -1];
    const SECOND: [Gain; 20] = [0, 0, 1, 1, 0, 1, 1, 1, 1, -1, 1, -1, 1, -1, 1, 0, -1, 0, 1, 1];
    const THIRD: [Gain; 20] = [-1, 1, 1, -1, 0, 0, 0, 1, -1, 1, 0, 1, 1, 1, 1, 1, 0, -1, -1, 1];

    #[track_caller]
    fn check(values: &[Vec<Gain>], mean_: f64, p: f64, interval: [f64; 2]) {
        let it = mean(values, 0.95).unwrap();
        let pairs = [
            (it.mean, mean_),
            (it.p, p),
            (it.interval[0], interval[0]),
            (it.interval[1], interval[1]),
        ];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-10), "{it:?}");
    }

    #[test]
    fn equal_seeds_are_students_test_over_images() {
        // ttest_1samp(FIRST, 0) and its confidence_interval(0.95) in SciPy
        let interval = [-0.286_798_783_640_377_9, 0.586_798_783_640_377_9];
        check(&[FIRST.to_vec(), FIRST.to_vec()], 0.15, 0.481_035_461_866_859_25, interval);
    }

    #[test]
    fn seeds_on_images_that_do_not_matter_are_students_test_over_seeds() {
        // ttest_1samp of the seeds' means in SciPy: images vary less than the rest here.
        let seeds = [vec![1, 1, 1, 1, 1, 0], vec![0, 0, 0, 0, 0, 1], vec![1; 6]];
        let interval = [-0.428_735_101_288_071_24, 1.762_068_434_621_404_4];
        check(&seeds, 2.0 / 3.0, 0.120_117_309_871_880_27, interval);
    }

    #[test]
    fn where_seeds_vary_less_than_chance_the_rest_stands_for_them() {
        // Mean squares 0.2 (seeds), 0.5219 (images), 0.8667 (rest) by NumPy; t with 2 degrees by SciPy.
        let interval = [-0.267_114_501_254_226_2, 0.767_114_501_254_226_2];
        let seeds = [FIRST.to_vec(), SECOND.to_vec(), THIRD.to_vec()];
        check(&seeds, 0.25, 0.173_023_230_370_043_08, interval);
    }

    #[test]
    fn numbers_are_judged_as_gains_are() {
        let gains = [FIRST.to_vec(), SECOND.to_vec(), THIRD.to_vec()];
        let numbers = |it: &Vec<Gain>| it.iter().map(|it| f64::from(*it)).collect::<Vec<_>>();
        let (whole, it) = (
            mean(&gains, 0.95).unwrap(),
            mean_of_numbers(&gains.each_ref().map(numbers), 0.95).unwrap(),
        );
        let [low, high] = [0, 1].map(|end| whole.interval[end] - it.interval[end]);
        for difference in [whole.mean - it.mean, whole.p - it.p, low, high] {
            assert!(difference.abs() < 1e-12, "{it:?}");
        }
        // Of one seed it is Student's test over images, as above.
        let one = mean_of_numbers(&[numbers(&gains[0])], 0.95).unwrap();
        assert!((one.p - 0.481_035_461_866_859_25).abs() < 1e-12, "{one:?}");
        assert_eq!(mean_of_numbers(&[vec![1.0, 2.0], vec![1.0]], 0.95), None);
        let same = mean_of_numbers(&[vec![0.5; 3], vec![0.5; 3]], 0.95).unwrap();
        assert!(same.p.is_nan() && same.interval == [0.5; 2], "{same:?}");
    }

    #[test]
    fn what_cannot_be_compared_has_no_estimate() {
        assert_eq!(difference(&[], 0.95), None);
        assert_eq!(difference(&[vec![]], 0.95), None);
        assert_eq!(mean(&[vec![1, 0], vec![1]], 0.95), None);
        let same = difference(&[vec![0; 5], vec![0; 5]], 0.95).unwrap();
        assert_eq!(same, Estimate { mean: 0.0, interval: [0.0, 0.0], p: 1.0 });
        let two = difference(&[vec![1, 1], vec![1, 1]], 0.95).unwrap();
        assert!((two.p - 0.5).abs() < 1e-12, "two images are no proof, however sure they are");
    }

    /// Gains of two configurations: images have their difficulty, configurations take to some images,
    /// seeds are better or worse as a whole, and every answer has some luck.
    fn study(study: u64, seeds: u64, seed_sd: f64, better: f64) -> Vec<Vec<Gain>> {
        const IMAGES: u64 = 300;
        let draw = |what: u64, item: u64| Random::at(study, Use::Init, what, item).normal();
        let right = |side: u64, seed: u64, image: u64| {
            let own = 0.3 * draw(1 + side, image) + 0.3 * draw(100 + 2 * seed + side, image);
            let of_seed = seed_sd * draw(10 + side, seed);
            0.4 + draw(0, image) + own + of_seed + better * side as f64 > 0.0
        };
        let gain =
            |seed, image| Gain::from(right(1, seed, image)) - Gain::from(right(0, seed, image));
        (0..seeds).map(|seed| (0..IMAGES).map(|image| gain(seed, image)).collect()).collect()
    }

    /// Share of 300 made-up studies without a difference whose interval holds zero.
    fn coverage(seeds: u64, seed_sd: f64) -> f64 {
        let holds = |it: &u64| {
            let [low, high] = difference(&study(*it, seeds, seed_sd, 0.0), 0.95).unwrap().interval;
            low <= 0.0 && high >= 0.0
        };
        (0..300).filter(holds).count() as f64 / 300.0
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth() {
        for (seeds, seed_sd) in [(1, 0.0), (3, 0.0), (3, 0.1), (5, 0.1)] {
            let share = coverage(seeds, seed_sd);
            // The share of 300 studies scatters by 1.3 points itself.
            assert!(share >= 0.915, "{seeds} seeds, deviation {seed_sd}: {share}");
        }
        // One seed knows nothing of the others; that is why it is never called real.
        assert!(coverage(1, 0.2) < 0.7);
    }
}
