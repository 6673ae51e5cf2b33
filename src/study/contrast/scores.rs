//! Scores of two configurations side by side.

use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::scores::{Stat, calibration_error};
use ferrite_core::metrics::statistics::LEVEL;
use ferrite_core::metrics::statistics::crossed::{Estimate, mean_of_numbers};
use ferrite_core::metrics::statistics::paired::student;
use ferrite_core::metrics::statistics::ratio::{less, macro_f1};

use crate::study::contrast::{Matched, paired};
use crate::study::{Configuration, Run};

/// One score of both.
pub(crate) struct Score {
    /// As people call it.
    pub(crate) name: &'static str,
    /// As programs call it.
    pub(crate) key: &'static str,
    /// Whether it is a share that is told in percent, or a number as it is.
    pub(crate) is_share: bool,
    /// Mean and deviation over the finished seeds of each side.
    pub(crate) stats: [Option<Stat>; 2],
    /// The second less the first over what both have in common.
    pub(crate) difference: Option<Difference>,
}

/// A difference of scores.
pub(crate) struct Difference {
    /// The second less the first.
    pub(crate) mean: f64,
    /// How sure it is; none where one seed alone says it.
    pub(crate) estimate: Option<Estimate>,
    /// What is taken as drawn by chance.
    pub(crate) over: Over,
}

/// What varies by chance behind an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Seeds and images; the images alone where there is one seed.
    Images,
    /// The seeds alone: each has one such score.
    Seeds,
}

impl Over {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Images => "seeds and images",
            Self::Seeds => "seeds",
        }
    }
}

type Of = fn(&Run<'_>) -> Option<f64>;

/// All scores that either side has.
pub(super) fn scores(
    sides: [&Configuration<'_>; 2],
    matched: Option<&Matched<'_, '_>>,
) -> Vec<Score> {
    let all: [(&'static str, &'static str, bool, Of); 6] = [
        ("validation accuracy", "valid_accuracy", true, |it| it.valid_accuracy()),
        ("accuracy", "accuracy", true, |it| it.test_accuracy()),
        ("macro F1", "macro_f1", true, |it| it.macro_f1()),
        ("ROC AUC", "roc_auc", false, |it| it.roc_auc()),
        ("loss", "loss", false, |it| it.test_loss()),
        ("calibration error", "calibration_error", true, |it| {
            calibration_error(&it.record.predictions)
        }),
    ];
    let of = |(name, key, is_share, of): (&'static str, &'static str, bool, Of)| {
        let stats = sides.map(|it| it.stat(of));
        let difference = match (key, matched) {
            ("accuracy", Some(it)) => {
                let estimate = it.comparison.difference;
                Some(Difference {
                    mean: estimate.mean,
                    estimate: Some(estimate),
                    over: Over::Images,
                })
            }
            ("macro_f1", Some(it)) => of_macro_f1(&it.tables),
            _ => over_seeds(sides, of),
        };
        Score { name, key, is_share, stats, difference }
    };
    let rows = all.map(of).into_iter();
    rows.filter(|it| it.stats.iter().any(Option::is_some)).collect()
}

fn of_macro_f1(tables: &[Vec<&Prediction>]) -> Option<Difference> {
    let classes = tables.iter().flatten().map(|it| it.truth.max(it.predicted) + 1).max()?;
    let gains = |pair: &[Vec<&Prediction>]| {
        Some(less(&macro_f1(classes, &pair[0])?, &macro_f1(classes, &pair[1])?))
    };
    let gains: Option<Vec<_>> = tables.chunks_exact(2).map(gains).collect();
    let estimate = mean_of_numbers(&gains?, LEVEL)?;
    Some(Difference { mean: estimate.mean, estimate: Some(estimate), over: Over::Images })
}

/// The difference of scores that a run has one of, over the seeds that both have. Scores on other images have none.
fn over_seeds(sides: [&Configuration<'_>; 2], of: Of) -> Option<Difference> {
    let pairs = paired(sides).unwrap_or_default();
    let less = |(a, b): (&Run<'_>, &Run<'_>)| Some(of(b)? - of(a)?);
    let differences: Vec<f64> = pairs.into_iter().filter_map(less).collect();
    let mean = Stat::of(&differences)?.mean;
    Some(Difference { mean, estimate: student(&differences, LEVEL), over: Over::Seeds })
}
