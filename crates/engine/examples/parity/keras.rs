//! Backbones in Keras's implementation, with the weights of Keras's files.

use std::path::{Path, PathBuf};

use ferrite_core::device::Device;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{implementation_of, input_of};
use ferrite_core::model::{FrozenNorm, Model, PrecisionSetting};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_engine::forward::network::{Network, Plan};
use ferrite_engine::forward::weights::{Part, load_from};
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result, all_images};

/// A file of Keras's, and the backbone in it.
#[derive(Deserialize)]
pub(crate) struct KerasFile {
    weights: PathBuf,
    backbone: Backbone,
    image_size: usize,
}

/// What the backbone makes of `images`, gray levels of 0 to 255 of `image_size` pixels a side, as `maps`.
pub(crate) fn maps(folder: &Path, it: &KerasFile, input: &SafeTensors<'_>) -> Result<Output> {
    let KerasFile { backbone, image_size, .. } = *it;
    let file = TensorFile::open(&folder.join(&it.weights))?.for_backbone(backbone)?;
    let precision = PrecisionSetting::F32;
    let implementation = Some(implementation_of(&file)?);
    let model = Model { backbone, implementation, precision, ..Model::default() };
    let plan = Plan {
        model: &model,
        input: input_of(&file, backbone)?.ok_or("the file does not say how pixels are scaled")?,
        frozen_norm: FrozenNorm::Inference,
        image_size,
        classes: 7,
        seed: 0,
        precisions: Precisions::all(Precision::F32),
    };
    let mut network = Network::new(&plan, Device::Cpu);
    load_from(&mut network, &file, Part::Backbone)?;
    network.rest();
    let x = network.scale_pixels(all_images(input)?);
    let mut output = Output::default();
    output.tensor("maps", network.maps(x, network.blocks()));
    Ok(output)
}
