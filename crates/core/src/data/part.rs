//! One part of the images, as a user writes it: the name of a split, or a fraction.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A part of the images: a string is the name of a split that the source has, a number is a
/// fraction of all images.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// The split of this name.
    Name(String),
    /// This share of all images, or of the split that trains, drawn at random within each class.
    Fraction(f64),
}

impl Part {
    /// All images that no other part takes. It is not written out: a fraction is less than 1.
    pub const EVERYTHING: Self = Self::Fraction(1.0);

    /// Whether it is [`Part::EVERYTHING`].
    pub fn is_everything(&self) -> bool {
        *self == Self::EVERYTHING
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    /// The fraction, if it is one.
    pub fn fraction(&self) -> Option<f64> {
        if let Self::Fraction(fraction) = self { Some(*fraction) } else { None }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Fraction(fraction) => serializer.serialize_f64(*fraction),
        }
    }
}

// By hand, because serde's `untagged` would say neither where nor what was expected.
impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl Visitor<'_> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a split, like \"Training\", or a fraction of all images, like 0.7")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Part, E> {
        Ok(Part::Name(name.to_owned()))
    }

    fn visit_f64<E: Error>(self, fraction: f64) -> Result<Part, E> {
        Ok(Part::Fraction(fraction))
    }

    fn visit_i64<E: Error>(self, fraction: i64) -> Result<Part, E> {
        Ok(Part::Fraction(fraction as f64))
    }

    fn visit_u64<E: Error>(self, fraction: u64) -> Result<Part, E> {
        Ok(Part::Fraction(fraction as f64))
    }
}

impl JsonSchema for Part {
    fn schema_name() -> Cow<'static, str> {
        "Part".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a split, like `\"Training\"`, or a fraction of all images, like `0.7`.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 },
            ],
        })
    }
}
