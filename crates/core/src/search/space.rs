//! What a setting is drawn from.

use ferrite_random::{Random, Use};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::Value;

use crate::error::Problem;

/// What the values of a setting are drawn from. Numbers that are no whole ones are drawn with three digits.
///
/// ```toml
/// [search.space]
/// "stages.head.optimizer.adamw.lr"           = { log_uniform = [1e-5, 1e-2] }
/// "stages.head.optimizer.adamw.weight_decay" = { uniform = [0.0, 0.1] }
/// "stages.head.batch_size"                   = { int_log_uniform = [8, 64] }
/// "augment.rotation"                         = { choice = [0, 10, 20] }
///
/// [[stages]]
/// name      = "head"
/// optimizer = { adamw = {} }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Any number between the two, all of them equally likely: Optuna's `suggest_float`, Ray Tune's `uniform`.
    Uniform([f64; 2]),
    /// Any number between the two, both above 0, where each power of ten is as likely as the next: for learning rates and
    /// weight decay. Optuna's `suggest_float(…, log=True)`, Ray Tune's `loguniform`; `log_uniform_values` of Weights & Biases,
    /// whose `log_uniform` takes exponents.
    LogUniform([f64; 2]),
    /// A whole number from the first to the second, both included, as in Optuna's `suggest_int`. (Ray Tune's `randint` leaves
    /// the second out.)
    IntUniform([i64; 2]),
    /// A whole number from the first to the second, both included and at least 1, where 8 to 16 is as likely as 16 to 32:
    /// Optuna's `suggest_int(…, log=True)`.
    IntLogUniform([i64; 2]),
    /// One of these values, all of them equally likely: Optuna's `suggest_categorical`, Ray Tune's `choice`, `values` of Weights
    /// & Biases.
    Choice(#[schemars(with = "Vec<serde_json::Value>")] Vec<Value>),
}

/// A value that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The value.
    pub value: Value,
    /// Its position in the list, where it is one of a list.
    pub item: Option<usize>,
}

/// What decides the value of the setting `key` in the point with this number.
pub(super) fn stream(seed: u64, number: usize, key: &str, attempt: usize) -> Random {
    let digest = Sha256::digest(key.as_bytes());
    let item = digest.iter().take(8).fold(0, |all, it| all << 8 | u64::from(*it));
    let mut random = Random::at(seed, Use::Search, number as u64, item);
    for _ in 0..attempt {
        random.bits();
    }
    random
}

/// So many digits of a number are drawn. The logarithms of two machines may differ in the last one of seventeen; and a value
/// is read, and is the name of a folder.
const DIGITS: usize = 3;

/// `value` with so many digits, within `low` and `high`.
fn short(value: f64, [low, high]: [f64; 2]) -> f64 {
    let text = format!("{value:.*e}", DIGITS - 1);
    text.parse::<f64>().unwrap_or(value).clamp(low, high)
}

impl Distribution {
    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uniform(_) => "uniform",
            Self::LogUniform(_) => "log_uniform",
            Self::IntUniform(_) => "int_uniform",
            Self::IntLogUniform(_) => "int_log_uniform",
            Self::Choice(_) => "choice",
        }
    }

    /// What cannot be right in it.
    pub(super) fn check(&self) -> Vec<Problem> {
        let ascend = "must be two numbers, the smaller one first";
        let (fine, message) = match self {
            Self::Uniform([low, high]) => (low < high && (high - low).is_finite(), ascend),
            Self::LogUniform([low, high]) => (
                0.0 < *low && low < high && high.is_finite(),
                "must be two numbers above 0, the smaller one first",
            ),
            Self::IntUniform([low, high]) => (low < high, ascend),
            Self::IntLogUniform([low, high]) => (
                1 <= *low && low < high,
                "must be two whole numbers from 1 on, the smaller one first",
            ),
            Self::Choice(values) => (!values.is_empty(), "must list at least one value"),
        };
        Problem::unless(fine, self.name(), message).into_iter().collect()
    }

    /// Draws a value.
    pub(super) fn draw(&self, random: &mut Random) -> Drawn {
        let number = |value: f64| Drawn { value: Value::Float(value), item: None };
        let whole = |value: i64| Drawn { value: Value::Integer(value), item: None };
        match self {
            Self::Uniform(range @ [low, high]) => {
                number(short(random.between(*low, *high), *range))
            }
            Self::LogUniform(range @ [low, high]) => {
                number(short(random.between(low.ln(), high.ln()).exp(), *range))
            }
            Self::IntUniform([low, high]) => {
                let span = high.abs_diff(*low).saturating_add(1);
                let above = (u128::from(random.bits()) * u128::from(span)) >> 64;
                whole(low.saturating_add_unsigned(above as u64))
            }
            Self::IntLogUniform([low, high]) => {
                // Each number has the share of the logarithmic axis from half below it to half above it.
                let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
                whole((random.between(from, to).exp().round() as i64).clamp(*low, *high))
            }
            Self::Choice(values) => {
                let item = random.below(values.len());
                Drawn { value: values[item].clone(), item: Some(item) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(from: &Distribution, count: usize) -> Vec<Value> {
        (1..=count).map(|it| from.draw(&mut stream(7, it, "a.b", 0)).value).collect()
    }

    #[test]
    fn numbers_are_spread_as_their_names_say_and_stay_within_their_ends() {
        let floats = |from: &Distribution| -> Vec<f64> {
            draws(from, 4000).iter().map(|it| it.as_float().unwrap()).collect()
        };
        let share = |all: &[f64], below: f64| {
            all.iter().filter(|it| **it < below).count() as f64 / all.len() as f64
        };
        let uniform = floats(&Distribution::Uniform([-1.0, 3.0]));
        assert!(uniform.iter().all(|it| (-1.0..=3.0).contains(it)));
        assert!((share(&uniform, 0.0) - 0.25).abs() < 0.03);
        let log = floats(&Distribution::LogUniform([1e-5, 1e-2]));
        assert!(log.iter().all(|it| (1e-5..=1e-2).contains(it)));
        for (at, below) in [1e-4, 1e-3].into_iter().enumerate() {
            assert!((share(&log, below) - (at + 1) as f64 / 3.0).abs() < 0.03);
        }
        let whole = |from: &Distribution| -> Vec<i64> {
            draws(from, 4000).iter().map(|it| it.as_integer().unwrap()).collect()
        };
        let count = |all: &[i64], of: i64| all.iter().filter(|it| **it == of).count();
        let uniform = whole(&Distribution::IntUniform([2, 5]));
        assert!((2..=5).all(|it| count(&uniform, it).abs_diff(1000) < 120));
        assert_eq!((2..=5).map(|it| count(&uniform, it)).sum::<usize>(), 4000);
        let log = whole(&Distribution::IntLogUniform([1, 63]));
        let octave = |from: i64| log.iter().filter(|it| (from..2 * from).contains(it)).count();
        assert!(octave(8).abs_diff(octave(16)) < 150 && octave(16).abs_diff(octave(32)) < 150);
        assert!(log.iter().all(|it| (1..=63).contains(it)));
        let ends = whole(&Distribution::IntUniform([i64::MIN, i64::MAX]));
        assert!(ends.iter().any(|it| *it < 0) && ends.iter().any(|it| *it > 0));
    }

    #[test]
    fn a_number_has_few_digits_and_reads_as_what_it_is() {
        for value in draws(&Distribution::LogUniform([1e-5, 1e-2]), 50) {
            let value = value.as_float().unwrap();
            assert!(format!("{value:e}").split('e').next().unwrap().len() <= 4, "{value:e}");
        }
    }

    #[test]
    fn a_value_follows_from_seed_number_setting_and_attempt_and_from_nothing_else() {
        let from = Distribution::Uniform([0.0, 1.0]);
        let draw = |seed, number, key: &str, attempt| {
            from.draw(&mut stream(seed, number, key, attempt)).value
        };
        let first = draw(1, 2, "a", 0);
        assert_eq!(first, draw(1, 2, "a", 0));
        for other in
            [draw(2, 2, "a", 0), draw(1, 3, "a", 0), draw(1, 2, "b", 0), draw(1, 2, "a", 1)]
        {
            assert_ne!(first, other);
        }
        // The same on every machine and in every version: what lies on disk is found again.
        assert_eq!(first.as_float(), Some(0.272));
        let log = Distribution::LogUniform([1e-5, 1e-2]);
        assert_eq!(log.draw(&mut stream(0, 1, "lr", 0)).value.as_float(), Some(1.68e-4));
    }
}
