//! Keras's files: `.keras`, which is a zip archive with an HDF5 file in it, `.weights.h5`, and `.h5` as all versions write it.
//!
//! They are read as data: [`hdf5`] lists datasets, [`layers`] finds the layers that they belong to, and [`names`] finds the
//! layers of a backbone among these. A configuration in the file, which could ask for code, is never looked at.

mod hdf5;
mod layers;
pub(super) mod names;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::printable;
use crate::event::weights::Taken;
use crate::model::weights::facts;
use crate::model::weights::file::{Bytes, Tensors};
use crate::model::weights::keras::hdf5::Found;
pub(super) use crate::model::weights::keras::hdf5::{Library, is_hdf5};
pub(super) use crate::model::weights::keras::layers::Layer;
use crate::model::weights::keras::layers::{OPTIMIZERS, Place};
use crate::model::weights::pytorch::{Archive, entry, entry_size};
use crate::model::weights::recognize::Refusal;
use crate::model::weights::stored::{Home, Stored, row_major};

/// The HDF5 file in a `.keras`.
const WEIGHTS: &str = "model.weights.h5";

/// What stands beside it.
const CONFIGURATION: &str = "config.json";

/// What else stands there: facts about the file, of which Keras reads none.
const METADATA: &str = "metadata.json";

/// Facts have no more bytes than this.
const MOST_METADATA: usize = 1 << 20;

/// How the top of a file is called.
const TOP: &str = ".";

/// What a Keras file holds.
pub(super) struct Content {
    pub(super) tensors: Tensors,
    pub(super) taken: Taken,
    pub(super) model: Model,
    /// What the file says of itself.
    pub(super) facts: BTreeMap<String, String>,
}

/// The layers of a Keras file, and what reads their numbers.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) library: Library,
    pub(super) layers: Vec<Layer>,
}

/// Whether an archive is a `.keras`.
pub(super) fn is_keras(archive: &Archive) -> bool {
    [WEIGHTS, CONFIGURATION].iter().all(|it| archive.index_for_name(it).is_some())
}

/// The layers in a `.keras`; of several models in it, the one called `asked`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn open_archive(archive: &mut Archive, asked: Option<&str>) -> Result<Content, Refusal> {
    let size = entry_size(archive, WEIGHTS)?;
    // Its check sum is that of the archive, which an HDF5 file by itself does not have.
    let content = open(Library::open(entry(archive, WEIGHTS, size)?)?, asked)?;
    let facts = if archive.index_for_name(METADATA).is_some() {
        said(&entry(archive, METADATA, MOST_METADATA)?)
    } else {
        BTreeMap::new()
    };
    Ok(Content { facts, ..content })
}

/// What Ferrite has written into the facts of a file that it exported: how its network wants pixels to be scaled, which is not
/// what Keras does for networks of this name if it was trained otherwise.
fn said(metadata: &[u8]) -> BTreeMap<String, String> {
    let known: Option<Value> = serde_json::from_slice(metadata).ok();
    let input = known.as_ref().and_then(|it| it.get(facts::INPUT)?.as_str());
    input.map(|it| (facts::INPUT.to_owned(), it.to_owned())).into_iter().collect()
}

/// The layers in an HDF5 file; of several models in it, the one called `asked`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn open_file(bytes: Bytes, asked: Option<&str>) -> Result<Content, Refusal> {
    open(Library::open(bytes)?, asked)
}

fn open(library: Library, asked: Option<&str>) -> Result<Content, Refusal> {
    let found = library.datasets()?;
    let (optimizer, found): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|it| OPTIMIZERS.contains(&it.path[0].as_str()));
    let mut layers: BTreeMap<Place, Vec<(String, usize)>> = BTreeMap::new();
    let mut tensors = Tensors::new();
    for it in &found {
        let Some((place, variable)) = Place::of(it) else { continue };
        let mut name = format!("{place}/{variable}");
        if tensors.contains_key(&name) {
            name = printable(&it.path.join("/")).into_owned();
        }
        let rank = layers::rank(it, &variable);
        layers.entry(place).or_default().push((name.clone(), rank));
        let stored = it.dtype.clone().map(|dtype| Stored {
            dtype,
            strides: row_major(&it.shape),
            shape: it.shape.clone(),
            offset: 0,
            home: Home::Dataset(it.path.join("/")),
        });
        tensors.insert(name, stored);
    }
    if tensors.is_empty() {
        return Err(Refusal::new(
            "it is an HDF5 file, but no layers of Keras's are in it",
            "save the model in Keras: `model.save(\"model.keras\")`, or `model.save_weights(\"model.weights.h5\")`",
        ));
    }
    let mut layers: Vec<Layer> =
        layers.into_iter().map(|(place, it)| Layer::new(place, it)).collect();
    let mut taken = Taken::default();
    if let Some(asked) = asked {
        keep(&mut layers, asked)?;
        taken.state_dict = (asked != TOP).then(|| asked.to_owned());
    }
    if !optimizer.is_empty() {
        taken.ignored.insert("numbers of the optimizer".into(), optimizer.len());
    }
    let (model, facts) = (Model { library, layers }, BTreeMap::new());
    Ok(Content { tensors, taken, model, facts })
}

/// Keeps the layers of the model called `asked`.
fn keep(layers: &mut Vec<Layer>, asked: &str) -> Result<(), Refusal> {
    let called =
        |it: &Layer| if it.place.model.is_empty() { TOP } else { &it.place.model }.to_owned();
    let mut models: Vec<String> = layers.iter().map(called).collect();
    models.sort();
    models.dedup();
    layers.retain(|it| called(it) == asked);
    if !layers.is_empty() {
        return Ok(());
    }
    let models: Vec<_> = models.iter().map(|it| format!("`{it}`")).collect();
    Err(Refusal::new(
        &format!("it has no model `{}` in it: it has {}", printable(asked), models.join(", ")),
        "change or leave out `model.weights.file.state_dict` (`--state-dict`)",
    ))
}
