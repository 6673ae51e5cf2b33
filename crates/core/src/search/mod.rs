//! Searching among settings: which points are drawn, and which of them are worth more epochs.
//!
//! What is drawn is a function of the search's seed, the number of the point and the setting ([`space`]), and who is promoted
//! one of what the points reached ([`halving`]). **Invariant:** neither knows a clock, a worker or a file, so that a search
//! comes to the same points on every machine, however often it is interrupted.

pub mod halving;
pub mod space;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::search::halving::Halving;
use crate::search::space::Distribution;
use crate::settings::Stage;

/// The `[search]` table: points are drawn at random from a space of settings, where `[grid]` tries every combination
/// (Bergstra & Bengio 2012, <https://jmlr.org/papers/v13/bergstra12a.html>). With `halving` most of them are stopped early.
///
/// A point is drawn from its number, the search's seed and the setting alone. So raising `points` keeps the points that were
/// tried, and so does taking a setting's range out or putting another one in, as far as the other settings go. Every point
/// is trained with each of the experiment's `seeds`, and judged by their mean.
///
/// The points of a search are no hypotheses: the report ranks them by their validation scores, and gives no verdict whether
/// the best of them is really better than the others. For that, write its settings into an experiment of its own and train it
/// with other seeds.
///
/// ```toml
/// [search]
/// points = 27
///
/// [search.space]
/// "stages.head.optimizer.adam.lr" = { log_uniform = [1e-5, 1e-2] }
/// "model.head.dropout"            = { uniform = [0.0, 0.7] }
/// "stages.head.batch_size"        = { choice = [16, 32, 64] }
///
/// [search.halving]
/// min_epochs = 2
///
/// [[stages]]
/// name   = "head"
/// epochs = 18
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// How many points are drawn: Optuna's `n_trials`, Ray Tune's `num_samples`, `run_cap` of Weights & Biases. What would
    /// come to the settings of an earlier point is drawn again.
    #[schemars(extend("x-unit" = "points"))]
    pub points: usize,
    /// Decides what is drawn, and nothing else: the points train with the experiment's `seeds`.
    pub seed: u64,
    /// Dotted keys of settings, as in `[grid]`, and from what each is drawn.
    pub space: BTreeMap<String, Distribution>,
    /// Stops the points that are behind. Left out: every point is trained to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halving: Option<Halving>,
}

impl Default for Search {
    fn default() -> Self {
        Self { points: 20, seed: 0, space: BTreeMap::new(), halving: None }
    }
}

/// Settings that are not of one trial and cannot be drawn.
const FIXED: [&str; 5] = ["about", "extends", "grid", "search", "seeds"];

impl Search {
    /// What cannot be right in this table, in an experiment with these stages.
    pub fn check(&self, stages: &[Stage]) -> Vec<Problem> {
        let own = [
            Problem::unless(self.points >= 1, "points", "must be at least 1"),
            Problem::unless(
                !self.space.is_empty(),
                "space",
                "must name at least one setting, like `\"model.head.dropout\" = { uniform = [0.0, 0.7] }`",
            ),
        ];
        let space = self.space.iter().flat_map(|(key, it)| {
            let place = place(key);
            let first = key.split('.').next().unwrap_or_default();
            let fixed = FIXED.contains(&first).then(|| {
                Problem::of_key(place.clone(), format!("`{key}` cannot vary in a search"))
            });
            fixed.into_iter().chain(it.check().into_iter().map(move |it| it.within(&place)))
        });
        let halving = self.halving.iter().flat_map(|it| it.check(self, stages));
        own.into_iter()
            .flatten()
            .chain(space)
            .chain(halving.map(|it| it.within("halving")))
            .collect()
    }

    /// The table as it stands in a file, defaults included.
    pub fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("settings are plain TOML")
    }

    /// The settings of the point with this number, counted from 1, with their values. The first attempt is `0`; further ones
    /// draw other values, where these came to the settings of an earlier point.
    pub fn draw(&self, number: usize, attempt: usize) -> Vec<(&str, space::Drawn)> {
        let draw = |(key, from): (&'_ String, &Distribution)| {
            from.draw(&mut space::stream(self.seed, number, key, attempt))
        };
        self.space.iter().map(|it| (it.0.as_str(), draw(it))).collect()
    }
}

/// The dotted key of what the setting `key` is drawn from, below `search`.
fn place(key: &str) -> String {
    if key.contains('.') { format!("space.\"{key}\"") } else { format!("space.{key}") }
}
