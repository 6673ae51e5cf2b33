//! Weight files: what is in them, how a network takes it, and how a network is written.
//!
//! Files are data: safetensors and PyTorch's formats are read, nothing in them is ever carried out.
//! Tensors go by torchvision's names (timm's for Xception), so that PyTorch reads what Ferrite writes.

pub mod dtype;
pub mod file;
pub mod output;
mod pickle;
mod pytorch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};
use crate::event::Weights as Loaded;
use crate::model::Input;
use crate::model::backbone::Backbone;
use crate::model::layer::Builder;
use crate::model::network::Network;
use crate::model::weights::file::TensorFile;
use crate::model::weights::output::{Place, write_tensors};
use crate::torch::parameters::Slot;
use crate::torch::tensor::bytes_of;

/// The header's names for what travels with weights.
pub mod facts {
    /// How pixels are scaled, as in [`crate::model::Input`].
    pub const INPUT: &str = "input";
    /// Which backbone the weights belong to.
    pub const BACKBONE: &str = "backbone";
}

/// Counters of PyTorch's batch norms, which nothing here reads.
const COUNTERS: &str = "num_batches_tracked";

/// Which part of a network a file is to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the head.
    Backbone,
    /// Everything.
    Whole,
}

/// A tensor that a network asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in weight files.
    pub name: String,
    /// Its shape as PyTorch writes it.
    pub shape: Vec<usize>,
}

/// What a file has of what a network asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Names of tensors that fit.
    pub loaded: Vec<String>,
    /// Names of tensors that the file does not have.
    pub missing: Vec<String>,
    /// Tensors of another shape: the name, the shape in the file, the shape that is asked for.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names of tensors that the network has no place for, e.g. another classifier.
    pub unexpected: Vec<String>,
}

impl Account {
    /// Compares the tensors of `file` with those that are `wanted`.
    pub fn new(file: &TensorFile, wanted: &[Wanted]) -> Self {
        let mut account = Self::default();
        for Wanted { name, shape } in wanted {
            match file.shape(name) {
                None => account.missing.push(name.clone()),
                Some(there) if there != shape => {
                    account.reshaped.push((name.clone(), there.to_vec(), shape.clone()));
                }
                Some(_) => account.loaded.push(name.clone()),
            }
        }
        let known: BTreeSet<&str> = wanted.iter().map(|it| it.name.as_str()).collect();
        let others = file.tensors().map(|it| it.name).filter(|it| !known.contains(it));
        let others = others.filter(|it| !it.ends_with(COUNTERS));
        account.unexpected = others.map(str::to_owned).collect();
        account
    }

    /// Fails unless everything that was asked for fits.
    ///
    /// # Errors
    /// [`Error::Weights`], naming the first tensor that is missing or of another shape.
    pub fn complete(&self, file: &TensorFile) -> Result<()> {
        if let Some(first) = self.missing.first() {
            return Err(self.incomplete(file, first));
        }
        let Some((name, there, wanted)) = self.reshaped.first() else { return Ok(()) };
        Err(Error::Weights {
            path: file.path.clone(),
            message: format!("`{name}` has shape {there:?}, the backbone needs {wanted:?}"),
            help: "check that `model.backbone` is the network the file was saved from".into(),
        })
    }

    fn incomplete(&self, file: &TensorFile, first: &str) -> Error {
        let wanted = self.loaded.len() + self.missing.len() + self.reshaped.len();
        Error::Weights {
            path: file.path.clone(),
            message: format!(
                "{} of the network's {wanted} tensors are not in it, the first is `{first}`; it \
                 holds {} tensors, the first is `{}`",
                self.missing.len(),
                file.tensors().count(),
                file.tensors().next().map_or("nothing", |it| it.name),
            ),
            help: "it looks like the weights of another network: check `model.backbone` and \
                   `model.weights`"
                .into(),
        }
    }
}

/// The tensors that `backbone` asks for.
pub fn tensors_of(backbone: Backbone) -> Vec<Wanted> {
    let mut builder = Builder::default();
    backbone.build(&mut builder);
    let specs = builder.specs.into_iter();
    specs.map(|it| Wanted { name: it.name, shape: it.shape }).collect()
}

/// Sets `part` of `network` from the weight file at `path`.
///
/// Every tensor of that part must be there in its shape. What the file holds beyond it (another
/// classifier) is listed and left out.
///
/// # Errors
/// [`Error::Weights`], naming the first tensor that is missing, of another shape or not a finite float;
/// the network is then not to be used.
pub fn load(network: &mut Network, path: &Path, part: Part) -> Result<Loaded> {
    let file = TensorFile::open(path)?;
    let specs = network.parameters.specs().enumerate();
    let specs = specs.filter(|(index, _)| part == Part::Whole || !network.is_head(*index));
    let (slots, wanted): (Vec<Slot>, Vec<Wanted>) = specs
        .map(|(_, (slot, spec))| {
            (slot, Wanted { name: spec.name.clone(), shape: spec.shape.clone() })
        })
        .unzip();
    let account = Account::new(&file, &wanted);
    account.complete(&file)?;
    for (slot, Wanted { name, .. }) in slots.into_iter().zip(&wanted) {
        network.parameters.set(slot, &file.values(name)?);
    }
    let Account { loaded, missing, unexpected, .. } = account;
    Ok(Loaded { from: path.display().to_string(), loaded: loaded.len(), missing, unexpected })
}

/// How the network that `file` was saved from wants pixels to be scaled, if its header says so.
///
/// # Errors
/// [`Error::Weights`] if it says something that is none of [`Input`].
pub fn input_of(file: &TensorFile) -> Result<Option<Input>> {
    let Some(said) = file.facts.get(facts::INPUT) else { return Ok(None) };
    let known = serde_json::from_value(said.clone().into());
    known.map(Some).map_err(|_| Error::Weights {
        path: file.path.clone(),
        message: format!("its header says that its input is `{said}`, which nobody knows"),
        help: "say how its network wants pixels to be scaled: `model.weights.file.input`".into(),
    })
}

/// Writes every tensor of `network` into one safetensors file, with `facts` in its header.
///
/// # Errors
/// [`Error::File`], e.g. where the disk is full.
pub fn write(network: &Network, facts: BTreeMap<String, String>, path: &Path) -> Result<()> {
    let parameters = &network.parameters;
    let tensors =
        parameters.specs().map(|(slot, spec)| (spec.name.clone(), Place { parameters, slot }));
    write_tensors(tensors, facts, path)
}

/// Writes the tensors of `file` that `wanted` lists into a safetensors file, with `facts` in its header.
///
/// # Errors
/// [`Error::Weights`] if one is not there or cannot be read, [`Error::File`].
pub fn convert(
    file: &TensorFile,
    wanted: &[Wanted],
    facts: BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let all = wanted.iter().map(|it| Ok((it, bytes_of(&file.values(&it.name)?))));
    let all = all.collect::<Result<Vec<(&Wanted, Vec<u8>)>>>()?;
    let tensors = all.iter().map(|(Wanted { name, shape }, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.expect("a file's tensors have as many values as their shape says"))
    });
    write_tensors(tensors, facts, path)
}

#[cfg(test)]
mod tests;
