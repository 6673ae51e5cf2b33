//! Several runs that answer together: the mean of their probabilities.
//!
//! An ensemble of seeds is nearly always better than its members (Lakshminarayanan et al. 2017, <https://arxiv.org/abs/1612.01474>),
//! at the price of as many networks for each image. So it is told beside its members and their mean, never in
//! the place of one. **Invariant:** pure counting over predictions that were read.

use std::collections::HashMap;

use ferrite_core::error::{Error, Result};
use ferrite_core::largest::first_largest;
use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::scores::Confusion;
use ferrite_core::metrics::statistics::paired::Discordant;
use ferrite_core::store::record::{Record, State};

/// Runs that answer together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ensemble {
    /// Class names in label order.
    pub(crate) classes: Vec<String>,
    /// The runs, as asked.
    pub(crate) members: Vec<Member>,
    /// What they say together of each image, in the order of the first member's.
    pub(crate) predictions: Vec<Prediction>,
}

/// A run among them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Share of the test images that it is right about alone.
    pub(crate) accuracy: f64,
    /// What the ensemble is right and wrong about where this run is not.
    pub(crate) against: Discordant,
}

impl Ensemble {
    /// The ensemble of these runs, whose predictions were read.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are fewer than two, if one is not finished or has no test images, or if they were not tested
    /// on the same images with the same classes.
    pub(crate) fn of(runs: &[&Record]) -> Result<Self> {
        let [first, _, ..] = runs else {
            return Err(refused(
                format!("an ensemble has two runs at least, and this would have {}", runs.len()),
                "name several runs, or an experiment with several `seeds`",
            ));
        };
        for run in runs {
            if run.state != State::Finished || run.predictions.is_empty() {
                let what = if run.state == State::Finished {
                    "has no test images"
                } else {
                    "is not finished"
                };
                return Err(refused(
                    format!("`{}` {what}", run.name()),
                    "`ferrite status` tells how far each run is; leave it out, or sweep",
                ));
            }
        }
        let classes = classes_of(first);
        let mut sums: Vec<Prediction> = first.predictions.clone();
        for run in &runs[1..] {
            add(&mut sums, first, run)?;
        }
        for it in &mut sums {
            it.probabilities.iter_mut().for_each(|p| *p /= runs.len() as f64);
            it.predicted = first_largest(&it.probabilities);
        }
        let members = runs.iter().map(|it| Member::of(it, &sums)).collect();
        Ok(Self { classes, members, predictions: sums })
    }

    /// What it took for what.
    pub(crate) fn confusion(&self) -> Confusion {
        Confusion::count(self.classes.len(), &self.predictions)
    }

    /// The mean accuracy of its members.
    pub(crate) fn mean_of_members(&self) -> f64 {
        self.members.iter().map(|it| it.accuracy).sum::<f64>() / self.members.len() as f64
    }

    /// Mean negative logarithm of the probability of the true class, in nats. A probability of 0 counts as 1e-15, as it did in
    /// scikit-learn before its clipping followed the type.
    pub(crate) fn log_loss(&self) -> f64 {
        const LEAST: f64 = 1e-15;
        let of = |it: &Prediction| -it.probabilities[it.truth].max(LEAST).ln();
        self.predictions.iter().map(of).sum::<f64>() / self.predictions.len() as f64
    }
}

impl Member {
    fn of(run: &Record, together: &[Prediction]) -> Self {
        let right: HashMap<&str, bool> =
            run.predictions.iter().map(|it| (it.id.as_str(), it.is_right())).collect();
        let gains =
            together.iter().map(|it| i8::from(it.is_right()) - i8::from(right[it.id.as_str()]));
        let gains: Vec<i8> = gains.collect();
        let rights = run.predictions.iter().filter(|it| it.is_right()).count();
        Self {
            name: run.name(),
            accuracy: rights as f64 / run.predictions.len() as f64,
            against: Discordant::of(&gains),
        }
    }
}

/// Adds the probabilities of `run` to those of the same images in `sums`, which began with those of `first`.
fn add(sums: &mut [Prediction], first: &Record, run: &Record) -> Result<()> {
    let other = |what: &str| {
        refused(
            format!("`{}` and `{}` {what}", first.name(), run.name()),
            "an ensemble is of runs with the same data, split and classes, like the seeds of one experiment",
        )
    };
    if classes_of(first) != classes_of(run) {
        return Err(other("tell other classes apart"));
    }
    let theirs: HashMap<&str, &Prediction> =
        run.predictions.iter().map(|it| (it.id.as_str(), it)).collect();
    if theirs.len() != sums.len() {
        return Err(other("were tested on other images"));
    }
    for sum in sums {
        let it = theirs.get(sum.id.as_str()).filter(|it| it.truth == sum.truth);
        let it = it.ok_or_else(|| other("were tested on other images, or with other labels"))?;
        sum.probabilities.iter_mut().zip(&it.probabilities).for_each(|(sum, p)| *sum += p);
    }
    Ok(())
}

fn classes_of(run: &Record) -> Vec<String> {
    run.facts.dataset.as_ref().map(|it| it.classes.clone()).unwrap_or_default()
}

fn refused(message: String, help: &str) -> Error {
    Error::Usage { message, help: help.into() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::report::example::records;

    /// The finished seeds of one experiment, with these probabilities of their two classes for each of their images, of which
    /// all are truly of the second.
    fn seeds(probabilities: &[&[f64]]) -> Vec<Record> {
        let all = records(Path::new("runs"));
        let first = all.iter().find(|it| it.state == State::Finished).unwrap().clone();
        let of = |(seed, second): (usize, &&[f64])| {
            let mut record = Record { trial: format!("seed-{seed}-0123abcd"), ..first.clone() };
            record.facts.dataset.as_mut().unwrap().classes =
                ["no", "yes"].map(str::to_owned).into();
            let of = |(row, p): (usize, &f64)| Prediction {
                id: format!("row {row}"),
                truth: 1,
                predicted: usize::from(*p > 0.5),
                probabilities: vec![1.0 - p, *p],
                group: String::new(),
            };
            record.predictions = second.iter().enumerate().map(of).collect();
            record
        };
        probabilities.iter().enumerate().map(of).collect()
    }

    fn of(records: &[Record]) -> Result<Ensemble> {
        Ensemble::of(&records.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_mean_of_the_probabilities_decides() {
        // Two are wrong about the first image and sure of nothing, and the third is sure of it.
        let mut runs = seeds(&[&[0.4, 0.9, 0.2], &[0.45, 0.6, 0.3], &[0.95, 0.4, 0.4]]);
        // A table of other order is of the same images.
        runs[1].predictions.reverse();
        let ensemble = of(&runs).unwrap();
        let says: Vec<usize> = ensemble.predictions.iter().map(|it| it.predicted).collect();
        assert_eq!(says, [1, 1, 0]);
        assert!((ensemble.predictions[0].probabilities[1] - 0.6).abs() < 1e-12);
        assert!((ensemble.mean_of_members() - 1.0 / 3.0).abs() < 1e-12);
        let first = ensemble.members[0].against;
        assert_eq!((first.gained, first.lost, first.images), (1, 0, 3));
        let expected = -(0.6_f64.ln() + (1.9_f64 / 3.0).ln() + 0.3_f64.ln()) / 3.0;
        assert!((ensemble.log_loss() - expected).abs() < 1e-12, "sklearn.metrics.log_loss");
    }

    #[test]
    fn runs_that_cannot_answer_together_are_refused() {
        let runs = seeds(&[&[0.4, 0.9], &[0.45, 0.6]]);
        let says = |runs: &[Record], what: &str| {
            let error = of(runs).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        says(&runs[..1], "two runs at least, and this would have 1");
        let changed = |change: &dyn Fn(&mut Record)| {
            let mut runs = runs.clone();
            change(&mut runs[1]);
            runs
        };
        says(&changed(&|it| it.state = State::Interrupted), "is not finished");
        says(&changed(&|it| it.predictions.clear()), "has no test images");
        says(&changed(&|it| it.predictions[0].id = "other".into()), "were tested on other images");
        says(&changed(&|it| drop(it.predictions.pop())), "were tested on other images");
        says(&changed(&|it| it.predictions[0].truth = 0), "or with other labels");
        let other = |it: &mut Record| it.facts.dataset.as_mut().unwrap().classes.reverse();
        says(&changed(&other), "tell other classes apart");
    }
}
