//! The layers of Keras's networks, as Ferrite counts them.

use ferrite_core::model::Model;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::layer::Builder;
use ferrite_core::model::spec::Slot;
use ferrite_core::model::trainable::{Trainable, resolve};

use crate::exchange::{Output, Result};

/// Name and trainable parameters of every layer, and the parameters of the last `last`.
pub(crate) fn list(backbone: Backbone, last: usize) -> Result<Output> {
    let mut builder = Builder::default();
    let layers = backbone.build(Implementation::default(), &mut builder).keras;
    let model = Model { backbone, ..Model::default() };
    let trained = resolve(&model, &Trainable::Last(last)).map_err(|problem| problem.message)?;
    let learns = |slot: usize| builder.specs[slot].learns;
    let places: Vec<_> = (0..builder.specs.len()).filter(|it| learns(*it)).collect();
    let counts = layers.iter().map(|layer| {
        let own = places.iter().filter(|it| layer.slots.contains(&Slot::nth(**it)));
        (own.map(|it| builder.specs[*it].len()).sum::<usize>() + layer.biases) as f64
    });
    let names: Vec<_> = layers.iter().map(|it| it.name.as_str()).collect();
    let mut output = Output::default();
    output.text("names", &names.join("\n"));
    output.numbers("parameters", &counts.collect::<Vec<_>>());
    let of_keras = trained.keras_parameters.ok_or("Keras has no such network")?;
    output.numbers("last", &[of_keras as f64]);
    Ok(output)
}
