//! Which difference between two configurations is real: tests and intervals for paired predictions.
//!
//! Two configurations answer the same images under the same seeds, so everything starts from
//! [`Gain`]s: for each seed and image, whether the second got right what the first got wrong. The
//! methods and their sources are told in `docs/statistics.md`.
//!
//! **Invariant:** pure, and no random number: the bootstrap's distribution is computed, not sampled.

pub mod clustered;
pub mod crossed;
pub mod distribution;
pub mod paired;
pub mod ratio;

/// How sure the intervals of the report are.
pub const LEVEL: f64 = 0.95;

/// What one image says of two configurations under one seed: 1 if the second alone is right, -1 if
/// the first alone is, else 0.
pub type Gain = i8;

/// P values adjusted by Holm's step-down method (1979), in the order given: the chance that *any* of
/// several differences that are none is called real stays below the level that they are compared with.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut highest = 0.0_f64;
    for (place, at) in order.into_iter().enumerate() {
        highest = highest.max(p[at] * (p.len() - place) as f64).min(1.0);
        adjusted[at] = highest;
    }
    adjusted
}

/// Wilson's score interval (1927) for the share of `right` among `n` images that were drawn by chance;
/// with the level [`LEVEL`]. None without images.
pub fn wilson(right: u64, n: u64) -> Option<[f64; 2]> {
    // 97.5 % of the standard normal distribution lie below it.
    let z = 1.959_963_984_540_054_f64;
    let (share, n) = (right as f64 / n as f64, n as f64);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    (n > 0.0).then(|| [(middle - half).max(0.0), (middle + half).min(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_agrees_with_statsmodels() {
        // multipletests([0.01, 0.04, 0.03, 0.005, 0.5], method="holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005, 0.5]);
        for (it, expected) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.025, 0.5]) {
            assert!((it - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(holm(&[]), [0.0; 0]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    }

    #[test]
    fn wilsons_interval_agrees_with_scipy() {
        // binomtest(right, n).proportion_ci(0.95, "wilson")
        for (right, n, low, high) in [
            (2096, 3589, 0.567_799_730_483_821_2, 0.600_034_004_155_259_6),
            (0, 20, 0.0, 0.161_125_158_052_819_35),
            (7, 10, 0.396_778_147_461_145_26, 0.892_208_732_593_699),
        ] {
            let it = wilson(right, n).unwrap();
            assert!((it[0] - low).abs() < 1e-12 && (it[1] - high).abs() < 1e-12, "{it:?}");
        }
        assert_eq!(wilson(0, 0), None);
    }
}
