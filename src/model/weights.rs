//! Weight files: safetensors with torchvision's tensor names, read and written as data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::event::Weights as Account;
use crate::model::network::Network;
use crate::torch::parameters::Slot;
use crate::torch::tensor::{bytes_of, floats_of};

/// Which part of a network a file is to fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the head.
    Backbone,
    /// Everything.
    Whole,
}

/// Sets `part` of `network` from the safetensors file at `path`.
///
/// Every tensor of that part must be there in its shape. What the file holds beyond it (another
/// classifier, counters of batches) is listed and left out.
///
/// # Errors
/// [`Error::Weights`], naming the first tensor that is missing, of another shape or not a float.
pub fn load(network: &mut Network, path: &Path, part: Part) -> Result<Account> {
    let bytes = fs_err::read(path).map_err(Error::file("cannot read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| incomplete(path, &error))?;
    let wanted: Vec<(Slot, String, Vec<usize>)> = network
        .parameters
        .specs()
        .enumerate()
        .filter(|(index, _)| part == Part::Whole || !network.is_head(*index))
        .map(|(_, (slot, spec))| (slot, spec.name.clone(), spec.shape.clone()))
        .collect();
    let mut values = Vec::new();
    for (slot, name, shape) in &wanted {
        let tensor = file.tensor(name).map_err(|_| missing(path, name, &wanted, &file))?;
        values.push((*slot, read(path, name, shape, &tensor)?));
    }
    for (slot, values) in &values {
        network.parameters.set(*slot, values);
    }
    let known: BTreeSet<&str> = wanted.iter().map(|(_, name, _)| name.as_str()).collect();
    let unexpected = file.names().into_iter().filter(|it| !known.contains(it));
    let mut unexpected: Vec<String> = unexpected.map(|it| (*it).to_owned()).collect();
    unexpected.sort();
    let from = path.display().to_string();
    Ok(Account { from, loaded: wanted.len(), missing: Vec::new(), unexpected })
}

fn missing(
    path: &Path,
    name: &str,
    wanted: &[(Slot, String, Vec<usize>)],
    file: &SafeTensors<'_>,
) -> Error {
    let there: BTreeSet<&str> = file.names().into_iter().collect();
    let absent = wanted.iter().filter(|(_, name, _)| !there.contains(name.as_str())).count();
    let first = there.first().copied().unwrap_or("nothing");
    Error::Weights {
        path: path.to_owned(),
        message: format!(
            "{absent} of the network's {} tensors are not in it, the first is `{name}`; it holds {} \
             tensors, the first is `{first}`",
            wanted.len(),
            there.len(),
        ),
        help: "it looks like the weights of another network: check `model.backbone` and \
               `model.weights`"
            .into(),
    }
}

fn read(path: &Path, name: &str, shape: &[usize], tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let wrong = |message: String| Error::Weights {
        path: path.to_owned(),
        message,
        help: "check that `model.backbone` is the network the file was saved from".into(),
    };
    if tensor.shape() != shape {
        return Err(wrong(format!(
            "`{name}` has shape {:?}, the backbone needs {shape:?}",
            tensor.shape()
        )));
    }
    if tensor.dtype() != Dtype::F32 {
        return Err(wrong(format!("`{name}` is {:?}, only F32 can be read", tensor.dtype())));
    }
    let values = floats_of(tensor.data());
    match values.iter().find(|it| !it.is_finite()) {
        Some(value) => Err(wrong(format!("`{name}` holds {value}, which is no finite number"))),
        None => Ok(values),
    }
}

/// The facts that [`serialize`] put into the header of the file at `path`.
///
/// # Errors
/// [`Error::File`] or [`Error::Weights`] if it is no safetensors file.
pub fn facts(path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = fs_err::read(path).map_err(Error::file("cannot read", path))?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| incomplete(path, &error))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

fn incomplete(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    Error::Weights {
        path: path.to_owned(),
        message: format!("it is no complete safetensors file ({error})"),
        help: "download or export it again; other formats must be converted to safetensors".into(),
    }
}

/// Every tensor of `network` as one safetensors file, with `facts` in its header.
///
/// # Errors
/// [`Error::Damaged`] if the file format refuses them, which it has no reason to.
pub fn serialize(network: &Network, facts: BTreeMap<String, String>) -> Result<Vec<u8>> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network
        .parameters
        .specs()
        .map(|(slot, spec)| {
            let bytes = bytes_of(&network.parameters.values(slot));
            (spec.name.clone(), spec.shape.clone(), bytes)
        })
        .collect();
    let refused = |error: safetensors::SafeTensorError| Error::Damaged {
        path: "model.safetensors".into(),
        message: error.to_string(),
        help: "report this as a bug".into(),
    };
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(refused)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<_>>()?;
    safetensors::serialize(views, Some(facts.into_iter().collect())).map_err(refused)
}
