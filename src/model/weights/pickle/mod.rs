//! Pickles, read as data: a stack machine that knows the few objects a state dict is made of.
//!
//! Python's own machine calls whatever a pickle names. This one calls nothing: a name outside of
//! [`Known`] is an error, and the calls that state dicts make build plain values here.
//!
//! Containers lie side by side in one list and refer to each other by index, so that nesting costs no
//! stack, however deep, and sharing costs no memory. **Invariant:** memory is in proportion to the bytes
//! that were read.

mod build;
mod input;
mod machine;

use crate::model::weights::dtype::Dtype;
use crate::model::weights::pickle::machine::Machine;

/// A value on the stack. Containers are indices into [`Objects`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Text(&'a str),
    Bytes(&'a [u8]),
    Known(Known),
    Dict(usize),
    List(usize),
    Tuple(usize),
    Storage(usize),
    Tensor(usize),
}

/// What a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    OrderedDict,
    Size,
    RebuildParameter,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    /// A storage and the type of its elements; none for bytes that the tensor gives a type.
    Storage(Option<Dtype>),
    /// A type of elements.
    Dtype(Dtype),
}

/// A reference to elements that lie elsewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage<'a> {
    /// Its name in the file.
    pub(super) key: &'a str,
    /// The type of its elements.
    pub(super) dtype: Option<Dtype>,
    /// How many there are; bytes where the type is none.
    pub(super) elements: usize,
    /// Where it begins in what lies under its name, in elements: old PyTorch shared storages so.
    pub(super) start: usize,
}

/// A view on a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    /// Index of its storage.
    pub(super) storage: usize,
    /// The type of its elements.
    pub(super) dtype: Dtype,
    /// First element.
    pub(super) offset: usize,
    /// Sizes.
    pub(super) shape: Vec<usize>,
    /// Elements from one position to the next, in each dimension.
    pub(super) strides: Vec<usize>,
}

/// Everything that a pickle built.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
}

/// Reads one pickle from the front of `bytes`: its value, what it is made of, and how many bytes it took.
///
/// # Errors
/// What is wrong with it, as the end of a sentence; a name that is not [`Known`] is quoted.
pub(super) fn read(bytes: &[u8]) -> Result<(Value<'_>, Objects<'_>, usize), String> {
    let mut machine = Machine::new(bytes);
    while machine.step()? {}
    let value = machine.pop()?;
    Ok((value, machine.objects, machine.input.at))
}

/// What `module.name` means, if it is one of the few names that state dicts need.
fn known(module: &str, name: &str) -> Result<Known, String> {
    let found = match (module, name) {
        ("collections", "OrderedDict") => Some(Known::OrderedDict),
        ("torch", "Size") => Some(Known::Size),
        ("torch._utils", "_rebuild_parameter") => Some(Known::RebuildParameter),
        ("torch._utils", "_rebuild_tensor") => Some(Known::RebuildTensor),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Known::RebuildTensorV2),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Known::RebuildTensorV3),
        ("torch.storage" | "torch", "UntypedStorage" | "TypedStorage") => {
            Some(Known::Storage(None))
        }
        ("torch" | "torch.storage", name) => match name.strip_suffix("Storage") {
            Some(storage) => Dtype::of_storage(storage).map(|it| Known::Storage(Some(it))),
            None => Dtype::of_torch(name).map(Known::Dtype),
        },
        _ => None,
    };
    found.ok_or_else(|| {
        let plain: String = format!("{module}.{name}").escape_debug().take(120).collect();
        format!(
            "it asks for `{plain}`, which is no part of a state dict; nothing of it was carried out"
        )
    })
}
