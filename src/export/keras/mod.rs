//! A trained network as a `.keras` file, as Keras 3 writes it: the layers of Keras's own network under Keras's names, with
//! what has to be done to pixels in front of them and the run's head behind.
//!
//! The model follows from the network as data (`model`). In the archive are the configuration, from which Keras builds it,
//! the variables in an HDF5 file, and facts about the run; Keras's own code is all that is carried out.

mod graph;
mod layers;

use std::io::{Cursor, Write as _};
use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::files::write_derived;
use ferrite_core::finished::Finished;
use ferrite_core::model::implementation::Implementation;
use hdf5_writer::{AttributeBuilder, DatasetBuilder, Hdf5Builder, WriteOptions};
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::export::keras::graph::{Builder, Name, Output, Placed, plain};
use crate::export::network::{Network, computes_as, key, seen};

/// The version of Keras whose form of the file this is.
const KERAS: &str = "3.15.1";

/// More bytes than a file in an archive has without the newer form of archives.
const SMALL: usize = u32::MAX as usize;

/// Writes the network of `run` to `path`.
///
/// # Errors
/// [`Error::Usage`] if Keras has no network that computes the same, [`Error::Weights`] if a weight cannot be read,
/// [`Error::File`] if the file cannot be written.
pub(crate) fn write(run: &Finished, path: &Path) -> Result<()> {
    computes_as(
        run,
        Implementation::Keras,
        "`ferrite export onnx` writes it for every runtime, `ferrite export torch` for PyTorch",
    )?;
    let network = Network::of(run);
    let mut model =
        Builder::new(&network.specs, &run.weights, &network.backbone.keras, run.channels());
    let output = build(&mut model, run, &network)?;
    let name = run.settings.model.backbone.name();
    let config = model.config(name, output).to_string();
    let archive = variables(name, model.groups())
        .map_err(std::io::Error::other)
        .and_then(|weights| {
            Ok(archive([
                ("metadata.json", metadata(run).as_bytes()),
                ("config.json", config.as_bytes()),
                ("model.weights.h5", &weights),
            ])?)
        })
        .map_err(Error::file("cannot write", path))?;
    write_derived(path, &archive)
}

/// Puts the model together; the probabilities are its result.
fn build(model: &mut Builder<'_>, run: &Finished, network: &Network) -> Result<Output> {
    let mut x = preprocessed(model, run);
    if let Some(norm) = &network.norm {
        x = model.batch_norm(Name::Own("input_norm"), norm, x)?;
    }
    model.backbone();
    for block in &network.backbone.blocks {
        x = model.layers(&block.layers, x)?;
    }
    model.head();
    x = model.scores(&network.head, x)?;
    let shape = model.shape(x).clone();
    Ok(model.layer(
        (Name::Own("probabilities"), plain("Softmax")),
        json!({ "axis": -1 }),
        &[x],
        shape,
    ))
}

/// What the backbone gets of the picture: enlarged, with three channels in its order, scaled as the weights want it.
fn preprocessed(model: &mut Builder<'_>, run: &Finished) -> Output {
    let size = run.settings.data.image_size;
    let (scale, shift, reversed) = run.input.scaling();
    let [input, output] = [run.channels(), 3].map(|it| vec![Some(size), Some(size), Some(it)]);
    let resizing = json!({
        "height": size,
        "width": size,
        "interpolation": "bilinear",
        "data_format": "channels_last",
    });
    let mut x = model.layer((Name::Own("enlarged"), plain("Resizing")), resizing, &[0], input);
    if run.channels() == 1 {
        let name = (Name::Own("three_channels"), plain("Concatenate"));
        x = model.layer(name, json!({ "axis": -1 }), &[x, x, x], output.clone());
    } else if reversed {
        x = model.flipped("blue_green_red", x);
    }
    let scaling = json!({ "scale": scale.map(f64::from), "offset": shift.map(f64::from) });
    model.layer((Name::Own("scaled"), plain("Rescaling")), scaling, &[x], output)
}

/// The HDF5 file with the variables of the layers of the model called `name`, each in its group.
fn variables(name: &str, groups: Vec<(String, Placed)>) -> hdf5_writer::Result<Vec<u8>> {
    // Older versions of Keras 3 look for a group of the model itself.
    let own = AttributeBuilder::fixed_string("name", name);
    let mut file = Hdf5Builder::new().group_attribute("vars", own);
    for (group, layer) in groups {
        let name = AttributeBuilder::fixed_string("name", &layer.name);
        file = file.group_attribute(&group, name);
        for (index, it) in layer.variables.into_iter().enumerate() {
            let shape: Vec<u64> = it.shape.iter().map(|it| *it as u64).collect();
            let path = format!("{group}/{index}");
            file = file.dataset(DatasetBuilder::typed_data(path, shape, &it.values)?);
        }
    }
    file.into_plan()?.encode(WriteOptions::default())
}

/// An archive with these files, which are not compressed: numbers of a network hardly get smaller. Its moments are those of
/// no clock, so that the same export gives the same bytes.
fn archive<const N: usize>(files: [(&str, &[u8]); N]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes.len() >= SMALL);
        archive.start_file(name, options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn metadata(run: &Finished) -> String {
    json!({
        "keras_version": KERAS,
        "classes": run.dataset.classes,
        "image": seen(run),
        "input": run.input,
        "image_size": run.settings.data.image_size,
        "run": run.record.name(),
        "key": key(run),
    })
    .to_string()
}
