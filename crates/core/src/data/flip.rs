//! How often training images are mirrored, as a user writes it: a probability, or in turns.

use std::borrow::Cow;
use std::fmt;

use ferrite_random::{Random, Use};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// How often images are mirrored left and right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flip {
    /// With this probability, drawn anew in every epoch.
    Random(f64),
    /// Half of the images in the first epoch of a stage, and in every other one those that the epoch before did not.
    Alternating,
}

const ALTERNATING: &str = "alternating";

impl Flip {
    /// Whether it is a probability, if it is a number.
    pub(super) fn is_possible(self) -> bool {
        match self {
            Self::Random(probability) => (0.0..=1.0).contains(&probability),
            Self::Alternating => true,
        }
    }

    /// Whether image `item` is mirrored in `epoch`; `own` is a number from 0 to 1 of that image and epoch.
    pub(super) fn mirrors(self, own: f64, seed: u64, epoch: usize, item: u32) -> bool {
        match self {
            Self::Random(probability) => own < probability,
            Self::Alternating => {
                let first = Random::at(seed, Use::Flip, 0, u64::from(item)).chance(0.5);
                first == (epoch % 2 == 1)
            }
        }
    }
}

impl Default for Flip {
    fn default() -> Self {
        Self::Random(0.0)
    }
}

impl Serialize for Flip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Random(probability) => serializer.serialize_f64(*probability),
            Self::Alternating => serializer.serialize_str(ALTERNATING),
        }
    }
}

// By hand, because serde's `untagged` would say neither where nor what was expected.
impl<'de> Deserialize<'de> for Flip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlipVisitor)
    }
}

struct FlipVisitor;

impl Visitor<'_> for FlipVisitor {
    type Value = Flip;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probability, like 0.5, or \"alternating\"")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Flip, E> {
        match name {
            ALTERNATING => Ok(Flip::Alternating),
            _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
        }
    }

    fn visit_f64<E: Error>(self, probability: f64) -> Result<Flip, E> {
        Ok(Flip::Random(probability))
    }

    fn visit_i64<E: Error>(self, probability: i64) -> Result<Flip, E> {
        Ok(Flip::Random(probability as f64))
    }

    fn visit_u64<E: Error>(self, probability: u64) -> Result<Flip, E> {
        Ok(Flip::Random(probability as f64))
    }
}

impl JsonSchema for Flip {
    fn schema_name() -> Cow<'static, str> {
        "Flip".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "type": "string", "enum": [ALTERNATING] },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::augment::Augment;

    #[test]
    fn an_image_is_mirrored_in_every_other_epoch_and_half_of_them_in_each() {
        let augment = Augment { flip: Flip::Alternating, ..Augment::default() };
        let mirrored = |epoch, item| augment.draw(7, epoch, item).flip;
        // In another order in each epoch, as training asks for them: no draw follows from those before.
        for epoch in 1..=9 {
            let items = (0..2000_u32).map(|it| it * 1999 * epoch % 2000);
            let mut count = 0;
            for item in items {
                let now = mirrored(epoch as usize, item);
                assert_eq!(now, mirrored(1, item) == (epoch % 2 == 1), "{item} in epoch {epoch}");
                count += u32::from(now);
            }
            assert!((900..1100).contains(&count), "{count} of 2000 in epoch {epoch}");
        }
        let other = |item| augment.draw(8, 1, item).flip != mirrored(1, item);
        assert!((900..1100).contains(&(0..2000).filter(|it| other(*it)).count()), "other seeds");
    }

    #[test]
    fn nothing_else_that_is_drawn_depends_on_it() {
        let with = |flip| Augment { flip, rotation: 10.0, erase: 0.5, ..Augment::default() };
        for item in 0..50 {
            let [random, alternating] = [Flip::Random(0.5), Flip::Alternating]
                .map(|it| with(it).draw(0, 2, item))
                .map(|it| (it.rotation, it.erased));
            assert_eq!(random, alternating);
        }
    }

    #[test]
    fn it_is_a_probability_or_a_word() {
        let read = |text: &str| toml::from_str::<Augment>(&format!("flip = {text}"));
        for (text, expected) in [
            ("0.5", Flip::Random(0.5)),
            ("1", Flip::Random(1.0)),
            ("'alternating'", Flip::Alternating),
        ] {
            let read = read(text).unwrap();
            assert_eq!((read.flip, read.check()), (expected, Vec::new()));
            let there = toml::to_string(&read).unwrap();
            assert_eq!(toml::from_str::<Augment>(&there).unwrap(), read);
        }
        for wrong in ["1.5", "-1", "nan"] {
            assert_eq!(read(wrong).unwrap().check().len(), 1, "{wrong}");
        }
        for wrong in ["'often'", "true", "[0.5]"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("a probability, like 0.5, or \"alternating\""), "{error}");
        }
    }
}
