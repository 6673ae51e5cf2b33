//! What in a run's events should make its reader doubt: settings that are there and do nothing, scores on images
//! that the first weights know already.
//!
//! Warnings are told from the facts, so that the terminal, every page and runs of long ago say the same.
//!
//! **Invariant:** sentences without layout; what stands between backticks is a setting.

mod scores;

use std::collections::{BTreeMap, BTreeSet};

use crate::digits::counted;
use crate::event::acts::Clipped;
use crate::event::disk::SetAside;
use crate::event::faces::{ClassFaces, Faces};
use crate::event::memory::Divided;
use crate::event::weights::Weights;
use crate::event::{Augmentation, Dataset, Epoch, Evaluation, FINAL, Kind, Noise, StageEnd, Start};
use crate::warning::scores::{Images, divergence, evaluation};

/// Noise below this share of what it is added to has no effect to speak of.
const LEAST_NOISE: f64 = 0.01;

/// Augmentation that changes pixels by fewer gray levels on average has none either.
const LEAST_DIFFERENCE: f64 = 0.1;

/// Where faces are found in fewer of the images than this share, most of them are used as without looking for any.
const LEAST_FOUND: f64 = 0.5;

/// Where faces are found in fewer images of one class than of another by more than this share, dropping the others shifts
/// the shares of the classes.
const MOST_UNEVEN: f64 = 0.1;

/// Images of faces that differ by fewer gray levels on average from the whole pictures are the same to a network.
const LEAST_PLACED: f64 = 1.0;

/// One reason to doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about; a run has one warning about the same thing.
    pub about: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// A fact about a run that may give a reason to doubt.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// How it began.
    Start(&'a Start),
    /// Its images.
    Dataset(&'a Dataset),
    /// Its first weights.
    Weights(&'a Weights),
    /// The faces in its images.
    Faces(&'a Faces),
    /// A noise layer.
    Noise(&'a Noise),
    /// What augmentation did.
    Augmentation(&'a Augmentation),
    /// A batch that did not fit into memory.
    Divided(&'a Divided),
    /// What was damaged.
    Damage(&'a SetAside),
    /// A finished epoch.
    Epoch(&'a Epoch),
    /// The end of a stage.
    StageEnd(&'a StageEnd),
    /// The test of its final weights.
    Evaluation(&'a Evaluation),
}

impl<'a> Fact<'a> {
    /// What `kind` says, if that may be a reason to doubt.
    pub fn of(kind: &'a Kind) -> Option<Self> {
        Some(match kind {
            Kind::RunStarted(it) => Self::Start(it),
            Kind::DatasetReady(it) => Self::Dataset(it),
            Kind::WeightsLoaded(it) => Self::Weights(it),
            Kind::FacesReady(it) => Self::Faces(it),
            Kind::NoiseMeasured(it) => Self::Noise(it),
            Kind::AugmentationMeasured(it) => Self::Augmentation(it),
            Kind::BatchDivided(it) => Self::Divided(it),
            Kind::SetAside(it) => Self::Damage(it),
            Kind::EpochEnded(it) => Self::Epoch(it),
            Kind::StageEnded(it) => Self::StageEnd(it),
            Kind::Evaluated(it) if it.weights == FINAL => Self::Evaluation(it),
            _ => return None,
        })
    }
}

/// Looks at the facts of a run one after the other, and warns of the same thing once.
///
/// It is the only list of reasons to doubt: the terminal shows it events, the report what it knows of a run.
#[derive(Debug, Default)]
pub struct Watch {
    told: BTreeSet<String>,
    /// What clipping did in the epochs of a stage.
    clipped: BTreeMap<String, Vec<Clipped>>,
    /// The epochs of a stage.
    epochs: BTreeMap<String, Vec<Epoch>>,
    /// Names of the classes, and how many images of each there are in each split.
    images: Option<Images>,
    /// Validation accuracy of the weights that the last stage kept.
    kept: Option<f64>,
}

impl Watch {
    /// What `fact` warns of that was not warned of before.
    pub fn see(&mut self, fact: Fact<'_>) -> Vec<Warning> {
        let mut warnings = match fact {
            Fact::Weights(it) => weights(it),
            Fact::Start(it) => precision(it).into_iter().collect(),
            Fact::Faces(it) => faces(it),
            Fact::Noise(it) => noise(it).into_iter().collect(),
            Fact::Augmentation(it) => augmentation(it).into_iter().collect(),
            Fact::Divided(it) => vec![divided(it)],
            Fact::Damage(it) => vec![damage(it)],
            Fact::Epoch(it) => {
                let clipped = self.clipped.entry(it.stage.clone()).or_default();
                clipped.extend(it.acts.clipped);
                self.epochs.entry(it.stage.clone()).or_default().push(it.clone());
                class_weights(it).into_iter().collect()
            }
            Fact::Dataset(it) => {
                let (classes, counts) = (it.classes.clone(), it.counts.clone());
                self.images = Some(Images { classes, counts });
                Vec::new()
            }
            Fact::StageEnd(end) => self.stage_end(end),
            Fact::Evaluation(it) => match &self.images {
                Some(images) => evaluation(it, images, self.kept),
                None => Vec::new(),
            },
        };
        warnings.retain(|it| self.told.insert(it.about.clone()));
        warnings
    }

    fn stage_end(&mut self, end: &StageEnd) -> Vec<Warning> {
        let stage = &end.stage;
        let clipped = self.clipped.remove(stage).unwrap_or_default();
        let epochs = self.epochs.remove(stage).unwrap_or_default();
        let kept = epochs.iter().rfind(|it| it.epoch == end.kept_epoch);
        self.kept = kept.map(|it| it.valid.accuracy).or(self.kept);
        let classes = self.images.as_ref().map_or(0, |it| it.classes.len());
        let diverged = kept.and_then(|kept| divergence(kept, epochs.last()?, classes));
        clipping(stage, &clipped).into_iter().chain(diverged).collect()
    }
}

/// Warns of first weights that know the images which judge the run, or may know them, and of those that may not
/// be the ones that were meant.
pub fn weights(it: &Weights) -> Vec<Warning> {
    let Weights { from, taken, ancestors, .. } = it;
    let about = |about: &str, message| Warning { about: about.into(), message };
    let mut warnings = Vec::new();
    if let Some(it) = ancestors {
        let known = it.seen.iter().filter(|it| it.1.images > 0);
        let known: Vec<String> = known
            .map(|(split, it)| format!("{} of the {} images of `{split}`", it.images, it.of))
            .collect();
        if !known.is_empty() {
            let message = format!(
                "the first weights (`{from}`), or weights before them, were trained on {}; accuracy on these says how well they are remembered: look at the leak-free accuracy, or begin with weights that have not seen them",
                known.join(" and ")
            );
            warnings.push(about("images that the first weights know", message));
        }
        if it.older {
            let message = format!(
                "which images the first weights (`{from}`) were trained on is not written in them, so nobody knows whether these judge this run; if they are those of a run by an older Ferrite, delete its folder and sweep again: its stages are kept, and its `model.safetensors` is written anew"
            );
            warnings.push(about("images that the first weights may know", message));
        }
    }
    if taken.ambiguous {
        let what = match (&taken.state_dict, taken.prefix.as_str()) {
            (Some(it), "") => format!("`{it}`"),
            (None, "") => "its top".into(),
            (_, prefix) => format!("the tensors behind `{prefix}`"),
        };
        let others: Vec<_> = taken.others.iter().map(|it| format!("`{it}`")).collect();
        let message = format!(
            "`{from}` holds the network more than once: {what} was taken, {} would have done as well; say which is meant with `model.weights.file.state_dict`",
            others.join(", ")
        );
        warnings.push(about("one of several state dicts", message));
    }
    warnings
}

/// Warns of looking for faces where that does nothing, or almost nothing, or more in one class than in another.
pub fn faces(it: &Faces) -> Vec<Warning> {
    let all = it.all();
    let about = |about: &str, message| vec![Warning { about: about.into(), message }];
    if all.share() < LEAST_FOUND {
        let message = format!(
            "{} found a face in {} of {} images ({:.1} %), so most are the same as without `data.faces`; small pictures must be enlarged before faces are found in them: look at the pictures on this run's page, and at the settings of `data.faces.detector`",
            it.detector,
            all.found(),
            all.images,
            100.0 * all.share()
        );
        return about("faces that are not found", message);
    }
    let difference = it.difference();
    if difference < LEAST_PLACED {
        let message = format!(
            "`data.faces` changed the images by {difference:.2} gray levels on average: they were framed like this before, and training sees next to no difference"
        );
        return about("faces that lie where they lay", message);
    }
    let dropped = it.dropped();
    let [least, most] = uneven(it);
    if dropped > 0 && most - least > MOST_UNEVEN {
        let message = format!(
            "`data.faces.missing` left out {dropped} images without a face, more of some classes than of others: faces were found in {:.1} % of one class and in {:.1} % of another; scores are of other images than without it",
            100.0 * least,
            100.0 * most
        );
        return about("faces that are missing in some classes", message);
    }
    Vec::new()
}

/// The share of images with a face in the class that has the fewest, and in the one that has the most.
fn uneven(it: &Faces) -> [f64; 2] {
    let count = it.splits.values().map(|it| it.classes.len()).max().unwrap_or_default();
    let class =
        |class: usize| it.splits.values().filter_map(move |it| it.classes.get(class)).copied();
    let classes = (0..count).map(|it| class(it).sum::<ClassFaces>()).filter(|it| it.images > 0);
    let shares = classes.map(|it| it.share());
    shares.fold([1.0, 0.0], |[least, most], it| [least.min(it), most.max(it)])
}

/// Warns of batches that did not fit into memory.
fn divided(it: &Divided) -> Warning {
    let Divided { stage, epoch, step, batch, at_once, norms, message } = it;
    let other = if *norms {
        "; its batch norms see that many images at once instead of a batch, so its result is another one"
    } else {
        ""
    };
    let message = format!(
        "a batch of {batch} images of stage `{stage}` did not fit into memory ({message}), so from step {step} of epoch {epoch} on \
         the gradients of at most {at_once} images at once are added up to those of a batch{other}; dropout and noise are drawn \
         anew for each part. More memory, fewer `--jobs` or a smaller `batch_size` avoid it"
    );
    Warning { about: format!("memory of stage {stage}, {at_once} at once"), message }
}

/// Warns of what was damaged and is made again.
fn damage(it: &SetAside) -> Warning {
    let SetAside { path, message, aside } = it;
    let where_to =
        if aside.is_empty() { String::new() } else { format!(", set aside as `{aside}`") };
    let message = format!("`{path}` is damaged: {message}{where_to}; it is made again");
    Warning { about: format!("damage to {path}"), message }
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

/// Warns of a bound that no gradient of a stage reached.
pub fn clipping(stage: &str, epochs: &[Clipped]) -> Option<Warning> {
    let reached = epochs.is_empty() || epochs.iter().any(|it| it.share > 0.0);
    (!reached).then(|| {
        let longest = epochs.iter().map(|it| it.norm).fold(0.0, f64::max);
        let message = format!(
            "no gradient of stage `{stage}` reached the bound of `clip`, so it did nothing; their norm was \
             {longest:.3} on average in the epoch with the longest ones"
        );
        Warning { about: format!("clipping of {stage}"), message }
    })
}

/// Warns of steps in which no image counted.
pub fn class_weights(it: &Epoch) -> Option<Warning> {
    let steps = it.acts.weightless.filter(|it| *it > 0)?;
    let (stage, epoch) = (&it.stage, it.epoch);
    let steps = counted(steps, "step");
    let message = format!(
        "in epoch {epoch} of stage `{stage}` {steps} learned nothing, because `loss.class_weights` gives 0 to \
         the classes of all images of the batch: raise `batch_size`, give these classes a weight, or leave their \
         images out"
    );
    Some(Warning { about: format!("class weights of {stage}"), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Scores;
    use crate::event::acts::{Stop, TechniqueEvidence};
    use crate::event::weights::{Ancestors, Seen, Taken};

    fn of(kind: &Kind) -> Vec<Warning> {
        Watch::default().see(Fact::of(kind).unwrap())
    }

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
        let warning = of(&Kind::RunStarted(start(true))).remove(0);
        assert!(warning.message.contains("this cpu has no instructions for bf16"));
        assert_eq!(of(&Kind::RunStarted(start(false))), []);
    }

    #[test]
    fn noise_below_one_percent_of_the_signal_is_warned_of_and_other_noise_is_not() {
        let warning = of(&noise_of(0.1)).remove(0);
        assert!(warning.message.contains("0.15 % of it"), "{}", warning.message);
        assert!(warning.message.contains("`noise.input.std`"), "{}", warning.message);
        assert_eq!(of(&noise_of(0.65)), []);
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

    #[test]
    fn a_bound_that_no_gradient_reached_is_warned_of_when_the_stage_ends() {
        let warned = |shares: &[f64]| {
            let mut watch = Watch::default();
            for (at, share) in shares.iter().enumerate() {
                let scores = Scores { loss: 1.0, accuracy: 0.5 };
                let clipped = Some(Clipped { share: *share, norm: 0.5 });
                let acts = TechniqueEvidence { clipped, ..TechniqueEvidence::default() };
                let (stage, epoch, lr) = ("head".to_owned(), at + 1, 0.1);
                let (train, valid, seconds, images_per_second) = (scores, scores, 1.0, 1.0);
                let epoch = Epoch {
                    stage,
                    epoch,
                    lr,
                    train,
                    valid,
                    seconds,
                    images_per_second,
                    acts,
                    confusion: Vec::new(),
                    gradient: None,
                    energy: None,
                };
                assert_eq!(watch.see(Fact::Epoch(&epoch)), []);
            }
            let (stage, why, checkpoints) = ("head".to_owned(), Stop::Completed, vec![]);
            let end = StageEnd { stage, why, epochs: 2, kept_epoch: 2, checkpoints };
            watch.see(Fact::StageEnd(&end)).len()
        };
        assert_eq!([warned(&[0.0, 0.0]), warned(&[0.0, 0.25]), warned(&[])], [1, 0, 0]);
    }

    #[test]
    fn what_was_warned_of_is_not_warned_of_again() {
        let (mut watch, kind) = (Watch::default(), noise_of(0.1));
        let mut see = || watch.see(Fact::of(&kind).unwrap()).len();
        assert_eq!([see(), see()], [1, 0]);
    }

    #[test]
    fn first_weights_that_know_what_judges_a_run_are_warned_of() {
        let seen = |images| [("test".to_owned(), Seen { images, of: 48 })].into();
        let ancestors = |known, older, images| {
            let ancestors = Some(Ancestors { known, older, images: 100, seen: seen(images) });
            let (from, taken) = ("runs/a/model.safetensors".to_owned(), Taken::default());
            let (loaded, missing, unexpected) = (260, vec![], vec![]);
            let loaded = Weights { from, loaded, missing, unexpected, taken, ancestors };
            of(&Kind::WeightsLoaded(loaded)).into_iter().map(|it| it.message).collect::<Vec<_>>()
        };
        assert_eq!(ancestors(true, false, 0), [""; 0]);
        // Weights of others: nobody says, and nothing is claimed.
        assert_eq!(ancestors(false, false, 0), [""; 0]);
        let told = ancestors(true, false, 7);
        assert!(told.len() == 1 && told[0].contains("7 of the 48 images of `test`"), "{told:?}");
        let told = ancestors(false, true, 0);
        assert!(told.len() == 1 && told[0].contains("is not written in them"), "{told:?}");
        assert_eq!(ancestors(false, true, 7).len(), 2);
    }

    #[test]
    fn a_state_dict_that_nobody_chose_among_equals_is_warned_of() {
        let taken = |ambiguous| {
            let state_dict = Some("student".to_owned());
            let others = vec!["teacher".to_owned()];
            let taken = Taken { state_dict, others, ambiguous, ..Taken::default() };
            let (from, ancestors) = ("w.pth".to_owned(), None);
            let (loaded, missing, unexpected) = (260, vec![], vec![]);
            weights(&Weights { from, loaded, missing, unexpected, taken, ancestors })
        };
        assert_eq!(taken(false), []);
        let told = &taken(true)[0].message;
        assert!(told.contains("`student` was taken, `teacher` would have done"), "{told}");
    }
}
