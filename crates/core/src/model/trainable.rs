//! What trains of a backbone: how a user says it, and which tensors that means.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::Problem;
use crate::model::Model;
use crate::model::backbone::{Described, Description};
use crate::model::layer::Builder;
use crate::model::spec::Slot;

/// What trains in a stage. The head always does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trainable {
    /// `head`, `all`, or a block or layer of the backbone, from which on everything does.
    From(String),
    /// The last layers of the backbone, as many as this and counted as Keras counts.
    Last(usize),
}

/// The tensors of a backbone that train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trained {
    /// Those that learn, ascending.
    pub slots: Vec<Slot>,
    /// Blocks that lie wholly before everything that trains.
    pub frozen_blocks: usize,
    /// How many parameters Keras's network would train: biases in front of batch norms are counted. None where Keras has no
    /// such network.
    pub keras_parameters: Option<usize>,
}

/// Which tensors of the backbone train when a stage says `trainable`.
///
/// # Errors
/// A problem with the key `trainable` if the backbone has no such block or layer.
pub fn resolve(model: &Model, trainable: &Trainable) -> Result<Trained, Problem> {
    let Description { network: backbone, tensors: builder } = model.description();
    let slots = slots(backbone, builder, trainable)?;
    Ok(Trained {
        // What trains in front of the backbone is reached through all of it.
        frozen_blocks: if model.input_norm {
            0
        } else {
            blocks_before(backbone, slots.first().copied())
        },
        keras_parameters: (!backbone.keras.is_empty())
            .then(|| keras_parameters(backbone, builder, &slots)),
        slots,
    })
}

fn slots(
    backbone: &Described,
    builder: &Builder,
    trainable: &Trainable,
) -> Result<Vec<Slot>, Problem> {
    let count = backbone.keras.len();
    let name = match trainable {
        Trainable::Last(0) => {
            let message = "must be at least 1; write `\"head\"` to train no layer of the backbone";
            return Err(Problem::new("trainable.last", message));
        }
        Trainable::Last(_) if count == 0 => {
            let last = backbone.blocks.last().map_or("", |it| it.name.as_str());
            let message = format!(
                "Keras has no such network whose layers could be counted; name a block or layer, such as `{last}`"
            );
            return Err(Problem::new("trainable.last", message));
        }
        Trainable::Last(last) => {
            let from = count.checked_sub(*last).ok_or_else(|| {
                let message =
                    format!("must be at most {count}, the layers of this backbone in Keras");
                Problem::new("trainable.last", message)
            })?;
            return Ok(of_keras(backbone, builder, from));
        }
        Trainable::From(name) => name.as_str(),
    };
    match name {
        "head" => return Ok(Vec::new()),
        "all" => return Ok(from_slot(builder, 0)),
        _ => {}
    }
    let here = builder.specs.iter().position(|it| is_part(&it.name, name, '.'));
    let there = backbone.keras.iter().position(|it| it.name == name);
    let there = there.or_else(|| backbone.keras.iter().position(|it| is_part(&it.name, name, '_')));
    let here = here.map(|it| from_slot(builder, it));
    let there = there.map(|it| of_keras(backbone, builder, it));
    match (here, there) {
        (Some(here), Some(there)) if here != there => Err(ambiguous(name, builder, [here, there])),
        (Some(slots), _) | (None, Some(slots)) if !slots.is_empty() => Ok(slots),
        (None, None) => Err(no_place(backbone, builder, name)),
        _ => {
            let message = format!("nothing learns from `{name}` on; write `\"head\"` if so meant");
            Err(Problem::new("trainable", message))
        }
    }
}

/// Whether `whole` is a part of what is called `name`: `layer4.0.conv1.weight` of `layer4`.
fn is_part(whole: &str, name: &str, separator: char) -> bool {
    whole.strip_prefix(name).is_some_and(|rest| rest.starts_with(separator))
}

/// Everything that learns from a slot on.
fn from_slot(builder: &Builder, from: usize) -> Vec<Slot> {
    let specs = builder.specs.iter().enumerate().skip(from);
    specs.filter(|(_, spec)| spec.learns).map(|(slot, _)| Slot::nth(slot)).collect()
}

/// Everything that learns from a layer of Keras's on, in Keras's order.
fn of_keras(backbone: &Described, builder: &Builder, from: usize) -> Vec<Slot> {
    let chosen: Vec<Slot> =
        backbone.keras[from..].iter().flat_map(|it| &it.slots).copied().collect();
    from_slot(builder, 0).into_iter().filter(|it| chosen.contains(it)).collect()
}

fn blocks_before(backbone: &Described, first: Option<Slot>) -> usize {
    let Some(first) = first else { return backbone.blocks.len() };
    let before = backbone.blocks.iter().take_while(|block| {
        let mut before = true;
        block.layers.iter().for_each(|it| it.each_slot(&mut |slot| before &= slot < first));
        before
    });
    before.count()
}

fn keras_parameters(backbone: &Described, builder: &Builder, trained: &[Slot]) -> usize {
    let sizes: BTreeMap<Slot, usize> = builder
        .specs
        .iter()
        .enumerate()
        .map(|(slot, spec)| (Slot::nth(slot), spec.len()))
        .filter(|(slot, _)| trained.binary_search(slot).is_ok())
        .collect();
    let of_layer = |slots: &[Slot]| slots.iter().filter_map(|it| sizes.get(it)).sum::<usize>();
    let layers = backbone.keras.iter().map(|it| (of_layer(&it.slots), it.biases));
    layers.filter(|(own, _)| *own > 0).map(|(own, biases)| own + biases).sum()
}

fn ambiguous(name: &str, builder: &Builder, firsts: [Vec<Slot>; 2]) -> Problem {
    let [here, there] = firsts.map(|slots| {
        let first = (0..builder.specs.len()).find(|it| slots.first() == Some(&Slot::nth(*it)));
        first.map_or(String::new(), |it| layer_of(&builder.specs[it].name).to_owned())
    });
    let message = format!(
        "`{name}` begins at `{here}` in weight files and at `{there}` in Keras; write that name"
    );
    Problem::new("trainable", message)
}

/// The layer that a tensor belongs to: its name without the last part.
pub fn layer_of(tensor: &str) -> &str {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer)
}

fn no_place(backbone: &Described, builder: &Builder, name: &str) -> Problem {
    let alike = |it: &str| strsim::jaro_winkler(it, name);
    let blocks = || backbone.blocks.iter().map(|it| it.name.as_str());
    let layers = builder.specs.iter().map(|it| layer_of(&it.name));
    let keras = backbone.keras.iter().map(|it| it.name.as_str());
    let prefixes = || backbone.keras.iter().filter_map(|it| it.name.rsplit_once('_'));
    let names = blocks().chain(layers).chain(keras).chain(["head", "all"]);
    let nearest = names
        .chain(prefixes().map(|(block, _)| block))
        .max_by(|a, b| alike(a).total_cmp(&alike(b)).then(b.len().cmp(&a.len())));
    let message = format!(
        "the backbone has no block or layer `{name}`; did you mean `{}`? (blocks: {} to {})",
        nearest.unwrap_or_default(),
        blocks().next().unwrap_or_default(),
        blocks().next_back().unwrap_or_default(),
    );
    Problem::new("trainable", message)
}

impl Default for Trainable {
    fn default() -> Self {
        Self::From("head".into())
    }
}

impl From<&str> for Trainable {
    fn from(name: &str) -> Self {
        Self::From(name.into())
    }
}

impl fmt::Display for Trainable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(name) => f.write_str(name),
            Self::Last(last) => write!(f, "last {last}"),
        }
    }
}

impl Serialize for Trainable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::From(name) => serializer.serialize_str(name),
            Self::Last(last) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("last", last)?;
                map.end()
            }
        }
    }
}

// By hand, because serde's `untagged` would say neither where nor what was expected.
impl<'de> Deserialize<'de> for Trainable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TrainableVisitor)
    }
}

struct TrainableVisitor;

impl<'de> Visitor<'de> for TrainableVisitor {
    type Value = Trainable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`head`, `all`, the name of a block or layer, or `{ last = 6 }`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Trainable, E> {
        Ok(name.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Trainable, A::Error> {
        let first = map.next_entry::<String, usize>()?;
        match (first, map.next_key::<String>()?) {
            (Some((key, last)), None) if key == "last" => Ok(Trainable::Last(last)),
            _ => Err(Error::custom("must be a table with the one key `last`")),
        }
    }
}

impl JsonSchema for Trainable {
    fn schema_name() -> Cow<'static, str> {
        "Trainable".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": { "last": { "type": "integer", "minimum": 1 } },
                    "required": ["last"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::backbone::Backbone;
    use crate::model::implementation::Implementation;

    fn trained(backbone: Backbone, trainable: &Trainable) -> (usize, Trained) {
        let model = Model { backbone, ..Model::default() };
        let mut builder = Builder::default();
        backbone.build(Implementation::default(), &mut builder);
        let trained = resolve(&model, trainable).unwrap();
        let specs = builder.specs.iter().enumerate();
        let chosen = specs.filter(|(slot, _)| trained.slots.contains(&Slot::nth(*slot)));
        (chosen.map(|(_, spec)| spec.len()).sum(), trained)
    }

    /// Checks how many parameters of `backbone` train, here and in Keras.
    #[track_caller]
    fn check(backbone: Backbone, trainable: impl Into<Trainable>, [here, keras]: [usize; 2]) {
        let (parameters, trained) = trained(backbone, &trainable.into());
        assert_eq!((parameters, trained.keras_parameters), (here, Some(keras)));
    }

    #[test]
    fn the_last_layers_are_counted_as_keras_counts() {
        let last = Trainable::Last;
        check(Backbone::Vgg16, last(6), [9_439_232, 9_439_232]);
        check(Backbone::Vgg16, last(4), [7_079_424, 7_079_424]);
        check(Backbone::Vgg19, last(6), [9_439_232, 9_439_232]);
        check(Backbone::MobileNetV2, last(6), [720_000, 720_000]);
        check(Backbone::MobileNetV2, last(10), [732_480, 732_480]);
        check(Backbone::EfficientNetB0, last(3), [412_160, 412_160]);
        check(Backbone::EfficientNetB0, last(5), [781_440, 781_440]);
        check(Backbone::ConvNeXtTiny, last(2), [1536, 1536]);
        check(Backbone::ConvNeXtTiny, last(4), [2_362_368, 2_362_368]);
        check(Backbone::Xception, last(6), [4_748_800, 4_748_800]);
        check(Backbone::Xception, last(10), [5_496_320, 5_496_320]);
        // Keras's ResNet50 has biases in front of its batch norms.
        check(Backbone::ResNet50, last(6), [1_055_744 - 2048, 1_055_744]);
        check(Backbone::ResNet50, last(5), [1_054_720 - 2048, 1_054_720]);
        check(Backbone::ResNet50, last(10), [4_465_664 - 512 - 512 - 2048, 4_465_664]);
    }

    #[test]
    fn names_of_weight_files_and_of_keras_are_understood() {
        check(Backbone::Vgg16, "block5", [7_079_424, 7_079_424]);
        check(Backbone::Vgg16, "features.24", [7_079_424, 7_079_424]);
        check(Backbone::Vgg16, "block4", [12_979_200, 12_979_200]);
        check(Backbone::Vgg16Bn, "block5", [7_082_496, 7_082_496]);
        check(Backbone::MobileNetV2, "block_16", [886_080, 886_080]);
        check(Backbone::MobileNetV2, "features.17", [886_080, 886_080]);
        check(Backbone::MobileNetV2, "block_13", [1_681_344, 1_681_344]);
        check(Backbone::ResNet50, "layer4", [14_964_736, 14_976_000]);
        check(Backbone::ResNet50, "conv5", [14_964_736, 14_976_000]);
        check(Backbone::ResNet50, "conv4", [22_063_104, 22_084_608]);
        check(Backbone::EfficientNetB0, "block7a", [1_129_392, 1_129_392]);
        check(Backbone::EfficientNetB0, "features.7", [1_129_392, 1_129_392]);
        check(Backbone::EfficientNetB0, "features.7.0.block.3", [781_440, 781_440]);
        let stage = 3 * (38_400 + 1536 + 2_362_368 + 2_360_064 + 768) + 1536;
        check(Backbone::ConvNeXtTiny, "convnext_tiny_stage_3", [stage; 2]);
        check(Backbone::ConvNeXtTiny, "features.7", [stage; 2]);
        check(Backbone::ConvNeXtTiny, "features.7.2.block.5", [2_362_368, 2_362_368]);
        check(Backbone::ConvNeXtTiny, "classifier.0", [1536, 1536]);
        check(Backbone::Xception, "block14", [4_748_800, 4_748_800]);
        check(Backbone::Xception, "block13", [6_788_384, 6_788_384]);
    }

    #[test]
    fn a_network_that_keras_does_not_have_is_frozen_by_the_names_of_weight_files() {
        let (parameters, layer4) = trained(Backbone::ResNet18, &"layer4".into());
        assert_eq!((parameters, layer4.frozen_blocks), (8_393_728, 7));
        assert_eq!(layer4.keras_parameters, None);
        let (parameters, layer) = trained(Backbone::ResNet34, &"layer4.2.conv2".into());
        assert_eq!((parameters, layer.frozen_blocks), (512 * 512 * 9 + 1024, 16));
    }

    #[test]
    fn all_is_everything_that_learns_and_head_nothing_of_the_backbone() {
        for (backbone, parameters) in [
            (Backbone::Vgg16, 14_714_688),
            (Backbone::Vgg16Bn, 14_723_136),
            (Backbone::Vgg19, 20_024_384),
            (Backbone::ResNet18, 11_176_512),
            (Backbone::ResNet34, 21_284_672),
            (Backbone::ResNet50, 23_508_032),
            (Backbone::MobileNetV2, 2_223_872),
            (Backbone::EfficientNetB0, 4_007_548),
            (Backbone::ConvNeXtTiny, 27_820_128),
            (Backbone::Xception, 20_806_952),
        ] {
            assert_eq!(trained(backbone, &"all".into()).0, parameters);
            let (none, head) = trained(backbone, &"head".into());
            let blocks =
                backbone.build(Implementation::default(), &mut Builder::default()).blocks.len();
            assert_eq!((none, head.frozen_blocks), (0, blocks));
        }
    }

    #[test]
    fn keras_has_as_many_layers_as_it_says() {
        for (backbone, layers) in [
            (Backbone::Vgg16, 19),
            (Backbone::Vgg19, 22),
            (Backbone::ResNet18, 0),
            (Backbone::ResNet34, 0),
            (Backbone::ResNet50, 175),
            (Backbone::MobileNetV2, 154),
            (Backbone::EfficientNetB0, 237),
            (Backbone::ConvNeXtTiny, 133),
            (Backbone::Xception, 132),
        ] {
            assert_eq!(
                backbone.build(Implementation::default(), &mut Builder::default()).keras.len(),
                layers
            );
        }
    }

    #[test]
    fn what_the_backbone_has_not_is_told() {
        let check = |backbone, trainable: Trainable, expected: &str| {
            let model = Model { backbone, ..Model::default() };
            assert_eq!(resolve(&model, &trainable).unwrap_err().message, expected);
        };
        check(
            Backbone::Vgg16,
            "block6".into(),
            "the backbone has no block or layer `block6`; did you mean `block5`? (blocks: features.0 to features.28)",
        );
        check(
            Backbone::Vgg16,
            Trainable::Last(20),
            "must be at most 19, the layers of this backbone in Keras",
        );
        check(
            Backbone::ResNet18,
            Trainable::Last(6),
            "Keras has no such network whose layers could be counted; name a block or layer, such as `layer4.1`",
        );
        check(
            Backbone::Vgg16,
            "block5_pool".into(),
            "nothing learns from `block5_pool` on; write `\"head\"` if so meant",
        );
        check(
            Backbone::Xception,
            "block12".into(),
            "`block12` begins at `block12.rep.1.conv1` in weight files and at `block11.rep.1.conv1` in Keras; write that name",
        );
    }
}
