//! A functional model of Keras's that is put together layer by layer: the configuration that Keras builds it from, and the
//! variables that it then looks for.

use std::collections::BTreeMap;

use ferrite_core::error::Result;
use ferrite_core::model::keras::KerasLayer;
use ferrite_core::model::spec::{Slot, Spec};
use ferrite_core::model::weights::file::TensorFile;
use serde_json::{Map, Value, json};

/// What the input is called.
pub(super) const INPUT: &str = "image";

/// The result of a layer: its place in [`Builder::layers`].
pub(super) type Output = usize;

/// Sides and channels of a result behind the batch; none where any will do.
pub(super) type Shape = Vec<Option<usize>>;

/// A layer of the model.
pub(super) struct Placed {
    pub(super) name: String,
    class: Class,
    config: Map<String, Value>,
    inputs: Vec<Output>,
    shape: Shape,
    pub(super) variables: Vec<Variable>,
    /// The part of the model that it stands in and its place there, by which Keras lists layers.
    place: (Part, usize),
}

/// The numbers of a layer.
pub(super) struct Variable {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The parts of the model, in forward order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Preprocessing,
    Backbone,
    Head,
}

/// A class of layers: its name in Keras, and how groups of weight files are called after it.
#[derive(PartialEq)]
pub(super) struct Class(&'static str, &'static str);

pub(super) const BATCH_NORM: Class = Class("BatchNormalization", "batch_normalization");
pub(super) const CONVOLUTION: Class = Class("Conv2D", "conv2d");
pub(super) const DENSE: Class = Class("Dense", "dense");
pub(super) const DEPTHWISE: Class = Class("DepthwiseConv2D", "depthwise_conv2d");
pub(super) const SEPARABLE: Class = Class("SeparableConv2D", "separable_conv2d");

/// A class whose layers have no variables.
pub(super) const fn plain(name: &'static str) -> Class {
    Class(name, "")
}

/// Reverses the channels. It is no layer but an operation, which Keras writes where a model calls `keras.ops.flip`.
const FLIP: Class = plain("Flip");

/// What a layer is called.
pub(super) enum Name<'a> {
    /// Its own name, in front of the backbone or behind it.
    Own(&'a str),
    /// That of Keras's layer which has these parameters.
    Of(Slot),
    /// That of Keras's next layer without parameters.
    Next,
}

/// The layers so far.
pub(super) struct Builder<'a> {
    pub(super) layers: Vec<Placed>,
    /// The tensors that the network asks for.
    specs: &'a [Spec],
    /// Where their numbers are.
    file: &'a TensorFile,
    /// The layers of Keras's backbone, in Keras's order.
    names: &'a [KerasLayer],
    /// Where in `names` the next layer without parameters is looked for.
    next: usize,
    part: Part,
}

impl<'a> Builder<'a> {
    /// A model of nothing but an input of so many channels.
    pub(super) fn new(
        specs: &'a [Spec],
        file: &'a TensorFile,
        names: &'a [KerasLayer],
        channels: usize,
    ) -> Self {
        let shape = vec![None, None, Some(channels)];
        let settings = [("name", json!(INPUT)), ("batch_shape", batched(&shape))];
        let input = Placed {
            name: INPUT.into(),
            class: plain("InputLayer"),
            config: settings.map(|(name, it)| (name.to_owned(), it)).into_iter().collect(),
            inputs: Vec::new(),
            shape,
            variables: Vec::new(),
            place: (Part::Preprocessing, 0),
        };
        // The first of Keras's layers is an input, in whose place preprocessing stands here.
        Self { layers: vec![input], specs, file, names, next: 1, part: Part::Preprocessing }
    }

    /// Goes on with layers whose names are Keras's.
    pub(super) fn backbone(&mut self) {
        self.part = Part::Backbone;
    }

    /// Goes on with layers behind the backbone.
    pub(super) fn head(&mut self) {
        self.part = Part::Head;
    }

    /// What a layer of `class` with `settings`, an object, makes of `inputs`, in `shape`.
    pub(super) fn layer(
        &mut self,
        (name, class): (Name<'_>, Class),
        settings: Value,
        inputs: &[Output],
        shape: Shape,
    ) -> Output {
        self.with_variables((name, class), settings, inputs, (shape, Vec::new()))
    }

    /// The same for a layer with variables, in Keras's order.
    pub(super) fn with_variables(
        &mut self,
        (name, class): (Name<'_>, Class),
        settings: Value,
        inputs: &[Output],
        (shape, variables): (Shape, Vec<Variable>),
    ) -> Output {
        let (name, place) = self.named(name);
        let mut config = Map::new();
        config.insert("name".into(), json!(name));
        if let Value::Object(settings) = settings {
            config.extend(settings);
        }
        let (inputs, place) = (inputs.to_vec(), (self.part, place));
        self.layers.push(Placed { name, class, config, inputs, shape, variables, place });
        self.layers.len() - 1
    }

    /// The name, and the place in Keras's list.
    fn named(&mut self, name: Name<'_>) -> (String, usize) {
        let place = match name {
            Name::Own(name) => return (name.into(), self.layers.len()),
            Name::Of(slot) => self.names.iter().position(|it| it.slots.contains(&slot)),
            Name::Next => {
                let rest = &self.names[self.next..];
                let ahead = rest.iter().position(|it| it.slots.is_empty());
                let place = ahead.map(|it| self.next + it);
                self.next = place.map_or(self.next, |it| it + 1);
                place
            }
        };
        let place = place.expect("Keras's layers are all listed beside the backbone's");
        (self.names[place].name.clone(), place)
    }

    /// Colours of `x` from the last to the first.
    pub(super) fn flipped(&mut self, name: &str, x: Output) -> Output {
        let shape = self.shape(x).clone();
        self.layer((Name::Own(name), FLIP), json!({ "axis": -1 }), &[x], shape)
    }

    /// Sides and channels of a result.
    pub(super) fn shape(&self, x: Output) -> &Shape {
        &self.layers[x].shape
    }

    /// Where in Keras's list the layer of `x` stands.
    pub(super) fn place(&self, x: Output) -> usize {
        self.layers[x].place.1
    }

    /// The shape of the numbers in `slot`, as PyTorch has them.
    pub(super) fn dims(&self, slot: Slot) -> &'a [usize] {
        &slot.of(self.specs).shape
    }

    /// The numbers in `slot`, with its dimensions in the order of `axes`.
    pub(super) fn variable(&self, slot: Slot, axes: &[usize]) -> Result<Variable> {
        self.variable_as(slot, self.dims(slot), axes)
    }

    /// The same, where the numbers are seen as having the shape `dims`.
    pub(super) fn variable_as(
        &self,
        slot: Slot,
        dims: &[usize],
        axes: &[usize],
    ) -> Result<Variable> {
        let values = self.file.values(&slot.of(self.specs).name)?;
        let sides: Vec<(usize, usize)> =
            axes.iter().map(|it| (dims[*it], dims[*it + 1..].iter().product())).collect();
        let mut turned = Vec::with_capacity(values.len());
        gather(&values, &sides, 0, &mut turned);
        Ok(Variable { shape: sides.iter().map(|it| it.0).collect(), values: turned })
    }

    /// The layers in Keras's order.
    fn in_order(&self) -> Vec<&Placed> {
        let mut all: Vec<&Placed> = self.layers.iter().collect();
        all.sort_by_key(|it| it.place);
        all
    }

    /// The configuration of the model called `name`, which gives what `output` is.
    pub(super) fn config(&self, name: &str, output: Output) -> Value {
        let layers: Vec<Value> = self.in_order().into_iter().map(|it| self.described(it)).collect();
        json!({
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": name,
                "trainable": true,
                "layers": layers,
                "input_layers": [[INPUT, 0, 0]],
                "output_layers": [[self.layers[output].name, 0, 0]],
            },
            "registered_name": "Functional",
        })
    }

    fn described(&self, layer: &Placed) -> Value {
        let Placed { name, class: Class(class, _), inputs, .. } = layer;
        let mut config = layer.config.clone();
        let (module, registered) = if layer.class == FLIP {
            // Operations take a name in later versions of Keras alone.
            config.remove("name");
            ("keras.src.ops.numpy", json!(class))
        } else {
            config.insert("dtype".into(), json!("float32"));
            ("keras.layers", Value::Null)
        };
        let tensors: Vec<Value> = inputs.iter().map(|it| self.tensor(*it)).collect();
        // Layers that merge take a list.
        let arguments =
            if let [one] = tensors.as_slice() { json!([one]) } else { json!([tensors]) };
        let nodes = if inputs.is_empty() {
            json!([])
        } else {
            json!([{ "args": arguments, "kwargs": {} }])
        };
        json!({
            "module": module,
            "class_name": class,
            "config": config,
            "registered_name": registered,
            "name": name,
            "inbound_nodes": nodes,
        })
    }

    fn tensor(&self, output: Output) -> Value {
        let Placed { name, shape, .. } = &self.layers[output];
        json!({
            "class_name": "__keras_tensor__",
            "config": { "shape": batched(shape), "dtype": "float32", "keras_history": [name, 0, 0] },
        })
    }

    /// The layers with variables, each with the group that its variables lie in: Keras counts layers of a class in its order.
    pub(super) fn groups(self) -> Vec<(String, Placed)> {
        let mut all = self.layers;
        all.sort_by_key(|it| it.place);
        all.retain(|it| !it.variables.is_empty());
        let mut counts = BTreeMap::new();
        let group = |layer: Placed| {
            let Class(_, class) = layer.class;
            let count = counts.entry(class).or_insert(0);
            let group = if *count == 0 { class.to_owned() } else { format!("{class}_{count}") };
            *count += 1;
            (format!("layers/{group}/vars"), layer)
        };
        all.into_iter().map(group).collect()
    }
}

/// A shape with that of the batch, which is free.
fn batched(shape: &Shape) -> Value {
    let all: Vec<Option<usize>> = std::iter::once(None).chain(shape.iter().copied()).collect();
    json!(all)
}

/// Takes numbers in row-major order of dimensions that are each so long and so many numbers apart.
fn gather(values: &[f32], sides: &[(usize, usize)], from: usize, into: &mut Vec<f32>) {
    match sides {
        [] => into.push(values[from]),
        [(side, step)] => into.extend(values[from..].iter().step_by(*step).take(*side)),
        [(side, step), rest @ ..] => {
            for at in 0..*side {
                gather(values, rest, from + at * step, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_put_into_another_order() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let mut turned = Vec::new();
        // Two rows of three become three rows of two.
        gather(&values, &[(3, 1), (2, 3)], 0, &mut turned);
        assert_eq!(turned, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
