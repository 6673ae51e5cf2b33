//! How Keras counts: the layers of its networks, one by one, each with the tensors it stands for here.
//!
//! `trainable = { last = 6 }` means Keras's `layers[-6:]`, which counts activations, poolings and
//! paddings too, in the order of `model.layers`. The lists of names were compared with keras 3.15
//! (`keras.applications.*(include_top=False)`: 19, 175, 154 and 132 layers).

use crate::model::layer::Layer;
use crate::model::spec::Slot;

/// A layer of Keras's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerasLayer {
    /// Its name there; the automatic names of Xception's shortcuts are those of a fresh session.
    pub name: String,
    /// What it stands for here; empty for layers without parameters.
    pub slots: Vec<Slot>,
    /// Parameters that it has there and not here: biases in front of a batch norm.
    pub biases: usize,
}

/// A list of Keras's layers that is being written.
#[derive(Debug, Default)]
pub struct KerasLayers {
    /// The layers so far.
    pub layers: Vec<KerasLayer>,
}

impl KerasLayers {
    /// Adds layers without parameters.
    pub fn plain<const N: usize>(&mut self, names: [&str; N]) {
        self.layers.extend(names.map(|name| KerasLayer {
            name: name.into(),
            slots: Vec::new(),
            biases: 0,
        }));
    }

    /// Adds the layer that stands for `layers` here.
    pub fn add(&mut self, name: &str, layers: &[&Layer]) {
        self.add_with_biases(name, layers, 0);
    }

    /// Adds the layer that stands for `layers` here and has so many biases more there.
    pub fn add_with_biases(&mut self, name: &str, layers: &[&Layer], biases: usize) {
        let mut slots = Vec::new();
        for layer in layers {
            layer.each_slot(&mut |slot| slots.push(slot));
        }
        self.layers.push(KerasLayer { name: name.into(), slots, biases });
    }
}
