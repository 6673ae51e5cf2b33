//! Weight files: what is in them, what a network takes of it, and how one is written.
//!
//! Files are data: safetensors, PyTorch's formats and Keras's are read, nothing in them is ever carried out.
//! Tensors go by torchvision's names (timm's for Xception), so that PyTorch reads what Ferrite writes; those of a Keras file
//! by Keras's, until it is asked for the tensors of a backbone ([`TensorFile::for_backbone`]).

pub mod account;
pub mod ancestry;
mod choice;
pub mod dtype;
pub mod file;
mod keras;
pub mod output;
mod pickle;
mod pytorch;
mod recognize;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};
use crate::model::Input;
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::weights::account::Account;
use crate::model::weights::file::TensorFile;
use crate::model::weights::output::{bytes_of, write_tensors};

/// The header's names for what travels with weights.
pub mod facts {
    /// How pixels are scaled, as in [`crate::model::Input`].
    pub const INPUT: &str = "input";
    /// Whose network it is, as in [`crate::model::implementation::Implementation`]; not there where it is PyTorch's.
    pub const IMPLEMENTATION: &str = "implementation";
    /// Which backbone the weights belong to.
    pub const BACKBONE: &str = "backbone";
    /// The form of a model that a run wrote.
    pub const FORMAT: &str = "format";
    /// The numbers of all images that the weights were trained on, those before them included.
    pub const TRAINED_ON: &str = "trained_on";
    /// How many these are, and a sum over them.
    pub const TRAINED_ON_DIGEST: &str = "trained_on_digest";
    /// Why these are not all; not there if they are.
    pub const TRAINED_ON_GAP: &str = "trained_on_gap";
}

/// A tensor that a network asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in weight files.
    pub name: String,
    /// Its shape as PyTorch writes it.
    pub shape: Vec<usize>,
}

/// The tensors that an implementation of `backbone` asks for.
pub fn tensors_of(backbone: Backbone, implementation: Implementation) -> Vec<Wanted> {
    let specs = backbone.description(implementation).tensors.specs.iter();
    specs.map(|it| Wanted { name: it.name.clone(), shape: it.shape.clone() }).collect()
}

/// Whose network `file` was saved from, as far as is known: Keras's where it is a file of Keras's, else what the header says.
///
/// # Errors
/// [`Error::Weights`] if it says something that is none of [`Implementation`].
pub fn implementation_of(file: &TensorFile) -> Result<Implementation> {
    if file.is_keras() {
        return Ok(Implementation::Keras);
    }
    let Some(said) = file.facts.get(facts::IMPLEMENTATION) else {
        return Ok(Implementation::Pytorch);
    };
    serde_json::from_value(said.clone().into()).map_err(|_| Error::Weights {
        path: file.path.clone(),
        message: format!("its header says that its implementation is `{said}`, which nobody knows"),
        help:
            "a newer Ferrite may know it; without that line of its header it is taken for PyTorch's"
                .into(),
    })
}

/// How the network that `file` was saved from wants pixels to be scaled, if its header says so; of a file of Keras's
/// own, what Keras's `preprocess_input` does for this backbone.
///
/// # Errors
/// [`Error::Weights`] if it says something that is none of [`Input`].
pub fn input_of(file: &TensorFile, backbone: Backbone) -> Result<Option<Input>> {
    let Some(said) = file.facts.get(facts::INPUT) else {
        return Ok(if file.is_keras() { backbone.keras_input() } else { None });
    };
    let known = serde_json::from_value(said.clone().into());
    known.map(Some).map_err(|_| Error::Weights {
        path: file.path.clone(),
        message: format!("its header says that its input is `{said}`, which nobody knows"),
        help: "say how its network wants pixels to be scaled: `model.weights.file.input`".into(),
    })
}

/// Writes the tensors of `file` that `account` found into a safetensors file under the network's names, with
/// `facts` in its header.
///
/// # Errors
/// [`Error::Weights`] if one cannot be read, [`Error::File`].
pub fn convert(
    file: &TensorFile,
    account: &Account,
    facts: BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let all = account.loaded.iter().map(|name| {
        let there = account.in_file(name);
        let shape = file.shape(&there).unwrap_or_default().to_vec();
        Ok((name, shape, bytes_of(&file.values(&there)?)))
    });
    let all = all.collect::<Result<Vec<(&String, Vec<usize>, Vec<u8>)>>>()?;
    let tensors = all.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        ((*name).clone(), view.expect("a file's tensors have as many values as their shape says"))
    });
    write_tensors(tensors, facts, path)
}

#[cfg(test)]
mod tests;
