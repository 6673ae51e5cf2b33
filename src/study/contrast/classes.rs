//! What two configurations make of each class.

use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::scores::{ClassScores, Confusion};
use ferrite_core::metrics::statistics::crossed::{Estimate, mean_of_numbers};
use ferrite_core::metrics::statistics::ratio::{Ratio, less};
use ferrite_core::metrics::statistics::{LEVEL, holm};

use crate::study::Configuration;
use crate::study::comparison::Verdict;

/// The classes of two configurations.
pub(crate) struct Classes {
    /// Their names, by their numbers.
    pub(crate) names: Vec<String>,
    /// The classes, the one whose F1 changed most first.
    pub(crate) changes: Vec<ClassChange>,
    /// What the first and the second took for what.
    pub(crate) confusions: [Confusion; 2],
}

/// One class under both.
pub(crate) struct ClassChange {
    /// Its number.
    pub(crate) class: usize,
    /// Images of it, each seed's anew.
    pub(crate) images: u64,
    pub(crate) precision: RatioChange,
    pub(crate) recall: RatioChange,
    pub(crate) f1: RatioChange,
    /// What is shown of the F1, with p values adjusted for all classes (Holm); none without an interval.
    pub(crate) verdict: Option<Verdict>,
}

/// A score of a class under both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatioChange {
    /// Under the first and the second.
    pub(crate) values: [Option<f64>; 2],
    /// The second less the first; none where the two have no images in common or one has no such score.
    pub(crate) estimate: Option<Estimate>,
}

/// A cell of the confusion matrix.
pub(crate) struct Cell {
    pub(crate) truth: usize,
    pub(crate) taken_for: usize,
    /// Share of the images of the true class under the first and the second.
    pub(crate) shares: [f64; 2],
}

impl RatioChange {
    /// The second less the first, sure or not.
    pub(crate) fn difference(&self) -> Option<f64> {
        let [first, second] = self.values;
        Some(second? - first?)
    }
}

impl Cell {
    pub(crate) fn difference(&self) -> f64 {
        self.shares[1] - self.shares[0]
    }
}

impl Classes {
    /// Every cell whose class has images on both sides, row by row.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let [first, second] = [0, 1].map(|side: usize| self.confusions[side].row_shares());
        let row = |truth: usize| {
            let (first, second) = (first[truth].as_deref(), second[truth].as_deref());
            let shares = first.unwrap_or_default().iter().zip(second.unwrap_or_default());
            let cell = move |(taken_for, (a, b)): (usize, (&f64, &f64))| Cell {
                truth,
                taken_for,
                shares: [*a, *b],
            };
            shares.enumerate().map(cell).collect::<Vec<_>>()
        };
        (0..self.names.len()).flat_map(row).collect()
    }

    /// The `most` confusions that changed most: what lies beside the diagonal.
    pub(crate) fn changed_most(&self, most: usize) -> Vec<Cell> {
        let mut cells = self.cells();
        cells.retain(|it| it.truth != it.taken_for && it.difference() != 0.0);
        cells.sort_by(|a, b| b.difference().abs().total_cmp(&a.difference().abs()));
        cells.truncate(most);
        cells
    }
}

/// The classes of both, on the common images of `tables`, or each on its own images where there are none. None where the two
/// know other classes, or one has no predictions.
pub(super) fn classes(
    sides: [&Configuration<'_>; 2],
    tables: &[Vec<&Prediction>],
) -> Option<Classes> {
    let whole = [sides[0].confusion()?, sides[1].confusion()?];
    let n = whole[0].counts.len().max(whole[1].counts.len());
    let names = sides[0].classes(n);
    if names != sides[1].classes(n) {
        return None;
    }
    let nothing = Confusion { counts: vec![vec![0; names.len()]; names.len()] };
    let common = |side: usize| {
        let mut confusion = nothing.clone();
        for it in tables.iter().skip(side).step_by(2).flatten() {
            confusion.counts[it.truth][it.predicted] += 1;
        }
        confusion
    };
    let confusions = match tables {
        [] => whole.map(|it| it.plus(&nothing)),
        _ => [common(0), common(1)],
    };
    let scores = [0, 1].map(|side: usize| confusions[side].classes());
    let change = |class: usize| {
        let of = |ratio: Ratio, value: fn(&ClassScores) -> Option<f64>| RatioChange {
            values: [0, 1].map(|side: usize| value(&scores[side][class])),
            estimate: estimate(ratio, class, tables),
        };
        ClassChange {
            class,
            images: scores[0][class].support,
            precision: of(Ratio::Precision, |it| it.precision),
            recall: of(Ratio::Recall, |it| it.recall),
            f1: of(Ratio::F1, |it| it.f1),
            verdict: None,
        }
    };
    let mut changes: Vec<_> = (0..names.len()).map(change).collect();
    judge(&mut changes, tables.len() / 2);
    let size = |it: &ClassChange| it.f1.difference().map_or(-1.0, f64::abs);
    changes.sort_by(|a, b| size(b).total_cmp(&size(a)));
    Some(Classes { names, changes, confusions })
}

/// Says which F1 changed beyond chance, over so many seeds.
fn judge(changes: &mut [ClassChange], seeds: usize) {
    // Where nothing varies nothing can be tested.
    let p = |it: &ClassChange| it.f1.estimate.map(|it| it.p).filter(|it| it.is_finite());
    let adjusted = holm(&changes.iter().filter_map(p).collect::<Vec<_>>());
    let mut adjusted = adjusted.into_iter();
    for it in changes {
        let shown = p(it).and_then(|_| adjusted.next()).is_some_and(|it| it < 1.0 - LEVEL);
        let verdict = match (shown, seeds) {
            (false, _) => Verdict::NotShown,
            (true, 1) => Verdict::OneSeed,
            (true, _) => Verdict::Real,
        };
        it.verdict = it.f1.estimate.map(|_| verdict);
    }
}

/// How sure the difference of `ratio` is, over seeds and images.
fn estimate(ratio: Ratio, class: usize, tables: &[Vec<&Prediction>]) -> Option<Estimate> {
    let of_side = |side: usize| {
        let seeds: Vec<&[&Prediction]> =
            tables.iter().skip(side).step_by(2).map(Vec::as_slice).collect();
        ratio.pseudo_values(class, &seeds)
    };
    let (first, second) = (of_side(0)?, of_side(1)?);
    let gains: Vec<_> = first.iter().zip(&second).map(|(a, b)| less(a, b)).collect();
    // A class without images has no F1.
    let occurs = tables.first()?.iter().any(|it| it.truth == class);
    mean_of_numbers(&gains, LEVEL).filter(|_| occurs || ratio == Ratio::Precision)
}
