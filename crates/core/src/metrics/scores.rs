//! Scores of a classifier from its predictions, with scikit-learn's semantics.
//!
//! A score that would divide by zero is none, never 0 (`zero_division=nan`), and so are all scores of how well a class is
//! found that no image is of. Averages run over the classes that have images (`labels=unique(truths)`), and over
//! those of them whose score is defined (docs/statistics.md).
//!
//! **Invariant:** pure counting; nothing here reads a file or knows a page.

use crate::metrics::Prediction;
use crate::metrics::curves::reliability;

/// How often each true class (row) was taken for each class (column).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// Images by true class, then by predicted class; square.
    pub counts: Vec<Vec<u64>>,
}

/// How well one class is told from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Share of the images called this class that are of it; none if no image was called it.
    pub precision: Option<f64>,
    /// Share of the images of this class that were called it; none if there is no image of it.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall, which is 0 if every image of the class was missed; none if there is no
    /// image of it.
    pub f1: Option<f64>,
    /// Images of this class.
    pub support: u64,
    /// Images called this class.
    pub predicted: u64,
}

/// A mean over seeds and how far they scatter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1); none for a single value.
    pub sd: Option<f64>,
    /// How many values.
    pub n: usize,
}

impl Confusion {
    /// Counts `predictions` over at least `n_classes` classes.
    pub fn count(n_classes: usize, predictions: &[Prediction]) -> Self {
        let highest = predictions.iter().map(|it| it.truth.max(it.predicted) + 1).max();
        let n = n_classes.max(highest.unwrap_or(0));
        let mut counts = vec![vec![0; n]; n];
        for it in predictions {
            counts[it.truth][it.predicted] += 1;
        }
        Self { counts }
    }

    /// The sum of two countings; the larger number of classes wins.
    pub fn plus(&self, other: &Self) -> Self {
        let n = self.counts.len().max(other.counts.len());
        let at = |it: &Self, row: usize, column: usize| {
            it.counts.get(row).and_then(|it| it.get(column)).copied().unwrap_or(0)
        };
        let cell = |row, column| at(self, row, column) + at(other, row, column);
        Self { counts: (0..n).map(|row| (0..n).map(|it| cell(row, it)).collect()).collect() }
    }

    /// All images.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Right answers.
    pub fn right(&self) -> u64 {
        (0..self.counts.len()).map(|it| self.counts[it][it]).sum()
    }

    /// Share of right answers; none without images.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.right(), self.total())
    }

    /// Scores of every class, in label order.
    pub fn classes(&self) -> Vec<ClassScores> {
        (0..self.counts.len()).map(|it| self.class(it)).collect()
    }

    fn class(&self, class: usize) -> ClassScores {
        let right = self.counts[class][class];
        let support = self.counts[class].iter().sum();
        let predicted = self.counts.iter().map(|row| row[class]).sum();
        ClassScores {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted).filter(|_| support > 0),
            support,
            predicted,
        }
    }

    /// Unweighted mean of the classes' F1 (`f1_score(average="macro", labels=unique(truths))`).
    pub fn macro_f1(&self) -> Option<f64> {
        Some(self.macro_stat(|it| it.f1)?.mean)
    }

    /// Unweighted mean of `score` over the classes that have images and whose score is defined, and how many these are.
    pub fn macro_stat(&self, score: impl Fn(&ClassScores) -> Option<f64>) -> Option<Stat> {
        let classes = self.classes();
        let occurring = classes.iter().filter(|it| it.support > 0);
        Stat::of(&occurring.filter_map(score).collect::<Vec<_>>())
    }

    /// Mean recall of the classes that have images (`balanced_accuracy_score`).
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(self.macro_stat(|it| it.recall)?.mean)
    }

    /// Each row as shares of its sum; none for a class without images.
    pub fn row_shares(&self) -> Vec<Option<Vec<f64>>> {
        let share = |row: &Vec<u64>| {
            let sum: u64 = row.iter().sum();
            row.iter().map(|it| ratio(*it, sum)).collect()
        };
        self.counts.iter().map(share).collect()
    }
}

impl Stat {
    /// Mean and sample standard deviation of `values`; none without values. A value that is not a
    /// number makes the mean not a number: it is never left out silently.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = mean(values)?;
        let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { mean, sd, n })
    }
}

/// Expected calibration error over the bins of [`reliability`]; none without probabilities.
pub fn calibration_error(predictions: &[Prediction]) -> Option<f64> {
    let bins = reliability(predictions)?;
    let gaps =
        bins.iter().filter_map(|it| Some((it.confidence? - it.accuracy?).abs() * it.images as f64));
    Some(gaps.sum::<f64>() / predictions.len() as f64)
}

/// Area under the ROC curve of each class against the others, averaged over the classes
/// (`roc_auc_score(multi_class="ovr", average="macro")`). A class that all images or none belong to has no
/// curve and is left out; scikit-learn refuses such truths. None without probabilities.
pub fn roc_auc(predictions: &[Prediction]) -> Option<f64> {
    let n_classes = complete(predictions)?;
    mean(&(0..n_classes).filter_map(|it| area(predictions, it)).collect::<Vec<_>>())
}

/// Area under the ROC curve of `class` against the others (`roc_auc_score(truths == class, probabilities)`); none without
/// probabilities, and where all images or none are of the class.
pub fn class_auc(predictions: &[Prediction], class: usize) -> Option<f64> {
    complete(predictions).filter(|it| class < *it)?;
    area(predictions, class)
}

/// How many classes all `predictions` have probabilities of; none if not all have the same, or some are no probabilities.
fn complete(predictions: &[Prediction]) -> Option<usize> {
    let n_classes = predictions.first()?.probabilities.len();
    let complete = |it: &Prediction| {
        it.probabilities.len() == n_classes
            && it.probabilities.iter().all(|it| (0.0..=1.0).contains(it))
    };
    predictions.iter().all(complete).then_some(n_classes)
}

/// Chance that an image of `class` is given a higher probability of it than one of another class;
/// equal ones count half.
fn area(predictions: &[Prediction], class: usize) -> Option<f64> {
    // Positive numbers sort as their bits do, which leave room for whether the class is the true one.
    let key = |it: &Prediction| {
        let probability = it.probabilities[class] + 0.0;
        probability.to_bits() << 1 | u64::from(it.truth == class)
    };
    let mut keys: Vec<u64> = predictions.iter().map(key).collect();
    keys.sort_unstable();
    let (mut inside, mut outside, mut wins) = (0_u64, 0_u64, 0_u64);
    for tied in keys.chunk_by(|a, b| a >> 1 == b >> 1) {
        let of_class = tied.iter().filter(|it| **it & 1 == 1).count() as u64;
        let others = tied.len() as u64 - of_class;
        // In halves, so that the count stays whole.
        wins += of_class * (2 * outside + others);
        (inside, outside) = (inside + of_class, outside + others);
    }
    (inside > 0 && outside > 0).then(|| wins as f64 / (2 * inside * outside) as f64)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(truths: &[usize], predicted: &[usize]) -> Vec<Prediction> {
        let prediction = |(truth, predicted): (&usize, &usize)| Prediction {
            id: String::new(),
            truth: *truth,
            predicted: *predicted,
            probabilities: vec![],
            group: String::new(),
        };
        truths.iter().zip(predicted).map(prediction).collect()
    }

    fn close(left: Option<f64>, right: f64) {
        assert!((left.unwrap() - right).abs() < 1e-12, "{left:?} is not {right}");
    }

    #[test]
    fn scores_agree_with_scikit_learn() {
        // The example of scikit-learn's `f1_score`: macro 0.26666…
        let it = Confusion::count(3, &predictions(&[0, 1, 2, 0, 1, 2], &[0, 2, 1, 0, 0, 1]));
        close(it.macro_f1(), 4.0 / 15.0);
        close(it.macro_stat(|it| it.precision).map(|it| it.mean), 2.0 / 9.0);
        close(it.macro_stat(|it| it.recall).map(|it| it.mean), 1.0 / 3.0);
        close(it.accuracy(), 1.0 / 3.0);
        assert_eq!(it.counts, [[2, 0, 0], [1, 0, 1], [0, 2, 0]]);
    }

    #[test]
    fn balanced_accuracy_agrees_with_scikit_learn() {
        // The example of scikit-learn's `balanced_accuracy_score`: 0.625.
        let it = Confusion::count(2, &predictions(&[0, 1, 0, 0, 1, 0], &[0, 1, 0, 0, 0, 1]));
        close(it.balanced_accuracy(), 0.625);
    }

    #[test]
    fn a_class_that_is_never_predicted_has_no_precision_and_is_missed() {
        let it = Confusion::count(2, &predictions(&[0, 0, 1], &[0, 0, 0]));
        let [first, second] = it.classes()[..] else { panic!("two classes") };
        assert_eq!((second.precision, second.recall, second.f1), (None, Some(0.0), Some(0.0)));
        assert_eq!((first.precision, first.recall), (Some(2.0 / 3.0), Some(1.0)));
        // f1_score(average="macro"), and precision_score(average="macro", zero_division=nan).
        close(it.macro_f1(), 0.4);
        let precision = it.macro_stat(|it| it.precision).unwrap();
        assert_eq!((precision.mean, precision.n), (2.0 / 3.0, 1));
    }

    #[test]
    fn a_class_without_images_has_no_scores_and_is_left_out_of_averages() {
        // The third class is named, the fourth is not even that.
        let it = Confusion::count(4, &predictions(&[0, 0, 1], &[0, 2, 1]));
        let of = |class: usize| (it.classes()[class].precision, it.classes()[class].recall);
        assert_eq!((of(2), it.classes()[2].f1), ((Some(0.0), None), None));
        assert_eq!((of(3), it.classes()[3].f1), ((None, None), None));
        // f1_score, precision_score and balanced_accuracy_score, the first two with labels=[0, 1].
        close(it.macro_f1(), 5.0 / 6.0);
        close(it.macro_stat(|it| it.precision).map(|it| it.mean), 1.0);
        close(it.balanced_accuracy(), 0.75);
        assert_eq!(it.row_shares()[2..], [None, None]);
    }

    #[test]
    fn one_class_alone_has_no_area_under_its_curve() {
        let mut all = predictions(&[1, 1], &[1, 0]);
        for it in &mut all {
            it.probabilities = vec![0.5, 0.5];
        }
        assert_eq!(roc_auc(&all), None);
    }

    #[test]
    fn nothing_has_no_scores() {
        let it = Confusion::count(2, &[]);
        assert_eq!((it.accuracy(), it.macro_f1(), it.balanced_accuracy()), (None, None, None));
        assert_eq!(Stat::of(&[]), None);
        assert_eq!(calibration_error(&[]), None);
    }

    #[test]
    fn countings_of_different_sizes_add_up() {
        let small = Confusion::count(1, &predictions(&[0], &[0]));
        let large = Confusion::count(2, &predictions(&[1, 0], &[0, 0]));
        assert_eq!(small.plus(&large).counts, [[2, 0], [1, 0]]);
    }

    #[test]
    fn deviation_is_that_of_a_sample() {
        let stat = Stat::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        close(stat.sd, (32.0_f64 / 7.0).sqrt());
        assert_eq!(Stat::of(&[3.0]).unwrap().sd, None);
        assert!(Stat::of(&[3.0, f64::NAN]).unwrap().mean.is_nan());
    }

    #[test]
    fn roc_auc_agrees_with_scikit_learn() {
        // roc_auc_score(truths, probabilities, multi_class="ovr", average="macro"), with ties.
        let truths = [0, 1, 1, 2, 2, 0, 1, 0];
        let probabilities = [
            [0.5, 0.3, 0.2],
            [0.4, 0.4, 0.2],
            [0.1, 0.6, 0.3],
            [0.3, 0.3, 0.4],
            [0.2, 0.2, 0.6],
            [0.3, 0.5, 0.2],
            [0.25, 0.5, 0.25],
            [0.6, 0.2, 0.2],
        ];
        let mut all = predictions(&truths, &truths);
        for (it, probabilities) in all.iter_mut().zip(probabilities) {
            it.probabilities = probabilities.to_vec();
        }
        close(roc_auc(&all), 0.933_333_333_333_333_2);
        // roc_auc_score(truths == class, probabilities[:, class])
        let each: Vec<f64> = (0..3).map(|it| class_auc(&all, it).unwrap()).collect();
        close(Some(each.iter().sum::<f64>() / 3.0), 0.933_333_333_333_333_2);
        assert_eq!(class_auc(&all, 3), None);
        // Without images of class 2, the other two classes are averaged.
        all.retain(|it| it.truth != 2);
        assert!(roc_auc(&all).is_some());
        all[0].probabilities[1] = f64::NAN;
        assert_eq!(roc_auc(&all), None);
        assert_eq!(roc_auc(&predictions(&[0, 1], &[0, 1])), None, "no probabilities");
    }

    #[test]
    fn calibration_error_is_the_gap_between_confidence_and_accuracy() {
        let mut all = predictions(&[0, 0, 0, 0], &[0, 0, 0, 1]);
        for it in &mut all {
            it.probabilities = vec![if it.predicted == 0 { 0.95 } else { 0.05 }; 2];
            it.probabilities[it.predicted] = 0.95;
        }
        close(calibration_error(&all), 0.2);
    }
}
