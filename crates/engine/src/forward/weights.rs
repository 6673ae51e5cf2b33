//! Weights of files set into a network, and a network written into one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ferrite_core::error::Result;
use ferrite_core::event::weights::Weights as Loaded;
use ferrite_core::model::spec::Slot;
use ferrite_core::model::weights::Wanted;
use ferrite_core::model::weights::account::Account;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::output::write_tensors;
use ferrite_torch::parameters::Parameters;
use safetensors::tensor::{Dtype, View};

use crate::forward::network::Network;

/// Which part of a network a file is to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the head.
    Backbone,
    /// Everything.
    Whole,
}

/// Sets `part` of `network` from the weight file at `path`.
///
/// # Errors
/// Whatever opening the file or [`load_from`] fails with.
pub fn load(network: &mut Network, path: &Path, part: Part) -> Result<Loaded> {
    load_from(network, &TensorFile::open(path)?, part)
}

/// Sets `part` of `network` from an open weight file.
///
/// Every tensor of that part must be there in its shape. What the file holds beyond it (another
/// classifier, the weights of a loss) is listed and left out.
///
/// # Errors
/// [`ferrite_core::error::Error::Weights`], naming the first tensor that is missing, of another shape or not a finite float;
/// the network is then not to be used.
pub fn load_from(network: &mut Network, file: &TensorFile, part: Part) -> Result<Loaded> {
    let specs = network.parameters.specs().enumerate();
    let specs = specs.filter(|(index, _)| part == Part::Whole || !network.is_head(*index));
    let (slots, wanted): (Vec<Slot>, Vec<Wanted>) = specs
        .map(|(_, (slot, spec))| {
            (slot, Wanted { name: spec.name.clone(), shape: spec.shape.clone() })
        })
        .unzip();
    let account = Account::new(file, &wanted);
    account.complete(file)?;
    for (slot, Wanted { name, .. }) in slots.into_iter().zip(&wanted) {
        network.parameters.set(slot, &file.values(&account.in_file(name))?);
    }
    let taken = account.taken(file);
    let Account { loaded, missing, unexpected, .. } = account;
    let (from, loaded) = (file.path.display().to_string(), loaded.len());
    Ok(Loaded { from, loaded, missing, unexpected, taken, ancestors: None })
}

/// Writes every tensor of `network` into one safetensors file, with `facts` in its header.
///
/// # Errors
/// [`ferrite_core::error::Error::File`], e.g. where the disk is full.
pub fn write(network: &Network, facts: BTreeMap<String, String>, path: &Path) -> Result<()> {
    let parameters = &network.parameters;
    let tensors =
        parameters.specs().map(|(slot, spec)| (spec.name.clone(), Place { parameters, slot }));
    write_tensors(tensors, facts, path)
}

/// A tensor of a network, which is copied when its turn has come.
struct Place<'a> {
    parameters: &'a Parameters,
    slot: Slot,
}

impl View for Place<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.parameters.spec(self.slot).shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.parameters.bytes(self.slot))
    }

    fn data_len(&self) -> usize {
        4 * self.parameters.spec(self.slot).len()
    }
}
