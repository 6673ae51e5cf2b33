//! Tests of a network on several views of each image.

use std::path::Path;

use ferrite_core::data::dataset;
use ferrite_core::data::decode::decode;
use ferrite_core::data::{Data, part::Part, source::Source, split::Split};
use ferrite_core::device::Device;
use ferrite_core::model::{FrozenNorm, Input, Model, PrecisionSetting};
use ferrite_core::settings::evaluate::Views;
use ferrite_engine::train::images::{Images, Split as Rows};
use ferrite_engine::train::views::judge;

use crate::exchange::{Output, Result};
use crate::network::load;

/// Probabilities of the validation images of a FER2013 table, image by image, and their mean loss.
pub(crate) fn judge_all(
    folder: &Path,
    (weights, image_size): (&Path, usize),
    (csv, name): (&Path, &str),
    views: Views,
) -> Result<Output> {
    let [train, valid] = ["Training", "PublicTest"].map(|it| Part::Name(it.into()));
    let split = Split { train, valid, test: None, ..Split::default() };
    let data = Data { source: Source::Fer2013 { csv: folder.join(csv) }, split, ..Data::default() };
    let decoded = folder.join(format!("{name}.faces"));
    fs_err::create_dir_all(&decoded)?;
    decode(&data, &decoded, &|_, _| {})?;
    let faces = dataset::open(&data, &decoded)?;
    let how = (Input::PlusMinusOne, FrozenNorm::Inference);
    let sizes = [image_size, faces.classes.len()];
    let model = Model { precision: PrecisionSetting::F32, ..Model::default() };
    let network = load(&folder.join(weights), &model, how, sizes)?;
    let images = Images::new(&faces, image_size, Device::Cpu);
    let split = Rows { rows: &faces.valid, features: None };
    let judged =
        ferrite_torch::without_gradients(|| judge(&split, &network, &images, views, &mut |_| ()));
    let mut output = Output::default();
    let shape = [faces.valid.len(), faces.classes.len()];
    output.floats("probabilities", &shape, &judged.probabilities);
    output.numbers("loss", &[judged.scores.loss]);
    Ok(output)
}
