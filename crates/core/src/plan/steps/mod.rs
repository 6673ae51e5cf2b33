//! The steps that a trial is made of: values that own everything which decides their results.
//!
//! What a step's result depends on, besides the results that it starts from, is one struct, and the whole struct
//! stands in its key: what differs from its default, at every depth ([`differences()`]). So no setting can be forgotten
//! in a key, and a new setting with a default changes none.
//!
//! A step is added by a file here (settings, version, files), one in `run` that carries it out, and a line in each
//! of the two `mod.rs`.

pub mod dataset;
pub mod detections;
mod differences;
pub mod evaluate;
pub mod faces;
pub mod features;
pub mod rows;
pub mod stage;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::config::schema::Schema;
use crate::digits::hex;
use crate::plan::steps::dataset::Dataset;
use crate::plan::steps::detections::Detections;
use crate::plan::steps::differences::differences;
use crate::plan::steps::evaluate::Evaluate;
use crate::plan::steps::faces::Faces;
use crate::plan::steps::features::Features;
use crate::plan::steps::stage::Stage;

/// The name of a step's result: a sha256 in hex, for features with what they are of behind it.
pub type Key = String;

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Decoded images.
    Dataset,
    /// The faces in pictures.
    Detections,
    /// Images of faces.
    Faces,
    /// The output of a frozen prefix for the images of one split.
    Features,
    /// One trained stage.
    Stage,
    /// Predictions of the final weights.
    Evaluate,
}

/// What decides the result of a step, besides the results that it starts from.
pub(in crate::plan) trait Settings: Serialize {
    /// The kind of step.
    const KIND: Kind;

    /// The version of the step's code. It is raised when the step would give other results for the same settings, and
    /// where it is raised a comment says why.
    const VERSION: u32;

    /// The schema of the settings, which knows their defaults.
    fn schema() -> &'static Schema;

    /// What of the settings stands in the key.
    fn hashed(&self) -> Json {
        differences(Self::schema(), &json(self))
    }

    /// The key of the step's result, which starts from what `inputs` name.
    fn key(&self, inputs: &[&str]) -> Key {
        key(Self::KIND, Self::VERSION, &self.hashed(), inputs)
    }
}

/// One step of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Decoded images.
    Dataset(Dataset),
    /// The faces in pictures.
    Detections(Detections),
    /// Images of faces.
    Faces(Faces),
    /// The output of a frozen prefix.
    Features(Features),
    /// One trained stage.
    Stage(Box<Stage>),
    /// Predictions of the final weights.
    Evaluate(Evaluate),
}

impl Kind {
    /// Its folder below `runs/.store`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Detections => "detections",
            Self::Faces => "faces",
            Self::Features => "features",
            Self::Stage => "stage",
            Self::Evaluate => "evaluate",
        }
    }
}

impl Step {
    /// What it does.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dataset(_) => Kind::Dataset,
            Self::Detections(_) => Kind::Detections,
            Self::Faces(_) => Kind::Faces,
            Self::Features(_) => Kind::Features,
            Self::Stage(_) => Kind::Stage,
            Self::Evaluate(_) => Kind::Evaluate,
        }
    }

    /// What names the checkpoints that a stage can go on from; none for other steps.
    pub fn lineage(&self) -> Option<&Key> {
        match self {
            Self::Stage(it) => Some(&it.lineage),
            _ => None,
        }
    }
}

fn json(settings: &(impl Serialize + ?Sized)) -> Json {
    serde_json::to_value(settings).expect("settings are plain JSON")
}

/// The sha256 of everything that decides a result, as text.
fn key(kind: Kind, version: u32, settings: &Json, inputs: &[&str]) -> Key {
    digest(serde_json::json!([kind.name(), version, settings, inputs]))
}

/// The sha256 of `said`, in which the order of fields makes no difference.
fn digest(mut said: Json) -> Key {
    said.sort_all_objects();
    hex(&Sha256::digest(said.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_changes_no_key() {
        let one = json!({ "a": 1, "b": [{ "c": 2, "d": 3 }] });
        let other = json!({ "b": [{ "d": 3, "c": 2 }], "a": 1 });
        assert_ne!(one.to_string(), other.to_string());
        assert_eq!(digest(one), digest(other));
    }
}
