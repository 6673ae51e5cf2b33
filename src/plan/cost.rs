//! How much a trial has to compute, roughly: what decides which is started first.

use crate::model::summary::multiplications;
use crate::model::trainable::resolve;
use crate::plan::Trial;

/// A step's passes over what trains: forward, and backward for gradients of values and of weights.
const PASSES: f64 = 3.0;

/// Multiplications of `trial` for each training image, if no stage ends early.
pub fn multiplications_of(trial: &Trial) -> f64 {
    let settings = &trial.settings;
    let stages = settings.stages.iter().map(|stage| {
        let Ok(trained) = resolve(&settings.model, &stage.trainable) else { return 0.0 };
        let [prefix, rest] = multiplications(&settings.model, settings.data.image_size, &trained);
        let keeps = settings.batch_norm.frozen_layers.sees_one_image();
        let views = settings.views(stage).filter(|_| keeps).unwrap_or(stage.epochs);
        prefix * views as f64 + PASSES * rest * stage.epochs as f64
    });
    stages.sum()
}
