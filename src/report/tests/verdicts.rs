//! Verdicts on made-up studies whose truth is known.

use std::path::Path;

use ferrite_core::store::record::Record;

use super::{in_study, index};
use crate::report::example::many;
use crate::study::Study;
use crate::study::comparison::{Comparisons, Verdict};

/// `n` configurations of three seeds that are right about `accuracy(configuration)` of 1,000 images; a
/// third of each answer is the image's own, the rest luck of the run.
pub(in crate::report) fn study(
    runs: &Path,
    n: usize,
    accuracy: impl Fn(usize) -> f64,
) -> Vec<Record> {
    let mut records = many(runs, n * 3);
    for (at, record) in records.iter_mut().enumerate() {
        record.predictions.truncate(1000);
        for (image, it) in record.predictions.iter_mut().enumerate() {
            let luck = if draw(image, 1) < 0.34 { draw(image, 2) } else { draw(image, 3 + at) };
            it.predicted = (it.truth + usize::from(luck > accuracy(at / 3))) % 7;
        }
    }
    records
}

/// A number between 0 and 1 for each pair: MurmurHash3's finalizer.
fn draw(image: usize, what: usize) -> f64 {
    let mut it = (image * 1_000 + what + 1) as u64;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        it = (it ^ (it >> 33)).wrapping_mul(factor);
    }
    ((it ^ (it >> 33)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The verdicts of `records`: one technique at a time, and the best with one another.
fn verdicts(records: &[Record], runs: &Path) -> [Vec<Verdict>; 2] {
    let study = Study::of(records, &[], runs);
    let all = Comparisons::of(&study);
    [&all.effects, &all.pairs].map(|it| it.iter().map(|it| it.verdict).collect())
}

#[test]
fn where_nothing_differs_nothing_is_called_real() {
    in_study(|runs| {
        let [effects, pairs] = verdicts(&study(runs, 8, |_| 0.6), runs);
        assert_eq!((effects.len(), pairs.len()), (7, 15));
        assert!(
            effects.iter().chain(&pairs).all(|it| *it == Verdict::NotShown),
            "{effects:?} {pairs:?}"
        );
    });
}

#[test]
fn ten_points_on_a_thousand_images_are_real() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let gathered = Study::of(&records, &[], runs);
        let all = Comparisons::of(&gathered);
        let it = &all.effects[0];
        assert_eq!((it.technique.as_str(), it.images, it.seeds.len()), ("learning rate", 1000, 3));
        assert_eq!(it.verdict, Verdict::Real, "{} {:?}", it.p, it.difference);
        let [low, high] = it.difference.interval;
        assert!((0.02..0.1).contains(&low) && (0.1..0.18).contains(&high), "{low} {high}");
        let page = index(&records, runs);
        assert!(page.contains("■ real") && page.contains("plots/effects.png"));
        assert!(!page.contains("With a single seed"));
    });
}

#[test]
fn one_seed_never_makes_a_difference_real() {
    in_study(|runs| {
        let mut records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        records.truncate(4);
        assert_eq!(verdicts(&records, runs), [vec![Verdict::OneSeed], vec![Verdict::OneSeed]]);
        assert!(index(&records, runs).contains("With a single seed"));
        records.truncate(3);
        assert_eq!(verdicts(&records, runs), [vec![], vec![]], "nothing to compare with");
    });
}

#[test]
fn a_setting_that_changes_no_prediction_has_no_effect() {
    in_study(|runs| {
        let mut records = study(runs, 2, |_| 0.6);
        let (first, second) = records.split_at_mut(3);
        for (it, other) in second.iter_mut().zip(first) {
            it.predictions.clone_from(&other.predictions);
        }
        assert_eq!(verdicts(&records, runs)[0], [Verdict::Same]);
    });
}

#[test]
fn images_are_matched_by_their_name_and_label() {
    in_study(|runs| {
        let mut records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        records[1].predictions.reverse();
        records[4].predictions.remove(7);
        let difference = |records: &[Record]| {
            let study = Study::of(records, &[], runs);
            let all = Comparisons::of(&study);
            all.effects.iter().map(|it| (it.images, it.difference.mean)).collect::<Vec<_>>()
        };
        let found = difference(&records)[0];
        records[1].predictions.reverse();
        for it in &mut records {
            it.predictions.retain(|it| it.id != "row 7");
        }
        assert_eq!((found.0, vec![found]), (999, difference(&records)));
        records[0].predictions[0].truth += 1;
        assert_eq!(difference(&records), [], "other labels, another question");
    });
}
