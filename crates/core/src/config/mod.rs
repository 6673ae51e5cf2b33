//! An experiment file: its tables together, and what cannot be right between them.
//!
//! Each table is defined and judged where it is used; this module composes them. Reading files,
//! `extends`, `--set` and the places of problems are in [`read`]; what a file may hold at all, in [`schema`].
//!
//! **Invariant:** a value of [`Experiment`] that came through [`read`] has no problem left in it.

mod aliases;
pub mod clusters;
pub mod docs;
pub mod editors;
pub mod facts;
mod files;
pub mod flat;
pub mod grid;
pub mod names;
pub mod path;
pub mod places;
pub mod points;
mod problems;
pub mod read;
pub mod schema;
mod text;

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::names::refused_run;
use crate::data::Data;
use crate::data::augment::Augment;
use crate::error::Problem;
use crate::model::implementation::Implementation;
use crate::model::summary::trained_matrices;
use crate::model::trainable::resolve;
use crate::model::{BatchNorm, Model, Noise, Weights};
use crate::search::Search;
use crate::settings::Stage;
use crate::settings::evaluate::Evaluate;
use crate::settings::loss::ClassWeights;
use crate::settings::optimizer::Optimizer;

/// More stages than anyone wrote, and few enough to look at each in a moment.
const MOST_STAGES: usize = 100;

/// An experiment: what one TOML file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// One sentence for the report: what this experiment is to show.
    pub about: String,
    /// Words to choose experiments by: `ferrite sweep --select overnight` takes those that have the tag `overnight`. They
    /// change no result. A tag has letters, digits, `-`, `_` and `.`. A file that lists none has those of the file that it
    /// extends.
    pub tags: Vec<String>,
    /// Another experiment file, relative to this one, whose settings hold where this one says nothing. Tables are merged
    /// key by key; a list here replaces the list there, `[[stages]]` too. That file may extend another one, up to 16 in
    /// a row.
    pub extends: Option<String>,
    /// Every trial is trained once with each of these seeds. A seed decides the first weights, the order of the images,
    /// augmentation, dropout and noise, but not the split of the data (that is `data.split.seed`). One seed can never show
    /// that a difference is real: use three or more.
    pub seeds: Vec<u64>,
    /// The images: where they come from, how they are split.
    pub data: Data,
    /// Random changes of training images.
    #[schemars(extend("x-group" = "augmentation"))]
    pub augment: Augment,
    /// Backbone, first weights, head.
    pub model: Model,
    /// Gaussian noise layers.
    #[schemars(extend("x-group" = "noise"))]
    pub noise: Noise,
    /// What batch norms of frozen layers do.
    pub batch_norm: BatchNorm,
    /// The phases of training, in order.
    pub stages: Vec<Stage>,
    /// How the final weights are tested.
    pub evaluate: Evaluate,
    /// Dotted keys of settings and the values to try: every combination of the values is a trial. A stage is addressed by
    /// its name: `"stages.fine-tune.optimizer.sgd.lr" = [1e-2, 1e-3]`. Two combinations may not come to the same settings,
    /// and there may be 10,000 trials, seeds included.
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub grid: BTreeMap<String, Vec<toml::Value>>,
    /// Points of a space of settings that are drawn at random, in place of `[grid]`. Left out: there is no search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            about: String::new(),
            tags: Vec::new(),
            extends: None,
            seeds: vec![0],
            data: Data::default(),
            augment: Augment::default(),
            model: Model::default(),
            noise: Noise::default(),
            batch_norm: BatchNorm::default(),
            stages: vec![Stage::default()],
            evaluate: Evaluate::default(),
            grid: BTreeMap::new(),
            search: None,
        }
    }
}

impl Experiment {
    /// The settings as they stand in a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain TOML")
    }

    /// Everything that cannot be right, in the order of the tables. Empty means valid.
    ///
    /// Each table judges itself; only rules between tables are written here.
    pub fn check(&self) -> Vec<Problem> {
        let within = |table: &'static str, problems: Vec<Problem>| {
            problems.into_iter().map(move |it| it.within(table))
        };
        let mut problems: Vec<Problem> = within("data", self.data.check())
            .chain(within("augment", self.augment.check()))
            .chain(within("model", self.model.check()))
            .chain(within("noise", self.noise.check()))
            .chain(within("evaluate", self.evaluate.check()))
            .collect();
        problems.extend(self.check_tags());
        problems.extend(self.check_run());
        problems.extend(self.check_seeds());
        problems.extend(self.check_stages());
        problems.extend(self.check_image_size());
        problems.extend(self.check_search());
        problems
    }

    fn check_search(&self) -> Vec<Problem> {
        let Some(search) = &self.search else { return Vec::new() };
        let both = "cannot stand beside `[grid]`: put the grid's values into the space, as `{ choice = [ … ] }`";
        let alone = Problem::unless(self.grid.is_empty(), "search", both);
        let own = search.check(&self.stages).into_iter().map(|it| it.within("search"));
        alone.into_iter().chain(own).collect()
    }

    fn check_tags(&self) -> Option<Problem> {
        let plain = |it: char| it.is_alphanumeric() || "-_.".contains(it);
        let odd = self.tags.iter().find(|it| it.is_empty() || !it.chars().all(plain))?;
        let message = format!("has `{odd}`: a tag is a word of letters, digits, `-`, `_` and `.`");
        Some(Problem::new("tags", message))
    }

    fn check_seeds(&self) -> Option<Problem> {
        let mut known = HashSet::new();
        let twice = !self.seeds.iter().all(|it| known.insert(it));
        Problem::unless(!self.seeds.is_empty(), "seeds", "must list at least one seed").or_else(
            || Problem::unless(!twice, "seeds", "lists a seed twice; each must be its own"),
        )
    }

    fn check_run(&self) -> Option<Problem> {
        let Weights::Run(run) = &self.model.weights else { return None };
        refused_run(run).map(|it| Problem::new("model.weights.run", it))
    }

    fn check_stages(&self) -> Vec<Problem> {
        if self.stages.len() > MOST_STAGES {
            let message = format!("lists {} stages, at most {MOST_STAGES}", self.stages.len());
            return vec![Problem::new("stages", message)];
        }
        let mut problems = Vec::new();
        let some = !self.stages.is_empty();
        problems.extend(Problem::unless(some, "stages", "must list at least one stage"));
        for (index, stage) in self.stages.iter().enumerate() {
            let place = format!("stages.{index}");
            problems.extend(stage.check().into_iter().map(|it| it.within(&place)));
            let classes = self.data.classes().len();
            if let ClassWeights::Each(weights) = &stage.loss.class_weights
                && weights.len() != classes
            {
                let message = format!("must list {classes} weights, one for each class");
                problems.push(Problem::new("loss.class_weights", message).within(&place));
            }
            match resolve(&self.model, &stage.trainable) {
                Err(problem) => problems.push(problem.within(&place)),
                Ok(trained) => {
                    let muon = matches!(stage.optimizer, Optimizer::Muon(_));
                    let idle = muon && trained_matrices(&self.model, &trained) == 0;
                    let message = "has no hidden layer to train here, and would leave everything to its AdamW: let more \
                                   layers train (`trainable`, `model.head.layers`), or write `adamw`";
                    let problem = Problem::unless(!idle, "optimizer.muon", message);
                    problems.extend(problem.map(|it| it.within(&place)));
                }
            }
            if self.stages[..index].iter().any(|it| it.name == stage.name) {
                let message = format!("another stage is called `{}` too", stage.name);
                problems.push(Problem::new("name", message).within(&place));
            }
        }
        problems
    }

    fn check_image_size(&self) -> Option<Problem> {
        let backbone = self.model.backbone;
        let least = backbone.description(Implementation::default()).network.least_image_size;
        let message = format!("must be at least {least} for `{}`", backbone.name());
        // What is too small for any network is told once.
        let told = self.data.check().iter().any(|it| it.key == "image_size");
        Problem::unless(told || self.data.image_size >= least, "data.image_size", &message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_experiment_has_no_problem() {
        assert_eq!(Experiment::default().check(), []);
    }
}
