//! What training minimises: the `loss` table of a stage.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// The `loss` table of a stage: cross-entropy on the training images, PyTorch's in every detail.
///
/// Validation and test losses are plain cross-entropy, neither weighted nor smoothed, as Keras's `val_loss`
/// is with `class_weight`.
///
/// ```toml
/// [[stages]]
/// loss = { label_smoothing = 0.1, class_weights = "balanced" }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// Share of each label that is spread evenly over all classes, 0 to below 1 (Szegedy et al. 2016).
    #[schemars(extend("x-technique" = "label smoothing", "x-unit" = "share of each label", "x-off" = 0.0))]
    pub label_smoothing: f64,
    /// How much an image counts, by its class: `"none"`, `"balanced"` (images / (classes x images of the class), counted in
    /// the training images, as scikit-learn does), or a list with a weight for each class in label order. As in PyTorch, the
    /// loss of a batch is the weighted sum divided by the sum of the weights (Keras divides by the number of images); if
    /// labels are mixtures (mixup, cutmix, label distributions), it is divided by the number of images. A weight may be 0,
    /// but not all of them. A batch in which every weight is 0 has the loss 0 and teaches nothing (in PyTorch it is NaN);
    /// the run warns of such batches.
    #[schemars(extend("x-technique" = "class weights", "x-off" = "none"))]
    pub class_weights: ClassWeights,
}

/// How much an image counts by its class.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeights {
    /// All count the same.
    #[default]
    None,
    /// Each class counts the same in all.
    Balanced,
    /// A weight for each class, in label order.
    Each(Vec<f64>),
}

impl Loss {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let smooth = (0.0..1.0).contains(&self.label_smoothing);
        let weights: &[f64] = match &self.class_weights {
            ClassWeights::Each(weights) => weights,
            ClassWeights::None | ClassWeights::Balanced => &[1.0],
        };
        // Sums of a batch's weights must be numbers of 32 bits, too.
        let possible = |it: &f64| *it == 0.0 || (1e-6..=1e6).contains(it);
        let one_counts = !weights.iter().all(possible) || weights.iter().any(|it| *it > 0.0);
        let none = "are all 0, so nothing could be learned: give one class a weight above 0";
        [
            Problem::unless(smooth, "label_smoothing", "must be at least 0 and below 1"),
            Problem::unless(
                weights.iter().all(possible),
                "class_weights",
                "must be 0, or from 0.000001 to 1000000: what counts is how they compare",
            ),
            Problem::unless(one_counts, "class_weights", none),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl ClassWeights {
    /// Whether each class counts nothing; none if every class counts.
    pub fn ignored(&self) -> Option<Vec<bool>> {
        let Self::Each(weights) = self else { return None };
        let ignored: Vec<bool> = weights.iter().map(|it| *it as f32 == 0.0).collect();
        ignored.contains(&true).then_some(ignored)
    }

    /// The weight of each class, where `counts` are the training images of each; none if all count
    /// the same.
    pub fn of(&self, counts: &[usize]) -> Option<Vec<f64>> {
        match self {
            Self::None => None,
            Self::Each(weights) => Some(weights.clone()),
            Self::Balanced => {
                let share = counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64;
                Some(counts.iter().map(|it| share / (*it).max(1) as f64).collect())
            }
        }
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::Each(weights) => weights.serialize(serializer),
        }
    }
}

// By hand, because serde's `untagged` would say neither where nor what was expected.
impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WeightsVisitor)
    }
}

struct WeightsVisitor;

impl<'de> Visitor<'de> for WeightsVisitor {
    type Value = ClassWeights;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"none\", \"balanced\", or a list with a weight for each class")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ClassWeights, E> {
        match name {
            "none" => Ok(ClassWeights::None),
            "balanced" => Ok(ClassWeights::Balanced),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClassWeights, A::Error> {
        let mut weights = Vec::new();
        while let Some(weight) = items.next_element()? {
            weights.push(weight);
        }
        if weights.is_empty() {
            return Err(A::Error::invalid_length(0, &self));
        }
        Ok(ClassWeights::Each(weights))
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "enum": ["none", "balanced"] },
                { "type": "array", "items": { "type": "number" } },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 1, 2])
        let weights = ClassWeights::Balanced.of(&[3, 2, 1]).unwrap();
        let expected = [0.666_666_666_7, 1.0, 2.0];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{weights:?}");
    }

    #[test]
    fn weights_that_cannot_be_are_refused_and_a_0_among_others_is_not() {
        let check = |text: &str| {
            let loss: Loss = toml::from_str(&format!("class_weights = {text}")).unwrap();
            loss.check().into_iter().map(|it| it.message).collect::<Vec<_>>().join("; ")
        };
        for fine in ["[0.0, 0.0, 1.0]", "[1, 2, 3]", "'balanced'"] {
            assert_eq!(check(fine), "", "{fine}");
        }
        for wrong in ["[1, -1]", "[1, nan]", "[inf, 1]", "[1e38, 1e38]", "[1e-45, 1e-45]"] {
            assert!(check(wrong).contains("must be 0, or from"), "{wrong}: {}", check(wrong));
        }
        for nothing in ["[0.0, 0.0]", "[-0.0]"] {
            assert!(check(nothing).contains("are all 0"), "{nothing}: {}", check(nothing));
        }
    }

    #[test]
    fn weights_are_a_name_or_a_list() {
        let read = |text: &str| toml::from_str::<Loss>(&format!("class_weights = {text}"));
        assert_eq!(read("'balanced'").unwrap().class_weights, ClassWeights::Balanced);
        let each = ClassWeights::Each(vec![1.0, 2.5]);
        assert_eq!(read("[1, 2.5]").unwrap().class_weights, each);
        for wrong in ["'heavy'", "[]", "3"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("a list with a weight for each class"), "{error}");
        }
        let there = toml::to_string(&read("[1, 2.5]").unwrap()).unwrap();
        assert_eq!(toml::from_str::<Loss>(&there).unwrap().class_weights, each);
    }
}
