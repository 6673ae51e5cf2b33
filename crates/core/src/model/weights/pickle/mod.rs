//! Pickles, read as data: a stack machine that knows the few objects a state dict is made of.
//!
//! Python's own machine imports and calls whatever a pickle names. This one imports and calls nothing: the
//! calls that state dicts make build plain values here, and whatever else a training script saved beside them
//! (arguments, meters, scalars of NumPy, functions) becomes a [`Foreign`] value that nobody looks into. It
//! is counted, so that a user is told of it.
//!
//! Containers lie side by side in one list and refer to each other by index, so that nesting costs no
//! stack, however deep, and sharing costs no memory. **Invariant:** memory is in proportion to the bytes
//! that were read, and bounded.

mod build;
mod input;
mod known;
mod machine;

use std::collections::BTreeMap;

use crate::error::printable;
use crate::model::weights::dtype::Dtype;
use crate::model::weights::pickle::known::Known;
use crate::model::weights::pickle::machine::Machine;

/// A longer name is cut before anybody reads it.
const LONGEST_NAME: usize = 120;

/// A value on the stack. Containers are indices into [`Objects`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Text(&'a str),
    /// A value that says nothing about tensors: a float, bytes, a number too long to be a size.
    Plain,
    Known(Known),
    /// A class or function that state dicts do without; an index into [`Objects::names`].
    Name(usize),
    Dict(usize),
    List(usize),
    Tuple(usize),
    Storage(usize),
    Tensor(usize),
    /// An index into [`Objects::foreign`].
    Foreign(usize),
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

/// What a pickle asks for by name, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    module: &'a str,
    /// What it is called in the module.
    item: &'a str,
    /// Objects that were to be made with it.
    made: usize,
}

impl Name<'_> {
    /// The name for people: nothing in it that a terminal would obey.
    pub(super) fn told(&self) -> String {
        let Self { module, item, .. } = self;
        let whole = if module.is_empty() { (*item).to_owned() } else { format!("{module}.{item}") };
        printable(&whole).chars().take(LONGEST_NAME).collect()
    }
}

/// An object that is made by what is not known here. Nothing of it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What would make it, an index into [`Objects::names`].
    pub(super) name: usize,
    /// Its items, where it is a kind of dictionary; an index into [`Objects::dicts`].
    pub(super) dict: Option<usize>,
}

/// Everything that a pickle built.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) names: Vec<Name<'a>>,
    pub(super) foreign: Vec<Foreign>,
}

impl<'a> Objects<'a> {
    /// The items of what is a dictionary, or a kind of one.
    pub(super) fn items(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        let dict = match value {
            Value::Dict(dict) => dict,
            Value::Foreign(index) => self.foreign[index].dict?,
            _ => return None,
        };
        Some(&self.dicts[dict])
    }

    /// The name of what would make `value`, if that is not known here.
    pub(super) fn maker(&self, value: Value<'a>) -> Option<String> {
        let name = match value {
            Value::Name(name) => name,
            Value::Foreign(index) => self.foreign[index].name,
            _ => return None,
        };
        Some(self.names[name].told())
    }

    /// What was asked for and not carried out, by name: how many objects it was to make, or 1 where it is only
    /// named.
    pub(super) fn ignored(&self) -> BTreeMap<String, usize> {
        let mut ignored = BTreeMap::new();
        for name in &self.names {
            *ignored.entry(name.told()).or_default() += name.made.max(1);
        }
        ignored
    }
}

/// Reads one pickle from the front of `bytes`: its value, what it is made of, and how many bytes it took.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn read(bytes: &[u8]) -> Result<(Value<'_>, Objects<'_>, usize), String> {
    let mut machine = Machine::new(bytes);
    while machine.step()? {}
    let value = machine.pop()?;
    Ok((value, machine.objects, machine.input.at))
}
