//! Images that come in groups: how sure a mean is when whole persons or videos are drawn by chance, and not single images.
//!
//! Ten pictures of one face are not ten faces: a network that is wrong about one of them is wrong about most. So groups take
//! the place of images. As they have different sizes, a mean over images is a ratio of two sums over groups, whose variance is
//! that of its linearised values (Cochran 1977, *Sampling Techniques*, 9A.2). With one seed this is the cluster-robust interval of
//! regression software; with several, the linearised values go through the same analysis of variance as images do (`crossed`).

use std::collections::HashMap;

use crate::metrics::statistics::Gain;
use crate::metrics::statistics::crossed::{Estimate, mean_of_numbers};

/// The mean of `values` by seed and image, whose images belong to `groups`; none with fewer than two groups, or if the seeds do
/// not have the same number of images. Where nothing varies the p value is 1: few groups that agree prove little.
pub fn mean(values: &[Vec<Gain>], groups: &[&str], level: f64) -> Option<Estimate> {
    let images = groups.len();
    if images == 0 || values.is_empty() || values.iter().any(|it| it.len() != images) {
        return None;
    }
    let (of_images, sizes) = numbered(groups);
    let total: i64 = values.iter().flatten().map(|it| i64::from(*it)).sum();
    let mean = total as f64 / (images * values.len()) as f64;
    let share = sizes.len() as f64 / images as f64;
    let linearised = |seed: &Vec<Gain>| {
        let mut sums = vec![0_i64; sizes.len()];
        for (group, it) in of_images.iter().zip(seed) {
            sums[*group] += i64::from(*it);
        }
        let of_group =
            |(sum, size): (&i64, &usize)| mean + (*sum as f64 - mean * *size as f64) * share;
        sums.iter().zip(&sizes).map(of_group).collect::<Vec<f64>>()
    };
    let values: Vec<Vec<f64>> = values.iter().map(linearised).collect();
    let it = mean_of_numbers(&values, level)?;
    Some(Estimate { mean, p: if it.p.is_nan() { 1.0 } else { it.p }, ..it })
}

/// The number of each image's group, in the order in which they occur, and how many images each group has.
fn numbered(groups: &[&str]) -> (Vec<usize>, Vec<usize>) {
    let mut known = HashMap::new();
    let (mut of_images, mut sizes) = (Vec::new(), Vec::new());
    for group in groups {
        let at = *known.entry(*group).or_insert(sizes.len());
        sizes.resize(sizes.len().max(at + 1), 0);
        sizes[at] += 1;
        of_images.push(at);
    }
    (of_images, sizes)
}

#[cfg(test)]
mod tests {
    use ferrite_random::{Random, Use};

    use super::*;
    use crate::metrics::statistics::{crossed, paired};

    const VALUES: [Gain; 12] = [1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0];
    const GROUPS: [&str; 12] = ["a", "a", "a", "b", "b", "c", "c", "c", "c", "d", "d", "e"];

    #[test]
    fn one_seed_has_the_interval_of_regression_with_clusters() {
        // sqrt(5 / 4 * sum of squares of the groups' summed residuals) / 12 by NumPy, t with 4 degrees by SciPy: the standard
        // error called CR1.
        let it = mean(&[VALUES.to_vec()], &GROUPS, 0.95).unwrap();
        let expected =
            [0.337_549_517_885_022_3, 0.829_117_148_781_644_4, 0.002_746_877_157_353_388];
        for (it, expected) in [it.interval[0], it.interval[1], it.p].iter().zip(expected) {
            assert!((it - expected).abs() < 1e-9, "{it} is not {expected}");
        }
    }

    #[test]
    fn where_each_image_is_its_own_group_it_is_the_estimate_over_images() {
        let names: Vec<String> = (0..12).map(|it| it.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let other: Vec<Gain> = VALUES.iter().rev().copied().collect();
        let seeds = [VALUES.to_vec(), other];
        let (it, over_images) =
            (mean(&seeds, &names, 0.95).unwrap(), crossed::mean(&seeds, 0.95).unwrap());
        assert!((it.interval[0] - over_images.interval[0]).abs() < 1e-12);
        let numbers: Vec<f64> = VALUES.iter().map(|it| f64::from(*it)).collect();
        let (it, student) =
            (mean(&seeds[..1], &names, 0.95).unwrap(), paired::student(&numbers, 0.95).unwrap());
        assert!((it.interval[1] - student.interval[1]).abs() < 1e-12);
    }

    #[test]
    fn few_groups_or_none_are_no_ground_for_an_estimate() {
        assert_eq!(mean(&[vec![1, 0]], &["a", "a"], 0.95), None);
        assert_eq!(mean(&[], &[], 0.95), None);
        assert_eq!(mean(&[vec![1]], &["a", "b"], 0.95), None);
        let same = mean(&[vec![0, 0]], &["a", "b"], 0.95).unwrap();
        assert_eq!((same.interval, same.p), ([0.0; 2], 1.0));
    }

    /// Share of 300 made-up studies without a difference whose interval holds zero: 30 persons of 1 to 19 images each, of
    /// whom one network or the other likes some better.
    fn coverage(seeds: u64, estimate: impl Fn(&[Vec<Gain>], &[&str]) -> [f64; 2]) -> f64 {
        let holds = |study: &u64| {
            let draw = |what: u64, item: u64| Random::at(*study, Use::Init, what, item).normal();
            let persons: Vec<(usize, String)> = (0..30).map(|it| (it, format!("p{it}"))).collect();
            let mut groups = Vec::new();
            let mut values = vec![Vec::new(); seeds as usize];
            for (person, name) in &persons {
                for image in 0..=person * 7 % 19 {
                    groups.push(name.as_str());
                    for (seed, values) in values.iter_mut().enumerate() {
                        let item = (person * 100 + image) as u64;
                        let likes = draw(1, *person as u64) + 0.5 * draw(10 + seed as u64, item);
                        values.push(if likes > 0.8 {
                            1
                        } else if likes < -0.8 {
                            -1
                        } else {
                            0
                        });
                    }
                }
            }
            let [low, high] = estimate(&values, &groups);
            low <= 0.0 && high >= 0.0
        };
        (0..300).filter(holds).count() as f64 / 300.0
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth_and_those_over_images_do_not() {
        for seeds in [1, 3] {
            let share =
                coverage(seeds, |values, groups| mean(values, groups, 0.95).unwrap().interval);
            assert!(share >= 0.915, "{seeds} seeds: {share}");
            let share =
                coverage(seeds, |values, _| crossed::difference(values, 0.95).unwrap().interval);
            assert!(share < 0.75, "{seeds} seeds over images: {share}");
        }
    }
}
