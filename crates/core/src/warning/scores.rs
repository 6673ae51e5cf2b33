//! Scores that say less than they seem to: of a training that diverged, of too few images, of a network that does no better
//! than to say always the same.

use std::collections::BTreeMap;

use crate::digits::counted;
use crate::event::{Epoch, Evaluation};
use crate::warning::Warning;

/// Guessing among K classes has a cross-entropy of ln K; a network whose loss is so many times that has diverged.
const MOST_LOSS: f64 = 2.0;

/// So many times that of guessing, a validation loss tells of divergence whatever the training loss is.
const BEYOND: f64 = 10.0;

/// A split with fewer images judges by steps of more than two points of accuracy for each image.
const LEAST_IMAGES: usize = 50;

/// The images that a run is judged on.
#[derive(Debug)]
pub(super) struct Images {
    /// In label order.
    pub(super) classes: Vec<String>,
    /// Images of each class, by split.
    pub(super) counts: BTreeMap<String, Vec<usize>>,
}

/// Warns of a stage whose loss went far beyond that of guessing: in the epoch that was `kept`, or in its `last` one.
pub(super) fn divergence(kept: &Epoch, last: &Epoch, classes: usize) -> Option<Warning> {
    let guess = (classes as f64).ln();
    let too_high = |loss: f64| classes > 1 && (loss.is_nan() || loss > MOST_LOSS * guess);
    let stage = &kept.stage;
    // A network that learned its images by heart is wrong and sure of it, which is no divergence.
    let diverged = too_high(kept.valid.loss)
        && (kept.train.loss > guess
            || kept.train.loss.is_nan()
            || kept.valid.loss > BEYOND * guess);
    let what = if diverged {
        format!(
            "the weights that stage `{stage}` kept have a validation loss of {:.3}",
            kept.valid.loss
        )
    } else if too_high(last.train.loss) {
        format!(
            "the training loss of stage `{stage}` was {:.3} in its last epoch; the weights of epoch {} are kept",
            last.train.loss, kept.epoch
        )
    } else {
        return None;
    };
    let message = format!(
        "{what}, where guessing among {classes} classes has {guess:.3}: training diverged; lower the learning rate of \
         `stages.{stage}.optimizer`, or clip its gradients"
    );
    Some(Warning { about: format!("divergence of {stage}"), message })
}

/// Warns of scores that say little: of too few images, of classes without any, of a network that never says a class or does
/// no better than to say always the same.
pub(super) fn evaluation(it: &Evaluation, images: &Images, kept: Option<f64>) -> Vec<Warning> {
    let Evaluation { split, predicted, scores, .. } = it;
    let none = Vec::new();
    let of_split = |split: &str| images.counts.get(split).unwrap_or(&none);
    let counts = of_split(split);
    let names = |is_one: &dyn Fn(usize) -> bool| {
        let classes = images.classes.iter().enumerate().filter(|(at, _)| is_one(*at));
        classes.map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>()
    };
    let count = |counts: &[usize], at: usize| counts.get(at).copied().unwrap_or_default();
    let mut warnings = Vec::new();
    let mut warn = |about: &str, message: String| {
        warnings.push(Warning { about: about.into(), message });
    };
    if it.images < LEAST_IMAGES {
        let (all, points) = (counted(it.images, "image"), 100.0 / it.images.max(1) as f64);
        warn(
            "few images",
            format!(
                "`{split}` has {all}, so that each is worth {points:.1} points of accuracy: read the interval, not the \
             number, or give the split more images"
            ),
        );
    }
    let absent = names(&|at| count(counts, at) == 0);
    if !counts.is_empty() && !absent.is_empty() {
        warn(
            "classes without images",
            format!(
                "`{split}` has no image of {}: how well it is found is not defined, and averages go over the other classes",
                absent.join(", ")
            ),
        );
    }
    let silent = names(&|at| count(counts, at) > 0 && count(predicted, at) == 0);
    if !predicted.is_empty() && !silent.is_empty() {
        warn(
            "classes never predicted",
            format!(
                "no image of `{split}` was predicted as {}, although some are of it: look at the confusion matrix; \
             `loss.class_weights = \"balanced\"` or more images of it may help",
                silent.join(", ")
            ),
        );
    }
    let largest = |counts: &[usize]| {
        let all: usize = counts.iter().sum();
        let (at, most) = counts.iter().enumerate().max_by_key(|it| it.1)?;
        Some((images.classes.get(at)?, *most as f64 / all.max(1) as f64))
    };
    let valid = kept.map(|it| ("valid", it));
    for (split, accuracy) in valid.into_iter().chain([(split.as_str(), scores.accuracy)]) {
        let Some((class, share)) = largest(of_split(split)) else { continue };
        if accuracy < share {
            warn(
                "accuracy below the largest class",
                format!(
                    "{:.1} % of `{split}` are right, and {:.1} % would be if every image were called `{class}`, its largest \
                 class: this network has not learned to tell the classes apart",
                    100.0 * accuracy,
                    100.0 * share
                ),
            );
            break;
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::acts::{Stop, TechniqueEvidence};
    use crate::event::{Dataset, FINAL, Scores, Signal, StageEnd};
    use crate::warning::{Fact, Watch};

    fn dataset(counts: &[(&str, [usize; 3])]) -> Dataset {
        Dataset {
            key: String::new(),
            classes: ["angry", "happy", "sad"].map(str::to_owned).to_vec(),
            counts: counts.iter().map(|(name, it)| ((*name).to_owned(), it.to_vec())).collect(),
            skipped: vec![],
            unlabelled: BTreeMap::new(),
            dropped: 0,
            audit: None,
            size: [48, 48, 1],
            pixels: Signal { mean: 0.0, std: 1.0 },
            reused: false,
            seconds: 0.0,
        }
    }

    /// What is warned of in a run with these images, losses of training and validation by epoch, of which the first was
    /// kept with an accuracy of `valid`, and this test.
    fn warned(
        dataset: &Dataset,
        losses: &[[f64; 2]],
        valid: f64,
        accuracy: f64,
        predicted: [usize; 3],
    ) -> Vec<Warning> {
        let mut watch = Watch::default();
        let mut all = watch.see(Fact::Dataset(dataset));
        for (at, [train, validation]) in losses.iter().enumerate() {
            let scores = |loss: f64| Scores { loss, accuracy: valid };
            let epoch = Epoch {
                stage: "head".into(),
                epoch: at + 1,
                lr: 0.1,
                train: scores(*train),
                valid: scores(*validation),
                seconds: 1.0,
                images_per_second: 1.0,
                acts: TechniqueEvidence::default(),
                confusion: Vec::new(),
                gradient: None,
                energy: None,
            };
            all.extend(watch.see(Fact::Epoch(&epoch)));
        }
        let end = StageEnd {
            stage: "head".into(),
            why: Stop::Completed,
            epochs: losses.len(),
            kept_epoch: 1,
            checkpoints: vec![],
        };
        all.extend(watch.see(Fact::StageEnd(&end)));
        let evaluation = Evaluation {
            weights: FINAL.into(),
            split: "test".into(),
            images: predicted.iter().sum(),
            scores: Scores { loss: 1.0, accuracy },
            predicted: predicted.to_vec(),
            leak_free: None,
            viewed: None,
        };
        all.extend(watch.see(Fact::Evaluation(&evaluation)));
        all
    }

    #[track_caller]
    fn says(warnings: &[Warning], parts: &[&str]) {
        assert_eq!(warnings.len(), parts.len(), "{warnings:?}");
        for (warning, part) in warnings.iter().zip(parts) {
            assert!(warning.message.contains(part), "{}", warning.message);
        }
    }

    #[test]
    fn a_run_that_learned_is_not_warned_of() {
        let images = dataset(&[("valid", [30, 20, 20]), ("test", [30, 20, 20])]);
        says(&warned(&images, &[[1.0, 1.2], [0.8, 1.1]], 0.6, 0.5, [30, 20, 20]), &[]);
        // Overfitting raises the validation loss of later epochs, which is no divergence.
        says(&warned(&images, &[[1.0, 1.2], [0.1, 4.0]], 0.6, 0.5, [30, 20, 20]), &[]);
        says(&warned(&images, &[[0.8, 2.4]], 0.6, 0.5, [30, 20, 20]), &[]);
    }

    #[test]
    fn a_loss_far_beyond_that_of_guessing_is_a_training_that_diverged() {
        let images = dataset(&[("valid", [30, 20, 20]), ("test", [30, 20, 20])]);
        let kept = warned(&images, &[[1.0, 333_006.0]], 0.6, 0.5, [30, 20, 20]);
        says(
            &kept,
            &[
                "`head` kept have a validation loss of 333006.000, where guessing among 3 classes has 1.099",
            ],
        );
        let later = warned(&images, &[[1.0, 1.0], [90.0, 80.0]], 0.6, 0.5, [30, 20, 20]);
        says(&later, &["was 90.000 in its last epoch; the weights of epoch 1 are kept"]);
    }

    #[test]
    fn a_network_that_says_always_the_same_or_never_a_class_is_warned_of() {
        let images = dataset(&[("valid", [30, 20, 20]), ("test", [30, 20, 20])]);
        let never = warned(&images, &[[1.0, 1.0]], 0.6, 0.5, [40, 30, 0]);
        says(&never, &["no image of `test` was predicted as `sad`"]);
        let below = warned(&images, &[[1.0, 1.0]], 0.4, 0.5, [30, 20, 20]);
        says(
            &below,
            &[
                "40.0 % of `valid` are right, and 42.9 % would be if every image were called `angry`",
            ],
        );
        let below = warned(&images, &[[1.0, 1.0]], 0.6, 0.3, [30, 20, 20]);
        says(&below, &["30.0 % of `test` are right"]);
    }

    #[test]
    fn a_split_that_judges_by_few_images_or_without_a_class_is_warned_of() {
        let images = dataset(&[("valid", [3, 3, 3]), ("test", [5, 4, 0])]);
        let warnings = warned(&images, &[[1.0, 1.0]], 0.6, 0.6, [5, 4, 0]);
        says(
            &warnings,
            &[
                "`test` has 9 images, so that each is worth 11.1 points",
                "`test` has no image of `sad`",
            ],
        );
    }
}
