//! Where networks look.

use std::path::{Path, PathBuf};

use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::{FrozenNorm, Head, Input, Model, PrecisionSetting};
use ferrite_torch::picture;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result, all_images};
use crate::network::load;

/// A network, and the blocks that are looked into.
#[derive(Deserialize)]
pub(crate) struct Looks {
    /// The file of its weights, head included.
    weights: PathBuf,
    backbone: Backbone,
    head: Head,
    image_size: usize,
    classes: usize,
    blocks: Vec<String>,
}

/// Grad-CAM of `images` for the class in `asked` of each, behind each block as `maps.<block>`, and at the size of the images
/// as `enlarged.<block>`.
pub(crate) fn explain(folder: &Path, looks: &Looks, input: &SafeTensors<'_>) -> Result<Output> {
    let Looks { backbone, head, image_size, .. } = looks;
    let (head, precision) = (head.clone(), PrecisionSetting::F32);
    let model = Model { backbone: *backbone, head, precision, ..Model::default() };
    let how = (Input::PlusMinusOne, FrozenNorm::Inference);
    let network = load(&folder.join(&looks.weights), &model, how, [*image_size, looks.classes])?;
    let asked: Vec<usize> =
        input.tensor("asked")?.data().iter().map(|it| usize::from(*it)).collect();
    let mut output = Output::default();
    for block in &looks.blocks {
        let index = (0..network.blocks()).find(|it| network.block_name(*it) == block);
        let index = index.ok_or_else(|| format!("there is no block {block}"))?;
        let x = network.scale_pixels(picture::resize(all_images(input)?, *image_size));
        let maps = network.grad_cam(x, index + 1, &asked);
        output.tensor(&format!("enlarged.{block}"), picture::resize(maps.clone(), *image_size));
        output.tensor(&format!("maps.{block}"), maps);
    }
    Ok(output)
}
