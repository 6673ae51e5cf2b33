//! Pairs: two networks on the same images (McNemar's exact test, the bootstrap over images), and any differences (Student).

use crate::metrics::scores::Stat;
use crate::metrics::statistics::Gain;
use crate::metrics::statistics::crossed::Estimate;
use crate::metrics::statistics::distribution::{binomial, coin_at_most, t_critical, t_two_sided};

/// The mean of `differences` that were drawn by chance, after Student (1908): the paired test
/// (`scipy.stats.ttest_rel`), and the interval that belongs to it. None with fewer than two, or if one is not a number.
/// Where nothing varies there is no p value: it is not a number.
pub fn student(differences: &[f64], level: f64) -> Option<Estimate> {
    let Stat { mean, sd, n } = Stat::of(differences)?;
    let (error, df) = (sd? / (n as f64).sqrt(), n as f64 - 1.0);
    if !error.is_finite() {
        return None;
    }
    if error == 0.0 {
        return Some(Estimate { mean, interval: [mean; 2], p: f64::NAN });
    }
    let half = t_critical(1.0 - level, df) * error;
    let p = t_two_sided(mean / error, df);
    Some(Estimate { mean, interval: [mean - half, mean + half], p })
}

/// How many images only the second network gets right, and how many only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discordant {
    /// Right under the second network alone.
    pub gained: usize,
    /// Right under the first network alone.
    pub lost: usize,
    /// All images.
    pub images: usize,
}

impl Discordant {
    /// Counts `gains`.
    pub fn of(gains: &[Gain]) -> Self {
        let count = |sign: Gain| gains.iter().filter(|it| it.signum() == sign).count();
        Self { gained: count(1), lost: count(-1), images: gains.len() }
    }

    /// Difference of the two accuracies.
    pub fn difference(&self) -> f64 {
        (self.gained as f64 - self.lost as f64) / self.images as f64
    }

    /// McNemar's exact test (1947), two-sided: how likely a fair coin splits the images on which the
    /// networks disagree at least as unevenly.
    pub fn mcnemar(&self) -> f64 {
        let (least, all) = (self.gained.min(self.lost) as u64, (self.gained + self.lost) as u64);
        (2.0 * coin_at_most(least, all)).min(1.0)
    }

    /// The percentile bootstrap interval (Efron 1979) of the difference when images are drawn anew, in
    /// pairs. An image's gain has three values only, so the distribution over infinitely many
    /// resamples is known: of `images` draws a binomial number disagrees, and of those a binomial
    /// number is gained. None without images.
    pub fn bootstrap(&self, level: f64) -> Option<[f64; 2]> {
        if self.images == 0 {
            return None;
        }
        let (n, all) = (self.images, self.gained + self.lost);
        let (first, chances) = binomial(n, all as f64 / n as f64);
        // The chance of each sum of gains, which lies between -n and n.
        let mut sums = vec![0.0; 2 * n + 1];
        for (disagreeing, chance) in (first..).zip(chances) {
            let share = if all == 0 { 0.0 } else { self.gained as f64 / all as f64 };
            let (least, inner) = binomial(disagreeing, share);
            for (gained, it) in (least..).zip(inner) {
                sums[n + 2 * gained - disagreeing] += chance * it;
            }
        }
        let tail = (1.0 - level) / 2.0;
        let quantile = |share: f64| {
            let mut below = 0.0;
            let place = sums.iter().position(|it| {
                below += it;
                below >= share
            });
            (place.unwrap_or(2 * n) as f64 - n as f64) / n as f64
        };
        Some([quantile(tail), quantile(1.0 - tail)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_paired_test_agrees_with_scipy() {
        // ttest_rel([0.66, 0.65, 0.64, 0.69], [0.61, 0.64, 0.58, 0.7]) and its confidence_interval(0.95)
        let it = student(&[0.05, 0.01, 0.06, -0.01], 0.95).unwrap();
        let expected =
            [0.194_575_496_622_166_94, -0.025_074_616_571_510_076, 0.080_074_616_571_510_13];
        for (it, expected) in [it.p, it.interval[0], it.interval[1]].into_iter().zip(expected) {
            assert!((it - expected).abs() < 1e-12, "{it} is not {expected}");
        }
        assert_eq!(student(&[0.1], 0.95), None);
        assert_eq!(student(&[0.1, f64::NAN], 0.95), None);
        assert!(student(&[0.1, 0.1], 0.95).unwrap().p.is_nan());
    }

    #[test]
    fn mcnemars_test_agrees_with_scipy() {
        // binomtest(gained, gained + lost, 0.5).pvalue
        for (gained, lost, p) in [
            (1, 5, 0.21875),
            (10, 20, 0.098_737_146_705_389_05),
            (50, 100, 5.447_533_103_392_542e-5),
            (500, 400, 0.000_956_444_136_918_937_3),
            (0, 5, 0.0625),
            (7, 7, 1.0),
            (0, 0, 1.0),
        ] {
            let it = Discordant { gained, lost, images: 1000 }.mcnemar();
            assert!((it / p - 1.0).abs() < 1e-10, "{gained} {lost}: {it} is not {p}");
        }
    }

    #[test]
    fn the_bootstrap_is_the_limit_of_scipys() {
        // bootstrap((gains,), np.mean, n_resamples=200_000, method="percentile"), times the images.
        for (gained, lost, images, low, high) in
            [(120, 80, 1000, 12.0, 68.0), (9, 2, 50, 1.0, 13.0), (300, 240, 3589, 15.0, 106.0)]
        {
            let it = Discordant { gained, lost, images }.bootstrap(0.95).unwrap();
            let ends = it.map(|it| (it * images as f64).round());
            assert!((ends[0] - low).abs() <= 1.0 && (ends[1] - high).abs() <= 1.0, "{ends:?}");
        }
        let same = Discordant { gained: 0, lost: 0, images: 9 };
        assert_eq!(same.bootstrap(0.95), Some([0.0, 0.0]));
        assert_eq!(Discordant::of(&[]).bootstrap(0.95), None);
        let all = Discordant::of(&[1, 1, 1]);
        assert_eq!((all.difference(), all.bootstrap(0.95)), (1.0, Some([1.0, 1.0])));
    }
}
