//! The network of a finished run, with the weights that it ended with.

use std::path::Path;

use ferrite_core::config::Experiment;
use ferrite_core::device::Device;
use ferrite_core::error::Result;
use ferrite_core::event::Dataset;
use ferrite_core::finished::Finished;
use ferrite_core::model::Model;
use ferrite_core::model::trainable::resolve;
use ferrite_core::precision::Precisions;
use ferrite_core::store::Store;
use ferrite_core::store::record::Record;

use crate::forward::network::{Network, Plan};
use crate::forward::weights::{Part, load};

/// What a finished run has left.
#[derive(Debug)]
pub struct Trained {
    /// Its folder's content.
    pub record: Record,
    /// Its settings.
    pub settings: Experiment,
    /// What it was trained on.
    pub dataset: Dataset,
    /// Its network, of which nothing trains.
    pub network: Network,
}

/// Opens the run in `folder` with some of its `weights`: `final`, or those of a checkpoint. `precisions` says what they
/// compute in.
///
/// # Errors
/// As of [`Finished::open`], and if the weights do not fit the network.
pub fn open(
    store: &Store,
    (folder, weights): (&Path, &str),
    device: Device,
    precisions: impl FnOnce(&Model) -> Precisions,
) -> Result<Trained> {
    let finished = Finished::open(store, (folder, weights))?;
    let Finished { record, settings, dataset, weights, input } = finished;
    let plan = Plan {
        model: &settings.model,
        input,
        frozen_norm: settings.batch_norm.frozen_layers,
        image_size: settings.data.image_size,
        classes: dataset.classes.len(),
        seed: 0,
        precisions: precisions(&settings.model),
    };
    let mut network = Network::new(&plan, device);
    // What the run trained last computes as it did there.
    let last = settings.stages.last().map(|it| resolve(&settings.model, &it.trainable));
    if let Some(Ok(trained)) = last {
        network.compute_as_in_training(&trained);
    }
    load(&mut network, &weights.path, Part::Whole)?;
    Ok(Trained { record, settings, dataset, network })
}
