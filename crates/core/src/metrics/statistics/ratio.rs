//! Scores that are a sum over images divided by another: precision, recall, F1, and means of them over classes.
//!
//! To first order such a ratio varies with the images that are drawn as the mean of *pseudo-values* does, one for each image: the
//! ratio, and how much more the image adds above the line than the ratio of what it adds below (linearisation by Taylor's
//! series, Woodruff 1971). Differences of pseudo-values by seed and image are then judged as those of accuracies are
//! ([`crossed`](super::crossed)).

use crate::metrics::Prediction;

/// A ratio of sums over images that tells how well one class is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ratio {
    /// Of the images called this class, those that are of it.
    Precision,
    /// Of the images of this class, those that were called it.
    Recall,
    /// Twice those that are both, of those that are of it and those that were called it.
    F1,
}

impl Ratio {
    /// What an image adds above and below the line.
    fn parts(self, class: usize, it: &Prediction) -> [f64; 2] {
        let one = |it: bool| f64::from(u8::from(it));
        let (of_it, called) = (it.truth == class, it.predicted == class);
        match self {
            Self::Precision => [one(of_it && called), one(called)],
            Self::Recall => [one(of_it && called), one(of_it)],
            Self::F1 => [2.0 * one(of_it && called), one(of_it) + one(called)],
        }
    }

    /// The pseudo-value of each prediction of each seed, whose mean is the ratio of all of them; none where it would divide by
    /// zero. All seeds have the same images.
    pub fn pseudo_values(self, class: usize, seeds: &[&[&Prediction]]) -> Option<Vec<Vec<f64>>> {
        let of_seed = |seed: &&[&Prediction]| seed.iter().map(|it| self.parts(class, it)).collect();
        let parts: Vec<Vec<[f64; 2]>> = seeds.iter().map(of_seed).collect();
        let sum = |at: usize| parts.iter().flatten().map(|it| it[at]).sum::<f64>();
        let (above, below) = (sum(0), sum(1));
        let (ratio, mean) = (above / below, below / parts.iter().flatten().count() as f64);
        let value = |[above, below]: &[f64; 2]| ratio + (above - ratio * below) / mean;
        let values = |seed: &Vec<[f64; 2]>| seed.iter().map(value).collect();
        (below > 0.0).then(|| parts.iter().map(values).collect())
    }
}

/// The pseudo-values of the macro F1 of one seed: those of the F1 of all `classes` that have images, averaged. None without
/// images.
pub fn macro_f1(classes: usize, predictions: &[&Prediction]) -> Option<Vec<f64>> {
    let occurs = |class: &usize| predictions.iter().any(|it| it.truth == *class);
    let of_class = |class| Ratio::F1.pseudo_values(class, &[predictions])?.pop();
    let all: Vec<Vec<f64>> = (0..classes).filter(occurs).filter_map(of_class).collect();
    let mean = |image: usize| all.iter().map(|it| it[image]).sum::<f64>() / all.len() as f64;
    (!all.is_empty()).then(|| (0..predictions.len()).map(mean).collect())
}

/// The second less the first, image by image.
pub fn less(first: &[f64], second: &[f64]) -> Vec<f64> {
    first.iter().zip(second).map(|(first, second)| second - first).collect()
}

#[cfg(test)]
mod tests {
    use ferrite_random::{Random, Use};

    use super::*;
    use crate::metrics::scores::Confusion;
    use crate::metrics::statistics::crossed::{Estimate, mean_of_numbers};

    /// What networks of some accuracy say of images of three classes, a fixed table.
    fn networks(study: u64, accuracies: &[f64], images: u64) -> Vec<Vec<Prediction>> {
        let draw = |what: u64, image: u64| Random::at(study, Use::Init, what, image).unit();
        let of = |(at, accuracy): (usize, &f64)| {
            let one = |image: u64| {
                let truth = (3.0 * draw(0, image).powf(1.5)) as usize;
                // Half of the luck is the image's.
                let luck =
                    if draw(1, image) < 0.5 { draw(2, image) } else { draw(10 + at as u64, image) };
                let wrong = (truth + 1 + usize::from(draw(50 + at as u64, image) < 0.5)) % 3;
                let predicted = if luck < *accuracy { truth } else { wrong };
                Prediction {
                    id: image.to_string(),
                    truth,
                    predicted,
                    probabilities: vec![],
                    group: String::new(),
                }
            };
            (0..images).map(one).collect()
        };
        accuracies.iter().enumerate().map(of).collect()
    }

    fn all(it: &[Prediction]) -> Vec<&Prediction> {
        it.iter().collect()
    }

    fn mean(it: &[f64]) -> f64 {
        it.iter().sum::<f64>() / it.len() as f64
    }

    #[test]
    fn pseudo_values_average_to_the_score() {
        let [first, second] = &networks(1, &[0.6, 0.7], 300)[..] else { panic!() };
        let both = [all(first), all(second)];
        let both: Vec<&[&Prediction]> = both.iter().map(Vec::as_slice).collect();
        let counts = Confusion::count(3, first).plus(&Confusion::count(3, second));
        for (class, scores) in counts.classes().iter().enumerate() {
            for (ratio, expected) in [
                (Ratio::Precision, scores.precision),
                (Ratio::Recall, scores.recall),
                (Ratio::F1, scores.f1),
            ] {
                let values = ratio.pseudo_values(class, &both).unwrap().concat();
                assert!((mean(&values) - expected.unwrap()).abs() < 1e-12, "{ratio:?}");
            }
        }
        let expected = Confusion::count(3, first).macro_f1().unwrap();
        assert!((mean(&macro_f1(3, both[0]).unwrap()) - expected).abs() < 1e-12);
        assert_eq!(Ratio::Precision.pseudo_values(7, &both), None);
        assert_eq!(macro_f1(3, &[]), None);
    }

    #[test]
    fn intervals_of_one_seed_agree_with_scipys_bootstrap() {
        let of = |taken: fn(usize) -> usize| -> Vec<Prediction> {
            let one = |image: usize| {
                let truth = image * 7 / 5 % 3;
                let predicted = (truth + taken(image)) % 3;
                Prediction {
                    id: String::new(),
                    truth,
                    predicted,
                    probabilities: vec![],
                    group: String::new(),
                }
            };
            (0..400).map(one).collect()
        };
        let first = of(|it| usize::from(it * it % 11 < 4));
        let second = of(|it| usize::from((it * it * 3 + it) % 13 < 4) * (1 + it % 2));
        let (first, second) = (all(&first), all(&second));
        let of_class = |ratio: Ratio| {
            let of = |it: &[&Prediction]| ratio.pseudo_values(1, &[it]).unwrap().remove(0);
            less(&of(&first), &of(&second))
        };
        let of_all = less(&macro_f1(3, &first).unwrap(), &macro_f1(3, &second).unwrap());
        // The difference, and bootstrap((truths, first, second), paired=True, n_resamples=100_000, method="percentile") of it.
        for (gains, mean, low, high) in [
            (of_class(Ratio::Precision), 0.071_765_233_980_473_52, -0.020_262, 0.163_004),
            (of_class(Ratio::Recall), 0.067_669_172_932_330_77, -0.054_690, 0.189_781),
            (of_class(Ratio::F1), 0.069_724_873_982_709_55, -0.024_536, 0.164_103),
            (of_all, 0.070_012_221_004_745_02, 0.002_082, 0.137_957),
        ] {
            let it = mean_of_numbers(&[gains], 0.95).unwrap();
            assert!((it.mean - mean).abs() < 1e-12, "{it:?}");
            // Three in a hundred of the width: draws scatter by one, and the bootstrap is no straight line.
            let near = 0.03 * (high - low);
            let [found_low, found_high] = it.interval;
            assert!((found_low - low).abs() < near && (found_high - high).abs() < near, "{it:?}");
        }
    }

    #[test]
    fn nineteen_of_twenty_intervals_of_an_f1_hold_the_truth() {
        // Both sides are the same, so the true difference is 0.
        let holds = |study: &u64| {
            let sides = networks(*study, &[0.6; 6], 300);
            let of_side = |side: usize| {
                let seeds: Vec<Vec<&Prediction>> =
                    sides[3 * side..3 * side + 3].iter().map(|it| all(it)).collect();
                let seeds: Vec<&[&Prediction]> = seeds.iter().map(Vec::as_slice).collect();
                Ratio::F1.pseudo_values(2, &seeds).unwrap()
            };
            let gains: Vec<_> =
                of_side(0).iter().zip(&of_side(1)).map(|(a, b)| less(a, b)).collect();
            let Estimate { interval: [low, high], .. } = mean_of_numbers(&gains, 0.95).unwrap();
            low <= 0.0 && high >= 0.0
        };
        let share = (0..300).filter(holds).count() as f64 / 300.0;
        assert!((0.92..=1.0).contains(&share), "{share}");
    }
}
