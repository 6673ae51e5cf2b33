//! A graph of ONNX's operators that is put together node by node.

use ferrite_core::error::Result;
use ferrite_core::model::spec::{Slot, Spec};
use ferrite_core::model::weights::file::TensorFile;

use crate::export::onnx::message::{Attribute, AttributeKind, ElementKind, Node, Tensor};

/// A value in the graph, by its name.
pub(super) type Value = String;

/// Nodes and constants so far.
pub(super) struct Builder<'a> {
    pub(super) nodes: Vec<Node>,
    pub(super) constants: Vec<Tensor>,
    /// The tensors that the network asks for.
    specs: &'a [Spec],
    /// Where their numbers are.
    file: &'a TensorFile,
}

impl<'a> Builder<'a> {
    pub(super) fn new(specs: &'a [Spec], file: &'a TensorFile) -> Self {
        Self { nodes: Vec::new(), constants: Vec::new(), specs, file }
    }

    /// What the operator `op` makes of `inputs`.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> Value {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.node_called(&output, op, inputs, attributes);
        output
    }

    /// The same, where the result has a name.
    pub(super) fn node_called(
        &mut self,
        output: &str,
        op: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
    ) {
        self.nodes.push(Node {
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute,
        });
    }

    /// The numbers in `slot`, in the shape that the network asks for.
    pub(super) fn weight(&mut self, slot: Slot) -> Result<Value> {
        let shape = slot.of(self.specs).shape.clone();
        self.weight_as(slot, &shape)
    }

    /// The numbers in `slot`, in another shape.
    pub(super) fn weight_as(&mut self, slot: Slot, shape: &[usize]) -> Result<Value> {
        let Spec { name, .. } = slot.of(self.specs);
        let values = self.file.values(name)?;
        Ok(self.floats(name, &values, shape))
    }

    /// Numbers under a name.
    pub(super) fn floats(&mut self, name: &str, values: &[f32], shape: &[usize]) -> Value {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(name, ElementKind::Float, shape, bytes)
    }

    /// Whole numbers under a name.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(name, ElementKind::Int64, &[values.len()], bytes)
    }

    /// A whole number under a name.
    pub(super) fn integer(&mut self, name: &str, value: i64) -> Value {
        self.constant(name, ElementKind::Int64, &[], value.to_le_bytes().to_vec())
    }

    /// Numbers of 64 bits under a name.
    pub(super) fn doubles(&mut self, name: &str, values: &[f64], shape: &[usize]) -> Value {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.constant(name, ElementKind::Double, shape, bytes)
    }

    fn constant(&mut self, name: &str, kind: ElementKind, shape: &[usize], raw: Vec<u8>) -> Value {
        if !self.constants.iter().any(|it| it.name == name) {
            self.constants.push(Tensor {
                dims: shape.iter().map(|it| *it as i64).collect(),
                data_type: kind.into(),
                name: name.to_owned(),
                raw_data: raw,
            });
        }
        name.to_owned()
    }

    /// The shape of the numbers in `slot`.
    pub(super) fn shape(&self, slot: Slot) -> &'a [usize] {
        &slot.of(self.specs).shape
    }
}

/// An attribute that is a number.
pub(super) fn float(name: &str, f: f64) -> Attribute {
    Attribute { f: f as f32, ..of(name, AttributeKind::Float) }
}

/// An attribute that is a whole number.
pub(super) fn int(name: &str, i: usize) -> Attribute {
    Attribute { i: i as i64, ..of(name, AttributeKind::Int) }
}

/// An attribute that is a list of whole numbers.
pub(super) fn ints(name: &str, all: &[usize]) -> Attribute {
    let ints = all.iter().map(|it| *it as i64).collect();
    Attribute { ints, ..of(name, AttributeKind::Ints) }
}

fn of(name: &str, kind: AttributeKind) -> Attribute {
    Attribute { name: name.to_owned(), kind: kind.into(), ..Attribute::default() }
}
