//! Curves over all thresholds of a probability, with scikit-learn's semantics, and how confidence and accuracy agree.

use crate::metrics::Prediction;

/// A receiver operating characteristic: what part of a class is found at what price (`roc_curve`, `drop_intermediate=False`).
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    /// False positive rate and true positive rate, from (0, 0), where the threshold is infinite, to (1, 1).
    pub points: Vec<(f64, f64)>,
    /// The lowest probability that is taken for the class, a point; falling.
    pub thresholds: Vec<f64>,
    /// Area under it.
    pub area: f64,
}

/// Precision against recall (`precision_recall_curve`).
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecall {
    /// Recall and precision, from everything taken for the class to (0, 1), which has no threshold.
    pub points: Vec<(f64, f64)>,
    /// The lowest probability that is taken for the class, for all points but the last; rising.
    pub thresholds: Vec<f64>,
    /// The mean of the precisions, weighed by the gain of recall (`average_precision_score`).
    pub average_precision: f64,
}

/// Predictions of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The lowest confidence.
    pub low: f64,
    /// The confidence that belongs to the next bin, except in the last.
    pub high: f64,
    /// How many images.
    pub images: u64,
    /// Mean confidence; none without images.
    pub confidence: Option<f64>,
    /// Share of right answers; none without images.
    pub accuracy: Option<f64>,
}

/// How many bins of equal width [`reliability`] has, as in Naeini et al. 2015.
pub const BINS: usize = 10;

/// How far the area under a curve may move when it is thinned.
const MOVED: f64 = 1e-3;

/// Images of a class and others, counted down from the highest score: one entry a distinct score.
struct Counted {
    score: f64,
    inside: u64,
    outside: u64,
}

/// The counts for `class`; none without probabilities, or if all images are of the class or none is.
fn counted(predictions: &[Prediction], class: usize) -> Option<Vec<Counted>> {
    let score = |it: &Prediction| {
        let score = it.probabilities.get(class).copied()?;
        (0.0..=1.0).contains(&score).then_some((score, it.truth == class))
    };
    let mut scores: Vec<(f64, bool)> = predictions.iter().map(score).collect::<Option<_>>()?;
    scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut inside, mut outside) = (0, 0);
    let steps = scores.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let of_class = tied.iter().filter(|it| it.1).count() as u64;
        (inside, outside) = (inside + of_class, outside + tied.len() as u64 - of_class);
        Counted { score: tied[0].0, inside, outside }
    });
    let steps: Vec<_> = steps.collect();
    (inside > 0 && outside > 0).then_some(steps)
}

/// The ROC curve of `class` against all others; none without probabilities, or if all images are of the class or none is.
pub fn roc(predictions: &[Prediction], class: usize) -> Option<Roc> {
    let steps = counted(predictions, class)?;
    let last = steps.last()?;
    let (all, others) = (last.inside as f64, last.outside as f64);
    let start = ((0.0, 0.0), f64::INFINITY);
    let steps =
        steps.iter().map(|it| ((it.outside as f64 / others, it.inside as f64 / all), it.score));
    let (points, thresholds): (Vec<_>, Vec<_>) = std::iter::once(start).chain(steps).unzip();
    let area = area(&points);
    Some(Roc { points, thresholds, area })
}

/// The mean of ROC curves at every false positive rate that one of them has, and the mean of their areas; none without curves.
pub fn macro_roc(curves: &[Roc]) -> Option<(Vec<(f64, f64)>, f64)> {
    let mut rates: Vec<f64> = curves.iter().flat_map(|it| &it.points).map(|it| it.0).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let n = curves.len() as f64;
    let mean = |rate: f64, end: fn(&[(f64, f64)], f64) -> f64| {
        (rate, curves.iter().map(|it| end(&it.points, rate)).sum::<f64>() / n)
    };
    // Where a curve rises upright its mean has two values.
    let points = rates.into_iter().flat_map(|it| [mean(it, lowest_at), mean(it, highest_at)]);
    let area = curves.iter().map(|it| it.area).sum::<f64>() / n;
    (!curves.is_empty()).then(|| (points.collect(), area))
}

/// The lowest y at `x` of a curve whose points rise in both.
fn lowest_at(points: &[(f64, f64)], x: f64) -> f64 {
    between(points, points.partition_point(|it| it.0 < x), x)
}

/// The highest y at `x` of such a curve.
fn highest_at(points: &[(f64, f64)], x: f64) -> f64 {
    let after = points.partition_point(|it| it.0 <= x);
    match after.checked_sub(1).map(|it| points[it]) {
        Some((at, y)) if at == x => y,
        _ => between(points, after, x),
    }
}

/// The y at `x` between the points before and at `after`.
fn between(points: &[(f64, f64)], after: usize, x: f64) -> f64 {
    match (after.checked_sub(1).map(|it| points[it]), points.get(after)) {
        (_, Some(to)) if to.0 == x => to.1,
        (Some(from), Some(to)) => from.1 + (to.1 - from.1) * (x - from.0) / (to.0 - from.0),
        (Some(last), None) => last.1,
        (None, _) => 0.0,
    }
}

/// Precision against recall of `class` against all others; none without probabilities, or if all images are of the class or none
/// is.
pub fn precision_recall(predictions: &[Prediction], class: usize) -> Option<PrecisionRecall> {
    let steps = counted(predictions, class)?;
    let all = steps.last()?.inside as f64;
    let point = |it: &Counted| {
        let (inside, named) = (it.inside as f64, (it.inside + it.outside) as f64);
        (inside / all, inside / named)
    };
    let rising = steps.iter().rev();
    let points: Vec<_> = rising.clone().map(point).chain([(0.0, 1.0)]).collect();
    let thresholds = rising.map(|it| it.score).collect();
    let gains = points.windows(2).map(|it| (it[0].0 - it[1].0) * it[0].1);
    let average_precision = gains.sum();
    Some(PrecisionRecall { points, thresholds, average_precision })
}

/// Fewer of `points` that draw the same curve: the area under it moves by a thousandth at most.
pub fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let whole = area(points);
    let mut tolerance = 2e-3;
    loop {
        let mut kept = vec![false; points.len()];
        keep(points, tolerance, &mut kept);
        let few: Vec<_> = points.iter().zip(&kept).filter(|it| *it.1).map(|it| *it.0).collect();
        if (area(&few) - whole).abs() <= MOVED || few.len() == points.len() {
            return few;
        }
        tolerance /= 2.0;
    }
}

/// Marks the points without which the curve would move by more than `tolerance` (Ramer, Douglas and Peucker).
fn keep(points: &[(f64, f64)], tolerance: f64, kept: &mut [bool]) {
    let Some(last) = points.len().checked_sub(1) else { return };
    (kept[0], kept[last]) = (true, true);
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let (start, end) = (points[from], points[to]);
        let along = (end.0 - start.0, end.1 - start.1);
        let length = along.0.hypot(along.1);
        let off = |it: &(f64, f64)| {
            let way = (it.0 - start.0, it.1 - start.1);
            if length > 0.0 {
                (along.0 * way.1 - along.1 * way.0).abs() / length
            } else {
                way.0.hypot(way.1)
            }
        };
        let between = (from + 1..to).map(|it| (it, off(&points[it])));
        let furthest = between.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((at, _)) = furthest.filter(|it| it.1 > tolerance) {
            kept[at] = true;
            open.extend([(from, at), (at, to)]);
        }
    }
}

/// Area under `points` by trapezoids; x may fall, too.
fn area(points: &[(f64, f64)]) -> f64 {
    let pieces = points.windows(2).map(|it| (it[1].0 - it[0].0) * f64::midpoint(it[0].1, it[1].1));
    pieces.sum::<f64>().abs()
}

/// Confidence and accuracy in [`BINS`] bins of equal width; none without probabilities.
pub fn reliability(predictions: &[Prediction]) -> Option<Vec<Bin>> {
    let mut sums = [(0_u64, 0.0_f64, 0_u64); BINS];
    for it in predictions {
        let confidence = *it.probabilities.get(it.predicted)?;
        let (images, sum, right) = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *images += 1;
        *sum += confidence;
        *right += u64::from(it.truth == it.predicted);
    }
    let bin = |(at, (images, sum, right)): (usize, (u64, f64, u64))| {
        let mean = |it: f64| (images > 0).then(|| it / images as f64);
        let edge = |it: usize| it as f64 / BINS as f64;
        let (confidence, accuracy) = (mean(sum), mean(right as f64));
        Bin { low: edge(at), high: edge(at + 1), images, confidence, accuracy }
    };
    (!predictions.is_empty()).then(|| sums.into_iter().enumerate().map(bin).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(scores: &[(f64, usize)]) -> Vec<Prediction> {
        let one = |(score, truth): &(f64, usize)| Prediction {
            id: String::new(),
            truth: *truth,
            predicted: usize::from(*score >= 0.5),
            probabilities: vec![1.0 - score, *score],
            group: String::new(),
        };
        scores.iter().map(one).collect()
    }

    #[test]
    fn curves_are_those_of_scikit_learn() {
        // The example of scikit-learn's roc_curve and precision_recall_curve.
        let all = predictions(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]);
        let it = roc(&all, 1).unwrap();
        assert_eq!(it.points, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(it.thresholds, [f64::INFINITY, 0.8, 0.4, 0.35, 0.1]);
        assert!((it.area - 0.75).abs() < 1e-12);
        let it = precision_recall(&all, 1).unwrap();
        assert_eq!(it.points, [(1.0, 0.5), (1.0, 2.0 / 3.0), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0)]);
        assert_eq!(it.thresholds, [0.1, 0.35, 0.4, 0.8]);
        assert!((it.average_precision - 0.833_333_333_333_333_3).abs() < 1e-12);
    }

    #[test]
    fn equal_probabilities_are_one_point() {
        let it = roc(&predictions(&[(0.5, 0), (0.5, 1), (0.5, 1)]), 1).unwrap();
        assert_eq!((it.points, it.area), (vec![(0.0, 0.0), (1.0, 1.0)], 0.5));
    }

    #[test]
    fn one_class_alone_has_no_curves_and_neither_has_what_has_no_probabilities() {
        let all = predictions(&[(0.5, 1), (0.7, 1)]);
        assert_eq!((roc(&all, 1), precision_recall(&all, 0)), (None, None));
        assert_eq!((roc(&[], 0), roc(&all, 5), reliability(&[])), (None, None, None));
        assert_eq!(macro_roc(&[]), None);
    }

    /// Many images whose probabilities say something of their class.
    fn drawn(n: u32) -> Vec<Prediction> {
        let draw =
            |it: u32| (f64::from(it) * 0.618_033_988_749_895 * f64::from(it % 7 + 1)).fract();
        let one = |it: u32| ((0.3 * f64::from(it % 2) + 0.7 * draw(it)), (it % 2) as usize);
        predictions(&(0..n).map(one).collect::<Vec<_>>())
    }

    #[test]
    fn a_thinned_curve_has_the_same_area_and_fewer_points() {
        let all = drawn(4000);
        let curves = [roc(&all, 1).unwrap().points, precision_recall(&all, 1).unwrap().points];
        for points in curves {
            let few = thinned(&points);
            assert!((area(&few) - area(&points)).abs() <= MOVED);
            assert!(few.len() < 400, "{} of {}", few.len(), points.len());
            assert_eq!((few.first(), few.last()), (points.first(), points.last()));
        }
        assert_eq!(thinned(&[]), []);
    }

    #[test]
    fn the_mean_of_equal_curves_is_the_curve() {
        let curve = roc(&drawn(100), 1).unwrap();
        let (points, mean) = macro_roc(&[curve.clone(), curve.clone()]).unwrap();
        assert!((mean - curve.area).abs() < 1e-12 && (area(&points) - curve.area).abs() < 1e-9);
    }

    #[test]
    fn a_bin_has_the_images_of_its_confidence() {
        let bins = reliability(&predictions(&[(0.95, 1), (0.95, 0), (1.0, 1), (0.5, 1)])).unwrap();
        assert_eq!((bins.len(), bins[9].images, bins[5].images), (BINS, 3, 1));
        assert_eq!((bins[9].accuracy, bins[0].confidence), (Some(2.0 / 3.0), None));
        assert!((bins[9].confidence.unwrap() - 2.9 / 3.0).abs() < 1e-12);
    }
}
