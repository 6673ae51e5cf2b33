//! How much a step has to compute, roughly: what decides which trial is started first.

use std::collections::HashMap;

use crate::event::split::SplitName;
use crate::model::summary::multiplications;
use crate::model::trainable::resolve;
use crate::plan::chain::Link;
use crate::plan::steps::Step;
use crate::plan::steps::stage::StageSettings;

/// A step's passes over what trains: forward, and backward for gradients of values and of weights.
const PASSES: f64 = 3.0;

/// Counts the multiplications of steps. Networks that were counted are remembered.
#[derive(Debug, Default)]
pub struct Costs {
    known: HashMap<String, [f64; 2]>,
}

impl Costs {
    /// Multiplications of each step of `chain` for each training image, if no stage ends early.
    pub fn of(&mut self, chain: &[Link]) -> Vec<f64> {
        // What the prefix of a stage costs is said by the stage that it belongs to.
        let stages: Vec<[f64; 2]> = chain
            .iter()
            .filter_map(|it| match &it.step {
                Step::Stage(stage) => Some(self.of_network(&stage.settings)),
                _ => None,
            })
            .collect();
        let costs = chain.iter().map(|it| match &it.step {
            // There are few images of the others.
            Step::Features(it) if it.split == SplitName::Train => stages[it.stage][0],
            Step::Stage(it) => {
                let [prefix, rest] = stages[it.position];
                let prefix = if it.features.train.is_empty() { prefix } else { 0.0 };
                (prefix + PASSES * rest) * it.settings.stage.epochs as f64
            }
            Step::Dataset(_)
            | Step::Detections(_)
            | Step::Faces(_)
            | Step::Features(_)
            | Step::Evaluate(_) => 0.0,
        });
        costs.collect()
    }

    /// Multiplications for an image in the frozen prefix of a stage, and in all that is behind it.
    fn of_network(&mut self, settings: &StageSettings) -> [f64; 2] {
        let (model, trainable) = (settings.model(), &settings.stage.trainable);
        let image_size = settings.rows.image_size();
        let network = format!("{model:?} {image_size} {trainable:?}");
        *self.known.entry(network).or_insert_with(|| {
            let trained = resolve(&model, trainable);
            trained.map_or([0.0; 2], |it| multiplications(&model, image_size, &it))
        })
    }
}
