//! What in a run's events should make its reader doubt: settings that are there and do nothing.
//!
//! Warnings are told from the facts, so that the terminal, every page and runs of long ago say the same.
//!
//! **Invariant:** sentences without layout; what stands between backticks is a setting.

use crate::event::{Augmentation, Epoch, Kind, Noise, Start};

/// Noise below this share of what it is added to has no effect to speak of.
const LEAST_NOISE: f64 = 0.01;

/// Augmentation that changes pixels by fewer gray levels on average has none either.
const LEAST_DIFFERENCE: f64 = 0.1;

/// One reason to doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about; a run has one warning about the same thing.
    pub about: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What `kind` warns of.
pub fn of(kind: &Kind) -> Option<Warning> {
    match kind {
        Kind::RunStarted(it) => precision(it),
        Kind::NoiseMeasured(it) => noise(it),
        Kind::AugmentationMeasured(it) => augmentation(it),
        Kind::EpochEnded(it) => class_weights(it),
        _ => None,
    }
}

/// Warns of a precision that the device imitates.
pub fn precision(it: &Start) -> Option<Warning> {
    it.imitated.then(|| {
        let Start { precision, device, .. } = it;
        let message = format!(
            "this {device} has no instructions for {precision} and imitates them, which takes many times as \
             long; leave out `model.precision`, or say `\"f32\"`"
        );
        Warning { about: "precision".into(), message }
    })
}

/// Warns of noise that is too weak to matter.
pub fn noise(it: &Noise) -> Option<Warning> {
    let Noise { layer, std, signal_std } = it;
    (*std < LEAST_NOISE * signal_std).then(|| {
        let share = 100.0 * std / signal_std;
        let message = format!(
            "the noise on the {layer} has a standard deviation of {std:.3} beside the signal's \
             {signal_std:.3}: {share:.2} % of it, which is below 1 %, so expect no effect; raise \
             `noise.{layer}.std`, or say `unit = \"input-std\"` if it was meant as a share of the signal"
        );
        Warning { about: format!("noise on the {layer}"), message }
    })
}

/// Warns of augmentation that leaves the images as they are.
pub fn augmentation(it: &Augmentation) -> Option<Warning> {
    let Augmentation { stage, changed, mean_difference, .. } = it;
    let untouched = changed.values().all(|share| *share == 0.0);
    (untouched || *mean_difference < LEAST_DIFFERENCE).then(|| {
        let what = if untouched {
            "changed no image at all".to_owned()
        } else {
            format!("moved a pixel by {mean_difference:.3} of 255 gray levels on average")
        };
        let message =
            format!("augmentation of stage `{stage}` {what}: raise the ranges in `augment`");
        Warning { about: format!("augmentation of {stage}"), message }
    })
}

/// Warns of steps in which no image counted.
pub fn class_weights(it: &Epoch) -> Option<Warning> {
    let steps = it.acts.weightless.filter(|it| *it > 0)?;
    let (stage, epoch) = (&it.stage, it.epoch);
    let plural = if steps == 1 { "" } else { "s" };
    let message = format!(
        "in epoch {epoch} of stage `{stage}` {steps} step{plural} learned nothing, because `loss.class_weights` gives 0 to \
         the classes of all images of the batch: raise `batch_size`, give these classes a weight, or leave their \
         images out"
    );
    Some(Warning { about: format!("class weights of {stage}"), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise_of(std: f64) -> Kind {
        Kind::NoiseMeasured(Noise { layer: "input".into(), std, signal_std: 64.9 })
    }

    #[test]
    fn a_precision_that_is_imitated_is_warned_of() {
        let start = |imitated| Start {
            format: 1,
            ferrite: String::new(),
            key: String::new(),
            device: "cpu".into(),
            threads: 1,
            precision: "bf16".into(),
            imitated,
            resumed: false,
        };
        let warning = of(&Kind::RunStarted(start(true))).unwrap();
        assert!(warning.message.contains("this cpu has no instructions for bf16"));
        assert_eq!(of(&Kind::RunStarted(start(false))), None);
    }

    #[test]
    fn noise_below_one_percent_of_the_signal_is_warned_of_and_other_noise_is_not() {
        let warning = of(&noise_of(0.1)).unwrap();
        assert!(warning.message.contains("0.15 % of it"), "{}", warning.message);
        assert!(warning.message.contains("`noise.input.std`"), "{}", warning.message);
        assert_eq!(of(&noise_of(0.65)), None);
        let nothing = Noise { layer: "input".into(), std: 0.1, signal_std: 0.0 };
        assert_eq!(noise(&nothing), None);
    }

    #[test]
    fn augmentation_that_changes_nothing_is_warned_of_and_other_augmentation_is_not() {
        let augmented = |share: f64, mean_difference| {
            let changed = [("flip".to_owned(), share)].into();
            Augmentation { stage: "head".into(), images: 9, changed, mean_difference }
        };
        assert_eq!(augmentation(&augmented(0.5, 12.0)), None);
        for (share, difference, said) in
            [(0.0, 0.0, "no image at all"), (1.0, 0.02, "0.020 of 255")]
        {
            let warning = augmentation(&augmented(share, difference)).unwrap();
            assert!(warning.message.contains(said), "{}", warning.message);
        }
    }
}
