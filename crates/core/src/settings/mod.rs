//! The tables that say how a trial trains and is judged; the settings of data and networks stand with these.

pub mod evaluate;
pub mod loss;
pub mod muon;
pub mod optimizer;
pub mod rule;
pub mod sampling;
pub mod schedule;
pub mod stopping;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Epoch;
use crate::model::trainable::Trainable;
use crate::settings::loss::Loss;
use crate::settings::optimizer::Optimizer;
use crate::settings::sampling::Sampling;
use crate::settings::schedule::{Schedule, Warmup};
use crate::settings::stopping::{EarlyStopping, Monitor};

/// One `[[stages]]` table: a phase of training, which Keras users write as one `compile` and one `fit`. Each stage begins
/// with the weights that the stage before it ended with, and with a new optimizer.
///
/// ```toml
/// [[stages]]
/// name      = "head"
/// trainable = "head"
/// epochs    = 5
/// optimizer = { adam = { lr = 1e-3 } }
///
/// [[stages]]
/// name           = "fine-tune"
/// trainable      = "features.14"
/// epochs         = 20
/// batch_size     = 32
/// optimizer      = { adam = { lr = 1e-4 } }
/// schedule       = "cosine"
/// early_stopping = { monitor = "valid_loss", patience = 6 }
/// checkpoints    = ["valid_accuracy"]
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// The name of the stage in grids, `--set` and the report: letters, digits, `-` and `_`.
    pub name: String,
    /// Which part of the network is trained. The head always is. `"head"`: the whole backbone is frozen. `"all"`: nothing
    /// is frozen. The name of a block or layer of the backbone: that one and all behind it are trained; it is called as in
    /// weight files (`"features.16"`, `"layer4"`) or as in Keras (`"block5"`, `"block4_conv3"`, `"conv5_block1"`).
    /// `{ last = 6 }`: the last layers of the backbone as Keras counts them, activations and poolings included; Keras
    /// has no ResNet18 and no ResNet34.
    /// `ferrite plan --layers` lists the layers that are trained.
    #[schemars(extend("x-technique" = "freezing", "x-off" = "head", "x-follows-backbone-unless" = ["head", "all"]))]
    pub trainable: Trainable,
    /// The most passes over the training images.
    #[schemars(extend("x-technique" = "epochs", "x-unit" = "epochs", "x-keras" = 1))]
    pub epochs: usize,
    /// Images per optimizer step; the last batch of an epoch may be smaller, as in Keras.
    #[schemars(extend("x-technique" = "batch size", "x-unit" = "images", "x-keras" = 32))]
    pub batch_size: usize,
    /// How gradients change the weights.
    #[schemars(extend("x-group" = "optimizer", "x-keras" = "rmsprop"))]
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    #[schemars(extend("x-technique" = "schedule", "x-off" = "constant"))]
    pub schedule: Schedule,
    /// A rise of the learning rate before the schedule begins. Left out: none.
    #[schemars(extend("x-technique" = "warm-up", "x-off" = null))]
    pub warmup: Option<Warmup>,
    /// When to stop before the last epoch. Left out: all epochs are trained, and the stage ends with the weights of the last
    /// one.
    #[schemars(extend("x-technique" = "early stopping", "x-off" = null))]
    pub early_stopping: Option<EarlyStopping>,
    /// Metrics whose best epoch is saved as well. In the last stage each of them becomes `model.<metric>.safetensors` and
    /// `predictions.<metric>.csv` in the folder of the run (Keras's `ModelCheckpoint(save_best_only=True)`). It does not
    /// change with which weights the stage ends.
    #[schemars(extend("x-technique" = "checkpoints", "x-off" = []))]
    pub checkpoints: Vec<Monitor>,
    /// What training minimises.
    #[schemars(extend("x-group" = "loss"))]
    pub loss: Loss,
    /// Which training images an epoch sees.
    #[schemars(extend("x-technique" = "sampling", "x-off" = "shuffle"))]
    pub sampling: Sampling,
    /// Blends each image with another of its batch, and their labels too (Zhang et al. 2018,
    /// <https://arxiv.org/abs/1710.09412>). The number is the alpha of the Beta distribution from which each batch draws the
    /// share of the other image; 0 is off. The scaled pixels are blended after augmentation, so the frozen layers are
    /// computed in every step. The training accuracy counts the label with the greater share.
    #[schemars(extend("x-technique" = "mixup", "x-unit" = "alpha", "x-off" = 0.0))]
    pub mixup: f64,
    /// Puts a rectangle of another image of the batch into each image, and mixes the labels by its area within the image
    /// (Yun et al. 2019, <https://arxiv.org/abs/1905.04899>). The number is the alpha of the Beta distribution; 0 is off. If
    /// mixup is on too, each batch gets one of the two, with equal chances.
    #[schemars(extend("x-technique" = "cutmix", "x-unit" = "alpha", "x-off" = 0.0))]
    pub cutmix: f64,
    /// Bounds the gradient of each step. Left out: no bound.
    #[schemars(extend("x-technique" = "clipping", "x-off" = null))]
    pub clip: Option<Clip>,
    /// Decay of a moving average of the weights, taken after every step: `average = ema * average +
    /// (1 - ema) * weights`, beginning with the first weights of the stage; 0 is off. The average is validated, saved and
    /// passed to the next stage; training itself continues with the weights that are not averaged. It is timm's
    /// `ModelEmaV2` without a warm-up of the decay, and Keras's `use_ema`. The running statistics of batch norms are not
    /// averaged, as in PyTorch's `AveragedModel`.
    #[schemars(extend("x-technique" = "moving average", "x-unit" = "decay", "x-off" = 0.0))]
    pub ema: f64,
}

/// A bound of the gradient of all weights that are trained.
///
/// ```toml
/// [[stages]]
/// clip = { norm = 1.0 }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Scales the gradient of all weights together down to this L2 norm if it is longer: PyTorch's `clip_grad_norm_`, Keras's
    /// `global_clipnorm`. (Keras's `clipnorm` looks at each tensor by itself.)
    Norm(f64),
    /// Limits each value of the gradient to this size: PyTorch's `clip_grad_value_`, Keras's `clipvalue`.
    Value(f64),
}

/// Whether a setting has its default: then it is not written, so that steps keep the keys they had before
/// there was the setting.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            name: "train".into(),
            trainable: Trainable::default(),
            epochs: 10,
            batch_size: 64,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            warmup: None,
            early_stopping: None,
            checkpoints: Vec::new(),
            loss: Loss::default(),
            sampling: Sampling::default(),
            mixup: 0.0,
            cutmix: 0.0,
            clip: None,
            ema: 0.0,
        }
    }
}

impl Stage {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let named = !self.name.is_empty()
            && self.name.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it));
        let own = [
            Problem::unless(named, "name", "must be letters, digits, `-` and `_`"),
            Problem::unless(self.epochs >= 1, "epochs", "must be at least 1"),
            Problem::unless(
                (2..=65_536).contains(&self.batch_size),
                "batch_size",
                "must be from 2 to 65536: batch norm needs a variance",
            ),
        ];
        let within = |table: &'static str, problems: Vec<Problem>| {
            problems.into_iter().map(move |it| it.within(table))
        };
        let warmup = self.warmup.iter().flat_map(|it| it.check(self.epochs));
        let stopping = self.early_stopping.iter().flat_map(|it| it.check(self.epochs));
        own.into_iter()
            .flatten()
            .chain(within("optimizer", self.optimizer.check()))
            .chain(within("schedule", self.schedule.check(self.optimizer.lr())))
            .chain(within("warmup", warmup.collect()))
            .chain(within("early_stopping", stopping.collect()))
            .chain(within("loss", self.loss.check()))
            .chain(self.check_techniques())
            .collect()
    }

    fn check_techniques(&self) -> impl Iterator<Item = Problem> {
        let alpha = |it: f64| it >= 0.0 && it.is_finite();
        let number = "must be 0 (off) or a positive number, like 0.2";
        let rises_twice = self.warmup.is_some() && matches!(self.schedule, Schedule::OneCycle(_));
        let twice = (1..self.checkpoints.len())
            .any(|it| self.checkpoints[..it].contains(&self.checkpoints[it]));
        let bounded = self.clip.is_none_or(|it| {
            let (Clip::Norm(most) | Clip::Value(most)) = it;
            most > 0.0 && most.is_finite()
        });
        [
            Problem::unless(
                !rises_twice,
                "warmup",
                "must be left out with `one_cycle`, which rises by itself (`pct_start`)",
            ),
            Problem::unless(!twice, "checkpoints", "lists a metric twice"),
            Problem::unless(alpha(self.mixup), "mixup", number),
            Problem::unless(alpha(self.cutmix), "cutmix", number),
            Problem::unless(bounded, "clip", "must be a positive number"),
            Problem::unless(
                (0.0..1.0).contains(&self.ema),
                "ema",
                "must be 0 (off) or below 1, like 0.999",
            ),
        ]
        .into_iter()
        .flatten()
    }

    /// The learning rate of step `step` of `steps` (from 0, over all planned epochs), after the epochs
    /// `before`.
    pub fn lr(&self, [step, steps]: [usize; 2], before: &[Epoch]) -> f64 {
        let base = self.optimizer.lr();
        let Some(warmup) = &self.warmup else {
            return self.schedule.lr(base, [step, steps], before);
        };
        let rising = steps / self.epochs * warmup.epochs;
        if step < rising {
            return base * warmup.share([step, rising]);
        }
        let before = before.get(warmup.epochs..).unwrap_or_default();
        self.schedule.lr(base, [step - rising, steps - rising], before)
    }

    /// The best epoch of `epochs`, counted from 1, if early stopping restores its weights.
    pub fn best_epoch(&self, epochs: &[Epoch]) -> Option<usize> {
        let stopping = self.early_stopping.as_ref().filter(|it| it.restore_best)?;
        Some(stopping.standing(epochs).best_epoch).filter(|it| *it > 0)
    }

    /// The epoch whose weights the stage ends with, if it ends after `epochs`; 0 if there are none.
    pub fn kept_epoch(&self, epochs: &[Epoch]) -> usize {
        self.best_epoch(epochs).unwrap_or(epochs.len())
    }

    /// Whether images of a batch are mixed with one another, so that what the network is fed changes from
    /// step to step.
    pub fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }
}
