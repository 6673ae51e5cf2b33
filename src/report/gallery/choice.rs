//! Which images are worth a look: the hardest, and those whose label may be wrong.
//!
//! **Invariant:** pure, and equal ones in the order of the images, so that the same answers choose the same.

use ferrite_core::metrics::Prediction;

use crate::study::answers::{Answers, Image, Panel};

/// How many of the hardest images are shown without being asked for.
pub(super) const HARDEST: usize = 50;
/// How many candidates for a wrong label are shown with their faces.
pub(super) const SUSPECTS: usize = 60;

/// No other class is believed below this, however rarely it is named: it must be likelier than all others together.
pub(super) const LEAST_CONFIDENCE: f64 = 0.5;

/// The images that `panel` has the highest mean loss on, the hardest first.
pub(super) fn hardest(panel: &Panel<'_>, images: usize) -> Vec<usize> {
    let mut all: Vec<(usize, f64)> =
        (0..images).filter_map(|it| Some((it, panel.loss(it)?))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.into_iter().take(HARDEST).map(|it| it.0).collect()
}

/// An image that all networks take for one other class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspect {
    pub(super) image: usize,
    /// The class that they name.
    pub(super) said: usize,
    /// Mean probability that they give it.
    pub(super) confidence: f64,
}

/// Images whose label may be wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Suspects {
    /// The most confident first.
    pub(super) found: Vec<Suspect>,
    /// The confidence from which on each class is believed; none for a class that no image is labelled as.
    pub(super) thresholds: Vec<Option<f64>>,
    /// How many networks agree.
    pub(super) networks: usize,
    /// Whether they are the seeds of one configuration.
    pub(super) of_one: bool,
}

/// The images that all seeds of the best configuration take for one other class, or all networks where it has but one
/// seed, with a mean probability of at least what they give that class on images that are labelled so: the thresholds of
/// confident learning (Northcutt et al. 2021, equation 2), or [`LEAST_CONFIDENCE`].
pub(super) fn suspects(answers: &Answers<'_>, classes: usize) -> Suspects {
    let best = answers.panels.first();
    let of_one = best.is_some_and(|it| it.seeds.len() > 1) || answers.panels.len() == 1;
    let panels = if of_one { &answers.panels[..1] } else { &answers.panels[..] };
    let networks: Vec<_> = panels.iter().flat_map(|it| &it.seeds).collect();
    let of = |image: usize| networks.iter().map(move |it| it[image]).collect::<Option<Vec<_>>>();
    let thresholds = thresholds(&answers.images, classes, of);
    let suspect = |image: usize| {
        let all = of(image)?;
        let said = all.first()?.predicted;
        let confidence = mean(&all, said);
        let agree = all.iter().all(|it| it.predicted == said);
        let sure = thresholds.get(said).copied().flatten().is_some_and(|it| confidence >= it);
        let other = said != answers.images[image].truth;
        (agree && sure && other).then_some(Suspect { image, said, confidence })
    };
    let mut found: Vec<_> = (0..answers.images.len()).filter_map(suspect).collect();
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.image.cmp(&b.image)));
    Suspects { found, thresholds, networks: networks.len(), of_one }
}

/// Mean probability of each class over the images that are labelled as it, or [`LEAST_CONFIDENCE`] if that is more.
fn thresholds<'p>(
    images: &[Image<'_>],
    classes: usize,
    of: impl Fn(usize) -> Option<Vec<&'p Prediction>>,
) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_usize); classes];
    for (at, image) in images.iter().enumerate() {
        if let (Some(all), Some(sum)) = (of(at), sums.get_mut(image.truth)) {
            sum.0 += mean(&all, image.truth);
            sum.1 += 1;
        }
    }
    let usual = |(sum, n): (f64, usize)| (n > 0).then(|| (sum / n as f64).max(LEAST_CONFIDENCE));
    sums.into_iter().map(usual).collect()
}

/// Mean probability that `answers` give to `class`.
fn mean(answers: &[&Prediction], class: usize) -> f64 {
    let of = |it: &&Prediction| it.probabilities.get(class).copied().unwrap_or(0.0);
    answers.iter().map(of).sum::<f64>() / answers.len().max(1) as f64
}

/// All images in the order in which a page takes them while there is room: `first`, then those that some run got wrong,
/// then the others, the hardest first.
pub(super) fn order(answers: &Answers<'_>, first: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut taken = vec![false; answers.images.len()];
    let mut order: Vec<usize> =
        first.filter(|it| !std::mem::replace(&mut taken[*it], true)).collect();
    let mut others: Vec<usize> = (0..answers.images.len()).filter(|it| !taken[*it]).collect();
    others.sort_by(|a, b| {
        let missed = answers.missed[*b].cmp(&answers.missed[*a]);
        missed.then(answers.loss[*b].total_cmp(&answers.loss[*a])).then(a.cmp(b))
    });
    order.extend(others);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::answers::tests::{answer, answers};

    #[test]
    fn the_hardest_come_first_and_equal_ones_in_their_order() {
        let seed = |shift: f64| {
            let of = |(id, p): (&str, f64)| answer(id, 0, 0, p + shift);
            [("a", 0.9), ("b", 0.5), ("c", 0.5), ("d", 0.4)].map(of).to_vec()
        };
        let tables = [vec![seed(0.0), seed(0.05)]];
        let all = answers(&tables);
        assert_eq!(hardest(&all.panels[0], 4), [3, 1, 2, 0]);
    }

    #[test]
    fn a_label_is_doubted_where_all_seeds_are_as_sure_of_another_class_as_of_its_own_images() {
        // Images of class 1 get 0.7 for it on average, those of class 0 get 0.6.
        let seed = |doubted: [f64; 3], named: usize| {
            vec![
                answer("own 0", 0, 0, 0.9),
                answer("own 1", 1, 1, 0.7),
                answer("sure", 0, 1, doubted[0]),
                answer("unsure", 0, 1, doubted[1]),
                answer("disputed", 0, named, doubted[2]),
            ]
        };
        let tables = [
            vec![seed([0.9, 0.6, 0.95], 1), seed([0.8, 0.65, 0.95], 2)],
            vec![seed([0.9, 0.9, 0.9], 1)],
        ];
        let all = answers(&tables);
        let found = suspects(&all, 3);
        assert_eq!((found.networks, found.of_one), (2, true));
        let [only] = found.found.as_slice() else { panic!("{found:?}") };
        assert_eq!((only.image, only.said), (2, 1));
        assert!((only.confidence - 0.85).abs() < 1e-12);
        assert!((found.thresholds[1].unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(found.thresholds[2], None);
    }

    #[test]
    fn where_the_best_has_one_seed_all_networks_must_agree() {
        let table = |named: usize| {
            vec![answer("a", 1, 1, 0.7), answer("b", 0, named, 0.9), answer("c", 0, 0, 0.8)]
        };
        let tables = [vec![table(1)], vec![table(1)], vec![table(1)]];
        let found = suspects(&answers(&tables), 3);
        assert_eq!((found.networks, found.of_one, found.found.len()), (3, false, 1));
        let tables = [vec![table(1)], vec![table(2)]];
        assert_eq!(suspects(&answers(&tables), 3).found, []);
    }

    #[test]
    fn pages_take_what_is_wrong_before_what_is_right() {
        let table = vec![
            answer("right", 0, 0, 0.4),
            answer("wrong", 0, 1, 0.5),
            answer("worse", 0, 1, 0.9),
            answer("easy", 0, 0, 0.9),
        ];
        let tables = [vec![table]];
        let all = answers(&tables);
        assert_eq!(order(&all, [3, 3].into_iter()), [3, 2, 1, 0]);
    }
}
